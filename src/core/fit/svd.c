/*
 * svd.c: see svd.h.
 *
 * Randomised subspace iteration (Halko, Martinsson, Tropp, 2011): thin matrices Y and Z with Y = D Z and Z = D^T Y in
 * turn, made orthonormal in between; the eigenvectors of the small Z^T Z then turn them into singular vectors. D is
 * read by blocks of rows, each twice an iteration. Thin matrices are stored by component: every loop runs along memory.
 */
#include "fit/svd.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define OVERSAMPLING 8			/* components more than asked for */
#define ITERATIONS 3
#define BLOCK_ELEMENTS 262144	/* of D, read at a time; a row if that is longer */
#define FACTOR_BITS 10			/* without the sign */

typedef struct thin
{
	uint64_t	length;
	float	   *x;				/* components x length */
} thin;

typedef struct search
{
	const sparse_allocator *allocator;
	fit_read	read;
	fit_pause	pause;
	void	   *state;
	uint64_t	rows;
	uint64_t	columns;
	unsigned	width;			/* components looked for */
	double		squares;
	thin		y;				/* of D's rows */
	thin		z;				/* of its columns */
	float	   *child;			/* a block: becomes that of D */
	float	   *parent;
	double	   *gram;			/* width x width, of z */
	double	   *turn;			/* its eigenvectors, in rows */
	double	   *value;			/* its eigenvalues, the largest first */
} search;

static void *
take(search *s, size_t bytes, bool *failed)
{
	void	   *block = s->allocator->allocate(s->allocator->state, bytes > 0 ? bytes : 1);

	*failed |= block == NULL;
	return block;
}

static void
give_back(const sparse_allocator *allocator, void *block)
{
	if (block != NULL)
		allocator->release(allocator->state, block);
}

static float *
component(const thin *matrix, unsigned number)
{
	return matrix->x + number * matrix->length;
}

/* In eight sums, so that a compiler can keep them in one register. */
static float
dot(const float *a, const float *b, uint64_t count)
{
	float		sum[8] = {0};
	uint64_t	i = 0;

	for (; i + 8 <= count; i += 8)
		for (int k = 0; k < 8; k++)
			sum[k] += a[i + k] * b[i + k];
	for (; i < count; i++)
		sum[0] += a[i] * b[i];
	return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static double
long_dot(const float *a, const float *b, uint64_t count)
{
	double		sum = 0;

	for (uint64_t first = 0; first < count; first += 4096)
		sum += dot(a + first, b + first, count - first < 4096 ? count - first : 4096);
	return sum;
}

static void
add(float *to, const float *from, float factor, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		to[i] += factor * from[i];
}

static void
scale(float *x, float factor, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		x[i] *= factor;
}

/* Gram and Schmidt, twice; a component that depends on those before it becomes 0. */
static void
make_orthonormal(const search *s, const thin *matrix)
{
	for (unsigned k = 0; k < s->width; k++)
	{
		float	   *x = component(matrix, k);
		double		before = sqrt(long_dot(x, x, matrix->length));
		double		after;

		s->pause(s->state);
		for (int pass = 0; pass < 2; pass++)
			for (unsigned j = 0; j < k; j++)
				add(x, component(matrix, j), (float) -long_dot(x, component(matrix, j), matrix->length), matrix->length);
		after = sqrt(long_dot(x, x, matrix->length));
		if (after > before * 1e-5 && after > 0)
			scale(x, (float) (1 / after), matrix->length);
		else
			memset(x, 0, matrix->length * sizeof(float));
	}
}

/* Any fixed directions do: of +1 and -1. */
static void
begin(search *s)
{
	uint64_t	bits = UINT64_C(0x9E3779B97F4A7C15);

	for (uint64_t i = 0; i < s->width * s->z.length; i++)
	{
		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		s->z.x[i] = bits >> 63 ? 1.0f : -1.0f;
	}
}

static uint64_t
block_rows(const search *s)
{
	uint64_t	rows = BLOCK_ELEMENTS / s->columns;

	return rows < 1 ? 1 : rows < s->rows ? rows : s->rows;
}

/* Rows of D, in s->child. */
static void
read_block(search *s, uint64_t first, uint64_t rows)
{
	s->read(s->state, first, rows, s->child, s->parent);
	add(s->child, s->parent, -1, rows * s->columns);
}

typedef void (*row_step) (search *s, uint64_t row, const float *d);

static void
each_row(search *s, row_step step)
{
	const uint64_t most = block_rows(s);

	for (uint64_t first = 0; first < s->rows; first += most)
	{
		uint64_t	rows = s->rows - first < most ? s->rows - first : most;

		read_block(s, first, rows);
		for (uint64_t i = 0; i < rows; i++)
			step(s, first + i, s->child + i * s->columns);
	}
}

/* Y = D Z */
static void
project_row(search *s, uint64_t row, const float *d)
{
	for (unsigned k = 0; k < s->width; k++)
		component(&s->y, k)[row] = dot(d, component(&s->z, k), s->columns);
}

/* Z = D^T Y */
static void
collect_row(search *s, uint64_t row, const float *d)
{
	s->squares += long_dot(d, d, s->columns);
	for (unsigned k = 0; k < s->width; k++)
		add(component(&s->z, k), d, component(&s->y, k)[row], s->columns);
}

static void
iterate(search *s)
{
	begin(s);
	for (int i = 0; i < ITERATIONS; i++)
	{
		if (i > 0)
			make_orthonormal(s, &s->z);
		each_row(s, project_row);
		make_orthonormal(s, &s->y);
		memset(s->z.x, 0, s->width * s->z.length * sizeof(float));
		s->squares = 0;
		each_row(s, collect_row);
	}
}

/* ---- the components ---- */

static void
find_components(search *s)
{
	const unsigned n = s->width;

	for (unsigned i = 0; i < n; i++)
	{
		s->pause(s->state);
		for (unsigned j = 0; j <= i; j++)
			s->gram[i * n + j] = s->gram[j * n + i] = long_dot(component(&s->z, i), component(&s->z, j), s->columns);
	}
	fit_eigen(s->gram, (int) n, s->pause, s->state, s->value, s->turn);
}

/* ---- the factors ---- */

/* How many of at most `most` components leave no more than `enough`. */
static void
choose_rank(const search *s, unsigned most, double enough, fit_svd *fit)
{
	fit->squares = s->squares;
	fit->left_over = s->squares;
	fit->rank = 0;
	while (fit->rank < most && fit->left_over > enough && s->value[fit->rank] > 0)
		fit->left_over -= s->value[fit->rank++];
	if (fit->left_over < 0)
		fit->left_over = 0;
}

/* A component of what was turned, in `row`. */
static void
turn(const search *s, const thin *matrix, unsigned number, float *row)
{
	memset(row, 0, matrix->length * sizeof(float));
	for (unsigned k = 0; k < s->width; k++)
		add(row, component(matrix, k), (float) s->turn[number * s->width + k], matrix->length);
}

/* Rounds values to integers times a power of two; its exponent. */
static int
round_values(const float *x, uint64_t count, int16_t *to, uint64_t stride)
{
	float		largest = 0;
	int			exponent;

	for (uint64_t i = 0; i < count; i++)
		largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
	(void) frexpf(largest, &exponent);
	exponent -= FACTOR_BITS;
	for (uint64_t i = 0; i < count; i++)
		to[i * stride] = (int16_t) lrint(ldexp(x[i], -exponent));
	return exponent;
}

static void
write_factors(const search *s, float *row, fit_svd *fit)
{
	for (unsigned k = 0; k < fit->rank; k++)
	{
		int			exponent;

		s->pause(s->state);
		turn(s, &s->y, k, row);
		exponent = round_values(row, s->rows, fit->left + k, fit->rank);
		turn(s, &s->z, k, row);
		exponent += round_values(row, s->columns, fit->right + k * s->columns, 1);
		if (exponent < INT8_MIN || exponent > INT8_MAX)
			memset(fit->right + k * s->columns, 0, s->columns * sizeof(int16_t));
		fit->exponent[k] = (int8_t) (exponent < INT8_MIN ? INT8_MIN : exponent > INT8_MAX ? INT8_MAX : exponent);
	}
}

static sparse_status
find(search *s, unsigned rank, double enough, fit_svd *fit)
{
	bool		failed = false;
	const uint64_t longest = s->rows > s->columns ? s->rows : s->columns;
	float	   *row;

	s->y.x = take(s, s->width * s->rows * sizeof(float), &failed);
	s->z.x = take(s, s->width * s->columns * sizeof(float), &failed);
	s->child = take(s, block_rows(s) * s->columns * sizeof(float), &failed);
	s->parent = take(s, block_rows(s) * s->columns * sizeof(float), &failed);
	s->gram = take(s, (size_t) s->width * s->width * sizeof(double), &failed);
	s->turn = take(s, (size_t) s->width * s->width * sizeof(double), &failed);
	s->value = take(s, s->width * sizeof(double), &failed);
	if (failed)
		return SPARSE_NO_MEMORY;
	iterate(s);
	find_components(s);
	choose_rank(s, rank, enough, fit);
	row = take(s, longest * sizeof(float), &failed);
	fit->left = take(s, s->rows * fit->rank * sizeof(int16_t), &failed);
	fit->right = take(s, s->columns * fit->rank * sizeof(int16_t), &failed);
	if (!failed)
		write_factors(s, row, fit);
	give_back(s->allocator, row);
	return failed ? SPARSE_NO_MEMORY : SPARSE_OK;
}

double
fit_svd_memory(uint64_t rows, uint64_t columns, unsigned rank)
{
	return ((double) rows + columns) * ((rank + OVERSAMPLING + 1) * sizeof(float) + rank * sizeof(int16_t))
		+ 2.0 * sizeof(double) * (rank + OVERSAMPLING) * (rank + OVERSAMPLING);
}

sparse_status
fit_svd_find(const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
			 uint64_t rows, uint64_t columns, unsigned rank, double enough, fit_svd *fit)
{
	const uint64_t smallest = rows < columns ? rows : columns;
	search		s = {
		.allocator = allocator, .read = read, .pause = pause, .state = state, .rows = rows, .columns = columns,
		.width = (unsigned) (smallest < rank + OVERSAMPLING ? smallest : rank + OVERSAMPLING),
		.y.length = rows, .z.length = columns
	};
	sparse_status status;

	memset(fit, 0, sizeof(*fit));
	status = find(&s, rank < smallest ? rank : (unsigned) smallest, enough, fit);
	give_back(allocator, s.y.x);
	give_back(allocator, s.z.x);
	give_back(allocator, s.child);
	give_back(allocator, s.parent);
	give_back(allocator, s.gram);
	give_back(allocator, s.turn);
	give_back(allocator, s.value);
	if (status != SPARSE_OK)
		fit_svd_free(allocator, fit);
	return status;
}

void
fit_svd_free(const sparse_allocator *allocator, fit_svd *fit)
{
	give_back(allocator, fit->left);
	give_back(allocator, fit->right);
	fit->left = NULL;
	fit->right = NULL;
}
