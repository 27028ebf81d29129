/*
 * place.c: where chunks lie (see place.h).
 *
 * Place n is the partition sparse.chunk_n: a table here, or a foreign table. What another server
 * does is committed before this one commits, and is not undone if this one then fails. Hence:
 *
 *   - what is inserted there stands before anything here refers to it; what a failure leaves
 *     behind is an orphan: chunks of no object that this store knows to lie there;
 *   - nothing there is changed or deleted that something here refers to, or did when the oldest
 *     snapshot was taken: an object that is coded anew comes here, one that goes is noted in sparse.forgotten.
 *
 * sparse_collect() removes both.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "store/guard.h"
#include "store/place.h"
#include "store/store.h"

/* ---- which there are ---- */

static char *
table_of(int16 place)
{
	return psprintf("chunk_%d", place);
}

static Oid
relation_of(int16 place)
{
	char	   *name = table_of(place);
	Oid			relation = store_relation(name);

	pfree(name);
	return relation;
}

bool
place_is_far(int16 place)
{
	return get_rel_relkind(relation_of(place)) == RELKIND_FOREIGN_TABLE;
}

static StoreQuery list_query = {
	.sql = "select id from sparse.place order by id",
	.columns = 1, .column = {INT2OID}
};

int
place_list(int16 **place)
{
	SPITupleTable *rows;
	uint64		count = query_run(&list_query, NULL, NULL, true, &rows);

	*place = palloc(Max(count, 1) * sizeof(int16));
	for (uint64 i = 0; i < count; i++)
		(*place)[i] = DatumGetInt16(row_datum(rows, i, 1));
	SPI_freetuptable(rows);
	return (int) count;
}

static StoreQuery name_query = {
	.sql = "select name from sparse.place where id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT2OID},
	.columns = 1, .column = {TEXTOID}
};

/* A name that is known, as long as the table of its place is the same. */
typedef struct KnownPlace
{
	int16		place;
	Oid			relation;
	char		name[NAMEDATALEN];
} KnownPlace;

static KnownPlace *
known_place(int16 place, bool *found)
{
	static HTAB *known = NULL;

	if (known == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(int16), .entrysize = sizeof(KnownPlace), .hcxt = TopMemoryContext};

		known = hash_create("places of sparse", 8, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	return hash_search(known, &place, HASH_ENTER, found);
}

const char *
place_name(int16 place)
{
	Oid			relation = relation_of(place);
	Datum		value = Int16GetDatum(place);
	bool		found;
	KnownPlace *known = known_place(place, &found);
	SPITupleTable *rows;

	if (found && known->relation == relation)
		return known->name;
	known->relation = InvalidOid;
	strlcpy(known->name, "?", NAMEDATALEN);
	if (query_run(&name_query, &value, NULL, true, &rows) > 0)
	{
		char	   *name = TextDatumGetCString(row_datum(rows, 0, 1));

		strlcpy(known->name, name, NAMEDATALEN);
		pfree(name);
		known->relation = relation;
	}
	SPI_freetuptable(rows);
	return known->name;
}

/* ---- statements about one ---- */

typedef struct PlacedKey
{
	const StoreQuery *query;
	int64		place;
} PlacedKey;

typedef struct Placed
{
	PlacedKey	key;
	StoreQuery	query;
} Placed;

static Placed *
placed_query(const StoreQuery *query, int16 place)
{
	static HTAB *placed = NULL;
	PlacedKey	key = {query, place};
	Placed	   *of;
	char	   *table;
	bool		found;

	if (placed == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(PlacedKey), .entrysize = sizeof(Placed), .hcxt = TopMemoryContext};

		placed = hash_create("statements of places", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	of = hash_search(placed, &key, HASH_ENTER, &found);
	if (!found)
		memset(&of->query, 0, sizeof(StoreQuery));
	if (of->query.sql == NULL)
	{
		const char *hole = strstr(query->sql, "%s");

		Assert(hole != NULL);
		table = table_of(place);
		of->query = *query;
		of->query.sql = MemoryContextStrdup(TopMemoryContext,
											psprintf("%.*ssparse.%s%s", (int) (hole - query->sql), query->sql, table, hole + 2));
		pfree(table);
	}
	return of;
}

static void
name_place(void *argument)
{
	errcontext("place \"%s\" of the store", (const char *) argument);
}

uint64
query_run_at(StoreQuery *query, int16 place, Datum *value, const char *null, bool read_only, SPITupleTable **rows)
{
	StoreQuery *of = &placed_query(query, place)->query;
	ErrorContextCallback context;
	uint64		count;

	if (!place_is_far(place))
		return query_run(of, value, null, read_only, rows);
	context = (ErrorContextCallback) {
		.previous = error_context_stack, .callback = name_place, .arg = unconstify(char *, place_name(place))
	};
	error_context_stack = &context;
	count = query_run(of, value, null, read_only, rows);
	error_context_stack = context.previous;
	return count;
}

void
query_forget_at(StoreQuery *query, int16 place)
{
	query_forget(&placed_query(query, place)->query);
}

/* ---- chunks that go ---- */

static StoreQuery delete_chunks = {
	.sql = "delete from %s where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID}
};

static StoreQuery forget_chunks = {
	.sql = "insert into sparse.forgotten (place, object) values ($1, $2)",
	.args = 2, .arg = {INT2OID, INT8OID}
};

void
chunks_remove(int64 object, int16 place)
{
	Datum		value[2] = {Int16GetDatum(place), Int64GetDatum(object)};

	if (place_is_far(place))
		query_run(&forget_chunks, value, NULL, false, NULL);
	else
		query_run_at(&delete_chunks, place, &value[1], NULL, false, NULL);
}

/* ---- a place for what is new ---- */

bool
place_is_down(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_CONNECTION_EXCEPTION ||
		error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN || error->sqlerrcode == ERRCODE_CRASH_SHUTDOWN ||
		error->sqlerrcode == ERRCODE_CANNOT_CONNECT_NOW;
}

/* Drawn by weight: the first of exponential times whose rates are the weights, then the next. */
static StoreQuery draw_query = {
	.sql = "select p.id from sparse.place p where p.weight operator(pg_catalog.>) 0 "
		"order by pg_catalog.ln(1.0::pg_catalog.float8 operator(pg_catalog.-) pg_catalog.random()) "
		"operator(pg_catalog./) p.weight::pg_catalog.float8 desc",
	.columns = 1, .column = {INT2OID}
};

static StoreQuery probe_query = {
	.sql = "select 1 from %s limit 1",
	.columns = 1, .column = {INT4OID}
};

static void
probe(void *argument)
{
	SPITupleTable *rows;

	query_run_at(&probe_query, *(const int16 *) argument, NULL, NULL, true, &rows);
	SPI_freetuptable(rows);
}

int16
place_of_new_family(void)
{
	SPITupleTable *rows;
	uint64		count = query_run(&draw_query, NULL, NULL, false, &rows);

	for (uint64 i = 0; i < count; i++)
	{
		int16		place = DatumGetInt16(row_datum(rows, i, 1));
		ErrorData  *error = place_is_far(place) ? guarded_attempt(probe, &place, place_is_down) : NULL;

		if (error == NULL)
		{
			SPI_freetuptable(rows);
			return place;
		}
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("place \"%s\" is passed over: %s", place_name(place), error->message)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no place takes new families"),
			 errdetail("The weights of all that can be reached are 0."),
			 errhint("sparse_weigh_place() gives a place a weight.")));
	pg_unreachable();
}
