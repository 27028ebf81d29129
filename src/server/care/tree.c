/*
 * tree.c: cheapest trees (see tree.h).
 *
 * Without a bound this is the minimum arborescence: Y. Chu and T. Liu, 1965; J. Edmonds,
 * "Optimum Branchings", 1967. With heaps that are melded and whose keys are lowered lazily it
 * takes O(E log V): R. Tarjan, "Finding Optimum Branchings", Networks 7, 1977; the path that
 * grows until it meets itself is Gabow, Galil, Spencer and Tarjan's, Combinatorica 6, 1986.
 *
 * With a bound on the depth the problem is NP-hard. S. Bhattacherjee, A. Chavan, S. Huang,
 * A. Deshpande and A. Parameswaran, "Principles of Dataset Versioning: Exploring the
 * Recreation/Storage Tradeoff", PVLDB 8 (12), 2015, compare heuristics; two of theirs are
 * used, and the cheaper result is taken:
 *   - LMG (Local Move Greedy) goes from the minimum arborescence and moves the node that
 *     shortens chains most for what it costs, until none is too long;
 *   - MP (Modified Prim) grows a tree by the cheapest edge that keeps the bound.
 * Both are followed by single moves that save bytes and keep the bound.
 */
#include "care/tree.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"

/* What a move must save to be worth it: sums of doubles differ by less. */
#define LEAST_GAIN 0.5

/* ---- the problem ---- */

double
tree_edge_cost(const TreeProblem *problem, int node, int parent)
{
	if (parent == TREE_ROOT)
		return problem->alone[node];
	for (int64 e = problem->first[node]; e < problem->first[node + 1]; e++)
		if (problem->edge[e].from == parent)
			return problem->edge[e].cost;
	return INFINITY;
}

double
tree_cost(const TreeProblem *problem, const int *parent)
{
	double		cost = 0;

	for (int v = 0; v < problem->nodes; v++)
		cost += tree_edge_cost(problem, v, parent[v]);
	return cost;
}

static int
depth_below(const TreeProblem *problem, const int *depth, int node, int parent)
{
	return parent == TREE_ROOT ? problem->alone_depth[node] : depth[parent] + 1;
}

/* ---- the shape of a tree ---- */

typedef struct Shape
{
	int		   *order;			/* nodes, parents before children */
	int		   *depth;
	int		   *height;			/* of the chains below a node */
	int		   *too_deep;		/* nodes of the subtree, itself included, beyond the bound */
	int			deepest;
} Shape;

static Shape *
make_shape(int nodes)
{
	Shape	   *shape = palloc(sizeof(Shape));

	shape->order = palloc(Max(nodes, 1) * sizeof(int));
	shape->depth = palloc(Max(nodes, 1) * sizeof(int));
	shape->height = palloc(Max(nodes, 1) * sizeof(int));
	shape->too_deep = palloc(Max(nodes, 1) * sizeof(int));
	return shape;
}

/* Puts a node behind its ancestors; those that have a depth are in the order already. */
static int
place_in_order(const TreeProblem *problem, const int *parent, Shape *shape, int node, int placed)
{
	int			at = placed;

	for (int v = node; v != TREE_ROOT && shape->depth[v] < 0; v = parent[v])
		shape->order[at++] = v;
	for (int low = placed, high = at - 1; low < high; low++, high--)
	{
		int			swapped = shape->order[low];

		shape->order[low] = shape->order[high];
		shape->order[high] = swapped;
	}
	for (int i = placed; i < at; i++)
	{
		int			v = shape->order[i];

		shape->depth[v] = depth_below(problem, shape->depth, v, parent[v]);
	}
	return at;
}

static void
measure(const TreeProblem *problem, const int *parent, Shape *shape)
{
	int			placed = 0;

	shape->deepest = 0;
	for (int v = 0; v < problem->nodes; v++)
		shape->depth[v] = -1;
	for (int v = 0; v < problem->nodes; v++)
		placed = place_in_order(problem, parent, shape, v, placed);
	for (int v = 0; v < problem->nodes; v++)
	{
		shape->height[v] = 0;
		shape->too_deep[v] = shape->depth[v] > problem->max_depth;
		shape->deepest = Max(shape->deepest, shape->depth[v]);
	}
	for (int i = problem->nodes - 1; i >= 0; i--)
	{
		int			v = shape->order[i];

		if (parent[v] == TREE_ROOT)
			continue;
		shape->height[parent[v]] = Max(shape->height[parent[v]], shape->height[v] + 1);
		shape->too_deep[parent[v]] += shape->too_deep[v];
	}
}

int
tree_depths(const TreeProblem *problem, const int *parent, int *depth)
{
	Shape	   *shape = make_shape(problem->nodes);

	measure(problem, parent, shape);
	memcpy(depth, shape->depth, problem->nodes * sizeof(int));
	return shape->deepest;
}

void
tree_chains(const TreeProblem *problem, const int *parent, int *deepest)
{
	Shape	   *shape = make_shape(problem->nodes);

	measure(problem, parent, shape);
	for (int v = 0; v < problem->nodes; v++)
		deepest[v] = shape->depth[v] + shape->height[v];
}

static bool
is_below(const int *parent, int node, int ancestor)
{
	for (int v = node; v != TREE_ROOT; v = parent[v])
		if (v == ancestor)
			return true;
	return false;
}

/* ---- heaps of edges: leftist trees whose keys are lowered lazily ---- */

typedef struct HeapNode
{
	int64		edge;
	int			from;
	int			to;
	double		key;
	double		add;			/* to be added to all keys below */
	int64		left;			/* -1: none */
	int64		right;
	int			rank;
} HeapNode;

static void
push_down(HeapNode *heap, int64 at)
{
	int64		child[2] = {heap[at].left, heap[at].right};

	for (int i = 0; i < 2; i++)
		if (child[i] >= 0)
		{
			heap[child[i]].key += heap[at].add;
			heap[child[i]].add += heap[at].add;
		}
	heap[at].add = 0;
}

static int64
meld(HeapNode *heap, int64 a, int64 b)
{
	int64		swapped;

	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	if (heap[b].key < heap[a].key)
	{
		swapped = a;
		a = b;
		b = swapped;
	}
	push_down(heap, a);
	heap[a].right = meld(heap, heap[a].right, b);
	if (heap[a].left < 0 || heap[heap[a].left].rank < heap[heap[a].right].rank)
	{
		swapped = heap[a].left;
		heap[a].left = heap[a].right;
		heap[a].right = swapped;
	}
	heap[a].rank = heap[a].right < 0 ? 1 : heap[heap[a].right].rank + 1;
	return a;
}

static int64
without_least(HeapNode *heap, int64 at)
{
	push_down(heap, at);
	return meld(heap, heap[at].left, heap[at].right);
}

/* ---- the minimum arborescence ---- */

typedef enum Progress
{
	NOT_SEEN, ON_PATH, DONE
} Progress;

/* Nodes, and behind them the cycles that were contracted into one. */
typedef struct Contraction
{
	const TreeProblem *problem;
	HeapNode   *heap;
	int			count;
	int64	   *incoming;		/* heap of edges into it */
	int64	   *chosen;			/* heap node of the edge by which it is entered */
	double	   *paid;
	int		   *within;			/* the cycle that it was contracted into; itself: none */
	int		   *top;			/* shortcut to the outermost */
	Progress   *progress;
	int		   *path;
	int			path_length;
} Contraction;

static int
outermost(Contraction *c, int node)
{
	while (c->top[node] != node)
	{
		c->top[node] = c->top[c->top[node]];
		node = c->top[node];
	}
	return node;
}

static void
add_edge(Contraction *c, int64 at, int from, int to, double cost)
{
	c->heap[at] = (HeapNode) {.edge = at, .from = from, .to = to, .key = cost, .left = -1, .right = -1, .rank = 1};
	c->incoming[to] = meld(c->heap, c->incoming[to], at);
}

static void
contraction_begin(Contraction *c, const TreeProblem *problem)
{
	int			most = 2 * Max(problem->nodes, 1);

	memset(c, 0, sizeof(*c));
	c->problem = problem;
	c->count = problem->nodes;
	c->heap = palloc_extended((problem->edges + most) * sizeof(HeapNode), MCXT_ALLOC_HUGE);
	c->incoming = palloc(most * sizeof(int64));
	c->chosen = palloc(most * sizeof(int64));
	c->paid = palloc(most * sizeof(double));
	c->within = palloc(most * sizeof(int));
	c->top = palloc(most * sizeof(int));
	c->progress = palloc0(most * sizeof(Progress));
	c->path = palloc(most * sizeof(int));
	for (int v = 0; v < most; v++)
	{
		c->incoming[v] = -1;
		c->within[v] = c->top[v] = v;
	}
	for (int64 e = 0; e < problem->edges; e++)
		add_edge(c, e, problem->edge[e].from, problem->edge[e].to, problem->edge[e].cost);
	for (int v = 0; v < problem->nodes; v++)
		add_edge(c, problem->edges + v, TREE_ROOT, v, problem->alone[v]);
}

/* Enters a node by the cheapest edge from outside it, and puts it on the path. */
static int
enter(Contraction *c, int node)
{
	int64		least = c->incoming[node];

	/* the edge from the root lies outside of everything: the heap does not run empty */
	while (c->heap[least].from != TREE_ROOT && outermost(c, c->heap[least].from) == node)
		least = without_least(c->heap, least);
	c->chosen[node] = least;
	c->paid[node] = c->heap[least].key;
	c->incoming[node] = without_least(c->heap, least);
	c->progress[node] = ON_PATH;
	c->path[c->path_length++] = node;
	return c->heap[least].from == TREE_ROOT ? TREE_ROOT : outermost(c, c->heap[least].from);
}

/* The path from `node` on is a cycle: it becomes one node, whose edges cost what they cost more than those paid for. */
static int
contract(Contraction *c, int node)
{
	int			cycle = c->count++;
	int			member;

	do
	{
		int64		rest;

		member = c->path[--c->path_length];
		rest = c->incoming[member];
		if (rest >= 0)
		{
			c->heap[rest].key -= c->paid[member];
			c->heap[rest].add -= c->paid[member];
		}
		c->incoming[cycle] = meld(c->heap, c->incoming[cycle], rest);
		c->within[member] = c->top[member] = cycle;
	} while (member != node);
	return cycle;
}

static void
grow_path(Contraction *c, int node)
{
	for (;;)
	{
		int			from;

		CHECK_FOR_INTERRUPTS();
		from = enter(c, node);
		if (from == TREE_ROOT || c->progress[from] == DONE)
			break;
		node = c->progress[from] == ON_PATH ? contract(c, from) : from;
	}
	while (c->path_length > 0)
		c->progress[c->path[--c->path_length]] = DONE;
}

/*
 * From the outermost cycles inwards: the edge that enters a cycle replaces the one by
 * which its member there was entered from within.
 */
static int *
expand(const Contraction *c)
{
	int		   *parent = palloc(Max(c->problem->nodes, 1) * sizeof(int));
	bool	   *replaced = palloc0(Max(c->count, 1) * sizeof(bool));

	for (int node = c->count - 1; node >= 0; node--)
	{
		const HeapNode *entered = &c->heap[c->chosen[node]];

		if (replaced[node])
			continue;
		parent[entered->to] = entered->from;
		for (int inner = entered->to; inner != node; inner = c->within[inner])
			replaced[inner] = true;
	}
	return parent;
}

int *
tree_minimum(const TreeProblem *problem)
{
	Contraction c;

	contraction_begin(&c, problem);
	for (int v = 0; v < problem->nodes; v++)
		if (c.progress[outermost(&c, v)] == NOT_SEEN)
			grow_path(&c, outermost(&c, v));
	return expand(&c);
}

/* ---- bounded depth ---- */

/*
 * The move that takes most nodes out of the depth for what it costs; false: none does.
 * A node that costs less where it goes is best at once.
 */
static bool
shorten_once(const TreeProblem *problem, int *parent, Shape *shape)
{
	double		best = 0;
	int			best_node = 0;
	int			best_parent = TREE_ROOT;

	for (int v = 0; v < problem->nodes; v++)
	{
		double		now;
		int64		end = problem->first[v + 1];

		if (shape->too_deep[v] == 0)
			continue;
		now = tree_edge_cost(problem, v, parent[v]);
		for (int64 e = problem->first[v]; e <= end; e++)
		{
			int			to = e == end ? TREE_ROOT : problem->edge[e].from;
			double		cost = e == end ? problem->alone[v] : problem->edge[e].cost;
			int			shorter = shape->depth[v] - depth_below(problem, shape->depth, v, to);
			int			excess = shape->depth[v] + shape->height[v] - problem->max_depth;
			double		worth = Min(shorter, excess) * (double) shape->too_deep[v] / Max(cost - now, LEAST_GAIN);

			if (shorter > 0 && cost < TREE_NEVER && worth > best && !is_below(parent, to, v))
			{
				best = worth;
				best_node = v;
				best_parent = to;
			}
		}
	}
	if (best > 0)
		parent[best_node] = best_parent;
	return best > 0;
}

/* LMG: parent is changed in place. */
static void
shorten(const TreeProblem *problem, int *parent)
{
	Shape	   *shape = make_shape(problem->nodes);

	measure(problem, parent, shape);
	while (shape->deepest > problem->max_depth && shorten_once(problem, parent, shape))
	{
		CHECK_FOR_INTERRUPTS();
		measure(problem, parent, shape);
	}
}

/* What the cheapest edge from the tree to a node is that keeps the bound. */
typedef struct Reach
{
	double		cost;
	int			from;
	bool		taken;
} Reach;

static int
cheapest_reach(const Reach *reach, int nodes)
{
	int			best = -1;

	for (int v = 0; v < nodes; v++)
		if (!reach[v].taken && (best < 0 || reach[v].cost < reach[best].cost))
			best = v;
	return best;
}

/* MP: the edges of a node are looked at when one of their other ends joins the tree. */
static int *
modified_prim(const TreeProblem *problem)
{
	int			nodes = problem->nodes;
	int		   *parent = palloc(Max(nodes, 1) * sizeof(int));
	int		   *depth = palloc(Max(nodes, 1) * sizeof(int));
	Reach	   *reach = palloc0(Max(nodes, 1) * sizeof(Reach));

	for (int v = 0; v < nodes; v++)
		reach[v] = (Reach) {.cost = problem->alone[v], .from = TREE_ROOT};
	for (int i = 0; i < nodes; i++)
	{
		int			u = cheapest_reach(reach, nodes);

		CHECK_FOR_INTERRUPTS();
		reach[u].taken = true;
		parent[u] = reach[u].from;
		depth[u] = depth_below(problem, depth, u, parent[u]);
		if (depth[u] >= problem->max_depth)
			continue;
		for (int v = 0; v < nodes; v++)
		{
			double		cost = reach[v].taken ? INFINITY : tree_edge_cost(problem, v, u);

			if (cost < reach[v].cost)
				reach[v] = (Reach) {.cost = cost, .from = u};
		}
	}
	return parent;
}

/* Moves a node where it costs less and its subtree keeps the bound; false: nowhere. */
static bool
improve_node(const TreeProblem *problem, int *parent, const Shape *shape, int v)
{
	double		least = tree_edge_cost(problem, v, parent[v]) - LEAST_GAIN;
	int			best = parent[v];

	for (int64 e = problem->first[v]; e < problem->first[v + 1]; e++)
	{
		int			from = problem->edge[e].from;

		if (problem->edge[e].cost < least &&
			shape->depth[from] + 1 + shape->height[v] <= problem->max_depth &&
			!is_below(parent, from, v))
		{
			least = problem->edge[e].cost;
			best = from;
		}
	}
	if (best == parent[v])
		return false;
	parent[v] = best;
	return true;
}

/* Every move saves bytes, so it ends. */
static void
improve(const TreeProblem *problem, int *parent)
{
	Shape	   *shape = make_shape(problem->nodes);
	bool		moved;

	measure(problem, parent, shape);
	do
	{
		moved = false;
		for (int v = 0; v < problem->nodes; v++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!improve_node(problem, parent, shape, v))
				continue;
			moved = true;
			measure(problem, parent, shape);
		}
	} while (moved);
}

int *
tree_within_depth(const TreeProblem *problem)
{
	int		   *shortened = tree_minimum(problem);
	int		   *depth = palloc(Max(problem->nodes, 1) * sizeof(int));
	int		   *grown;

	if (tree_depths(problem, shortened, depth) <= problem->max_depth)
		return shortened;
	shorten(problem, shortened);
	improve(problem, shortened);
	grown = modified_prim(problem);
	improve(problem, grown);
	if (tree_cost(problem, grown) >= TREE_NEVER)
		return shortened;
	return tree_depths(problem, shortened, depth) > problem->max_depth ||
		tree_cost(problem, grown) < tree_cost(problem, shortened) ? grown : shortened;
}

/* ---- for comparison ---- */

int *
tree_greedy(const TreeProblem *problem)
{
	int		   *parent = palloc(Max(problem->nodes, 1) * sizeof(int));
	int		   *depth = palloc(Max(problem->nodes, 1) * sizeof(int));

	for (int v = 0; v < problem->nodes; v++)
	{
		double		least = problem->alone[v];

		parent[v] = TREE_ROOT;
		for (int64 e = problem->first[v]; e < problem->first[v + 1]; e++)
		{
			const TreeEdge *edge = &problem->edge[e];

			if (edge->from < v && edge->cost < least && depth[edge->from] < problem->max_depth)
			{
				least = edge->cost;
				parent[v] = edge->from;
			}
		}
		depth[v] = depth_below(problem, depth, v, parent[v]);
	}
	return parent;
}
