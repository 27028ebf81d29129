/*
 * guard.c: what is changed for a while (see guard.h).
 */
#include "guard.h"
#include "compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* ---- the user ---- */

void
user_stay(StoreAccess *access)
{
	GetUserIdAndSecContext(&access->user, &access->security_context);
}

void
user_enter(StoreAccess *access, Oid user)
{
	user_stay(access);
	SetUserIdAndSecContext(user, access->security_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

void
user_leave(const StoreAccess *access)
{
	SetUserIdAndSecContext(access->user, access->security_context);
}

/* ---- settings ---- */

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int
settings_enter(int which)
{
	int			nest = NewGUCNestLevel();

	if (which & CLOSED_PATH)
		set_locally("search_path", "pg_catalog, pg_temp");
	if (which & NO_POLICIES)
		set_locally("row_security", "off");
	if (which & BY_INDEX)
	{
		set_locally("enable_seqscan", "off");
		set_locally("jit", "off");
	}
	if (which & BRIEF_WAIT)
		set_locally("lock_timeout", "40ms");
	if (which & ALL_EFFORT)
		set_locally("sparse.effort", "3");
	return nest;
}

void
settings_leave(int nest)
{
	AtEOXact_GUC(true, nest);
}

bool
read_only_enter(void)
{
	bool		before = XactReadOnly;

	XactReadOnly = true;
	return before;
}

void
read_only_leave(bool before)
{
	XactReadOnly = before;
}

/* ---- subtransactions ---- */

/* A copy of the error being handled, which is then handled; NULL: no memory is left even for that. */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		error = CopyErrorData();
	}
	PG_CATCH();
	{
		/* the subtransaction must be ended all the same */
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	FlushErrorState();
	return error;
}

/* Back to `level`, from wherever an error has left us. */
static void
roll_back_to(int level)
{
	while (GetCurrentTransactionNestLevel() > level)
		RollbackAndReleaseCurrentSubTransaction();
}

pg_noreturn static void
go_on_with(ErrorData *error)
{
	if (error != NULL)
		ReThrowError(error);
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory")));
	pg_unreachable();
}

/* Does it in a subtransaction; what it failed with goes to *error. True: it returned. */
static bool
run(Guarded what, void *argument, MemoryContext memory, bool stays, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			level = GetCurrentTransactionNestLevel();
	volatile bool returned = false;
	StoreAccess before;

	user_stay(&before);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		what(argument);
		if (GetCurrentTransactionNestLevel() != level + 1)
			elog(ERROR, "a subtransaction was not ended");
		if (stays)
			ReleaseCurrentSubTransaction();
		returned = true;
	}
	PG_CATCH();
	{
		*error = take_error(context);
	}
	PG_END_TRY();
	roll_back_to(level);
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	user_leave(&before);
	return returned;
}

ErrorData *
guarded_attempt(Guarded what, void *argument, bool (*expected) (const ErrorData *error))
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "sparse attempt", ALLOCSET_DEFAULT_SIZES);
	ErrorData  *error = NULL;
	bool		returned = run(what, argument, scratch, true, &error);

	MemoryContextDelete(scratch);
	if (returned)
		return NULL;
	if (error == NULL || !expected(error))
		go_on_with(error);
	return error;
}

void
guarded_trial(Guarded what, void *argument)
{
	ErrorData  *error = NULL;

	if (!run(what, argument, CurrentMemoryContext, false, &error))
		go_on_with(error);
}

/* ---- what PostgreSQL does not give back ---- */

void
guarded_finally(Guarded what, Guarded undo, void *argument)
{
	PG_TRY();
	{
		what(argument);
	}
	PG_CATCH();
	{
		undo(argument);
		PG_RE_THROW();
	}
	PG_END_TRY();
	undo(argument);
}

typedef struct Undo
{
	Guarded		undo;
	void	   *argument;
} Undo;

static void
undo_at_exit(int code, Datum pointer)
{
	const Undo *undo = (const Undo *) DatumGetPointer(pointer);

	(void) code;
	undo->undo(undo->argument);
}

void
guarded_or_undone(Guarded what, Guarded undo, void *argument)
{
	Undo		both = {undo, argument};

	PG_ENSURE_ERROR_CLEANUP(undo_at_exit, PointerGetDatum(&both));
	{
		what(argument);
	}
	PG_END_ENSURE_ERROR_CLEANUP(undo_at_exit, PointerGetDatum(&both));
}
