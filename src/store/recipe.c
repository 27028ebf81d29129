/*
 * recipe.c: from a recipe for an object to what each of its chunks refers to.
 */
#include "postgres.h"
#include "compat.h"

#include "store/recipe.h"

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

bool
recipe_consider(ObjectReader *reader, const ObjectSpec *spec, uint64 chunk_bytes, Recipe *recipe, int32 *depth)
{
	const uint64 elements = spec->bytes / element_bytes(spec->dtype);
	const uint64 chunk = Min(chunk_bytes, spec->bytes) / element_bytes(spec->dtype);
	const int	most = spec->max_depth > 0 ? spec->max_depth : sparse_max_chain_depth;

	*depth = 0;
	for (int i = 0; i < recipe->sources; i++)
	{
		RecipeSource *source = &recipe->source[i];
		ObjectInfo	info;

		if (!object_info(reader, spec->place, source->object, &info) || info.depth >= most)
			return false;
		source->dtype = info.dtype;
		source->elements = info.bytes / element_bytes(info.dtype);
		source->depth = info.depth;
		if (!source_reaches(source, elements))
			return false;
		*depth = Max(*depth, info.depth);
	}
	/* (chunks are of whole rows, but for those of very long ones) */
	if (recipe->unit > 1 && (elements % recipe->unit != 0 || chunk % recipe->unit != 0))
		return false;
	return recipe_most_bytes(recipe, chunk) <= SPARSE_MAX_PREDICTION;
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
