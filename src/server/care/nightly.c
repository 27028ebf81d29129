/*
 * nightly.c: sparse_nightly: what a store needs regularly, in one call.
 *
 *   1. Versions go that no rule of sparse.expiry keeps.
 *   2. What nothing needs any more is collected.
 *   3. What was uploaded is predicted as an import would have predicted it, and families that
 *      have changed since the last time are repacked, as far as the time goes.
 *   4. The savings of the day are noted.
 *
 * Each by itself is a transaction or many; what was done stays if a later part fails.
 */
#include "care/care.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "care/expire.h"
#include "care/optimize.h"
#include "care/repack.h"
#include "model/answer.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_nightly);

typedef struct Night
{
	Oid			schema;			/* of the extension's functions */
	Datum		open_older_than;

	int64		dropped;
	int64		collected;		/* objects */
	int64		freed;
	int64		optimized;		/* objects of uploads coded anew, and what that saved */
	int64		optimized_bytes;
	Repacked	repacked;
} Night;

static void
drop_expired(Care *care, Night *night)
{
	care_step_begin(care);
	night->dropped = expire_by_stored_rules();
	care_step_end(care);
}

static void
collect(Care *care, Night *night)
{
	StoreQuery	query = {
		.args = 1, .arg = {INTERVALOID},
		.columns = 2, .column = {INT8OID, INT8OID}
	};
	SPITupleTable *rows;

	care_step_begin(care);
	if (care_lock_out_writers(care))
	{
		query.sql = psprintf("select objects, bytes from %s.sparse_collect($1)",
							 quote_identifier(get_namespace_name(night->schema)));
		query_run_once(&query, &night->open_older_than, false, &rows);
		night->collected = row_int64(rows, 0, 1);
		night->freed = row_int64(rows, 0, 2);
	}
	care_step_end(care);
}

static void
record_savings(Care *care, const Night *night)
{
	StoreQuery	query = {.columns = 1, .column = {INT8OID}};
	SPITupleTable *rows;

	care_step_begin(care);
	query.sql = psprintf("select %s.sparse_record_savings(current_date)",
						 quote_identifier(get_namespace_name(night->schema)));
	query_run_once(&query, NULL, false, &rows);
	care_step_end(care);
}

static Datum
answer(FunctionCallInfo fcinfo, const Night *night)
{
	const Repacked *repacked = &night->repacked;
	Datum		value[7] = {
		Int64GetDatum(night->dropped), Int64GetDatum(night->collected), Int64GetDatum(night->freed),
		Int64GetDatum(repacked->families), Int64GetDatum(night->optimized + repacked->objects),
		Int64GetDatum(night->optimized_bytes + repacked->bytes_before - repacked->bytes_after),
		BoolGetDatum(repacked->finished)
	};
	bool		null[7] = {false};

	return care_answer(fcinfo, value, null);
}

/* sparse_nightly(budget, max_depth, open_older_than) */
Datum
care_nightly(PG_FUNCTION_ARGS)
{
	int			max_depth = repack_max_depth_argument(fcinfo, 1);
	Night		night = {.repacked = {.finished = true}};
	Care		care;

	if (PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("open_older_than must not be null"));
	night.schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	night.open_older_than = PG_GETARG_DATUM(2);
	care_begin(fcinfo, &care, "care for it", 0);
	drop_expired(&care, &night);
	collect(&care, &night);
	night.repacked.finished = optimize_uploads(&care, max_depth);
	night.optimized = care.recoded;
	night.optimized_bytes = care.bytes_before - care.bytes_after;
	repack_all(&care, max_depth, &night.repacked);
	record_savings(&care, &night);
	care_end(&care);
	return answer(fcinfo, &night);
}
