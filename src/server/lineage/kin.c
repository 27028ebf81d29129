/*
 * kin.c: how versions are related: the members of a family, the common ancestors of
 * two versions, the way from one to the other.
 *
 * Both walks go up, from the two versions: what is above a version is little, what
 * is below a base may be everything. A version counts as its own ancestor.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_family);
PG_FUNCTION_INFO_V1(lineage_common_ancestor);
PG_FUNCTION_INFO_V1(lineage_path);

#define MEMBERS_A_BATCH 5000

/* ---- a family ---- */

static StoreQuery members = {
	.sql = "select v.id, v.name, v.revision, v.kind, v.state, v.created_at, v.raw_bytes, v.stored_bytes, v.exact"
	"  from sparse.version v"
	" where v.family = $1 and v.id > $2"
	" order by v.id"
	" limit $3",
	.args = 3, .arg = {INT8OID, INT8OID, INT8OID},
	.columns = 9, .column = {INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID, BOOLOID}};

/* Adds the members behind `last`, which moves on; their number. */
static uint64
add_members(Answer *answer, int64 family, int64 *last)
{
	Datum		argument[3] = {Int64GetDatum(family), Int64GetDatum(*last), Int64GetDatum(MEMBERS_A_BATCH)};
	SPITupleTable *rows;
	uint64		count = query_run(&members, argument, NULL, true, &rows);

	for (uint64 i = 0; i < count; i++)
		answer_add_row(answer, rows, i, 0);
	if (count > 0)
		*last = row_int64(rows, count - 1, 1);
	SPI_freetuptable(rows);
	return count;
}

Datum
lineage_family(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	Answer		answer;
	int64		last = 0;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, true, &version);
	answer_connect();
	enter_versions(&access);
	while (add_members(&answer, version.family, &last) == MEMBERS_A_BATCH)
		CHECK_FOR_INTERRUPTS();
	store_leave(&access);
	answer_finish();
	return (Datum) 0;
}

/* ---- two versions ---- */

/* near_<x> (id, distance): the version `start` and its ancestors. (The bound ends it where somebody wrote a circle into the table.) */
#define NEAR(x, start) \
	" up_" x " (id, distance) as (" \
	"  select " start ", 0" \
	"  union" \
	"  select e.parent, r.distance + 1 from up_" x " r join sparse.parent e on e.child = r.id where r.distance < 100000)," \
	" near_" x " (id, distance) as materialized (" \
	"  select r.id, min(r.distance) from up_" x " r group by r.id)"

#define COMMON \
	"with recursive" NEAR("a", "$1") "," NEAR("b", "$2") "," \
	" common (id, distance_a, distance_b) as materialized (" \
	"  select a.id, a.distance, b.distance from near_a a join near_b b on b.id = a.id)"

/* The lowest: no other common ancestor is made from them. */
static StoreQuery common_ancestors = {
	.sql = COMMON
	" select v.id, v.name, v.revision, v.state, c.distance_a, c.distance_b, v.exact"
	"   from common c"
	"   join sparse.version v on v.id = c.id"
	"  where c.id not in (select e.parent from common d join sparse.parent e on e.child = d.id)"
	"  order by c.distance_a + c.distance_b, v.id desc",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 7, .column = {INT8OID, TEXTOID, INT4OID, TEXTOID, INT4OID, INT4OID, BOOLOID}};

/*
 * way_<x> (id, distance, role): from the best common ancestor down to the version;
 * role is that of the edge by which it came there.
 */
#define WAY(x) \
	" edges_" x " (child, distance, parent, role) as materialized (" \
	"  select e.child, n.distance, e.parent, e.role from near_" x " n join sparse.parent e on e.child = n.id)," \
	" way_" x " (id, distance, role) as (" \
	"  select b.id, b.distance_" x ", null from best b" \
	"  union all" \
	"  select s.child, w.distance - 1, s.role" \
	"    from way_" x " w" \
	"   cross join lateral (select e.child, e.role from edges_" x " e" \
	"                        where e.parent = w.id and e.distance = w.distance - 1" \
	"                        order by e.child limit 1) s)"

static StoreQuery path = {
	.sql = COMMON ","
	" best (id, distance_a, distance_b) as materialized ("
	"  select c.id, c.distance_a, c.distance_b from common c order by c.distance_a + c.distance_b, c.id desc limit 1),"
	WAY("a") "," WAY("b") ","
	" step (step, id, direction, role) as ("
	"  select w.distance, w.id, case when w.distance > 0 then 'up' end,"
	"         (select below.role from way_a below where below.distance = w.distance - 1)"
	"    from way_a w"
	"  union all"
	"  select b.distance_a + b.distance_b - w.distance, w.id, 'down', w.role"
	"    from way_b w cross join best b where w.distance < b.distance_b)"
	" select s.step, v.id, v.name, v.revision, v.state, s.direction, s.role, v.exact"
	"   from step s"
	"   join sparse.version v on v.id = s.id"
	"  order by s.step",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 8, .column = {INT4OID, INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID}};

static Datum
answer_about_two(FunctionCallInfo fcinfo, StoreQuery *query)
{
	StoreVersion a;
	StoreVersion b;
	StoreAccess access;
	SPITupleTable *rows;
	Answer		answer;
	Datum		argument[2];
	uint64		count;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, true, &a);
	version_from_argument(fcinfo, 1, true, &b);
	argument[0] = Int64GetDatum(a.id);
	argument[1] = Int64GetDatum(b.id);
	answer_connect();
	enter_versions(&access);
	count = query_run(query, argument, NULL, true, &rows);
	store_leave(&access);
	for (uint64 i = 0; i < count; i++)
		answer_add_row(&answer, rows, i, 0);
	answer_finish();
	return (Datum) 0;
}

Datum
lineage_common_ancestor(PG_FUNCTION_ARGS)
{
	return answer_about_two(fcinfo, &common_ancestors);
}

Datum
lineage_path(PG_FUNCTION_ARGS)
{
	return answer_about_two(fcinfo, &path);
}
