/*
 * query.c: saved plans (see query.h).
 *
 * Names of tables and operators are written out in full in every query of this
 * layer, so that neither the search path of the first caller nor that of a later
 * one decides what they mean.
 */
#include "query.h"

#include "nodes/parsenodes.h"

#include "store/store.h"

static void
prepare_once(StoreQuery *query)
{
	SPIPlanPtr	plan;

	if (query->plan != NULL)
		return;
	plan = SPI_prepare_cursor(query->sql, query->args, query->arg, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", query->sql,
			 SPI_result_code_string(SPI_result));
	query->plan = plan;
}

static void
check_columns(const StoreQuery *query, TupleDesc columns)
{
	bool		good = columns->natts == query->columns;

	for (int i = 0; good && i < query->columns; i++)
		good = TupleDescAttr(columns, i)->atttypid == query->column[i];
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("schema \"sparse\" does not hold the tables of a store"),
				 errdetail("A column of another type came from: %s", query->sql)));
}

/*
 * Sequential scans are discouraged where it comes to planning: a plan made while the
 * store was nearly empty serves a long import to its end. A scan that cannot be
 * avoided then looks so dear that it would be compiled: not that.
 */
static int
settings_of(const StoreQuery *query)
{
	return query->scans ? 0 : BY_INDEX;
}

uint64
query_run(StoreQuery *query, Datum *value, const char *null, bool read_only, SPITupleTable **rows)
{
	MemoryContext context = CurrentMemoryContext;
	int			nest;
	int			result;

	prepare_once(query);
	nest = settings_enter(settings_of(query));
	result = SPI_execute_plan(query->plan, value, null, read_only, 0);
	settings_leave(nest);
	MemoryContextSwitchTo(context);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(result));
	if (query->columns > 0)
	{
		Assert(rows != NULL);
		check_columns(query, SPI_tuptable->tupdesc);
		*rows = SPI_tuptable;
	}
	return SPI_processed;
}

Portal
query_open(StoreQuery *query, Datum *value, bool read_only)
{
	MemoryContext context = CurrentMemoryContext;
	Portal		portal;
	int			nest;

	prepare_once(query);
	nest = settings_enter(settings_of(query));
	portal = SPI_cursor_open(NULL, query->plan, value, NULL, read_only);
	settings_leave(nest);
	MemoryContextSwitchTo(context);
	return portal;
}

void
query_fetch(Portal portal, long most)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_cursor_fetch(portal, true, most);
	MemoryContextSwitchTo(context);
}

void
query_check_rows(const StoreQuery *query, const SPITupleTable *rows)
{
	check_columns(query, rows->tupdesc);
}

uint64
query_run_once(StoreQuery *query, Datum *value, bool read_only, SPITupleTable **rows)
{
	MemoryContext context = CurrentMemoryContext;
	int			result = SPI_execute_with_args(query->sql, query->args, query->arg,
											   value, NULL, read_only, 0);

	MemoryContextSwitchTo(context);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(result));
	check_columns(query, SPI_tuptable->tupdesc);
	*rows = SPI_tuptable;
	return SPI_processed;
}

void
query_forget(StoreQuery *query)
{
	if (query->plan != NULL)
		SPI_freeplan(query->plan);
	query->plan = NULL;
}

Datum
row_datum(const SPITupleTable *rows, uint64 row, int column)
{
	bool		null;
	Datum		value = SPI_getbinval(rows->vals[row], rows->tupdesc, column, &null);

	if (null)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("unexpected null in column \"%s\" of a table of the store",
						NameStr(TupleDescAttr(rows->tupdesc, column - 1)->attname))));
	return value;
}

int64
row_int64(const SPITupleTable *rows, uint64 row, int column)
{
	return DatumGetInt64(row_datum(rows, row, column));
}

int32
row_int32(const SPITupleTable *rows, uint64 row, int column)
{
	return DatumGetInt32(row_datum(rows, row, column));
}
