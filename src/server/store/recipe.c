/*
 * recipe.c: from a recipe for an object to what each of its chunks refers to.
 */
#include "postgres.h"
#include "compat.h"

#include "codec/formula.h"
#include "store/recipe.h"

/*
 * A chunk of a blend needs one of each of its parents, those need theirs: with every
 * generation of merges the number multiplies. What would take more than this is not predicted so.
 */
#define RECIPE_MOST_DECODED 40

static uint64
element_bytes(sparse_dtype dtype)
{
	return sparse_dtype_get(dtype)->bytes;
}

/* The part of a source under elements [first, end) of content. */
static void
source_range(const RecipeSource *source, uint64 first, uint64 end, uint64 *from, uint64 *until)
{
	if (source->per == 0)
	{
		*from = source->first;
		*until = source->first + source->count;
		return;
	}
	*from = source->first + first / source->per * source->count;
	*until = source->first + (end / source->per + (end % source->per > 0)) * source->count;
}

/* Whether a source has all that elements [0, count) of content need of it. */
static bool
source_reaches(const RecipeSource *source, uint64 count)
{
	uint64		from;
	uint64		until;

	source_range(source, 0, source->end > 0 ? source->end - source->begin : count, &from, &until);
	return until <= source->elements;
}

uint64
recipe_most_bytes(const Recipe *recipe, uint64 count)
{
	uint64		bytes = 0;

	for (int i = 0; i < recipe->sources; i++)
	{
		const RecipeSource *source = &recipe->source[i];
		uint64		elements = source->per == 0 ? source->count : (count / source->per + 2) * source->count;

		bytes += elements * element_bytes(source->dtype);
	}
	return bytes;
}

/* Positions of the first element within its row or group. */
static void
place_formula(const Recipe *recipe, uint64 first, sparse_formula *formula)
{
	*formula = recipe->formula;
	switch (recipe->predictor)
	{
		case SPARSE_PREDICT_LOW_RANK:
			formula->offset = first % formula->columns;
			if (formula->style & SPARSE_LEFT_TRANSPOSED)
				formula->row = first / formula->columns;
			break;
		case SPARSE_PREDICT_SUM:
			if (formula->rank > 0)
			{
				formula->offset = first % formula->columns;
				formula->row = first / formula->columns;
			}
			break;
		case SPARSE_PREDICT_QUANTISED:
			formula->offset = first * (formula->style == SPARSE_PACK_ELEMENTS ? 1 : 2) % formula->group;
			break;
		case SPARSE_PREDICT_DEQUANTISED:
			formula->offset = first % formula->group;
			break;
		default:
			break;
	}
}

int
recipe_references(const Recipe *recipe, uint64 first, uint64 count,
				  sparse_ref ref[SPARSE_MAX_REFS], sparse_formula *formula)
{
	int			refs = 0;

	place_formula(recipe, first, formula);
	for (int i = 0; i < recipe->sources; i++)
	{
		const RecipeSource *source = &recipe->source[i];
		uint64		begin = Max(first, source->begin);
		uint64		end = source->end > 0 ? Min(first + count, source->end) : first + count;
		uint64		from;
		uint64		until;

		if (begin >= end)
			continue;
		source_range(source, begin - source->begin, end - source->begin, &from, &until);
		ref[refs++] = (sparse_ref) {.parent = (uint16) i, .dtype = source->dtype, .first = from, .count = until - from};
	}
	return refs;
}

/* Of one source: see recipe_consider. What takes no bytes was only reserved so far: the object at hand itself, others of its import. */
static bool
consider_source(ObjectReader *reader, const ObjectSpec *spec, uint64 elements, RecipeSource *source)
{
	const int	most = spec->max_depth > 0 ? spec->max_depth : sparse_max_chain_depth;
	ObjectInfo	info;

	if (!object_info(reader, source->object, &info) || info.stored_bytes == 0 || info.depth >= most)
		return false;
	source->elements = info.bytes / element_bytes(source->dtype);
	source->depth = info.depth;
	return source_reaches(source, elements);
}

/* Whether the formula can be applied to a chunk. */
static bool
formula_fits(const Recipe *recipe, sparse_dtype dtype, uint64 first, uint64 count)
{
	sparse_delta_info info = {
		.predictor = recipe->predictor, .dtype = dtype, .content_bytes = count * element_bytes(dtype)
	};
	sparse_formula formula;

	info.refs = recipe_references(recipe, first, count, info.ref, &formula);
	return !sparse_predictor_computes(recipe->predictor) || formula_check(&info, &formula) == SPARSE_OK;
}

bool
recipe_consider(ObjectReader *reader, const ObjectSpec *spec, uint64 chunk_bytes, Recipe *recipe, int32 *depth)
{
	const uint64 elements = spec->bytes / element_bytes(spec->dtype);
	const uint64 chunk = Min(chunk_bytes, spec->bytes) / element_bytes(spec->dtype);
	int			decoded = 1;

	*depth = 0;
	for (int i = 0; i < recipe->sources; i++)
	{
		if (!consider_source(reader, spec, elements, &recipe->source[i]))
			return false;
		*depth = Max(*depth, recipe->source[i].depth);
		decoded += object_decodes(reader, recipe->source[i].object, RECIPE_MOST_DECODED);
	}
	if (recipe->sources > 1 && decoded > RECIPE_MOST_DECODED)
		return false;
	/* (chunks are of whole rows, but for those of very long ones) */
	if (recipe->unit > 1 && (elements % recipe->unit != 0 || chunk % recipe->unit != 0))
		return false;
	return recipe_most_bytes(recipe, chunk) <= SPARSE_MAX_PREDICTION
		&& formula_fits(recipe, spec->dtype, 0, chunk)
		&& formula_fits(recipe, spec->dtype, (elements - 1) / chunk * chunk, (elements - 1) % chunk + 1);
}
