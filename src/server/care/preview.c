/*
 * preview.c: sparse_repack_preview: what trees over a family's objects would cost, by the very
 * estimates that sparse_repack() goes by, without a move.
 *
 * Beside the trees that it chooses stand what is there, every object alone, and what an
 * importer could have done at best: each object from the cheapest that came before it.
 */
#include "care/repack.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "care/group.h"
#include "model/answer.h"
#include "model/layout.h"

PG_FUNCTION_INFO_V1(care_repack_preview);

typedef int *(*Method) (const TreeProblem *problem);

/* A member whose parent is no member, or not among those tried, hangs on the root there. */
static int *
alone_tree(const TreeProblem *problem)
{
	int		   *parent = palloc(Max(problem->nodes, 1) * sizeof(int));

	for (int v = 0; v < problem->nodes; v++)
		parent[v] = TREE_ROOT;
	return parent;
}

static const struct
{
	const char *name;
	Method		tree;
}			methods[] = {
	{"alone", alone_tree},
	{"greedy", tree_greedy},
	{"minimum", tree_minimum},
	{"repack", tree_within_depth}
};

#define METHODS ((int) lengthof(methods))

/* Sums over all objects. */
typedef struct Total
{
	double		bytes;
	double		depths;
	int			deepest;
	int64		objects;
} Total;

/* present, then the methods */
typedef Total Totals[1 + METHODS];

static void
add_member(Total *total, double bytes, int depth)
{
	total->bytes += bytes;
	total->depths += depth;
	total->deepest = Max(total->deepest, depth);
	total->objects++;
}

static void
add_present(const KinGroup *group, Total *total)
{
	for (int v = 0; v < group->count; v++)
		if (!group->member[v].beside)
			add_member(total, group->member[v].stored_bytes, group->member[v].depth);
}

/* What is computed from several stays as it is: where a tree would have it stand alone, it costs what it does. */
static double
cost_in_tree(const TreeProblem *problem, const Member *member, int node, int parent)
{
	double		cost = tree_edge_cost(problem, node, parent);

	return cost < TREE_NEVER ? cost : (double) member->stored_bytes;
}

static void
add_tree(const TreeProblem *problem, const KinGroup *group, const int *parent, bool bare, Total *total)
{
	int		   *depth = palloc(Max(problem->nodes, 1) * sizeof(int));

	(void) tree_depths(problem, parent, depth);
	for (int v = 0; v < problem->nodes; v++)
		if (!group->member[v].beside)
			add_member(total, bare ? problem->bare[v] : cost_in_tree(problem, &group->member[v], v, parent[v]), bare ? 0 : depth[v]);
}

/* A part of a group; the object with which it ends, 0 when there was none. */
static int64
add_part(const GroupList *list, int64 after, int max_depth, Totals totals)
{
	TreeProblem problem;
	KinGroup	group;

	group_load(list, after, PART_MOST, &group);
	if (group.count == 0)
		return group.last;
	group_estimate(&group, max_depth, &problem);
	add_present(&group, &totals[0]);
	for (int i = 0; i < METHODS; i++)
		add_tree(&problem, &group, methods[i].tree(&problem), methods[i].tree == alone_tree, &totals[1 + i]);
	return group.last;
}

/* Each part in memory of its own, that of SPI. */
static void
add_group(const GroupKey *key, int max_depth, MemoryContext context, Totals totals)
{
	int64		after = 0;
	GroupList	list;

	answer_connect();
	group_list(context, key, DUE_ALL, &list);
	answer_finish();
	do
	{
		CHECK_FOR_INTERRUPTS();
		answer_connect();
		after = add_part(&list, after, max_depth, totals);
		answer_finish();
	} while (after != 0);
	MemoryContextReset(context);
}

static void
add_family(int64 family, int max_depth, Totals totals)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse group", ALLOCSET_DEFAULT_SIZES);
	GroupKey   *key;
	int64		groups;

	answer_connect();
	groups = group_keys(MemoryContextGetParent(context), family, max_depth, DUE_ALL, &key);
	answer_finish();
	for (int64 i = 0; i < groups; i++)
		if (key[i].needed)
			add_group(&key[i], max_depth, context, totals);
}

static void
answer_total(Answer *answer, const char *method, const Total *total)
{
	Datum		value[5] = {
		CStringGetTextDatum(method), Int64GetDatum(total->objects), Int64GetDatum((int64) total->bytes),
		Int32GetDatum(total->deepest),
		Float8GetDatum(total->objects > 0 ? total->depths / total->objects : 0)
	};
	bool		null[5] = {false};

	answer_add(answer, value, null);
}

/* sparse_repack_preview(version, max_depth) */
Datum
care_repack_preview(PG_FUNCTION_ARGS)
{
	int			max_depth = repack_max_depth_argument(fcinfo, 1);
	Totals		totals = {0};
	StoreVersion version;
	StoreAccess access;
	Answer		answer;

	store_check_owner("preview a repack");
	version_from_argument_now(fcinfo, 0, true, &version);
	version_check_model(&version, STAYS_CODED);
	answer_begin(fcinfo, &answer);
	store_enter(&access);
	add_family(version.family, max_depth, totals);
	store_leave(&access);
	answer_total(&answer, "present", &totals[0]);
	for (int i = 0; i < METHODS; i++)
		answer_total(&answer, methods[i].name, &totals[1 + i]);
	return (Datum) 0;
}
