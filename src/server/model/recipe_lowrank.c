/*
 * recipe_lowrank.c: tensors whose change is a product of thin matrices, or in part: adapters merged, that are not parents themselves;
 * and fine-tunes of all weights, in as far as it pays.
 *
 * The factors are found by fit/lowrank.c or, where there is no low rank, by fit/priced.c, which read the tensor and its parent several
 * times, by blocks of rows. If coding a few stretches by them, and the factors themselves,
 * promises to take clearly less than the parent alone does, they are stored, as objects that nothing but
 * this tensor's refers to.
 */
#include "postgres.h"
#include "compat.h"

#include "codec/convert.h"
#include "fit/priced.h"
#include "miscadmin.h"
#include "recipes.h"
#include "sdelta/glue.h"
#include "store/reader.h"

#define STRETCHES 4
#define STRETCH_ELEMENTS ((uint64) 32768)	/* rows of about so many elements, or one */

/* Per cent of what the parent alone takes that the factors may bring it down to, at most. */
#define WORTH 90

/* The same of factors whose rank was chosen by what it saves. */
#define WORTH_PRICED 99

/* The highest rank of these, with sparse.effort at 2 and 3. */
#define CHEAP_RANK 16
#define MOST_RANK FIT_MAX_RANK

typedef struct Factored
{
	const RecipeSearch *search;
	const Kin  *base;
	uint64		rows;
	uint64		columns;
	fit_lowrank fit;
} Factored;

static void
read_rows(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	const Factored *f = state;

	CHECK_FOR_INTERRUPTS();
	sample_content(f->search, first * f->columns, rows * f->columns, child);
	sample_object(f->search, f->base, first * f->columns, rows * f->columns, parent);
}

/* ---- what it would cost ---- */

static size_t
encoded(const RecipeSearch *search, const void *content, size_t bytes, sparse_dtype dtype)
{
	const uint8_t *delta;
	size_t		delta_bytes;
	sparse_status status = sparse_delta_encode(object_reader_codec(search->reader), content, bytes, dtype,
											   NULL, 0, NULL, 0, &delta, &delta_bytes);

	if (status != SPARSE_OK)
		sparse_report(status, "encode a factor");
	return delta_bytes;
}

/* Larger content is encoded by pieces. */
static size_t
factor_cost(const RecipeSearch *search, const int16_t *factor, uint64 count)
{
	const uint64 most = SPARSE_MAX_CONTENT / sizeof(int16_t);
	size_t		cost = 0;

	for (uint64 first = 0; first < count; first += most)
		cost += encoded(search, factor + first, Min(most, count - first) * sizeof(int16_t), SPARSE_I16);
	return cost;
}

static sparse_formula
formula_of(const Factored *f)
{
	sparse_formula formula = {
		.style = SPARSE_PRODUCT_EXPONENTS, .rank = f->fit.rank, .columns = f->columns, .factor = 1
	};

	memcpy(formula.exponent, f->fit.exponent, f->fit.rank);
	return formula;
}

/* What `rows` rows from `first` on take by the factors, and by the parent alone. */
static void
stretch_cost(const Factored *f, uint64 first, uint64 rows, uint64 *by_factors, uint64 *by_parent)
{
	const RecipeSearch *search = f->search;
	const sparse_dtype dtype = search->spec->dtype;
	const unsigned unit = sparse_dtype_get(dtype)->bytes;
	const unsigned base_unit = sparse_dtype_get(f->base->dtype)->bytes;
	const uint64 elements = rows * f->columns;
	const size_t left = rows * f->fit.rank * sizeof(int16_t);
	const size_t right = f->columns * f->fit.rank * sizeof(int16_t);
	char	   *content = palloc(elements * unit);
	char	   *references = palloc_extended(elements * base_unit + left + right, MCXT_ALLOC_HUGE);
	sparse_formula formula = formula_of(f);
	sparse_formula cast = {0};
	sparse_ref	ref[3] = {
		{.parent = 0, .dtype = f->base->dtype, .count = elements},
		{.parent = 1, .dtype = SPARSE_I16, .count = rows * f->fit.rank},
		{.parent = 2, .dtype = SPARSE_I16, .count = f->columns * f->fit.rank}
	};
	sparse_codec *codec = object_reader_codec(search->reader);
	const uint8_t *delta;
	size_t		bytes;
	sparse_status status;

	search->spec->source(search->spec->source_state, first * f->columns * unit, elements * unit, content);
	object_read(search->reader, f->base->object, first * f->columns * base_unit,
				elements * base_unit, references);
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
	if (status != SPARSE_OK)
		sparse_report(status, "encode a sample");
	*by_parent += bytes;
	pfree(content);
	pfree(references);
}

static bool
is_worth_it(const Factored *f)
{
	const uint64 rows = Min(f->rows, Max(1, STRETCH_ELEMENTS / f->columns));
	uint64		by_factors = 0;
	uint64		by_parent = 0;
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

/* ---- the factors as objects ---- */

typedef struct FactorSource
{
	const char *bytes;
} FactorSource;

static void
read_factor(void *state, uint64 first, uint64 bytes, char *target)
{
	memcpy(target, ((FactorSource *) state)->bytes + first, bytes);
}

static int64
store_factor(const RecipeSearch *search, const void *factor, sparse_dtype dtype, uint64 count)
{
	FactorSource source = {factor};
	Sha256	   *sha256 = sha256_create(CurrentMemoryContext);
	uint8		digest[SPARSE_SHA256_BYTES];
	ObjectResult result;
	ObjectSpec	spec = {
		.place = search->spec->place, .sha256 = digest, .dtype = dtype, .bytes = count * sparse_dtype_get(dtype)->bytes,
		.version = search->spec->version, .source = read_factor, .source_state = &source
	};

	for (uint64 first = 0; first < spec.bytes; first += PIECE_BYTES)
		sha256_add(sha256, source.bytes + first, Min(PIECE_BYTES, spec.bytes - first));
	sha256_finish(sha256, digest);
	object_write(search->reader, &spec, &result);
	return result.id;
}

/* fit_pause */
static void
let_interrupt(void *state)
{
	(void) state;
	CHECK_FOR_INTERRUPTS();
}

static void
propose(RecipeSearch *search, const Factored *f)
{
	Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_LOW_RANK);

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
propose_sum(RecipeSearch *search, const Factored *f, const fit_priced *fit)
{
	Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_SUM);

	recipe_add_elements(recipe, f->base);
	recipe_add_source(recipe, store_factor(search, fit->left, SPARSE_I8, f->rows * fit->rank), SPARSE_I8, 0, f->rows * fit->rank);
	recipe_add_source(recipe, store_factor(search, fit->right, SPARSE_I8, f->columns * fit->rank), SPARSE_I8, 0,
					  f->columns * fit->rank);
	recipe->source[1].made = recipe->source[2].made = true;
	recipe->formula = (sparse_formula) {
		.bases = 1, .coefficient = {1}, .rank = fit->rank, .columns = f->columns, .power = fit->power
	};
	memcpy(recipe->formula.exponent, fit->shift, fit->rank);
}

static void
search_priced(RecipeSearch *search, const Factored *f, const sparse_allocator *allocator)
{
	const bool	thorough = sparse_effort > 2;
	fit_priced	fit;
	sparse_status status = fit_priced_find(object_reader_codec(search->reader), allocator, read_rows, let_interrupt, (void *) f,
										   f->rows, f->columns, search->spec->dtype, thorough ? MOST_RANK : CHEAP_RANK, thorough,
										   &fit);

	if (status != SPARSE_OK)
		sparse_report(status, "look for a change's components");
	if (fit.rank > 0 && fit.expected * 100 < fit.alone * WORTH_PRICED)
		propose_sum(search, f, &fit);
	fit_priced_free(allocator, &fit);
}

/* Whether a search before this one found factors, or several parents that make it up. */
static bool
is_explained(const RecipeSearch *search)
{
	for (int i = 0; i < search->recipes; i++)
		if (search->recipe[i].predictor == SPARSE_PREDICT_LOW_RANK || search->recipe[i].predictor == SPARSE_PREDICT_BLEND
			|| search->recipe[i].predictor == SPARSE_PREDICT_PRUNED)
			return true;
	return false;
}

void
search_lowrank(RecipeSearch *search)
{
	Factored	f = {.search = search, .columns = search->columns};
	sparse_allocator allocator;
	sparse_status status;

	if (!search->is_float || search->object->tensor->rank != 2 || is_explained(search))
		return;
	for (int i = 0; i < search->kin && f.base == NULL; i++)
		if (search->of_name[i].elements == search->elements && sparse_dtype_get(search->of_name[i].dtype)->exponent_bits > 0)
			f.base = &search->of_name[i];
	if (f.base == NULL)
		return;
	f.rows = search->elements / f.columns;
	sparse_allocator_init(&allocator, CurrentMemoryContext);
	status = fit_lowrank_find(&allocator, read_rows, let_interrupt, &f, f.rows, f.columns, search->spec->dtype, &f.fit);
	if (status != SPARSE_OK)
		sparse_report(status, "look for a low rank");
	if (f.fit.rank > 0 && is_worth_it(&f))
		propose(search, &f);
	else
		search_priced(search, &f, &allocator);
	fit_lowrank_free(&allocator, &f.fit);
}
