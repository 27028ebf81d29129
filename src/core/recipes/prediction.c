/*
 * prediction.c: what a tensor or a file is predicted from (see prediction.h).
 */
#include "prediction.h"

/* A proposal is judged on this many samples of this many bytes. */
#define SAMPLES 3
#define SAMPLE_BYTES ((uint64_t) 64 * 1024)
#define SAMPLE_UNIT 64			/* elements: samples begin at multiples, so that groups of elements stay whole */

static uint64_t
element_bytes(const sparse_subject *subject)
{
	return sparse_dtype_get(subject->dtype)->bytes;
}

/* ---- an object as it is ---- */

/* How far a parent reaches into the content: in whole rows, or else in whole elements. */
static uint64_t
shared_bytes(const sparse_subject *subject, uint64_t parent_bytes)
{
	uint64_t	row = subject->row_bytes;
	uint64_t	unit = element_bytes(subject);

	if (parent_bytes >= subject->bytes)
		return subject->bytes;
	if (row > 0 && row <= parent_bytes && row % unit == 0)
		unit = row;
	return parent_bytes - parent_bytes % unit;
}

bool
prediction_plain(const sparse_subject *subject, int64_t object, const sparse_kin_info *info,
				 sparse_prediction *prediction)
{
	bool		by_elements = info->dtype != SPARSE_BYTES;

	if (info->dtype != subject->dtype || info->bytes == 0)
		return false;
	*prediction = (sparse_prediction) {
		.object = object, .depth = info->depth, .bytes = info->bytes, .by_elements = by_elements,
		.shared = by_elements ? shared_bytes(subject, info->bytes) : subject->bytes
	};
	return prediction->shared > 0;
}

sparse_ref
prediction_reference(const sparse_prediction *prediction, sparse_dtype dtype,
					 uint64_t chunk_bytes, uint64_t first, uint64_t bytes)
{
	uint64_t	unit = sparse_dtype_get(dtype)->bytes;
	uint64_t	begin = first;
	uint64_t	end = first + bytes;

	if (!prediction->by_elements)
	{
		uint64_t	middle = SPARSE_MIN(first, prediction->bytes);

		begin = middle - SPARSE_MIN(middle, PREDICTION_BEFORE * chunk_bytes);
		end = middle + SPARSE_MIN(prediction->bytes - middle, PREDICTION_AFTER * chunk_bytes);
	}
	return (sparse_ref) {.dtype = dtype, .first = begin / unit, .count = (end - begin) / unit};
}

/* ---- a chunk ---- */

uint64_t
prediction_most_bytes(const sparse_prediction *prediction, const sparse_subject *subject)
{
	uint64_t	bytes = SPARSE_MIN(subject->chunk_bytes, subject->bytes);

	if (prediction->recipe != NULL)
		return recipe_most_bytes(prediction->recipe, bytes / element_bytes(subject));
	if (!prediction->by_elements)
		return SPARSE_MIN(subject->chunk_bytes * (PREDICTION_BEFORE + PREDICTION_AFTER), prediction->bytes);
	return bytes;
}

/* What a chunk refers to; the number of references. */
static unsigned
references(const sparse_coder *coder, const sparse_prediction *prediction, uint64_t first, uint64_t bytes,
		   sparse_ref ref[SPARSE_MAX_REFS], sparse_formula *formula)
{
	const sparse_subject *subject = coder->subject;
	const uint64_t unit = element_bytes(subject);

	if (prediction->recipe != NULL)
		return recipe_references(prediction->recipe, first / unit, bytes / unit, ref, formula);
	if (prediction->object == 0 || first + bytes > prediction->shared)
		return 0;
	ref[0] = prediction_reference(prediction, subject->dtype, subject->chunk_bytes, first, bytes);
	return 1;
}

/* Reads what the references name. What serves more than the chunk is kept. */
static sparse_status
gather(const sparse_coder *coder, const sparse_prediction *prediction, const sparse_ref *ref, unsigned refs,
	   uint8_t *predicted, size_t *length)
{
	uint8_t    *at = predicted;

	for (unsigned i = 0; i < refs; i++)
	{
		const sparse_recipe *recipe = prediction->recipe;
		const uint64_t unit = sparse_dtype_get(ref[i].dtype)->bytes;
		const int64_t object = recipe == NULL ? prediction->object : recipe->source[ref[i].parent].object;
		const bool	keep = recipe == NULL ? !prediction->by_elements : recipe->source[ref[i].parent].per != 1;

		SPARSE_TRY(coder->source->read(coder->source->state, object, ref[i].first * unit, ref[i].count * unit, at, keep));
		at += ref[i].count * unit;
	}
	*length = (size_t) (at - predicted);
	return SPARSE_OK;
}

sparse_status
prediction_encode(const sparse_coder *coder, const sparse_prediction *prediction, uint64_t first, uint64_t bytes,
				  const void *content, void *predicted, const uint8_t **delta, size_t *delta_bytes)
{
	const sparse_recipe *recipe = prediction->recipe;
	sparse_ref	ref[SPARSE_MAX_REFS];
	sparse_formula formula;
	unsigned	refs = references(coder, prediction, first, bytes, ref, &formula);
	size_t		length;

	SPARSE_TRY(gather(coder, prediction, ref, refs, predicted, &length));
	if (recipe != NULL && sparse_predictor_computes(recipe->predictor))
		return sparse_delta_encode_formula(coder->codec, content, bytes, coder->subject->dtype, recipe->predictor, &formula,
										   ref, refs, predicted, length, delta, delta_bytes);
	return sparse_delta_encode(coder->codec, content, bytes, coder->subject->dtype, refs > 0 ? ref : NULL, refs,
							   refs > 0 ? predicted : NULL, length, delta, delta_bytes);
}

/* ---- the choice ---- */

typedef struct judge
{
	const sparse_coder *coder;
	workspace  *work;
	const sparse_prediction *plain;
	int			plains;
	sparse_recipe *recipe;
	int			recipes;
	sparse_prediction *best;
	uint64_t	least;			/* bytes of the samples by it */
	uint8_t    *content;		/* of a sample */
} judge;

/* Bytes of each sample. */
static uint64_t
sample_bytes(const sparse_subject *subject)
{
	const uint64_t unit = SAMPLE_UNIT * element_bytes(subject);
	const uint64_t bytes = SPARSE_MIN(SAMPLE_BYTES, SPARSE_MIN(subject->chunk_bytes, subject->bytes));

	return bytes > unit ? bytes - bytes % unit : bytes;
}

/* How long the deltas of the samples are by this prediction. */
static uint64_t
sample_cost(const judge *j, const sparse_prediction *prediction)
{
	const sparse_subject *subject = j->coder->subject;
	const uint64_t bytes = sample_bytes(subject);
	uint8_t    *predicted = workspace_allocate(j->work, SPARSE_MAX(prediction_most_bytes(prediction, subject), 1));
	uint64_t	cost = 0;

	for (int i = 0; i < SAMPLES; i++)
	{
		uint64_t	first = (subject->bytes - bytes) / (SAMPLES - 1) * i;
		const uint8_t *delta;
		size_t		delta_bytes;

		workspace_pause(j->work);
		first -= first % (SAMPLE_UNIT * element_bytes(subject));
		workspace_check(j->work, subject->read(subject->state, first, bytes, j->content));
		workspace_check(j->work, prediction_encode(j->coder, prediction, first, bytes, j->content, predicted,
												   &delta, &delta_bytes));
		cost += delta_bytes;
	}
	workspace_release(j->work, predicted);
	return cost;
}

static void
compare(judge *j, const sparse_prediction *prediction)
{
	uint64_t	cost = sample_cost(j, prediction);

	if (cost >= j->least)
		return;
	j->least = cost;
	*j->best = *prediction;
}

static sparse_prediction
computed_by(const judge *j, const sparse_recipe *recipe)
{
	return (sparse_prediction) {
		.object = recipe->source[0].object, .shared = j->coder->subject->bytes, .by_elements = true, .recipe = recipe
	};
}

/* Whether there is nothing to compare: one recipe, that its search compared with all that there is besides. */
static bool
is_decided(judge *j)
{
	sparse_prediction computed;

	if (j->recipes != 1 || !j->recipe->weighed)
		return false;
	computed = computed_by(j, j->recipe);
	for (int i = 0; i < j->plains; i++)
		if (j->plain[i].object != computed.object)
			return false;
	if (!recipe_consider(j->coder->source, j->coder->subject, j->recipe, &computed.depth))
		return false;
	*j->best = computed;
	return true;
}

static void
compare_all(void *argument)
{
	judge	   *j = argument;
	const sparse_subject *subject = j->coder->subject;

	if (is_decided(j))
		return;
	j->content = workspace_allocate(j->work, sample_bytes(subject));
	for (int i = 0; i < j->plains; i++)
		compare(j, &j->plain[i]);
	for (int i = 0; i < j->recipes; i++)
	{
		sparse_prediction computed = computed_by(j, &j->recipe[i]);

		if (recipe_consider(j->coder->source, subject, &j->recipe[i], &computed.depth))
			compare(j, &computed);
	}
}

sparse_status
prediction_among(const sparse_coder *coder, const sparse_prediction *plain, int plains,
				 sparse_recipe *recipe, int recipes, sparse_prediction *best)
{
	workspace	work;
	judge		j = {
		.coder = coder, .work = &work, .plain = plain, .plains = plains, .recipe = recipe, .recipes = recipes,
		.best = best, .least = UINT64_MAX
	};
	sparse_status status;

	*best = (sparse_prediction) {0};
	if (coder->subject->bytes == 0)
		return SPARSE_OK;
	if (plains == 1 && recipes == 0)
	{
		*best = plain[0];
		return SPARSE_OK;
	}
	workspace_init(&work, coder->environment);
	status = workspace_run(&work, compare_all, &j);
	workspace_end(&work);
	return status;
}

sparse_status
prediction_choose(const sparse_coder *coder, sparse_proposals *proposals, sparse_prediction *best)
{
	const sparse_source *source = coder->source;
	sparse_prediction plain[SPARSE_MAX_CANDIDATES];
	int			plains = 0;

	for (int i = 0; i < proposals->candidates; i++)
	{
		sparse_kin_info info;

		if (source->inspect(source->state, proposals->candidate[i], 1, &info))
			plains += prediction_plain(coder->subject, proposals->candidate[i], &info, &plain[plains]);
	}
	return prediction_among(coder, plain, plains, proposals->recipe, proposals->recipes, best);
}
