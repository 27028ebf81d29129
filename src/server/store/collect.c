/*
 * collect.c: removing what nothing needs.
 *
 * sparse_collect() keeps every writer away while it works, by a lock on
 * sparse.object that each of them holds in a weaker form from before its first
 * object until its end. So what it sees in a snapshot taken under the lock is all
 * there is: an object that no table of any layer refers to (tables.h) is needed by nobody.
 * Readers go on; what is deleted stays visible to their snapshots. Chunks on other servers, which know nothing
 * of our snapshots, are only noted when their object goes, and removed by a later run (sweep.c).
 *
 * It acts as the store's owner. Versions that were dropped stay as tombstones,
 * which lineage can still cross.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "store/place.h"
#include "store/query.h"
#include "store/recode.h"
#include "store/store.h"
#include "store/sweep.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(sparse_collect);

/* Versions that are to go, with all that tables hold of them: dropped ones, and open ones given up. */
#define DOOMED_VERSIONS \
	"with doomed as materialized (" \
	"  select v.id, v.state from sparse.version v " \
	"  where (v.state operator(pg_catalog.=) 'dropped' and v.collected_at is null) " \
	"     or (v.state operator(pg_catalog.=) 'open' " \
	"         and coalesce((select u.begun_at from sparse.upload u where u.version operator(pg_catalog.=) v.id), v.created_at) " \
	"             operator(pg_catalog.<) (pg_catalog.now() operator(pg_catalog.-) $1) " \
	"         and not exists (select from sparse.parent p where p.parent operator(pg_catalog.=) v.id))" \
	"  for update), "

/* Then come their rows in the tables of each layer. Foreign keys between these are checked at the end of a statement. */
static StoreQuery collect_versions = {
	.args = 1, .arg = {INTERVALOID},
	.columns = 1, .column = {INT8OID},
	.scans = true
};


static char *
collect_versions_sql(void)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, DOOMED_VERSIONS);
	for (int i = 0; i < store_table_count(); i++)
		if (store_table(i)->of_version)
			appendStringInfo(&sql, "rows_%d as (delete from sparse.%s t using doomed d"
							 " where t.version operator(pg_catalog.=) d.id), ", i, store_table(i)->name);
	appendStringInfoString(&sql,
						   "parents as (delete from sparse.parent p using doomed d "
						   "  where p.child operator(pg_catalog.=) d.id and d.state operator(pg_catalog.=) 'open'), "
						   "given_up as (delete from sparse.version v using doomed d "
						   "  where v.id operator(pg_catalog.=) d.id and d.state operator(pg_catalog.=) 'open'), "
						   "tombstones as (update sparse.version v set collected_at = pg_catalog.now(), "
						   "  new_objects = v.new_objects operator(pg_catalog.-) 1 from doomed d "
						   "  where v.id operator(pg_catalog.=) d.id and d.state operator(pg_catalog.=) 'dropped') "
						   "select pg_catalog.count(*) from doomed");
	return sql.data;
}

/* What becomes of the chunks of doomed objects in one place; adds to the sum of those that were deleted. */
static void
add_place(StringInfo sql, StringInfo deleted, int16 place)
{
	if (place_is_far(place))
		appendStringInfo(sql, "forgotten_%d as (insert into sparse.forgotten (place, object) "
						 "select d.place, d.id from doomed d where d.place operator(pg_catalog.=) %d), ", place, place);
	else
	{
		appendStringInfo(sql, "chunks_%d as (delete from sparse.chunk_%d c using doomed d "
						 "where c.object operator(pg_catalog.=) d.id and d.place operator(pg_catalog.=) %d returning 1), ",
						 place, place, place);
		appendStringInfo(deleted, "operator(pg_catalog.+) (select pg_catalog.count(*) from chunks_%d) ", place);
	}
}

/* One generation of objects: those that no version names and nothing is predicted from. */
static char *
collect_objects_sql(void)
{
	StringInfoData sql;
	StringInfoData deleted;
	int16	   *place;
	int			places = place_list(&place);

	initStringInfo(&sql);
	initStringInfo(&deleted);
	appendStringInfo(&sql, "with doomed as materialized ("
					 "  select o.place, o.id, o.stored_bytes, o.version from sparse.object o where %s), ", nothing_needs("o.id", true));
	for (int i = 0; i < places; i++)
		add_place(&sql, &deleted, place[i]);
	appendStringInfo(&sql,
					 "edges as (delete from sparse.object_parent p using doomed d where p.object operator(pg_catalog.=) d.id), "
					 "objects as (delete from sparse.object o using doomed d where o.id operator(pg_catalog.=) d.id) "
					 "select pg_catalog.count(*), 0::pg_catalog.int8 %s, "
					 "  coalesce(pg_catalog.sum(stored_bytes), 0)::pg_catalog.int8, "
					 "  coalesce(pg_catalog.array_agg(distinct version) filter (where version is not null), '{}') from doomed",
					 deleted.data);
	return sql.data;
}

/* Once a backend. */
static void
prepare_queries(void)
{
	MemoryContext context;

	if (collect_versions.sql != NULL)
		return;
	context = MemoryContextSwitchTo(TopMemoryContext);
	collect_versions.sql = collect_versions_sql();
	MemoryContextSwitchTo(context);
}

/*
 * A counter that is written is counted anew, with the others: by the trigger version_tally. (A ready
 * version may lose the factors of a low-rank change that it is no longer predicted by.)
 */
static StoreQuery count_anew = {
	.sql = "update sparse.version set new_objects = new_objects operator(pg_catalog.-) 1 "
		"where id operator(pg_catalog.=) any ($1) and state operator(pg_catalog.<>) 'open'",
	.args = 1, .arg = {INT8ARRAYOID}
};

/*
 * Under a snapshot older than the lock, what a writer committed in between would
 * look unneeded.
 */
static void
check_isolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("sparse_collect() needs isolation level \"read committed\""),
				 errhint("Call it in a transaction of its own.")));
}

static void
collect_versions_older_than(Datum interval, Collected *collected)
{
	SPITupleTable *rows;

	query_run(&collect_versions, &interval, NULL, false, &rows);
	collected->versions = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
}

pg_noreturn static void
still_writing(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not collect: there were always transactions that had written to the store"),
			 errdetail("It was tried for as long as lock_timeout allows."),
			 errhint("End transactions that are idle after an import, or let sparse_nightly() collect.")));
	pg_unreachable();
}

/* True: there may be more, now that the children of others are gone. */
static bool
collect_generation(StoreQuery *generation, Collected *collected)
{
	SPITupleTable *rows;
	Datum		counted_with;
	int64		objects;

	query_run_once(generation, NULL, false, &rows);
	objects = row_int64(rows, 0, 1);
	collected->objects += objects;
	collected->chunks += row_int64(rows, 0, 2);
	collected->bytes += row_int64(rows, 0, 3);
	counted_with = row_datum(rows, 0, 4);
	query_run(&count_anew, &counted_with, NULL, false, NULL);
	SPI_freetuptable(rows);
	return objects > 0;
}

/*
 * Others would queue behind a request that waits for a long import: a statement by itself asks
 * again and again instead. Within a transaction block it may hold what a writer waits for, and only
 * the lock manager sees a deadlock.
 */
static void
lock_out_writers(void)
{
	TimestampTz deadline = LockTimeout > 0 ? TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LockTimeout) : 0;

	if (IsTransactionBlock())
		(void) store_lock_for_recoding(true);
	else if (!store_lock_for_recoding_until(deadline, true))
		still_writing();
}

Datum
sparse_collect(PG_FUNCTION_ARGS)
{
	Collected	collected = {0};
	StoreQuery	generation = {.columns = 4, .column = {INT8OID, INT8OID, INT8OID, INT8ARRAYOID}};
	StoreAccess access;
	TupleDesc	row_type;
	Datum		value[4];
	bool		null[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	store_check_owner("collect");
	check_isolation();
	lock_out_writers();
	SPI_connect();
	prepare_queries();
	store_enter(&access);
	collect_versions_older_than(PG_GETARG_DATUM(0), &collected);
	generation.sql = collect_objects_sql();
	while (collect_generation(&generation, &collected))
		CHECK_FOR_INTERRUPTS();
	sweep_places(PG_GETARG_DATUM(0), &collected);
	store_leave(&access);
	SPI_finish();

	value[0] = Int64GetDatum(collected.versions);
	value[1] = Int64GetDatum(collected.objects);
	value[2] = Int64GetDatum(collected.chunks);
	value[3] = Int64GetDatum(collected.bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), value, null)));
}
