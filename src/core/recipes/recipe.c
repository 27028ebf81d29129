/*
 * recipe.c: from a recipe for a tensor to what each of its chunks refers to.
 */
#include "recipe.h"

#include "codec/formula.h"

static uint64_t
element_bytes(sparse_dtype dtype)
{
	return sparse_dtype_get(dtype)->bytes;
}

/* The part of a source under elements [first, end) of content. */
static void
source_range(const sparse_recipe_source *source, uint64_t first, uint64_t end, uint64_t *from, uint64_t *until)
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
source_reaches(const sparse_recipe_source *source, uint64_t count)
{
	uint64_t	from;
	uint64_t	until;

	source_range(source, 0, source->end > 0 ? source->end - source->begin : count, &from, &until);
	return until <= source->elements;
}

uint64_t
recipe_most_bytes(const sparse_recipe *recipe, uint64_t count)
{
	uint64_t	bytes = 0;

	for (int i = 0; i < recipe->sources; i++)
	{
		const sparse_recipe_source *source = &recipe->source[i];
		uint64_t	elements = source->per == 0 ? source->count : (count / source->per + 2) * source->count;

		bytes += elements * element_bytes(source->dtype);
	}
	return bytes;
}

/* Positions of the first element within its row or group. */
static void
place_formula(const sparse_recipe *recipe, uint64_t first, sparse_formula *formula)
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
		case SPARSE_PREDICT_PERMUTED:
			formula->offset = first % (formula->group * formula->columns);
			break;
		default:
			break;
	}
}

unsigned
recipe_references(const sparse_recipe *recipe, uint64_t first, uint64_t count,
				  sparse_ref ref[SPARSE_MAX_REFS], sparse_formula *formula)
{
	unsigned	refs = 0;

	place_formula(recipe, first, formula);
	for (int i = 0; i < recipe->sources; i++)
	{
		const sparse_recipe_source *source = &recipe->source[i];
		uint64_t	begin = SPARSE_MAX(first, source->begin);
		uint64_t	end = source->end > 0 ? SPARSE_MIN(first + count, source->end) : first + count;
		uint64_t	from;
		uint64_t	until;

		if (begin >= end)
			continue;
		source_range(source, begin - source->begin, end - source->begin, &from, &until);
		ref[refs++] = (sparse_ref) {.parent = (uint16_t) i, .dtype = source->dtype, .first = from, .count = until - from};
	}
	return refs;
}

/* Of one source: see recipe_consider. */
static bool
consider_source(const sparse_source *from, uint64_t elements, sparse_recipe_source *source, int *decoded)
{
	sparse_kin_info info;

	if (!from->inspect(from->state, source->object, RECIPE_MOST_DECODED, &info))
		return false;
	source->elements = info.bytes / element_bytes(source->dtype);
	source->depth = info.depth;
	*decoded += info.decodes;
	return source_reaches(source, elements);
}

/* Whether the formula can be applied to a chunk. */
static bool
formula_fits(const sparse_recipe *recipe, sparse_dtype dtype, uint64_t first, uint64_t count)
{
	sparse_delta_info info = {
		.predictor = recipe->predictor, .dtype = dtype, .content_bytes = count * element_bytes(dtype)
	};
	sparse_formula formula;

	info.refs = (uint16_t) recipe_references(recipe, first, count, info.ref, &formula);
	return !sparse_predictor_computes(recipe->predictor) || formula_check(&info, &formula) == SPARSE_OK;
}

bool
recipe_consider(const sparse_source *source, const sparse_subject *subject, sparse_recipe *recipe, int32_t *depth)
{
	const uint64_t elements = subject->bytes / element_bytes(subject->dtype);
	const uint64_t chunk = SPARSE_MIN(subject->chunk_bytes, subject->bytes) / element_bytes(subject->dtype);
	int			decoded = 1;

	*depth = 0;
	for (int i = 0; i < recipe->sources; i++)
	{
		if (!consider_source(source, elements, &recipe->source[i], &decoded))
			return false;
		*depth = SPARSE_MAX(*depth, recipe->source[i].depth);
	}
	if (recipe->sources > 1 && decoded > RECIPE_MOST_DECODED)
		return false;
	/* (chunks are of whole rows, but for those of very long ones) */
	if (recipe->unit > 1 && (elements % recipe->unit != 0 || chunk % recipe->unit != 0))
		return false;
	return recipe_most_bytes(recipe, chunk) <= SPARSE_MAX_PREDICTION
		&& formula_fits(recipe, subject->dtype, 0, chunk)
		&& formula_fits(recipe, subject->dtype, (elements - 1) / chunk * chunk, (elements - 1) % chunk + 1);
}
