/*
 * query.h: saved plans, run with checked parameters and results.
 *
 * A StoreQuery is a static: its SQL, its parameter types, the column types that its
 * result must have. The tables that it reads may have been made by anybody who
 * could make a schema named "sparse", so a column of another type is an error,
 * not a crash.
 *
 * The memory context stays the caller's. (SPI by itself leaves its own behind, which lasts until SPI_finish:
 * what was then put together for each row of a long answer stayed until the end.)
 *
 * Plans are generic: with "place" as a parameter the executor prunes partitions of chunk
 * when it starts, and no chunk is planned for on its own. They go by an index,
 * however small the tables were when they were planned, unless they say otherwise.
 */
#ifndef SPARSE_STORE_QUERY_H
#define SPARSE_STORE_QUERY_H

#include "postgres.h"
#include "compat.h"
#include "executor/spi.h"

#define QUERY_ARGS 16
#define QUERY_COLUMNS 16

typedef struct StoreQuery
{
	const char *sql;
	int			args;
	Oid			arg[QUERY_ARGS];
	int			columns;
	Oid			column[QUERY_COLUMNS];
	bool		scans;			/* the planner may scan whole tables */

	/* of this backend */
	SPIPlanPtr	plan;
} StoreQuery;

/*
 * Runs a query within SPI_connect; null may be NULL (no parameter is null).
 * Returns the number of rows; *rows (which may be NULL for queries without
 * columns) is to be released by SPI_freetuptable.
 */
extern uint64 query_run(StoreQuery *query, Datum *value, const char *null, bool read_only,
						SPITupleTable **rows);

/*
 * Opens a query whose rows may be too many for memory, to be fetched by query_fetch into SPI_tuptable
 * within the same SPI_connect, after which query_check_rows says whether they are rows of a store.
 */
extern Portal query_open(StoreQuery *query, Datum *value, bool read_only);
extern void query_fetch(Portal portal, long most);
extern void query_check_rows(const StoreQuery *query, const SPITupleTable *rows);

/*
 * Runs a query whose text was made for this call, planned for these values; nothing
 * is kept of it.
 */
extern uint64 query_run_once(StoreQuery *query, Datum *value, bool read_only, SPITupleTable **rows);

/*
 * Forgets the plan: to be called where a statement wrote nothing that must write a
 * row. A rule "do instead nothing" leaves an empty plan, on which nothing depends.
 */
extern void query_forget(StoreQuery *query);

/* A column of a row; row_datum takes a null for corruption. Columns count from 1. */
extern Datum row_datum(const SPITupleTable *rows, uint64 row, int column);
extern int64 row_int64(const SPITupleTable *rows, uint64 row, int column);
extern int32 row_int32(const SPITupleTable *rows, uint64 row, int column);

#endif
