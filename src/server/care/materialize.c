/*
 * materialize.c: sparse_materialize and sparse_rebase: the objects of one version, coded
 * for themselves, or against those of another version.
 *
 * A parent predicts an object as it would in an import: as it is, or by what the searches find.
 * An object that others share is theirs too: it is recoded once, for all of them.
 */
#include "care.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "care/optimize.h"
#include "care/repack.h"
#include "model/answer.h"
#include "model/layout.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_materialize);
PG_FUNCTION_INFO_V1(care_rebase);

/* An object of the version, and the one to predict it from. */
typedef struct Move
{
	int64		object;
	uint64		row_bytes;
	int64		parent;			/* 0: nothing */
} Move;

typedef struct Moves
{
	int64		count;
	Move	   *move;
	Import	   *import;			/* of the version, as from its new parent; NULL: it has none */
	uint64		objects;
	const PlanObject **object;	/* of the import, by id */
} Moves;

/* The objects of a version, from nothing; those that depend on nothing stay as they are. */
static StoreQuery to_nothing = {
	.sql = "select distinct o.id, 0::int8, 0::int8"
	"  from (select object from sparse.tensor where version = $1"
	"        union select object from sparse.file where version = $1) m"
	"  join sparse.object o on o.id = m.object"
	" where o.depth > 0"
	" order by 1",
	.args = 1, .arg = {INT8OID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

/*
 * The objects of a version, each with the one of another version that has its name (a
 * tensor) or its path (a file) and could predict it; where those are the same object, and where
 * it is predicted from that already, nothing is to be done.
 */
static StoreQuery to_parent = {
	.sql = "select distinct on (m.object) m.object,"
	"       case when cardinality(m.shape) > 0 and m.shape[1] > 0 then m.bytes / m.shape[1] else 0 end, m.parent"
	"  from (select t.object, t.bytes, t.shape, p.object as parent, p.file as parent_file, t.file"
	"          from sparse.tensor t"
	"          join sparse.tensor p on p.version = $2 and p.name = t.name and p.dtype = t.dtype"
	"           and cardinality(p.shape) = cardinality(t.shape) and p.shape[2:] = t.shape[2:]"
	"         where t.version = $1 and t.bytes > 0 and p.bytes > 0"
	"        union all"
	"        select f.object, f.object_bytes, '{}', p.object, p.ordinal, f.ordinal"
	"          from sparse.file f"
	"          join sparse.file p on p.version = $2 and p.path = f.path and p.format = f.format"
	"         where f.version = $1 and f.object_bytes > 0 and p.object_bytes > 0) m"
	" where m.object <> m.parent"
	"   and not exists (select from sparse.object_parent e"
	"                    where e.object = m.object and e.parent = m.parent)"
	" order by m.object, m.parent_file <> m.file, m.parent",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT8OID, INT8OID}};

static int
compare_ids(const void *a, const void *b)
{
	const PlanObject *left = *(const PlanObject *const *) a;
	const PlanObject *right = *(const PlanObject *const *) b;

	return (left->id > right->id) - (left->id < right->id);
}

/* NULL: the version has lost it since. */
static const PlanObject *
object_of(const Moves *moves, int64 id)
{
	const PlanObject key = {.id = id};
	const PlanObject *pointer = &key;
	const PlanObject **found = bsearch(&pointer, moves->object, moves->objects, sizeof(*moves->object), compare_ids);

	return found != NULL ? *found : NULL;
}

static void
find_moves(Care *care, StoreQuery *query, const StoreVersion *version, const StoreVersion *parent, Moves *moves)
{
	Datum		argument[2] = {Int64GetDatum(version->id), Int64GetDatum(parent != NULL ? parent->id : 0)};
	SPITupleTable *rows;

	care_step_begin(care);
	moves->count = (int64) query_run(query, argument, NULL, false, &rows);
	moves->move = MemoryContextAllocHuge(care->context, Max(moves->count, 1) * sizeof(Move));
	for (int64 i = 0; i < moves->count; i++)
		moves->move[i] = (Move) {
		.object = row_int64(rows, i, 1),
		.row_bytes = row_int64(rows, i, 2),
		.parent = row_int64(rows, i, 3)
	};
	if (parent != NULL && moves->count > 0)
	{
		moves->import = stored_import_from(version, parent, care->context);
		moves->object = stored_objects(moves->import, care->context, &moves->objects);
		qsort(moves->object, moves->objects, sizeof(*moves->object), compare_ids);
	}
	care_step_end(care);
}

/* The objects that could not be moved, by reason. */
typedef struct Refused
{
	int64		count[RECODE_NO_GAIN + 1];
} Refused;

static void
make_move(Care *care, const Moves *moves, const Move *move, Refused *refused)
{
	OptimizeProposal proposal = {moves->import, moves->import != NULL ? object_of(moves, move->object) : NULL};
	RecodeSpec	spec = {
		.object = move->object, .parent = move->parent,
		.row_bytes = move->row_bytes, .max_depth = sparse_max_chain_depth, .at_most = PG_UINT64_MAX
	};
	RecodeOutcome outcome;
	RecodeResult result;

	if (proposal.object != NULL)
	{
		spec.propose = optimize_propose;
		spec.propose_state = &proposal;
		spec.version = moves->import->version;
	}
	(void) care_recode(care, &spec, &outcome, &result);
	refused->count[outcome]++;
}

static void
note_moves(Care *care, const StoreVersion *version)
{
	care_step_begin(care);
	repack_forget(version->family);
	care_step_end(care);
}

static void
tell(const Care *care, const StoreVersion *version, const Refused *refused)
{
	ereport(NOTICE,
			errmsg("version \"%s@%d\": " INT64_FORMAT " objects coded anew, from " INT64_FORMAT " to " INT64_FORMAT " bytes",
				   version->name, version->revision, care->recoded, care->bytes_before, care->bytes_after));
	if (refused->count[RECODE_CYCLE] > 0)
		ereport(NOTICE,
				errmsg(INT64_FORMAT " objects stay as they are: what they were to be predicted from is predicted from them",
					   refused->count[RECODE_CYCLE]),
				errhint("Materialize that version first."));
	if (refused->count[RECODE_TOO_DEEP] > 0)
		ereport(NOTICE,
				errmsg(INT64_FORMAT " objects stay as they are: chains would become longer than sparse.max_chain_depth",
					   refused->count[RECODE_TOO_DEEP]));
}

static Datum
answer(FunctionCallInfo fcinfo, const Care *care)
{
	Datum		value[3] = {Int64GetDatum(care->recoded), Int64GetDatum(care->bytes_before), Int64GetDatum(care->bytes_after)};
	bool		null[3] = {false};

	return care_answer(fcinfo, value, null);
}

static Datum
move_version(FunctionCallInfo fcinfo, const char *action, StoreQuery *query, const StoreVersion *version,
			 const StoreVersion *parent)
{
	Refused		refused = {0};
	Moves		moves = {0};
	Care		care;

	care_begin(fcinfo, &care, action, -1);
	find_moves(&care, query, version, parent, &moves);
	for (int64 i = 0; i < moves.count; i++)
		make_move(&care, &moves, &moves.move[i], &refused);
	if (care.recoded > 0)
		note_moves(&care, version);
	tell(&care, version, &refused);
	care_end(&care);
	return answer(fcinfo, &care);
}

/* A version that an argument names; only the store's owner may go on to care for it. */
static void
version_of_argument(FunctionCallInfo fcinfo, int argument, const char *action, StoreVersion *version)
{
	store_check_owner(action);
	version_from_argument_now(fcinfo, argument, false, version);
	version_check_model(version, STAYS_CODED);
}

/* sparse_materialize(version) */
Datum
care_materialize(PG_FUNCTION_ARGS)
{
	const char *action = "materialize a version";
	StoreVersion version;

	version_of_argument(fcinfo, 0, action, &version);
	return move_version(fcinfo, action, &to_nothing, &version, NULL);
}

/* sparse_rebase(version, parent) */
Datum
care_rebase(PG_FUNCTION_ARGS)
{
	const char *action = "rebase a version";
	StoreVersion version;
	StoreVersion parent;

	version_of_argument(fcinfo, 0, action, &version);
	version_of_argument(fcinfo, 1, action, &parent);
	if (version.id == parent.id)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a version cannot be based on itself"));
	return move_version(fcinfo, action, &to_parent, &version, &parent);
}
