/*
 * lowrank.c: tensors whose change is a product of thin matrices, or in part: adapters merged, that are not parents themselves;
 * fine-tunes of all weights, in as far as it pays; and what goes on in the direction of its parent, with or without (direction.c).
 *
 * The factors are found by fit/lowrank.c or, where there is no low rank, by fit/priced.c, which read the tensor and its parent several
 * times, by blocks of rows. If coding a few stretches by them, and the factors themselves,
 * promises to take clearly less than the parent alone does, they are stored, as objects that nothing but
 * this tensor's refers to.
 */
#include "search.h"

#include <string.h>

#include "fit/priced.h"

#define STRETCHES 4
#define STRETCH_ELEMENTS ((uint64_t) 32768)	/* rows of about so many elements, or one */

/* Per cent of what the parent alone takes that the factors may bring it down to, at most. */
#define WORTH 90

/* The same of factors whose rank was chosen by what it saves. */
#define WORTH_PRICED 99

/* The highest rank of these, with effort 2 and 3. */
#define CHEAP_RANK 16
#define MOST_RANK FIT_MAX_RANK

typedef struct factored
{
	const recipe_search *search;
	const sparse_kin *base;
	uint64_t	rows;
	uint64_t	columns;
	fit_lowrank fit;
	const sparse_kin *from;		/* not NULL: the base goes on, by this weight, in the direction that it has from there */
	double		weight;
} factored;

static void
read_rows(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	const factored *f = state;

	workspace_pause(f->search->work);
	sample_content(f->search, first * f->columns, rows * f->columns, child);
	sample_kin(f->search, f->base, first * f->columns, rows * f->columns, parent);
}

/* The same, with the parent's values as the sum has them without its product. */
static void
read_directed(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	const factored *f = state;
	const float at = (float) (1 + f->weight);
	const float from = (float) -f->weight;
	float	   *origin = workspace_allocate(f->search->work, rows * f->columns * sizeof(float));

	read_rows(state, first, rows, child, parent);
	sample_kin(f->search, f->from, first * f->columns, rows * f->columns, origin);
	for (uint64_t i = 0; i < rows * f->columns; i++)
		parent[i] = at * parent[i] + from * origin[i];
	workspace_release(f->search->work, origin);
}

/* ---- what it would cost ---- */

static size_t
encoded(const recipe_search *search, const void *content, size_t bytes)
{
	const uint8_t *delta;
	size_t		delta_bytes;

	workspace_check(search->work, sparse_delta_encode(search->codec, content, bytes, SPARSE_I16, NULL, 0, NULL, 0,
													  &delta, &delta_bytes));
	return delta_bytes;
}

/* Larger content is encoded by pieces. */
static size_t
factor_cost(const recipe_search *search, const int16_t *factor, uint64_t count)
{
	const uint64_t most = SPARSE_MAX_CONTENT / sizeof(int16_t);
	size_t		cost = 0;

	for (uint64_t first = 0; first < count; first += most)
		cost += encoded(search, factor + first, MIN(most, count - first) * sizeof(int16_t));
	return cost;
}

static sparse_formula
formula_of(const factored *f)
{
	sparse_formula formula = {
		.style = SPARSE_PRODUCT_EXPONENTS, .rank = f->fit.rank, .columns = f->columns, .factor = 1
	};

	memcpy(formula.exponent, f->fit.exponent, f->fit.rank);
	return formula;
}

/* What `rows` rows from `first` on take by the factors, and by the parent alone. */
static void
stretch_cost(const factored *f, uint64_t first, uint64_t rows, uint64_t *by_factors, uint64_t *by_parent)
{
	const recipe_search *search = f->search;
	const sparse_dtype dtype = search->subject->dtype;
	const unsigned unit = sparse_dtype_get(dtype)->bytes;
	const unsigned base_unit = sparse_dtype_get(f->base->dtype)->bytes;
	const uint64_t elements = rows * f->columns;
	const size_t left = rows * f->fit.rank * sizeof(int16_t);
	const size_t right = f->columns * f->fit.rank * sizeof(int16_t);
	uint8_t    *content = workspace_allocate(search->work, elements * unit);
	uint8_t    *references = workspace_allocate(search->work, elements * base_unit + left + right);
	sparse_formula formula = formula_of(f);
	sparse_formula cast = {0};
	sparse_ref	ref[3] = {
		{.parent = 0, .dtype = f->base->dtype, .count = elements},
		{.parent = 1, .dtype = SPARSE_I16, .count = rows * f->fit.rank},
		{.parent = 2, .dtype = SPARSE_I16, .count = f->columns * f->fit.rank}
	};
	sparse_codec *codec = search->codec;
	const uint8_t *delta;
	size_t		bytes = 0;
	sparse_status status;

	read_content(search, first * f->columns * unit, elements * unit, content);
	read_kin(search, f->base, first * f->columns * base_unit, elements * base_unit, references);
	memcpy(references + elements * base_unit, f->fit.left + first * f->fit.rank, left);
	memcpy(references + elements * base_unit + left, f->fit.right, right);
	status = sparse_delta_encode_formula(codec, content, elements * unit, dtype, SPARSE_PREDICT_LOW_RANK, &formula,
										 ref, 3, references, elements * base_unit + left + right, &delta, &bytes);
	*by_factors += bytes;
	if (status == SPARSE_OK && f->base->dtype == dtype)
		status = sparse_delta_encode(codec, content, elements * unit, dtype, ref, 1, references, elements * base_unit,
									 &delta, &bytes);
	else if (status == SPARSE_OK)
		status = sparse_delta_encode_formula(codec, content, elements * unit, dtype, SPARSE_PREDICT_CAST, &cast,
											 ref, 1, references, elements * base_unit, &delta, &bytes);
	workspace_check(search->work, status);
	*by_parent += bytes;
	workspace_release(search->work, content);
	workspace_release(search->work, references);
}

static bool
is_worth_it(const factored *f)
{
	const uint64_t rows = MIN(f->rows, MAX(1, STRETCH_ELEMENTS / f->columns));
	uint64_t	by_factors = 0;
	uint64_t	by_parent = 0;
	double		scale = (double) f->rows / (STRETCHES * rows);
	double		factors;

	if (f->columns * f->fit.rank * sizeof(int16_t) > SPARSE_MAX_PREDICTION / 2)
		return false;
	for (int i = 0; i < STRETCHES; i++)
		stretch_cost(f, (f->rows - rows) * i / (STRETCHES - 1), rows, &by_factors, &by_parent);
	factors = factor_cost(f->search, f->fit.left, f->rows * f->fit.rank)
		+ factor_cost(f->search, f->fit.right, f->columns * f->fit.rank);
	return factors + by_factors * scale < by_parent * scale * WORTH / 100;
}

/* ---- the factors ---- */

static int64_t
store_factor(const recipe_search *search, const void *factor, sparse_dtype dtype, uint64_t count)
{
	int64_t		object;

	workspace_check(search->work, search->source->store(search->source->state, factor, dtype, count, &object));
	return object;
}

/* fit_pause */
static void
pause_fit(void *state)
{
	workspace_pause(((const factored *) state)->search->work);
}

static void
propose(recipe_search *search, const factored *f)
{
	sparse_recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_LOW_RANK);

	recipe_add_elements(recipe, f->base);
	recipe_add_source(recipe, store_factor(search, f->fit.left, SPARSE_I16, f->rows * f->fit.rank), SPARSE_I16, f->columns,
					  f->fit.rank);
	recipe_add_source(recipe, store_factor(search, f->fit.right, SPARSE_I16, f->columns * f->fit.rank), SPARSE_I16, 0,
					  f->columns * f->fit.rank);
	recipe->source[1].made = recipe->source[2].made = true;
	recipe->formula = formula_of(f);
}

/* ---- by its price ---- */

static void
add_factor(const recipe_search *search, sparse_recipe *recipe, const int8_t *factor, uint64_t count)
{
	recipe_add_source(recipe, store_factor(search, factor, SPARSE_I8, count), SPARSE_I8, 0, count);
	recipe->source[recipe->sources - 1].made = true;
}

/* The base, or its direction, and the product, if there is one. */
static void
propose_sum(recipe_search *search, const factored *f, const fit_priced *fit)
{
	sparse_recipe *recipe = recipes_add(search, SPARSE_PREDICT_SUM);
	sparse_formula formula = {.bases = 1, .coefficient = {1}};

	recipe->weighed = true;
	recipe_add_elements(recipe, f->base);
	if (f->from != NULL)
	{
		recipe_add_elements(recipe, f->from);
		formula.bases = 2;
		formula.coefficient[0] = 1 + f->weight;
		formula.coefficient[1] = -f->weight;
	}
	if (fit->rank > 0)
	{
		add_factor(search, recipe, fit->left, f->rows * fit->rank);
		add_factor(search, recipe, fit->right, f->columns * fit->rank);
		formula.rank = fit->rank;
		formula.columns = f->columns;
		formula.power = fit->power;
		memcpy(formula.exponent, fit->shift, fit->rank);
	}
	recipe->formula = formula;
}

/* Components of what the base, or its direction, leaves: as far as they pay. */
static void
find_priced(recipe_search *search, factored *f, fit_priced *fit)
{
	const sparse_allocator *allocator = &search->work->allocator;
	const bool	thorough = search->effort > 2;

	memset(fit, 0, sizeof(*fit));
	if (search->subject->rank != 2)
		return;
	workspace_check(search->work, fit_priced_find(search->codec, allocator, f->from != NULL ? read_directed : read_rows, pause_fit,
												  f, f->rows, f->columns, search->subject->dtype,
												  thorough ? MOST_RANK : CHEAP_RANK, thorough, fit));
	if (fit->rank > 0 && fit->expected * 100 >= fit->alone * WORTH_PRICED)
	{
		fit_priced_free(allocator, fit);
		fit->expected = fit->alone;
	}
}

/*
 * A direction brings the rounding of two more tensors with it, which components do not: where there is time, both are tried with
 * and without.
 */
static void
search_priced(recipe_search *search, factored *f)
{
	const sparse_allocator *allocator = &search->work->allocator;
	const bool	directed = find_direction(search, f->base, &f->from, &f->weight);
	const sparse_kin *from = directed ? f->from : NULL;
	fit_priced	fit;
	fit_priced	other;

	f->from = from;
	find_priced(search, f, &fit);
	if (directed && search->effort > 2 && search->subject->rank == 2)
	{
		f->from = NULL;
		find_priced(search, f, &other);
		if (other.rank > 0 && other.expected < fit.expected)
		{
			fit_priced_free(allocator, &fit);
			fit = other;
		}
		else
		{
			fit_priced_free(allocator, &other);
			f->from = from;
		}
	}
	if (fit.rank > 0 || f->from != NULL)
		propose_sum(search, f, &fit);
	fit_priced_free(allocator, &fit);
}

/* Whether a search before this one found factors, or several parents that make it up. */
static bool
is_explained(const recipe_search *search)
{
	for (int i = 0; i < search->out->recipes; i++)
	{
		sparse_predictor by = search->out->recipe[i].predictor;

		if (by == SPARSE_PREDICT_LOW_RANK || by == SPARSE_PREDICT_BLEND || by == SPARSE_PREDICT_PRUNED)
			return true;
	}
	return false;
}

void
search_lowrank(recipe_search *search)
{
	factored	f = {.search = search, .columns = search->columns};
	const sparse_allocator *allocator = &search->work->allocator;

	if (!search->is_float || is_explained(search))
		return;
	for (int i = 0; i < search->kin && f.base == NULL; i++)
		if (search->of_name[i].elements == search->elements && kin_is_float(&search->of_name[i]))
			f.base = &search->of_name[i];
	if (f.base == NULL)
		return;
	f.rows = search->elements / f.columns;
	hold_content(search);
	if (search->subject->rank == 2)
		workspace_check(search->work, fit_lowrank_find(allocator, read_rows, pause_fit, &f, f.rows, f.columns,
													   search->subject->dtype, &f.fit));
	if (f.fit.rank > 0 && is_worth_it(&f))
		propose(search, &f);
	else
		search_priced(search, &f);
	fit_lowrank_free(allocator, &f.fit);
}
