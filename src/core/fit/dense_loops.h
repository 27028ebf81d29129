/*
 * dense_loops.h: see dense.h. Included once for each instruction set, with LOOPS the name of the table of loops and PART_LANES the
 * floats of a register.
 */
#include <string.h>

#define LANES 16				/* sums of their own, in whatever registers: the order of additions is the same everywhere */
#define PARTS (LANES / PART_LANES)

typedef float part __attribute__((vector_size(PART_LANES * sizeof(float))));

#define LOAD(x, at) memcpy(&(x), at, sizeof(x))

static inline float
sum_of(const part *x)
{
	float		sum = 0;

	for (int i = 0; i < LANES; i++)
		sum += x[i / PART_LANES][i % PART_LANES];
	return sum;
}

static float
dot(const float *a, const float *b, size_t count)
{
	part		sum[PARTS] = {{0}};
	part		x;
	part		y;
	size_t		i = 0;
	float		rest = 0;

	for (; i + LANES <= count; i += LANES)
		for (int p = 0; p < PARTS; p++)
		{
			LOAD(x, a + i + p * PART_LANES);
			LOAD(y, b + i + p * PART_LANES);
			sum[p] += x * y;
		}
	for (; i < count; i++)
		rest += a[i] * b[i];
	return sum_of(sum) + rest;
}

static void
dots(const float *rows, const float *x, size_t count, float *product)
{
	part		sum[DENSE_ROWS][PARTS] = {{{0}}};
	part		v;
	part		r;
	size_t		i = 0;
	float		rest[DENSE_ROWS] = {0};

	for (; i + LANES <= count; i += LANES)
		for (int p = 0; p < PARTS; p++)
		{
			LOAD(v, x + i + p * PART_LANES);
			for (int k = 0; k < DENSE_ROWS; k++)
			{
				LOAD(r, rows + k * count + i + p * PART_LANES);
				sum[k][p] += r * v;
			}
		}
	for (; i < count; i++)
		for (int k = 0; k < DENSE_ROWS; k++)
			rest[k] += rows[k * count + i] * x[i];
	for (int k = 0; k < DENSE_ROWS; k++)
		product[k] = sum_of(sum[k]) + rest[k];
}

static void
add(float *to, const float *from, float factor, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] += factor * from[i];
}

static void
adds(float *to, const float *rows, size_t stride, const float *factor, size_t count)
{
	part		v;
	part		r;
	size_t		i = 0;

	for (; i + PART_LANES <= count; i += PART_LANES)
	{
		LOAD(v, to + i);
		for (int k = 0; k < DENSE_ROWS; k++)
		{
			LOAD(r, rows + k * stride + i);
			v += factor[k] * r;
		}
		memcpy(to + i, &v, sizeof(v));
	}
	for (; i < count; i++)
		for (int k = 0; k < DENSE_ROWS; k++)
			to[i] += factor[k] * rows[k * stride + i];
}

const dense_loops LOOPS = {dot, dots, add, adds};
