/*
 * tree.h: which object each object of a group is to be predicted from.
 *
 * The nodes are versions of one content (the tensors of one name, say); an edge from u to v
 * says what v would cost, predicted from u; and each can stand alone, for the cost of an edge
 * from an invisible root. Wanted is the cheapest tree under that root in which no
 * chain is longer than a bound: storage against recreation.
 */
#ifndef SPARSE_CARE_TREE_H
#define SPARSE_CARE_TREE_H

#include "postgres.h"

#define TREE_ROOT (-1)
#define TREE_NEVER 1e18		/* a cost: not infinite, for costs are subtracted from each other */

typedef struct TreeEdge
{
	int			from;			/* a node */
	int			to;
	double		cost;			/* bytes */
} TreeEdge;

typedef struct TreeProblem
{
	int			nodes;
	double	   *alone;			/* of each node: its cost under the root, */
	int		   *alone_depth;	/* and its depth there: 0, unless it hangs on something outside */
	double	   *bare;			/* what it would cost with nothing to predict it, be that allowed or not */
	int64		edges;
	TreeEdge   *edge;			/* in order of `to`, */
	int64	   *first;			/* where those to a node begin; one more than nodes */
	int			max_depth;
} TreeProblem;

/* A tree is an array with the parent of each node, or TREE_ROOT; palloc'd by these. */

/* The cheapest tree, however deep. */
extern int *tree_minimum(const TreeProblem *problem);

/* The cheapest tree found that keeps the bound (which a node outside it may exceed by itself). */
extern int *tree_within_depth(const TreeProblem *problem);

/*
 * What an importer could do at best: nodes in their order, each predicted from the
 * cheapest earlier one that is not too deep. For comparison.
 */
extern int *tree_greedy(const TreeProblem *problem);

extern double tree_cost(const TreeProblem *problem, const int *parent);

/* The depth of each node, and of the deepest. */
extern int	tree_depths(const TreeProblem *problem, const int *parent, int *depth);

/* The depth of the deepest node of those below each, itself included. */
extern void tree_chains(const TreeProblem *problem, const int *parent, int *deepest);

/* The cost of one node below `parent`; infinite where there is no such edge. */
extern double tree_edge_cost(const TreeProblem *problem, int node, int parent);

#endif
