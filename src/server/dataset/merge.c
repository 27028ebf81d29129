/*
 * merge.c: sparse_merge_rows and sparse_merge_conflicts: three-way, by key.
 *
 * A row that only one of two versions has changed since their base (added and removed
 * are changes too) is taken from that one. Where both have changed it, and not to the
 * same, they are in conflict. The order is that of ours; what theirs has added follows in
 * its order. Splits are merged one after the other, by name.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "model/answer.h"
#include "model/import.h"

#include "commit.h"
#include "keyed.h"

PG_FUNCTION_INFO_V1(dataset_merge);
PG_FUNCTION_INFO_V1(dataset_merge_conflicts);

enum
{
	BASE,
	OURS,
	THEIRS
};

/* What becomes of a row of ours; at least 0: the row of theirs that takes its place. */
#define KEPT (-1)
#define REMOVED (-2)

typedef struct Merge
{
	Keyed	   *keyed;
	int64	   *fate;			/* of each row of ours */
	int64	   *added;			/* rows of theirs */
	int64		count;			/* of those */
	int64		room;
} Merge;

/* The ancestor of both that was made last. Ids grow from parents to children. */
static StoreQuery base_query = {
	.sql = "with recursive a (id) as (select $1 union select p.parent from a join sparse.parent p on p.child = a.id),"
	"     b (id) as (select $2 union select p.parent from b join sparse.parent p on p.child = b.id)"
	" select coalesce(max(a.id), 0) from a join b using (id)",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID}};

static int64
find_base(int64 ours, int64 theirs)
{
	Datum		value[2] = {Int64GetDatum(ours), Int64GetDatum(theirs)};
	StoreAccess access;
	SPITupleTable *rows;
	int64		base;

	store_enter(&access);
	answer_connect();
	query_run(&base_query, value, NULL, true, &rows);
	base = row_int64(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	if (base == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the versions have no common ancestor"),
				 errhint("Name a version to compare both with: base => 'name@1'.")));
	return base;
}

static char **
key_names(const Split *split)
{
	char	  **name = palloc(Max(split->keys, 1) * sizeof(char *));

	if (split->keys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version \"%s@%d\" has no key", split->version.name, split->version.revision),
				 errhint("Name one when committing: key => array['id'].")));
	for (int i = 0; i < split->keys; i++)
		name[i] = split->column[split->key[i]].name;
	return name;
}

static void
check_columns(const Keyed *keyed)
{
	for (int s = 0; s < keyed->sides; s++)
		if (keyed->columns != keyed->side[s].split->columns)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the versions have not the same columns"),
					 errdetail("%d columns are common to all; version " INT64_FORMAT " has %d.", keyed->columns,
							   keyed->side[s].split->version.id, keyed->side[s].split->columns)));
}

/* Base, ours and theirs, that arguments name. */
static void
three_of_arguments(FunctionCallInfo fcinfo, int ours_argument, int base_argument, StoreVersion *version)
{
	version_from_argument(fcinfo, ours_argument, false, &version[OURS]);
	version_from_argument(fcinfo, ours_argument + 1, false, &version[THEIRS]);
	dataset_check(&version[OURS]);
	dataset_check(&version[THEIRS]);
	if (PG_ARGISNULL(base_argument))
		version_from_id(find_base(version[OURS].id, version[THEIRS].id), false, &version[BASE]);
	else
		version_from_argument(fcinfo, base_argument, false, &version[BASE]);
	dataset_check(&version[BASE]);
}

static bool
among(const char *name, char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static const char *
list_names(char *const *names, int count)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", names[i]);
	return list.data;
}

/* The splits of ours, which the others have too; a single one may have another name there. */
static int
common_splits(const StoreVersion *version, char ***name)
{
	int			count = split_names(version[OURS].id, name);

	for (int s = 0; s < 3; s++)
	{
		char	  **other;
		int			others = split_names(version[s].id, &other);
		bool		same = others == count;

		for (int i = 0; i < count && count > 1 && same; i++)
			same = among((*name)[i], other, others);
		if (!same)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the versions have not the same splits"),
					 errdetail("Version " INT64_FORMAT " has %s, and version " INT64_FORMAT " has %s.",
							   version[OURS].id, list_names(*name, count), version[s].id, list_names(other, others))));
	}
	return count;
}

/* All rows of a split in base, ours and theirs, by key. Null: the only split. */
static Keyed *
open_three(const StoreVersion *version, const char *name)
{
	Split	   *split[3];
	Keyed	   *keyed;

	for (int s = 0; s < 3; s++)
		split[s] = split_open(&version[s], name);
	keyed = keyed_create(split, 3, true, split[OURS]->keys, key_names(split[OURS]));
	check_columns(keyed);
	for (int s = 0; s < 3; s++)
		keyed_add(keyed, s, 0, split[s]->rows);
	keyed_sort(keyed);
	return keyed;
}

/* Whether two sides have the same for a key. */
static bool
agree(const KeyedGroup *group, int a, int b)
{
	if (group->count[a] == 0 || group->count[b] == 0)
		return group->count[a] == group->count[b];
	return memcmp(group->sum[a], group->sum[b], SPARSE_SHA256_BYTES) == 0;
}

static bool
in_conflict(const KeyedGroup *group)
{
	return !agree(group, OURS, THEIRS) && !agree(group, BASE, OURS) && !agree(group, BASE, THEIRS);
}

/* ---- conflicts as rows ---- */

static void
answer_conflict(Answer *answer, Keyed *keyed, const KeyedGroup *group)
{
	int			some = group->count[OURS] > 0 ? OURS : THEIRS;
	Datum		value[5] = {
		CStringGetTextDatum(keyed->side[OURS].split->name),
		JsonbPGetDatum(keyed_key(keyed, some, group->row[some]))
	};
	bool		null[5] = {false};

	for (int s = 0; s < 3; s++)
	{
		null[2 + s] = group->count[s] == 0;
		if (group->count[s] > 0)
			value[2 + s] = JsonbPGetDatum(keyed_row(keyed, s, group->row[s]));
	}
	answer_add(answer, value, null);
}

Datum
dataset_merge_conflicts(PG_FUNCTION_ARGS)
{
	StoreVersion version[3];
	Answer		answer;
	KeyedGroup	group;
	char	  **name;
	int			splits;

	answer_begin(fcinfo, &answer);
	three_of_arguments(fcinfo, 0, 2, version);
	splits = common_splits(version, &name);
	for (int i = 0; i < splits; i++)
	{
		Keyed	   *keyed = open_three(version, splits == 1 ? NULL : name[i]);

		while (keyed_next(keyed, &group, NULL, NULL))
			if (in_conflict(&group))
				answer_conflict(&answer, keyed, &group);
		keyed_end(keyed);
	}
	return (Datum) 0;
}

/* ---- merging ---- */

static void
add_theirs(Merge *merge, int64 row)
{
	if (merge->count == merge->room)
	{
		merge->room = Max(1024, 2 * merge->room);
		merge->added = merge->added == NULL ? palloc(merge->room * sizeof(int64)) :
			repalloc_huge(merge->added, merge->room * sizeof(int64));
	}
	merge->added[merge->count++] = row;
}

static void
take_theirs(Merge *merge, const KeyedGroup *group)
{
	if (group->count[OURS] == 0)
		add_theirs(merge, group->row[THEIRS]);
	else
		merge->fate[group->row[OURS]] = group->count[THEIRS] == 0 ? REMOVED : group->row[THEIRS];
}

/* Decides about every key; the number of conflicts that nobody resolved, and the first. */
static int64
decide(Merge *merge, bool prefer_theirs, bool prefer_ours, KeyedGroup *first)
{
	KeyedGroup	group;
	int64		conflicts = 0;

	while (keyed_next(merge->keyed, &group, NULL, NULL))
	{
		if (in_conflict(&group) && !prefer_ours && !prefer_theirs)
		{
			if (conflicts++ == 0)
				*first = group;
		}
		else if (in_conflict(&group) ? prefer_theirs : agree(&group, BASE, OURS) && !agree(&group, OURS, THEIRS))
			take_theirs(merge, &group);
	}
	return conflicts;
}

static int
compare_rows(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

static TupleDesc
row_type(Split *split)
{
	TupleDesc	columns = CreateTemplateTupleDesc(split->columns);

	for (int i = 0; i < split->columns; i++)
	{
		const TypeCoder *coder = split_coder(split, i);

		TupleDescInitEntry(columns, (AttrNumber) (i + 1), split->column[i].name, coder->type, coder->typmod, 0);
	}
	return columns;
}

/* Columns of base, in whose order values come, are those of ours in another order perhaps. */
static void
commit_from(Commit *commit, NewSplit *split, Keyed *keyed, int side, int64 row, Datum *value, bool *null)
{
	int			columns = keyed->columns;
	Datum	   *found = value + columns;
	bool	   *found_null = null + columns;

	CHECK_FOR_INTERRUPTS();
	keyed_values(keyed, side, row, found, found_null);
	for (int c = 0; c < columns; c++)
	{
		value[keyed->column[OURS][c]] = found[c];
		null[keyed->column[OURS][c]] = found_null[c];
	}
	commit_row(commit, split, value, null);
}

static void
commit_merged(Commit *commit, NewSplit *split, const char *name, Merge *merge)
{
	Split	   *ours = merge->keyed->side[OURS].split;
	Datum	   *value = palloc(2 * Max(ours->columns, 1) * sizeof(Datum));
	bool	   *null = palloc(2 * Max(ours->columns, 1) * sizeof(bool));

	commit_begin_split(commit, split, name, row_type(ours), ours->keys, key_names(ours));
	for (int64 row = 0; row < ours->rows; row++)
		if (merge->fate[row] == KEPT)
			commit_from(commit, split, merge->keyed, OURS, row, value, null);
		else if (merge->fate[row] >= 0)
			commit_from(commit, split, merge->keyed, THEIRS, merge->fate[row], value, null);
	qsort(merge->added, merge->count, sizeof(int64), compare_rows);
	for (int64 i = 0; i < merge->count; i++)
		commit_from(commit, split, merge->keyed, THEIRS, merge->added[i], value, null);
	commit_end_split(commit, split);
}

static void
check_preference(const char *preference)
{
	if (strcmp(preference, "fail") != 0 && strcmp(preference, "ours") != 0 && strcmp(preference, "theirs") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict must be \"fail\", \"ours\" or \"theirs\", not \"%s\"", preference)));
}

pg_noreturn static void
conflicts_remain(Keyed *keyed, int64 conflicts, const KeyedGroup *first)
{
	int			some = first->count[OURS] > 0 ? OURS : THEIRS;

	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("the versions are in conflict"),
			 errdetail(INT64_FORMAT " rows of split \"%s\" were changed in both, for example that with key %s.",
					   conflicts, keyed->side[OURS].split->name,
					   JsonbToCString(NULL, &keyed_key(keyed, some, first->row[some])->root, 0)),
			 errhint("sparse_merge_conflicts() shows them; on_conflict => 'ours' or 'theirs' resolves them.")));
	pg_unreachable();
}

/* A split of the three, by name (null: the only one), decided about and committed in memory of its own. */
static void
merge_split(Commit *commit, NewSplit *split, const StoreVersion *version, const char *name, const char *preference)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse merge", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Merge		merge = {.keyed = open_three(version, name)};
	const Split *ours = merge.keyed->side[OURS].split;
	KeyedGroup	first = {0};
	int64		conflicts;

	merge.fate = palloc_extended(Max(ours->rows, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int64 row = 0; row < ours->rows; row++)
		merge.fate[row] = KEPT;
	conflicts = decide(&merge, strcmp(preference, "theirs") == 0, strcmp(preference, "ours") == 0, &first);
	if (conflicts > 0)
		conflicts_remain(merge.keyed, conflicts, &first);
	commit_merged(commit, split, MemoryContextStrdup(commit->context, ours->name), &merge);
	keyed_end(merge.keyed);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

/* sparse_merge_rows(name, ours, theirs, on_conflict, base, metadata) */
Datum
dataset_merge(PG_FUNCTION_ARGS)
{
	StoreVersion version[3];
	char	   *preference;
	char	   *parent[2];
	char	  **name;
	int			splits;
	int64		merged;
	Commit	   *commit;

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 3, "on_conflict");
	preference = text_to_cstring(PG_GETARG_TEXT_PP(3));
	check_preference(preference);
	/* one snapshot of this moment for all of it: a collection in between takes nothing away */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	three_of_arguments(fcinfo, 1, 4, version);
	splits = common_splits(version, &name);
	for (int s = 0; s < 2; s++)
		parent[s] = psprintf(INT64_FORMAT, version[OURS + s].id);
	commit = commit_begin(text_to_cstring(PG_GETARG_TEXT_PP(0)), parent,
						  strcmp(parent[0], parent[1]) == 0 ? 1 : 2, "merge", import_metadata_argument(fcinfo, 5));
	commit->split = MemoryContextAllocZero(commit->context, splits * sizeof(NewSplit));
	for (; commit->splits < splits; commit->splits++)
		merge_split(commit, &commit->split[commit->splits], version, splits == 1 ? NULL : name[commit->splits], preference);
	merged = commit_end(commit);
	PopActiveSnapshot();
	PG_RETURN_INT64(merged);
}
