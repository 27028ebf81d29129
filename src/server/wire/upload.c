/*
 * upload.c: versions that are being uploaded, and whose they are (see upload.h), and
 * sparse_abort.
 *
 * Whose an open version is stands in its row, which only the functions write. The row is
 * read as the store's owner: a policy that shows a user ready versions only must not keep
 * him from going on with his own.
 */
#include "upload.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "model/answer.h"

PG_FUNCTION_INFO_V1(wire_abort);

/* ---- finding it ---- */

static StoreQuery find_query = {
	.sql = "select v.name, v.revision, v.family, v.state, v.created_by, u.version is not null, v.kind"
	"  from sparse.version v"
	"  left join sparse.upload u on u.version = v.id"
	" where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 7, .column = {TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID, BOOLOID, TEXTOID}};

static bool
is_own(const char *created_by)
{
	return strcmp(created_by, GetUserNameFromId(GetUserId(), false)) == 0 ||
		has_privs_of_role(GetUserId(), store_owner());
}

/* Reads its row with the active snapshot. False: there is none. */
static bool
read_row(int64 id, Upload *upload, char **created_by)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		argument = Int64GetDatum(id);
	StoreAccess access;
	SPITupleTable *rows;
	bool		found;

	memset(upload, 0, sizeof(*upload));
	upload->version.id = id;
	store_enter(&access);
	answer_connect();
	found = query_run(&find_query, &argument, NULL, true, &rows) > 0;
	if (found)
	{
		upload->version.name = row_text(context, rows, 0, 1);
		upload->version.revision = row_int32(rows, 0, 2);
		upload->version.family = row_int64(rows, 0, 3);
		upload->version.state = *row_text(context, rows, 0, 4);
		*created_by = row_text(context, rows, 0, 5);
		upload->under_way = DatumGetBool(row_datum(rows, 0, 6));
		upload->version.kind = *row_text(context, rows, 0, 7);
	}
	answer_finish();
	store_leave(&access);
	return found;
}

/* The id that an argument names: a bigint, or text that is one, or what the caller can see by that name. */
static int64
id_of_argument(FunctionCallInfo fcinfo, int arg)
{
	StoreVersion version;
	char	   *reference;

	if (!PG_ARGISNULL(arg) && get_fn_expr_argtype(fcinfo->flinfo, arg) == INT8OID)
		return PG_GETARG_INT64(arg);
	if (!PG_ARGISNULL(arg))
	{
		reference = text_to_cstring(PG_GETARG_TEXT_PP(arg));
		if (strlen(reference) < 19 && reference[0] != '\0' &&
			strspn(reference, "0123456789") == strlen(reference))
			return (int64) strtoull(reference, NULL, 10);
	}
	version_from_argument(fcinfo, arg, true, &version);
	return version.id;
}

/* Somebody else's. What the caller cannot see does not exist for him. */
static void
refuse_others(int64 id, const char *action, bool readable)
{
	StoreVersion version;

	version_from_id(id, !readable, &version);
	if (!readable)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to %s version " INT64_FORMAT " (\"%s@%d\")",
					   action, version.id, version.name, version.revision),
				errdetail("Only the user who began it may, and the owner of the store."));
}

static void
check_state(const Upload *upload)
{
	version_check_model(&upload->version, "Datasets are stored by sparse_commit_rows().");
	if (upload->version.state == 'r' || (upload->version.state == 'o' && upload->under_way))
		return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("version " INT64_FORMAT " (\"%s\") is not being uploaded",
				   upload->version.id, upload->label),
			upload->version.state == 'd' ? errdetail("It was dropped.")
			: errdetail("It was not begun by sparse_begin()."));
}

void
upload_of_argument(FunctionCallInfo fcinfo, int arg, const char *action, bool readable, Upload *upload)
{
	int64		id = id_of_argument(fcinfo, arg);
	char	   *created_by;
	bool		found;

	if (!readable)
		upload_push_snapshot();
	found = read_row(id, upload, &created_by);
	if (!found)
		version_from_id(id, true, &upload->version);
	/* the error */
	if (!is_own(created_by) || (readable && upload->version.state != 'o'))
		refuse_others(id, action, readable);
	if (!readable)
		PopActiveSnapshot();
	upload->label = version_label(CurrentMemoryContext, &upload->version);
	check_state(upload);
}

/* ---- locking it ---- */

void
upload_push_snapshot(void)
{
	PushActiveSnapshot(GetLatestSnapshot());
}

/* The lock of an upload is one on an object of the class "sparse.upload"; two uploads may share it. */
static void
lock_upload(int64 version, LOCKMODE mode)
{
	LockDatabaseObject(store_relation("upload"), (Oid) ((uint64) version ^ (uint64) version >> 32), 0, mode);
}

bool
upload_lock(Upload *upload, LOCKMODE mode)
{
	int64		id = upload->version.id;
	char	   *created_by;
	bool		found;

	store_lock_for_writing();
	lock_upload(id, mode);
	upload_push_snapshot();
	found = read_row(id, upload, &created_by);
	PopActiveSnapshot();
	if (!found)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("version " INT64_FORMAT " does not exist any more", id),
				errdetail("It was given up, or collected, before it was complete."),
				errhint("Begin it again."));
	upload->label = version_label(CurrentMemoryContext, &upload->version);
	check_state(upload);
	return upload->under_way;
}

/* ---- giving it up ---- */

static StoreQuery remove_queries[] = {
	{.sql = "delete from sparse.tensor where version = $1", .args = 1, .arg = {INT8OID}},
	{.sql = "delete from sparse.file where version = $1", .args = 1, .arg = {INT8OID}},
	{.sql = "delete from sparse.parent where child = $1", .args = 1, .arg = {INT8OID}},
	{.sql = "delete from sparse.upload where version = $1", .args = 1, .arg = {INT8OID}},
	{.sql = "delete from sparse.version where id = $1 and state = 'open'", .args = 1, .arg = {INT8OID}}
};

void
upload_remove(int64 version)
{
	Datum		argument = Int64GetDatum(version);
	uint64		removed = 0;

	staged_remove_all(version);
	for (int i = 0; i < (int) lengthof(remove_queries); i++)
		removed = query_run(&remove_queries[i], &argument, NULL, false, NULL);
	/* the last is the version itself; a transaction that keeps an older snapshot does not see it */
	if (removed != 1)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not give version " INT64_FORMAT " up because of concurrent updates", version),
				errhint("The transaction might succeed if retried."));
}

/* sparse_abort(version) */
Datum
wire_abort(PG_FUNCTION_ARGS)
{
	Upload		upload;
	StoreAccess access;

	upload_of_argument(fcinfo, 0, "give up", false, &upload);
	if (!upload_lock(&upload, UPLOAD_EXCLUSIVE))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("version " INT64_FORMAT " (\"%s\") is ready", upload.version.id, upload.label),
				errhint("Use sparse_drop()."));
	store_enter(&access);
	answer_connect();
	upload_remove(upload.version.id);
	answer_finish();
	store_leave(&access);
	PG_RETURN_VOID();
}
