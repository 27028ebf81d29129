/*
 * quota.c: what an owner may have in the store: a trigger of sparse.version, which
 * asks sparse.quota when a version becomes ready, and checks of uploads under way.
 *
 * The owner of a version is who created it. His row of sparse.quota counts, or
 * else the row of "*", which is for each owner who has none. No counter is kept
 * that could go astray: what he has is summed up, by an index, after a lock of the
 * owner's was taken (not of the row, which others may share). So of two versions of one
 * owner that become ready, or are begun, at the same time one waits for the other, and the
 * sum holds whatever the isolation level.
 *
 * Uploads count from their beginning on, by the files declared, and by the chunks that have
 * come. Those are summed up every now and then, without a lock, for connections that
 * bring them side by side must not wait for each other: each may exceed by CHUNKS_UNASKED.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/place.h"
#include "store/query.h"
#include "store/store.h"
#include "wire/quota.h"

PG_FUNCTION_INFO_V1(version_quota);

/* The quota that counts for an owner; a limit of -1: none. */
static StoreQuery quota_of = {
	.sql = "select coalesce(q.versions, -1), coalesce(q.raw_bytes, -1), coalesce(q.stored_bytes, -1)"
	"  from sparse.quota q"
	" where q.owner = $1"
	"    or (q.owner = '*' and not exists (select from sparse.quota o where o.owner = $1))"
	,
	.args = 1, .arg = {TEXTOID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

/* With uploads under way. */
static StoreQuery used_by = {
	.sql = "select count(*),"
	"       coalesce(sum(case when v.state = 'ready' then v.raw_bytes"
	"                    else (select sum(f.bytes) from sparse.file f where f.version = v.id) end), 0)::bigint,"
	"       coalesce(sum(v.stored_bytes) filter (where v.state = 'ready'), 0)::bigint"
	"  from sparse.version v"
	" where v.created_by = $1"
	"   and (v.state = 'ready' or (v.state = 'open' and exists (select from sparse.upload u where u.version = v.id)))",
	.args = 1, .arg = {TEXTOID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

/* Bytes of the chunks of his uploads that are under way. */
static StoreQuery objects_staged_by = {
	.sql = "select o.place, array_agg(o.id)"
	"  from sparse.version v"
	"  join sparse.object o on o.version = v.id"
	" where v.created_by = $1 and v.state = 'open'"
	" group by o.place",
	.args = 1, .arg = {TEXTOID},
	.columns = 2, .column = {INT2OID, INT8ARRAYOID}};

static StoreQuery bytes_staged = {
	.sql = "select coalesce(sum(octet_length(delta)), 0)::bigint from %s where object = any ($1)",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery owner_query = {
	.sql = "select v.created_by from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {TEXTOID}};

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

static int64
staged_by(Datum owner)
{
	SPITupleTable *rows;
	uint64		places = query_run(&objects_staged_by, &owner, NULL, true, &rows);
	int64		bytes = 0;

	for (uint64 i = 0; i < places; i++)
	{
		Datum		objects = row_datum(rows, i, 2);
		SPITupleTable *sum;

		query_run_at(&bytes_staged, DatumGetInt16(row_datum(rows, i, 1)), &objects, NULL, true, &sum);
		bytes += row_int64(sum, 0, 1);
	}
	return bytes;
}

/* With a snapshot of this moment: others may have become ready since the transaction began. */
static void
sum_up(Datum owner, bool stored, int64 used[3])
{
	SPITupleTable *rows;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	query_run(&used_by, &owner, NULL, true, &rows);
	for (int i = 0; i < 3; i++)
		used[i] = row_int64(rows, 0, i + 1);
	if (stored)
		used[2] += staged_by(owner);
	PopActiveSnapshot();
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

/* False: he has none. */
static bool
find_quota(Datum owner, int64 limit[3])
{
	SPITupleTable *rows;
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = query_run(&quota_of, &owner, NULL, true, &rows) > 0;
	PopActiveSnapshot();
	for (int i = 0; i < 3 && found; i++)
		limit[i] = row_int64(rows, 0, i + 1);
	return found;
}

static void
check_limits(const char *owner, const int64 limit[3], const int64 used[3])
{
	for (int i = 0; i < 3; i++)
		if (limit[i] >= 0 && used[i] > limit[i])
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("quota of \"%s\" exceeded", owner),
					 may_know(owner)
					 ? errdetail("It allows " INT64_FORMAT " %s; with this version there were " INT64_FORMAT ".",
								 limit[i], limited[i], used[i])
					 : errdetail("It limits %s.", limited[i]),
					 errhint("Drop versions that are not needed any more, or ask the store's owner for more.")));
}

/* Until the transaction ends; nobody can take it otherwise, as he could an advisory lock. */
static void
lock_owner(const char *owner)
{
	LockDatabaseObject(store_relation("quota"), DatumGetUInt32(hash_any((const unsigned char *) owner, (int) strlen(owner))),
					   0, ExclusiveLock);
}

static void
check_quota(const char *owner)
{
	Datum		name = CStringGetTextDatum(owner);
	int64		limit[3];
	int64		used[3];

	if (!find_quota(name, limit))
		return;
	lock_owner(owner);
	if (!find_quota(name, limit))
		return;
	sum_up(name, limit[2] >= 0, used);
	check_limits(owner, limit, used);
}

static char *
owner_of(int64 version)
{
	Datum		value = Int64GetDatum(version);
	SPITupleTable *rows;

	if (query_run(&owner_query, &value, NULL, false, &rows) != 1)
		elog(ERROR, "version " INT64_FORMAT " does not exist", version);
	return TextDatumGetCString(row_datum(rows, 0, 1));
}

void
quota_check_upload(int64 version)
{
	check_quota(owner_of(version));
}

/* ---- chunks of uploads ---- */

#define CHUNKS_UNASKED ((int64) 16 << 20)	/* bytes of chunks between two sums, at most */

/* What may come for an upload before it is asked again. */
static int64 unasked_version = 0;
static int64 unasked_bytes = 0;

void
quota_check_chunk(int64 version, uint64 bytes)
{
	const char *owner;
	Datum		name;
	int64		limit[3];
	int64		used[3];

	if (version == unasked_version && (uint64) unasked_bytes >= bytes)
	{
		unasked_bytes -= (int64) bytes;
		return;
	}
	owner = owner_of(version);
	name = CStringGetTextDatum(owner);
	unasked_version = 0;
	unasked_bytes = CHUNKS_UNASKED;
	if (find_quota(name, limit) && limit[2] >= 0)
	{
		sum_up(name, true, used);
		used[2] += (int64) bytes;
		check_limits(owner, (const int64[3]) {-1, -1, limit[2]}, used);
		unasked_bytes = Min(unasked_bytes, limit[2] - used[2]);
	}
	unasked_version = version;
}

/* ---- the trigger ---- */

Datum
version_quota(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StoreAccess access;

	if (!fired_by_version(fcinfo, false) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("sparse_version_quota() must be fired after update of sparse.version, for each row")));
	SPI_connect();
	store_enter(&access);
	check_quota(TextDatumGetCString(text_of_row(trigger, "created_by")));
	store_leave(&access);
	SPI_finish();
	return PointerGetDatum(NULL);
}
