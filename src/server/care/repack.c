/*
 * repack.c: sparse_repack: new parents for all objects of a family.
 *
 * Group by group (group.h): what its objects would cost from each other is estimated
 * (estimate.c), the cheapest tree within the depth is found (tree.c), and those objects that
 * hang elsewhere in it are recoded, each in a transaction of its own, from the root of the
 * tree downwards. So a parent stands where it is to stand before its children come to it, and
 * no move closes a circle; what a move would make too deep for the time being is tried
 * again when others have moved.
 *
 * The plan may be wrong: every move is made only if what it was to save is saved, by the bytes
 * that were really written. Nothing relies on the plan being carried out: a call can be
 * cancelled at any moment, and the next makes a plan of its own.
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
#include "model/answer.h"
#include "model/layout.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_repack);

/* A group is left as it is for less than this part of it and so many bytes, an object for less than this part of that. */
#define LEAST_GAIN 0.005
#define LEAST_BYTES 1024

/*
 * A move that costs bytes, for others to save more, is made only where the whole is to save this
 * part: those others may turn out to save nothing, and the cheapest of many estimates is a
 * little too low. (Without this a second repack of 60 versions made them 1.6% larger.) What it may
 * cost more than planned.
 */
#define GAIN_WORTH_GROWTH 0.05
#define MORE_THAN_PLANNED 1.1

typedef struct Move
{
	RecodeSpec	spec;
	int			depth;			/* in the plan */
	bool		done;			/* or not to be done */
} Move;

typedef struct Moves
{
	int			count;
	Move	   *move;
} Moves;

/* ---- the plan of a group ---- */

typedef struct GroupPlan
{
	const TreeProblem *problem;
	const int  *wanted;			/* the parent of each member */
	const int  *depth;			/* of each in that tree */
	const bool *shortens;		/* its move is needed for chains that are too long; it may cost any bytes */
	bool		may_grow;		/* any other move may cost bytes */
} GroupPlan;

static int *
present_tree(const KinGroup *group)
{
	int		   *parent = palloc(Max(group->count, 1) * sizeof(int));

	for (int v = 0; v < group->count; v++)
		parent[v] = group->member[v].parent_member < 0 ? TREE_ROOT : group->member[v].parent_member;
	return parent;
}

/* Whether a member hangs in the plan where it hangs now. */
static bool
stays(const TreeProblem *problem, const Member *member, int node, int parent)
{
	if (member->fixed || parent == member->parent_member)
		return parent != TREE_ROOT || member->fixed || member->parent == 0 ||
			problem->alone_depth[node] > 0;
	return false;
}

/*
 * Members that must stand where they are planned for the bound to hold: those in chains that are too
 * long, and what these are to hang on.
 */
static bool *
find_shortening(const TreeProblem *problem, const int *present, const int *wanted)
{
	int			nodes = problem->nodes;
	int		   *deepest = palloc(Max(nodes, 1) * sizeof(int));
	bool	   *shortens = palloc0(Max(nodes, 1) * sizeof(bool));

	tree_chains(problem, present, deepest);
	for (int v = 0; v < nodes; v++)
		if (deepest[v] > problem->max_depth)
			for (int above = v; above != TREE_ROOT && !shortens[above]; above = wanted[above])
				shortens[above] = true;
	return shortens;
}

/*
 * How many bytes a move may leave: less than now; or what was planned, where it is to
 * cost bytes for others to save them; or any number, where a chain is too long.
 */
static uint64
allowed_bytes(const Member *member, double planned, bool shortens)
{
	if (shortens)
		return PG_UINT64_MAX;
	if (planned < (double) member->stored_bytes)
		return member->stored_bytes - 1;
	return (uint64) (planned * MORE_THAN_PLANNED);
}

static void
plan_move(const KinGroup *group, const GroupPlan *plan, int v, Moves *moves)
{
	const Member *member = &group->member[v];
	int			parent = plan->wanted[v];
	double		planned = tree_edge_cost(plan->problem, v, parent);
	double		gain = (double) member->stored_bytes - planned;

	if (stays(plan->problem, member, v, parent))
		return;
	if (gain < LEAST_GAIN * member->stored_bytes && !plan->shortens[v] && (gain >= 0 || !plan->may_grow))
		return;
	moves->move[moves->count++] = (Move) {
		.spec = {
			.object = member->object,
			.parent = parent == TREE_ROOT ? 0 : group->member[parent].object,
			.row_bytes = member->row_bytes,
			.max_depth = plan->problem->max_depth,
			.at_most = allowed_bytes(member, planned, plan->shortens[v])
		},
		.depth = plan->depth[v]
	};
}

static int
compare_moves(const void *a, const void *b)
{
	const Move *left = a;
	const Move *right = b;

	if (left->depth != right->depth)
		return left->depth < right->depth ? -1 : 1;
	return (left->spec.object > right->spec.object) - (left->spec.object < right->spec.object);
}

/* The moves from the tree that is there to the one that is wanted; none where they are about as good. */
static void
plan_moves(Care *care, const KinGroup *group, const TreeProblem *problem, Moves *moves)
{
	int		   *present = present_tree(group);
	int		   *depth = palloc(Max(group->count, 1) * sizeof(int));
	GroupPlan	plan = {.problem = problem, .wanted = tree_within_depth(problem), .depth = depth};
	bool		too_deep;
	double		cost = 0;
	double		gain;

	for (int v = 0; v < group->count; v++)
		cost += group->member[v].stored_bytes;
	gain = cost - tree_cost(problem, plan.wanted);
	plan.may_grow = gain > GAIN_WORTH_GROWTH * cost;
	too_deep = tree_depths(problem, present, depth) > problem->max_depth;
	plan.shortens = find_shortening(problem, present, plan.wanted);
	(void) tree_depths(problem, plan.wanted, depth);
	moves->count = 0;
	moves->move = MemoryContextAllocHuge(care->context, Max(group->count, 1) * sizeof(Move));
	if (!too_deep && gain < Max(LEAST_BYTES, LEAST_GAIN * cost))
		return;
	for (int v = 0; v < group->count; v++)
		plan_move(group, &plan, v, moves);
	qsort(moves->move, moves->count, sizeof(Move), compare_moves);
}

/* ---- carrying it out ---- */

/* False when the time is up. */
static bool
try_move(Care *care, Move *move, bool *progress)
{
	RecodeOutcome outcome;
	RecodeResult result;

	if (care_is_over(care) || !care_recode(care, &move->spec, &outcome, &result))
		return false;
	/* others may make room for it yet */
	move->done = outcome != RECODE_TOO_DEEP && outcome != RECODE_CYCLE;
	*progress |= outcome == RECODE_DONE;
	return true;
}

static bool
make_moves(Care *care, Moves *moves)
{
	bool		progress;

	do
	{
		progress = false;
		for (int i = 0; i < moves->count; i++)
			if (!moves->move[i].done && !try_move(care, &moves->move[i], &progress))
				return false;
	} while (progress);
	return true;
}

/* False when the time is up. */
static bool
repack_group(Care *care, const GroupKey *key, int max_depth)
{
	int64		after = 0;

	for (;;)
	{
		TreeProblem problem;
		KinGroup	group;
		Moves		moves = {0};

		if (care_is_over(care))
			return false;
		care_step_begin(care);
		group_load(key, after, &group);
		after = group.last;
		if (group.count > 0)
		{
			group_estimate(&group, max_depth, &problem);
			plan_moves(care, &group, &problem, &moves);
		}
		care_step_end(care);
		if (after == 0)
			return true;
		if (!make_moves(care, &moves))
			return false;
		if (moves.move != NULL)
			pfree(moves.move);
	}
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
finish_family(Care *care, int64 family, const FamilyFigures *before, bool finished, FamilyFigures *after)
{
	Datum		argument[2] = {Int64GetDatum(family), Int64GetDatum(before->versions)};

	care_step_begin(care);
	find_figures(care, family, after);
	if (finished)
		query_run(&finish_query, argument, NULL, false, NULL);
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
	Datum		argument = Int64GetDatum(family);
	FamilyFigures before;
	FamilyFigures after;
	GroupKey   *key;
	int64		groups;

	care_step_begin(care);
	query_run(&begin_query, &argument, NULL, false, NULL);
	find_figures(care, family, &before);
	groups = group_keys(care->context, family, max_depth, &key);
	care_step_end(care);
	for (int64 i = 0; i < groups && repacked->finished; i++)
		repacked->finished = repack_group(care, &key[i], max_depth);
	finish_family(care, family, &before, repacked->finished, &after);
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
	" where g.repacked_versions <> (select count(*) from sparse.version v where v.family = g.id and v.state <> 'open')"
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
