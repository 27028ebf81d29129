/*
 * recode.h: another parent for an object that is stored (recode.c).
 */
#ifndef SPARSE_STORE_RECODE_H
#define SPARSE_STORE_RECODE_H

#include "datatype/timestamp.h"
#include "store/store.h"

/* Fills in spec's candidates and recipes; all else is known. May store objects that recipes need. */
typedef void (*RecodePropose) (void *state, ObjectReader *reader, ObjectSpec *spec);

typedef struct RecodeSpec
{
	int64		object;
	int64		parent;			/* to predict it from; 0: nothing */
	uint64		row_bytes;		/* of a tensor's rows, where its parent may have fewer; 0: none */
	int			max_depth;		/* of the object and of all that are predicted from it */
	uint64		at_most;		/* bytes; with more it stays as it is */
	RecodePropose propose;		/* the best of these: without a parent, if it takes fewer bytes than now; with one, if there are any */
	void	   *propose_state;
	int64		version;		/* that brings what is stored on the way */
} RecodeSpec;

typedef enum RecodeOutcome
{
	RECODE_DONE,
	RECODE_GONE,				/* the object or its parent is not there */
	RECODE_CYCLE,				/* the parent is predicted from the object */
	RECODE_TOO_DEEP,			/* a chain would become too long, and no shorter than it is */
	RECODE_NO_GAIN				/* it would take more than at_most */
} RecodeOutcome;

typedef struct RecodeResult
{
	uint64		bytes_before;	/* of its deltas */
	uint64		bytes_after;	/* with those of objects that were stored on the way */
	int32		depth_before;
	int32		depth_after;
	int32		deepest_before; /* of the object and of all that are predicted from it */
} RecodeResult;

/*
 * Keeps writers, collections and other recodings away until the transaction ends;
 * readers go on. False, where it is not to wait, when somebody is in the way.
 */
extern bool store_lock_for_recoding(bool wait);

/*
 * The same, tried again and again until the deadline (0: none): who waits in the queue of a lock
 * makes all who come later wait as well. queue: for moments it does, so that its turn comes.
 */
extern bool store_lock_for_recoding_until(TimestampTz deadline, bool queue);

/*
 * Codes an object anew, under that lock (none is needed for what the transaction itself has stored), within store_enter, SPI_connect and an active
 * snapshot. What is not RECODE_DONE has changed nothing. The new deltas were decoded and
 * compared; that the content still has its SHA-256 is for the caller to see before
 * he commits.
 */
extern RecodeOutcome object_recode(const RecodeSpec *spec, RecodeResult *result);

#endif
