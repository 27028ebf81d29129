/*
 * care.h: work on objects that are stored, in small transactions.
 *
 * A piece of care is a procedure that takes many steps, each of which leaves the store
 * whole. Called by itself it commits after every step: it can be cancelled, and what was
 * done stays; called within a transaction block it is part of that transaction.
 * step.c holds the frame, the others what is done in it.
 */
#ifndef SPARSE_CARE_CARE_H
#define SPARSE_CARE_CARE_H

#include "postgres.h"
#include "compat.h"

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "store/recode.h"
#include "store/store.h"

typedef struct Care
{
	/* fixed for the call */
	bool		atomic;			/* within a transaction block: nothing is committed */
	MemoryContext context;		/* of the call; outlives its transactions */
	TimestampTz begun;
	TimestampTz deadline;		/* 0: none */
	bool		all_effort;		/* sparse.effort is 3 in its steps, whatever it is outside */

	/* of the step that is under way */
	StoreAccess access;
	int			settings;
	MemoryContext step_context;
	MemoryContext outer_context;

	/* what was done so far */
	int64		recoded;
	int64		bytes_before;	/* of those that were recoded */
	int64		bytes_after;
} Care;

/* ---- step.c ---- */

/*
 * Begins and ends a call: the caller must have the rights of the store's owner; `action`
 * completes "must be owner of the store to %s". budget: an interval, or no argument (-1).
 */
extern void care_begin(FunctionCallInfo fcinfo, Care *care, const char *action, int budget_argument);
extern void care_end(Care *care);

/*
 * Begins a step: as the store's owner, within SPI_connect, under a snapshot of this moment,
 * in memory of the step. Its end gives all of that back and commits.
 */
extern void care_step_begin(Care *care);
extern void care_step_end(Care *care);

/*
 * Within a step: keeps writers, collections and other care away until its end. Waits until
 * none is in the way; false when the time was up before.
 */
extern bool care_lock_out_writers(const Care *care);

/* Whether the time is up. */
extern bool care_is_over(const Care *care);

/* Whether there was none to begin with: a budget of 0. Any other does something. */
extern bool care_had_no_time(const Care *care);

/*
 * A step of its own: recodes one object, and sees that its content still has its SHA-256
 * before it commits. Waits until no writer is in the way. False when the time was up before.
 */
extern bool care_recode(Care *care, const RecodeSpec *spec, RecodeOutcome *outcome, RecodeResult *result);

/*
 * A step of its own: recodes objects in their order until together they take fewer bytes than before, and
 * undoes it all where they do not in the end (or the first cannot be recoded). *count: how many were tried.
 */
extern bool care_recode_together(Care *care, const RecodeSpec *spec, int *count, RecodeOutcome *outcome, bool *saved);

/* The row that a procedure answers with. */
extern Datum care_answer(FunctionCallInfo fcinfo, const Datum *value, const bool *null);

#endif
