/*
 * begin.c: sparse_begin, which opens a version that is about to be uploaded.
 *
 * It is an import without the bytes: the same checks, the same order of locks, the same
 * rows. Headers are here and are stored at once. Of all other contents only the SHA-256s
 * are said: one that occurs in a version which the caller can read is taken from there,
 * any other gets a staged object (store/stage.c) that waits for its chunks.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "declare.h"
#include "find.h"
#include "have.h"
#include "model/answer.h"
#include "model/import.h"
#include "quota.h"
#include "upload.h"

PG_FUNCTION_INFO_V1(wire_begin);

typedef struct Beginning
{
	Import	   *import;
	Import		kin;			/* the same with its parents in the order in which they are candidates */
	Known	   *known;
	ObjectReader *reader;
} Beginning;

/* ---- going on with what was begun before ---- */

static StoreQuery again_query = {
	.sql = "update sparse.upload u set begun_at = now() from sparse.version v"
	" where u.declaration = $1 and v.id = u.version and v.state = 'open' and v.name = $2 returning u.version",
	.args = 2, .arg = {BYTEAOID, TEXTOID},
	.columns = 1, .column = {INT8OID}};

/* The open version of that declaration that still has the name; 0: there is none. */
static int64
find_again(const uint8 *declaration, const char *name)
{
	Datum		argument[2] = {sha256_datum(declaration), CStringGetTextDatum(name)};
	StoreAccess access;
	SPITupleTable *rows;
	int64		version = 0;

	store_enter(&access);
	answer_connect();
	if (query_run(&again_query, argument, NULL, false, &rows) > 0)
		version = row_int64(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	return version;
}

/* ---- objects ---- */

/* Those parents first that the client has: against them it can make deltas. */
static void
order_parents(const Import *import, const Have *have, Import *ordered)
{
	const int64 *version;
	int			versions = have_versions(have, &version);
	int			count = 0;

	*ordered = *import;
	ordered->parent = palloc0(Max(import->parents, 1) * sizeof(ImportParent));
	for (int wanted = 1; wanted >= 0; wanted--)
		for (int i = 0; i < import->parents; i++)
		{
			bool		has = false;

			for (int j = 0; j < versions && !has; j++)
				has = version[j] == import->parent[i].version.id;
			if (has == (wanted == 1))
				ordered->parent[count++] = import->parent[i];
		}
}

/* Versions that the caller was found to be able to read: parents, and what he has. */
static Known *
known_from(const Import *import, const Have *have)
{
	const int64 *version;
	int			versions = have_versions(have, &version);
	int64	   *readable = palloc((import->parents + versions + 1) * sizeof(int64));
	int			count = 0;

	for (int i = 0; i < import->parents; i++)
		readable[count++] = import->parent[i].version.id;
	for (int i = 0; i < versions; i++)
		readable[count++] = version[i];
	return known_create(readable, count);
}

static bool
is_header(const Import *import, const PlanObject *object)
{
	return object->tensor == NULL && import->plan->file[object->file].safetensors;
}

static void
read_header(void *state, uint64 first, uint64 bytes, char *target)
{
	source_read(state, first, bytes, target);
}

static void
describe(const Beginning *beginning, const PlanObject *object, ObjectSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->place = beginning->import->place;
	spec->version = beginning->import->version;
	spec->sha256 = object->sha256;
	spec->dtype = object->dtype;
	spec->bytes = object->bytes;
	spec->row_bytes = object->row_bytes;
	spec->source = read_header;
	spec->source_state = beginning->import->plan->file[object->file].source;
	spec->candidates = import_candidates(&beginning->kin, object, spec->candidate);
}

/* Stores a header, or stages what is not here; its id. As the store's owner, within SPI_connect. */
static int64
store_object(Beginning *beginning, const PlanObject *object)
{
	Import	   *import = beginning->import;
	ObjectSpec	spec;
	ObjectResult result;

	describe(beginning, object, &spec);
	if (!is_header(import, object))
		return object_stage(beginning->reader, &spec, import->version);
	object_write(beginning->reader, &spec, &result);
	if (!result.existed)
	{
		import->new_objects++;
		import->new_bytes += (int64) object->bytes;
		import->stored_bytes += (int64) result.stored_bytes;
	}
	return result.id;
}

static int64
id_of_object(Beginning *beginning, const PlanObject *object)
{
	StoreAccess access;
	int64		id = 0;

	if (!is_header(beginning->import, object))
		id = known_object(beginning->known, object->sha256, object->bytes);
	if (id != 0)
		return id;
	store_enter(&access);
	answer_connect();
	id = store_object(beginning, object);
	answer_finish();
	store_leave(&access);
	return id;
}

/* Objects of one SHA-256 have one content, and so one length. */
static void
check_equal_bytes(const Import *import, PlanObject *const *object, uint64 count)
{
	for (uint64 i = 1; i < count; i++)
		if (object[i]->bytes != object[0]->bytes)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("contents of different lengths are said to have one SHA-256"),
					errdetail("SHA-256 %s, with " UINT64_FORMAT " and " UINT64_FORMAT " bytes, in files \"%s\" and \"%s\".",
							  sha256_text(object[0]->sha256), object[0]->bytes, object[i]->bytes,
							  import->plan->file[object[0]->file].path,
							  import->plan->file[object[i]->file].path));
}

/* The objects of one SHA-256: a header among them is what is known of it, else the first in the version. */
static void
place_group(Beginning *beginning, PlanObject **object, uint64 count)
{
	const PlanObject *leader = object[0];
	int64		id;

	check_equal_bytes(beginning->import, object, count);
	for (uint64 i = 0; i < count && !is_header(beginning->import, leader); i++)
		if (is_header(beginning->import, object[i]))
			leader = object[i];
	id = id_of_object(beginning, leader);
	for (uint64 i = 0; i < count; i++)
		object[i]->id = id;
}

/* In the order of the SHA-256s, since headers are stored for good. */
static void
place_objects(Beginning *beginning)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse object",
												  ALLOCSET_DEFAULT_SIZES);
	uint64		count;
	PlanObject **object = plan_sorted_objects(beginning->import->plan, &count);

	for (uint64 first = 0, next; first < count; first = next)
	{
		MemoryContext previous = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		for (next = first + 1; next < count; next++)
			if (memcmp(object[first]->sha256, object[next]->sha256, SPARSE_SHA256_BYTES) != 0)
				break;
		place_group(beginning, &object[first], next - first);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	pfree(object);
}

/* ---- rows ---- */

static StoreQuery insert_upload = {
	.sql = "insert into sparse.upload (version, declaration) values ($1, $2)",
	.args = 2, .arg = {INT8OID, BYTEAOID}};

static StoreQuery count_headers = {
	.sql = "update sparse.upload set new_objects = $2, new_bytes = $3, stored_bytes = $4 where version = $1",
	.args = 4, .arg = {INT8OID, INT4OID, INT8OID, INT8OID}};

static void
run_as_owner(StoreQuery *query, Datum *argument)
{
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	query_run(query, argument, NULL, false, NULL);
	answer_finish();
	store_leave(&access);
}

static void
open_upload(const Import *import, const uint8 *declaration)
{
	Datum		argument[2] = {Int64GetDatum(import->version), sha256_datum(declaration)};

	import_insert_version(import);
	run_as_owner(&insert_upload, argument);
}

static void
write_rows(const Import *import)
{
	Datum		argument[4] = {Int64GetDatum(import->version), Int32GetDatum(import->new_objects),
	Int64GetDatum(import->new_bytes), Int64GetDatum(import->stored_bytes)};
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	import_rows(import);
	quota_check_upload(import->version);
	answer_finish();
	store_leave(&access);
	run_as_owner(&count_headers, argument);
}

/* ---- the function ---- */

static void
open_version(Import *import, const Have *have, const uint8 *declaration)
{
	Beginning	beginning = {.import = import};

	import_check_snapshot(import->name);
	import_prepare(import);
	open_upload(import, declaration);
	order_parents(import, have, &beginning.kin);
	beginning.known = known_from(import, have);
	beginning.reader = object_reader_create(CurrentMemoryContext, false);
	object_reader_context(beginning.reader, import->name, NULL, NULL);
	place_objects(&beginning);
	object_reader_free(beginning.reader);
	write_rows(import);
}

/* What is there under the name already, or was begun before; else it is opened. */
static int64
find_or_open(Import *import, const Have *have)
{
	uint8		declaration[SPARSE_SHA256_BYTES];
	int64		version;

	declaration_digest(import, declaration);
	import_lock_name(import->name);
	version = import_find_same(import, false);
	if (version != 0)
	{
		import_unlock_name(import->name);
		return version;
	}
	store_lock_for_writing();
	version = find_again(declaration, import->name);
	if (version != 0)
		return version;
	open_version(import, have, declaration);
	return import->version;
}

/* Read as the caller, at this moment, like parents. */
static Have *
have_now(FunctionCallInfo fcinfo, int argument)
{
	Have	   *have;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	have = have_of_argument(fcinfo, argument, true);
	PopActiveSnapshot();
	return have;
}

/* sparse_begin(name, files, parents, roles, metadata, have) */
Datum
wire_begin(PG_FUNCTION_ARGS)
{
	Import		import = {0};
	Have	   *have;

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "files");
	import.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	version_check_name(import.name);
	import_check_may_insert();
	import_resolve_parents(fcinfo, &import);
	have = have_now(fcinfo, 5);
	import.metadata = import_metadata_argument(fcinfo, 4);
	import.plan = declared_plan(PG_GETARG_JSONB_P(1));
	PG_RETURN_INT64(find_or_open(&import, have));
}
