/*
 * step.c: the frame of a piece of care: its transactions, its rights, its locks, and the
 * one step that all of them take, the recoding of an object.
 *
 * Writers are kept away for a step at a time. To get there, a call that commits its steps
 * does not queue for the lock: behind a request that waits for a long import every other
 * import would wait too. It asks again and again instead, holding nothing that a writer
 * could wait for. Within a transaction block it must queue like any other statement, for
 * there it may hold such things, and only the lock manager sees a deadlock.
 */
#include "care.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/answer.h"
#include "model/hash.h"
#include "store/guard.h"
#include "store/query.h"

#define PIECE_BYTES ((uint64) 1 << 20)

/* ---- a call ---- */

static bool
is_atomic(FunctionCallInfo fcinfo)
{
	return fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		((CallContext *) fcinfo->context)->atomic;
}

/* From the very moment at which the call began, so that no time is none (care_had_no_time). */
static TimestampTz
deadline_of_argument(FunctionCallInfo fcinfo, TimestampTz begun, int argument)
{
	if (argument < 0 || PG_ARGISNULL(argument))
		return 0;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(begun),
												   PG_GETARG_DATUM(argument)));
}

/*
 * What a step saw must not be older than its lock. (A call that commits begins every step
 * with a new snapshot, unless the session's default isolation level keeps one.)
 */
static void
check_isolation(const char *action)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("isolation level \"read committed\" is needed to %s", action));
}

void
care_begin(FunctionCallInfo fcinfo, Care *care, const char *action, int budget_argument)
{
	memset(care, 0, sizeof(*care));
	store_check_owner(action);
	check_isolation(action);
	PreventCommandIfReadOnly("CALL");
	care->atomic = is_atomic(fcinfo);
	care->begun = GetCurrentTimestamp();
	care->deadline = deadline_of_argument(fcinfo, care->begun, budget_argument);
	if (SPI_connect_ext(care->atomic ? 0 : SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	/* SPI's own memory lasts as long as the call, over all its transactions */
	care->context = AllocSetContextCreate(CurrentMemoryContext, "sparse care", ALLOCSET_DEFAULT_SIZES);
	care->step_context = AllocSetContextCreate(care->context, "sparse care step", ALLOCSET_DEFAULT_SIZES);
}

void
care_end(Care *care)
{
	MemoryContextDelete(care->context);
	answer_finish();
}

Datum
care_answer(FunctionCallInfo fcinfo, const Datum *value, const bool *null)
{
	TupleDesc	row_type;

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), unconstify(Datum *, value),
											 unconstify(bool *, null)));
}

bool
care_is_over(const Care *care)
{
	return care->deadline != 0 && GetCurrentTimestamp() >= care->deadline;
}

bool
care_had_no_time(const Care *care)
{
	return care->deadline != 0 && care->deadline <= care->begun;
}

/* ---- a step ---- */

void
care_step_begin(Care *care)
{
	CHECK_FOR_INTERRUPTS();
	care->settings = settings_enter(CLOSED_PATH | NO_POLICIES | (care->all_effort ? ALL_EFFORT : 0));	/* a procedure that commits cannot fix them itself */
	PushActiveSnapshot(GetTransactionSnapshot());
	store_enter(&care->access);
	care->outer_context = MemoryContextSwitchTo(care->step_context);
	answer_connect();
}

void
care_step_end(Care *care)
{
	answer_finish();
	MemoryContextSwitchTo(care->outer_context);
	MemoryContextReset(care->step_context);
	store_leave(&care->access);
	PopActiveSnapshot();
	settings_leave(care->settings);
	if (care->atomic)
		CommandCounterIncrement();
	else
	{
		SPI_commit();
		SPI_start_transaction();
	}
}

/* ---- locks ---- */

bool
care_lock_out_writers(const Care *care)
{
	return care->atomic ? store_lock_for_recoding(true) : store_lock_for_recoding_until(care->deadline, false);
}

/* ---- the recoding of one object ---- */

static StoreQuery sha256_query = {
	.sql = "select sha256 from sparse.object where id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BYTEAOID}};

/* Reads the object as any reader would, and compares its SHA-256 with the one that names it. */
static void
check_content(int64 object)
{
	Datum		argument = Int64GetDatum(object);
	Sha256	   *sum = sha256_create(CurrentMemoryContext);
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, false);
	char	   *piece = palloc(PIECE_BYTES);
	uint8		expected[SPARSE_SHA256_BYTES];
	uint8		found[SPARSE_SHA256_BYTES];
	SPITupleTable *rows;
	ObjectInfo	info;

	if (query_run(&sha256_query, &argument, NULL, false, &rows) != 1 ||
		!object_info(reader, object, &info))
		elog(ERROR, "object " INT64_FORMAT " is missing", object);
	row_sha256(rows, 0, 1, expected);
	SPI_freetuptable(rows);
	for (uint64 first = 0; first < info.bytes; first += PIECE_BYTES)
	{
		uint64		bytes = Min(PIECE_BYTES, info.bytes - first);

		object_read(reader, object, first, bytes, piece);
		sha256_add(sum, piece, bytes);
	}
	sha256_finish(sum, found);
	object_reader_free(reader);
	if (memcmp(found, expected, SPARSE_SHA256_BYTES) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is not what its SHA-256 says", object),
				errdetail("Its SHA-256 is %s; that of its row is %s. Nothing was changed.",
						  sha256_text(found), sha256_text(expected)),
				errhint("Run sparse_verify() on the versions that have it."));
}

/* Within a step, after care_lock_out_writers: one object, seen to be what it was. */
static RecodeOutcome
recode_and_check(const RecodeSpec *spec, RecodeResult *result)
{
	RecodeOutcome outcome = object_recode(spec, result);

	if (outcome == RECODE_DONE)
		check_content(spec->object);
	return outcome;
}

/* What was committed while it waited is to be seen. */
static bool
lock_and_look(const Care *care)
{
	if (!care_lock_out_writers(care))
		return false;
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	return true;
}

bool
care_recode(Care *care, const RecodeSpec *spec, RecodeOutcome *outcome, RecodeResult *result)
{
	bool		locked;

	care_step_begin(care);
	locked = lock_and_look(care);
	if (locked)
		*outcome = recode_and_check(spec, result);
	care_step_end(care);
	if (!locked || *outcome != RECODE_DONE)
		return locked;
	care->recoded++;
	care->bytes_before += (int64) result->bytes_before;
	care->bytes_after += (int64) result->bytes_after;
	return true;
}

/* ---- the recoding of several ---- */

/* Never seen by anybody: what takes a step back that did not save. */
#define NOTHING_SAVED MAKE_SQLSTATE('S', 'P', '0', '0', '1')

typedef struct Together
{
	const RecodeSpec *spec;
	int			count;
	int			tried;
	RecodeOutcome *outcome;
	int64		recoded;
	int64		bytes_before;
	int64		bytes_after;
} Together;

/* Recodes in order, until fewer bytes are left than there were. */
static void
recode_until_saved(void *argument)
{
	Together   *all = argument;

	while (all->tried < all->count && all->bytes_after >= all->bytes_before)
	{
		RecodeOutcome *outcome = &all->outcome[all->tried];
		RecodeResult result;

		CHECK_FOR_INTERRUPTS();
		*outcome = recode_and_check(&all->spec[all->tried++], &result);
		if (*outcome == RECODE_DONE)
		{
			all->recoded++;
			all->bytes_before += (int64) result.bytes_before;
			all->bytes_after += (int64) result.bytes_after;
		}
		else if (all->tried == 1)
			break;				/* all others were to hang on it */
	}
	if (all->bytes_after >= all->bytes_before)
		ereport(ERROR, errcode(NOTHING_SAVED), errmsg_internal("nothing was saved"));
}

static bool
nothing_was_saved(const ErrorData *error)
{
	return error->sqlerrcode == NOTHING_SAVED;
}

bool
care_recode_together(Care *care, const RecodeSpec *spec, int *count, RecodeOutcome *outcome, bool *saved)
{
	Together	all = {.spec = spec, .count = *count, .outcome = outcome};
	bool		locked;

	care_step_begin(care);
	locked = lock_and_look(care);
	*saved = locked && guarded_attempt(recode_until_saved, &all, nothing_was_saved) == NULL;
	care_step_end(care);
	*count = all.tried;
	if (*saved)
	{
		care->recoded += all.recoded;
		care->bytes_before += all.bytes_before;
		care->bytes_after += all.bytes_after;
	}
	return locked;
}
