/*
 * optimize.c: sparse_optimize: the objects of one version, coded by the best of what an import of its
 * files would find: another parent, or a formula of several.
 *
 * For versions that were stored with less effort: what was imported or committed without any searches (sparse.effort = 1,
 * sparse.optimize_commits = off) is noted in sparse.unoptimized, where sparse_nightly finds it, and leaves nothing untried.
 */
#include "care.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/answer.h"
#include "model/layout.h"
#include "optimize.h"
#include "repack.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_optimize);

#define ACTION "optimize a version"

/* The objects of a version. */
typedef struct Work
{
	Import	   *import;
	uint64		count;
	const PlanObject **object;
} Work;

/* In `context`; nothing where no parent is left. */
static void
find_work(Care *care, const StoreVersion *version, MemoryContext context, Work *work)
{
	care_step_begin(care);
	work->import = stored_import(version, context);
	import_find_open_neighbours(work->import);
	care_step_end(care);
	if (work->import->parents > 0)
		work->object = stored_objects(work->import, context, &work->count);
}

/* An upload may have lost its parents since; who names a version is told. */
static void
check_parents(Care *care, const StoreVersion *version)
{
	bool		found;

	care_step_begin(care);
	found = stored_has_parents(version);
	care_step_end(care);
	if (!found)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("version \"%s@%d\" has no parents", version->name, version->revision),
				errhint("sparse_rebase() codes a version against any other."));
}

/* ---- one of them ---- */

void
optimize_propose(void *state, ObjectReader *reader, ObjectSpec *spec)
{
	const OptimizeProposal *proposal = state;

	if (stored_import_renew(proposal->import))
		stored_propose(proposal->import, reader, proposal->object, spec);
}

/* False when the time was up. */
static bool
optimize_object(Care *care, Import *import, const PlanObject *object, int max_depth)
{
	OptimizeProposal proposal = {import, object};
	RecodeSpec	spec = {
		.object = object->id, .row_bytes = object->row_bytes, .max_depth = max_depth,
		.at_most = PG_UINT64_MAX, .propose = optimize_propose, .propose_state = &proposal, .version = import->version
	};
	RecodeOutcome outcome;
	RecodeResult result;

	return !care_is_over(care) && care_recode(care, &spec, &outcome, &result);
}

/* ---- a version ---- */

static StoreQuery done_query = {
	.sql = "delete from sparse.unoptimized where version = $1",
	.args = 1, .arg = {INT8OID}};

/* False when the time was up. What is known of a version goes with it: a night may see thousands. */
static bool
optimize_version(Care *care, const StoreVersion *version, int max_depth)
{
	MemoryContext context = AllocSetContextCreate(care->context, "sparse version", ALLOCSET_DEFAULT_SIZES);
	Datum		argument = Int64GetDatum(version->id);
	const int64 recoded = care->recoded;
	const int64 before = care->bytes_before;
	const int64 after = care->bytes_after;
	Work		work = {0};
	bool		finished = true;

	find_work(care, version, context, &work);
	for (uint64 i = 0; i < work.count && finished; i++)
		finished = optimize_object(care, work.import, work.object[i], max_depth);
	MemoryContextDelete(context);
	if (finished)
	{
		care_step_begin(care);
		query_run(&done_query, &argument, NULL, false, NULL);
		care_step_end(care);
	}
	ereport(NOTICE,
			errmsg("version \"%s@%d\": " INT64_FORMAT " objects coded anew, from " INT64_FORMAT " to " INT64_FORMAT " bytes",
				   version->name, version->revision, care->recoded - recoded, care->bytes_before - before,
				   care->bytes_after - after));
	return finished;
}

/* ---- all that were uploaded ---- */

/* Those that were turned to longest ago first: one that fails keeps no other from its turn. */
static StoreQuery next_query = {
	.sql = "with next as (select u.version from sparse.unoptimized u join sparse.version v on v.id = u.version"
	"               where v.state = 'ready' and (u.begun_at is null or u.begun_at < $1)"
	"               order by u.begun_at nulls first, u.version limit 1)"
	" update sparse.unoptimized u set begun_at = clock_timestamp() from next n where u.version = n.version returning u.version",
	.args = 1, .arg = {TIMESTAMPTZOID},
	.columns = 1, .column = {INT8OID}};

/* The next version that nobody has turned to since `begun`; false when there is none. */
static bool
next_upload(Care *care, TimestampTz begun, StoreVersion *version)
{
	Datum		argument = TimestampTzGetDatum(begun);
	SPITupleTable *rows;
	bool		found;

	care_step_begin(care);
	found = query_run(&next_query, &argument, NULL, false, &rows) > 0;
	if (found)
	{
		MemoryContext step = MemoryContextSwitchTo(care->context);

		version_from_id(row_int64(rows, 0, 1), false, version);
		MemoryContextSwitchTo(step);
	}
	care_step_end(care);
	return found;
}

bool
optimize_uploads(Care *care, int max_depth)
{
	const TimestampTz begun = GetCurrentTimestamp();
	StoreVersion version;
	bool		finished = true;

	care->all_effort = true;
	while (finished && next_upload(care, begun, &version))
		finished = !care_is_over(care) && optimize_version(care, &version, max_depth);
	care->all_effort = false;
	return finished;
}

/* ---- the procedure ---- */

static Datum
answer(FunctionCallInfo fcinfo, const Care *care, bool finished)
{
	Datum		value[4] = {Int64GetDatum(care->recoded), Int64GetDatum(care->bytes_before), Int64GetDatum(care->bytes_after),
	BoolGetDatum(finished)};
	bool		null[4] = {false};

	return care_answer(fcinfo, value, null);
}

/* sparse_optimize(version, max_depth, budget) */
Datum
care_optimize(PG_FUNCTION_ARGS)
{
	int			max_depth = repack_max_depth_argument(fcinfo, 1);
	StoreVersion version;
	Care		care;
	bool		finished;

	store_check_owner(ACTION);
	version_from_argument_now(fcinfo, 0, false, &version);
	version_check_model(&version, STAYS_CODED);
	care_begin(fcinfo, &care, ACTION, 2);
	check_parents(&care, &version);
	finished = optimize_version(&care, &version, max_depth);
	care_end(&care);
	return answer(fcinfo, &care, finished);
}
