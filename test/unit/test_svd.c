/*
 * test_svd.c: the product that approximates a change leaves what its singular values say,
 * and has no more components than are asked for.
 */
#include "../../src/core/fit/svd.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

typedef struct matrix
{
	uint64_t	rows;
	uint64_t	columns;
	float	   *x;
} matrix;

static unsigned long pauses;

static void
count_pause(void *state)
{
	(void) state;
	pauses++;
}

static void
read_matrix(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	const matrix *m = state;

	for (uint64_t i = 0; i < rows * m->columns; i++)
	{
		parent[i] = 0.25f;
		child[i] = m->x[first * m->columns + i] + 0.25f;
	}
}

/*
 * Cosines of different frequencies are orthogonal: a sum of their products has the factors' sizes as its singular
 * values, here 1, 1/2, 1/4 and so on.
 */
static matrix
cosines(uint64_t rows, uint64_t columns, unsigned rank)
{
	matrix		m = {rows, columns, calloc(rows * columns, sizeof(float))};
	const double pi = acos(-1);

	for (unsigned k = 0; k < rank; k++)
		for (uint64_t i = 0; i < rows; i++)
			for (uint64_t j = 0; j < columns; j++)
				m.x[i * columns + j] += (float) (ldexp(2 / sqrt((double) (rows * columns)), -(int) k)
												 * cos(pi * (k + 1) * (i + 0.5) / (double) rows)
												 * cos(pi * (k + 1) * (j + 0.5) / (double) columns));
	return m;
}

/* The sum of squares that the factors leave. */
static double
left_over(const matrix *m, const fit_svd *fit)
{
	double		squares = 0;

	for (uint64_t i = 0; i < m->rows; i++)
		for (uint64_t j = 0; j < m->columns; j++)
		{
			double		sum = m->x[i * m->columns + j];

			for (unsigned k = 0; k < fit->rank; k++)
				sum -= fit->left[i * fit->rank + k] * ldexp(fit->right[k * m->columns + j], fit->exponent[k]);
			squares += sum * sum;
		}
	return squares;
}

static fit_svd
find(const matrix *m, unsigned rank, double enough)
{
	fit_svd		fit;

	if (fit_svd_find(&sparse_malloc, read_matrix, count_pause, (void *) m, m->rows, m->columns, rank, enough, &fit) != SPARSE_OK)
		exit(1);
	return fit;
}

static void
test_shape(uint64_t rows, uint64_t columns)
{
	matrix		m = cosines(rows, columns, 6);
	fit_svd		fit = find(&m, 3, 0);

	ok(fit.rank == 3, "as many components as were asked for");
	ok(fabs(fit.squares - 4.0 / 3 * (1 - pow(4, -6))) < 1e-3, "the squares of the change are those of its singular values");
	ok(fabs(left_over(&m, &fit) / fit.left_over - 1) < 0.02, "what is said to be left over is left over");
	ok(fabs(fit.left_over - 4.0 / 3 * (pow(4, -3) - pow(4, -6))) < 1e-3, "which is what the other singular values have");
	fit_svd_free(&sparse_malloc, &fit);

	fit = find(&m, 64, 0.1);
	ok(fit.rank == 2, "no more components than the error needs");
	fit_svd_free(&sparse_malloc, &fit);

	fit = find(&m, 64, 2);
	ok(fit.rank == 0, "none where the change is small enough");
	fit_svd_free(&sparse_malloc, &fit);

	memset(m.x, 0, rows * columns * sizeof(float));
	fit = find(&m, 8, 0);
	ok(fit.rank == 0 && fit.left_over == 0, "none where nothing changed");
	fit_svd_free(&sparse_malloc, &fit);
	free(m.x);
}

/* More components than there are singular values. */
static void
test_whole(void)
{
	matrix		m = cosines(16, 24, 6);
	fit_svd		fit = find(&m, 200, 0);

	ok(fit.rank <= 16, "no more components than rows");
	ok(left_over(&m, &fit) < 1e-5, "and all of the change is in them");
	fit_svd_free(&sparse_malloc, &fit);
	free(m.x);
}

int
main(void)
{
	test_shape(200, 120);
	test_shape(120, 3000);
	test_shape(2000, 17);
	test_whole();
	ok(pauses > 500, "there are pauses in between, for every component and row of the small matrix");
	printf("1..%d\n", tests);
	return failures > 0;
}
