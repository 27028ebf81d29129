/*
 * repack.c: sparse_repack: new parents for all objects of a family.
 *
 * Group by group, and part by part of large groups (group.h): what its objects would cost from each
 * other is estimated (estimate.c), the cheapest tree within the depth is found (tree.c), and those
 * objects that hang elsewhere in it are recoded (move.c).
 *
 * A family is gone through in runs, over as many calls as it takes. A run considers the versions that no
 * run before it has considered, beside those that they may have to do with: sparse.repacked says
 * which, sparse.repack how far it has come. So a family that was repacked is not touched again until
 * it has new versions, or another depth is asked for. What a call plans it forgets; what was moved stays
 * moved, and a part that was not gone through is planned again. Every call makes at least
 * one move, or finds that a part needs none.
 *
 * A lock on the family keeps a second call from it, as long as the first goes on.
 */
#include "care/repack.h"

#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "care/group.h"
#include "care/move.h"
#include "model/answer.h"
#include "model/layout.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_repack);

/* ---- how far a run has come ---- */

typedef struct Run
{
	int64		family;
	int			max_depth;
	int64		groups;			/* that were gone through, */
	int64		after;			/* and in the next all objects up to this */
	bool		came_further;	/* in this call */
} Run;

static StoreQuery find_run = {
	.sql = "select r.groups, r.after from sparse.repack r where r.family = $1 and r.max_depth = $2",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 2, .column = {INT8OID, INT8OID}};

static StoreQuery save_run = {
	.sql = "insert into sparse.repack (family, max_depth, groups, after) values ($1, $2, $3, $4)"
	" on conflict (family) do update set max_depth = $2, groups = $3, after = $4",
	.args = 4, .arg = {INT8OID, INT4OID, INT8OID, INT8OID}};

static StoreQuery forget_versions = {
	.sql = "delete from sparse.repacked r using sparse.version v where v.id = r.version and v.family = $1",
	.args = 1, .arg = {INT8OID}};

static StoreQuery count_due = {
	.sql = "select count(*) from sparse.version v join sparse.repacked r on r.version = v.id where v.family = $1 and not r.done",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery add_due = {
	.sql = "insert into sparse.repacked (version, done) select v.id, false from sparse.version v"
	" where v.family = $1 and v.state <> 'open' and not exists (select from sparse.repacked r where r.version = v.id)",
	.args = 1, .arg = {INT8OID}};

static StoreQuery finish_due = {
	.sql = "update sparse.repacked r set done = true from sparse.version v where v.id = r.version and v.family = $1 and not r.done",
	.args = 1, .arg = {INT8OID}};

static void
note_progress(const Run *run)
{
	Datum		value[4] = {
		Int64GetDatum(run->family), Int32GetDatum(run->max_depth), Int64GetDatum(run->groups), Int64GetDatum(run->after)
	};

	query_run(&save_run, value, NULL, false, NULL);
}

/* False where the family was last repacked for another depth, or never. */
static bool
load_progress(Run *run)
{
	Datum		value[2] = {Int64GetDatum(run->family), Int32GetDatum(run->max_depth)};
	SPITupleTable *rows;
	bool		found = query_run(&find_run, value, NULL, false, &rows) > 0;

	if (found)
	{
		run->groups = row_int64(rows, 0, 1);
		run->after = row_int64(rows, 0, 2);
	}
	SPI_freetuptable(rows);
	return found;
}

static bool
is_under_way(const Run *run)
{
	Datum		value = Int64GetDatum(run->family);
	SPITupleTable *rows;
	int64		count;

	query_run(&count_due, &value, NULL, false, &rows);
	count = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return count > 0;
}

/* Goes on with a run, or begins one with the versions that were not considered yet. False: there are none. */
static bool
run_begin(Run *run)
{
	Datum		value = Int64GetDatum(run->family);

	if (!load_progress(run))
		query_run(&forget_versions, &value, NULL, false, NULL);
	else if (is_under_way(run))
		return true;
	run->groups = run->after = 0;
	note_progress(run);
	return query_run(&add_due, &value, NULL, false, NULL) > 0;
}

static void
run_end(const Run *run)
{
	Datum		value = Int64GetDatum(run->family);

	query_run(&finish_due, &value, NULL, false, NULL);
}

/* ---- the groups of a run ---- */

/* Whether the call may end here: the time is up, and was not too short to come any further. */
static bool
may_stop(const Care *care, const Run *run)
{
	return care_is_over(care) && (run->came_further || care_had_no_time(care));
}

/* What the moves of a part are to be, in `context`. False: all of the group was gone through. */
static bool
plan_part(Care *care, Run *run, const GroupList *list, MemoryContext context, Moves *moves)
{
	TreeProblem problem;
	KinGroup	group;

	care_step_begin(care);
	note_progress(run);
	group_load(list, run->after, PART_MOST, &group);
	memset(moves, 0, sizeof(*moves));
	if (group.count > 0)
	{
		group_estimate(&group, run->max_depth, &problem);
		plan_moves(context, &group, &problem, moves);
	}
	care_step_end(care);
	run->after = group.last;
	return group.last != 0;
}

/* False when the time is up. */
static bool
repack_parts(Care *care, Run *run, const GroupList *list, MemoryContext context)
{
	for (;;)
	{
		const int64 before = run->after;
		Moves		moves;

		if (may_stop(care, run))
			return false;
		if (!plan_part(care, run, list, context, &moves))
			return true;
		if (!make_moves(care, &moves))
		{
			run->after = before;
			return false;
		}
		run->came_further = true;
	}
}

static bool
repack_group(Care *care, Run *run, const GroupKey *key)
{
	MemoryContext context = AllocSetContextCreate(care->context, "sparse group", ALLOCSET_DEFAULT_SIZES);
	bool		finished;
	GroupList	list;

	care_step_begin(care);
	group_list(context, key, DUE_IN_RUN, &list);
	care_step_end(care);
	finished = repack_parts(care, run, &list, context);
	MemoryContextDelete(context);
	return finished;
}

/* False when the time is up. */
static bool
repack_groups(Care *care, Run *run, const GroupKey *key, int64 groups)
{
	for (; run->groups < groups; run->groups++, run->after = 0)
		if (may_stop(care, run) || (key[run->groups].needed && !repack_group(care, run, &key[run->groups])))
			return false;
	return true;
}

/* ---- a family ---- */

/* Two families may share one lock. */
static void
family_tag(int64 family, LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, store_relation("family"), (Oid) hash_uint32((uint32) family), 0);
}

/*
 * Over all transactions of the call; an error gives it back. Never waited for: who waited might
 * hold what the other call waits for.
 */
static bool
lock_family(const Care *care, int64 family)
{
	LOCKTAG		tag;

	family_tag(family, &tag);
	return LockAcquire(&tag, ExclusiveLock, !care->atomic, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
unlock_family(const Care *care, int64 family)
{
	LOCKTAG		tag;

	family_tag(family, &tag);
	if (!care->atomic)
		LockRelease(&tag, ExclusiveLock, true);
}

typedef struct FamilyFigures
{
	char	   *name;			/* in the memory of the call */
	int64		versions;
	int64		bytes;
	int			depth;
} FamilyFigures;

static StoreQuery figures_query = {
	.sql = "select g.name,"
	"       (select count(*) from sparse.version v where v.family = $1 and v.state <> 'open'),"
	"       coalesce(sum(o.stored_bytes), 0)::bigint, coalesce(max(o.depth), 0)"
	"  from sparse.family g"
	"  left join (select t.object from sparse.version v join sparse.tensor t on t.version = v.id"
	"              where v.family = $1 and v.state <> 'open'"
	"             union select f.object from sparse.version v join sparse.file f on f.version = v.id"
	"              where v.family = $1 and v.state <> 'open') m on true"
	"  left join sparse.object o on o.id = m.object"
	" where g.id = $1"
	" group by g.name",
	.args = 1, .arg = {INT8OID},
	.columns = 4, .column = {TEXTOID, INT8OID, INT8OID, INT4OID},
	.scans = true};

/* Within a step. */
static void
find_figures(Care *care, int64 family, FamilyFigures *figures)
{
	Datum		argument = Int64GetDatum(family);
	SPITupleTable *rows;

	if (query_run(&figures_query, &argument, NULL, false, &rows) != 1)
		elog(ERROR, "family " INT64_FORMAT " is missing", family);
	figures->name = row_text(care->context, rows, 0, 1);
	figures->versions = row_int64(rows, 0, 2);
	figures->bytes = row_int64(rows, 0, 3);
	figures->depth = row_int32(rows, 0, 4);
	SPI_freetuptable(rows);
}

static StoreQuery begin_query = {
	.sql = "update sparse.family set repack_begun_at = clock_timestamp() where id = $1",
	.args = 1, .arg = {INT8OID}};

static StoreQuery finish_query = {
	.sql = "update sparse.family set repacked_at = now(), repacked_versions = $2 where id = $1",
	.args = 2, .arg = {INT8OID, INT8OID}};

static void
finish_family(Care *care, const Run *run, const FamilyFigures *before, bool finished, FamilyFigures *after)
{
	Datum		argument[2] = {Int64GetDatum(run->family), Int64GetDatum(before->versions)};

	care_step_begin(care);
	find_figures(care, run->family, after);
	note_progress(run);
	if (finished)
	{
		run_end(run);
		query_run(&finish_query, argument, NULL, false, NULL);
	}
	care_step_end(care);
}

static void
add_figures(const FamilyFigures *before, const FamilyFigures *after, int64 objects, Repacked *repacked)
{
	ereport(NOTICE,
			errmsg("family \"%s\": " INT64_FORMAT " objects coded anew, " INT64_FORMAT " bytes before, "
				   INT64_FORMAT " after; depth %d before, %d after",
				   before->name, objects, before->bytes, after->bytes, before->depth, after->depth));
	repacked->families++;
	repacked->objects += objects;
	repacked->bytes_before += before->bytes;
	repacked->bytes_after += after->bytes;
	repacked->depth_before = Max(repacked->depth_before, before->depth);
	repacked->depth_after = Max(repacked->depth_after, after->depth);
}

/* With the family locked. */
static void
repack_locked(Care *care, int64 family, int max_depth, Repacked *repacked)
{
	int64		recoded = care->recoded;
	Run			run = {.family = family, .max_depth = max_depth};
	Datum		argument = Int64GetDatum(family);
	FamilyFigures before;
	FamilyFigures after;
	GroupKey   *key = NULL;
	int64		groups = 0;

	care_step_begin(care);
	query_run(&begin_query, &argument, NULL, false, NULL);
	find_figures(care, family, &before);
	if (run_begin(&run))
		groups = group_keys(care->context, family, max_depth, DUE_IN_RUN, &key);
	care_step_end(care);
	repacked->finished = repack_groups(care, &run, key, groups);
	finish_family(care, &run, &before, repacked->finished, &after);
	add_figures(&before, &after, care->recoded - recoded, repacked);
}

void
repack_family(Care *care, int64 family, int max_depth, Repacked *repacked)
{
	if (!lock_family(care, family))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("family " INT64_FORMAT " is being repacked", family),
				errdetail("Another session has called sparse_repack() for it."));
	repack_locked(care, family, max_depth, repacked);
	unlock_family(care, family);
}

/* ---- all of them ---- */

/* Those that were turned to longest ago come first: one that fails, or takes all the time there is, keeps no other from its turn. */
static StoreQuery families_query = {
	.sql = "select g.id from sparse.family g"
	" where exists (select from sparse.version v where v.family = g.id and v.state <> 'open'"
	"                and not exists (select from sparse.repacked r where r.version = v.id and r.done))"
	" order by g.repack_begun_at nulls first, g.id",
	.args = 0,
	.columns = 1, .column = {INT8OID},
	.scans = true};

static int64
find_families(Care *care, int64 **family)
{
	SPITupleTable *rows;
	int64		count;

	care_step_begin(care);
	count = (int64) query_run(&families_query, NULL, NULL, false, &rows);
	*family = MemoryContextAllocHuge(care->context, Max(count, 1) * sizeof(int64));
	for (int64 i = 0; i < count; i++)
		(*family)[i] = row_int64(rows, i, 1);
	care_step_end(care);
	return count;
}

void
repack_all(Care *care, int max_depth, Repacked *repacked)
{
	int64	   *family;
	int64		count = find_families(care, &family);

	for (int64 i = 0; i < count && repacked->finished; i++)
	{
		if (!lock_family(care, family[i]))
		{
			ereport(NOTICE, errmsg("family " INT64_FORMAT " is being repacked by another session", family[i]));
			continue;
		}
		repack_locked(care, family[i], max_depth, repacked);
		unlock_family(care, family[i]);
	}
}

static StoreQuery forget_family = {
	.sql = "delete from sparse.repack where family = $1",
	.args = 1, .arg = {INT8OID}};

void
repack_forget(int64 family)
{
	Datum		value = Int64GetDatum(family);

	query_run(&forget_family, &value, NULL, false, NULL);
	query_run(&forget_versions, &value, NULL, false, NULL);
}

/* ---- the procedure ---- */

int
repack_max_depth_argument(FunctionCallInfo fcinfo, int argument)
{
	int			depth = PG_ARGISNULL(argument) ? sparse_max_chain_depth : PG_GETARG_INT32(argument);

	if (depth < 0 || depth > 32)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_depth must be between 0 and 32, not %d", depth));
	return depth;
}

static Datum
answer(FunctionCallInfo fcinfo, const Repacked *repacked)
{
	Datum		value[6] = {
		Int64GetDatum(repacked->objects),
		Int64GetDatum(repacked->bytes_before), Int64GetDatum(repacked->bytes_after),
		Int32GetDatum(repacked->depth_before), Int32GetDatum(repacked->depth_after),
		BoolGetDatum(repacked->finished)
	};
	bool		null[6] = {false};

	return care_answer(fcinfo, value, null);
}

/* sparse_repack(family, max_depth, budget): a version of the family, or "all" */
Datum
care_repack(PG_FUNCTION_ARGS)
{
	const char *reference = PG_ARGISNULL(0) ? "all" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		all = strcmp(reference, "all") == 0;
	int			max_depth = repack_max_depth_argument(fcinfo, 1);
	Repacked	repacked = {.finished = true};
	StoreVersion version;
	Care		care;

	store_check_owner("repack");
	if (!all)
	{
		version_from_text(reference, true, &version);
		version_check_model(&version, STAYS_CODED);
	}
	care_begin(fcinfo, &care, "repack", 2);
	if (all)
		repack_all(&care, max_depth, &repacked);
	else
		repack_family(&care, version.family, max_depth, &repacked);
	care_end(&care);
	return answer(fcinfo, &repacked);
}
