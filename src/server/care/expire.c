/*
 * expire.c: sparse_expire, and the rules that stand in sparse.expiry.
 *
 * A rule says which versions stay: the newest so many ready revisions of a name, what
 * bears a tag, what is younger than an interval. What no rule of a name keeps is dropped
 * like by sparse_drop: it stays as a tombstone, and can be taken back until it is collected.
 *
 * Versions are read and locked as the caller, so row-level security decides: revisions
 * that he cannot see do not count, and what he may not update is not among those that go.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "expire.h"
#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(care_expire);

/* Rules as the columns of their rows; of those whose prefix a name has, the longest prefix counts. */
#define RULES 4

/* The newest are counted among those that are ready; what is older than a rule's interval was made before. */
#define EXPIRED \
	"select v.id, v.name, v.revision, v.created_at, v.stored_bytes," \
	"       concat_ws('; '," \
	"           case when r.keep_last > 0 then format('not among the newest %s', r.keep_last) end," \
	"           case when r.keep_tagged then 'not tagged' end," \
	"           case when r.older_than is not null then format('older than %s', r.older_than) end)" \
	"  from sparse.version v" \
	"  cross join lateral (select u.keep_last, u.keep_tagged, u.older_than" \
	"                        from unnest($1, $2, $3, $4) as u (prefix, keep_last, keep_tagged, older_than)" \
	"                       where starts_with(v.name, u.prefix)" \
	"                       order by length(u.prefix) desc limit 1) r" \
	" where v.state = 'ready'" \
	"   and (r.older_than is null or v.created_at < now() - r.older_than)" \
	"   and (r.keep_last = 0 or r.keep_last <= (select count(*) from (" \
	"           select from sparse.version n where n.name = v.name and n.revision > v.revision and n.state = 'ready'" \
	"           limit r.keep_last) newer))" \
	"   and (not r.keep_tagged or not exists (select from sparse.tag t where t.version = v.id))" \
	" order by v.id"

#define EXPIRED_QUERY(sql_text) { \
	.sql = sql_text, \
	.args = RULES, .arg = {TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, INTERVALARRAYOID}, \
	.columns = 6, .column = {INT8OID, TEXTOID, INT4OID, TIMESTAMPTZOID, INT8OID, TEXTOID}, \
	.scans = true}

static StoreQuery expired = EXPIRED_QUERY(EXPIRED);

/* The lock asks whether the caller may update them, and holds off whoever would tag them. */
static StoreQuery expired_locked = EXPIRED_QUERY(EXPIRED " for no key update of v");

static StoreQuery stored_rules = {
	.sql = "select array_agg(prefix), array_agg(keep_last), array_agg(keep_tagged), array_agg(older_than)"
	"  from sparse.expiry having count(*) > 0",
	.args = 0,
	.columns = RULES, .column = {TEXTARRAYOID, INT4ARRAYOID, BOOLARRAYOID, INTERVALARRAYOID}};

/*
 * Drops what the rules let go, or only tells. A tag that was given between the snapshot
 * of the first look and its locks is seen by the second.
 */
static int64
expire(Datum *rules, bool dry_run, Answer *answer)
{
	StoreAccess access;
	SPITupleTable *rows;
	uint64		count;

	answer_connect();
	enter_versions(&access);
	count = query_run(&expired_locked, rules, NULL, false, &rows);
	if (!dry_run && count > 0)
		count = query_run(&expired, rules, NULL, false, &rows);
	store_leave(&access);
	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!dry_run)
			version_drop(row_int64(rows, i, 1));
		if (answer != NULL)
			answer_add_row(answer, rows, i, 0);
	}
	answer_finish();
	return (int64) count;
}

/* An array of one element, which may be null. */
static Datum
array_of_one(Oid type, Datum value, bool null, int16 length, bool by_value, char align)
{
	int			dimension = 1;
	int			lower = 1;

	return PointerGetDatum(construct_md_array(&value, &null, 1, &dimension, &lower, type, length, by_value, align));
}

static void
check_rule(bool any_age, int32 keep_last)
{
	if (keep_last < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("keep_last must not be negative"));
	if (any_age && keep_last == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("no rule says which versions are to stay"),
				errdetail("Without keep_last and older_than every version that has no tag would go."),
				errhint("Give keep_last, older_than or both."));
}

/* sparse_expire(keep_last, keep_tagged, older_than, dry_run, prefix) */
Datum
care_expire(PG_FUNCTION_ARGS)
{
	int32		keep_last = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	bool		keep_tagged = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	bool		any_age = PG_ARGISNULL(2);
	bool		dry_run = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	Datum		prefix = PG_ARGISNULL(4) ? CStringGetTextDatum("") : PG_GETARG_DATUM(4);
	Datum		rules[RULES];
	Answer		answer;

	check_rule(any_age, keep_last);
	(void) store_owner();
	rules[0] = array_of_one(TEXTOID, prefix, false, -1, false, TYPALIGN_INT);
	rules[1] = array_of_one(INT4OID, Int32GetDatum(keep_last), false, sizeof(int32), true, TYPALIGN_INT);
	rules[2] = array_of_one(BOOLOID, BoolGetDatum(keep_tagged), false, sizeof(bool), true, TYPALIGN_CHAR);
	rules[3] = array_of_one(INTERVALOID, any_age ? (Datum) 0 : PG_GETARG_DATUM(2), any_age, 16, false, TYPALIGN_DOUBLE);
	answer_begin(fcinfo, &answer);
	expire(rules, dry_run, &answer);
	return (Datum) 0;
}

int64
expire_by_stored_rules(void)
{
	Datum		rules[RULES];
	SPITupleTable *rows;
	StoreAccess access;
	int64		count = 0;
	bool		any;

	answer_connect();
	enter_versions(&access);
	any = query_run(&stored_rules, NULL, NULL, false, &rows) > 0;
	for (int i = 0; any && i < RULES; i++)
		rules[i] = row_datum(rows, 0, i + 1);
	store_leave(&access);
	if (any)
		count = expire(rules, false, NULL);
	answer_finish();
	return count;
}
