/*
 * graph.h: a version, its ancestors and its descendants, as they are drawn.
 *
 * Nodes are in the order of their ids, which grow along every edge: a loop over
 * them meets parents before their children. Edges are in the order of (child,
 * ordinal). The first edge of a node leads to its trunk, the parent that it hangs
 * on where a tree is drawn; trunks and the lists of those that hang on them make a
 * forest.
 */
#ifndef SPARSE_LINEAGE_GRAPH_H
#define SPARSE_LINEAGE_GRAPH_H

#include "postgres.h"

#include "lib/stringinfo.h"

typedef struct GraphNode
{
	int64		id;
	const char *label;			/* name@revision */
	const char *state;
	const char *kind;
	bool		exact;
	const char *tags;			/* joined by ", "; empty: none */
	int64		raw_bytes;
	int64		stored_bytes;
	int			first_edge;		/* to its parents: edges of these numbers */
	int			edges;
	int			trunk;			/* node; -1: a root */
	int			first_branch;	/* nodes that hang on it, by id; -1: none */
	int			next_branch;	/* of its trunk, or among the roots */
} GraphNode;

typedef struct GraphEdge
{
	int			child;			/* nodes */
	int			parent;
	const char *role;
} GraphEdge;

typedef struct Graph
{
	int			nodes;
	GraphNode  *node;
	int			edges;
	GraphEdge  *edge;
	int			asked;			/* the node that was asked for */
	int			first_root;
	bool		cut;			/* there were more than could be taken */
} Graph;

/* "6.3 MB", palloc'd. */
extern const char *graph_bytes(int64 bytes);

extern void graph_tree(const Graph *graph, StringInfo out);
extern void graph_dot(const Graph *graph, StringInfo out);
extern void graph_mermaid(const Graph *graph, StringInfo out);
extern void graph_svg(const Graph *graph, StringInfo out);

#endif
