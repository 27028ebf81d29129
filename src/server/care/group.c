/*
 * group.c: finding the objects of a family that could predict each other (see group.h).
 */
#include "care/group.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "model/answer.h"
#include "store/query.h"

/* ---- which groups there are ---- */

/* The only safetensors file of a version is like that of another, whatever their paths. */
#define PATH \
	"case when f.format = 'safetensors'" \
	"      and (select count(*) from sparse.file o where o.version = f.version and o.format = f.format) = 1" \
	"     then '' else f.path end"

/*
 * What stands in versions that are open is not there yet. An object that has its name to itself
 * has nothing to be predicted from here, but may be too deep.
 */
static StoreQuery keys_query = {
	.sql = "with m as (select false as files, t.name, t.dtype, coalesce(t.shape[2:], '{}') as shape, t.object"
	"  from sparse.version v"
	"  join sparse.tensor t on t.version = v.id"
	" where v.family = $1 and v.state <> 'open' and t.bytes > 0"
	" union "
	"select true, " PATH ", f.format, '{}', f.object"
	"  from sparse.version v"
	"  join sparse.file f on f.version = v.id"
	" where v.family = $1 and v.state <> 'open' and f.object_bytes > 0) "
	"select m.files, m.name, m.dtype, m.shape"
	"  from m"
	"  join sparse.object o on o.id = m.object"
	" group by 1, 2, 3, 4"
	" having count(*) > 1 or max(o.depth) > $2"
	" order by 1, 2, 3, 4",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 4, .column = {BOOLOID, TEXTOID, TEXTOID, INT8ARRAYOID},
	.scans = true};

int64
group_keys(MemoryContext context, int64 family, int max_depth, GroupKey **key)
{
	Datum		argument[2] = {Int64GetDatum(family), Int32GetDatum(max_depth)};
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
		.shape = datumCopy(row_datum(rows, i, 4), false, -1)
	};
	MemoryContextSwitchTo(previous);
	SPI_freetuptable(rows);
	return count;
}

/* ---- what is in one ---- */

/* What each version of the family has under the key. */
#define TENSORS \
	"with m as materialized (" \
	"select v.id as version, t.object, coalesce(t.bytes / nullif(t.shape[1], 0), 0) as row_bytes" \
	"  from sparse.version v" \
	"  join sparse.tensor t on t.version = v.id and t.name = $2" \
	" where v.family = $1 and v.state <> 'open'" \
	"   and t.dtype = $3 and coalesce(t.shape[2:], '{}') = $4 and t.bytes > 0) "

#define FILES \
	"with m as materialized (" \
	"select v.id as version, f.object, 0::bigint as row_bytes" \
	"  from sparse.version v" \
	"  join sparse.file f on f.version = v.id" \
	" where v.family = $1 and v.state <> 'open' and " PATH " = $2" \
	"   and f.format = $3 and $4 is not null and f.object_bytes > 0) "

/* What has more than one parent was predicted in a way that is not tried here, and stays. */
#define MEMBERS \
	"select o.id, o.dtype, o.bytes, g.row_bytes, o.stored_bytes, o.depth," \
	"       o.predictor not in ('none', 'same', 'parent', 'bytes', 'mixed')" \
	"       or (select count(*) from sparse.object_parent p where p.object = o.id) > 1," \
	"       coalesce((select p.parent from sparse.object_parent p" \
	"                  where p.object = o.id order by p.ordinal limit 1), 0)" \
	"  from (select object, max(row_bytes) as row_bytes from m where object > $5" \
	"         group by 1 order by 1 limit $6) g" \
	"  join sparse.object o on o.id = g.object" \
	" where o.sha256 is not null and o.bytes > 0" \
	" order by o.id"

#define MEMBERS_QUERY(content) { \
	.sql = content MEMBERS, \
	.args = 6, .arg = {INT8OID, TEXTOID, TEXTOID, INT8ARRAYOID, INT8OID, INT8OID}, \
	.columns = 8, .column = {INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT4OID, BOOLOID, INT8OID}}

/* By lineage. */
#define KINSHIPS \
	"select distinct p.object, c.object" \
	"  from sparse.parent e" \
	"  join m c on c.version = e.child" \
	"  join m p on p.version = e.parent" \
	" where p.object <> c.object"

#define KINSHIPS_QUERY(content) { \
	.sql = content KINSHIPS, \
	.args = 4, .arg = {INT8OID, TEXTOID, TEXTOID, INT8ARRAYOID}, \
	.columns = 2, .column = {INT8OID, INT8OID}}

/* Of tensors, of files. */
static StoreQuery members_query[] = {MEMBERS_QUERY(TENSORS), MEMBERS_QUERY(FILES)};
static StoreQuery kinships_query[] = {KINSHIPS_QUERY(TENSORS), KINSHIPS_QUERY(FILES)};

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
load_member(const SPITupleTable *rows, uint64 row, Member *member)
{
	char	   *dtype = TextDatumGetCString(row_datum(rows, row, 2));

	member->object = row_int64(rows, row, 1);
	if (!sparse_dtype_find(dtype, strlen(dtype), &member->dtype))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is corrupt", member->object),
				errdetail("Its dtype \"%s\" is unknown.", dtype));
	member->bytes = row_int64(rows, row, 3);
	member->row_bytes = row_int64(rows, row, 4);
	member->stored_bytes = row_int64(rows, row, 5);
	member->depth = row_int32(rows, row, 6);
	member->fixed = DatumGetBool(row_datum(rows, row, 7));
	member->parent = row_int64(rows, row, 8);
}

/* Equal content under two dtypes is one object, of the dtype that came first: those of another stay out. */
static void
load_members(Datum *argument, KinGroup *group)
{
	SPITupleTable *rows;
	uint64		count = query_run(&members_query[group->key->files], argument, NULL, false, &rows);

	group->member = palloc_extended(Max(count, 1) * sizeof(Member), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		load_member(rows, i, &group->member[group->count]);
		group->last = group->member[group->count].object;
		if (group->member[group->count].dtype == group->member[0].dtype)
			group->count++;
	}
	SPI_freetuptable(rows);
	for (int i = 0; i < group->count; i++)
		group->member[i].parent_member = find_member(group, group->member[i].parent);
}

static void
load_kinships(Datum *argument, KinGroup *group)
{
	SPITupleTable *rows;
	int64		count = (int64) query_run(&kinships_query[group->key->files], argument, NULL, false, &rows);

	group->kinship = palloc_extended(Max(count, 1) * sizeof(Kinship), MCXT_ALLOC_HUGE);
	group->kinships = 0;
	for (int64 i = 0; i < count; i++)
	{
		Kinship		kinship = {
			.parent = find_member(group, row_int64(rows, i, 1)),
			.child = find_member(group, row_int64(rows, i, 2))
		};

		if (kinship.parent >= 0 && kinship.child >= 0)
			group->kinship[group->kinships++] = kinship;
	}
	SPI_freetuptable(rows);
}

void
group_load(const GroupKey *key, int64 after, KinGroup *group)
{
	Datum		argument[6] = {
		Int64GetDatum(key->family), CStringGetTextDatum(key->name),
		CStringGetTextDatum(key->dtype), key->shape, Int64GetDatum(after), Int64GetDatum(GROUP_MOST)
	};

	memset(group, 0, sizeof(*group));
	group->key = key;
	load_members(argument, group);
	load_kinships(argument, group);
}
