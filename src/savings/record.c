/*
 * record.c: pulls that are recorded, and the functions of this layer that are written
 * in SQL, called as whoever may be asked.
 *
 * What is asked of the store's views and written to its tables is asked and written as
 * the caller, whose privileges and policies decide. A superuser passes all of them: he
 * acts as the store's owner, so that nothing which that owner made of a view, or hung
 * on a table, runs with a superuser's rights (store/access.c).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(savings_record_pull);
PG_FUNCTION_INFO_V1(savings_record);
PG_FUNCTION_INFO_V1(savings_report_data);

/* ---- pulls ---- */

static StoreQuery record_pull = {
	.sql = "insert into sparse.pull as p (version, raw_file_bytes, sent_bytes)"
	" values ($1, coalesce($3, (select v.raw_bytes from sparse.version v where v.id = $1)), $2)"
	" on conflict (version, day) do update"
	" set pulls = p.pulls + 1,"
	"     raw_file_bytes = p.raw_file_bytes + excluded.raw_file_bytes,"
	"     sent_bytes = p.sent_bytes + excluded.sent_bytes",
	.args = 3, .arg = {INT8OID, INT8OID, INT8OID},
	.scans = true
};

static bool
is_number_of_bytes(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_INT64(argument) >= 0;
}

/* sparse_record_pull(version, sent_bytes, raw_file_bytes) */
Datum
savings_record_pull(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	Datum		value[3];
	char		null[] = "   ";
	uint64		rows;

	version_from_argument_now(fcinfo, 0, true, &version);
	if (!is_number_of_bytes(fcinfo, 1) || !(PG_ARGISNULL(2) || is_number_of_bytes(fcinfo, 2)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("bytes of a pull must be 0 or more"));
	value[0] = Int64GetDatum(version.id);
	value[1] = PG_GETARG_DATUM(1);
	value[2] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	null[2] = PG_ARGISNULL(2) ? 'n' : ' ';
	answer_connect();
	enter_versions(&access);
	rows = query_run(&record_pull, value, null, false, NULL);
	store_leave(&access);
	if (rows == 0)
	{
		query_forget(&record_pull);
		ereport(ERROR,
				errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				errmsg("the pull was not recorded"),
				errdetail("A trigger or a rule of table sparse.pull suppressed it."));
	}
	answer_finish();
	PG_RETURN_VOID();
}

/* ---- what is written in SQL ---- */

/* The function `name` of one argument, beside the one that was called. */
static Oid
function_beside(FunctionCallInfo fcinfo, const char *name, Oid argument)
{
	char	   *schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	List	   *path = list_make2(makeString(schema), makeString(pstrdup(name)));

	return LookupFuncName(path, 1, &argument, false);
}

static Datum
call_as_reader(FunctionCallInfo fcinfo, const char *name, Oid argument)
{
	Oid			function = function_beside(fcinfo, name, argument);
	StoreAccess access;
	Datum		result;

	enter_versions(&access);
	result = OidFunctionCall1(function, PG_GETARG_DATUM(0));
	store_leave(&access);
	return result;
}

/* sparse_record_savings(day) */
Datum
savings_record(PG_FUNCTION_ARGS)
{
	return call_as_reader(fcinfo, "sparse_record_savings_of", DATEOID);
}

/* sparse_report_data(whole_store) */
Datum
savings_report_data(PG_FUNCTION_ARGS)
{
	return call_as_reader(fcinfo, "sparse_report_figures", BOOLOID);
}
