/*
 * near.c: versions near the parents of an import: what a tensor may go on from, or lean on beside its parent (recipes/direction.c).
 *
 * They are no parents: lineage does not name them. What is made of them shows in how many bytes a version takes; so nobody's
 * version leans on one that he cannot read. Later, when it is coded anew, nobody can say what its maker may read: unless that
 * is the same for everyone.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "answer.h"
#include "import.h"

#define MOST_GRANDPARENTS 4
#define MOST_SIBLINGS 2
#define EFFORT_FOR_SIBLINGS 3

StaticAssertDecl(MOST_GRANDPARENTS + MOST_SIBLINGS <= MAX_NEIGHBOURS, "neighbours must have room");

static StoreQuery grandparents_query = {
	.sql = "select v.id"
	"  from sparse.parent p"
	"  join sparse.version v on v.id = p.parent"
	" where p.child = any ($1) and v.id <> all ($1) and v.state = 'ready' and v.kind = 'model'"
	" group by v.id"
	" order by min(array_position($1, p.child)), min(p.ordinal), v.id"
	" limit $2",
	.args = 2, .arg = {INT8ARRAYOID, INT8OID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery siblings_query = {
	.sql = "select v.id"
	"  from sparse.parent p"
	"  join sparse.version v on v.id = p.child"
	" where p.parent = any ($1) and v.id <> all ($1) and v.state = 'ready' and v.kind = 'model' and v.id < $3"
	" group by v.id"
	" order by v.id desc"
	" limit $2",
	.args = 3, .arg = {INT8ARRAYOID, INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID}};

static void
add_rows(Import *import, StoreQuery *query, Datum *argument)
{
	SPITupleTable *rows;
	uint64		count = query_run(query, argument, NULL, true, &rows);

	for (uint64 i = 0; i < count && import->neighbours < MAX_NEIGHBOURS; i++)
	{
		const int64 id = row_int64(rows, i, 1);
		bool		known = id == import->version;

		for (int n = 0; n < import->neighbours; n++)
			known |= import->neighbour[n] == id;
		if (!known)
			import->neighbour[import->neighbours++] = id;
	}
	SPI_freetuptable(rows);
}

/*
 * Siblings are older than the version at hand: so no two can lean on each other. By the newest snapshot: what that shows is not
 * collected before the transaction ends, where collections are kept away.
 */
static void
add_neighbours(Import *import)
{
	Datum	   *id = palloc(import->parents * sizeof(Datum));
	Datum		argument[3];

	for (int i = 0; i < import->parents; i++)
		id[i] = Int64GetDatum(import->parent[i].version.id);
	PushActiveSnapshot(GetLatestSnapshot());
	argument[0] = array_datum(INT8OID, id, import->parents);
	argument[1] = Int64GetDatum(MOST_GRANDPARENTS);
	add_rows(import, &grandparents_query, argument);
	argument[1] = Int64GetDatum(MOST_SIBLINGS);
	argument[2] = Int64GetDatum(import->version > 0 ? import->version : PG_INT64_MAX);
	if (sparse_effort >= EFFORT_FOR_SIBLINGS)
		add_rows(import, &siblings_query, argument);
	PopActiveSnapshot();
	pfree(id);
}

static bool
may_read(const char *relation)
{
	return pg_class_aclcheck(store_relation(relation), GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

void
import_find_neighbours(Import *import)
{
	StoreAccess access;

	import->neighbours = 0;
	if (import->parents == 0 || sparse_effort < 2)
		return;
	enter_versions(&access);
	answer_connect();
	if (may_read("version") && may_read("parent"))
		add_neighbours(import);
	answer_finish();
	store_leave(&access);
}

/* Whether everybody who may read some of a table may read all of it. (Of edges he sees those of versions that he can read.) */
static bool
is_open(const char *relation)
{
	HeapTuple	row = SearchSysCache1(RELOID, ObjectIdGetDatum(store_relation(relation)));
	bool		open = HeapTupleIsValid(row) && !((Form_pg_class) GETSTRUCT(row))->relrowsecurity;

	if (HeapTupleIsValid(row))
		ReleaseSysCache(row);
	return open;
}

void
import_find_open_neighbours(Import *import)
{
	import->neighbours = 0;
	if (import->parents > 0 && sparse_effort >= 2 && is_open("version"))
		add_neighbours(import);
}
