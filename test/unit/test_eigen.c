/*
 * test_eigen.c: eigenvalues by both methods are those of matrices that were made of them, and
 * vectors are what they should be.
 */
#include "../../src/core/fit/eigen.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST FIT_EIGENVALUES_MAX

static int	tests;
static int	failures;
static int	pauses;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static void
count_pause(void *state)
{
	(void) state;
	pauses++;
}

static double
noise(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double) (state >> 11) / 4503599627370496.0 - 1.0;
}

/* A matrix of those eigenvalues: a diagonal, reflected a few times. */
static void
make_matrix(const double *value, int n, double *a)
{
	double		v[MOST];

	memset(a, 0, sizeof(double) * (size_t) (n * n));
	for (int i = 0; i < n; i++)
		a[i * n + i] = value[i];
	for (int turn = 0; turn < 5; turn++)
	{
		double		squares = 0;

		for (int i = 0; i < n; i++)
		{
			v[i] = noise();
			squares += v[i] * v[i];
		}
		/* (1 - 2vv'/v'v) from the left, and from the right */
		for (int side = 0; side < 2; side++)
			for (int j = 0; j < n; j++)
			{
				const int	step = side ? 1 : n;
				double	   *line = side ? a + j * n : a + j;
				double		dot = 0;

				for (int i = 0; i < n; i++)
					dot += v[i] * line[i * step];
				for (int i = 0; i < n; i++)
					line[i * step] -= 2 * dot / squares * v[i];
			}
	}
}

/* The largest error of values, and of matrix x vector = value x vector, beside the largest value. */
static double
worst(const double *expected, int n, bool with_vectors)
{
	static double matrix[MOST * MOST];
	static double spent[MOST * MOST];
	static double vector[MOST * MOST];
	double		value[MOST];
	double		error = 0;

	make_matrix(expected, n, matrix);
	memcpy(spent, matrix, sizeof matrix);
	if (with_vectors)
		fit_eigen(spent, n, count_pause, NULL, value, vector);
	else
		fit_eigenvalues(spent, n, value);
	for (int i = 0; i < n; i++)
		error = fmax(error, fabs(value[i] - expected[i]));
	for (int i = 0; i < n && with_vectors; i++)
		for (int j = 0; j < n; j++)
		{
			double		product = 0;

			for (int k = 0; k < n; k++)
				product += matrix[j * n + k] * vector[i * n + k];
			error = fmax(error, fabs(product - value[i] * vector[i * n + j]));
		}
	return error / fmax(fabs(expected[0]), 1e-300);
}

int
main(void)
{
	double		value[MOST];

	for (int i = 0; i < MOST; i++)
		value[i] = i < 5 ? 1000.0 / (i + 1) : 1.0 / (i + 1);
	ok(worst(value, MOST, true) < 1e-12 && worst(value, MOST, false) < 1e-5, "a few large ones, and many small");
	for (int i = 0; i < MOST; i++)
		value[i] = 1e-20 * (MOST - i);
	ok(worst(value, MOST, true) < 1e-12 && worst(value, MOST, false) < 1e-5, "tiny ones");
	for (int i = 0; i < MOST; i++)
		value[i] = 3;
	ok(worst(value, MOST, true) < 1e-12 && worst(value, MOST, false) < 1e-5, "equal ones");
	memset(value, 0, sizeof value);
	ok(worst(value, MOST, true) == 0 && worst(value, MOST, false) == 0, "none but zero");
	value[0] = 2;
	value[1] = -1;
	ok(worst(value, 2, true) < 1e-12 && worst(value, 2, false) < 1e-5, "two, one of them negative");
	ok(pauses >= 4 * MOST, "there are pauses in between");
	printf("1..%d\n", tests);
	return failures > 0;
}
