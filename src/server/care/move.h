/*
 * move.h: from the tree that is there to the one that is wanted (move.c).
 */
#ifndef SPARSE_CARE_MOVE_H
#define SPARSE_CARE_MOVE_H

#include "care/care.h"
#include "care/group.h"

typedef enum MoveState
{
	MOVE_PENDING, MOVE_MADE, MOVE_REFUSED
} MoveState;

typedef struct Move
{
	RecodeSpec	spec;
	int			node;			/* of the tree */
	int			depth;			/* in the tree that is wanted */
	uint64		stored_bytes;
	double		gain;			/* as planned; below zero: it costs bytes, for others to save more */
	bool		shortens;		/* it is needed for chains that are too long, whatever it costs */
	MoveState	state;
} Move;

/* Of a part of a group. */
typedef struct Moves
{
	int			count;
	Move	   *move;			/* in the order of their depths */
	int		   *wanted;			/* the parent of each node in the tree that is wanted */
} Moves;

/* Which they are, in `context`; none where what is there is about as good. */
extern void plan_moves(MemoryContext context, const KinGroup *group, const TreeProblem *problem, Moves *moves);

/*
 * Makes them, in steps each of which leaves fewer bytes than there were, but for those that
 * shorten chains. False when the time is up, and one at least was made.
 */
extern bool make_moves(Care *care, Moves *moves);

#endif
