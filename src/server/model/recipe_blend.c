/*
 * recipe_blend.c: tensors that are weighted sums of their parents'.
 *
 * The weights that leave the least squares are found over a sample, by way of the
 * differences to the first parent: fine-tunes of one base are nearly equal, their
 * differences are not. Merging tools use round numbers, so those near are tried too; and the two
 * ways in which tools round in between. What predicts most of the sample exactly is
 * proposed.
 */
#include "postgres.h"
#include "compat.h"

#include <math.h>

#include "codec/convert.h"
#include "miscadmin.h"
#include "recipes.h"

#define STRETCHES 16
#define STRETCH ((uint64) 8192)	/* elements of each, at most */
#define SAMPLE (STRETCHES * STRETCH)

/* A blend that must leave less than this part of the squares that the best parent leaves. */
#define WORTH 0.5

typedef struct Blend
{
	int			parents;
	const Kin  *parent[MAX_KIN];
	uint64		count;			/* elements of the sample */
	float	   *content;
	float	   *x[MAX_KIN];
	sparse_dtype dtype;
	uint8	   *stored;			/* the content as it is stored, and room for predictions */
	uint8	   *predicted;
	float	   *sum;
	float	   *term;
} Blend;

/* Leaves out of the sample what a sum cannot explain. */
static void
keep_finite(Blend *blend)
{
	uint64		kept = 0;

	for (uint64 i = 0; i < blend->count; i++)
	{
		bool		finite = isfinite(blend->content[i]);

		for (int k = 0; k < blend->parents; k++)
		{
			finite &= isfinite(blend->x[k][i]) != 0;
			blend->x[k][kept] = blend->x[k][i];
		}
		blend->content[kept] = blend->content[i];
		kept += finite;
	}
	blend->count = kept;
}

static void
take_sample(const RecipeSearch *search, Blend *blend)
{
	const uint64 length = Min(STRETCH, search->elements);

	blend->count = 0;
	for (int i = 0; i < STRETCHES; i++)
	{
		uint64		first = (search->elements - length) / (STRETCHES - 1) * i;

		CHECK_FOR_INTERRUPTS();
		sample_content(search, first, length, blend->content + blend->count);
		for (int k = 0; k < blend->parents; k++)
			sample_object(search, blend->parent[k], first, length, blend->x[k] + blend->count);
		blend->count += length;
		if (length == search->elements)
			break;
	}
	keep_finite(blend);
	store_floats(blend->dtype, blend->content, blend->count, blend->stored);
}

/* Solves the equations (of which there are few) in place; false where they do not say enough. */
static bool
solve(double a[MAX_KIN][MAX_KIN + 1], int n)
{
	for (int i = 0; i < n; i++)
	{
		int			pivot = i;

		for (int r = i + 1; r < n; r++)
			if (fabs(a[r][i]) > fabs(a[pivot][i]))
				pivot = r;
		if (!(fabs(a[pivot][i]) > 1e-300))
			return false;
		for (int c = 0; c <= n; c++)
		{
			double		swap = a[i][c];

			a[i][c] = a[pivot][c];
			a[pivot][c] = swap;
		}
		for (int r = 0; r < n; r++)
		{
			double		factor = r == i ? 0 : a[r][i] / a[i][i];

			for (int c = i; c <= n; c++)
				a[r][c] -= factor * a[i][c];
		}
	}
	for (int i = 0; i < n; i++)
		a[i][n] /= a[i][i];
	return true;
}

/*
 * Weights of the parents by least squares. Unknowns: of the first parent itself (less 1), and of the others'
 * differences to it. With `sum_is_one` the first is left out.
 */
static bool
fit(const Blend *blend, bool sum_is_one, double weight[MAX_KIN])
{
	const int	n = blend->parents;
	double		a[MAX_KIN][MAX_KIN + 1] = {{0}};
	double		rest = 1;

	for (uint64 i = 0; i < blend->count; i++)
	{
		double		v[MAX_KIN + 1];

		v[0] = sum_is_one ? 0 : blend->x[0][i];
		for (int k = 1; k < n; k++)
			v[k] = (double) blend->x[k][i] - blend->x[0][i];
		v[n] = (double) blend->content[i] - blend->x[0][i];
		for (int r = 0; r < n; r++)
			for (int c = r; c <= n; c++)
				a[r][c] += v[r] * v[c];
	}
	for (int r = 0; r < n; r++)
		for (int c = 0; c < r; c++)
			a[r][c] = a[c][r];
	if (sum_is_one)
		a[0][0] = 1;
	if (!solve(a, n))
		return false;
	for (int k = 1; k < n; k++)
	{
		weight[k] = a[k][n];
		rest -= weight[k];
	}
	weight[0] = rest + (sum_is_one ? 0 : a[0][n]);
	for (int k = 0; k < n; k++)
		if (!isfinite(weight[k]))
			return false;
	return true;
}

/* As the codec would (formula_real.h), but for what it rounds in between. */
static uint64
exact_elements(const Blend *blend, const double *weight)
{
	const unsigned unit = sparse_dtype_get(blend->dtype)->bytes;
	uint64		exact = 0;

	memset(blend->sum, 0, blend->count * sizeof(float));
	for (int k = 0; k < blend->parents; k++)
		for (uint64 i = 0; i < blend->count; i++)
			blend->sum[i] += (float) weight[k] * blend->x[k][i];
	store_floats(blend->dtype, blend->sum, blend->count, blend->predicted);
	for (uint64 i = 0; i < blend->count; i++)
		exact += memcmp(blend->predicted + i * unit, blend->stored + i * unit, unit) == 0;
	return exact;
}

/* How much of the squares of the differences to the best single parent is left. */
static double
squares_left(const Blend *blend, const double *weight)
{
	double		left = 0;
	double		least = INFINITY;

	for (int k = -1; k < blend->parents; k++)
	{
		double		squares = 0;

		for (uint64 i = 0; i < blend->count; i++)
		{
			double		p = 0;

			if (k >= 0)
				p = blend->x[k][i];
			else
				for (int j = 0; j < blend->parents; j++)
					p += weight[j] * blend->x[j][i];
			p -= blend->content[i];
			squares += p * p;
		}
		if (k < 0)
			left = squares;
		else
			least = Min(least, squares);
	}
	return least > 0 ? left / least : 1;
}

static void
keep_better(const Blend *blend, const double *weight, double *best, uint64 *most)
{
	uint64		exact = exact_elements(blend, weight);

	if (exact <= *most)
		return;
	*most = exact;
	memcpy(best, weight, blend->parents * sizeof(double));
}

static void
propose(RecipeSearch *search, const Blend *blend, const double *weight, sparse_blend_style style)
{
	Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_BLEND);

	recipe->formula.style = style;
	for (int k = 0; k < blend->parents; k++)
	{
		recipe_add_elements(recipe, blend->parent[k]);
		recipe->formula.coefficient[k] = weight[k];
	}
}

/* Weights as they were found and rounded to multiples of 1/1000 and 1/100, whichever predict most. */
static void
find_weights(RecipeSearch *search, const Blend *blend)
{
	static const double multiple[] = {1000, 100, 64, 20};
	double		weight[MAX_KIN];
	double		best[MAX_KIN];
	uint64		most = 0;

	if (!fit(blend, false, weight) || squares_left(blend, weight) > WORTH)
		return;
	keep_better(blend, weight, best, &most);
	if (fit(blend, true, weight))
		keep_better(blend, weight, best, &most);
	for (size_t m = 0; m < lengthof(multiple); m++)
	{
		double		rounded[MAX_KIN];

		for (int k = 0; k < blend->parents; k++)
			rounded[k] = rint(weight[k] * multiple[m]) / multiple[m];
		keep_better(blend, rounded, best, &most);
	}
	/* (of 64-bit floats nothing looks exact here) */
	if (most == 0 && blend->dtype != SPARSE_F64)
		return;
	if (most == 0)
		for (int k = 0; k < blend->parents; k++)
			best[k] = rint(weight[k] * 1000) / 1000;
	propose(search, blend, best, SPARSE_BLEND_EXACT);
	propose(search, blend, best, SPARSE_BLEND_STEPS);
	propose(search, blend, best, SPARSE_BLEND_TASKS);
}

void
search_blend(RecipeSearch *search)
{
	Blend		blend = {.dtype = search->spec->dtype};

	if (!search->is_float)
		return;
	for (int i = 0; i < search->kin; i++)
	{
		const Kin  *kin = &search->of_name[i];
		bool		known = false;

		for (int k = 0; k < blend.parents; k++)
			known |= blend.parent[k]->object == kin->object;
		if (!known && kin->elements == search->elements && sparse_dtype_get(kin->dtype)->exponent_bits > 0)
			blend.parent[blend.parents++] = kin;
	}
	if (blend.parents < 2)
		return;
	blend.content = palloc(SAMPLE * sizeof(float));
	blend.sum = palloc(SAMPLE * sizeof(float));
	blend.stored = palloc(SAMPLE * sizeof(double));
	blend.predicted = palloc(SAMPLE * sizeof(double));
	for (int k = 0; k < blend.parents; k++)
		blend.x[k] = palloc(SAMPLE * sizeof(float));
	take_sample(search, &blend);
	find_weights(search, &blend);
}
