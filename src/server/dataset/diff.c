/*
 * diff.c: sparse_row_diff: which rows two versions have not in common.
 *
 * Chunks that are one object in both are equal without being read. Where that holds
 * for all columns over the same rows, these are passed over; only the rest is read and
 * sorted by key. So the cost grows with what changed.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "model/import.h"

#include "keyed.h"

PG_FUNCTION_INFO_V1(dataset_diff);

/* Rows that are equal: those of b from `first` on, and those of a from `first` + `shift` on. */
typedef struct EqualRows
{
	int64		first;
	int64		rows;
	int64		shift;
} EqualRows;

typedef struct EqualList
{
	int			count;
	int			room;
	EqualRows  *range;
} EqualList;

static void
add_range(EqualList *list, int64 first, int64 rows, int64 shift)
{
	EqualRows  *last = list->count > 0 ? &list->range[list->count - 1] : NULL;

	if (last != NULL && last->first + last->rows == first && last->shift == shift)
	{
		last->rows += rows;
		return;
	}
	if (list->count == list->room)
	{
		list->room = Max(64, 2 * list->room);
		list->range = list->range == NULL ? palloc(list->room * sizeof(EqualRows)) :
			repalloc_huge(list->range, list->room * sizeof(EqualRows));
	}
	list->range[list->count++] = (EqualRows) {first, rows, shift};
}

/* All chunks of a column; as the store's owner. */
static int64
read_column(const Split *split, int column, ChunkEntry **chunk)
{
	MemoryContext context = CurrentMemoryContext;
	int64		room = CHUNKS_A_ROW;
	int64		count = 0;
	StoreAccess access;

	*chunk = palloc(room * sizeof(ChunkEntry));
	store_enter(&access);
	answer_connect();
	for (int64 row = 0; row < split->column[column].stored_rows;)
	{
		ChunkEntry	entry[CHUNKS_A_ROW];
		int			found = split_chunks(split->version.id, split->ordinal, split->column[column].ordinal, row, true, entry);

		CHECK_FOR_INTERRUPTS();
		if (count + found > room)
			*chunk = repalloc_huge(*chunk, (room *= 2) * sizeof(ChunkEntry));
		memcpy(*chunk + count, entry, found * sizeof(ChunkEntry));
		count += found;
		row = entry[found - 1].first_row + entry[found - 1].rows;
	}
	answer_finish();
	store_leave(&access);
	MemoryContextSwitchTo(context);
	return count;
}

/* Where an object stands next in a. */
typedef struct Standing
{
	int64		object;
	int64		at;				/* the first place that was not passed yet; -1: none */
} Standing;

/* The ranges over which one column has the same chunks, in the order of both versions. */
static void
equal_chunks(const ChunkEntry *a, int64 a_count, const ChunkEntry *b, int64 b_count, EqualList *list)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(Standing), .hcxt = CurrentMemoryContext};
	HTAB	   *standing = hash_create("sparse chunks of a column", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	int64	   *next = palloc_extended(Max(a_count, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	int64		passed = 0;
	bool		found;

	for (int64 i = a_count - 1; i >= 0; i--)
	{
		Standing   *of = hash_search(standing, &a[i].object, HASH_ENTER, &found);

		next[i] = found ? of->at : -1;
		of->at = i;
	}
	for (int64 i = 0; i < b_count; i++)
	{
		Standing   *of = hash_search(standing, &b[i].object, HASH_FIND, NULL);

		if (of == NULL)
			continue;
		while (of->at >= 0 && of->at < passed)
			of->at = next[of->at];
		if (of->at < 0 || a[of->at].rows != b[i].rows || a[of->at].plain != b[i].plain)
			continue;
		passed = of->at + 1;
		add_range(list, b[i].first_row, b[i].rows, a[of->at].first_row - b[i].first_row);
	}
	hash_destroy(standing);
	pfree(next);
}

/* What both lists say, with the same shift. */
static EqualList
intersect(const EqualList *x, const EqualList *y)
{
	EqualList	both = {0};
	int			i = 0;
	int			j = 0;

	while (i < x->count && j < y->count)
	{
		int64		first = Max(x->range[i].first, y->range[j].first);
		int64		x_end = x->range[i].first + x->range[i].rows;
		int64		y_end = y->range[j].first + y->range[j].rows;

		if (x->range[i].shift == y->range[j].shift && first < Min(x_end, y_end))
			add_range(&both, first, Min(x_end, y_end) - first, x->range[i].shift);
		if (x_end <= y_end)
			i++;
		else
			j++;
	}
	return both;
}

/* ---- through maps ---- */

static bool
has_map(const KeyedSide *side, const int *column, int columns)
{
	for (int c = 0; c < columns; c++)
		if (side->split->column[column[c]].map != 0)
			return true;
	return false;
}

/* The stored rows from the first on that are the same on both sides, in all columns. */
static int64
shared_rows(const Keyed *keyed)
{
	int64		shared = MAP_MOST;

	for (int c = 0; c < keyed->columns && shared > 0; c++)
	{
		ChunkEntry *a;
		ChunkEntry *b;
		int64		a_count = read_column(keyed->side[0].split, keyed->column[0][c], &a);
		int64		b_count = read_column(keyed->side[1].split, keyed->column[1][c], &b);
		int64		rows = 0;

		for (int64 i = 0; i < Min(a_count, b_count); i++)
		{
			if (a[i].object != b[i].object || a[i].rows != b[i].rows || a[i].plain != b[i].plain)
				break;
			rows += a[i].rows;
		}
		shared = Min(shared, rows);
		pfree(a);
		pfree(b);
	}
	return shared;
}

/* The map of a side; NULL: its rows are stored in their order. */
static const RowMap *
map_of(const Keyed *keyed, int side)
{
	return column_map(column_open(CurrentMemoryContext, keyed->objects, keyed->side[side].split,
								  keyed->column[side][0], true));
}

static int64
stored_row(const RowMap *map, int64 row)
{
	return map == NULL ? row : map->row[row];
}

/* Rows that are the same stored row, of those that both sides share, in the order of both versions. */
static EqualList
equal_mapped(const Keyed *keyed)
{
	EqualList	list = {0};
	int64		shared = shared_rows(keyed);
	const RowMap *a = map_of(keyed, 0);
	const RowMap *b = map_of(keyed, 1);
	int64		passed = 0;
	int32	   *standing = palloc_extended(Max(shared, 1) * sizeof(int32), MCXT_ALLOC_HUGE);

	memset(standing, -1, Max(shared, 1) * sizeof(int32));
	for (int64 row = 0; row < keyed->side[0].split->rows; row++)
		if (stored_row(a, row) < shared)
			standing[stored_row(a, row)] = (int32) row;
	for (int64 row = 0; row < keyed->side[1].split->rows; row++)
	{
		int64		stored = stored_row(b, row);

		if (stored >= shared || standing[stored] < passed)
			continue;
		add_range(&list, row, 1, standing[stored] - row);
		passed = (int64) standing[stored] + 1;
	}
	pfree(standing);
	return list;
}

/* Whether columns are compared whose chunks say nothing of each other: only one side has them, or their types differ. */
static bool
must_be_read(const Keyed *keyed)
{
	for (int c = 0; c < keyed->columns; c++)
		if (keyed->column[0][c] < 0 || keyed->column[1][c] < 0 || keyed->alike[c] != ALIKE_BYTES)
			return true;
	return false;
}

/* Rows that are equal in all columns compared, without a look at them. */
static EqualList
equal_rows(const Keyed *keyed)
{
	EqualList	all = {0};

	if (must_be_read(keyed) || keyed->columns == 0)
		return all;
	if (has_map(&keyed->side[0], keyed->column[0], keyed->columns) || has_map(&keyed->side[1], keyed->column[1], keyed->columns))
		return equal_mapped(keyed);
	for (int c = 0; c < keyed->columns; c++)
	{
		EqualList	list = {0};
		ChunkEntry *a;
		ChunkEntry *b;
		int64		a_count = read_column(keyed->side[0].split, keyed->column[0][c], &a);
		int64		b_count = read_column(keyed->side[1].split, keyed->column[1][c], &b);

		equal_chunks(a, a_count, b, b_count, &list);
		all = c == 0 ? list : intersect(&all, &list);
		pfree(a);
		pfree(b);
		if (all.count == 0)
			break;
	}
	return all;
}

/* Adds what lies between the ranges that are equal. */
static void
add_rest(Keyed *keyed, const EqualList *equal)
{
	int64		a = 0;
	int64		b = 0;

	for (int i = 0; i < equal->count; i++)
	{
		const EqualRows *range = &equal->range[i];

		keyed_add(keyed, 0, a, range->first + range->shift - a);
		keyed_add(keyed, 1, b, range->first - b);
		a = range->first + range->shift + range->rows;
		b = range->first + range->rows;
	}
	keyed_add(keyed, 0, a, keyed->side[0].split->rows - a);
	keyed_add(keyed, 1, b, keyed->side[1].split->rows - b);
}

/* ---- the answer ---- */

/* A row that differs: where it stands in a and in b; -1: nowhere. */
typedef struct Change
{
	int64		a;
	int64		b;
} Change;

typedef struct Changes
{
	int64		count;
	int64		room;
	Change	   *change;
	int64	   *a;				/* of the group at hand, without a key: rows beyond the first */
	int64	   *b;
	int64		a_count;
	int64		b_count;
	int64		others_room;
} Changes;

static void
add_change(Changes *changes, int64 a, int64 b)
{
	if (changes->count == changes->room)
	{
		changes->room = Max(1024, 2 * changes->room);
		changes->change = changes->change == NULL ? palloc(changes->room * sizeof(Change)) :
			repalloc_huge(changes->change, changes->room * sizeof(Change));
	}
	changes->change[changes->count++] = (Change) {a, b};
}

static void
keep_other(void *state, int side, int64 row)
{
	Changes    *changes = state;

	if (Max(changes->a_count, changes->b_count) == changes->others_room)
	{
		changes->others_room = Max(1024, 2 * changes->others_room);
		changes->a = changes->a == NULL ? palloc(changes->others_room * sizeof(int64)) :
			repalloc_huge(changes->a, changes->others_room * sizeof(int64));
		changes->b = changes->b == NULL ? palloc(changes->others_room * sizeof(int64)) :
			repalloc_huge(changes->b, changes->others_room * sizeof(int64));
	}
	if (side == 0)
		changes->a[changes->a_count++] = row;
	else
		changes->b[changes->b_count++] = row;
}

/* Without a key a row pairs with any that equals it: those that one side has more of remain. */
static void
compare_multiset(Changes *changes, const KeyedGroup *group)
{
	int64		common = Min(group->count[0], group->count[1]);

	for (int64 i = common; i < group->count[0]; i++)
		add_change(changes, i == 0 ? group->row[0] : changes->a[i - 1], -1);
	for (int64 i = common; i < group->count[1]; i++)
		add_change(changes, -1, i == 0 ? group->row[1] : changes->b[i - 1]);
	changes->a_count = changes->b_count = 0;
}

static void
compare_group(Keyed *keyed, Changes *changes, const KeyedGroup *group)
{
	if (keyed->keys == 0)
		compare_multiset(changes, group);
	else if (group->count[0] == 0)
		add_change(changes, -1, group->row[1]);
	else if (group->count[1] == 0)
		add_change(changes, group->row[0], -1);
	else if (memcmp(group->sum[0], group->sum[1], SPARSE_SHA256_BYTES) != 0)
		add_change(changes, group->row[0], group->row[1]);
}

/* In the order of b; what it has no more comes first, in the order of a. */
static int
compare_changes(const void *x, const void *y)
{
	const Change *left = x;
	const Change *right = y;

	if (left->b != right->b)
		return left->b < right->b ? -1 : 1;
	return (left->a > right->a) - (left->a < right->a);
}

static void
answer_change(Answer *answer, Keyed *keyed, const Change *change)
{
	Datum		value[4] = {0};
	bool		null[4] = {false, keyed->keys == 0, change->a < 0, change->b < 0};

	value[0] = CStringGetTextDatum(change->a < 0 ? "added" : change->b < 0 ? "removed" : "changed");
	if (keyed->keys > 0)
		value[1] = JsonbPGetDatum(change->b < 0 ? keyed_key(keyed, 0, change->a) : keyed_key(keyed, 1, change->b));
	if (change->a >= 0)
		value[2] = JsonbPGetDatum(keyed_row(keyed, 0, change->a));
	if (change->b >= 0)
		value[3] = JsonbPGetDatum(keyed_row(keyed, 1, change->b));
	answer_add(answer, value, null);
}

static void
answer_changes(Answer *answer, Keyed *keyed, Changes *changes)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse change", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	qsort(changes->change, changes->count, sizeof(Change), compare_changes);
	for (int64 i = 0; i < changes->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		answer_change(answer, keyed, &changes->change[i]);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

/* The key of the arguments, or that which both versions have; none: whole rows. */
static int
key_of(FunctionCallInfo fcinfo, Split *const *split, char ***key)
{
	int			keys = import_text_elements(fcinfo, 3, "by", key);

	if (keys > 0)
		return keys;
	*key = palloc(Max(split[1]->keys, 1) * sizeof(char *));
	for (int i = 0; i < split[1]->keys; i++)
	{
		(*key)[i] = split[1]->column[split[1]->key[i]].name;
		if (split[0]->keys != split[1]->keys ||
			strcmp(split[0]->column[split[0]->key[i]].name, (*key)[i]) != 0)
			return 0;
	}
	return split[1]->keys;
}

static void
tell_of_column(const Keyed *keyed, int number)
{
	int			a = keyed->column[0][number];
	int			b = keyed->column[1][number];
	const SplitColumn *old = a < 0 ? NULL : &keyed->side[0].split->column[a];
	const SplitColumn *new = b < 0 ? NULL : &keyed->side[1].split->column[b];

	if (old == NULL)
		ereport(NOTICE,
				(errmsg("column \"%s\" was added: it is compared as if it had been null", new->name)));
	else if (new == NULL)
		ereport(NOTICE,
				(errmsg("column \"%s\" was removed: it is compared as if it were null", old->name)));
	else if (strcmp(old->type, new->type) != 0)
		ereport(NOTICE,
				(errmsg("column \"%s\" was of type %s and is of type %s: its values are compared as %s",
						old->name, old->type, new->type, alike_name(keyed->alike[number]))));
	else if (strcmp(old->structure, new->structure) != 0)
		ereport(NOTICE,
				(errmsg("type %s of column \"%s\" was made of \"%s\" and is made of \"%s\": its values are compared as %s",
						old->type, old->name, old->structure, new->structure, alike_name(keyed->alike[number]))));
}

/* What columns have become, and how rows are compared, is said. */
static void
tell(const Keyed *keyed)
{
	for (int c = 0; c < keyed->columns; c++)
		tell_of_column(keyed, c);
	if (keyed->keys == 0)
		ereport(NOTICE,
				(errmsg("there is no common key: whole rows are compared, a changed one is removed and added"),
				 errhint("Name columns that tell rows apart: by => array['id'].")));
}

Datum
dataset_diff(PG_FUNCTION_ARGS)
{
	StoreVersion version[2];
	Split	   *split[2];
	Answer		answer;
	Changes		changes = {0};
	EqualList	equal;
	KeyedGroup	group;
	Keyed	   *keyed;
	char	  **key;
	int			keys;
	char	   *name = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	answer_begin(fcinfo, &answer);
	for (int i = 0; i < 2; i++)
	{
		version_from_argument(fcinfo, i, false, &version[i]);
		split[i] = split_open(&version[i], name);
	}
	keys = key_of(fcinfo, split, &key);
	keyed = keyed_create(split, 2, false, keys, key);
	tell(keyed);
	equal = equal_rows(keyed);
	add_rest(keyed, &equal);
	keyed_sort(keyed);
	while (keyed_next(keyed, &group, keep_other, &changes))
		compare_group(keyed, &changes, &group);
	ereport(DEBUG1, (errmsg_internal("chunks read to find changes: " INT64_FORMAT, keyed_chunks_read(keyed))));
	answer_changes(&answer, keyed, &changes);
	keyed_end(keyed);
	return (Datum) 0;
}
