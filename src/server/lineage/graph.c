/*
 * graph.c: sparse_graph: takes a version, its ancestors and its descendants out of
 * the tables, as the caller sees them, and has them drawn.
 *
 * The walk goes a level at a time, ancestors first, and stops when it has as many
 * as were asked for: so it costs what is drawn, however large the family.
 */
#include "graph.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"
#include "walk.h"

PG_FUNCTION_INFO_V1(lineage_graph);

#define MOST_NODES 10000

typedef void (*Draw) (const Graph *graph, StringInfo out);

static const struct
{
	const char *name;
	Draw		draw;
}			formats[] = {
	{"tree", graph_tree}, {"dot", graph_dot}, {"mermaid", graph_mermaid}, {"svg", graph_svg}
};

static Draw
format_named(const char *name)
{
	for (int i = 0; i < (int) lengthof(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return formats[i].draw;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown format \"%s\" of a graph", name),
			errhint("Formats are tree, dot, mermaid and svg."));
	return NULL;
}

/* ---- which versions ---- */

static StoreQuery parents_of = {
	.sql = "select distinct e.parent from sparse.parent e where e.child = any ($1) order by e.parent limit $2",
	.args = 2, .arg = {INT8ARRAYOID, INT8OID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery children_of = {
	.sql = "select distinct e.child from sparse.parent e where e.parent = any ($1) order by e.child limit $2",
	.args = 2, .arg = {INT8ARRAYOID, INT8OID},
	.columns = 1, .column = {INT8OID}};

/* From the version asked for, which is the first, along the edges that `step` follows. */
static void
walk_along(Walk *walk, StoreQuery *step)
{
	int			first = 0;
	int			last = 1;		/* the first level is the version itself, whatever was reached from it before */

	for (;;)
	{
		/* one more than all that can have been seen before: then none is missed */
		Datum		argument[2] = {array_datum(INT8OID, walk->id + first, last - first), Int64GetDatum((int64) walk->most + 1)};
		SPITupleTable *rows;
		uint64		found = query_run(step, argument, NULL, true, &rows);
		int			before = walk->count;

		for (uint64 i = 0; i < found; i++)
			walk_reach(walk, row_int64(rows, i, 1));
		SPI_freetuptable(rows);
		if (walk->count == before || walk->cut)
			return;
		first = before;
		last = walk->count;
		CHECK_FOR_INTERRUPTS();
	}
}

/* The ids to draw, as an array. */
static Datum
walk_from(int64 asked, int most, bool *cut)
{
	Walk		walk;

	walk_begin(&walk, asked, most);
	walk_along(&walk, &parents_of);
	walk_along(&walk, &children_of);
	*cut = walk.cut;
	return walk_level(&walk, 0);
}

/* ---- what is drawn of them ---- */

static StoreQuery nodes_query = {
	.sql = "select v.id, v.name, v.revision, v.state, v.kind, v.raw_bytes, v.stored_bytes,"
	"       coalesce((select string_agg(t.tag, ', ' order by t.tag) from sparse.tag t where t.version = v.id), ''),"
	"       v.exact"
	"  from sparse.version v"
	" where v.id = any ($1)"
	" order by v.id",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 9, .column = {INT8OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID, BOOLOID},
	.scans = true};

static StoreQuery edges_query = {
	.sql = "select e.child, e.parent, e.role"
	"  from sparse.parent e"
	" where e.child = any ($1) and e.parent = any ($1)"
	" order by e.child, e.ordinal",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 3, .column = {INT8OID, INT8OID, TEXTOID}};

static void
fill_node(MemoryContext context, const SPITupleTable *rows, uint64 row, GraphNode *node)
{
	const char *name = row_text(context, rows, row, 2);

	node->id = row_int64(rows, row, 1);
	node->label = MemoryContextStrdup(context, psprintf("%s@%d", name, row_int32(rows, row, 3)));
	node->state = row_text(context, rows, row, 4);
	node->kind = row_text(context, rows, row, 5);
	node->raw_bytes = row_int64(rows, row, 6);
	node->stored_bytes = row_int64(rows, row, 7);
	node->tags = row_text(context, rows, row, 8);
	node->exact = DatumGetBool(row_datum(rows, row, 9));
}

static void
take_nodes(MemoryContext context, Datum ids, int64 asked, Graph *graph)
{
	SPITupleTable *rows;
	uint64		count = query_run(&nodes_query, &ids, NULL, true, &rows);

	graph->node = MemoryContextAllocZero(context, Max(count, 1) * sizeof(GraphNode));
	graph->nodes = (int) count;
	for (int i = 0; i < graph->nodes; i++)
	{
		fill_node(context, rows, i, &graph->node[i]);
		if (graph->node[i].id == asked)
			graph->asked = i;
	}
	SPI_freetuptable(rows);
}

/* The node of an id; -1: none. */
static int
node_of(const Graph *graph, int64 id)
{
	int			low = 0;
	int			high = graph->nodes;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (graph->node[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < graph->nodes && graph->node[low].id == id ? low : -1;
}

static void
take_edges(MemoryContext context, Datum ids, Graph *graph)
{
	SPITupleTable *rows;
	uint64		count = query_run(&edges_query, &ids, NULL, true, &rows);

	graph->edge = MemoryContextAllocZero(context, Max(count, 1) * sizeof(GraphEdge));
	for (uint64 i = 0; i < count; i++)
	{
		GraphEdge  *edge = &graph->edge[graph->edges];

		edge->child = node_of(graph, row_int64(rows, i, 1));
		edge->parent = node_of(graph, row_int64(rows, i, 2));
		if (edge->child < 0 || edge->parent < 0 || edge->parent >= edge->child)
			continue;
		edge->role = row_text(context, rows, i, 3);
		graph->edges++;
	}
	SPI_freetuptable(rows);
}

/* ---- the forest ---- */

/* Hangs each node on the parent of its first edge. Backwards, so that the lists come out by id. */
static void
make_forest(Graph *graph)
{
	graph->first_root = -1;
	for (int i = 0; i < graph->nodes; i++)
		graph->node[i].trunk = graph->node[i].first_branch = graph->node[i].next_branch = -1;
	for (int i = graph->edges - 1; i >= 0; i--)
	{
		GraphNode  *child = &graph->node[graph->edge[i].child];

		child->first_edge = i;
		child->edges++;
		child->trunk = graph->edge[i].parent;
	}
	for (int i = graph->nodes - 1; i >= 0; i--)
	{
		int			trunk = graph->node[i].trunk;
		int		   *first = trunk < 0 ? &graph->first_root : &graph->node[trunk].first_branch;

		graph->node[i].next_branch = *first;
		*first = i;
	}
}

const char *
graph_bytes(int64 bytes)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double		value = (double) bytes;
	int			i = 0;

	while (value >= 999.95 && i < (int) lengthof(unit) - 1)
	{
		value /= 1000;
		i++;
	}
	return i == 0 ? psprintf(INT64_FORMAT " B", bytes) : psprintf("%.1f %s", value, unit[i]);
}

/* ---- the function ---- */

static int
most_argument(int32 most)
{
	if (most < 1 || most > MOST_NODES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a graph has from 1 to %d versions, not %d", MOST_NODES, most));
	return most;
}

/* sparse_graph(version, format, most) */
Datum
lineage_graph(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Draw		draw = format_named(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int			most = most_argument(PG_GETARG_INT32(2));
	StoreVersion version;
	StoreAccess access;
	Graph		graph = {0};
	StringInfoData out;
	Datum		ids;

	version_from_argument(fcinfo, 0, true, &version);
	answer_connect();
	enter_versions(&access);
	ids = walk_from(version.id, most, &graph.cut);
	take_nodes(context, ids, version.id, &graph);
	take_edges(context, ids, &graph);
	store_leave(&access);
	answer_finish();
	make_forest(&graph);
	initStringInfo(&out);
	draw(&graph, &out);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
