/*
 * adapter.c: tensors into which an adapter was merged that is a parent, too.
 *
 * PEFT names the factors of a module's change lora_A (rank x inputs) and lora_B (outputs x
 * rank), or lora_embedding_A and _B; the change is their product times a scale, alpha / rank or,
 * for rank-stabilised ones, alpha / sqrt(rank). The scale is measured on a sample, so that no
 * configuration is needed, and is then taken for the nearest such number, if one is near.
 */
#include "search.h"

#include <math.h>
#include <string.h>

#define SAMPLE_ROWS 16			/* in four places */
#define MOST_COLUMNS 65536		/* of a tensor whose scale is measured: one factor is read, of at most 64 MiB */

/* The factors of one module in an adapter. */
typedef struct adapter_factors
{
	sparse_kin	a;
	sparse_kin	b;
	bool		transposed;		/* the change is (B A)^T */
	uint64_t	rank;
	uint64_t	rows;
	uint64_t	columns;
} adapter_factors;

/* Names under which an adapter may have a module's factor. */
static int
factor_names(const recipe_search *search, const char *module, const char *factor, char **name, int room)
{
	static const char *const ending[] = {".weight", ".default.weight", ""};
	char	   *plain[16];
	int			modules = recipes_names(search, module, plain, LENGTH(plain));
	int			count = 0;

	for (int i = 0; i < modules; i++)
		for (int e = 0; e < LENGTH(ending) && count + 1 < room; e++)
		{
			name[count++] = workspace_format(search->work, "%s.%s%s", plain[i], factor, ending[e]);
			name[count++] = workspace_format(search->work, "base_model.model.%s.%s%s", plain[i], factor, ending[e]);
		}
	return count;
}

static bool
find_factor(const recipe_search *search, int parent, const char *module, const char *factor, sparse_kin *kin)
{
	char	   *name[96];
	int			names = factor_names(search, module, factor, name, LENGTH(name));

	return recipes_find(search, parent, name, names, kin) && kin->rank == 2 && kin->elements > 0;
}

/* Both factors, and that they have the tensor's shape, as it is or transposed. */
static bool
find_factors(const recipe_search *search, int parent, const char *module, const char *a_name, const char *b_name,
			 adapter_factors *adapter)
{
	const sparse_kin *a = &adapter->a;
	const sparse_kin *b = &adapter->b;

	if (!find_factor(search, parent, module, a_name, &adapter->a) || !find_factor(search, parent, module, b_name, &adapter->b))
		return false;
	adapter->rank = a->shape[0];
	if (adapter->rank != b->shape[1] || adapter->rank > SPARSE_MAX_RANK)
		return false;
	return adapter->transposed ? a->shape[1] == adapter->rows && b->shape[0] == adapter->columns
		: a->shape[1] == adapter->columns && b->shape[0] == adapter->rows;
}

/*
 * The factors of the module whose weight the tensor is. Embeddings are changed by the transposed product, and so are
 * linear layers that keep their weight as inputs x outputs.
 */
static bool
find_adapter(const recipe_search *search, int parent, adapter_factors *adapter)
{
	char	   *module = without_suffix(search, search->subject->name, ".weight");

	adapter->columns = search->columns;
	adapter->rows = search->elements / search->columns;
	if (module == NULL || search->subject->rank != 2 || adapter->columns > MOST_COLUMNS)
		return false;
	adapter->transposed = false;
	if (find_factors(search, parent, module, "lora_A", "lora_B", adapter))
		return true;
	adapter->transposed = true;
	return find_factors(search, parent, module, "lora_A", "lora_B", adapter)
		|| find_factors(search, parent, module, "lora_embedding_A", "lora_embedding_B", adapter);
}

/* The row of the tensor at sample i. */
static uint64_t
sample_row(const adapter_factors *adapter, int i)
{
	return (adapter->rows - 1) * i / (SAMPLE_ROWS - 1);
}

/* What the left factor has for the rows of the sample: `rank` numbers each. */
static void
sample_left(const recipe_search *search, const adapter_factors *adapter, float *left)
{
	const uint64_t rank = adapter->rank;

	if (!adapter->transposed)
		for (int i = 0; i < SAMPLE_ROWS; i++)
			sample_kin(search, &adapter->b, sample_row(adapter, i) * rank, rank, left + i * rank);
	else
		for (uint64_t k = 0; k < rank; k++)
		{
			workspace_pause(search->work);
			for (int i = 0; i < SAMPLE_ROWS; i++)
				sample_kin(search, &adapter->a, k * adapter->rows + sample_row(adapter, i), 1, left + i * rank + k);
		}
}

/* A row of the product, without its scale. */
static void
product_row(const adapter_factors *adapter, const float *left, const float *right, float *x)
{
	const uint64_t rank = adapter->rank;
	const uint64_t columns = adapter->columns;

	memset(x, 0, columns * sizeof(float));
	for (uint64_t k = 0; k < rank; k++)
		for (uint64_t j = 0; j < columns; j++)
			x[j] += left[k] * (adapter->transposed ? right[j * rank + k] : right[k * columns + j]);
}

/* The scale of the product that is nearest to what changed, over some rows; 0 where there is none. */
static double
measure_scale(const recipe_search *search, const adapter_factors *adapter, const sparse_kin *base)
{
	const uint64_t columns = adapter->columns;
	const sparse_kin *whole = adapter->transposed ? &adapter->b : &adapter->a;
	float	   *right = workspace_allocate(search->work, whole->elements * sizeof(float));
	float	   *left = workspace_allocate(search->work, SAMPLE_ROWS * adapter->rank * sizeof(float));
	float	   *x = workspace_allocate(search->work, 3 * columns * sizeof(float));
	float	   *content = x + columns;
	float	   *parent = content + columns;
	double		squares = 0;
	double		both = 0;

	sample_kin(search, whole, 0, whole->elements, right);
	sample_left(search, adapter, left);
	for (int i = 0; i < SAMPLE_ROWS; i++)
	{
		uint64_t	row = sample_row(adapter, i);

		workspace_pause(search->work);
		product_row(adapter, left + i * adapter->rank, right, x);
		sample_content(search, row * columns, columns, content);
		sample_kin(search, base, row * columns, columns, parent);
		for (uint64_t j = 0; j < columns; j++)
		{
			double		change = (double) content[j] - parent[j];

			if (!isfinite(change) || !isfinite(x[j]))
				continue;
			squares += (double) x[j] * x[j];
			both += x[j] * change;
		}
	}
	workspace_release(search->work, left);
	workspace_release(search->work, right);
	workspace_release(search->work, x);
	return squares > 0 ? both / squares : 0;
}

static void
propose(recipe_search *search, const adapter_factors *adapter, const sparse_kin *base, double scale, int flags)
{
	sparse_recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_LOW_RANK);

	recipe_add_elements(recipe, base);
	if (adapter->transposed)
	{
		recipe_add_source(recipe, adapter->a.object, adapter->a.dtype, 0, adapter->a.elements);
		recipe_add_source(recipe, adapter->b.object, adapter->b.dtype, 0, adapter->b.elements);
		flags |= SPARSE_LEFT_TRANSPOSED | SPARSE_RIGHT_TRANSPOSED;
	}
	else
	{
		recipe_add_source(recipe, adapter->b.object, adapter->b.dtype, adapter->columns, adapter->rank);
		recipe_add_source(recipe, adapter->a.object, adapter->a.dtype, 0, adapter->a.elements);
	}
	recipe->formula.style = flags;
	recipe->formula.rank = adapter->rank;
	recipe->formula.columns = adapter->columns;
	recipe->formula.factor = scale;
}

/* The nearest multiple of a unit, if it is within a hundredth. */
static bool
nearest_multiple(double scale, double unit, double *nearest)
{
	*nearest = rint(scale / unit) * unit;
	return *nearest != 0 && fabs(scale / *nearest - 1) < 0.01;
}

static void
try_adapter(recipe_search *search, const adapter_factors *adapter, const sparse_kin *base)
{
	double		scale = measure_scale(search, adapter, base);
	double		unit[3];
	double		rounded;
	bool		found = false;

	if (!isfinite(scale) || fabs(scale) < 1e-6)
		return;
	unit[0] = 1.0 / adapter->rank;
	unit[1] = 1.0 / sqrt((double) adapter->rank);
	unit[2] = 0.05;
	for (int i = 0; i < LENGTH(unit); i++)
		if (nearest_multiple(scale, unit[i], &rounded))
		{
			propose(search, adapter, base, rounded, 0);
			propose(search, adapter, base, rounded, SPARSE_PRODUCT_ROUNDED);
			found = true;
		}
	if (!found)
		propose(search, adapter, base, scale, 0);
}

void
search_adapter(recipe_search *search)
{
	for (int i = 0; search->is_float && i < search->source->parents; i++)
	{
		adapter_factors		adapter;

		if (!find_adapter(search, i, &adapter))
			continue;
		for (int k = 0; k < search->kin; k++)
			if (search->of_name[k].elements == search->elements
				&& kin_is_float(&search->of_name[k]))
				try_adapter(search, &adapter, &search->of_name[k]);
	}
}
