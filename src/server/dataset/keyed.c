/*
 * keyed.c: rows of several versions by key (see keyed.h).
 *
 * What is sorted: for each column of the key the length of the value and its bytes (without a
 * key: the SHA-256 of the row), then the side, the SHA-256 and the number of the row. Keys are
 * compared by their bytes: 1.0 and 1.00 are two. Of columns whose type has changed it is not the
 * bytes that stand here and are hashed, but what both types have in common (alike.c).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "json.h"
#include "keyed.h"
#include "pack.h"

#define TAIL (1 + SPARSE_SHA256_BYTES + 8)

static int
shared_column(Split **split, int column, int side)
{
	const SplitColumn *first = &split[0]->column[column];
	int			number = split_find_column(split[side], first->name);

	if (number < 0 || strcmp(split[side]->column[number].type, first->type) != 0 ||
		strcmp(split[side]->column[number].structure, first->structure) != 0)
		return -1;
	return number;
}

/* Those that all sides have with the same type. */
static void
find_columns(Keyed *keyed, Split **split)
{
	for (int c = 0; c < split[0]->columns; c++)
	{
		bool		everywhere = true;

		for (int s = 0; s < keyed->sides && everywhere; s++)
		{
			keyed->column[s][keyed->columns] = shared_column(split, c, s);
			everywhere = keyed->column[s][keyed->columns] >= 0;
		}
		keyed->columns += everywhere;
	}
}

/* All that either of two sides has, by name. */
static void
find_all_columns(Keyed *keyed, Split **split)
{
	for (int c = 0; c < split[0]->columns; c++)
	{
		int			other = split_find_column(split[1], split[0]->column[c].name);

		if (other >= 0 && shared_column(split, c, 1) < 0)
			keyed->alike[keyed->columns] = alike_of(split_coder_stored(split[0], c), split_coder_stored(split[1], other));
		keyed->column[0][keyed->columns] = c;
		keyed->column[1][keyed->columns++] = other;
	}
	for (int c = 0; c < split[1]->columns; c++)
		if (split_find_column(split[0], split[1]->column[c].name) < 0)
		{
			keyed->column[0][keyed->columns] = -1;
			keyed->column[1][keyed->columns++] = c;
		}
}

static void
make_room_for_columns(Keyed *keyed, Split **split)
{
	int			room = 1;

	for (int s = 0; s < keyed->sides; s++)
		room += split[s]->columns;
	for (int s = 0; s < keyed->sides; s++)
		keyed->column[s] = palloc(room * sizeof(int));
	keyed->alike = palloc0(room * sizeof(Alike));
}

/* The column compared that has this name on all sides; -1: none. */
static int
find_common(const Keyed *keyed, const char *name)
{
	for (int c = 0; c < keyed->columns; c++)
	{
		bool		everywhere = true;

		for (int s = 0; s < keyed->sides; s++)
			everywhere &= keyed->column[s][c] >= 0;
		if (everywhere && strcmp(keyed->side[0].split->column[keyed->column[0][c]].name, name) == 0)
			return c;
	}
	return -1;
}

static void
find_keys(Keyed *keyed, int keys, char **key)
{
	keyed->keys = keys;
	keyed->key = palloc(Max(keys, 1) * sizeof(int));
	for (int i = 0; i < keys; i++)
	{
		keyed->key[i] = find_common(keyed, key[i]);
		if (keyed->key[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 keyed->by_type ? errmsg("not all versions have key column \"%s\" with the same type", key[i])
					 : errmsg("not both versions have key column \"%s\"", key[i])));
	}
}

static void
open_side(KeyedSide *side, Split *split)
{
	side->split = split;
	side->reader = palloc0(Max(split->columns, 1) * sizeof(ColumnReader *));
}

/* Readers are opened when a column is first wanted. */
static ColumnReader *
reader_of(Keyed *keyed, int number, int column)
{
	KeyedSide  *side = &keyed->side[number];

	if (side->reader[column] == NULL)
	{
		MemoryContext previous = MemoryContextSwitchTo(GetMemoryChunkContext(side->reader));

		type_uncheck(keyed->by_type ? split_coder(side->split, column) : split_coder_stored(side->split, column));
		side->reader[column] = column_open(CurrentMemoryContext, keyed->objects, side->split, column, true);
		MemoryContextSwitchTo(previous);
	}
	return side->reader[column];
}

Keyed *
keyed_create(Split **split, int sides, bool by_type, int keys, char **key)
{
	Keyed	   *keyed = palloc0(sizeof(Keyed));

	keyed->sides = sides;
	keyed->objects = object_reader_create(CurrentMemoryContext, true);
	for (int s = 0; s < sides; s++)
		open_side(&keyed->side[s], split[s]);
	keyed->by_type = by_type;
	make_room_for_columns(keyed, split);
	if (by_type)
		find_columns(keyed, split);
	else
		find_all_columns(keyed, split);
	initStringInfo(&keyed->common);
	keyed->scratch = AllocSetContextCreate(CurrentMemoryContext, "sparse value compared", ALLOCSET_SMALL_SIZES);
	find_keys(keyed, keys, key);
	keyed->sum = sha256_create(CurrentMemoryContext);
	keyed->sort = tuplesort_begin_datum(BYTEAOID, lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR)->lt_opr,
										InvalidOid, false, work_mem, NULL, 0);
	return keyed;
}

/* ---- adding ---- */

/* What is compared of a value, valid until the next call; false: it is null, or its column is not there. */
static bool
compared(Keyed *keyed, int side, int number, int64 row, const char **bytes, size_t *length)
{
	int			column = keyed->column[side][number];

	if (column < 0 || !column_bytes(reader_of(keyed, side, column), row, bytes, length))
		return false;
	if (keyed->alike[number] != ALIKE_BYTES)
	{
		MemoryContext previous = MemoryContextSwitchTo(keyed->scratch);

		resetStringInfo(&keyed->common);
		alike_append(keyed->alike[number], keyed->side[side].split->column[column].coder, *bytes, *length, &keyed->common);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(keyed->scratch);
		*bytes = keyed->common.data;
		*length = keyed->common.len;
	}
	return true;
}

static void
sum_row(Keyed *keyed, int side, int64 row, uint8 *sum)
{
	sha256_reset(keyed->sum);
	for (int c = 0; c < keyed->columns; c++)
	{
		const char *bytes;
		size_t		length;
		uint32		head = PG_UINT32_MAX;
		bool		there = compared(keyed, side, c, row, &bytes, &length);

		if (there)
			head = (uint32) length;
		sha256_add(keyed->sum, &head, sizeof(head));
		if (there)
			sha256_add(keyed->sum, bytes, length);
	}
	sha256_finish(keyed->sum, sum);
}

static void
append_key(Keyed *keyed, int side, int64 row, StringInfo out)
{
	for (int i = 0; i < keyed->keys; i++)
	{
		const char *bytes;
		size_t		length;

		if (!compared(keyed, side, keyed->key[i], row, &bytes, &length))
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" is null in row " INT64_FORMAT " of version " INT64_FORMAT,
							keyed->side[side].split->column[keyed->column[side][keyed->key[i]]].name, row + 1,
							keyed->side[side].split->version.id)));
		pack_number(out, length);
		appendBinaryStringInfo(out, bytes, (int) length);
	}
}

static void
add_row(Keyed *keyed, int side, int64 row)
{
	StringInfoData out;
	uint8		sum[SPARSE_SHA256_BYTES];

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	sum_row(keyed, side, row, sum);
	if (keyed->keys > 0)
		append_key(keyed, side, row, &out);
	else
		appendBinaryStringInfo(&out, (char *) sum, sizeof(sum));
	appendStringInfoChar(&out, (char) side);
	appendBinaryStringInfo(&out, (char *) sum, sizeof(sum));
	for (int i = 7; i >= 0; i--)
		appendStringInfoChar(&out, (char) (row >> (8 * i)));
	SET_VARSIZE(out.data, out.len);
	tuplesort_putdatum(keyed->sort, PointerGetDatum(out.data), false);
	pfree(out.data);
}

void
keyed_add(Keyed *keyed, int side, int64 first_row, int64 rows)
{
	for (int64 row = first_row; row < first_row + rows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		add_row(keyed, side, row);
	}
}

/* ---- what comes out ---- */

void
keyed_sort(Keyed *keyed)
{
	tuplesort_performsort(keyed->sort);
	keyed->next = NULL;
}

static bytea *
next_entry(Keyed *keyed)
{
	bytea	   *entry = keyed->next;
	Datum		datum;
	bool		null;

	keyed->next = NULL;
	if (entry != NULL)
		return entry;
	if (!tuplesort_getdatum(keyed->sort, true, true, &datum, &null, NULL))
		return NULL;
	return DatumGetByteaP(datum);
}

static size_t
key_length(const bytea *entry)
{
	return VARSIZE(entry) - VARHDRSZ - TAIL;
}

static bool
same_key(const bytea *a, const bytea *b)
{
	return key_length(a) == key_length(b) && memcmp(VARDATA(a), VARDATA(b), key_length(a)) == 0;
}

static int64
row_of(const bytea *entry)
{
	const uint8 *at = (const uint8 *) VARDATA(entry) + key_length(entry) + 1 + SPARSE_SHA256_BYTES;
	uint64		row = 0;

	for (int i = 0; i < 8; i++)
		row = row << 8 | at[i];
	return (int64) row;
}

pg_noreturn static void
stands_twice(Keyed *keyed, int side, int64 row)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key in version " INT64_FORMAT, keyed->side[side].split->version.id),
			 errdetail("Key %s occurs more than once.",
					   JsonbToCString(NULL, &keyed_key(keyed, side, row)->root, 0))));
	pg_unreachable();
}

bool
keyed_next(Keyed *keyed, KeyedGroup *group, void (*others) (void *state, int side, int64 row), void *state)
{
	bytea	   *first = next_entry(keyed);
	bytea	   *entry;

	if (first == NULL)
		return false;
	memset(group, 0, sizeof(*group));
	for (entry = first; entry != NULL && same_key(first, entry); entry = next_entry(keyed))
	{
		int			side = VARDATA(entry)[key_length(entry)];
		int64		row = row_of(entry);

		CHECK_FOR_INTERRUPTS();
		if (group->count[side]++ == 0)
		{
			group->row[side] = row;
			memcpy(group->sum[side], VARDATA(entry) + key_length(entry) + 1, SPARSE_SHA256_BYTES);
		}
		else if (keyed->keys > 0)
			stands_twice(keyed, side, row);
		else
			others(state, side, row);
		if (entry != first)
			pfree(entry);
	}
	keyed->next = entry;
	pfree(first);
	return true;
}

int64
keyed_chunks_read(const Keyed *keyed)
{
	int64		read = 0;

	for (int s = 0; s < keyed->sides; s++)
		for (int c = 0; c < keyed->side[s].split->columns; c++)
			if (keyed->side[s].reader[c] != NULL)
				read += column_chunks_read(keyed->side[s].reader[c]);
	return read;
}

void
keyed_end(Keyed *keyed)
{
	tuplesort_end(keyed->sort);
	object_reader_free(keyed->objects);
}

void
keyed_values(Keyed *keyed, int side, int64 row, Datum *value, bool *null)
{
	for (int c = 0; c < keyed->columns; c++)
		value[c] = column_value(reader_of(keyed, side, keyed->column[side][c]), row, &null[c]);
}

/* ---- rows as jsonb ---- */

static Jsonb *
some_columns(Keyed *keyed, int side, const int *column, int columns, int64 row)
{
	ColumnReader **reader = palloc(Max(columns, 1) * sizeof(ColumnReader *));

	for (int i = 0; i < columns; i++)
		reader[i] = reader_of(keyed, side, column[i]);
	return json_row(reader, keyed->side[side].split, column, columns, row, false);
}

Jsonb *
keyed_row(Keyed *keyed, int side, int64 row)
{
	int			columns = keyed->side[side].split->columns;
	int		   *column = palloc(Max(columns, 1) * sizeof(int));

	for (int i = 0; i < columns; i++)
		column[i] = i;
	return some_columns(keyed, side, column, columns, row);
}

Jsonb *
keyed_key(Keyed *keyed, int side, int64 row)
{
	int		   *column = palloc(Max(keyed->keys, 1) * sizeof(int));

	for (int i = 0; i < keyed->keys; i++)
		column[i] = keyed->column[side][keyed->key[i]];
	return some_columns(keyed, side, column, keyed->keys, row);
}
