/*
 * recode.c: another parent for an object that is stored.
 *
 * The content stays what it is; what changes is what it is predicted from:
 *
 *   1. The content is read by way of the old deltas and encoded against the new parent,
 *      as for a new object (write.c), into the rows of an object without a name. Each
 *      delta is decoded again and compared with the content, byte for byte.
 *   2. The depths of everything predicted from the object are computed anew. A parent
 *      that is itself predicted from it, or a chain that would become too long, is refused.
 *   3. The new chunks take the place of the old ones: rows of chunks change their object,
 *      their values stay where they are in TOAST.
 *   4. The counters of the version that brought the object follow, by the trigger object_recoded.
 *
 * What to predict it from is said (spec->parent), or proposed: then several parents and recipes
 * are considered as for a new object, but none that is predicted from the object itself. Where both are given,
 * a parent is said, and how it predicts the object is proposed.
 *
 * All of it in the caller's transaction, which holds a lock that keeps writers away
 * (store_lock_for_recoding), unless nobody else can see the object yet: they read what they predict from by several snapshots. A
 * reader has one, and sees either the old chunks and edges or the new ones.
 *
 * Deltas of other objects against this one are made of its content, and so stay valid.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "store/predict.h"
#include "store/place.h"
#include "store/query.h"
#include "store/reader.h"
#include "recipes/recipe.h"
#include "store/recode.h"
#include "store/tables.h"
#include "store/write.h"

/* An object that is predicted, directly or not, from the one that is recoded. */
typedef struct Descendant
{
	int64		object;
	int32		depth;			/* as it is */
	int32		new_depth;
} Descendant;

typedef struct Descendants
{
	HTAB	   *by_object;
	Descendant **in_order;		/* of their depths as they are: parents before children */
	int			count;
	int32		deepest;		/* of the object and all of them, as it is to be */
} Descendants;

typedef struct Recoding
{
	const RecodeSpec *spec;
	ObjectReader *reader;
	ObjectInfo	old;
	uint8		sha256[SPARSE_SHA256_BYTES];
	int64		fresh;			/* the object without a name */
	bool		proposed;		/* something to predict it from */
	bool		verify_before;	/* sparse.verify_writes, as the user has set it */
	RecodeResult *result;
	RecodeOutcome outcome;
} Recoding;

bool
store_lock_for_recoding(bool wait)
{
	Oid			object = store_relation("object");

	if (!wait)
		return ConditionalLockRelationOid(object, ShareRowExclusiveLock);
	LockRelationOid(object, ShareRowExclusiveLock);
	return true;
}

/* Stands in the queue for a moment: nobody who comes later waits longer than that, and no stream of writers keeps it out for ever. */
static void
queue_briefly(void *argument)
{
	int			nest = settings_enter(BRIEF_WAIT);

	*(bool *) argument = store_lock_for_recoding(true);
	settings_leave(nest);
}

static bool
is_timeout(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

#define PAUSE_LEAST 10			/* milliseconds between two attempts */
#define PAUSE_MOST 200

bool
store_lock_for_recoding_until(TimestampTz deadline, bool queue)
{
	bool		locked = store_lock_for_recoding(false);

	for (long pause = PAUSE_LEAST; !locked; pause = Min(pause * 2, PAUSE_MOST))
	{
		if (deadline != 0 && GetCurrentTimestamp() >= deadline)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (queue)
			(void) guarded_attempt(queue_briefly, &locked, is_timeout);
		else
			locked = store_lock_for_recoding(false);
	}
	return true;
}

/* ---- the object ---- */

static StoreQuery lock_object = {
	/* (a staged one has no SHA-256) */
	.sql = "select sha256, version from sparse.object where id operator(pg_catalog.=) $1 "
		"and sha256 is not null for update",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {BYTEAOID, INT8OID}
};

/* False when there is no such object, or its content is still to come. */
static bool
find_object(Recoding *recoding)
{
	const RecodeSpec *spec = recoding->spec;
	Datum		value = Int64GetDatum(spec->object);
	SPITupleTable *rows;
	bool		found = query_run(&lock_object, &value, NULL, false, &rows) > 0;

	if (found)
	{
		bytea	   *sha256 = DatumGetByteaPP(row_datum(rows, 0, 1));

		if (VARSIZE_ANY_EXHDR(sha256) != SPARSE_SHA256_BYTES)
			elog(ERROR, "object " INT64_FORMAT " has no SHA-256", spec->object);
		memcpy(recoding->sha256, VARDATA_ANY(sha256), SPARSE_SHA256_BYTES);
	}
	SPI_freetuptable(rows);
	return found && object_info(recoding->reader, spec->object, &recoding->old);
}

/* ---- what hangs on it ---- */

static StoreQuery edges_below = {
	.sql = "with recursive below (object) as ("
		"  select $1 union "
		"  select p.object from sparse.object_parent p, below b "
		"  where p.parent operator(pg_catalog.=) b.object) "
		"select p.object, p.depth, p.parent, p.parent_depth from below b, sparse.object_parent p "
		"where p.object operator(pg_catalog.=) b.object "
		"  and b.object operator(pg_catalog.<>) $1 "
		"order by p.depth, p.object",
	.args = 1, .arg = {INT8OID},
	.columns = 4, .column = {INT8OID, INT4OID, INT8OID, INT4OID}
};

static Descendant *
descendant_enter(Descendants *below, int64 object, int32 depth)
{
	bool		found;
	Descendant *descendant = hash_search(below->by_object, &object, HASH_ENTER, &found);

	if (!found)
	{
		descendant->depth = depth;
		descendant->new_depth = 0;
		below->in_order[below->count++] = descendant;
	}
	return descendant;
}

/*
 * The depths that descendants come to have when the object has `depth`. Rows come in
 * the order of the present depths, in which a parent stands before its children.
 */
static void
find_descendants(const Recoding *recoding, int32 depth, Descendants *below)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(Descendant), .hcxt = CurrentMemoryContext};
	Datum		value = Int64GetDatum(recoding->old.id);
	SPITupleTable *rows;
	uint64		count = query_run(&edges_below, &value, NULL, false, &rows);

	memset(below, 0, sizeof(*below));
	below->deepest = depth;
	below->by_object = hash_create("sparse descendants", 64, &control,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	below->in_order = palloc_extended(Max(count, 1) * sizeof(Descendant *), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		Descendant *child = descendant_enter(below, row_int64(rows, i, 1), row_int32(rows, i, 2));
		int64		parent = row_int64(rows, i, 3);
		const Descendant *above = hash_search(below->by_object, &parent, HASH_FIND, NULL);
		int32		parent_depth = row_int32(rows, i, 4);

		if (above != NULL)
			parent_depth = above->new_depth;
		else if (parent == recoding->old.id)
			parent_depth = depth;
		child->new_depth = Max(child->new_depth, parent_depth + 1);
		below->deepest = Max(below->deepest, child->new_depth);
	}
	SPI_freetuptable(rows);
}

/* The deepest object of the chains that the object is in, as it is. */
static int32
deepest_now(const Recoding *recoding, const Descendants *below)
{
	int32		deepest = recoding->old.depth;

	for (int i = 0; i < below->count; i++)
		deepest = Max(deepest, below->in_order[i]->depth);
	return deepest;
}

/* ---- whether it may be ---- */

/* The depth that the object would get; RECODE_DONE when nothing speaks against it. */
static RecodeOutcome
consider(Recoding *recoding, int32 *depth, RecodeResult *result)
{
	const RecodeSpec *spec = recoding->spec;
	int			most = spec->max_depth;
	Descendants below;
	ObjectInfo	parent;

	*depth = 0;
	if (spec->parent != 0)
	{
		if (!object_info(recoding->reader, spec->parent, &parent))
			return RECODE_GONE;
		*depth = parent.depth + 1;
	}
	if (recoding->old.dtype == SPARSE_BYTES)
		most = Min(most, MAX_DEPTH_BY_BYTES);
	find_descendants(recoding, *depth, &below);
	result->deepest_before = deepest_now(recoding, &below);
	if (spec->parent == spec->object ||
		hash_search(below.by_object, &spec->parent, HASH_FIND, NULL) != NULL)
		return RECODE_CYCLE;
	if (below.deepest > most && below.deepest >= result->deepest_before && spec->parent != 0)
		return RECODE_TOO_DEEP;
	return RECODE_DONE;
}

/* ---- the new chunks ---- */

static StoreQuery insert_fresh = {
	.sql = "insert into sparse.object (place, id, dtype, bytes, chunk_bytes) "
		"select $2, pg_catalog.nextval('sparse.object_id_seq'), dtype, bytes, chunk_bytes from sparse.object "
		"where id operator(pg_catalog.=) $1 returning id",
	.args = 2, .arg = {INT8OID, INT2OID},
	.columns = 1, .column = {INT8OID}
};

/* Chunks on another server are never changed (place.c): what they are coded anew to comes here. */
static int16
place_of_fresh(const Recoding *recoding)
{
	return place_is_far(recoding->old.place) ? PLACE_HERE : recoding->old.place;
}

/* An object of the same dtype, size and grid that nothing can find. */
static int64
make_fresh(const Recoding *recoding)
{
	Datum		value[2] = {Int64GetDatum(recoding->old.id), Int16GetDatum(place_of_fresh(recoding))};
	SPITupleTable *rows;
	int64		id;

	if (query_run(&insert_fresh, value, NULL, false, &rows) != 1)
	{
		query_forget(&insert_fresh);
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("an object was not inserted"),
				 errdetail("A trigger or a rule of table sparse.object suppressed it.")));
	}
	id = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return id;
}

/* (coalesce: by the index of ids, where few are higher; the version may have very many objects.) */
static StoreQuery find_later = {
	.sql = "select 1 from sparse.object where id operator(pg_catalog.>) $1 and coalesce(version, -1) operator(pg_catalog.=) $2 limit 1",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 1, .column = {INT4OID}
};

/*
 * By their ids it is told what the version stores on the way (made_query), and removed again: none of it may be later
 * before. (A sequence lags behind where only rows were copied: by logical replication, by a dump of data.)
 */
static void
check_is_last(const Recoding *recoding)
{
	Datum		value[2] = {Int64GetDatum(recoding->fresh), Int64GetDatum(recoding->spec->version)};
	SPITupleTable *rows;
	bool		later = query_run(&find_later, value, NULL, false, &rows) > 0;

	SPI_freetuptable(rows);
	if (later)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("sequence sparse.object_id_seq is behind the objects of the store"),
				errdetail("It gave id " INT64_FORMAT ", and there are higher ones.", recoding->fresh),
				errhint("Run \"select sparse_update_store()\" as the owner of the store."));
}

static void
read_old(void *state, uint64 first, uint64 bytes, char *target)
{
	const Recoding *recoding = state;

	object_read(recoding->reader, recoding->old.id, first, bytes, target);
}

/* ---- what is proposed ---- */

static bool
is_of_its_tree(const Recoding *recoding, const Descendants *below, int64 object)
{
	return object == recoding->old.id || hash_search(below->by_object, &object, HASH_FIND, NULL) != NULL;
}

static bool
recipe_makes_circle(const Recoding *recoding, const Descendants *below, const sparse_recipe *recipe)
{
	for (int i = 0; i < recipe->sources; i++)
		if (is_of_its_tree(recoding, below, recipe->source[i].object))
			return true;
	return false;
}

/* (Ancestors that stand in for a candidate make no circle where that makes none.) */
static void
leave_out_circles(const Recoding *recoding, const Descendants *below, ObjectSpec *object)
{
	int			candidates = 0;
	int			recipes = 0;

	for (int i = 0; i < object->candidates; i++)
		if (!is_of_its_tree(recoding, below, object->candidate[i]))
			object->candidate[candidates++] = object->candidate[i];
	for (int i = 0; i < object->recipes; i++)
		if (!recipe_makes_circle(recoding, below, &object->recipe[i]))
			object->recipe[recipes++] = object->recipe[i];
	object->candidates = candidates;
	object->recipes = recipes;
}

/* Whether it is predicted from what was chosen already, and from nothing else. */
static bool
is_as_it_is(const Recoding *recoding, const ObjectSpec *object)
{
	int64		parent;
	int64		other;

	return object->candidates == 1 && object_parent(recoding->reader, recoding->old.id, 0, &parent) &&
		parent == object->candidate[0] && !object_parent(recoding->reader, recoding->old.id, 1, &other);
}

/* As deep as the object may become, so that the deepest of its descendants stays within max_depth. */
static void
propose(Recoding *recoding, ObjectSpec *object)
{
	const RecodeSpec *spec = recoding->spec;
	Descendants below;

	find_descendants(recoding, recoding->old.depth, &below);
	object->max_depth = spec->max_depth - (deepest_now(recoding, &below) - recoding->old.depth);
	object->version = spec->version;
	if (object->max_depth <= 0)
		return;
	spec->propose(spec->propose_state, recoding->reader, object);
	leave_out_circles(recoding, &below, object);
	object_choose(recoding->reader, object, recoding->fresh);
	recoding->proposed = object->candidates + object->recipes > 0 && !is_as_it_is(recoding, object);
}

static StoreQuery made_query = {
	.sql = "select o.id, o.stored_bytes, exists (select from sparse.object_parent p "
		"  where p.parent operator(pg_catalog.=) o.id) "
		"from sparse.object o where o.id operator(pg_catalog.>) $1 and coalesce(o.version, -1) operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT8OID, BOOLOID}
};

/*
 * What the version stored on the way, after the object without a name: removes what the recipe that was chosen does not need. Bytes of the rest.
 */
static uint64
keep_what_is_needed(const Recoding *recoding)
{
	Datum		value[2] = {Int64GetDatum(recoding->fresh), Int64GetDatum(recoding->spec->version)};
	SPITupleTable *rows;
	uint64		count = query_run(&made_query, value, NULL, false, &rows);
	uint64		bytes = 0;

	for (uint64 i = 0; i < count; i++)
	{
		if (DatumGetBool(row_datum(rows, i, 3)))
			bytes += (uint64) row_int64(rows, i, 2);
		else
		{
			object_remove_content(row_int64(rows, i, 1));
			object_remove_row(row_int64(rows, i, 1));
		}
	}
	SPI_freetuptable(rows);
	return bytes;
}

/* A counter that is written is counted anew, with the others: by the trigger version_tally. */
static StoreQuery count_anew = {
	.sql = "update sparse.version set new_objects = new_objects operator(pg_catalog.+) 1 "
		"where id operator(pg_catalog.=) $1 and state operator(pg_catalog.<>) 'open'",
	.args = 1, .arg = {INT8OID}
};

static void
encode_anew(Recoding *recoding, ObjectResult *written)
{
	const RecodeSpec *spec = recoding->spec;
	ObjectSpec	object = {
		.place = place_of_fresh(recoding),
		.sha256 = recoding->sha256,
		.dtype = recoding->old.dtype,
		.bytes = recoding->old.bytes,
		.row_bytes = spec->row_bytes,
		.source = read_old,
		.source_state = recoding,
		.candidate = {spec->parent},
		.candidates = spec->parent != 0 ? 1 : 0,
		.chunk_bytes = recoding->old.grid.chunk_bytes,
		/* the depth was considered already; it may be one that grows shorter but is still too long */
		.max_depth = PG_INT32_MAX
	};

	recoding->fresh = make_fresh(recoding);
	if (spec->propose != NULL)
	{
		ObjectSpec	proposed = object;

		check_is_last(recoding);
		propose(recoding, &proposed);
		if (recoding->proposed)
			object = proposed;
		else if (spec->parent == 0)
			return;
	}
	object_write_content(recoding->reader, &object, recoding->fresh, written);
}

/* ---- the exchange ---- */

static StoreQuery set_depth = {
	.sql = "update sparse.object set depth = $2 where id operator(pg_catalog.=) $1",
	.args = 2, .arg = {INT8OID, INT4OID}
};

static StoreQuery take_figures = {
	.sql = "update sparse.object o set place = f.place, stored_bytes = f.stored_bytes, split_bytes = f.split_bytes, "
		"predictor = f.predictor, depth = f.depth "
		"from sparse.object f where o.id operator(pg_catalog.=) $1 and f.id operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT8OID}
};

static StoreQuery take_chunks = {
	.sql = "update %s set object = $1 where object operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT8OID}
};

static StoreQuery take_edges = {
	.sql = "update sparse.object_parent set object = $1 where object operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT8OID}
};

static StoreQuery new_depth = {
	.sql = "select depth from sparse.object where id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT4OID}
};

static int32
depth_of(int64 object)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;
	int32		depth;

	if (query_run(&new_depth, &value, NULL, false, &rows) != 1)
		elog(ERROR, "object " INT64_FORMAT " is missing", object);
	depth = row_int32(rows, 0, 1);
	SPI_freetuptable(rows);
	return depth;
}

static void
move_descendant(const Descendant *descendant)
{
	Datum		value[2] = {Int64GetDatum(descendant->object), Int32GetDatum(descendant->new_depth)};

	CHECK_FOR_INTERRUPTS();
	query_run(&set_depth, value, NULL, false, NULL);
}

static int
deeper_first(const void *a, const void *b)
{
	const Descendant *left = *(const Descendant *const *) a;
	const Descendant *right = *(const Descendant *const *) b;

	return (left->new_depth < right->new_depth) - (left->new_depth > right->new_depth);
}

/*
 * Every edge must fall at every moment: so those that go down in the tree move before
 * the object, the deepest first, and those that come up after it, the deepest last.
 */
static void
move_deeper(Descendants *below)
{
	qsort(below->in_order, below->count, sizeof(Descendant *), deeper_first);
	for (int i = 0; i < below->count; i++)
		if (below->in_order[i]->new_depth > below->in_order[i]->depth)
			move_descendant(below->in_order[i]);
}

static void
move_shallower(const Descendants *below)
{
	for (int i = below->count - 1; i >= 0; i--)
		if (below->in_order[i]->new_depth < below->in_order[i]->depth)
			move_descendant(below->in_order[i]);
}

/* A statement that must write one row, which a rule or a trigger may have suppressed. */
static void
write_one(StoreQuery *query, Datum *value)
{
	if (query_run(query, value, NULL, false, NULL) == 1)
		return;
	query_forget(query);
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("an object was not changed"),
			 errdetail("A trigger or a rule of the store's tables suppressed it.")));
}

/* ---- factors of the old prediction ---- */

static StoreQuery factors_query = {
	.sql = "select p.parent from sparse.object_parent p where p.object operator(pg_catalog.=) $1 and p.made",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}
};

/* Where nothing needs it: what sparse_collect() would remove. */
static StoreQuery needed_by_nothing = {
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}
};

/* Made once a backend: the tables to be asked are those of all layers. */
static void
prepare_needed_by_nothing(void)
{
	MemoryContext context;

	if (needed_by_nothing.sql != NULL)
		return;
	context = MemoryContextSwitchTo(TopMemoryContext);
	needed_by_nothing.sql = psprintf("select coalesce(o.version, 0) from sparse.object o "
									 "where o.id operator(pg_catalog.=) $1 and %s", nothing_needs("$1", false));
	MemoryContextSwitchTo(context);
}

/* Whoever finds an object by its content holds its row until he has said what needs it: not waited for. */
static StoreQuery lock_factor = {
	.sql = "select o.id from sparse.object o where o.id operator(pg_catalog.=) $1 for update skip locked",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}
};

static bool
lock_row_of(int64 factor)
{
	Datum		value = Int64GetDatum(factor);
	SPITupleTable *rows;
	bool		locked = query_run(&lock_factor, &value, NULL, false, &rows) > 0;

	SPI_freetuptable(rows);
	return locked;
}

void
object_remove_factor(int64 factor)
{
	Datum		value = Int64GetDatum(factor);
	SPITupleTable *rows;
	bool		found;
	int64		version;

	/* what the lock keeps still, only a snapshot that is newer than it can see: else a collection removes it */
	if (IsolationUsesXactSnapshot() || !lock_row_of(factor))
		return;
	prepare_needed_by_nothing();
	found = query_run(&needed_by_nothing, &value, NULL, false, &rows) > 0;
	version = found ? row_int64(rows, 0, 1) : 0;
	SPI_freetuptable(rows);
	if (!found)
		return;
	object_remove_content(factor);
	object_remove_row(factor);
	value = Int64GetDatum(version);
	if (version != 0)
		query_run(&count_anew, &value, NULL, false, NULL);
}

/* The factors that the object was predicted by, before it is coded in another way; their number. */
static uint64
factors_of(int64 object, int64 **factor)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;
	uint64		count = query_run(&factors_query, &value, NULL, false, &rows);

	*factor = palloc(Max(count, 1) * sizeof(int64));
	for (uint64 i = 0; i < count; i++)
		(*factor)[i] = row_int64(rows, i, 1);
	SPI_freetuptable(rows);
	return count;
}

static void
exchange(const Recoding *recoding)
{
	Datum		value[2] = {Int64GetDatum(recoding->old.id), Int64GetDatum(recoding->fresh)};
	Descendants below;
	int64	   *factor;
	uint64		factors = factors_of(recoding->old.id, &factor);

	find_descendants(recoding, depth_of(recoding->fresh), &below);
	object_remove_content(recoding->old.id);
	move_deeper(&below);
	write_one(&take_figures, value);
	query_run(&take_edges, value, NULL, false, NULL);
	query_run_at(&take_chunks, object_place(recoding->fresh), value, NULL, false, NULL);
	move_shallower(&below);
	object_remove_row(recoding->fresh);
	for (uint64 i = 0; i < factors; i++)
		object_remove_factor(factor[i]);
}

/* ---- the whole of it ---- */

static bool
is_to_be_taken(const Recoding *recoding, uint64 bytes)
{
	const RecodeSpec *spec = recoding->spec;

	if (spec->propose != NULL && spec->parent == 0 && (!recoding->proposed || bytes >= recoding->old.stored_bytes))
		return false;
	return bytes <= spec->at_most;
}

static RecodeOutcome
recode(Recoding *recoding, RecodeResult *result)
{
	const RecodeSpec *spec = recoding->spec;
	ObjectResult written = {0};
	RecodeOutcome outcome;
	uint64		made = 0;
	int32		depth;

	if (!find_object(recoding))
		return RECODE_GONE;
	result->depth_before = result->depth_after = recoding->old.depth;
	result->bytes_before = result->bytes_after = recoding->old.stored_bytes;
	outcome = consider(recoding, &depth, result);
	if (outcome != RECODE_DONE)
		return outcome;
	encode_anew(recoding, &written);
	if (spec->propose != NULL)
		made = keep_what_is_needed(recoding);
	if (!is_to_be_taken(recoding, written.stored_bytes + made))
	{
		object_remove_content(recoding->fresh);
		if (spec->propose != NULL)
			(void) keep_what_is_needed(recoding);
		object_remove_row(recoding->fresh);
		return RECODE_NO_GAIN;
	}
	result->bytes_after = written.stored_bytes + made;
	result->depth_after = depth_of(recoding->fresh);
	exchange(recoding);
	if (made > 0)
	{
		Datum		version = Int64GetDatum(spec->version);

		query_run(&count_anew, &version, NULL, false, NULL);
	}
	return RECODE_DONE;
}

static void
run_recoding(void *argument)
{
	Recoding   *recoding = argument;

	recoding->outcome = recode(recoding, recoding->result);
}

static void
end_recoding(void *argument)
{
	sparse_verify_writes = ((const Recoding *) argument)->verify_before;
}

RecodeOutcome
object_recode(const RecodeSpec *spec, RecodeResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "sparse recoding", ALLOCSET_DEFAULT_SIZES);
	Recoding	recoding = {.spec = spec, .result = result, .verify_before = sparse_verify_writes};

	memset(result, 0, sizeof(*result));
	MemoryContextSwitchTo(context);
	recoding.reader = object_reader_create(context, false);
	sparse_verify_writes = true;	/* whatever the user has set */
	guarded_finally(run_recoding, end_recoding, &recoding);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return recoding.outcome;
}
