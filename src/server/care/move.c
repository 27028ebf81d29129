/*
 * move.c: from the tree that is there to the one that is wanted, by steps none of which costs bytes.
 *
 * Plans may be wrong, and calls may end at any moment: so no move is made for what others are
 * to save later. A move that saves bytes by itself is a step, a transaction; it is kept only if it does,
 * by the bytes that were written. A move that costs bytes, so that others hanging on it save more, makes
 * one step with as many of those as it takes until together they have saved; where they have not when
 * all are made, the step is undone as a whole. So every step leaves the store smaller, whatever was
 * planned; nothing can go back and forth; and there is no moment at which a call must not end.
 *
 * Steps go from the root of the tree downwards. So a parent stands where it is to stand before its
 * children come to it, and no move closes a circle; what a move would make too deep for the time being
 * is tried again when others have moved. Only chains that are longer than asked for are shortened
 * whatever it costs.
 */
#include "care/move.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* A part is left as it is for less than this portion of it and so many bytes, an object for less than this portion of that. */
#define LEAST_GAIN 0.005
#define LEAST_BYTES 1024

/* ---- the plan ---- */

static int *
present_tree(const KinGroup *group)
{
	int		   *parent = palloc(Max(group->count, 1) * sizeof(int));

	for (int v = 0; v < group->count; v++)
		parent[v] = group->member[v].parent_member < 0 ? TREE_ROOT : group->member[v].parent_member;
	return parent;
}

/* Whether a member hangs in the plan where it hangs now. */
static bool
stays(const TreeProblem *problem, const Member *member, int node, int parent)
{
	if (member->fixed || parent == member->parent_member)
		return parent != TREE_ROOT || member->fixed || member->parent == 0 ||
			problem->alone_depth[node] > 0;
	return false;
}

/*
 * Members that must stand where they are planned for the bound to hold: those in chains that are too
 * long, and what these are to hang on.
 */
static bool *
find_shortening(const TreeProblem *problem, const KinGroup *group, const int *wanted)
{
	int			nodes = problem->nodes;
	int		   *deepest = palloc(Max(nodes, 1) * sizeof(int));
	bool	   *shortens = palloc0(Max(nodes, 1) * sizeof(bool));

	tree_chains(problem, present_tree(group), deepest);
	for (int v = 0; v < nodes; v++)
		if (Max(deepest[v], group->member[v].depth) > problem->max_depth)
			for (int above = v; above != TREE_ROOT && !shortens[above]; above = wanted[above])
				shortens[above] = true;
	return shortens;
}

static void
plan_move(const KinGroup *group, const TreeProblem *problem, int v, int depth, bool shortens, Moves *moves)
{
	const Member *member = &group->member[v];
	int			parent = moves->wanted[v];
	double		gain = (double) member->stored_bytes - tree_edge_cost(problem, v, parent);

	if (stays(problem, member, v, parent))
		return;
	/* what others are to hang on may cost something */
	if (gain >= 0 && gain < LEAST_GAIN * member->stored_bytes && !shortens)
		gain = -1;
	moves->move[moves->count++] = (Move) {
		.spec = {
			.object = member->object,
			.parent = parent == TREE_ROOT ? 0 : group->member[parent].object,
			.row_bytes = member->row_bytes,
			.max_depth = problem->max_depth,
			.at_most = shortens ? PG_UINT64_MAX : member->stored_bytes - 1
		},
		.node = v,
		.depth = depth,
		.stored_bytes = member->stored_bytes,
		.gain = gain,
		.shortens = shortens
	};
}

static int
compare_moves(const void *a, const void *b)
{
	const Move *left = a;
	const Move *right = b;

	if (left->depth != right->depth)
		return left->depth < right->depth ? -1 : 1;
	return (left->spec.object > right->spec.object) - (left->spec.object < right->spec.object);
}

static bool
any_shortens(const bool *shortens, int nodes)
{
	for (int v = 0; v < nodes; v++)
		if (shortens[v])
			return true;
	return false;
}

void
plan_moves(MemoryContext context, const KinGroup *group, const TreeProblem *problem, Moves *moves)
{
	int		   *wanted = tree_within_depth(problem);
	int		   *depth = palloc(Max(group->count, 1) * sizeof(int));
	bool	   *shortens = find_shortening(problem, group, wanted);
	double		cost = 0;

	for (int v = 0; v < group->count; v++)
		cost += group->member[v].stored_bytes;
	moves->count = 0;
	if (!any_shortens(shortens, group->count) && cost - tree_cost(problem, wanted) < Max(LEAST_BYTES, LEAST_GAIN * cost))
		return;
	(void) tree_depths(problem, wanted, depth);
	moves->move = MemoryContextAllocHuge(context, Max(group->count, 1) * sizeof(Move));
	moves->wanted = MemoryContextAlloc(context, Max(group->count, 1) * sizeof(int));
	memcpy(moves->wanted, wanted, group->count * sizeof(int));
	for (int v = 0; v < group->count; v++)
		plan_move(group, problem, v, depth[v], shortens[v], moves);
	qsort(moves->move, moves->count, sizeof(Move), compare_moves);
}

/* ---- single moves ---- */

/* Others may yet make room for a move that was too deep, or would have closed a circle. */
static MoveState
state_after(RecodeOutcome outcome)
{
	if (outcome == RECODE_TOO_DEEP || outcome == RECODE_CYCLE)
		return MOVE_PENDING;
	return outcome == RECODE_DONE ? MOVE_MADE : MOVE_REFUSED;
}

/* Whether the call may end here: the time is up, and it has not been for nothing. */
static bool
may_end(const Care *care, int64 recoded_before)
{
	return care_is_over(care) && care->recoded > recoded_before;
}

/* False when the time is up. */
static bool
try_move(Care *care, Move *move)
{
	RecodeOutcome outcome;
	RecodeResult result;

	if (!care_recode(care, &move->spec, &outcome, &result))
		return false;
	move->state = state_after(outcome);
	return true;
}

/* ---- moves that must be made together ---- */

static bool
is_below(const Moves *moves, int node, int ancestor)
{
	for (; node != TREE_ROOT; node = moves->wanted[node])
		if (node == ancestor)
			return true;
	return false;
}

/* The pending moves below one, itself first; their number, and what they are planned to save together. */
static int
gather(const Moves *moves, int first, int *together, double *gain, double *cost)
{
	int			count = 0;

	*gain = *cost = 0;
	for (int i = first; i < moves->count; i++)
	{
		const Move *move = &moves->move[i];

		if (move->state != MOVE_PENDING || !is_below(moves, move->node, moves->move[first].node))
			continue;
		together[count++] = i;
		*gain += move->gain;
		*cost += move->stored_bytes;
	}
	return count;
}

/* False when the time is up before it was begun. */
static bool
try_together(Care *care, Moves *moves, int first, int *together)
{
	double		gain;
	double		cost;
	int			count = gather(moves, first, together, &gain, &cost);
	RecodeSpec *spec;
	RecodeOutcome *outcome;
	bool		saved;

	if (gain < Max(LEAST_BYTES, LEAST_GAIN * cost))
		return true;
	spec = MemoryContextAllocZero(care->context, count * sizeof(RecodeSpec));
	outcome = MemoryContextAllocZero(care->context, count * sizeof(RecodeOutcome));
	for (int i = 0; i < count; i++)
	{
		spec[i] = moves->move[together[i]].spec;
		spec[i].at_most = PG_UINT64_MAX;
	}
	if (!care_recode_together(care, spec, &count, outcome, &saved))
		return false;
	if (saved)
		for (int i = 0; i < count; i++)
			moves->move[together[i]].state = state_after(outcome[i]);
	else
		moves->move[first].state = state_after(outcome[0] == RECODE_DONE ? RECODE_NO_GAIN : outcome[0]);
	pfree(spec);
	pfree(outcome);
	return true;
}

/* ---- all of them ---- */

static bool
saves_alone(const Move *move)
{
	return move->shortens || move->gain >= 0;
}

/* Goes through those that are pending, once. False when the time is up. */
static bool
sweep(Care *care, Moves *moves, bool alone, int *together)
{
	const int64 recoded = care->recoded;

	for (int i = 0; i < moves->count; i++)
	{
		Move	   *move = &moves->move[i];

		if (move->state != MOVE_PENDING || saves_alone(move) != alone)
			continue;
		if (may_end(care, recoded))
			return false;
		if (!(alone ? try_move(care, move) : try_together(care, moves, i, together)))
			return false;
	}
	return true;
}

bool
make_moves(Care *care, Moves *moves)
{
	int		   *together = MemoryContextAlloc(care->context, Max(moves->count, 1) * sizeof(int));
	bool		finished;
	int64		recoded;

	do
	{
		recoded = care->recoded;
		finished = sweep(care, moves, true, together) && sweep(care, moves, false, together);
	} while (finished && care->recoded > recoded && !may_end(care, recoded));
	pfree(together);
	return finished && care->recoded == recoded;
}
