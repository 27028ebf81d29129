/*
 * guard.h: what is changed for a while, and is as it was on every way out.
 *
 * Code of this extension becomes another user, closes the search path, forbids writing,
 * tries things that may fail. On a way out that somebody forgot (an error, a cancelled
 * query, the end of the session) all that would be left to whoever catches the error: a
 * reader was the store's owner once. So it is changed here and nowhere else, which a test
 * sees to (test/t/000_sources.pl):
 *
 * 1. User, settings and read-only mode come in pairs, enter and leave, in one function
 *    without a return between. They need no catching of errors: PostgreSQL gives them back
 *    when the transaction, or subtransaction, ends that was current at "enter".
 * 2. That holds only if whoever catches an error has ended all subtransactions that were
 *    begun since: the innermost that an error finds open must be that of the one who catches.
 *    So a subtransaction is begun only by a function that takes what is to be done in it,
 *    and that ends it, and all within, before an error goes on.
 * 3. What PostgreSQL does not give back (variables of ours, files, memory of libraries) is
 *    given back by guarded_finally.
 */
#ifndef SPARSE_STORE_GUARD_H
#define SPARSE_STORE_GUARD_H

#include "postgres.h"

/* ---- the user ---- */

typedef struct StoreAccess
{
	Oid			user;
	int			security_context;
} StoreAccess;

/* Become that user, in a security-restricted operation, and the one before again (store_enter and store_leave of store.h). */
extern void user_enter(StoreAccess *access, Oid user);
extern void user_stay(StoreAccess *access);		/* instead of it: remain who one is */
extern void user_leave(const StoreAccess *access);

/* ---- settings ---- */

#define CLOSED_PATH 1			/* search_path: only the server's own names, and those of temporary tables */
#define NO_POLICIES 2			/* row_security: an error rather than rows left out */
#define BY_INDEX 4				/* no sequential scan that can be avoided, and none compiled for what it seems to cost */
#define BRIEF_WAIT 8			/* lock_timeout: a moment */
#define ALL_EFFORT 16			/* sparse.effort: 3 */

/* Set some of them for a while; what else is set before "leave" goes with them. */
extern int	settings_enter(int which);
extern void settings_leave(int nest);

/* Nothing that runs in between may write; what leave is to be given. (Not a setting: from 16 on functions cannot set it.) */
extern bool read_only_enter(void);
extern void read_only_leave(bool before);

/* ---- what may fail ---- */

typedef void (*Guarded) (void *argument);

/*
 * Does it in a subtransaction, which stays if it succeeds: NULL. What it failed with, in the
 * current context, if `expected` says so of it; any other error goes on. Memory that it
 * allocates in its own context is gone afterwards. User, memory context, resource owner and
 * connections to SPI are as before in any case.
 */
extern ErrorData *guarded_attempt(Guarded what, void *argument, bool (*expected) (const ErrorData *error));

/* Does it in a subtransaction that is taken back, whatever comes; in the current memory context. Errors go on. */
extern void guarded_trial(Guarded what, void *argument);

/* Does it, and then `undo` of the same argument, also after an error, which goes on. */
extern void guarded_finally(Guarded what, Guarded undo, void *argument);

/* Does it; `undo` only after an error, or when the session ends meanwhile: for what is left on disk. */
extern void guarded_or_undone(Guarded what, Guarded undo, void *argument);

#endif
