/*
 * walk.h: versions reached by a walk over the graph, level by level, each once.
 */
#ifndef SPARSE_LINEAGE_WALK_H
#define SPARSE_LINEAGE_WALK_H

#include "postgres.h"

#include "utils/hsearch.h"

typedef struct Walk
{
	HTAB	   *seen;
	Datum	   *id;				/* int8s, in the order in which they were reached */
	int			count;
	int			room;
	int			most;			/* no more than these are taken; */
	bool		cut;			/* there were more */
} Walk;

/* A walk that has reached `start`; what it takes is of the current memory context. */
extern void walk_begin(Walk *walk, int64 start, int most);

/* Takes a version, unless it was reached before. */
extern void walk_reach(Walk *walk, int64 id);

/* The versions reached from number `first` on, as an array. */
extern Datum walk_level(const Walk *walk, int first);

#endif
