/*
 * lineage.c: where versions come from, and what was made of them.
 *
 * The graph of sparse.parent is walked breadth first, a query for each level: so a
 * version is visited once, however many ways lead to it, at its least distance. The
 * tables are read as the caller, whose policies decide, or for a superuser as the
 * store's owner (store.h), so that nothing which that owner hung on them runs with a
 * superuser's rights.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"
#include "walk.h"

PG_FUNCTION_INFO_V1(lineage_version_id);
PG_FUNCTION_INFO_V1(lineage_resolve);
PG_FUNCTION_INFO_V1(lineage_ancestors);
PG_FUNCTION_INFO_V1(lineage_descendants);

#define EDGES_A_BATCH 1000

/* From the versions $1 along the edges of sparse.parent, from their column `from` to their column `to`. */
#define STEP(from, to) \
	"select $2, v.id, v.name, v.revision, v.state, e.role, e." from ", v.created_at, v.exact" \
	"  from sparse.parent e" \
	"  join sparse.version v on v.id operator(pg_catalog.=) e." to \
	" where e." from " operator(pg_catalog.=) any ($1)" \
	" order by v.id, e." from ", e.ordinal"
#define STEP_ARGUMENTS .args = 2, .arg = {INT8ARRAYOID, INT4OID}
#define STEP_RESULT .columns = 9, \
	.column = {INT4OID, INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, BOOLOID}

static StoreQuery ancestors = {
	.sql = STEP("child", "parent"),
	STEP_ARGUMENTS,
	STEP_RESULT
};

static StoreQuery descendants = {
	.sql = STEP("parent", "child"),
	STEP_ARGUMENTS,
	STEP_RESULT
};

/*
 * Adds the edges that lead on from the versions reached from number `first` on, some
 * at a time: a base may have a million descendants.
 */
static void
add_step(Answer *answer, StoreQuery *query, Walk *walk, int first, int32 distance)
{
	Datum		argument[2] = {walk_level(walk, first), Int32GetDatum(distance)};
	Portal		step = query_open(query, argument, true);

	for (;;)
	{
		query_fetch(step, EDGES_A_BATCH);
		if (SPI_processed == 0)
			break;
		query_check_rows(query, SPI_tuptable);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			answer_add_row(answer, SPI_tuptable, i, 0);
			walk_reach(walk, row_int64(SPI_tuptable, i, 2));
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(step);
	pfree(DatumGetPointer(argument[0]));
}

static void
add_edges(Answer *answer, StoreQuery *query, int64 start)
{
	Walk		walk;
	int32		distance = 0;

	walk_begin(&walk, start, PG_INT32_MAX);
	for (int first = 0; first < walk.count;)
	{
		int			reached = walk.count;

		add_step(answer, query, &walk, first, ++distance);
		first = reached;
	}
}

static Datum
answer_walk(FunctionCallInfo fcinfo, StoreQuery *query)
{
	StoreVersion version;
	StoreAccess access;
	Answer		answer;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, true, &version);
	answer_connect();
	enter_versions(&access);
	add_edges(&answer, query, version.id);
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
