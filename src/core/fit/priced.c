/*
 * priced.c: see priced.h.
 *
 *   1. The leading components of the change (components.c), with no regard to the rounding. Where the search is to be cheap, a few
 *      rows say first whether any of them might pay: most of what cannot be gained from is not even read.
 *   2. The price of a rank: some rows are coded by the components up to it, with the real coder; and the
 *      factors by the entropy that their singular values give them.
 *   3. The factors are rounded as coarsely as the residual lets them. An error of the variance n, added to a residual of the variance s, costs n / (2 s
 *      ln 2) bits an element; half the step of a factor costs a bit for each of its numbers. Both together are least where each component of
 *      each factor adds s / rows, or s / columns, to the error: so the left one, which
 *      carries the singular values, has steps of sqrt(12 s), and the right one, of unit length, has sqrt(12 s) / singular value.
 */
#include "fit/priced.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "codec/convert.h"
#include "fit/components.h"

#define OVERSAMPLING 8
#define CHEAP_OVERSAMPLING 4
#define ITERATIONS 2
#define SWEEPS 2				/* of refinement */
#define LEAST_SIDE 64			/* rows, and columns */
#define SAMPLE_STRETCHES 64		/* many: rows of an embedding differ */
#define SAMPLE_ELEMENTS ((uint64_t) 131072)
#define CHEAP_STRETCHES 32		/* of a cheap search */
#define CHEAP_ELEMENTS ((uint64_t) 32768)
#define SAMPLE_MOST ((uint64_t) 2 << 20)	/* elements, of however long rows: a delta holds no more than 16 MiB */
#define SAMPLE_OVERHEAD 400		/* bytes of a delta that do not grow with it: heads, and 64 states */
#define FACTORS_OVERHEAD 250	/* bytes of two deltas' heads and tables, and of the references to them */
#define MOST_MEMORY (24.0 * 1024 * 1024)	/* of the thin matrices */

/* Rows that are coded at several ranks. */
typedef struct sample
{
	uint64_t	stretches;
	uint64_t	rows;			/* of each */
	float	   *parent;
	float	   *model;
	uint8_t    *content;
	float	   *predicted;
	unsigned	rank;			/* of the model */
} sample;

typedef struct search
{
	sparse_codec *codec;
	components	c;
	sparse_dtype dtype;
	bool		thorough;
	bool		sampled;		/* the components are those of a few rows yet */
	unsigned	element_bytes;
	sample		sample;
	float	   *row;			/* as long as rows or columns */
	float	   *column;
} search;

static uint64_t
stretch_first(const search *s, uint64_t i)
{
	return s->sample.stretches > 1 ? (s->c.rows - s->sample.rows) * i / (s->sample.stretches - 1) : 0;
}

static void
plan_sample(const search *s, sample *of)
{
	const uint64_t stretches = s->thorough ? SAMPLE_STRETCHES : CHEAP_STRETCHES;
	const uint64_t rows = (s->thorough ? SAMPLE_ELEMENTS : CHEAP_ELEMENTS) / stretches / s->c.columns;

	of->rows = rows < 1 ? 1 : rows;
	of->stretches = stretches;
	while (of->stretches > 1 && of->stretches * s->c.columns > SAMPLE_MOST)
		of->stretches /= 2;
	if (of->rows * of->stretches >= s->c.rows)
	{
		of->rows = s->c.rows;
		of->stretches = 1;
	}
	if (of->rows > components_block(&s->c))
		of->rows = components_block(&s->c);
}

static uint64_t
sample_elements(const search *s)
{
	return s->sample.stretches * s->sample.rows * s->c.columns;
}

/* Leaves the changes of the sample where its model will be. */
static void
fill_sample(search *s)
{
	const uint64_t count = s->sample.rows * s->c.columns;

	for (uint64_t i = 0; i < s->sample.stretches; i++)
	{
		float	   *change = s->sample.model + i * count;

		s->c.read(s->c.state, stretch_first(s, i), s->sample.rows, s->c.child, s->c.parent);
		store_floats(s->dtype, s->c.child, count, s->sample.content + i * count * s->element_bytes);
		memcpy(s->sample.parent + i * count, s->c.parent, count * sizeof(float));
		for (uint64_t j = 0; j < count; j++)
		{
			change[j] = s->c.child[j] - s->c.parent[j];
			change[j] = fabsf(change[j]) < INFINITY ? change[j] : 0;
		}
	}
}

#define LEAST_RANK 4			/* that a cheap search tries */
#define LEAST_BITS 4			/* of a number of the factors */

/*
 * Whether vectors that hold so much of the squares might save what the fewest components take, by the bits that a normal
 * distribution is narrower by. (Those vectors are more than the fewest.)
 */
static bool
may_pay(const search *s, double share)
{
	const double more = share - (double) s->c.width / s->c.columns;
	const double saved = -0.5 * log2(1 - (more < 0.99 ? more : 0.99)) * s->c.rows * s->c.columns;

	return saved > (double) LEAST_RANK * LEAST_BITS * (s->c.rows + s->c.columns);
}

/* Adds a component to the model of the sample. */
static void
add_component(search *s, unsigned k)
{
	components_left(&s->c, k, s->row);
	components_right(&s->c, k, s->column);
	for (uint64_t i = 0; i < s->sample.stretches; i++)
		for (uint64_t j = 0; j < s->sample.rows; j++)
			s->c.loops->add(s->sample.model + (i * s->sample.rows + j) * s->c.columns, s->column,
							s->row[stretch_first(s, i) + j], s->c.columns);
}

/* What is rounded away adds noise of that variance: here, of a triangular distribution, by numbers that are the same each time. */
static float
noise_of(uint64_t *state, float size)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return size * ((float) (*state >> 48) - (float) (*state >> 32 & 0xffff)) / 65536;
}

/* What all of the content takes by the model of the sample, with an error of that variance, in bytes. */
static sparse_status
residual_price(search *s, double variance, double *bytes)
{
	const float size = (float) sqrt(6 * variance);
	uint64_t	state = UINT64_C(88172645463325252);
	const uint64_t count = sample_elements(s);
	const sparse_ref ref = {.dtype = SPARSE_F32, .count = count};
	const sparse_formula sum = {.bases = 1, .coefficient = {1}};
	const uint8_t *delta;
	size_t		delta_bytes;

	s->c.pause(s->c.state);
	for (uint64_t i = 0; i < count; i++)
		s->sample.predicted[i] = s->sample.parent[i] + (s->sample.model[i] + noise_of(&state, size));
	SPARSE_TRY(sparse_delta_encode_formula(s->codec, s->sample.content, (size_t) count * s->element_bytes, s->dtype,
										   SPARSE_PREDICT_SUM, &sum, &ref, 1, s->sample.predicted, count * sizeof(float),
										   &delta, &delta_bytes));
	*bytes = delta_bytes > SAMPLE_OVERHEAD ? (double) (delta_bytes - SAMPLE_OVERHEAD) : 0;
	*bytes = SAMPLE_OVERHEAD + *bytes * s->c.rows / (s->sample.stretches * s->sample.rows);
	return SPARSE_OK;
}

/* The bits of a normal number of that deviation, rounded to an integer. */
static double
bits_of(double deviation)
{
	return 0.5 * log2(1 + 17.08 * deviation * deviation);
}

/* The step of the left factor at a rank: see above. */
static double
step_at(const search *s, unsigned rank)
{
	double		left_over = s->c.squares;

	for (unsigned k = 0; k < rank; k++)
		left_over -= s->c.value[k];
	return left_over > 0 ? sqrt(12 * left_over / ((double) s->c.rows * s->c.columns)) : 0;
}

/* The power of two nearest to a step; its exponent. */
static int
exponent_of(double step)
{
	return (int) lrint(log2(step));
}

/* The variance that rounding the factors adds. */
static double
rounding_error(const search *s, unsigned rank)
{
	const double step = step_at(s, rank);
	double		variance = 0;

	for (unsigned k = 0; k < rank && step > 0; k++)
	{
		const double left = ldexp(1, exponent_of(step));
		const double right = ldexp(1, exponent_of(step / sqrt(s->c.value[k]))) * sqrt(s->c.value[k]);

		variance += left * left / (12.0 * s->c.columns) + right * right / (12.0 * s->c.rows);
	}
	return variance;
}

static double
factors_price(const search *s, unsigned rank)
{
	const double step = step_at(s, rank);
	double		bits = 0;

	for (unsigned k = 0; k < rank && step > 0; k++)
	{
		const double size = sqrt(s->c.value[k]);

		bits += s->c.rows * bits_of(ldexp(size, -exponent_of(step)) / sqrt((double) s->c.rows))
			+ s->c.columns * bits_of(ldexp(1, -exponent_of(step / size)) / sqrt((double) s->c.columns));
	}
	return FACTORS_OVERHEAD + bits / 8;
}

/* What content and factors take at a rank: the sample's model is made anew, or goes on from a lower rank. */
static sparse_status
price_at(search *s, unsigned rank, double *residual, double *all)
{
	if (rank < s->sample.rank)
		s->sample.rank = 0;
	if (s->sample.rank == 0)
		memset(s->sample.model, 0, sample_elements(s) * sizeof(float));
	while (s->sample.rank < rank)
		add_component(s, s->sample.rank++);
	SPARSE_TRY(residual_price(s, rounding_error(s, rank), residual));
	*all = *residual + (rank > 0 ? factors_price(s, rank) : 0);
	return SPARSE_OK;
}

/* The same, if that is the least so far. */
static sparse_status
consider(search *s, unsigned rank, fit_priced *fit, double *residual)
{
	double		all;

	SPARSE_TRY(price_at(s, rank, residual, &all));
	if (rank == 0)
		fit->alone = all;
	if (rank == 0 || all < fit->expected)
	{
		fit->expected = all;
		fit->rank = rank;
	}
	return SPARSE_OK;
}

static const unsigned tried[] = {1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64};

/* The rank of the least price. */
static sparse_status
choose_thoroughly(search *s, unsigned most, fit_priced *fit)
{
	double		residual;

	s->sample.rank = 0;
	SPARSE_TRY(consider(s, 0, fit, &residual));
	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]) && tried[i] <= most; i++)
		SPARSE_TRY(consider(s, tried[i], fit, &residual));
	return SPARSE_OK;
}

/* How far a rank narrows what is left, as a logarithm. */
static double
narrowed(const search *s, unsigned rank)
{
	const double step = step_at(s, rank);

	return step > 0 ? log(step_at(s, 0) / step) : 0;
}

/*
 * The same by two prices, of nothing and of the most: what the residual takes in between is taken to follow the width of what is
 * left; the rank that is best by that is priced itself.
 */
static sparse_status
choose_cheaply(search *s, unsigned most, fit_priced *fit)
{
	double		alone;
	double		by_most;
	double		least;
	unsigned	rank = 0;

	s->sample.rank = 0;
	SPARSE_TRY(consider(s, 0, fit, &alone));
	SPARSE_TRY(consider(s, most, fit, &by_most));
	least = fit->expected;
	for (unsigned r = LEAST_RANK; r < most; r += LEAST_RANK)
	{
		const double guess = alone + (by_most - alone) * narrowed(s, r) / narrowed(s, most) + factors_price(s, r);

		if (guess < least)
		{
			least = guess;
			rank = r;
		}
	}
	return rank > 0 ? consider(s, rank, fit, &alone) : SPARSE_OK;
}

/* ---- integers ---- */

#define MOST_NUMBER 127			/* and its negative */

/* The exponent of the power of two, near `step`, of which all numbers are multiples that fit a byte. */
static int
exponent_for(const float *x, uint64_t count, double step)
{
	float		largest = 0;
	int			least;
	int			exponent = exponent_of(step);

	for (uint64_t i = 0; i < count; i++)
		largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
	(void) frexpf(largest, &least);
	return exponent < least - 7 ? least - 7 : exponent;
}

static void
round_numbers(const float *x, uint64_t count, int exponent, int8_t *to)
{
	for (uint64_t i = 0; i < count; i++)
	{
		const double number = rint(ldexp(x[i], -exponent));

		to[i] = (int8_t) (number > MOST_NUMBER ? MOST_NUMBER : number < -MOST_NUMBER ? -MOST_NUMBER : number);
	}
}

/* Component k as real numbers, the left ones with the singular value. */
static void
take_component(search *s, unsigned k)
{
	const double size = sqrt(s->c.value[k]);

	s->c.pause(s->c.state);
	components_left(&s->c, k, s->row);
	for (uint64_t i = 0; i < s->c.rows; i++)
		s->row[i] *= (float) size;
	components_right(&s->c, k, s->column);
	for (uint64_t j = 0; j < s->c.columns; j++)
		s->column[j] /= (float) size;
}

/* The products of all components are counted in the same unit: those that are coarser are shifted. */
static void
round_factors(search *s, fit_priced *fit)
{
	const double step = step_at(s, fit->rank);
	int			left[FIT_MAX_RANK];
	int			right[FIT_MAX_RANK];
	int			coarsest = INT16_MIN;

	fit->power = INT16_MAX;
	for (unsigned k = 0; k < fit->rank; k++)
	{
		take_component(s, k);
		left[k] = exponent_for(s->row, s->c.rows, step);
		right[k] = exponent_for(s->column, s->c.columns, step / sqrt(s->c.value[k]));
		coarsest = left[k] + right[k] > coarsest ? left[k] + right[k] : coarsest;
		fit->power = left[k] + right[k] < fit->power ? left[k] + right[k] : fit->power;
	}
	if (fit->power < coarsest - SPARSE_MAX_SUM_SHIFT)
		fit->power = coarsest - SPARSE_MAX_SUM_SHIFT;
	for (unsigned k = 0; k < fit->rank; k++)
	{
		if (left[k] + right[k] < fit->power)
			right[k] = fit->power - left[k];
		fit->shift[k] = (uint8_t) (left[k] + right[k] - fit->power);
		take_component(s, k);
		round_numbers(s->row, s->c.rows, left[k], fit->left + k * s->c.rows);
		round_numbers(s->column, s->c.columns, right[k], fit->right + k * s->c.columns);
	}
}

/* ---- all of it ---- */

static void *
take(const search *s, size_t bytes, bool *failed)
{
	void	   *block = s->c.allocator->allocate(s->c.allocator->state, bytes);

	*failed |= block == NULL;
	return block;
}

static void
give_back(const search *s, void *block)
{
	s->c.allocator->release(s->c.allocator->state, block);
}

/* The components of a few rows are at hand. */
static sparse_status
find_cheaply(search *s, unsigned most, fit_priced *fit)
{
	if (s->sampled)
	{
		if (!may_pay(s, components_share(&s->c, s->sample.model, s->sample.stretches * s->sample.rows)))
			return SPARSE_OK;
		SPARSE_TRY(components_complete(&s->c));
	}
	return choose_cheaply(s, most, fit);
}

static sparse_status
find(search *s, unsigned most, fit_priced *fit)
{
	bool		failed = false;
	const uint64_t count = sample_elements(s);

	s->row = take(s, s->c.rows * sizeof(float), &failed);
	s->column = take(s, s->c.columns * sizeof(float), &failed);
	s->sample.parent = take(s, count * sizeof(float), &failed);
	s->sample.model = take(s, count * sizeof(float), &failed);
	s->sample.content = take(s, count * s->element_bytes, &failed);
	s->sample.predicted = take(s, count * sizeof(float), &failed);
	if (failed)
		return SPARSE_NO_MEMORY;
	fill_sample(s);
	SPARSE_TRY(s->thorough ? choose_thoroughly(s, most, fit) : find_cheaply(s, most, fit));
	if (fit->rank > 0 && s->thorough)
	{
		SPARSE_TRY(components_refine(&s->c, fit->rank, s->dtype, SWEEPS));
		SPARSE_TRY(choose_thoroughly(s, fit->rank, fit));
	}
	if (fit->rank == 0)
		return SPARSE_OK;
	fit->left = take(s, fit->rank * s->c.rows, &failed);
	fit->right = take(s, fit->rank * s->c.columns, &failed);
	if (failed)
		return SPARSE_NO_MEMORY;
	round_factors(s, fit);
	return SPARSE_OK;
}

/* The widest search that memory allows. */
static unsigned
affordable(uint64_t rows, uint64_t columns, unsigned most)
{
	while (most > 0 && components_memory(rows, columns, most + OVERSAMPLING) > MOST_MEMORY)
		most--;
	return most;
}

sparse_status
fit_priced_find(sparse_codec *codec, const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
				uint64_t rows, uint64_t columns, sparse_dtype dtype, unsigned most, bool thorough,
				fit_priced *fit)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	search		s = {.codec = codec, .dtype = dtype, .element_bytes = info->bytes, .thorough = thorough};
	sparse_status status;

	memset(fit, 0, sizeof(*fit));
	most = affordable(rows, columns, most < FIT_MAX_RANK ? most : FIT_MAX_RANK);
	if (rows < LEAST_SIDE || columns < LEAST_SIDE || info->exponent_bits == 0 || info->bytes > sizeof(float) || most == 0)
		return SPARSE_OK;
	s.sampled = !thorough && components_can_sample(rows, columns);
	status = s.sampled ? components_sample(&s.c, allocator, read, pause, state, rows, columns, most + CHEAP_OVERSAMPLING)
		: components_find(&s.c, allocator, read, pause, state, rows, columns, most + OVERSAMPLING, ITERATIONS);
	plan_sample(&s, &s.sample);
	if (status == SPARSE_OK)
		status = find(&s, most, fit);
	give_back(&s, s.row);
	give_back(&s, s.column);
	give_back(&s, s.sample.parent);
	give_back(&s, s.sample.model);
	give_back(&s, s.sample.content);
	give_back(&s, s.sample.predicted);
	components_free(&s.c);
	if (status != SPARSE_OK || fit->rank == 0)
		fit_priced_free(allocator, fit);
	return status;
}

void
fit_priced_free(const sparse_allocator *allocator, fit_priced *fit)
{
	if (fit->left)
		allocator->release(allocator->state, fit->left);
	if (fit->right)
		allocator->release(allocator->state, fit->right);
	fit->left = NULL;
	fit->right = NULL;
	fit->rank = 0;
}
