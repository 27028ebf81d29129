/*
 * record.c: pulls that are recorded. They are written as the caller, whose privileges
 * and policies decide, and who, if he is a superuser, acts as the store's owner
 * (store/as_reader.c).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(savings_record_pull);

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
