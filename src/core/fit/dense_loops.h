/*
 * dense_loops.h: see dense.h. Included once for each instruction set, with LOOPS the name of the table of loops.
 */
#include <string.h>

#define LANES 16

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

#define LOAD(x, at) memcpy(&(x), at, sizeof(x))

static inline float
sum_of(const lanes *x)
{
	float		sum = (*x)[0];

	for (int i = 1; i < LANES; i++)
		sum += (*x)[i];
	return sum;
}

static float
dot(const float *a, const float *b, size_t count)
{
	lanes		sum = {0};
	lanes		x;
	lanes		y;
	size_t		i = 0;
	float		rest = 0;

	for (; i + LANES <= count; i += LANES)
	{
		LOAD(x, a + i);
		LOAD(y, b + i);
		sum += x * y;
	}
	for (; i < count; i++)
		rest += a[i] * b[i];
	return sum_of(&sum) + rest;
}

static void
dots(const float *rows, const float *x, size_t count, float *product)
{
	lanes		sum[DENSE_ROWS] = {{0}};
	lanes		v;
	lanes		r;
	size_t		i = 0;
	float		rest[DENSE_ROWS] = {0};

	for (; i + LANES <= count; i += LANES)
	{
		LOAD(v, x + i);
		for (int k = 0; k < DENSE_ROWS; k++)
		{
			LOAD(r, rows + k * count + i);
			sum[k] += r * v;
		}
	}
	for (; i < count; i++)
		for (int k = 0; k < DENSE_ROWS; k++)
			rest[k] += rows[k * count + i] * x[i];
	for (int k = 0; k < DENSE_ROWS; k++)
		product[k] = sum_of(&sum[k]) + rest[k];
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
	lanes		v;
	lanes		r;
	size_t		i = 0;

	for (; i + LANES <= count; i += LANES)
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
