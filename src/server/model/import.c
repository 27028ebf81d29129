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

#define MAX_PARENTS 1000

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

static void
check_parents(const Import *import, int roles, bool roles_given)
{
	if (import->parents > MAX_PARENTS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many parents: %d", import->parents),
				errdetail("A version has at most %d parents.", MAX_PARENTS));
	if (roles_given && roles != import->parents)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("parents and roles differ in length"),
				errdetail("There are %d parents and %d roles.", import->parents, roles));
}

static void
check_not_repeated(const Import *import, int ordinal)
{
	const ImportParent *parent = &import->parent[ordinal];

	for (int i = 0; i < ordinal; i++)
		if (import->parent[i].version.id == parent->version.id
			&& strcmp(import->parent[i].role, parent->role) == 0)
			ereport(ERROR,
					errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("parent \"%s@%d\" is named twice in role \"%s\"",
						   parent->version.name, parent->version.revision, parent->role));
}

/* With a snapshot of this moment, so that one statement can import a base and its child. */
static void
resolve_now(const char *reference, StoreVersion *version)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	version_from_text(reference, false, version);
	PopActiveSnapshot();
}

/* Parents are read as the caller: he must be able to read what he names. */
void
import_resolve_parents(FunctionCallInfo fcinfo, Import *import)
{
	char	  **reference;
	char	  **role;
	int			roles = import_text_elements(fcinfo, 3, "roles", &role);

	import->parents = import_text_elements(fcinfo, 2, "parents", &reference);
	check_parents(import, roles, !PG_ARGISNULL(3));
	import->parent = palloc0(Max(import->parents, 1) * sizeof(ImportParent));
	for (int i = 0; i < import->parents; i++)
	{
		ImportParent *parent = &import->parent[i];

		resolve_now(reference[i], &parent->version);
		parent->role = role != NULL ? role[i] : "finetune";
		if (parent->role[0] == '\0')
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("the role of a parent must not be empty"));
		check_not_repeated(import, i);
	}
}

static bool
has_parent(const Import *import, int64 version)
{
	for (int i = 0; i < import->parents; i++)
		if (import->parent[i].version.id == version)
			return true;
	return false;
}

/* The best parent that the caller can see becomes one more parent, unless he named it himself. */
static void
find_parents(Import *import)
{
	ImportParent *parent;
	int64		found;
	int64		bytes;

	if (!find_best_parent(import->plan, &found, &bytes))
	{
		ereport(NOTICE,
				errmsg("no parent was found for \"%s\"", import->name),
				errdetail("No version that you can see is estimated to make it smaller."));
		return;
	}
	if (has_parent(import, found) || import->parents == MAX_PARENTS)
		return;
	import->parent = repalloc(import->parent, (import->parents + 1) * sizeof(ImportParent));
	parent = &import->parent[import->parents];
	resolve_now(psprintf(INT64_FORMAT, found), &parent->version);
	parent->role = "finetune";
	import->parents++;
	import->guessed = true;
	ereport(NOTICE,
			errmsg("found \"%s@%d\" as parent of \"%s\"", parent->version.name,
				   parent->version.revision, import->name),
			errdetail("It is estimated to take " INT64_FORMAT " of " UINT64_FORMAT " bytes.",
					  bytes, plan_bytes(import->plan)));
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

static void
keep_sketch(const Import *import)
{
	Sketch	   *sketch = palloc(sizeof(Sketch));

	sketch_of_plan(import->plan, sketch);
	(void) sketch_keep(import->version, sketch);
	pfree(sketch);
}

static StoreQuery helped_query = {
	.sql = "select 1 from unnest($2) o (id)"
	" where exists (select from sparse.tensor t where t.object = o.id and t.version = $1)"
	" or exists (select from sparse.object_parent e, sparse.tensor t"
	"  where e.object = o.id and t.object = e.parent and t.version = $1)"
	" limit 1",
	.args = 2, .arg = {INT8OID, INT8ARRAYOID},
	.columns = 1, .column = {INT4OID}};

/* Whether any tensor is one of the version's, or is predicted from one. */
static bool
has_helped(const Import *import, int64 version)
{
	const ImportPlan *plan = import->plan;
	SPITupleTable *rows;
	Datum	   *id;
	Datum		argument[2];
	int			tensors = 0;

	for (int i = 0; i < plan->files; i++)
		tensors += (int) plan->file[i].tensors;
	id = palloc(Max(tensors, 1) * sizeof(Datum));
	tensors = 0;
	for (int i = 0; i < plan->files; i++)
		for (uint32 j = 0; j < plan->file[i].tensors; j++)
			id[tensors++] = Int64GetDatum(plan->file[i].tensor[j].object.id);
	argument[0] = Int64GetDatum(version);
	argument[1] = array_datum(INT8OID, id, tensors);
	pfree(id);
	return query_run(&helped_query, argument, NULL, false, &rows) > 0;
}

/* A parent that was found but is of no use is none. */
static void
check_guess(Import *import)
{
	const StoreVersion *guess;

	if (!import->guessed)
		return;
	guess = &import->parent[import->parents - 1].version;
	if (has_helped(import, guess->id))
		return;
	ereport(NOTICE,
			errmsg("\"%s@%d\" is not kept as parent of \"%s\"", guess->name, guess->revision, import->name),
			errdetail("No tensor is smaller when predicted from it."));
	import->parents--;
}

static void
store(Import *import)
{
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	import_contents(import);
	check_guess(import);
	import_rows(import);
	import_make_ready(import);
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
	import.metadata = import_metadata_argument(fcinfo, 4);
	plan_objects(plan);
	plan_digest(plan);

	import_lock_name(import.name);
	same = import_find_same(&import, false);
	open_file_close(&plan->open_file);
	if (same != 0)
	{
		import_unlock_name(import.name);
		return same;
	}
	import_check_snapshot(import.name);
	if (!PG_ARGISNULL(5) && PG_GETARG_BOOL(5))
		find_parents(&import);
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

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "data");
	data = PG_GETARG_BYTEA_PP(1);
	plan_add_file(plan, "model.safetensors", VARSIZE_ANY_EXHDR(data),
				  source_of_bytes(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)));
	PG_RETURN_INT64(import_plan(fcinfo, plan));
}
