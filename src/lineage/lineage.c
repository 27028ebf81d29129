/*
 * lineage.c: where versions come from, and what was made of them.
 *
 * The graph of sparse.parent is walked breadth first in one recursive query, which
 * visits a version once for each distance that it has, not once for each way to
 * it; of these distances the least is given. The tables are read as the caller,
 * whose policies decide, or for a superuser as the store's owner (store.h), so that
 * nothing which that owner hung on them runs with a superuser's rights.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_version_id);
PG_FUNCTION_INFO_V1(lineage_resolve);
PG_FUNCTION_INFO_V1(lineage_ancestors);
PG_FUNCTION_INFO_V1(lineage_descendants);

#define EDGES_A_BATCH 1000

/* From $1 along the edges of sparse.parent, from their column `from` to their column `to`. */
#define WALK(from, to) \
	"with recursive reached (id, distance) as (" \
	"  select $1, 0" \
	"  union" \
	"  select e." to ", r.distance operator(pg_catalog.+) 1" \
	"    from reached r" \
	"    join sparse.parent e on e." from " operator(pg_catalog.=) r.id)," \
	" nearest (id, distance) as (" \
	"  select r.id, pg_catalog.min(r.distance) from reached r group by r.id)" \
	" select n.distance operator(pg_catalog.+) 1, v.id, v.name, v.revision, v.state," \
	"        e.role, e." from ", v.created_at" \
	"   from nearest n" \
	"   join sparse.parent e on e." from " operator(pg_catalog.=) n.id" \
	"   join sparse.version v on v.id operator(pg_catalog.=) e." to \
	"  order by n.distance, v.id, e." from ", e.ordinal"
#define WALK_RESULT .columns = 8, \
	.column = {INT4OID, INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID}

static StoreQuery ancestors = {
	.sql = WALK("child", "parent"),
	.args = 1, .arg = {INT8OID},
	WALK_RESULT
};

static StoreQuery descendants = {
	.sql = WALK("parent", "child"),
	.args = 1, .arg = {INT8OID},
	WALK_RESULT
};

/* All rows of a walk, some at a time: a base may have a million descendants. */
static void
add_edges(Answer *answer, StoreQuery *query, Datum *start)
{
	Portal		walk = query_open(query, start, true);

	for (;;)
	{
		SPI_cursor_fetch(walk, true, EDGES_A_BATCH);
		if (SPI_processed == 0)
			break;
		query_check_rows(query, SPI_tuptable);
		for (uint64 i = 0; i < SPI_processed; i++)
			answer_add_row(answer, SPI_tuptable, i, 0);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(walk);
}

static Datum
answer_walk(FunctionCallInfo fcinfo, StoreQuery *query)
{
	StoreVersion version;
	StoreAccess access;
	Answer		answer;
	Datum		start;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, true, &version);
	start = Int64GetDatum(version.id);
	answer_connect();
	enter_versions(&access);
	add_edges(&answer, query, &start);
	store_leave(&access);
	answer_finish();
	return (Datum) 0;
}

Datum
lineage_ancestors(PG_FUNCTION_ARGS)
{
	return answer_walk(fcinfo, &ancestors);
}

Datum
lineage_descendants(PG_FUNCTION_ARGS)
{
	return answer_walk(fcinfo, &descendants);
}

Datum
lineage_version_id(PG_FUNCTION_ARGS)
{
	StoreVersion version;

	version_from_argument(fcinfo, 0, true, &version);
	PG_RETURN_INT64(version.id);
}

/* sparse_resolve: as any reader resolves what it is given, so dropped and open versions are refused. */
Datum
lineage_resolve(PG_FUNCTION_ARGS)
{
	StoreVersion version;

	version_from_argument(fcinfo, 0, false, &version);
	PG_RETURN_INT64(version.id);
}
