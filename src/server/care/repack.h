/*
 * repack.h: new parents for all objects of families (repack.c).
 */
#ifndef SPARSE_CARE_REPACK_H
#define SPARSE_CARE_REPACK_H

#include "care/care.h"

typedef struct Repacked
{
	int64		families;
	int64		objects;		/* coded anew */
	int64		bytes_before;	/* of all objects of the families */
	int64		bytes_after;
	int			depth_before;	/* of the deepest of them */
	int			depth_after;
	bool		finished;		/* before the time was up */
} Repacked;

/* A bound on depth that a procedure is given; null: sparse.max_chain_depth. */
extern int	repack_max_depth_argument(FunctionCallInfo fcinfo, int argument);

/* One family, told about in a notice; or all of those that have changed since they were repacked. */
extern void repack_family(Care *care, int64 family, int max_depth, Repacked *repacked);
extern void repack_all(Care *care, int max_depth, Repacked *repacked);

/* Somebody has given objects of a family other parents by hand: all of it is due again. Within a step. */
extern void repack_forget(int64 family);

#endif
