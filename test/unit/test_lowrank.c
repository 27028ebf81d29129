/*
 * test_lowrank.c: a low-rank change is found under the rounding that came after it, and
 * nothing is found where there is none.
 */
#include "../../src/core/fit/lowrank.h"
#include "../../src/core/codec/convert.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static uint64_t random_state = 88172645463325252u;

static float
noise(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (float) (random_state >> 40) / 8388608.0f - 1.0f;
}

typedef struct pair
{
	uint64_t	rows;
	uint64_t	columns;
	float	   *child;
	float	   *parent;
	uint64_t	read;			/* rows */
} pair;

static unsigned long pauses;

static void
count_pause(void *state)
{
	(void) state;
	pauses++;
}

static void
read_pair(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	pair	   *p = state;

	p->read += rows;
	for (uint64_t i = 0; i < rows * p->columns; i++)
	{
		child[i] = p->child[first * p->columns + i];
		parent[i] = p->parent[first * p->columns + i];
	}
}

/* A parent like a weight matrix in bf16, and as a child the same plus `rank` products and some noise, rounded. */
static pair
make_pair(uint64_t rows, uint64_t columns, unsigned rank, float change, float jitter)
{
	pair		p = {rows, columns, malloc(rows * columns * sizeof(float)), malloc(rows * columns * sizeof(float)), 0};
	float	   *factor = malloc((rows + columns) * (rank + 1) * sizeof(float));
	uint16_t	stored;

	for (uint64_t i = 0; i < (rows + columns) * rank; i++)
		factor[i] = noise();
	for (uint64_t i = 0; i < rows; i++)
		for (uint64_t j = 0; j < columns; j++)
		{
			float		sum = 0;
			float	   *parent = &p.parent[i * columns + j];
			float	   *child = &p.child[i * columns + j];

			for (unsigned k = 0; k < rank; k++)
				sum += factor[i * rank + k] * factor[(rows + j) * rank + k];
			*parent = noise() * 0.05f;
			store_floats(SPARSE_BF16, parent, 1, (uint8_t *) &stored);
			load_floats(SPARSE_BF16, (uint8_t *) &stored, 1, parent);
			*child = *parent + change * sum + jitter * noise();
			store_floats(SPARSE_BF16, child, 1, (uint8_t *) &stored);
			load_floats(SPARSE_BF16, (uint8_t *) &stored, 1, child);
		}
	free(factor);
	return p;
}

static void
release(pair *p)
{
	free(p->child);
	free(p->parent);
}

/* The part of the child's elements that base + left x right, rounded, is exactly. */
static double
exact_part(const pair *p, const fit_lowrank *fit)
{
	uint64_t	exact = 0;

	for (uint64_t i = 0; i < p->rows; i++)
		for (uint64_t j = 0; j < p->columns; j++)
		{
			float		sum = 0;
			uint16_t	stored;

			for (unsigned k = 0; k < fit->rank; k++)
				sum += (float) fit->left[i * fit->rank + k] * ldexpf(fit->right[k * p->columns + j], fit->exponent[k]);
			sum = p->parent[i * p->columns + j] + sum;
			store_floats(SPARSE_BF16, &sum, 1, (uint8_t *) &stored);
			load_floats(SPARSE_BF16, (uint8_t *) &stored, 1, &sum);
			exact += sum == p->child[i * p->columns + j];
		}
	return (double) exact / (double) (p->rows * p->columns);
}

static unsigned
rank_found(uint64_t rows, uint64_t columns, unsigned rank, float change, float jitter, double *exact)
{
	pair		p = make_pair(rows, columns, rank, change, jitter);
	fit_lowrank fit;
	unsigned	found = UINT32_MAX;

	if (fit_lowrank_find(&sparse_malloc, read_pair, count_pause, &p, rows, columns, SPARSE_BF16, &fit) == SPARSE_OK)
		found = fit.rank;
	if (exact)
		*exact = fit.rank ? exact_part(&p, &fit) : 0;
	fit_lowrank_free(&sparse_malloc, &fit);
	release(&p);
	return found;
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
odd_ones(void)
{
	pair		p = make_pair(100, 200, 2, 1e-4f, 0);
	fit_lowrank fit;
	bool		good = true;

	p.child[7] = NAN;
	p.child[333] = INFINITY;
	p.parent[1000] = -INFINITY;
	ok(fit_lowrank_find(&sparse_malloc, read_pair, count_pause, &p, 100, 200, SPARSE_BF16, &fit) == SPARSE_OK, "what is no number is passed over");
	fit_lowrank_free(&sparse_malloc, &fit);
	for (int room = 0; room < 12; room++)
	{
		int			left = room;
		const sparse_allocator scarce = {allocate_none, release_it, &left};
		const sparse_status status = fit_lowrank_find(&scarce, read_pair, count_pause, &p, 100, 200, SPARSE_BF16, &fit);

		good &= status == SPARSE_OK || status == SPARSE_NO_MEMORY;
		good &= status == SPARSE_OK || fit.rank == 0;
		fit_lowrank_free(&scarce, &fit);
	}
	ok(good, "memory may run out anywhere, and nothing leaks");
	release(&p);
	ok(rank_found(1, 1000, 0, 0, 1e-3f, NULL) == 0 && rank_found(63, 63, 0, 0, 1e-3f, NULL) == 0, "small ones are left alone");
}

/* A fine-tune may move in few directions the most: a sample of rows must be enough to see that it has no low rank. */
static void
dominated(void)
{
	pair		p = make_pair(600, 300, 2, 4e-3f, 1e-3f);
	fit_lowrank fit;

	ok(fit_lowrank_find(&sparse_malloc, read_pair, count_pause, &p, 600, 300, SPARSE_BF16, &fit) == SPARSE_OK && fit.rank == 0
	   && p.read > 64 && p.read < 100, "large directions in the noise of a fine-tune: a gap, seen to be none by a sample");
	fit_lowrank_free(&sparse_malloc, &fit);
	release(&p);
}

int
main(void)
{
	double		exact;

	ok(rank_found(300, 200, 4, 5e-5f, 0, &exact) == 4 && exact > 0.9, "a change smaller than the rounding: its rank, and nine elements of ten to the bit");
	ok(rank_found(130, 400, 1, 1e-4f, 0, &exact) == 1 && exact > 0.9, "rank one");
	ok(rank_found(300, 200, 0, 0, 2e-4f, NULL) == 0, "no rank is seen in the noise of a fine-tune");
	ok(rank_found(128, 128, 0, 0, 0, NULL) == 0, "none where nothing changed");
	ok(rank_found(400, 500, 24, 1e-4f, 0, &exact) == 24 && exact > 0.8, "a rank that is no small part of the sample");
	dominated();
	ok(pauses > 500, "there are pauses in between");
	odd_ones();
	printf("1..%d\n", tests);
	return failures > 0;
}
