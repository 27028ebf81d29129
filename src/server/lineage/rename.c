/*
 * rename.c: sparse_rename: a name moves, with all revisions and tags.
 *
 * The caller renames: policies of sparse.version decide whether he may update each
 * of the revisions, and whether they may bear the new name. He must see all of them,
 * dropped ones included, for a name that moved in part would be two. The new name
 * must be nobody's; that somebody has it is told only to those who might bear it.
 *
 * Both names are locked as an import locks them, so no revision comes meanwhile;
 * and each row is written, so a version that is just being tagged is waited for, and
 * its tag comes along.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "model/answer.h"
#include "model/import.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_rename);

/* In the order of the names, so that two renames of the same two do not wait in a circle. */
static void
lock_names(const char *a, const char *b)
{
	bool		in_order = strcmp(a, b) < 0;

	import_lock_name(in_order ? a : b);
	import_lock_name(in_order ? b : a);
}

/* ---- what bears a name ---- */

static StoreQuery revisions_seen = {
	.sql = "select v.id, v.revision from sparse.version v where v.name = $1 order by v.revision",
	.args = 1, .arg = {TEXTOID},
	.columns = 2, .column = {INT8OID, INT4OID},
	.scans = true};

static StoreQuery revisions_there = {
	.sql = "select count(*), coalesce(max(v.revision), 0), count(*) filter (where v.state = 'open')"
	" from sparse.version v where v.name = $1",
	.args = 1, .arg = {TEXTOID},
	.columns = 3, .column = {INT8OID, INT4OID, INT8OID}};

/* Of those that the caller sees, in order of revision: their number. */
static int64
see_revisions(const char *name, SPITupleTable **rows)
{
	Datum		argument = CStringGetTextDatum(name);
	StoreAccess access;
	int64		count;

	enter_versions(&access);
	count = (int64) query_run(&revisions_seen, &argument, NULL, false, rows);
	store_leave(&access);
	return count;
}

/* Of all that there are at this moment, whatever the snapshot: their number, the last, and how many are open. */
static int64
count_revisions(const char *name, int32 *last, int64 *open)
{
	Datum		argument = CStringGetTextDatum(name);
	StoreAccess access;
	SPITupleTable *rows;
	int64		count;

	store_enter(&access);
	PushActiveSnapshot(GetLatestSnapshot());
	query_run(&revisions_there, &argument, NULL, true, &rows);
	PopActiveSnapshot();
	store_leave(&access);
	count = row_int64(rows, 0, 1);
	*last = row_int32(rows, 0, 2);
	*open = row_int64(rows, 0, 3);
	return count;
}

/* ---- errors ---- */

pg_noreturn static void
may_not_rename(const char *name, const char *why)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied to rename \"%s\"", name),
			errdetail("%s", why));
	pg_unreachable();
}

static void
check_all_seen(const char *name, int64 seen, int64 there)
{
	if (seen == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("version \"%s\" does not exist", name),
				errdetail("There is none, or row-level security hides it."));
	if (seen == there)
		return;
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not serialize access due to concurrent import of \"%s\"", name),
				errhint("The transaction might succeed if retried."));
	may_not_rename(name, "Row-level security of sparse.version hides some of its revisions from you.");
}

/* Who began an upload shall find it under the name that he gave it. */
static void
check_none_open(const char *name, int64 open)
{
	if (open > 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a revision of \"%s\" is being uploaded", name),
				errhint("Rename it when sparse_commit or sparse_abort has ended that, or sparse_collect."));
}

static void
rename_one(const char *old, const char *new, int64 id, int32 revision)
{
	if (!version_rename(id, new, revision))
		may_not_rename(old, "Row-level security of sparse.version does not let you update all of its revisions.");
}

/*
 * The name is taken. Whether the caller might bear it is found out by renaming one
 * version to a revision that nobody has: if he may not, that is the error.
 */
pg_noreturn static void
name_is_taken(const char *old, const char *new, int64 id, int32 last)
{
	rename_one(old, new, id, last < PG_INT32_MAX ? last + 1 : last);
	ereport(ERROR,
			errcode(ERRCODE_DUPLICATE_OBJECT),
			errmsg("version \"%s\" exists already", new),
			errdetail("Names are not joined. It may be one that row-level security hides from you."));
	pg_unreachable();
}

/* ---- the function ---- */

static StoreQuery rename_tags = {
	.sql = "update sparse.tag set name = $2 where name = $1",
	.args = 2, .arg = {TEXTOID, TEXTOID}};

static void
move_tags(const char *old, const char *new)
{
	Datum		argument[2] = {CStringGetTextDatum(old), CStringGetTextDatum(new)};
	StoreAccess access;

	store_enter(&access);
	if (query_run(&rename_tags, argument, NULL, false, NULL) == 0)
		query_forget(&rename_tags);
	store_leave(&access);
}

static int64
rename_all(const char *old, const char *new)
{
	SPITupleTable *rows;
	int32		last;
	int64		open;
	int64		seen = see_revisions(old, &rows);

	check_all_seen(old, seen, count_revisions(old, &last, &open));
	check_none_open(old, open);
	if (count_revisions(new, &last, &open) > 0)
		name_is_taken(old, new, row_int64(rows, 0, 1), last);
	for (int64 i = 0; i < seen; i++)
	{
		CHECK_FOR_INTERRUPTS();
		rename_one(old, new, row_int64(rows, i, 1), row_int32(rows, i, 2));
	}
	move_tags(old, new);
	return seen;
}

/* sparse_rename(old, new): how many revisions moved. */
Datum
lineage_rename(PG_FUNCTION_ARGS)
{
	const char *old = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *new = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int64		revisions;

	version_check_name(old);
	version_check_name(new);
	if (strcmp(old, new) == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"%s\" has that name already", old));
	(void) store_owner();
	lock_names(old, new);
	CommandCounterIncrement();
	answer_connect();
	revisions = rename_all(old, new);
	answer_finish();
	PG_RETURN_INT32((int32) revisions);
}
