/*
 * svd.c: see svd.h. The components are components.c's; here they are counted, and rounded.
 */
#include "fit/svd.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "fit/components.h"

#define OVERSAMPLING 8			/* components more than asked for */
#define ITERATIONS 3
#define FACTOR_BITS 10			/* without the sign */

/* How many of at most `most` components leave no more than `enough`. */
static void
choose_rank(const components *c, unsigned most, double enough, fit_svd *fit)
{
	fit->squares = c->squares;
	fit->left_over = c->squares;
	fit->rank = 0;
	while (fit->rank < most && fit->left_over > enough && c->value[fit->rank] > 0)
		fit->left_over -= c->value[fit->rank++];
	if (fit->left_over < 0)
		fit->left_over = 0;
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
write_factors(const components *c, float *row, fit_svd *fit)
{
	for (unsigned k = 0; k < fit->rank; k++)
	{
		int			exponent;

		c->pause(c->state);
		components_left(c, k, row);
		exponent = round_values(row, c->rows, fit->left + k, fit->rank);
		components_right(c, k, row);
		exponent += round_values(row, c->columns, fit->right + k * c->columns, 1);
		if (exponent < INT8_MIN || exponent > INT8_MAX)
			memset(fit->right + k * c->columns, 0, c->columns * sizeof(int16_t));
		fit->exponent[k] = (int8_t) (exponent < INT8_MIN ? INT8_MIN : exponent > INT8_MAX ? INT8_MAX : exponent);
	}
}

static void *
take(const sparse_allocator *allocator, size_t bytes)
{
	return allocator->allocate(allocator->state, bytes > 0 ? bytes : 1);
}

static sparse_status
round_components(const components *c, unsigned rank, double enough, fit_svd *fit)
{
	const uint64_t longest = c->rows > c->columns ? c->rows : c->columns;
	float	   *row = take(c->allocator, longest * sizeof(float));

	choose_rank(c, rank, enough, fit);
	fit->left = take(c->allocator, c->rows * fit->rank * sizeof(int16_t));
	fit->right = take(c->allocator, c->columns * fit->rank * sizeof(int16_t));
	if (row != NULL && fit->left != NULL && fit->right != NULL)
		write_factors(c, row, fit);
	else
		fit->rank = 0;
	if (row == NULL || fit->left == NULL || fit->right == NULL)
	{
		c->allocator->release(c->allocator->state, row);
		return SPARSE_NO_MEMORY;
	}
	c->allocator->release(c->allocator->state, row);
	return SPARSE_OK;
}

double
fit_svd_memory(uint64_t rows, uint64_t columns, unsigned rank)
{
	return components_memory(rows, columns, rank + OVERSAMPLING)
		+ ((double) rows + columns) * (sizeof(float) + rank * sizeof(int16_t));
}

sparse_status
fit_svd_find(const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
			 uint64_t rows, uint64_t columns, unsigned rank, double enough, fit_svd *fit)
{
	const uint64_t smallest = rows < columns ? rows : columns;
	components	c;
	sparse_status status = components_find(&c, allocator, read, pause, state, rows, columns, rank + OVERSAMPLING, ITERATIONS);

	memset(fit, 0, sizeof(*fit));
	if (status == SPARSE_OK)
		status = round_components(&c, rank < smallest ? rank : (unsigned) smallest, enough, fit);
	components_free(&c);
	if (status != SPARSE_OK)
		fit_svd_free(allocator, fit);
	return status;
}

void
fit_svd_free(const sparse_allocator *allocator, fit_svd *fit)
{
	if (fit->left)
		allocator->release(allocator->state, fit->left);
	if (fit->right)
		allocator->release(allocator->state, fit->right);
	fit->left = NULL;
	fit->right = NULL;
}
