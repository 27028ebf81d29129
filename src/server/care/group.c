/*
 * group.c: finding the objects of a family that could predict each other (see group.h).
 */
#include "care/group.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "model/answer.h"
#include "store/query.h"

/* ---- which groups there are ---- */

/* The only file of its format, of a version, is like that of another, whatever their paths. */
#define PATH \
	"case when f.format <> 'bytes'" \
	"      and (select count(*) from sparse.file o where o.version = f.version and o.format = f.format) = 1" \
	"     then '' else f.path end"

/* Versions, and whether the run of the family has still to consider them. */
#define VERSIONS \
	"  from (select x.id, coalesce(not r.done, false) as due" \
	"          from sparse.version x" \
	"          left join sparse.repacked r on r.version = x.id" \
	"         where x.family = $1 and x.state <> 'open') v"

/*
 * What stands in versions that are open is not there yet. Groups are counted off in the order given,
 * over many calls: which of them there are must not depend on what a call changes.
 */
static StoreQuery keys_query = {
	.sql = "with m as (select false as files, t.name, t.dtype, coalesce(t.shape[2:], '{}') as shape, t.object, v.due"
	VERSIONS
	"  join sparse.tensor t on t.version = v.id"
	" where t.bytes > 0"
	" union all "
	"select true, " PATH ", f.format, '{}', f.object, v.due"
	VERSIONS
	"  join sparse.file f on f.version = v.id"
	" where f.object_bytes > 0) "
	"select m.files, m.name, m.dtype, m.shape, min(m.object) < max(m.object) or max(o.depth) > $2"
	"  from m"
	"  join sparse.object o on o.id = m.object"
	" group by 1, 2, 3, 4"
	" having $3 or bool_or(m.due)"
	" order by 1, 2, 3, 4",
	.args = 3, .arg = {INT8OID, INT4OID, BOOLOID},
	.columns = 5, .column = {BOOLOID, TEXTOID, TEXTOID, INT8ARRAYOID, BOOLOID},
	.scans = true};

int64
group_keys(MemoryContext context, int64 family, int max_depth, Due due, GroupKey **key)
{
	Datum		argument[3] = {Int64GetDatum(family), Int32GetDatum(max_depth), BoolGetDatum(due == DUE_ALL)};
	SPITupleTable *rows;
	int64		count = (int64) query_run(&keys_query, argument, NULL, false, &rows);
	MemoryContext previous = MemoryContextSwitchTo(context);

	*key = palloc_extended(Max(count, 1) * sizeof(GroupKey), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < count; i++)
		(*key)[i] = (GroupKey) {
		.family = family,
		.files = DatumGetBool(row_datum(rows, i, 1)),
		.name = TextDatumGetCString(row_datum(rows, i, 2)),
		.dtype = TextDatumGetCString(row_datum(rows, i, 3)),
		.shape = datumCopy(row_datum(rows, i, 4), false, -1),
		.needed = DatumGetBool(row_datum(rows, i, 5))
	};
	MemoryContextSwitchTo(previous);
	SPI_freetuptable(rows);
	return count;
}

/* ---- what is in one ---- */

/* What each version of the family has under the key. */
#define TENSORS \
	"with m as materialized (" \
	"select v.id as version, t.object, coalesce(t.bytes / nullif(t.shape[1], 0), 0) as row_bytes," \
	"       $5 or v.due as due" \
	VERSIONS \
	"  join sparse.tensor t on t.version = v.id and t.name = $2" \
	" where t.dtype = $3 and coalesce(t.shape[2:], '{}') = $4 and t.bytes > 0) "

#define FILES \
	"with m as materialized (" \
	"select v.id as version, f.object, 0::bigint as row_bytes, $5 or v.due as due" \
	VERSIONS \
	"  join sparse.file f on f.version = v.id" \
	" where " PATH " = $2" \
	"   and f.format = $3 and $4 is not null and f.object_bytes > 0) "

#define OBJECTS "select object, max(row_bytes), bool_or(due) from m group by object order by object"

#define OBJECTS_QUERY(content) { \
	.sql = content OBJECTS, \
	.args = 5, .arg = {INT8OID, TEXTOID, TEXTOID, INT8ARRAYOID, BOOLOID}, \
	.columns = 3, .column = {INT8OID, INT8OID, BOOLOID}}

/* By lineage, and what was found beside it. */
#define KINSHIPS \
	"select distinct p.object, c.object" \
	"  from (select child, parent from sparse.parent union all select version, parent from sparse.found_parent) e" \
	"  join m c on c.version = e.child" \
	"  join m p on p.version = e.parent" \
	" where p.object <> c.object and (c.due or p.due)"

#define KINSHIPS_QUERY(content) { \
	.sql = content KINSHIPS, \
	.args = 5, .arg = {INT8OID, TEXTOID, TEXTOID, INT8ARRAYOID, BOOLOID}, \
	.columns = 2, .column = {INT8OID, INT8OID}}

/* Of tensors, of files. */
static StoreQuery objects_query[] = {OBJECTS_QUERY(TENSORS), OBJECTS_QUERY(FILES)};
static StoreQuery kinships_query[] = {KINSHIPS_QUERY(TENSORS), KINSHIPS_QUERY(FILES)};

static void
list_objects(MemoryContext context, Datum *argument, GroupList *list)
{
	SPITupleTable *rows;

	list->count = (int64) query_run(&objects_query[list->key->files], argument, NULL, false, &rows);
	list->object = MemoryContextAllocHuge(context, Max(list->count, 1) * sizeof(GroupObject));
	for (int64 i = 0; i < list->count; i++)
		list->object[i] = (GroupObject) {
		.object = row_int64(rows, i, 1),
		.row_bytes = row_int64(rows, i, 2),
		.due = DatumGetBool(row_datum(rows, i, 3))
	};
	SPI_freetuptable(rows);
}

static int
compare_kin(const void *a, const void *b)
{
	const GroupKin *left = a;
	const GroupKin *right = b;

	if (left->object != right->object)
		return left->object < right->object ? -1 : 1;
	return (left->other > right->other) - (left->other < right->other);
}

static void
list_kin(MemoryContext context, Datum *argument, GroupList *list)
{
	SPITupleTable *rows;
	int64		count = (int64) query_run(&kinships_query[list->key->files], argument, NULL, false, &rows);

	list->kin_count = 2 * count;
	list->kin = MemoryContextAllocHuge(context, Max(list->kin_count, 1) * sizeof(GroupKin));
	for (int64 i = 0; i < count; i++)
	{
		int64		parent = row_int64(rows, i, 1);
		int64		child = row_int64(rows, i, 2);

		list->kin[2 * i] = (GroupKin) {.object = parent, .other = child, .is_parent = true};
		list->kin[2 * i + 1] = (GroupKin) {.object = child, .other = parent, .is_parent = false};
	}
	SPI_freetuptable(rows);
	qsort(list->kin, list->kin_count, sizeof(GroupKin), compare_kin);
}

void
group_list(MemoryContext context, const GroupKey *key, Due due, GroupList *list)
{
	Datum		argument[5] = {
		Int64GetDatum(key->family), CStringGetTextDatum(key->name),
		CStringGetTextDatum(key->dtype), key->shape, BoolGetDatum(due == DUE_ALL)
	};

	memset(list, 0, sizeof(*list));
	list->key = key;
	list_objects(context, argument, list);
	list_kin(context, argument, list);
}

/* ---- which objects make a part ---- */

/* Subscripts into a list, each once. */
typedef struct Chosen
{
	const GroupList *list;
	int			count;
	int			room;
	int64	   *at;
} Chosen;

/* The first object that is not below `object`. */
static int64
list_position(const GroupList *list, int64 object)
{
	int64		low = 0;
	int64		high = list->count;

	while (low < high)
	{
		int64		middle = (low + high) / 2;

		if (list->object[middle].object < object)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
choose(Chosen *chosen, int64 at)
{
	if (chosen->count == chosen->room)
		return;
	for (int i = 0; i < chosen->count; i++)
		if (chosen->at[i] == at)
			return;
	chosen->at[chosen->count++] = at;
}

static void
choose_object(Chosen *chosen, int64 object)
{
	int64		at = list_position(chosen->list, object);

	if (at < chosen->list->count && chosen->list->object[at].object == object)
		choose(chosen, at);
}

static int64
first_kin(const GroupList *list, int64 object)
{
	int64		low = 0;
	int64		high = list->kin_count;

	while (low < high)
	{
		int64		middle = (low + high) / 2;

		if (list->kin[middle].object < object)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
choose_kin(Chosen *chosen, int64 object)
{
	const GroupList *list = chosen->list;

	for (int64 k = first_kin(list, object); k < list->kin_count && list->kin[k].object == object; k++)
		choose_object(chosen, list->kin[k].other);
}

/* Objects as an array. */
static Datum
objects_of(const Chosen *chosen, int count)
{
	Datum	   *object = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		object[i] = Int64GetDatum(chosen->list->object[chosen->at[i]].object);
	return PointerGetDatum(construct_array(object, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* What predicts most of them comes first. */
static StoreQuery parents_query = {
	.sql = "select p.parent from sparse.object_parent p where p.object = any ($1) and not p.made"
	" group by p.parent order by count(*) desc, p.parent limit $2",
	.args = 2, .arg = {INT8ARRAYOID, INT4OID},
	.columns = 1, .column = {INT8OID}};

static void
choose_parents(Chosen *chosen, int due)
{
	Datum		argument[2] = {objects_of(chosen, due), Int32GetDatum(PART_BESIDE / 2)};
	SPITupleTable *rows;
	uint64		count = query_run(&parents_query, argument, NULL, false, &rows);

	for (uint64 i = 0; i < count; i++)
		choose_object(chosen, row_int64(rows, i, 1));
	SPI_freetuptable(rows);
}

/* What may have to do with those that were chosen: their parents, their kin, and those that came just before. */
static void
choose_beside(Chosen *chosen)
{
	const int	due = chosen->count;

	choose_parents(chosen, due);
	for (int i = 0; i < due && chosen->count < chosen->room; i++)
		choose_kin(chosen, chosen->list->object[chosen->at[i]].object);
	for (int64 at = chosen->at[0]; at > 0 && chosen->count < chosen->room; at--)
		choose(chosen, at - 1);
}

static void
choose_due(Chosen *chosen, int64 after, int most)
{
	for (int64 at = list_position(chosen->list, after + 1); at < chosen->list->count && chosen->count < most; at++)
		if (chosen->list->object[at].due)
			chosen->at[chosen->count++] = at;
}

/* ---- what is known of them ---- */

/*
 * What has more than one parent, beside factors of its own, was predicted in a way that is not tried here, and stays.
 */
static StoreQuery members_query = {
	.sql = "select o.id, o.dtype, o.bytes, o.stored_bytes, o.depth,"
	"       o.predictor not in ('none', 'same', 'parent', 'bytes', 'sum', 'mixed')"
	"       or (select count(*) from sparse.object_parent p where p.object = o.id and not p.made) > 1,"
	"       coalesce((select p.parent from sparse.object_parent p"
	"                  where p.object = o.id order by p.ordinal limit 1), 0)"
	"  from sparse.object o"
	" where o.id = any ($1) and o.sha256 is not null and o.bytes > 0"
	" order by o.id",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 7, .column = {INT8OID, TEXTOID, INT8OID, INT8OID, INT4OID, BOOLOID, INT8OID}};

static int
find_member(const KinGroup *group, int64 object)
{
	int			low = 0;
	int			high = group->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (group->member[middle].object < object)
			low = middle + 1;
		else
			high = middle;
	}
	return low < group->count && group->member[low].object == object ? low : -1;
}

static void
load_member(const GroupList *list, const SPITupleTable *rows, uint64 row, Member *member)
{
	char	   *dtype = TextDatumGetCString(row_datum(rows, row, 2));

	member->object = row_int64(rows, row, 1);
	if (!sparse_dtype_find(dtype, strlen(dtype), &member->dtype))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is corrupt", member->object),
				errdetail("Its dtype \"%s\" is unknown.", dtype));
	member->bytes = row_int64(rows, row, 3);
	member->row_bytes = list->object[list_position(list, member->object)].row_bytes;
	member->stored_bytes = row_int64(rows, row, 4);
	member->depth = row_int32(rows, row, 5);
	member->fixed = DatumGetBool(row_datum(rows, row, 6));
	member->parent = row_int64(rows, row, 7);
}

/* The dtype of more than half of them, if there is one. */
static sparse_dtype
prevailing_dtype(const KinGroup *group)
{
	sparse_dtype dtype = SPARSE_BYTES;
	int			lead = 0;

	for (int i = 0; i < group->count; i++)
	{
		if (lead == 0)
			dtype = group->member[i].dtype;
		lead += group->member[i].dtype == dtype ? 1 : -1;
	}
	return dtype;
}

/* Equal content under two dtypes is one object, of the dtype that came first: those of another stay out. */
static void
keep_one_dtype(KinGroup *group)
{
	sparse_dtype dtype = prevailing_dtype(group);
	int			kept = 0;

	for (int i = 0; i < group->count; i++)
		if (group->member[i].dtype == dtype)
			group->member[kept++] = group->member[i];
	group->count = kept;
}

static void
load_members(const Chosen *chosen, KinGroup *group)
{
	Datum		argument[1] = {objects_of(chosen, chosen->count)};
	SPITupleTable *rows;

	group->count = (int) query_run(&members_query, argument, NULL, false, &rows);
	group->member = palloc0(Max(group->count, 1) * sizeof(Member));
	for (int i = 0; i < group->count; i++)
		load_member(chosen->list, rows, i, &group->member[i]);
	SPI_freetuptable(rows);
	keep_one_dtype(group);
	for (int i = 0; i < group->count; i++)
		group->member[i].parent_member = find_member(group, group->member[i].parent);
}

static void
mark_beside(const Chosen *chosen, int due, KinGroup *group)
{
	for (int i = due; i < chosen->count; i++)
	{
		int			member = find_member(group, chosen->list->object[chosen->at[i]].object);

		if (member >= 0)
			group->member[member].beside = true;
	}
}

static void
load_kinships(const GroupList *list, KinGroup *group)
{
	int64		room = 64;

	group->kinship = palloc(room * sizeof(Kinship));
	group->kinships = 0;
	for (int parent = 0; parent < group->count; parent++)
	{
		int64		object = group->member[parent].object;

		for (int64 k = first_kin(list, object); k < list->kin_count && list->kin[k].object == object; k++)
		{
			int			child = list->kin[k].is_parent ? find_member(group, list->kin[k].other) : -1;

			if (child < 0)
				continue;
			if (group->kinships == room)
				group->kinship = repalloc_huge(group->kinship, (room *= 2) * sizeof(Kinship));
			group->kinship[group->kinships++] = (Kinship) {parent, child};
		}
	}
}

void
group_load(const GroupList *list, int64 after, int most, KinGroup *group)
{
	Chosen		chosen = {.list = list, .room = most + PART_BESIDE};
	int			due;

	memset(group, 0, sizeof(*group));
	group->key = list->key;
	chosen.at = palloc(chosen.room * sizeof(int64));
	choose_due(&chosen, after, most);
	if (chosen.count == 0)
		return;
	due = chosen.count;
	group->last = list->object[chosen.at[due - 1]].object;
	choose_beside(&chosen);
	load_members(&chosen, group);
	mark_beside(&chosen, due, group);
	load_kinships(list, group);
}
