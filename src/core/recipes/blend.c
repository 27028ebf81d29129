/*
 * blend.c: tensors that are weighted sums of their parents'.
 *
 * The weights that leave the least squares are found over a sample, by way of the
 * differences to the first parent: fine-tunes of one base are nearly equal, their
 * differences are not. Merging tools use round numbers, so those near are tried too; and the two
 * ways in which tools round in between. What predicts most of the sample exactly is
 * proposed.
 */
#include "search.h"

#include <math.h>
#include <string.h>

#include "codec/convert.h"

#define STRETCHES 16
#define STRETCH ((uint64_t) 8192)	/* elements of each, at most */
#define SAMPLE (STRETCHES * STRETCH)

/* A blend that must leave less than this part of the squares that the best parent leaves. */
#define WORTH 0.5

typedef struct blend_sample
{
	int			parents;
	const sparse_kin *parent[MAX_KIN];
	uint64_t	count;			/* elements of the sample */
	float	   *content;
	float	   *x[MAX_KIN];
	sparse_dtype dtype;
	uint8_t    *stored;			/* the content as it is stored, and room for predictions */
	uint8_t    *predicted;
	float	   *sum;
	float	   *term;
} blend_sample;

/* Leaves out of the sample what a sum cannot explain. */
static void
keep_finite(blend_sample *blend)
{
	uint64_t	kept = 0;

	for (uint64_t i = 0; i < blend->count; i++)
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
take_sample(const recipe_search *search, blend_sample *blend)
{
	const uint64_t length = MIN(STRETCH, search->elements);

	blend->count = 0;
	for (int i = 0; i < STRETCHES; i++)
	{
		uint64_t	first = (search->elements - length) / (STRETCHES - 1) * i;

		workspace_pause(search->work);
		sample_content(search, first, length, blend->content + blend->count);
		for (int k = 0; k < blend->parents; k++)
			sample_kin(search, blend->parent[k], first, length, blend->x[k] + blend->count);
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
fit(const blend_sample *blend, bool sum_is_one, double weight[MAX_KIN])
{
	const int	n = blend->parents;
	double		a[MAX_KIN][MAX_KIN + 1] = {{0}};
	double		rest = 1;

	for (uint64_t i = 0; i < blend->count; i++)
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
static uint64_t
exact_elements(const blend_sample *blend, const double *weight)
{
	const unsigned unit = sparse_dtype_get(blend->dtype)->bytes;
	uint64_t	exact = 0;

	memset(blend->sum, 0, blend->count * sizeof(float));
	for (int k = 0; k < blend->parents; k++)
		for (uint64_t i = 0; i < blend->count; i++)
			blend->sum[i] += (float) weight[k] * blend->x[k][i];
	store_floats(blend->dtype, blend->sum, blend->count, blend->predicted);
	for (uint64_t i = 0; i < blend->count; i++)
		exact += memcmp(blend->predicted + i * unit, blend->stored + i * unit, unit) == 0;
	return exact;
}

/* How much of the squares of the differences to the best single parent is left. */
static double
squares_left(const blend_sample *blend, const double *weight)
{
	double		left = 0;
	double		least = INFINITY;

	for (int k = -1; k < blend->parents; k++)
	{
		double		squares = 0;

		for (uint64_t i = 0; i < blend->count; i++)
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
			least = MIN(least, squares);
	}
	return least > 0 ? left / least : 1;
}

static void
keep_better(const blend_sample *blend, const double *weight, double *best, uint64_t *most)
{
	uint64_t	exact = exact_elements(blend, weight);

	if (exact <= *most)
		return;
	*most = exact;
	memcpy(best, weight, blend->parents * sizeof(double));
}

static void
propose(recipe_search *search, const blend_sample *blend, const double *weight, sparse_blend_style style)
{
	sparse_recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_BLEND);

	recipe->formula.style = style;
	for (int k = 0; k < blend->parents; k++)
	{
		recipe_add_elements(recipe, blend->parent[k]);
		recipe->formula.coefficient[k] = weight[k];
	}
}

/* Weights as they were found and rounded to multiples of 1/1000 and 1/100, whichever predict most. */
static void
find_weights(recipe_search *search, const blend_sample *blend)
{
	static const double multiple[] = {1000, 100, 64, 20};
	double		weight[MAX_KIN];
	double		best[MAX_KIN];
	uint64_t	most = 0;

	if (!fit(blend, false, weight) || squares_left(blend, weight) > WORTH)
		return;
	keep_better(blend, weight, best, &most);
	if (fit(blend, true, weight))
		keep_better(blend, weight, best, &most);
	for (int m = 0; m < LENGTH(multiple); m++)
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
search_blend(recipe_search *search)
{
	blend_sample		blend = {.dtype = search->subject->dtype};

	if (!search->is_float)
		return;
	for (int i = 0; i < search->kin; i++)
	{
		const sparse_kin *kin = &search->of_name[i];
		bool		known = false;

		for (int k = 0; k < blend.parents; k++)
			known |= blend.parent[k]->object == kin->object;
		if (!known && kin->elements == search->elements && kin_is_float(kin))
			blend.parent[blend.parents++] = kin;
	}
	if (blend.parents < 2)
		return;
	blend.content = workspace_allocate(search->work, SAMPLE * sizeof(float));
	blend.sum = workspace_allocate(search->work, SAMPLE * sizeof(float));
	blend.stored = workspace_allocate(search->work, SAMPLE * sizeof(double));
	blend.predicted = workspace_allocate(search->work, SAMPLE * sizeof(double));
	for (int k = 0; k < blend.parents; k++)
		blend.x[k] = workspace_allocate(search->work, SAMPLE * sizeof(float));
	take_sample(search, &blend);
	find_weights(search, &blend);
}
