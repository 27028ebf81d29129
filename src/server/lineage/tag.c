/*
 * tag.c: tags, names that move: sparse_tag, sparse_untag.
 *
 * Who may update the row of a version may give it a tag and take one away; who
 * moves a tag must be allowed both of the version that it leaves and of that which
 * it goes to. That is asked by locking the two rows as the caller, which needs what
 * an update needs: the privilege, and row-level security's policies for select and
 * update. The lock also keeps a version from being dropped or renamed meanwhile.
 * Tag and history are then written as the store's owner.
 *
 * Moves of one tag come one after the other: a lock on the tag is taken first, held
 * to the end of the transaction, and rows are locked in the order of their ids,
 * shared, so that moves of different tags do not wait for each other.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_tag);
PG_FUNCTION_INFO_V1(lineage_untag);

typedef struct TagMove
{
	const char *name;			/* of the versions */
	const char *tag;
	int64		from;			/* 0: no version bore it */
	int64		to;				/* 0: no version is to bear it */
} TagMove;

static uint32
hash_of_tag(const TagMove *move)
{
	const char *whole = psprintf("%s@%s", move->name, move->tag);

	return hash_bytes((const unsigned char *) whole, (int) strlen(whole));
}

/* Of the class "sparse.tag", which no SQL command can lock; two tags may share one. */
static void
lock_tag(const TagMove *move)
{
	LockDatabaseObject(store_relation("tag"), hash_of_tag(move), 0, ExclusiveLock);
}

/* For a move that moved nothing: who only reads shall keep nobody from the tag. */
static void
unlock_tag(const TagMove *move)
{
	UnlockDatabaseObject(store_relation("tag"), hash_of_tag(move), 0, ExclusiveLock);
}

/* ---- what the caller may do ---- */

static StoreQuery lock_versions = {
	.sql = "select v.id, v.name, v.state from sparse.version v where v.id = any ($1) order by v.id for share",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 3, .column = {INT8OID, TEXTOID, TEXTOID},
	.scans = true
};

pg_noreturn static void
may_not_move(const TagMove *move, const char *why)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied to move tag \"%s\" of \"%s\"", move->tag, move->name),
			errdetail("%s", why));
	pg_unreachable();
}

/* A locked row must still have the name. */
static void
check_name(const TagMove *move, const SPITupleTable *rows, uint64 row)
{
	const char *name = TextDatumGetCString(row_datum(rows, row, 2));

	if (strcmp(name, move->name) != 0)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("version \"%s\" was renamed to \"%s\" just now", move->name, name),
				errhint("Try again."));
}

/* That of the version that is to bear the tag must be ready. */
static void
check_target(const TagMove *move, const SPITupleTable *rows, uint64 row)
{
	const char *state = TextDatumGetCString(row_datum(rows, row, 3));

	if (strcmp(state, "ready") != 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("version " INT64_FORMAT " was dropped just now", move->to));
}

/* Locks both versions as the caller, who thereby shows that he may update them. */
static void
lock_both(const TagMove *move)
{
	StoreAccess access;
	SPITupleTable *rows;
	Datum		id[2];
	Datum		ids;
	int			wanted = 0;
	bool		target_found = move->to == 0;
	uint64		found;

	if (move->from != 0)
		id[wanted++] = Int64GetDatum(move->from);
	if (move->to != 0)
		id[wanted++] = Int64GetDatum(move->to);
	ids = array_datum(INT8OID, id, wanted);
	enter_versions(&access);
	found = query_run(&lock_versions, &ids, NULL, false, &rows);
	store_leave(&access);
	for (uint64 i = 0; i < found; i++)
	{
		check_name(move, rows, i);
		if (row_int64(rows, i, 1) != move->to)
			continue;
		target_found = true;
		check_target(move, rows, i);
	}
	if (!target_found)
		may_not_move(move, "Row-level security of sparse.version does not let you update the version that is to bear it.");
	if (found < (uint64) wanted)
		may_not_move(move, "Row-level security of sparse.version does not let you update the version that bears it.");
}

/* ---- writing ---- */

static StoreQuery put_tag = {
	.sql = "insert into sparse.tag (name, tag, version, moved_by) values ($1, $2, $3, $4)"
	" on conflict (name, tag) do update"
	" set version = excluded.version, moved_at = excluded.moved_at, moved_by = excluded.moved_by",
	.args = 4, .arg = {TEXTOID, TEXTOID, INT8OID, TEXTOID}};

static StoreQuery remove_tag = {
	.sql = "delete from sparse.tag where name = $1 and tag = $2",
	.args = 2, .arg = {TEXTOID, TEXTOID}};

static StoreQuery write_history = {
	.sql = "insert into sparse.tag_history (name, tag, from_version, to_version, moved_by)"
	" values ($1, $2, nullif($3, 0), nullif($4, 0), $5)",
	.args = 5, .arg = {TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID}};

/* Runs a statement that must write a row. */
static void
write_row(StoreQuery *query, Datum *value, const TagMove *move)
{
	if (query_run(query, value, NULL, false, NULL) != 0)
		return;
	query_forget(query);
	ereport(ERROR,
			errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			errmsg("tag \"%s\" of \"%s\" was not moved", move->tag, move->name),
			errdetail("A trigger or a rule of table sparse.tag or sparse.tag_history suppressed it."));
}

/* A trigger that the store's owner puts on the history can refuse any move: it finds who moves in moved_by. */
static void
write_move(const TagMove *move)
{
	Datum		name = CStringGetTextDatum(move->name);
	Datum		tag = CStringGetTextDatum(move->tag);
	Datum		user = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	Datum		put[4] = {name, tag, Int64GetDatum(move->to), user};
	Datum		history[5] = {name, tag, Int64GetDatum(move->from), Int64GetDatum(move->to), user};
	StoreAccess access;

	store_enter(&access);
	if (move->to != 0)
		write_row(&put_tag, put, move);
	else
		write_row(&remove_tag, put, move);
	write_row(&write_history, history, move);
	store_leave(&access);
	store_notify(move->to != 0 ? "tag" : "untag", move->to != 0 ? move->to : move->from,
				 move->to != 0 ? move->from : 0);
}

/* ---- the functions ---- */

/* sparse_tag(version, tag): the version that bore the tag before, or null. */
Datum
lineage_tag(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	TagMove		move = {0};

	move.tag = text_to_cstring(PG_GETARG_TEXT_PP(1));
	version_check_tag(move.tag);
	version_from_argument_now(fcinfo, 0, false, &version);
	move.name = version.name;
	move.to = version.id;
	lock_tag(&move);
	answer_connect();
	move.from = version_tagged(move.name, move.tag, false);
	if (move.from == move.to)
		unlock_tag(&move);
	else
	{
		lock_both(&move);
		write_move(&move);
	}
	answer_finish();
	if (move.from == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(move.from);
}

pg_noreturn static void
no_such_tag(const TagMove *move)
{
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("\"%s\" has no tag \"%s\"", move->name, move->tag),
			errdetail("There is none, or row-level security hides the version that bears it."));
	pg_unreachable();
}

static StoreQuery visible = {
	.sql = "select v.id from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID},
	.scans = true
};

static bool
caller_sees(int64 version)
{
	Datum		value = Int64GetDatum(version);
	StoreAccess access;
	SPITupleTable *rows;
	bool		found;

	enter_versions(&access);
	found = query_run(&visible, &value, NULL, false, &rows) > 0;
	store_leave(&access);
	return found;
}

/* sparse_untag(name, tag): the version that bore the tag. */
Datum
lineage_untag(PG_FUNCTION_ARGS)
{
	TagMove		move = {0};

	move.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	move.tag = text_to_cstring(PG_GETARG_TEXT_PP(1));
	lock_tag(&move);
	answer_connect();
	move.from = version_tagged(move.name, move.tag, false);
	/* (0 is no version, and nobody sees it: but who may not look is told the same for a tag that there is) */
	if (!caller_sees(move.from))
		no_such_tag(&move);
	lock_both(&move);
	write_move(&move);
	answer_finish();
	PG_RETURN_INT64(move.from);
}
