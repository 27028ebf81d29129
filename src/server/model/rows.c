/*
 * rows.c: the rows of a version, written as the store's owner: its number and
 * family before its row is inserted (as the caller), its files, tensors and
 * parents after its objects are stored, and its counters, which make it ready.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "import.h"
#include "store/place.h"

#define TENSORS_A_STATEMENT 1000

/* ---- before the version's row ---- */

static StoreQuery version_query = {
	.sql = "select nextval(pg_get_serial_sequence('sparse.version', 'id')),"
	"       coalesce(max(v.revision), 0) + 1,"
	"       (array_agg(v.family order by v.revision desc))[1],"
	"       coalesce(bool_or(v.exact = $2), false)"
	"  from sparse.version v"
	" where v.name = $1",
	.args = 2, .arg = {TEXTOID, BOOLOID},
	.columns = 4, .column = {INT8OID, INT4OID, INT8OID, BOOLOID}};

static StoreQuery family_query = {
	.sql = "insert into sparse.family (name, place) values ($1, $2) returning id",
	.args = 2, .arg = {TEXTOID, INT2OID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery place_query = {
	.sql = "select place from sparse.family where id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT2OID}};

/* That of the first parent of the same kind; else that of an earlier revision (0: there is none); else a new one. */
static int64
family_of(const Import *import, int64 of_earlier)
{
	SPITupleTable *rows;
	Datum		argument[2];

	for (int i = 0; i < import->parents; i++)
		if (import->parent[i].version.kind == (import->dataset ? 'd' : 'm'))
			return import->parent[i].version.family;
	if (of_earlier != 0)
		return of_earlier;
	argument[0] = CStringGetTextDatum(import->name);
	argument[1] = Int16GetDatum(place_of_new_family());
	query_run(&family_query, argument, NULL, false, &rows);
	return row_int64(rows, 0, 1);
}

/* Whoever asks for a name gets its newest revision, and must not wonder what it is. */
pg_noreturn static void
refuse_mixture(const Import *import)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("the versions named \"%s\" are %s", import->name,
				   import->approximate ? "exact" : "approximations"),
			errhint("Give %s a name of its own.", import->approximate ? "the approximation" : "the version"));
}

void
import_assign(Import *import)
{
	Datum		argument[2] = {CStringGetTextDatum(import->name), BoolGetDatum(import->approximate)};
	Datum		family;
	int64		of_earlier;
	SPITupleTable *rows;

	query_run(&version_query, argument, NULL, false, &rows);
	import->mixes = DatumGetBool(row_datum(rows, 0, 4));
	import->version = row_int64(rows, 0, 1);
	import->revision = row_int32(rows, 0, 2);
	of_earlier = row_is_null(rows, 0, 3) ? 0 : row_int64(rows, 0, 3);

	import->family = family_of(import, of_earlier);
	family = Int64GetDatum(import->family);
	query_run(&place_query, &family, NULL, false, &rows);
	import->place = DatumGetInt16(row_datum(rows, 0, 1));
}

/* The row as the caller: what others of the name are is told to nobody whom policies would not let bear it. */
void
import_insert_version(const Import *import)
{
	version_insert(import->version, import->dataset ? "dataset" : "model", !import->approximate, import->name,
				   import->revision, import->family, NULL, import->metadata);
	if (import->mixes)
		refuse_mixture(import);
}

/* ---- files ---- */

static StoreQuery file_query = {
	.sql = "insert into sparse.file (version, ordinal, path, format, bytes, sha256, object, object_bytes,"
	"                         checksum)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8, case when $9 then $10 end)",
	.args = 10, .arg = {INT8OID, INT4OID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT8OID, INT8OID, BOOLOID, BYTEAOID}};

static void
insert_file(const Import *import, int ordinal)
{
	const PlanFile *file = &import->plan->file[ordinal];
	Datum		argument[10];

	argument[0] = Int64GetDatum(import->version);
	argument[1] = Int32GetDatum(ordinal);
	argument[2] = CStringGetTextDatum(file->path);
	argument[3] = CStringGetTextDatum(sparse_file_kind_name(file->kind));
	argument[4] = Int64GetDatum((int64) file->bytes);
	argument[5] = sha256_datum(file->sha256);
	argument[6] = Int64GetDatum(file->object.id);
	argument[7] = Int64GetDatum((int64) file->object.bytes);
	argument[8] = BoolGetDatum(file->summed);
	argument[9] = checksum_datum(file->checksum);
	query_run(&file_query, argument, NULL, false, NULL);
}

/* ---- tensors, many in a statement ---- */

static StoreQuery tensor_query = {
	.sql = "insert into sparse.tensor (version, file, ordinal, name, dtype, shape, first_byte, bytes, object)"
	" select $1, $2, u.ordinal, u.name, u.dtype, u.shape::bigint[], u.first_byte, u.bytes, u.object"
	"   from unnest($3, $4, $5, $6, $7, $8, $9)"
	"     as u (ordinal, name, dtype, shape, first_byte, bytes, object)",
	.args = 9, .arg = {INT8OID, INT4OID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}};

/* The columns of a statement's rows. */
typedef struct TensorBatch
{
	int			count;
	Datum		ordinal[TENSORS_A_STATEMENT];
	Datum		name[TENSORS_A_STATEMENT];
	Datum		dtype[TENSORS_A_STATEMENT];
	Datum		shape[TENSORS_A_STATEMENT];
	Datum		first_byte[TENSORS_A_STATEMENT];
	Datum		bytes[TENSORS_A_STATEMENT];
	Datum		object[TENSORS_A_STATEMENT];
} TensorBatch;

static void
add_to_batch(TensorBatch *batch, const PlanTensor *tensor, uint32 ordinal)
{
	int			i = batch->count++;

	batch->ordinal[i] = Int32GetDatum((int32) ordinal);
	batch->name[i] = CStringGetTextDatum(tensor->name);
	batch->dtype[i] = CStringGetTextDatum(tensor->dtype);
	/* as text: arrays of arrays do not unnest into arrays */
	batch->shape[i] = CStringGetTextDatum(plan_shape_text(tensor));
	batch->first_byte[i] = Int64GetDatum((int64) tensor->object.first);
	batch->bytes[i] = Int64GetDatum((int64) tensor->object.bytes);
	batch->object[i] = Int64GetDatum(tensor->object.id);
}

static void
insert_batch(const Import *import, int file, TensorBatch *batch)
{
	Datum		argument[9];

	argument[0] = Int64GetDatum(import->version);
	argument[1] = Int32GetDatum(file);
	argument[2] = array_datum(INT4OID, batch->ordinal, batch->count);
	argument[3] = array_datum(TEXTOID, batch->name, batch->count);
	argument[4] = array_datum(TEXTOID, batch->dtype, batch->count);
	argument[5] = array_datum(TEXTOID, batch->shape, batch->count);
	argument[6] = array_datum(INT8OID, batch->first_byte, batch->count);
	argument[7] = array_datum(INT8OID, batch->bytes, batch->count);
	argument[8] = array_datum(INT8OID, batch->object, batch->count);
	query_run(&tensor_query, argument, NULL, false, NULL);
}

static void
insert_tensors(const Import *import, int ordinal)
{
	const PlanFile *file = &import->plan->file[ordinal];
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse rows",
												  ALLOCSET_DEFAULT_SIZES);
	TensorBatch *batch = palloc(sizeof(TensorBatch));

	for (uint32 next = 0; next < file->tensors;)
	{
		MemoryContext previous = MemoryContextSwitchTo(context);

		for (batch->count = 0; batch->count < TENSORS_A_STATEMENT && next < file->tensors; next++)
			add_to_batch(batch, &file->tensor[next], next);
		insert_batch(import, ordinal, batch);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(batch);
	MemoryContextDelete(context);
}

/* ---- the version itself ---- */

/*
 * A file is new where no other version that can be seen has its content, and no
 * earlier file of this one. Not "no earlier version": ids are given before contents
 * are stored, so of two imports at the same time the later one may end first, and
 * the other then finds its files. Whoever ends second waits at the objects that
 * both bring, and sees them. What open versions say of themselves does not count.
 * Each question is one probe of the index (sha256, version, ordinal): a scalar subquery
 * with a limit is never made a join, which would look at every copy.
 */
#define NO_COPY_WHERE(condition) \
	"(select true from sparse.file o where o.sha256 operator(pg_catalog.=) f.sha256 and " condition " limit 1) is null"
#define IS_NOT_OPEN \
	" and (select ov.state from sparse.version ov where ov.id operator(pg_catalog.=) o.version) operator(pg_catalog.<>) 'open'"

static StoreQuery ready_query = {
	.sql = "update sparse.version"
	"   set state = 'ready', content_sha256 = $2, files = $3, tensors = $4, raw_bytes = $5,"
	"       unique_file_bytes = (select coalesce(pg_catalog.sum(f.bytes), 0)"
	"                              from sparse.file f"
	"                             where f.version operator(pg_catalog.=) $1"
	"                               and " NO_COPY_WHERE("o.version operator(pg_catalog.<) $1" IS_NOT_OPEN)
	"                               and " NO_COPY_WHERE("o.version operator(pg_catalog.>) $1" IS_NOT_OPEN)
	"                               and " NO_COPY_WHERE("o.version operator(pg_catalog.=) $1"
														" and o.ordinal operator(pg_catalog.<) f.ordinal") "),"
	"       new_objects = $6, new_bytes = $7, stored_bytes = $8"
	" where id operator(pg_catalog.=) $1 and state operator(pg_catalog.=) 'open'",
	.args = 8, .arg = {INT8OID, BYTEAOID, INT4OID, INT4OID, INT8OID, INT4OID, INT8OID, INT8OID}};

/* A rule left nothing of a statement, or another one was faster. */
pg_noreturn static void
suppressed(const Import *import, StoreQuery *query)
{
	query_forget(query);
	ereport(ERROR,
			errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			errmsg("version \"%s@%d\" was not made ready", import->name, import->revision),
			errdetail("It was dropped meanwhile, or a trigger or a rule of table sparse.version suppressed it."));
}

void
import_make_ready(const Import *import)
{
	const ImportPlan *plan = import->plan;
	Datum		argument[8];

	argument[0] = Int64GetDatum(import->version);
	argument[1] = sha256_datum(plan->content_sha256);
	argument[2] = Int32GetDatum(plan->files);
	argument[3] = Int32GetDatum((int32) plan_tensors(plan));
	argument[4] = Int64GetDatum((int64) plan_bytes(plan));
	argument[5] = Int32GetDatum(import->new_objects);
	argument[6] = Int64GetDatum(import->new_bytes);
	argument[7] = Int64GetDatum(import->stored_bytes);
	if (query_run(&ready_query, argument, NULL, false, NULL) != 1)
		suppressed(import, &ready_query);
}

void
import_rows(const Import *import)
{
	import_insert_parents(import);
	for (int i = 0; i < import->plan->files; i++)
	{
		CHECK_FOR_INTERRUPTS();
		insert_file(import, i);
		insert_tensors(import, i);
	}
}
