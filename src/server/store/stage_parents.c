/*
 * stage_parents.c: several parents of a staged object, as a client has named them.
 *
 * A client that sees more than the server does at this moment (the content as a whole) says what its deltas of an object
 * refer to: objects, in a fixed order. They become the parents of the object, as if it were stored already; the
 * deltas, whose references count those parents, are stored as they came. What is not said cannot be referred to.
 *
 *   - What was declared otherwise before is forgotten with its chunks: their references would mean something else.
 *   - Objects of the same version may be parents too (scales, of the values that they scale), but none that has such a
 *     parent itself: so there is no circle, and whether the chain is short enough is known at once.
 *   - The depth and the number of chunks that one chunk takes are bounded as for what the server finds itself
 *     (recipes/recipe.c); what they cost in the end, the commit pays first, which reads everything.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "recipes/recipe.h"
#include "store/predict.h"
#include "store/place.h"
#include "store/query.h"
#include "store/reader.h"
#include "store/store.h"
#include "store/write.h"

/* ---- what was declared before ---- */

typedef struct Edges
{
	int			count;
	struct
	{
		int			ordinal;
		int64		parent;
		bool		made;
	}			edge[SPARSE_MAX_REFS];
} Edges;

static StoreQuery edges_query = {
	.sql = "select ordinal, parent, made from sparse.object_parent where object operator(pg_catalog.=) $1 "
		"order by ordinal limit $2",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 3, .column = {INT2OID, INT8OID, BOOLOID}
};

static void
load_edges(int64 object, Edges *edges)
{
	Datum		value[2] = {Int64GetDatum(object), Int64GetDatum(SPARSE_MAX_REFS)};
	SPITupleTable *rows;

	edges->count = (int) query_run(&edges_query, value, NULL, false, &rows);
	for (int i = 0; i < edges->count; i++)
	{
		edges->edge[i].ordinal = DatumGetInt16(row_datum(rows, i, 1));
		edges->edge[i].parent = row_int64(rows, i, 2);
		edges->edge[i].made = DatumGetBool(row_datum(rows, i, 3));
	}
	SPI_freetuptable(rows);
}

/* Fills in what is to stay; false where it is not there. */
static bool
resolve_kept(const Edges *edges, StagedParents *parents)
{
	for (int i = 0; i < parents->count; i++)
	{
		if (parents->parent[i].object != 0)
			continue;
		if (i >= edges->count || edges->edge[i].ordinal != i || !edges->edge[i].made)
			return false;
		parents->parent[i].object = edges->edge[i].parent;
		parents->parent[i].made = true;
	}
	return true;
}

static bool
is_the_same(const Edges *edges, const StagedParents *parents)
{
	bool		same = edges->count == parents->count;

	for (int i = 0; i < edges->count && same; i++)
		same = edges->edge[i].ordinal == i && edges->edge[i].parent == parents->parent[i].object &&
			edges->edge[i].made == parents->parent[i].made;
	return same;
}

/* ---- whether it may be ---- */

/* (Depths of staged objects change with what is declared of them: both sides hold the row.) */
static StoreQuery lock_object = {
	.sql = "select exists (select from sparse.object_parent p where p.parent operator(pg_catalog.=) $1) "
		"from sparse.object o where o.id operator(pg_catalog.=) $1 for update",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BOOLOID}
};

static StoreQuery lock_parent = {
	.sql = "select o.sha256 is null from sparse.object o where o.id operator(pg_catalog.=) $1 for key share",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BOOLOID}
};

static StoreQuery is_nested = {
	.sql = "select exists (select from sparse.object_parent p join sparse.staged s on s.object operator(pg_catalog.=) p.parent "
		"where p.object operator(pg_catalog.=) $1)",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BOOLOID}
};

/* The answer of a query about one object; false where there is no row. */
static bool
ask(StoreQuery *query, int64 object, bool *answer)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;
	bool		found = query_run(query, &value, NULL, false, &rows) > 0;

	if (found)
		*answer = DatumGetBool(row_datum(rows, 0, 1));
	SPI_freetuptable(rows);
	return found;
}

/* Whether it is there, and can be a parent of what is staged. */
static bool
may_be_parent(int64 object)
{
	bool		is_staged;
	bool		nested = false;

	if (!ask(&lock_parent, object, &is_staged))
		return false;
	if (is_staged)
		(void) ask(&is_nested, object, &nested);
	return !nested;
}

/* The depth that the object comes to have; false where these cannot be its parents. */
static bool
consider(ObjectReader *reader, const StagedObject *staged, const StagedParents *parents, int32 *depth)
{
	int			decoded = 1;

	*depth = 0;
	for (int i = 0; i < parents->count; i++)
	{
		int64		parent = parents->parent[i].object;
		ObjectInfo	info;

		CHECK_FOR_INTERRUPTS();
		object_forget(reader, parent);
		if (parent == staged->info.id || !may_be_parent(parent) || !object_info(reader, parent, &info) ||
			info.depth >= sparse_max_chain_depth)
			return false;
		*depth = Max(*depth, info.depth + 1);
		decoded += object_decodes(reader, parent, RECIPE_MOST_DECODED + 1);
	}
	return parents->count <= 1 || decoded <= RECIPE_MOST_DECODED;
}

/* ---- declaring them ---- */

static StoreQuery set_depth = {
	.sql = "update sparse.object set depth = $2 where id operator(pg_catalog.=) $1",
	.args = 2, .arg = {INT8OID, INT4OID}
};

static StoreQuery set_declared = {
	.sql = "update sparse.staged set declared = true where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID}
};

static void
insert_edges(ObjectReader *reader, const StagedObject *staged, int32 depth, const StagedParents *parents)
{
	for (int i = 0; i < parents->count; i++)
	{
		ObjectInfo	info;

		if (!object_info(reader, parents->parent[i].object, &info))
			elog(ERROR, "object " INT64_FORMAT " is missing", parents->parent[i].object);
		object_insert_edge(staged->info.id, depth, i, info.id, info.depth, parents->parent[i].made);
	}
}

/* What was worked out for the object before, and is not now. */
static void
remove_old_factors(const Edges *edges)
{
	for (int i = 0; i < edges->count; i++)
		if (edges->edge[i].made)
			object_remove_factor(edges->edge[i].parent);
}

bool
staged_declare(ObjectReader *reader, StagedObject *staged, const StagedParents *parents)
{
	StagedParents resolved = *parents;
	int64		object = staged->info.id;
	Datum		value[2] = {Int64GetDatum(object)};
	Edges		edges;
	bool		is_parent;
	int32		depth;

	if (!ask(&lock_object, object, &is_parent))
		elog(ERROR, "staged object " INT64_FORMAT " is missing", object);
	load_edges(object, &edges);
	if (!resolve_kept(&edges, &resolved))
		return false;
	if (is_the_same(&edges, &resolved))
	{
		if (!staged->declared)
			query_run(&set_declared, value, NULL, false, NULL);
		staged->declared = true;
		return true;
	}
	if (is_parent || !consider(reader, staged, &resolved, &depth))
		return false;
	object_remove_content(object);
	value[1] = Int32GetDatum(depth);
	query_run(&set_depth, value, NULL, false, NULL);
	insert_edges(reader, staged, depth, &resolved);
	remove_old_factors(&edges);
	query_run(&set_declared, value, NULL, false, NULL);
	object_forget(reader, object);
	return staged_find(reader, object, staged);
}

/* ---- deltas ---- */

/* A reference must lie within the parent that it names. */
static void
check_declared_reference(ObjectReader *reader, const StagedObject *staged, int32 seq, const sparse_ref *ref)
{
	uint64		unit = sparse_dtype_get(ref->dtype)->bytes;
	ObjectInfo	parent;
	int64		id;

	if (!object_parent(reader, staged->info.id, ref->parent, &id) || !object_info(reader, id, &parent))
		staged_refuse_delta(seq, psprintf("It refers to parent %u, which was not named.", ref->parent));
	if (ref->first > parent.bytes / unit || ref->count > parent.bytes / unit - ref->first)
		staged_refuse_delta(seq, psprintf("It refers to elements " UINT64_FORMAT " to " UINT64_FORMAT
										  " of parent %u as %s, which has " UINT64_FORMAT " bytes.",
										  ref->first, ref->first + ref->count, ref->parent,
										  sparse_dtype_get(ref->dtype)->name, parent.bytes));
}

static StoreQuery insert_chunks = {
	.sql = "insert into %s (place, object, seq, delta) "
		"select $1, $2, c.seq, c.delta from rows from (pg_catalog.unnest($3), pg_catalog.unnest($4)) c (seq, delta) "
		"on conflict do nothing",
	.args = 4, .arg = {INT2OID, INT8OID, INT4ARRAYOID, BYTEAARRAYOID}
};

/* Chunks that were there, all or some, are replaced one by one. */
static void
put_chunks(const StagedObject *staged, int count, const int32 *seq, struct varlena *const *delta)
{
	Datum	   *number = palloc(count * sizeof(Datum));
	Datum	   *bytes = palloc(count * sizeof(Datum));
	Datum		value[4] = {Int16GetDatum(staged->info.place), Int64GetDatum(staged->info.id)};

	for (int i = 0; i < count; i++)
	{
		number[i] = Int32GetDatum(seq[i]);
		bytes[i] = PointerGetDatum(delta[i]);
	}
	value[2] = PointerGetDatum(construct_array(number, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	value[3] = PointerGetDatum(construct_array(bytes, count, BYTEAOID, -1, false, TYPALIGN_INT));
	if (query_run_at(&insert_chunks, staged->info.place, value, NULL, false, NULL) == (uint64) count)
		return;
	for (int i = 0; i < count; i++)
		staged_put_chunk(staged, seq[i], delta[i]);
}

void
staged_write_declared(ObjectReader *reader, const StagedObject *staged, int count, const int32 *seq,
					  struct varlena *const *delta)
{
	for (int i = 0; i < count; i++)
	{
		sparse_delta_info info;
		uint64		first;

		CHECK_FOR_INTERRUPTS();
		staged_check_delta(staged, seq[i], delta[i], &first, &info);
		for (int r = 0; r < info.refs; r++)
			check_declared_reference(reader, staged, seq[i], &info.ref[r]);
	}
	put_chunks(staged, count, seq, delta);
}

/* ---- publishing ---- */

static StoreQuery delete_unused = {
	.sql = "delete from sparse.object_parent where object operator(pg_catalog.=) $1 "
		"and (1 operator(pg_catalog.<<) ordinal::pg_catalog.int4) operator(pg_catalog.&) $2 operator(pg_catalog.=) 0 returning parent, made",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 2, .column = {INT8OID, BOOLOID}
};

void
staged_keep_parents(int64 object, uint32 used)
{
	Datum		value[2] = {Int64GetDatum(object), Int32GetDatum((int32) used)};
	SPITupleTable *rows;
	uint64		count = query_run(&delete_unused, value, NULL, false, &rows);

	for (uint64 i = 0; i < count; i++)
		if (DatumGetBool(row_datum(rows, i, 2)))
			object_remove_factor(row_int64(rows, i, 1));
	SPI_freetuptable(rows);
}

/* (A child of a staged object is nobody's parent: its depth may grow.) */
static StoreQuery make_room = {
	.sql = "update sparse.object o set depth = n.depth operator(pg_catalog.+) 1 from sparse.object n "
		"where n.id operator(pg_catalog.=) $2 and o.depth operator(pg_catalog.<=) n.depth "
		"and o.id in (select p.object from sparse.object_parent p where p.parent operator(pg_catalog.=) $1)",
	.args = 2, .arg = {INT8OID, INT8OID}
};

static StoreQuery replace_parent = {
	.sql = "update sparse.object_parent p set parent = n.id, parent_depth = n.depth from sparse.object n "
		"where p.parent operator(pg_catalog.=) $1 and n.id operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT8OID}
};

void
staged_replace_parent(int64 staged, int64 object)
{
	Datum		value[2] = {Int64GetDatum(staged), Int64GetDatum(object)};

	query_run(&make_room, value, NULL, false, NULL);
	query_run(&replace_parent, value, NULL, false, NULL);
}
