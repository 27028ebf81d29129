/*
 * recipe_adapter.c: tensors into which an adapter was merged that is a parent, too.
 *
 * PEFT names the factors of a module's change lora_A (rank x inputs) and lora_B (outputs x
 * rank), or lora_embedding_A and _B; the change is their product times a scale, alpha / rank or,
 * for rank-stabilised ones, alpha / sqrt(rank). The scale is measured on a sample, so that no
 * configuration is needed, and is then taken for the nearest such number, if one is near.
 */
#include "postgres.h"
#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "recipes.h"

#define SAMPLE_ROWS 16			/* in four places */
#define MOST_COLUMNS 65536		/* of a tensor whose scale is measured: one factor is read, of at most 64 MiB */

/* The factors of one module in an adapter. */
typedef struct Adapter
{
	Kin			a;
	Kin			b;
	bool		transposed;		/* the change is (B A)^T */
	uint64		rank;
	uint64		rows;
	uint64		columns;
} Adapter;

/* Names under which an adapter may have a module's factor. */
static int
factor_names(const char *module, const char *factor, char **name, int room)
{
	static const char *const ending[] = {".weight", ".default.weight", ""};
	char	   *plain[16];
	int			modules = recipes_names(module, plain, lengthof(plain));
	int			count = 0;

	for (int i = 0; i < modules; i++)
		for (size_t e = 0; e < lengthof(ending) && count + 1 < room; e++)
		{
			name[count++] = psprintf("%s.%s%s", plain[i], factor, ending[e]);
			name[count++] = psprintf("base_model.model.%s.%s%s", plain[i], factor, ending[e]);
		}
	return count;
}

static bool
find_factor(int64 version, const char *module, const char *factor, Kin *kin)
{
	char	   *name[96];
	int			names = factor_names(module, factor, name, lengthof(name));

	return recipes_find(version, name, names, kin) && kin->rank == 2 && kin->elements > 0;
}

/* Both factors, and that they have the tensor's shape, as it is or transposed. */
static bool
find_factors(int64 version, const char *module, const char *a_name, const char *b_name,
			 Adapter *adapter)
{
	const Kin  *a = &adapter->a;
	const Kin  *b = &adapter->b;

	if (!find_factor(version, module, a_name, &adapter->a) || !find_factor(version, module, b_name, &adapter->b))
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
find_adapter(const RecipeSearch *search, int64 version, Adapter *adapter)
{
	char	   *module = without_suffix(search->object->tensor->name, ".weight");

	adapter->columns = search->columns;
	adapter->rows = search->elements / search->columns;
	if (module == NULL || search->object->tensor->rank != 2 || adapter->columns > MOST_COLUMNS)
		return false;
	adapter->transposed = false;
	if (find_factors(version, module, "lora_A", "lora_B", adapter))
		return true;
	adapter->transposed = true;
	return find_factors(version, module, "lora_A", "lora_B", adapter)
		|| find_factors(version, module, "lora_embedding_A", "lora_embedding_B", adapter);
}

/* The row of the tensor at sample i. */
static uint64
sample_row(const Adapter *adapter, int i)
{
	return (adapter->rows - 1) * i / (SAMPLE_ROWS - 1);
}

/* What the left factor has for the rows of the sample: `rank` numbers each. */
static void
sample_left(const RecipeSearch *search, const Adapter *adapter, float *left)
{
	const uint64 rank = adapter->rank;

	if (!adapter->transposed)
		for (int i = 0; i < SAMPLE_ROWS; i++)
			sample_object(search, &adapter->b, sample_row(adapter, i) * rank, rank, left + i * rank);
	else
		for (uint64 k = 0; k < rank; k++)
		{
			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < SAMPLE_ROWS; i++)
				sample_object(search, &adapter->a, k * adapter->rows + sample_row(adapter, i), 1, left + i * rank + k);
		}
}

/* A row of the product, without its scale. */
static void
product_row(const Adapter *adapter, const float *left, const float *right, float *x)
{
	const uint64 rank = adapter->rank;
	const uint64 columns = adapter->columns;

	memset(x, 0, columns * sizeof(float));
	for (uint64 k = 0; k < rank; k++)
		for (uint64 j = 0; j < columns; j++)
			x[j] += left[k] * (adapter->transposed ? right[j * rank + k] : right[k * columns + j]);
}

/* The scale of the product that is nearest to what changed, over some rows; 0 where there is none. */
static double
measure_scale(const RecipeSearch *search, const Adapter *adapter, const Kin *base)
{
	const uint64 columns = adapter->columns;
	const Kin  *whole = adapter->transposed ? &adapter->b : &adapter->a;
	float	   *right = palloc(whole->elements * sizeof(float));
	float	   *left = palloc(SAMPLE_ROWS * adapter->rank * sizeof(float));
	float	   *x = palloc(3 * columns * sizeof(float));
	float	   *content = x + columns;
	float	   *parent = content + columns;
	double		squares = 0;
	double		both = 0;

	sample_object(search, whole, 0, whole->elements, right);
	sample_left(search, adapter, left);
	for (int i = 0; i < SAMPLE_ROWS; i++)
	{
		uint64		row = sample_row(adapter, i);

		CHECK_FOR_INTERRUPTS();
		product_row(adapter, left + i * adapter->rank, right, x);
		sample_content(search, row * columns, columns, content);
		sample_object(search, base, row * columns, columns, parent);
		for (uint64 j = 0; j < columns; j++)
		{
			double		change = (double) content[j] - parent[j];

			if (!isfinite(change) || !isfinite(x[j]))
				continue;
			squares += (double) x[j] * x[j];
			both += x[j] * change;
		}
	}
	pfree(left);
	pfree(right);
	pfree(x);
	return squares > 0 ? both / squares : 0;
}

static void
propose(RecipeSearch *search, const Adapter *adapter, const Kin *base, double scale, int flags)
{
	Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_LOW_RANK);

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
try_adapter(RecipeSearch *search, const Adapter *adapter, const Kin *base)
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
	for (size_t i = 0; i < lengthof(unit); i++)
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
search_adapter(RecipeSearch *search)
{
	for (int i = 0; search->is_float && i < search->import->parents; i++)
	{
		Adapter		adapter;

		if (!find_adapter(search, search->import->parent[i].version.id, &adapter))
			continue;
		for (int k = 0; k < search->kin; k++)
			if (search->of_name[k].elements == search->elements
				&& sparse_dtype_get(search->of_name[k].dtype)->exponent_bits > 0)
				try_adapter(search, &adapter, &search->of_name[k]);
	}
}
