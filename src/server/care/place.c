/*
 * place.c: sparse_move_family: the chunks of a family, brought to another place.
 *
 * A step copies the chunks of some objects and then says in their rows where they lie. Readers have a
 * snapshot of the rows, and find what it says: the old chunks stay as long as it may be wanted
 * (store/place.c). A step that fails leaves at most copies that nothing refers to, which the next attempt
 * replaces and sparse_collect() removes.
 */
#include "care.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "store/place.h"
#include "store/query.h"

PG_FUNCTION_INFO_V1(care_move_family);

#define ACTION "move a family"

/* A step keeps writers away: so much, and one object at least. */
#define STEP_BYTES ((int64) 16 * 1024 * 1024)
#define STEP_OBJECTS 500

typedef struct Moving
{
	Care		care;
	int16		to;
	int64		family;
	bool		of_none;		/* what belongs to no version any more, and so to no family */
	int64		objects;
	int64		bytes;
} Moving;

/* What one step moves, all from one place. */
typedef struct Load
{
	int16		from;
	int			count;
	Datum		object[STEP_OBJECTS];
	int64		bytes;
} Load;

/* ---- what is to be moved ---- */

static StoreQuery place_query = {
	.sql = "select id from sparse.place where name = $1",
	.args = 1, .arg = {TEXTOID},
	.columns = 1, .column = {INT2OID}};

static StoreQuery family_query = {
	.sql = "select id from sparse.family where id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery assign_query = {
	.sql = "update sparse.family set place = $2 where id = $1",
	.args = 2, .arg = {INT8OID, INT2OID}};

/* The next version of the family, or null. */
static StoreQuery version_query = {
	.sql = "select id from sparse.version where family = $1 and id > $2 order by id limit 1",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID}};

/* Chunks that it had there before, and that snapshots may want, are in the way until they are collected. */
static StoreQuery objects_query = {
	.sql = "select o.id, o.place, o.stored_bytes from sparse.object o where o.version = $2 and o.place <> $1"
	" and not exists (select from sparse.forgotten f where f.place = $1 and f.object = o.id) order by o.id limit $3",
	.args = 3, .arg = {INT2OID, INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT2OID, INT8OID}};

static StoreQuery objects_of_none_query = {
	.sql = "select o.id, o.place, o.stored_bytes from sparse.object o where (o.version is null or o.version = $2) and o.place <> $1"
	" and not exists (select from sparse.forgotten f where f.place = $1 and f.object = o.id) order by o.id limit $3",
	.args = 3, .arg = {INT2OID, INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT2OID, INT8OID}};

static StoreQuery left_query = {
	.sql = "select count(*) from sparse.object o"
	" where o.place <> $1 and case when $2 = 0 then coalesce(o.version, 0) = 0"
	"                              else o.version in (select v.id from sparse.version v where v.family = $2) end",
	.args = 2, .arg = {INT2OID, INT8OID},
	.columns = 1, .column = {INT8OID},
	.scans = true};

static void
find_target(Moving *moving, Datum name)
{
	Datum		family = Int64GetDatum(moving->family);
	SPITupleTable *rows;

	if (query_run(&place_query, &name, NULL, false, &rows) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("place \"%s\" does not exist", TextDatumGetCString(name)),
				errhint("sparse_places() lists them."));
	moving->to = DatumGetInt16(row_datum(rows, 0, 1));
	if (!moving->of_none && query_run(&family_query, &family, NULL, false, &rows) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("family " INT64_FORMAT " does not exist", moving->family));
}

/* What is stored for it meanwhile, and later, goes there at once. */
static void
begin_moving(Moving *moving, Datum name)
{
	Datum		value[2] = {Int64GetDatum(moving->family)};

	care_step_begin(&moving->care);
	find_target(moving, name);
	value[1] = Int16GetDatum(moving->to);
	if (!moving->of_none)
		query_run(&assign_query, value, NULL, false, NULL);
	care_step_end(&moving->care);
}

/* The next objects of a version (0: of none) that lie in one place, another than they shall; false: there is none. */
static bool
find_load(const Moving *moving, int64 version, Load *load)
{
	Datum		value[3] = {Int16GetDatum(moving->to), Int64GetDatum(version), Int64GetDatum(STEP_OBJECTS)};
	SPITupleTable *rows;
	uint64		found = query_run(moving->of_none ? &objects_of_none_query : &objects_query, value, NULL, false, &rows);

	load->count = 0;
	load->bytes = 0;
	for (uint64 i = 0; i < found; i++)
	{
		int16		from = DatumGetInt16(row_datum(rows, i, 2));
		int64		bytes = row_int64(rows, i, 3);

		if (load->count == 0)
			load->from = from;
		if (from != load->from || (load->count > 0 && load->bytes + bytes > STEP_BYTES))
			break;
		load->object[load->count++] = Int64GetDatum(row_int64(rows, i, 1));
		load->bytes += bytes;
	}
	SPI_freetuptable(rows);
	return load->count > 0;
}

/* ---- moving it ---- */

static StoreQuery clear_query = {
	.sql = "delete from %s where object = any ($1)",
	.args = 1, .arg = {INT8ARRAYOID}};

static StoreQuery sum_query = {
	.sql = "select count(*), coalesce(sum(octet_length(delta)), 0)::bigint from %s where object = any ($1)",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 2, .column = {INT8OID, INT8OID}};

static StoreQuery relocate_query = {
	.sql = "update sparse.object set place = $2 where id = any ($1)",
	.args = 2, .arg = {INT8ARRAYOID, INT2OID}};

static void
copy_chunks(const Moving *moving, const Load *load, Datum objects)
{
	StoreQuery	copy = {
		.sql = psprintf("with copied as (insert into sparse.chunk_%d (place, object, seq, delta)"
						" select %d, c.object, c.seq, c.delta from sparse.chunk_%d c where c.object = any ($1) returning 1)"
						" select count(*) from copied", moving->to, moving->to, load->from),
		.args = 1, .arg = {INT8ARRAYOID},
		.columns = 1, .column = {INT8OID}
	};
	SPITupleTable *rows;

	query_run_once(&copy, &objects, false, &rows);
	SPI_freetuptable(rows);
}

static void
check_copies(const Moving *moving, const Load *load, Datum objects)
{
	SPITupleTable *old;
	SPITupleTable *copied;

	query_run_at(&sum_query, load->from, &objects, NULL, false, &old);
	query_run_at(&sum_query, moving->to, &objects, NULL, false, &copied);
	if (row_int64(old, 0, 1) != row_int64(copied, 0, 1) || row_int64(old, 0, 2) != row_int64(copied, 0, 2))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("what came to place \"%s\" is not what place \"%s\" holds", place_name(moving->to), place_name(load->from)),
				errdetail(INT64_FORMAT " chunks of " INT64_FORMAT " bytes came of " INT64_FORMAT " of " INT64_FORMAT ". Nothing was changed.",
						  row_int64(copied, 0, 1), row_int64(copied, 0, 2), row_int64(old, 0, 1), row_int64(old, 0, 2)));
	SPI_freetuptable(old);
	SPI_freetuptable(copied);
}

static void
move_load(const Moving *moving, Load *load)
{
	Datum		value[2] = {
		PointerGetDatum(construct_array(load->object, load->count, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE)),
		Int16GetDatum(moving->to)
	};

	query_run_at(&clear_query, moving->to, value, NULL, false, NULL);
	copy_chunks(moving, load, value[0]);
	check_copies(moving, load, value[0]);
	query_run(&relocate_query, value, NULL, false, NULL);
	for (int i = 0; i < load->count; i++)
		chunks_remove(DatumGetInt64(load->object[i]), load->from);
}

/* False: the time was up. *more: there may be others. */
static bool
move_some(Moving *moving, int64 version, bool *more)
{
	Load		load;
	bool		in_time;

	care_step_begin(&moving->care);
	in_time = care_lock_out_writers(&moving->care);
	*more = in_time && find_load(moving, version, &load);
	if (*more)
		move_load(moving, &load);
	care_step_end(&moving->care);
	if (*more)
	{
		moving->objects += load.count;
		moving->bytes += load.bytes;
	}
	return in_time && !care_is_over(&moving->care);
}

/* False: the time was up. */
static bool
move_version(Moving *moving, int64 version)
{
	bool		in_time;
	bool		more;

	do
		in_time = move_some(moving, version, &more);
	while (in_time && more);
	return in_time;
}

/* The version of the family after that one; 0: it was the last. */
static int64
version_after(Moving *moving, int64 version)
{
	Datum		value[2] = {Int64GetDatum(moving->family), Int64GetDatum(version)};
	SPITupleTable *rows;
	int64		next;

	care_step_begin(&moving->care);
	next = query_run(&version_query, value, NULL, false, &rows) > 0 ? row_int64(rows, 0, 1) : 0;
	care_step_end(&moving->care);
	return next;
}

static bool
move_all(Moving *moving)
{
	int64		version = 0;

	if (moving->of_none)
		return move_version(moving, 0);
	while ((version = version_after(moving, version)) != 0)
		if (!move_version(moving, version))
			return false;
	return true;
}

static int64
objects_left(Moving *moving)
{
	Datum		value[2] = {Int16GetDatum(moving->to), Int64GetDatum(moving->family)};
	SPITupleTable *rows;
	int64		left;

	care_step_begin(&moving->care);
	query_run(&left_query, value, NULL, false, &rows);
	left = row_int64(rows, 0, 1);
	care_step_end(&moving->care);
	return left;
}

/* sparse_move_family(family, place, budget) */
Datum
care_move_family(PG_FUNCTION_ARGS)
{
	Moving		moving = {0};
	Datum		value[4];
	bool		null[4] = {false};

	store_check_owner(ACTION);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the place to move to must not be null"));
	care_begin(fcinfo, &moving.care, ACTION, 2);
	moving.of_none = PG_ARGISNULL(0);
	moving.family = moving.of_none ? 0 : PG_GETARG_INT64(0);
	begin_moving(&moving, PG_GETARG_DATUM(1));
	(void) move_all(&moving);
	value[2] = Int64GetDatum(objects_left(&moving));
	care_end(&moving.care);
	value[0] = Int64GetDatum(moving.objects);
	value[1] = Int64GetDatum(moving.bytes);
	value[3] = BoolGetDatum(DatumGetInt64(value[2]) == 0);
	return care_answer(fcinfo, value, null);
}
