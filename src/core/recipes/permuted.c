/*
 * permuted.c: tensors whose rows a tool has put into another order, by a rule.
 *
 * Rotary embeddings turn pairs of rows: some keep the two of a pair side by side, some half a head apart, and converters between
 * them (llama.cpp's of attn_q and attn_k) put the rows of each head into the other order. Gates and what they gate are
 * interleaved likewise. In each group of rows row r comes from row (r mod a) x b + (r div a): b rows lie between what is
 * side by side here, and a groups of those make a whole. Both numbers are read off: b is where the second row comes from, and
 * a is where the second row of the parent went.
 */
#include "search.h"

#include <string.h>

#define MOST_ROWS 512			/* of a tensor that are looked at: two heads of 256 */
#define SAMPLE 64				/* elements of a row */
#define LEAST_SAMPLE 16

/* Alike are rows whose differences have less than this part of the squares of the elements. */
#define ALIKE 0.25

typedef struct looked
{
	uint64_t	columns;
	uint64_t	rows;
	uint64_t	count;			/* of elements of a row's sample */
} looked;

static double
squares_apart(const float *a, const float *b, uint64_t count)
{
	double		apart = 0;

	for (uint64_t i = 0; i < count; i++)
		apart += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return apart;
}

static bool
are_alike(const looked *l, const float *a, const float *b)
{
	static const float zero[SAMPLE];

	return squares_apart(a, b, l->count) < ALIKE * squares_apart(a, zero, l->count);
}

/* Beginnings of the first rows, one after another. */
static float *
sample_rows(const recipe_search *search, const looked *l, const sparse_kin *kin)
{
	float	   *x = workspace_allocate(search->work, l->rows * l->count * sizeof(float));

	for (uint64_t i = 0; i < l->rows; i++)
	{
		workspace_pause(search->work);
		if (kin != NULL)
			sample_kin(search, kin, i * l->columns, l->count, x + i * l->count);
		else
			sample_content(search, i * l->columns, l->count, x + i * l->count);
	}
	return x;
}

/* Of the rows behind the second the one most like a row; 0: none is. */
static uint64_t
find_row(const looked *l, const float *row, const float *among)
{
	uint64_t	best = 0;
	double		least = 0;

	for (uint64_t i = 2; i < l->rows; i++)
	{
		const double apart = squares_apart(row, among + i * l->count, l->count);

		if (are_alike(l, row, among + i * l->count) && (best == 0 || apart < least))
		{
			best = i;
			least = apart;
		}
	}
	return best;
}

static void
propose(recipe_search *search, const sparse_kin *kin, const looked *l, uint64_t stride, uint64_t group)
{
	sparse_recipe *recipe;

	if (search->elements / l->columns % group != 0 || l->columns > UINT32_MAX)
		return;
	recipe = recipes_add(search, SPARSE_PREDICT_PERMUTED);
	recipe_add_source(recipe, kin->object, kin->dtype, group * l->columns, group * l->columns);
	recipe->formula.columns = (uint32_t) l->columns;
	recipe->formula.stride = (uint32_t) stride;
	recipe->formula.group = group;
}

static void
search_rows(recipe_search *search, const sparse_kin *kin, uint64_t columns)
{
	looked		l = {columns, MIN(search->elements / columns, MOST_ROWS), MIN(columns, SAMPLE)};
	float		second[SAMPLE];
	float		other[SAMPLE];
	float	   *own;
	float	   *parent;
	uint64_t	stride;
	uint64_t	rows;

	if (l.count < LEAST_SAMPLE || l.rows < 4 || search->elements % columns != 0)
		return;
	sample_content(search, columns, l.count, second);
	sample_kin(search, kin, columns, l.count, other);
	if (are_alike(&l, second, other))
		return;
	parent = sample_rows(search, &l, kin);
	stride = find_row(&l, second, parent);
	if (stride == 0)
		return;
	own = sample_rows(search, &l, NULL);
	rows = find_row(&l, other, own);
	if (rows > 0)
		propose(search, kin, &l, stride, stride * rows);
}

void
search_permuted(recipe_search *search)
{
	for (int i = 0; i < search->kin; i++)
	{
		const sparse_kin *kin = &search->of_name[i];
		const bool	fits = kin->dtype == search->subject->dtype || (search->is_float && kin_is_float(kin));

		if (!fits || kin->elements != search->elements || kin->rank < 2 || search->self.rank < 2)
			continue;
		search_rows(search, kin, kin->shape[kin->rank - 1]);
		if (search->self.shape[search->self.rank - 1] != kin->shape[kin->rank - 1])
			search_rows(search, kin, search->self.shape[search->self.rank - 1]);
	}
}
