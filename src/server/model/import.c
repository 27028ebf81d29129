/*
 * import.c: sparse_import_file and sparse_import_bytes.
 *
 * An import names its files (folder.c), parses their headers (plan.c), computes
 * what they are (digest.c), and then, under the lock of the version's name, either
 * finds that very content under that name, or inserts the version as the caller,
 * whose rights and policies decide, and stores what is new as the store's owner
 * (contents.c, rows.c).
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "answer.h"
#include "import.h"
#include "sketch.h"

#ifndef ROLE_PG_READ_SERVER_FILES
#define ROLE_PG_READ_SERVER_FILES DEFAULT_ROLE_READ_SERVER_FILES
#endif

PG_FUNCTION_INFO_V1(model_import_file);
PG_FUNCTION_INFO_V1(model_import_bytes);

/* ---- arguments: name, path or data, parents, roles, metadata ---- */

void
import_check_given(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", name));
}

/* The elements of a text[] argument; none when it is null. */
int
import_text_elements(FunctionCallInfo fcinfo, int argument, const char *name, char ***element)
{
	Datum	   *value;
	bool	   *is_null;
	int			count;

	*element = NULL;
	if (PG_ARGISNULL(argument))
		return 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TEXTOID, -1, false, TYPALIGN_INT,
					  &value, &is_null, &count);
	*element = palloc0(Max(count, 1) * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		if (is_null[i])
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("%s must not hold nulls", name));
		(*element)[i] = TextDatumGetCString(value[i]);
	}
	return count;
}

Datum
import_metadata_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))
		: PG_GETARG_DATUM(argument);
}

/*
 * Whether the caller may insert a version at all, asked before the work begins and
 * before a lock is taken that others would wait for. Policies are asked later, by
 * the insert itself.
 */
void
import_check_may_insert(void)
{
	Oid			version = store_relation("version");

	(void) store_owner();
	if (pg_class_aclcheck(version, GetUserId(), ACL_INSERT) != ACLCHECK_OK
		&& pg_attribute_aclcheck_all(version, GetUserId(), ACL_INSERT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, "version");
}

/* ---- the steps under the name's lock ---- */

/* Two names may share it, and then wait for each other. */
static uint32
hash_of_name(const char *name)
{
	return hash_bytes((const unsigned char *) name, (int) strlen(name));
}

/*
 * One import of a name at a time, until the end of the transaction. A lock on an
 * object of the class "sparse.version", which no SQL command can take.
 */
void
import_lock_name(const char *name)
{
	LockDatabaseObject(store_relation("version"), hash_of_name(name), 0, ExclusiveLock);
}

/*
 * Takes one import_lock_name back. For an import that wrote nothing: whoever finds content
 * that exists need not be allowed to insert it, and shall keep nobody from the name.
 */
void
import_unlock_name(const char *name)
{
	UnlockDatabaseObject(store_relation("version"), hash_of_name(name), 0, ExclusiveLock);
}

static StoreQuery newest_query = {
	.sql = "select coalesce(max(v.revision), 0) from sparse.version v where v.name = $1",
	.args = 1, .arg = {TEXTOID},
	.columns = 1, .column = {INT4OID}};

static int32
newest_revision(const char *name, bool with_active_snapshot)
{
	Datum		argument = CStringGetTextDatum(name);
	StoreAccess access;
	SPITupleTable *rows;
	int32		revision;

	store_enter(&access);
	answer_connect();
	query_run(&newest_query, &argument, NULL, with_active_snapshot, &rows);
	revision = row_int32(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	return revision;
}

/*
 * A transaction that keeps one snapshot may not see what others imported under the
 * name before it got the lock. Its revision, or its content, would be there already.
 */
void
import_check_snapshot(const char *name)
{
	int32		newest;

	if (!IsolationUsesXactSnapshot())
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	newest = newest_revision(name, true);
	PopActiveSnapshot();
	if (newest > newest_revision(name, false))
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not serialize access due to concurrent import of \"%s\"", name),
				errhint("The transaction might succeed if retried."));
}

static StoreQuery same_query = {
	.sql = "select v.id"
	"  from sparse.version v"
	" where v.name = $1 and v.content_sha256 = $2 and v.state = 'ready'"
	" order by v.revision desc"
	" limit 1",
	.args = 2, .arg = {TEXTOID, BYTEAOID},
	.columns = 1, .column = {INT8OID}};

/* The version of that name and content which the caller can see; 0: there is none. */
int64
import_find_same(const Import *import, bool with_active_snapshot)
{
	StoreAccess access;
	SPITupleTable *rows;
	Datum		argument[2];
	int64		version = 0;

	argument[0] = CStringGetTextDatum(import->name);
	argument[1] = sha256_datum(import->plan->content_sha256);
	enter_versions(&access);
	answer_connect();
	if (query_run(&same_query, argument, NULL, with_active_snapshot, &rows) > 0)
		version = row_int64(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	return version;
}

void
import_prepare(Import *import)
{
	int64	   *parent = palloc(Max(import->parents, 1) * sizeof(int64));
	StoreAccess access;

	for (int i = 0; i < import->parents; i++)
		parent[i] = import->parent[i].version.id;
	versions_hold(parent, import->parents);
	store_enter(&access);
	answer_connect();
	import_assign(import);
	answer_finish();
	store_leave(&access);
}

static StoreQuery note_query = {
	.sql = "insert into sparse.unoptimized (version)"
	" select $1 where exists (select from sparse.parent p where p.child = $1)"
	" or exists (select from sparse.found_parent f where f.version = $1)",
	.args = 1, .arg = {INT8OID}};

void
import_note_unoptimized(int64 version)
{
	Datum		argument = Int64GetDatum(version);

	query_run(&note_query, &argument, NULL, false, NULL);
}

static void
keep_sketch(const Import *import)
{
	Sketch	   *sketch = palloc(sizeof(Sketch));

	sketch_of_plan(import->plan, sketch);
	(void) sketch_keep(import->version, sketch);
	pfree(sketch);
}

static void
store(Import *import)
{
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	import_contents(import);
	import_check_found(import);
	import_rows(import);
	import_make_ready(import);
	if (sparse_effort < 2)
		import_note_unoptimized(import->version);
	keep_sketch(import);
	answer_finish();
	store_leave(&access);
}

static int64
import_plan(FunctionCallInfo fcinfo, ImportPlan *plan)
{
	Import		import = {0};
	int64		same;

	import.plan = plan;
	import.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	version_check_name(import.name);
	import_check_may_insert();
	import_resolve_parents(fcinfo, &import);
	if (!PG_ARGISNULL(5))
		import.find = PG_GETARG_BOOL(5) ? IMPORT_FIND_ASKED : SPARSE_FIND_OFF;
	plan_objects(plan);
	import.metadata = metadata_with_configs(plan, import_metadata_argument(fcinfo, 4));
	plan_digest(plan);

	import_lock_name(import.name);
	same = import_find_same(&import, false);
	open_file_close(&plan->open_file);
	if (same != 0)
	{
		import_unlock_name(import.name);
		import_add_parents(&import, same);
		return same;
	}
	import_check_snapshot(import.name);
	import_take_previous(&import);
	import_find_parent(&import);
	import_prepare(&import);
	import_find_neighbours(&import);
	import_insert_version(&import);
	store(&import);
	open_file_close(&plan->open_file);
	return import.version;
}

/* ---- the functions ---- */

void
import_check_may_read_files(const char *action)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to %s files of the server", action),
				errdetail("Only roles with privileges of the \"%s\" role may %s them.",
						  "pg_read_server_files", action),
				errhint("Anyone may give the content itself to sparse_import_bytes()."));
}

Datum
model_import_file(PG_FUNCTION_ARGS)
{
	import_check_may_read_files("import");
	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "path");
	PG_RETURN_INT64(import_plan(fcinfo, plan_of_path(text_to_cstring(PG_GETARG_TEXT_PP(1)))));
}

Datum
model_import_bytes(PG_FUNCTION_ARGS)
{
	ImportPlan *plan = plan_create();
	bytea	   *data;
	sparse_file_kind kind;

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "data");
	data = PG_GETARG_BYTEA_PP(1);
	kind = sparse_file_recognise(VARDATA_ANY(data), Min(VARSIZE_ANY_EXHDR(data), SPARSE_FORMAT_FIRST),
								 VARSIZE_ANY_EXHDR(data));
	plan->asked = true;
	plan_add_file(plan, sparse_file_kind_path(kind), VARSIZE_ANY_EXHDR(data),
				  source_of_bytes(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)));
	PG_RETURN_INT64(import_plan(fcinfo, plan));
}
