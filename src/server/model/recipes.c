/*
 * recipes.c: the core's searches for recipes, over an import and its parents (see recipes.h).
 *
 * A tensor of a parent is a row of sparse.tensor, one beside the tensor at hand stands in the plan.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "recipes.h"
#include "sdelta/glue.h"
#include "store/reader.h"

static StoreQuery kin_query = {
	.sql = "select t.object, t.dtype, t.shape"
	"  from (select * from sparse.tensor n where n.version = $1 and n.name = any ($2) offset 0) t"
	" where t.bytes > 0"
	" order by array_position($2, t.name), t.file"
	" limit 1",
	.args = 2, .arg = {INT8OID, TEXTARRAYOID},
	.columns = 3, .column = {INT8OID, TEXTOID, INT8ARRAYOID}};

static StoreQuery tensors_query = {
	.sql = "select t.object, t.dtype, t.shape from sparse.tensor t"
	" where t.version = $1 and t.bytes > 0"
	" order by t.file, t.ordinal"
	" limit $2",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, TEXTOID, INT8ARRAYOID}};

static const ImportObject *
proposing(void *state)
{
	return ((const ObjectSource *) state)->above;
}

/* A tensor from the columns object, dtype, shape of a row; false when it is none that recipes can use. */
static bool
kin_of_row(const SPITupleTable *rows, uint64 row, int parent, sparse_kin *kin)
{
	char	   *dtype = TextDatumGetCString(row_datum(rows, row, 2));
	bool		known = sparse_dtype_find(dtype, strlen(dtype), &kin->dtype);
	uint64_t	shape[SPARSE_KIN_RANK];
	Datum	   *value;
	bool	   *null;
	int			count;

	kin->object = row_int64(rows, row, 1);
	kin->parent = parent;
	pfree(dtype);
	deconstruct_array(DatumGetArrayTypeP(row_datum(rows, row, 3)), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &value, &null, &count);
	for (int i = 0; i < Min(count, SPARSE_KIN_RANK); i++)
		shape[i] = (uint64_t) DatumGetInt64(value[i]);
	return known && sparse_kin_shape(kin, shape, (uint32_t) count);
}

static bool
find_kin(void *state, int parent, char *const *name, int names, sparse_kin *found)
{
	const Import *import = proposing(state)->import;
	Datum		argument[2];
	Datum	   *value = palloc(names * sizeof(Datum));
	SPITupleTable *rows;
	bool		usable;

	for (int i = 0; i < names; i++)
		value[i] = CStringGetTextDatum(name[i]);
	argument[0] = Int64GetDatum(parent < import->parents ? import->parent[parent].version.id
								: import->neighbour[parent - import->parents]);
	argument[1] = array_datum(TEXTOID, value, names);
	usable = query_run(&kin_query, argument, NULL, false, &rows) > 0 && kin_of_row(rows, 0, parent, found);
	SPI_freetuptable(rows);
	return usable;
}

static bool
find_sibling(void *state, const char *name, sparse_kin *found)
{
	const ImportObject *p = proposing(state);
	const PlanTensor *tensor = plan_find_tensor(&p->import->plan->file[p->object->file], name);

	if (tensor == NULL)
		return false;
	found->object = tensor->object.id;
	found->dtype = tensor->object.dtype;
	found->parent = -1;
	return sparse_kin_shape(found, tensor->shape, tensor->rank);
}

static void
list_kin(void *state, int parent, uint64_t most, void (*take) (void *taker, const sparse_kin *kin), void *taker)
{
	const Import *import = proposing(state)->import;
	Datum		argument[2] = {Int64GetDatum(import->parent[parent].version.id), Int64GetDatum((int64) most)};
	SPITupleTable *rows;
	uint64		count = query_run(&tensors_query, argument, NULL, false, &rows);

	for (uint64 i = 0; i < count; i++)
	{
		sparse_kin	kin;

		if (kin_of_row(rows, i, parent, &kin))
			take(taker, &kin);
	}
	SPI_freetuptable(rows);
}

/* ---- factors, as objects that nothing but the tensor's refers to ---- */

static void
read_factor(void *state, uint64 first, uint64 bytes, char *target)
{
	memcpy(target, (const char *) state + first, bytes);
}

static sparse_status
store_factor(void *state, const void *factor, sparse_dtype dtype, uint64_t count, int64_t *object)
{
	const ObjectSource *source = state;
	Sha256	   *sha256 = sha256_create(CurrentMemoryContext);
	uint8		digest[SPARSE_SHA256_BYTES];
	ObjectResult result;
	ObjectSpec	spec = {
		.place = source->spec->place, .sha256 = digest, .dtype = dtype, .bytes = count * sparse_dtype_get(dtype)->bytes,
		.version = source->spec->version, .source = read_factor, .source_state = (void *) factor
	};

	for (uint64 first = 0; first < spec.bytes; first += PIECE_BYTES)
		sha256_add(sha256, (const char *) factor + first, Min(PIECE_BYTES, spec.bytes - first));
	sha256_finish(sha256, digest);
	object_write(source->reader, &spec, &result);
	*object = result.id;
	return SPARSE_OK;
}

/* ---- the searches ---- */

void
import_shell(ImportShell *shell, const Import *import, ObjectReader *reader, const PlanObject *object, const ObjectSpec *spec)
{
	memset(shell, 0, sizeof(*shell));
	shell->at = (ImportObject) {import, object};
	shell->objects = (ObjectSource) {reader, spec, &shell->at};
	object_source(&shell->objects, &shell->source);
	shell->source.parents = import->parents;
	shell->source.neighbours = import->neighbours;
	shell->source.find = find_kin;
	shell->source.sibling = find_sibling;
	shell->source.list = list_kin;
	shell->source.store = store_factor;
	object_environment(&shell->environment, &shell->allocator, CurrentMemoryContext);
	if (spec != NULL)
		subject_of_spec(spec, &shell->subject);
	shell->subject.dtype = object->dtype;
	if (object->tensor == NULL)
		return;
	shell->subject.name = object->tensor->name;
	shell->subject.rank = object->tensor->rank;
	shell->subject.shape = object->tensor->shape;
}

kin_index *
import_kin_index(MemoryContext context, int parents)
{
	sparse_allocator allocator;
	kin_index  *index;

	sparse_allocator_init(&allocator, context);
	index = kin_index_create(&allocator, parents);
	if (index == NULL)
		sparse_report(SPARSE_NO_MEMORY, "look through the parents");
	return index;
}

bool
import_wants_siblings(const Import *import, const PlanObject *object)
{
	ImportShell shell;
	bool		want;
	sparse_status status;

	import_shell(&shell, import, NULL, object, NULL);
	status = recipes_want_siblings(&shell.environment, &shell.source, &shell.subject, &want);
	if (status != SPARSE_OK)
		sparse_report(status, "look for scales");
	return want;
}

void
import_propose(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec)
{
	sparse_proposals *proposals = palloc_extended(sizeof(sparse_proposals), MCXT_ALLOC_HUGE);
	ImportShell shell;
	sparse_status status;

	import_shell(&shell, import, reader, object, spec);
	proposals->recipes = 0;
	proposals->candidates = import_candidates(import, object, proposals->candidate);
	status = recipes_propose(&shell.environment, &shell.source, &shell.subject, object_reader_codec(reader),
							 import->kin, proposals);
	if (status != SPARSE_OK)
		sparse_report(status, "look for recipes");
	spec->candidates = proposals->candidates;
	memcpy(spec->candidate, proposals->candidate, sizeof(spec->candidate));
	spec->recipe = proposals->recipe;
	spec->recipes = proposals->recipes;
	spec->searched = true;
}
