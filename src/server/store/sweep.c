/*
 * sweep.c: removing chunks on other servers that nothing needs.
 *
 * Two kinds (see place.c). Those of objects that went, or lie elsewhere by now: sparse.forgotten says so
 * from the transaction on that did it, and they are removed once that is older than every snapshot (of
 * standbys, too, where they tell of theirs) and than the age that sparse_collect() was given, so that
 * a standby that was behind, or a restored catalogue, finds what it refers to. And those of
 * no object at all: of a transaction that failed after the other server had committed.
 *
 * What is removed there is gone even where this transaction fails afterwards: the next run finds the
 * rest of sparse.forgotten again, and nothing to remove.
 */
#include "postgres.h"
#include "compat.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/rel.h"

#include "store/guard.h"
#include "store/place.h"
#include "store/store.h"
#include "store/sweep.h"

#define OBJECTS_AT_ONCE 1000

typedef struct Sweep
{
	int16		place;
	Datum		older_than;
	TransactionId horizon;		/* what came before it everybody sees */
	int64		chunks;
} Sweep;

/* The deleter has committed, or this would not see its row. */
static StoreQuery forgotten_query = {
	.sql = "select object, xmin from sparse.forgotten where place operator(pg_catalog.=) $1 "
		"and at operator(pg_catalog.<=) (pg_catalog.now() operator(pg_catalog.-) $2) "
		"and object operator(pg_catalog.>) $3 order by object limit $4",
	.args = 4, .arg = {INT2OID, INTERVALOID, INT8OID, INT8OID},
	.columns = 2, .column = {INT8OID, XIDOID}
};

/* (Only their ids are fetched: the other server groups them.) */
static StoreQuery orphans_query = {
	.sql = "select c.object from (select object from %s where object operator(pg_catalog.>) $2 group by object) c "
		"where not exists (select from sparse.object o where o.id operator(pg_catalog.=) c.object and o.place operator(pg_catalog.=) $1) "
		"and not exists (select from sparse.forgotten f where f.place operator(pg_catalog.=) $1 and f.object operator(pg_catalog.=) c.object) "
		"order by c.object limit $3",
	.args = 3, .arg = {INT2OID, INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID},
	.scans = true
};

static StoreQuery delete_chunks = {
	.sql = "delete from %s where object operator(pg_catalog.=) any ($1)",
	.args = 1, .arg = {INT8ARRAYOID}
};

static StoreQuery delete_notes = {
	.sql = "delete from sparse.forgotten where place operator(pg_catalog.=) $1 and object operator(pg_catalog.=) any ($2)",
	.args = 2, .arg = {INT2OID, INT8ARRAYOID}
};

static void
remove_chunks(Sweep *sweep, Datum *object, int count)
{
	Datum		value[2] = {Int16GetDatum(sweep->place)};

	if (count == 0)
		return;
	value[1] = PointerGetDatum(construct_array(object, count, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE));
	sweep->chunks += (int64) query_run_at(&delete_chunks, sweep->place, &value[1], NULL, false, NULL);
	query_run(&delete_notes, value, NULL, false, NULL);
}

/* The next that were forgotten, beginning after `last`, which is moved on; false: there are no more. */
static bool
sweep_forgotten(Sweep *sweep, int64 *last)
{
	Datum		value[4] = {Int16GetDatum(sweep->place), sweep->older_than, Int64GetDatum(*last), Int64GetDatum(OBJECTS_AT_ONCE)};
	Datum		object[OBJECTS_AT_ONCE];
	SPITupleTable *rows;
	uint64		found = query_run(&forgotten_query, value, NULL, false, &rows);
	int			count = 0;

	for (uint64 i = 0; i < found; i++)
	{
		*last = row_int64(rows, i, 1);
		if (TransactionIdPrecedes(DatumGetTransactionId(row_datum(rows, i, 2)), sweep->horizon))
			object[count++] = Int64GetDatum(*last);
	}
	SPI_freetuptable(rows);
	remove_chunks(sweep, object, count);
	return found == OBJECTS_AT_ONCE;
}

static bool
sweep_orphans(Sweep *sweep, int64 *last)
{
	Datum		value[3] = {Int16GetDatum(sweep->place), Int64GetDatum(*last), Int64GetDatum(OBJECTS_AT_ONCE)};
	Datum		object[OBJECTS_AT_ONCE];
	SPITupleTable *rows;
	uint64		found = query_run_at(&orphans_query, sweep->place, value, NULL, false, &rows);

	for (uint64 i = 0; i < found; i++)
		object[i] = row_datum(rows, i, 1);
	if (found > 0)
		*last = row_int64(rows, found - 1, 1);
	SPI_freetuptable(rows);
	remove_chunks(sweep, object, (int) found);
	return found == OBJECTS_AT_ONCE;
}

static void
sweep_place(void *argument)
{
	Sweep	   *sweep = argument;
	int64		last = PG_INT64_MIN;

	while (sweep_forgotten(sweep, &last))
		CHECK_FOR_INTERRUPTS();
	last = PG_INT64_MIN;
	while (sweep_orphans(sweep, &last))
		CHECK_FOR_INTERRUPTS();
}

/* What was deleted by transactions before it no snapshot sees. */
static TransactionId
horizon_of_snapshots(void)
{
	Relation	table = table_open(store_relation("object"), AccessShareLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(table);

	table_close(table, AccessShareLock);
	return horizon;
}

void
sweep_places(Datum older_than, Collected *collected)
{
	int16	   *place;
	int			places = place_list(&place);

	for (int i = 0; i < places; i++)
	{
		Sweep		sweep = {.place = place[i], .older_than = older_than};
		ErrorData  *error;

		if (!place_is_far(place[i]))
			continue;
		sweep.horizon = horizon_of_snapshots();
		error = guarded_attempt(sweep_place, &sweep, place_is_down);
		if (error == NULL)
			collected->chunks += sweep.chunks;
		else
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("nothing was removed from place \"%s\": %s", place_name(place[i]), error->message)));
	}
}
