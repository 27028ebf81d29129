/*
 * tally.c: sparse_tally_sum: the counters by predictor of many versions, added up.
 *
 * sparse.version.by_predictor holds for each predictor {"objects", "content_bytes",
 * "stored_bytes"}. Taken apart in SQL, every row costs a set of rows of its own; here
 * a million take as long as the sums of plain columns do. Workers hand over
 * what they have as a value of the same form.
 */
#include "postgres.h"
#include "compat.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(savings_tally_step);
PG_FUNCTION_INFO_V1(savings_tally_combine);
PG_FUNCTION_INFO_V1(savings_tally_serial);
PG_FUNCTION_INFO_V1(savings_tally_deserial);
PG_FUNCTION_INFO_V1(savings_tally_final);

#define COUNTERS 3

static const char *const counter_name[COUNTERS] = {"objects", "content_bytes", "stored_bytes"};

typedef struct Tally
{
	char	   *predictor;
	int			length;			/* of its name */
	int64		counter[COUNTERS];
} Tally;

typedef struct Tallies
{
	MemoryContext context;		/* which all of it lives in */
	Tally	   *tally;
	int			count;
	int			room;
} Tallies;

static Tallies *
tallies_create(MemoryContext context)
{
	Tallies    *tallies = MemoryContextAllocZero(context, sizeof(Tallies));

	tallies->context = context;
	tallies->room = 8;
	tallies->tally = MemoryContextAlloc(context, tallies->room * sizeof(Tally));
	return tallies;
}

/* The counters of a predictor, of which there are a few. */
static Tally *
tally_of(Tallies *tallies, const char *predictor, int length)
{
	Tally	   *new;

	for (int i = 0; i < tallies->count; i++)
		if (tallies->tally[i].length == length && memcmp(tallies->tally[i].predictor, predictor, length) == 0)
			return &tallies->tally[i];
	if (tallies->count == tallies->room)
	{
		tallies->room *= 2;
		tallies->tally = repalloc(tallies->tally, tallies->room * sizeof(Tally));
	}
	new = &tallies->tally[tallies->count++];
	memset(new, 0, sizeof(Tally));
	new->predictor = MemoryContextAlloc(tallies->context, length + 1);
	memcpy(new->predictor, predictor, length);
	new->length = length;
	return new;
}

static void
add(int64 *sum, int64 more)
{
	if (pg_add_s64_overflow(*sum, more, sum))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("bigint out of range"));
}

pg_noreturn static void
no_counters(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("counters by predictor are objects of numbers"));
	pg_unreachable();
}

static void
add_counters(Tally *tally, const JsonbValue *counters)
{
	if (counters->type != jbvBinary || !JsonContainerIsObject(counters->val.binary.data))
		no_counters();
	for (int i = 0; i < COUNTERS; i++)
	{
		JsonbValue	number;

		if (getKeyJsonValueFromContainer(counters->val.binary.data, counter_name[i],
										 (int) strlen(counter_name[i]), &number) == NULL)
			continue;
		if (number.type != jbvNumeric)
			no_counters();
		add(&tally->counter[i], DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number.val.numeric))));
	}
}

static void
tallies_add(Tallies *tallies, Jsonb *by_predictor)
{
	JsonbIterator *step = JsonbIteratorInit(&by_predictor->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	Tally	   *tally = NULL;

	if (!JB_ROOT_IS_OBJECT(by_predictor))
		no_counters();
	while ((token = JsonbIteratorNext(&step, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			tally = tally_of(tallies, value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			add_counters(tally, &value);
	}
}

static void
push_counters(JsonbInState *state, const Tally *tally)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < COUNTERS; i++)
	{
		JsonbValue	name = {.type = jbvString};
		JsonbValue	number = {.type = jbvNumeric};

		name.val.string.val = unconstify(char *, counter_name[i]);
		name.val.string.len = (int) strlen(counter_name[i]);
		number.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(tally->counter[i])));
		pushJsonbValue(state, WJB_KEY, &name);
		pushJsonbValue(state, WJB_VALUE, &number);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
tallies_jsonb(const Tallies *tallies)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < tallies->count; i++)
	{
		JsonbValue	predictor = {.type = jbvString};

		predictor.val.string.val = tallies->tally[i].predictor;
		predictor.val.string.len = tallies->tally[i].length;
		pushJsonbValue(&state, WJB_KEY, &predictor);
		push_counters(&state, &tallies->tally[i]);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* ---- the aggregate ---- */

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "part of an aggregate called outside of it");
	return context;
}

/* Argument 0, or where it is null what the aggregate begins with. */
static Tallies *
state_of(FunctionCallInfo fcinfo)
{
	MemoryContext context = aggregate_context(fcinfo);

	return PG_ARGISNULL(0) ? tallies_create(context) : (Tallies *) PG_GETARG_POINTER(0);
}

Datum
savings_tally_step(PG_FUNCTION_ARGS)
{
	Tallies    *tallies = state_of(fcinfo);

	if (!PG_ARGISNULL(1))
		tallies_add(tallies, PG_GETARG_JSONB_P(1));
	PG_RETURN_POINTER(tallies);
}

Datum
savings_tally_combine(PG_FUNCTION_ARGS)
{
	Tallies    *tallies = state_of(fcinfo);
	const Tallies *other = PG_ARGISNULL(1) ? NULL : (Tallies *) PG_GETARG_POINTER(1);

	for (int t = 0; other != NULL && t < other->count; t++)
	{
		Tally	   *tally = tally_of(tallies, other->tally[t].predictor, other->tally[t].length);

		for (int i = 0; i < COUNTERS; i++)
			add(&tally->counter[i], other->tally[t].counter[i]);
	}
	PG_RETURN_POINTER(tallies);
}

Datum
savings_tally_serial(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P((bytea *) tallies_jsonb((Tallies *) PG_GETARG_POINTER(0)));
}

Datum
savings_tally_deserial(PG_FUNCTION_ARGS)
{
	Tallies    *tallies;

	(void) aggregate_context(fcinfo);
	tallies = tallies_create(CurrentMemoryContext);
	tallies_add(tallies, (Jsonb *) PG_GETARG_BYTEA_P(0));
	PG_RETURN_POINTER(tallies);
}

Datum
savings_tally_final(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(tallies_jsonb((Tallies *) PG_GETARG_POINTER(0)));
}
