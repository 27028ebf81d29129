/*
 * components.c: see components.h.
 */
#include "fit/components.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define BLOCK_ELEMENTS 65536	/* of D, read at a time; a row if that is longer */

#define SAMPLE_ROWS 96
#define SAMPLE_MOST ((uint64_t) 2 << 20)	/* elements */
#define SAMPLE_TURNS 6			/* of the iteration on its Gram matrix */

static float *
component(float *matrix, uint64_t length, unsigned number)
{
	return matrix + number * length;
}

static void *
take(const components *c, size_t bytes, bool *failed)
{
	void	   *block = c->allocator->allocate(c->allocator->state, bytes > 0 ? bytes : 1);

	*failed |= block == NULL;
	return block;
}

static void
give_back(const components *c, void *block)
{
	if (block != NULL)
		c->allocator->release(c->allocator->state, block);
}

static double
long_dot(const components *c, const float *a, const float *b, uint64_t count)
{
	double		sum = 0;

	for (uint64_t first = 0; first < count; first += 4096)
		sum += c->loops->dot(a + first, b + first, count - first < 4096 ? count - first : 4096);
	return sum;
}

/* Gram and Schmidt, twice; a component that depends on those before it becomes 0. */
static void
make_orthonormal(const components *c, float *matrix, uint64_t length)
{
	for (unsigned k = 0; k < c->width; k++)
	{
		float	   *x = component(matrix, length, k);
		double		before = sqrt(long_dot(c, x, x, length));
		double		after;

		c->pause(c->state);
		for (int pass = 0; pass < 2; pass++)
			for (unsigned j = 0; j < k; j++)
			{
				const float *other = component(matrix, length, j);

				c->loops->add(x, other, (float) -long_dot(c, x, other, length), length);
			}
		after = sqrt(long_dot(c, x, x, length));
		if (after > before * 1e-5 && after > 0)
			for (uint64_t i = 0; i < length; i++)
				x[i] *= (float) (1 / after);
		else
			memset(x, 0, length * sizeof(float));
	}
}

/* Any fixed directions do: of +1 and -1. */
static void
begin(float *x, uint64_t count)
{
	uint64_t	bits = UINT64_C(0x9E3779B97F4A7C15);

	for (uint64_t i = 0; i < count; i++)
	{
		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		x[i] = bits >> 63 ? 1.0f : -1.0f;
	}
}

uint64_t
components_block(const components *c)
{
	uint64_t	rows = BLOCK_ELEMENTS / c->columns;

	return rows < 1 ? 1 : rows < c->rows ? rows : c->rows;
}

void
components_read(const components *c, uint64_t first, uint64_t rows)
{
	c->read(c->state, first, rows, c->child, c->parent);
	for (uint64_t i = 0; i < rows * c->columns; i++)
	{
		const float d = c->child[i] - c->parent[i];

		c->child[i] = fabsf(d) < INFINITY ? d : 0;
	}
}

/* Y = D Z, for rows from `row` on whose differences are `d`. */
static void
project_rows(components *c, uint64_t row, uint64_t rows, const float *d)
{
	for (unsigned k = 0; k < c->width; k++)
	{
		const float *z = component(c->z, c->columns, k);
		float	   *y = component(c->y, c->rows, k) + row;
		uint64_t	i = 0;

		for (; i + DENSE_ROWS <= rows; i += DENSE_ROWS)
			c->loops->dots(d + i * c->columns, z, c->columns, y + i);
		for (; i < rows; i++)
			y[i] = c->loops->dot(d + i * c->columns, z, c->columns);
	}
}

/* Z = D^T Y; or what c->sum points to. */
static void
collect_rows(components *c, uint64_t row, uint64_t rows, const float *d)
{
	if (c->intervals == NULL)
		c->squares += long_dot(c, d, d, rows * c->columns);
	for (unsigned k = 0; k < c->width; k++)
	{
		float	   *z = component(c->sum ? c->sum : c->z, c->columns, k);
		const float *y = component(c->y, c->rows, k) + row;
		uint64_t	i = 0;

		for (; i + DENSE_ROWS <= rows; i += DENSE_ROWS)
			c->loops->adds(z, d + i * c->columns, c->columns, y + i, c->columns);
		for (; i < rows; i++)
			c->loops->add(z, d + i * c->columns, y[i], c->columns);
	}
}

/* What the components say of some rows. */
static void
model_rows(const components *c, uint64_t row, uint64_t rows)
{
	memset(c->model, 0, rows * c->columns * sizeof(float));
	for (uint64_t i = 0; i < rows; i++)
	{
		float	   *to = c->model + i * c->columns;
		unsigned	k = 0;

		for (; k + DENSE_ROWS <= c->width; k += DENSE_ROWS)
		{
			float		factor[DENSE_ROWS];

			for (unsigned n = 0; n < DENSE_ROWS; n++)
				factor[n] = c->y[(k + n) * c->rows + row + i];
			c->loops->adds(to, c->z + k * c->columns, c->columns, factor, c->columns);
		}
		for (; k < c->width; k++)
			c->loops->add(to, c->z + k * c->columns, c->y[k * c->rows + row + i], c->columns);
	}
}

/* The changes of some rows as they are guessed, in place of the child's. */
static void
guess_rows(components *c, uint64_t row, uint64_t rows, float *child, const float *parent)
{
	model_rows(c, row, rows);
	c->squares += intervals_guess(c->intervals, child, parent, c->model, rows * c->columns);
}

typedef void (*rows_step) (components *c, uint64_t row, uint64_t rows, const float *d);

#define STEP_ROWS 16			/* that stay in the cache while all components pass */

static void
each_block(components *c, rows_step step)
{
	const uint64_t most = components_block(c);

	for (uint64_t first = 0; first < c->rows; first += most)
	{
		const uint64_t rows = c->rows - first < most ? c->rows - first : most;

		c->pause(c->state);
		if (c->intervals != NULL)
			c->read(c->state, first, rows, c->child, c->parent);
		else
			components_read(c, first, rows);
		for (uint64_t i = 0; i < rows; i += STEP_ROWS)
		{
			const uint64_t some = rows - i < STEP_ROWS ? rows - i : STEP_ROWS;

			if (c->intervals != NULL)
				guess_rows(c, first + i, some, c->child + i * c->columns, c->parent + i * c->columns);
			step(c, first + i, some, c->child + i * c->columns);
		}
	}
}

static void
iterate(components *c, int iterations)
{
	begin(c->z, c->width * c->columns);
	for (int i = 0; i < iterations; i++)
	{
		if (i > 0)
			make_orthonormal(c, c->z, c->columns);
		each_block(c, project_rows);
		make_orthonormal(c, c->y, c->rows);
		memset(c->z, 0, c->width * c->columns * sizeof(float));
		c->squares = 0;
		each_block(c, collect_rows);
	}
}

/* ---- from a sample ---- */

/* Some rows of D, evenly spread; those that `stretch_first` of priced.c takes lie elsewhere. */
static void
read_sample(components *c, float *sample)
{
	for (uint64_t i = 0; i < SAMPLE_ROWS; i++)
	{
		components_read(c, (2 * i + 1) * c->rows / (2 * SAMPLE_ROWS), 1);
		memcpy(sample + i * c->columns, c->child, c->columns * sizeof(float));
	}
}

/* The scalar products of the sample's rows. */
static void
sample_products(const components *c, const float *sample, float *products)
{
	for (uint64_t i = 0; i < SAMPLE_ROWS; i++)
	{
		c->pause(c->state);
		for (uint64_t j = 0; j <= i; j++)
			products[i * SAMPLE_ROWS + j] = products[j * SAMPLE_ROWS + i] =
				(float) long_dot(c, sample + i * c->columns, sample + j * c->columns, c->columns);
	}
}

/* The leading eigenvectors of the products, near enough to begin with, in c->y, which is as long as it has to be. */
static void
sample_vectors(const components *c, const float *products, float *turned)
{
	begin(c->y, c->width * SAMPLE_ROWS);
	for (int turn = 0; turn < SAMPLE_TURNS; turn++)
	{
		make_orthonormal(c, c->y, SAMPLE_ROWS);
		for (unsigned k = 0; k < c->width; k++)
			for (uint64_t i = 0; i < SAMPLE_ROWS; i += DENSE_ROWS)
				c->loops->dots(products + i * SAMPLE_ROWS, c->y + k * SAMPLE_ROWS, SAMPLE_ROWS, turned + k * SAMPLE_ROWS + i);
		memcpy(c->y, turned, c->width * SAMPLE_ROWS * sizeof(float));
	}
}

static sparse_status
begin_with_sample(components *c)
{
	bool		failed = false;
	float	   *sample = take(c, SAMPLE_ROWS * c->columns * sizeof(float), &failed);
	float	   *products = take(c, SAMPLE_ROWS * SAMPLE_ROWS * sizeof(float), &failed);
	float	   *turned = take(c, c->width * SAMPLE_ROWS * sizeof(float), &failed);

	if (!failed)
	{
		read_sample(c, sample);
		sample_products(c, sample, products);
		sample_vectors(c, products, turned);
		memset(c->z, 0, c->width * c->columns * sizeof(float));
		for (unsigned k = 0; k < c->width; k++)
			for (uint64_t i = 0; i < SAMPLE_ROWS; i += DENSE_ROWS)
				c->loops->adds(component(c->z, c->columns, k), sample + i * c->columns, c->columns,
							   c->y + k * SAMPLE_ROWS + i, c->columns);
		make_orthonormal(c, c->z, c->columns);
	}
	give_back(c, sample);
	give_back(c, products);
	give_back(c, turned);
	return failed ? SPARSE_NO_MEMORY : SPARSE_OK;
}

double
components_share(const components *c, const float *d, uint64_t rows)
{
	double		squares = 0;
	double		held = 0;

	for (uint64_t i = 0; i < rows; i++)
	{
		squares += long_dot(c, d + i * c->columns, d + i * c->columns, c->columns);
		for (unsigned k = 0; k < c->width; k++)
		{
			const double part = long_dot(c, d + i * c->columns, c->z + k * c->columns, c->columns);

			held += part * part;
		}
	}
	return squares > 0 ? held / squares : 0;
}

/* Y = D Z, and D^T Y beside it, in one reading. */
static void
project_and_collect(components *c, uint64_t row, uint64_t rows, const float *d)
{
	project_rows(c, row, rows, d);
	collect_rows(c, row, rows, d);
}

/* The scalar products of a side's components. */
static void
gram_of(const components *c, const float *matrix, uint64_t length)
{
	const unsigned n = c->width;

	for (unsigned i = 0; i < n; i++)
	{
		c->pause(c->state);
		for (unsigned j = 0; j <= i; j++)
			c->gram[i * n + j] = c->gram[j * n + i] = long_dot(c, matrix + i * length, matrix + j * length, length);
	}
}

static void
diagonalise(components *c)
{
	const unsigned n = c->width;

	gram_of(c, c->z, c->columns);
	fit_eigen(c->gram, (int) n, c->pause, c->state, c->value, c->turn);
}

/* A component of what was turned. */
static void
turn(const components *c, const float *matrix, uint64_t length, unsigned number, float *to)
{
	memset(to, 0, length * sizeof(float));
	for (unsigned k = 0; k < c->width; k++)
		c->loops->add(to, matrix + k * length, (float) c->turn[number * c->width + k], length);
}

void
components_left(const components *c, unsigned number, float *to)
{
	turn(c, c->y, c->rows, number, to);
}

void
components_right(const components *c, unsigned number, float *to)
{
	turn(c, c->z, c->columns, number, to);
}

/* ---- refinement ---- */

/* Turns both sides, which leaves the model as it is, so that `fixed` gets orthogonal components, with the squares of c->value. */
static sparse_status
make_orthogonal(components *c, const float *fixed, uint64_t length)
{
	const uint64_t longest = c->rows > c->columns ? c->rows : c->columns;
	bool		failed = false;
	float	   *turned = take(c, c->width * longest * sizeof(float), &failed);

	if (failed)
		return SPARSE_NO_MEMORY;
	gram_of(c, fixed, length);
	fit_eigen(c->gram, (int) c->width, c->pause, c->state, c->value, c->turn);
	for (unsigned k = 0; k < c->width; k++)
		turn(c, c->y, c->rows, k, turned + k * c->rows);
	memcpy(c->y, turned, c->width * c->rows * sizeof(float));
	for (unsigned k = 0; k < c->width; k++)
		turn(c, c->z, c->columns, k, turned + k * c->columns);
	memcpy(c->z, turned, c->width * c->columns * sizeof(float));
	give_back(c, turned);
	return SPARSE_OK;
}

/* Components of what was fitted against orthogonal ones of those squares: least squares. */
static void
divide(const components *c, float *matrix, uint64_t length)
{
	for (unsigned k = 0; k < c->width; k++)
		for (uint64_t i = 0; i < length; i++)
			matrix[k * length + i] *= c->value[k] > 0 ? (float) (1 / c->value[k]) : 0;
}

/* The right side anew, given the left; then the left, given the right. */
static sparse_status
sweep(components *c)
{
	bool		failed = false;
	float	   *sum = take(c, c->width * c->columns * sizeof(float), &failed);
	float	   *z = c->z;

	if (failed)
		return SPARSE_NO_MEMORY;
	memset(sum, 0, c->width * c->columns * sizeof(float));
	c->sum = sum;
	c->squares = 0;
	each_block(c, collect_rows);
	c->sum = NULL;
	c->z = sum;
	divide(c, c->z, c->columns);
	give_back(c, z);
	SPARSE_TRY(make_orthogonal(c, c->z, c->columns));
	c->squares = 0;
	each_block(c, project_rows);
	divide(c, c->y, c->rows);
	return make_orthogonal(c, c->y, c->rows);
}

/* Makes an orthogonal left side orthonormal, and divides the right side, which was collected with it, alike. */
static void
scale_to_unit(components *c)
{
	for (unsigned k = 0; k < c->width; k++)
	{
		const float factor = c->value[k] > c->value[0] * 1e-10 ? (float) (1 / sqrt(c->value[k])) : 0;

		for (uint64_t i = 0; i < c->rows; i++)
			c->y[k * c->rows + i] *= factor;
		for (uint64_t j = 0; j < c->columns; j++)
			c->z[k * c->columns + j] *= factor;
	}
}

/* What the components are thought to miss of an element. */
static float
deviation_of(const components *c, double left_over)
{
	return (float) sqrt(left_over / ((double) c->rows * c->columns));
}

/* Leaves the left side orthonormal. */
static void
normalise(components *c)
{
	for (unsigned k = 0; k < c->width; k++)
	{
		const float length = (float) sqrt(c->value[k] > 0 ? c->value[k] : 0);

		for (uint64_t i = 0; i < c->rows; i++)
			c->y[k * c->rows + i] *= length > 0 ? 1 / length : 0;
		for (uint64_t j = 0; j < c->columns; j++)
			c->z[k * c->columns + j] *= length;
	}
}

static double
sum_of_values(const components *c)
{
	double		sum = 0;

	for (unsigned k = 0; k < c->width; k++)
		sum += c->value[k];
	return sum;
}

/* Keeps the first components, turned. */
static sparse_status
keep(components *c, unsigned width)
{
	bool		failed = false;
	float	   *y = take(c, width * c->rows * sizeof(float), &failed);
	float	   *z = take(c, width * c->columns * sizeof(float), &failed);

	for (unsigned k = 0; k < width && !failed; k++)
	{
		components_left(c, k, y + k * c->rows);
		components_right(c, k, z + k * c->columns);
	}
	give_back(c, failed ? y : c->y);
	give_back(c, failed ? z : c->z);
	if (failed)
		return SPARSE_NO_MEMORY;
	c->y = y;
	c->z = z;
	c->width = width;
	return SPARSE_OK;
}

static sparse_status
refine(components *c, sparse_dtype dtype, int sweeps)
{
	double		left_over = c->squares - sum_of_values(c);

	for (unsigned k = 0; k < c->width; k++)
		c->value[k] = 1;
	for (int i = 0; i < sweeps && left_over > 0; i++)
	{
		intervals_set(c->intervals, dtype, deviation_of(c, left_over));
		SPARSE_TRY(sweep(c));
		left_over = c->squares;
	}
	normalise(c);
	diagonalise(c);
	c->squares = left_over + sum_of_values(c);
	return SPARSE_OK;
}

sparse_status
components_refine(components *c, unsigned width, sparse_dtype dtype, int sweeps)
{
	bool		failed = false;
	sparse_status status = SPARSE_NO_MEMORY;

	c->intervals = take(c, sizeof(intervals), &failed);
	c->model = take(c, STEP_ROWS * c->columns * sizeof(float), &failed);
	if (!failed)
		status = keep(c, width);
	if (status == SPARSE_OK)
		status = refine(c, dtype, sweeps);
	give_back(c, c->intervals);
	give_back(c, c->model);
	c->intervals = NULL;
	c->model = NULL;
	return status;
}

double
components_memory(uint64_t rows, uint64_t columns, unsigned width)
{
	return ((double) rows + columns) * width * sizeof(float) + 2.0 * sizeof(double) * width * width;
}

/* Memory for everything. */
static sparse_status
prepare(components *c, const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
		uint64_t rows, uint64_t columns, unsigned width)
{
	const uint64_t smallest = rows < columns ? rows : columns;
	bool		failed = false;
	size_t		block;

	*c = (components) {
		.allocator = allocator, .loops = dense_loops_of(sparse_simd_best()), .read = read, .pause = pause, .state = state,
		.rows = rows, .columns = columns, .width = (unsigned) (smallest < width ? smallest : width)
	};
	block = components_block(c) * columns * sizeof(float);
	c->y = take(c, c->width * rows * sizeof(float), &failed);
	c->z = take(c, c->width * columns * sizeof(float), &failed);
	c->child = take(c, block, &failed);
	c->parent = take(c, block, &failed);
	c->gram = take(c, (size_t) c->width * c->width * sizeof(double), &failed);
	c->turn = take(c, (size_t) c->width * c->width * sizeof(double), &failed);
	c->value = take(c, c->width * sizeof(double), &failed);
	return failed ? SPARSE_NO_MEMORY : SPARSE_OK;
}

sparse_status
components_find(components *c, const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
				uint64_t rows, uint64_t columns, unsigned width, int iterations)
{
	SPARSE_TRY(prepare(c, allocator, read, pause, state, rows, columns, width));
	iterate(c, iterations);
	diagonalise(c);
	return SPARSE_OK;
}

bool
components_can_sample(uint64_t rows, uint64_t columns)
{
	return rows >= SAMPLE_ROWS && SAMPLE_ROWS * columns <= SAMPLE_MOST;
}

sparse_status
components_sample(components *c, const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
				  uint64_t rows, uint64_t columns, unsigned width)
{
	SPARSE_TRY(prepare(c, allocator, read, pause, state, rows, columns, width));
	return begin_with_sample(c);
}

sparse_status
components_complete(components *c)
{
	bool		failed = false;
	float	   *z = c->z;

	c->sum = take(c, c->width * c->columns * sizeof(float), &failed);
	if (failed)
		return SPARSE_NO_MEMORY;
	memset(c->sum, 0, c->width * c->columns * sizeof(float));
	each_block(c, project_and_collect);
	c->z = c->sum;
	c->sum = NULL;
	give_back(c, z);
	SPARSE_TRY(make_orthogonal(c, c->y, c->rows));
	scale_to_unit(c);
	diagonalise(c);
	return SPARSE_OK;
}

void
components_free(components *c)
{
	give_back(c, c->y);
	give_back(c, c->z);
	give_back(c, c->child);
	give_back(c, c->parent);
	give_back(c, c->gram);
	give_back(c, c->turn);
	give_back(c, c->value);
	memset(c, 0, sizeof(*c));
}
