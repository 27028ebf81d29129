/*
 * test_priced.c: the rank of a change is chosen by what it saves, and what it is expected to take is what it takes.
 *
 * Pairs are made here, of widths, spectra and dtypes that the search was not made on.
 */
#include "../../src/core/codec/convert.h"
#include "../../src/core/fit/dense.h"
#include "../../src/core/fit/priced.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;
static sparse_codec *codec;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static uint64_t random_state = 88172645463325252u;

/* Nearly normal, of deviation 1. */
static float
noise(void)
{
	float		sum = 0;

	for (int i = 0; i < 6; i++)
	{
		random_state ^= random_state << 13;
		random_state ^= random_state >> 7;
		random_state ^= random_state << 17;
		sum += (float) (random_state >> 40) / 8388608.0f - 1.0f;
	}
	return sum * 0.7071f;
}

typedef struct pair
{
	uint64_t	rows;
	uint64_t	columns;
	sparse_dtype dtype;
	uint8_t    *child;			/* as they are stored */
	uint8_t    *parent;
} pair;

static void
read_pair(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	const pair *p = state;
	const uint64_t at = first * p->columns * sparse_dtype_get(p->dtype)->bytes;

	load_floats(p->dtype, p->child + at, rows * p->columns, child);
	load_floats(p->dtype, p->parent + at, rows * p->columns, parent);
}

static void
no_pause(void *state)
{
	(void) state;
}

/* Weights, and the same plus `components` products whose sizes fall off as 1 / (1 + k / fall), and noise. */
static pair
make_pair(uint64_t rows, uint64_t columns, sparse_dtype dtype, unsigned components, double fall, float size, float rest)
{
	const unsigned unit = sparse_dtype_get(dtype)->bytes;
	pair		p = {rows, columns, dtype, malloc(rows * columns * unit), malloc(rows * columns * unit)};
	float	   *factor = malloc((rows + columns) * (components + 1) * sizeof(float));

	for (uint64_t i = 0; i < (rows + columns) * components; i++)
		factor[i] = noise();
	for (uint64_t i = 0; i < rows; i++)
		for (uint64_t j = 0; j < columns; j++)
		{
			uint64_t	at = (i * columns + j) * unit;
			float		x = noise() * 0.05f;

			store_floats(dtype, &x, 1, p.parent + at);
			load_floats(dtype, p.parent + at, 1, &x);
			for (unsigned k = 0; k < components; k++)
				x += size * factor[k * (rows + columns) + i] * factor[k * (rows + columns) + rows + j] / (float) (1 + k / fall);
			x += rest * noise();
			store_floats(dtype, &x, 1, p.child + at);
		}
	free(factor);
	return p;
}

/* Bytes that content and factors take. */
static double
taken(const pair *p, const fit_priced *fit)
{
	const unsigned unit = sparse_dtype_get(p->dtype)->bytes;
	const uint64_t count = p->rows * p->columns;
	const size_t length[3] = {count * unit, fit->rank * p->rows, fit->rank * p->columns};
	sparse_ref	ref[3] = {{0, p->dtype, 0, count}, {1, SPARSE_I8, 0, length[1]}, {2, SPARSE_I8, 0, length[2]}};
	sparse_formula sum = {.bases = 1, .coefficient = {1}, .rank = (uint16_t) fit->rank, .columns = (uint32_t) p->columns,
	.power = (int16_t) fit->power};
	uint8_t    *joined = malloc(length[0] + length[1] + length[2]);
	const uint8_t *delta;
	size_t		bytes;
	double		total = 0;

	memcpy(sum.exponent, fit->shift, fit->rank);
	memcpy(joined, p->parent, length[0]);
	memcpy(joined + length[0], fit->left, length[1]);
	memcpy(joined + length[0] + length[1], fit->right, length[2]);
	if (sparse_delta_encode_formula(codec, p->child, length[0], p->dtype, SPARSE_PREDICT_SUM, &sum, ref, 3, joined,
									length[0] + length[1] + length[2], &delta, &bytes) != SPARSE_OK)
		abort();
	total += (double) bytes;
	for (int i = 1; i < 3; i++)
	{
		if (sparse_delta_encode(codec, i == 1 ? fit->left : fit->right, length[i], SPARSE_I8, NULL, 0, NULL, 0, &delta, &bytes) != SPARSE_OK)
			abort();
		total += (double) bytes;
	}
	free(joined);
	return total;
}

static void
expects_what_it_takes(const char *sentence, pair p, unsigned most, bool thorough)
{
	fit_priced	fit;
	double		bytes = 0;
	bool		good = fit_priced_find(codec, &sparse_malloc, read_pair, no_pause, &p, p.rows, p.columns, p.dtype, most, thorough,
									   &fit) == SPARSE_OK && fit.rank > 0;

	if (good)
		bytes = taken(&p, &fit);
	printf("# rank %u: expected %.0f, taken %.0f, alone %.0f\n", fit.rank, fit.expected, bytes, fit.alone);
	ok(good && fabs(bytes / fit.expected - 1) < 0.03 && bytes < fit.alone, sentence);
	fit_priced_free(&sparse_malloc, &fit);
	free(p.child);
	free(p.parent);
}

static unsigned
rank_of(pair p)
{
	fit_priced	fit;
	unsigned	rank = UINT32_MAX;

	if (fit_priced_find(codec, &sparse_malloc, read_pair, no_pause, &p, p.rows, p.columns, p.dtype, 16, true, &fit) == SPARSE_OK)
		rank = fit.rank;
	fit_priced_free(&sparse_malloc, &fit);
	free(p.child);
	free(p.parent);
	return rank;
}

static void *
allocate_none(void *state, size_t bytes)
{
	int		   *left = state;

	return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void
release_it(void *state, void *block)
{
	(void) state;
	free(block);
}

static void
memory_may_run_out(void)
{
	pair		p = make_pair(100, 128, SPARSE_BF16, 6, 3, 2e-4f, 2e-5f);
	fit_priced	fit;
	bool		good = true;

	for (int room = 0; room < 80; room++)
	{
		int			left = room / 2;
		const sparse_allocator scarce = {allocate_none, release_it, &left};
		const sparse_status status = fit_priced_find(codec, &scarce, read_pair, no_pause, &p, p.rows, p.columns, p.dtype, 8, room % 2 == 0, &fit);

		good &= status == SPARSE_OK || (status == SPARSE_NO_MEMORY && fit.rank == 0);
		fit_priced_free(&scarce, &fit);
	}
	ok(good, "memory may run out anywhere, and nothing leaks");
	free(p.child);
	free(p.parent);
}

static uint64_t rows_read;

static void
read_counted(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	rows_read += rows;
	read_pair(state, first, rows, child, parent);
}

/* Where nothing is to be gained the price is a look at some rows. */
static void
reads_little_of_noise(void)
{
	pair		p = make_pair(2000, 256, SPARSE_BF16, 0, 1, 0, 2e-4f);
	fit_priced	fit;
	sparse_status status;

	rows_read = 0;
	status = fit_priced_find(codec, &sparse_malloc, read_counted, no_pause, &p, p.rows, p.columns, p.dtype, 16, false, &fit);
	ok(status == SPARSE_OK && fit.rank == 0 && rows_read < p.rows / 4, "a cheap search of noise reads less than a quarter of it");
	free(p.child);
	free(p.parent);
}

/* On every set of instructions the loops give the same bits, whatever the length. */
static void
loops_agree(void)
{
	enum {LONGEST = 77};
	float		rows[DENSE_ROWS * LONGEST];
	float		x[LONGEST];
	bool		good = true;

	for (int i = 0; i < DENSE_ROWS * LONGEST; i++)
		rows[i] = noise();
	for (int i = 0; i < LONGEST; i++)
		x[i] = noise();
	for (size_t count = 0; count <= LONGEST; count++)
		for (int level = 1; level <= (int) sparse_simd_best(); level++)
		{
			const dense_loops *loops[2] = {dense_loops_of(SPARSE_SIMD_NONE), dense_loops_of((sparse_simd) level)};
			float		sums[2][LONGEST];
			float		products[2][DENSE_ROWS + 1];

			for (int i = 0; i < 2; i++)
			{
				memcpy(sums[i], x, sizeof x);
				loops[i]->dots(rows, x, count, products[i]);
				products[i][DENSE_ROWS] = loops[i]->dot(rows, x, count);
				loops[i]->adds(sums[i], rows, LONGEST, x, count);
				loops[i]->add(sums[i], rows, x[3], count);
			}
			good &= memcmp(sums[0], sums[1], sizeof x) == 0 && memcmp(products[0], products[1], sizeof products[0]) == 0;
		}
	ok(good, "every set of instructions finds the same");
}

int
main(void)
{
	codec = sparse_codec_create(NULL);
	expects_what_it_takes("a change of falling components, in bf16: what is expected is taken", make_pair(320, 576, SPARSE_BF16, 30, 4, 2e-4f, 1.5e-4f), 64, true);
	expects_what_it_takes("... where the change is below the rounding", make_pair(500, 200, SPARSE_BF16, 10, 3, 2e-5f, 1e-5f), 32, true);
	expects_what_it_takes("... in f16, cheaply", make_pair(400, 640, SPARSE_F16, 20, 5, 1e-4f, 5e-5f), 16, false);
	expects_what_it_takes("... in f32", make_pair(192, 320, SPARSE_F32, 12, 4, 2e-4f, 5e-5f), 32, true);
	expects_what_it_takes("... in bf16, cheaply, from few rows first", make_pair(1200, 320, SPARSE_BF16, 20, 5, 2e-4f, 1.5e-4f), 16, false);
	reads_little_of_noise();
	ok(rank_of(make_pair(300, 300, SPARSE_BF16, 0, 1, 0, 2e-4f)) == 0, "a change that no component explains has rank 0");
	ok(rank_of(make_pair(200, 100, SPARSE_BF16, 0, 1, 0, 0)) == 0, "as has none");
	ok(rank_of(make_pair(40, 5000, SPARSE_BF16, 2, 1, 1e-3f, 0)) == 0, "small sides are left alone");
	ok(rank_of(make_pair(66, 66000, SPARSE_F32, 0, 1, 0, 2e-4f)) == 0, "rows so long that a delta could not hold 64 of them are sampled all the same");
	memory_may_run_out();
	loops_agree();
	sparse_codec_free(codec);
	printf("1..%d\n", tests);
	return failures > 0;
}
