/*
 * direction.c: tensors that go on in the direction that their parent came from: checkpoints of one run.
 *
 * Of child = base + a (base - from), the weight a is fitted by least squares on a sample of a few places, for each kin that might be
 * the origin; the best is kept if the codec needs clearly fewer bytes for the sample by it than by the base alone.
 */
#include "search.h"

#include <math.h>
#include <string.h>

#include "codec/convert.h"

#define STRETCHES 4
#define STRETCH ((uint64_t) 8192)	/* elements of each, at most */
#define SAMPLE (STRETCHES * STRETCH)

/* What is left of the squares, and then of the bytes, at most. */
#define WORTH_SQUARES 0.97
#define WORTH_BYTES 0.98

/* Weights are multiples of this part, so that they are the same whatever computed them. */
#define PARTS 256
#define MOST_WEIGHT 4

/* Chunks that are decoded for one, at most: with every generation that goes on like this they nearly double. */
#define MOST_DECODED 24

typedef struct direction
{
	const recipe_search *search;
	const sparse_kin *base;
	uint64_t	stretch;
	uint64_t	count;			/* elements of the sample */
	float	   *child;
	float	   *at;				/* the base's */
	float	   *from;			/* of the origin that is looked at */
	float	   *predicted;
	uint8_t    *content;
} direction;

static uint64_t
stretch_first(const direction *d, int i)
{
	return (d->search->elements - d->stretch) / (STRETCHES - 1) * (uint64_t) i;
}

static void
sample_origin(const direction *d, const sparse_kin *kin)
{
	for (int i = 0; i < STRETCHES; i++)
		sample_kin(d->search, kin, stretch_first(d, i), d->stretch, d->from + i * d->stretch);
}

static void
take_sample(direction *d)
{
	for (int i = 0; i < STRETCHES; i++)
	{
		workspace_pause(d->search->work);
		sample_content(d->search, stretch_first(d, i), d->stretch, d->child + i * d->stretch);
		sample_kin(d->search, d->base, stretch_first(d, i), d->stretch, d->at + i * d->stretch);
	}
	store_floats(d->search->subject->dtype, d->child, d->count, d->content);
}

/* The weight of the least squares, and what part of them it leaves. */
static double
fit_weight(const direction *d, double *left)
{
	double		change = 0;
	double		step = 0;
	double		both = 0;
	double		weight;

	for (uint64_t i = 0; i < d->count; i++)
	{
		const double c = (double) d->child[i] - d->at[i];
		const double s = (double) d->at[i] - d->from[i];

		if (!isfinite(c) || !isfinite(s))
			continue;
		change += c * c;
		step += s * s;
		both += c * s;
	}
	*left = change > 0 && step > 0 ? 1 - both * both / (change * step) : 1;
	weight = step > 0 ? rint(both / step * PARTS) / PARTS : 0;
	return fabs(weight) <= MOST_WEIGHT ? weight : 0;
}

/* What the sample takes with that weight. */
static size_t
bytes_with(const direction *d, double weight)
{
	const sparse_dtype dtype = d->search->subject->dtype;
	const sparse_ref ref = {.dtype = SPARSE_F32, .count = d->count};
	const sparse_formula sum = {.bases = 1, .coefficient = {1}};
	const uint8_t *delta;
	size_t		bytes;

	for (uint64_t i = 0; i < d->count; i++)
		d->predicted[i] = weight == 0 ? d->at[i] : (float) (1 + weight) * d->at[i] + (float) -weight * d->from[i];
	workspace_check(d->search->work,
					sparse_delta_encode_formula(d->search->codec, d->content, d->count * sparse_dtype_get(dtype)->bytes, dtype,
												SPARSE_PREDICT_SUM, &sum, &ref, 1, d->predicted, d->count * sizeof(float),
												&delta, &bytes));
	return bytes;
}

/* Whether both can be read for every chunk without decoding too many. */
static bool
is_near(const direction *d, const sparse_kin *kin)
{
	const sparse_source *source = d->search->source;
	sparse_kin_info base;
	sparse_kin_info from;

	return kin->object != d->base->object && kin->elements == d->search->elements && kin_is_float(kin)
		&& source->inspect(source->state, d->base->object, MOST_DECODED, &base)
		&& source->inspect(source->state, kin->object, MOST_DECODED, &from)
		&& base.decodes + from.decodes < MOST_DECODED;
}

static void
look_at(direction *d, const sparse_kin *kin, double *least, const sparse_kin **from, double *weight)
{
	double		left;
	double		fitted;

	if (!is_near(d, kin))
		return;
	sample_origin(d, kin);
	fitted = fit_weight(d, &left);
	if (fitted == 0 || left >= *least)
		return;
	*least = left;
	*weight = fitted;
	*from = kin;
}

static bool
compare(direction *d, const sparse_kin *from, double weight)
{
	const size_t alone = bytes_with(d, 0);

	sample_origin(d, from);
	return (double) bytes_with(d, weight) < (double) alone * WORTH_BYTES;
}

bool
find_direction(const recipe_search *search, const sparse_kin *base, const sparse_kin **from, double *weight)
{
	workspace  *work = search->work;
	const uint64_t stretch = MIN(STRETCH, search->elements / STRETCHES);
	direction	d = {.search = search, .base = base, .stretch = stretch, .count = stretch * STRETCHES};
	double		least = WORTH_SQUARES;
	bool		worth;

	*from = NULL;
	*weight = 0;
	if (search->kin + search->near < 2 || stretch == 0 || sparse_dtype_get(search->subject->dtype)->bytes > sizeof(float))
		return false;
	d.child = workspace_allocate(work, d.count * sizeof(float));
	d.at = workspace_allocate(work, d.count * sizeof(float));
	d.from = workspace_allocate(work, d.count * sizeof(float));
	d.predicted = workspace_allocate(work, d.count * sizeof(float));
	d.content = workspace_allocate(work, d.count * sizeof(float));
	take_sample(&d);
	for (int i = 0; i < search->kin; i++)
		look_at(&d, &search->of_name[i], &least, from, weight);
	for (int i = 0; i < search->near; i++)
		look_at(&d, &search->near_by[i], &least, from, weight);
	worth = *from != NULL && compare(&d, *from, *weight);
	workspace_release(work, d.child);
	workspace_release(work, d.at);
	workspace_release(work, d.from);
	workspace_release(work, d.predicted);
	workspace_release(work, d.content);
	return worth;
}
