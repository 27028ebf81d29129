/*
 * quota.c: what an owner may have in the store: a trigger of sparse.version, which
 * asks sparse.quota when a version becomes ready.
 *
 * The owner of a version is who created it. His row of sparse.quota counts, or
 * else the row of "*", which is for each owner who has none. No counter is kept
 * that could go astray: what he has is summed up, by an index, after the row of the
 * quota was locked. So of two versions of one owner that become ready at the
 * same time one waits for the other, and the sum holds whatever the isolation level.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(version_quota);

/* The quota that counts for an owner; a limit of -1: none. */
static StoreQuery quota_of = {
	.sql = "select coalesce(q.versions, -1), coalesce(q.raw_bytes, -1), coalesce(q.stored_bytes, -1)"
	"  from sparse.quota q"
	" where q.owner = $1"
	"    or (q.owner = '*' and not exists (select from sparse.quota o where o.owner = $1))"
	" for update",
	.args = 1, .arg = {TEXTOID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

static StoreQuery used_by = {
	.sql = "select count(*), coalesce(sum(v.raw_bytes), 0)::bigint, coalesce(sum(v.stored_bytes), 0)::bigint"
	"  from sparse.version v"
	" where v.created_by = $1 and v.state = 'ready'",
	.args = 1, .arg = {TEXTOID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

static const char *const limited[] = {"versions", "bytes of files", "bytes stored"};

/* The text column `name` of the row that the trigger was fired for. */
static Datum
text_of_row(const TriggerData *trigger, const char *name)
{
	TupleDesc	columns = RelationGetDescr(trigger->tg_relation);
	int			column = SPI_fnumber(columns, name);
	bool		null = true;
	Datum		value = (Datum) 0;

	if (column > 0 && SPI_gettypeid(columns, column) == TEXTOID)
		value = SPI_getbinval(trigger->tg_newtuple, columns, column, &null);
	if (null)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("sparse.version is not the table of a store"),
				 errdetail("It has no column \"%s\" of type text.", name)));
	return value;
}

/* With a snapshot of this moment: others may have become ready since the transaction began. */
static void
sum_up(Datum owner, int64 used[3])
{
	SPITupleTable *rows;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	query_run(&used_by, &owner, NULL, true, &rows);
	PopActiveSnapshot();
	for (int i = 0; i < 3; i++)
		used[i] = row_int64(rows, 0, i + 1);
}

/*
 * Whoever may bring back another's version, or commit it, is not told how much that
 * other has, of which he may see nothing. Asked of the session's role: this runs as
 * the store's owner.
 */
static bool
may_know(const char *owner)
{
	Oid			reader = GetOuterUserId();
	Oid			role = get_role_oid(owner, true);

	return has_privs_of_role(reader, store_owner()) || (OidIsValid(role) && has_privs_of_role(reader, role));
}

static void
check_quota(Datum owner)
{
	SPITupleTable *rows;
	int64		used[3];

	if (query_run(&quota_of, &owner, NULL, false, &rows) == 0)
		return;
	sum_up(owner, used);
	for (int i = 0; i < 3; i++)
	{
		int64		limit = row_int64(rows, 0, i + 1);

		if (limit >= 0 && used[i] > limit)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("quota of \"%s\" exceeded", TextDatumGetCString(owner)),
					 may_know(TextDatumGetCString(owner))
					 ? errdetail("It allows " INT64_FORMAT " %s; with this version there were " INT64_FORMAT ".",
								 limit, limited[i], used[i])
					 : errdetail("It limits %s.", limited[i]),
					 errhint("Drop versions that are not needed any more, or ask the store's owner for more.")));
	}
}

Datum
version_quota(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StoreAccess access;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("sparse_version_quota() must be fired after update, for each row")));
	SPI_connect();
	store_enter(&access);
	check_quota(text_of_row(trigger, "created_by"));
	store_leave(&access);
	SPI_finish();
	return PointerGetDatum(NULL);
}
