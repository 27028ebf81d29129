/*
 * recipes.c: from what, and how, a tensor might be computed.
 *
 * For each tensor that is new, its kin in the parents are looked up by its name, with
 * and without the prefixes that tools add; then each search (recipe_*.c) looks for one kind of child.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "answer.h"
#include "codec/convert.h"
#include "recipes.h"

static StoreQuery kin_query = {
	.sql = "select t.object, t.dtype, t.shape"
	"  from (select * from sparse.tensor n where n.version = $1 and n.name = any ($2) offset 0) t"
	" where t.bytes > 0"
	" order by array_position($2, t.name), t.file"
	" limit 1",
	.args = 2, .arg = {INT8OID, TEXTARRAYOID},
	.columns = 3, .column = {INT8OID, TEXTOID, INT8ARRAYOID}};

Recipe *
recipes_add(RecipeSearch *search, sparse_predictor predictor)
{
	static Recipe scratch;
	Recipe	   *recipe = search->recipes < MAX_RECIPES ? &search->recipe[search->recipes++] : &scratch;

	memset(recipe, 0, sizeof(*recipe));
	recipe->predictor = predictor;
	return recipe;
}

void
recipe_add_source(Recipe *recipe, int64 object, sparse_dtype dtype, uint64 per, uint64 count)
{
	if (recipe->sources == lengthof(recipe->source))
		elog(ERROR, "a recipe has too many sources");
	recipe->source[recipe->sources++] = (RecipeSource) {
		.object = object, .per = per, .count = count, .dtype = dtype
	};
}

void
recipe_add_elements(Recipe *recipe, const Kin *kin)
{
	recipe_add_source(recipe, kin->object, kin->dtype, 1, 1);
}

void
sample_content(const RecipeSearch *search, uint64 first, uint64 count, float *x)
{
	const unsigned unit = sparse_dtype_get(search->spec->dtype)->bytes;
	char	   *bytes = palloc(count * unit);

	search->spec->source(search->spec->source_state, first * unit, count * unit, bytes);
	load_floats(search->spec->dtype, (const uint8 *) bytes, count, x);
	pfree(bytes);
}

void
sample_object(const RecipeSearch *search, const Kin *kin, uint64 first, uint64 count, float *x)
{
	const unsigned unit = sparse_dtype_get(kin->dtype)->bytes;
	char	   *bytes = palloc(count * unit);

	object_read(search->reader, kin->object, first * unit, count * unit, bytes);
	load_floats(kin->dtype, (const uint8 *) bytes, count, x);
	pfree(bytes);
}

char *
without_suffix(const char *name, const char *suffix)
{
	size_t		length = strlen(name);
	size_t		tail = strlen(suffix);

	if (length <= tail || strcmp(name + length - tail, suffix) != 0)
		return NULL;
	return pnstrdup(name, length - tail);
}

int
recipes_names(const char *name, char **names, int room)
{
	static const char *const prefix[] = {"model.", "base_model.model.", "transformer.", "module.", "language_model.",
	"_orig_mod.", "base_model."};
	int			count = 0;

	names[count++] = pstrdup(name);
	for (size_t i = 0; i < lengthof(prefix) && count < room; i++)
		if (strncmp(name, prefix[i], strlen(prefix[i])) == 0 && name[strlen(prefix[i])] != '\0')
			names[count++] = pstrdup(name + strlen(prefix[i]));
	for (size_t i = 0; i < lengthof(prefix) && count < room; i++)
		names[count++] = psprintf("%s%s", prefix[i], name);
	return count;
}

/* Fills in a tensor's shape; false for those that recipes cannot use. */
static bool
kin_shape(Kin *kin, Datum shape)
{
	ArrayType  *array = DatumGetArrayTypeP(shape);
	Datum	   *value;
	bool	   *null;
	int			count;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &value, &null, &count);
	if (count > MAX_RANK_OF_TENSOR)
		return false;
	kin->rank = count;
	kin->elements = 1;
	for (int i = 0; i < count; i++)
	{
		kin->shape[i] = DatumGetInt64(value[i]);
		kin->elements *= kin->shape[i];
	}
	return true;
}

bool
kin_of_row(const SPITupleTable *rows, uint64 row, int64 version, Kin *kin)
{
	char	   *dtype = TextDatumGetCString(row_datum(rows, row, 2));
	bool		usable = sparse_dtype_find(dtype, strlen(dtype), &kin->dtype) && convert_loads(kin->dtype);

	kin->object = row_int64(rows, row, 1);
	kin->version = version;
	pfree(dtype);
	return usable && kin_shape(kin, row_datum(rows, row, 3));
}

bool
recipes_find(int64 version, char **name, int names, Kin *kin)
{
	Datum		argument[2];
	Datum	   *value = palloc(names * sizeof(Datum));
	SPITupleTable *rows;
	bool		found;

	for (int i = 0; i < names; i++)
		value[i] = CStringGetTextDatum(name[i]);
	argument[0] = Int64GetDatum(version);
	argument[1] = array_datum(TEXTOID, value, names);
	found = query_run(&kin_query, argument, NULL, false, &rows) > 0 && kin_of_row(rows, 0, version, kin);
	SPI_freetuptable(rows);
	return found;
}

const PlanTensor *
recipes_sibling(const RecipeSearch *search, const char *name)
{
	return plan_find_tensor(&search->import->plan->file[search->object->file], name);
}

/* The tensors of its name in the parents, or else what they have under others. */
static void
find_kin(RecipeSearch *search)
{
	char	   *name[16];
	int			names = recipes_names(search->object->tensor->name, name, lengthof(name));

	for (int i = 0; i < search->import->parents && search->kin < MAX_KIN; i++)
	{
		Kin		   *kin = &search->of_name[search->kin];
		bool		found = recipes_find(search->import->parent[i].version.id, name, names, kin);

		search->kin += found;
		if (sparse_effort > 1 && i < MAX_KIN && search->import->kin != NULL && (!found || !kin_is_alike(search, kin)))
			search_renamed(search, i);
	}
}

static void
describe_self(RecipeSearch *search)
{
	const PlanTensor *tensor = search->object->tensor;

	search->self.dtype = search->spec->dtype;
	search->self.rank = (int) tensor->rank;
	memcpy(search->self.shape, tensor->shape, tensor->rank * sizeof(uint64));
	search->self.elements = search->elements;
}

/* The same weights in another dtype. */
static void
search_cast(RecipeSearch *search)
{
	for (int i = 0; i < search->kin; i++)
	{
		const Kin  *kin = &search->of_name[i];

		if (search->is_float && kin->elements == search->elements && kin->dtype != search->spec->dtype
			&& sparse_dtype_get(kin->dtype)->exponent_bits > 0)
			recipe_add_elements(recipes_add(search, SPARSE_PREDICT_CAST), kin);
	}
}

void
import_recipes(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(spec->dtype);
	RecipeSearch search = {.import = import, .reader = reader, .object = object, .spec = spec};

	if (object->tensor == NULL || object->bytes == 0 || import->parents == 0 || object->tensor->rank > MAX_RANK_OF_TENSOR
		|| !convert_loads(spec->dtype))
		return;
	search.elements = object->bytes / dtype->bytes;
	search.columns = object->row_bytes > 0 ? object->row_bytes / dtype->bytes : search.elements;
	search.is_float = dtype->exponent_bits > 0;
	search.recipe = palloc(MAX_RECIPES * sizeof(Recipe));
	describe_self(&search);
	find_kin(&search);
	search_cast(&search);
	spec->recipe = search.recipe;
	if (sparse_effort < 2)
	{
		spec->recipes = search.recipes;
		return;
	}
	search_blend(&search);
	search_pruned(&search);
	search_adapter(&search);
	search_scaled(&search);
	search_lowrank(&search);
	spec->recipes = search.recipes;
}
