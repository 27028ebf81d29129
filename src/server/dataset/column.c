/*
 * column.c: the values of a stored column (see dataset.h).
 *
 * One chunk is in memory at a time. What it is made of is read as the store's owner;
 * values are made of it as the caller.
 *
 * A column that is stored in another order is read in windows: the stored rows of the next rows are taken in the order
 * in which they are stored, so that a window decodes no chunk twice, and their values are put together as
 * one more chunk. A window begins small and grows while rows are read one after the other, up to WINDOW bytes. So a
 * row costs one chunk, and all rows of a permutation at most all chunks for every WINDOW bytes of values.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "dataset.h"

#define WINDOW ((size_t) 16 * 1024 * 1024)	/* bytes of values of all columns of a split, about */
#define FIRST_WINDOW 32			/* rows */

struct ColumnReader
{
	/* fixed */
	const Split *split;
	const SplitColumn *column;
	TypeCoder  *coder;
	ObjectReader *objects;
	bool		read_only;
	ColumnReader *source;		/* of the rows as they are stored; NULL: it is this one */
	size_t		most;			/* bytes of a window */
	int32		window;			/* rows of the next one */
	int64		next_window;	/* the row behind the one at hand */

	/* the chunks around the one at hand */
	int			entries;
	ChunkEntry	entry[CHUNKS_A_ROW];

	/* the chunk at hand, in a context of its own */
	MemoryContext context;
	int64		first_row;
	ChunkReader chunk;			/* of 0 rows: none */
	Datum	   *made;			/* values of the chunk that were made; of columns without words */
	bool	   *is_made;
	int64		read;
};

static ColumnReader *
open_stored(MemoryContext context, ObjectReader *objects, const Split *split, int column, bool read_only)
{
	ColumnReader *reader = MemoryContextAllocZero(context, sizeof(ColumnReader));

	reader->split = split;
	reader->column = &split->column[column];
	reader->coder = reader->column->coder;
	reader->objects = objects;
	reader->read_only = read_only;
	reader->context = AllocSetContextCreate(context, "sparse column", ALLOCSET_DEFAULT_SIZES);
	return reader;
}

ColumnReader *
column_open(MemoryContext context, ObjectReader *objects, const Split *split, int column, bool read_only)
{
	ColumnReader *reader = open_stored(context, objects, split, column, read_only);

	if (reader->column->map == 0)
		return reader;
	reader->source = open_stored(context, objects, split, column, read_only);
	reader->most = Max(chunk_average(split->columns), WINDOW / split->columns);
	reader->window = FIRST_WINDOW;
	return reader;
}

static const ChunkEntry *
find_entry(const ColumnReader *reader, int64 row)
{
	for (int i = 0; i < reader->entries; i++)
		if (row >= reader->entry[i].first_row && row - reader->entry[i].first_row < reader->entry[i].rows)
			return &reader->entry[i];
	return NULL;
}

/* Reads the content of the chunk that holds a row, as the store's owner. */
static char *
read_content(ColumnReader *reader, int64 row, ChunkEntry *entry, uint64 *bytes)
{
	MemoryContext previous = CurrentMemoryContext;
	int			nest = closed_path_enter();
	StoreAccess access;
	ObjectInfo	info;
	char	   *content;

	store_enter(&access);
	answer_connect();
	if (find_entry(reader, row) == NULL)
		reader->entries = split_chunks(reader->split->version.id, reader->split->ordinal,
									   reader->column->ordinal, row, reader->read_only, reader->entry);
	*entry = *find_entry(reader, row);
	if (!object_info(reader->objects, entry->object, &info))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("object " INT64_FORMAT " is missing", entry->object)));
	content = MemoryContextAllocHuge(reader->context, info.bytes + 1);
	object_read(reader->objects, entry->object, 0, info.bytes, content);
	*bytes = info.bytes;
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	MemoryContextSwitchTo(previous);
	return content;
}

/* What errors below name. */
static void
name_column(void *arg)
{
	const ColumnReader *reader = arg;

	errcontext("reading column \"%s\" of version \"%s@%d\"", reader->column->name,
			   reader->split->version.name, reader->split->version.revision);
}

static void
prepare_values(ColumnReader *reader)
{
	if (reader->chunk.word > 0)
		return;
	reader->made = palloc(Max(reader->chunk.values, 1) * sizeof(Datum));
	reader->is_made = palloc0(Max(reader->chunk.values, 1) * sizeof(bool));
}

static void
fetch_stored(ColumnReader *reader, int64 row)
{
	ErrorContextCallback context = {error_context_stack, name_column, reader};
	MemoryContext previous;
	ChunkEntry	entry;
	uint64		bytes;
	char	   *content;

	CHECK_FOR_INTERRUPTS();
	error_context_stack = &context;
	reader->chunk.rows = 0;
	MemoryContextReset(reader->context);
	content = read_content(reader, row, &entry, &bytes);
	previous = MemoryContextSwitchTo(reader->context);
	chunk_open(&reader->chunk, reader->coder, entry.plain, content, bytes, entry.rows);
	prepare_values(reader);
	MemoryContextSwitchTo(previous);
	reader->first_row = entry.first_row;
	reader->read++;
	error_context_stack = context.previous;
}

/* ---- through a map ---- */

const RowMap *
column_map(ColumnReader *reader)
{
	MemoryContext previous = CurrentMemoryContext;
	StoreAccess access;
	const RowMap *map;
	int			nest;

	if (reader->source == NULL)
		return NULL;
	nest = closed_path_enter();
	store_enter(&access);
	answer_connect();
	map = split_map(reader->objects, reader->split, reader->column);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	MemoryContextSwitchTo(previous);
	return map;
}

typedef struct Wanted
{
	uint32		stored;
	int32		row;			/* of the window */
} Wanted;

static int
compare_wanted(const void *a, const void *b)
{
	const Wanted *x = a;
	const Wanted *y = b;

	return x->stored != y->stored ? (x->stored > y->stored) - (x->stored < y->stored) : x->row - y->row;
}

static Wanted *
wanted_rows(const RowMap *map, int64 first_row, int32 rows)
{
	Wanted	   *wanted = palloc_extended(rows * sizeof(Wanted), MCXT_ALLOC_HUGE);
	bool		sorted = true;

	for (int32 i = 0; i < rows; i++)
	{
		wanted[i] = (Wanted) {map->row[first_row + i], i};
		sorted &= i == 0 || wanted[i - 1].stored <= wanted[i].stored;
	}
	if (!sorted)
		qsort(wanted, rows, sizeof(Wanted), compare_wanted);
	return wanted;
}

static void
gather_words(ColumnReader *reader, const Wanted *wanted, int32 rows)
{
	ChunkReader *chunk = &reader->chunk;
	char	   *words = palloc_extended((size_t) rows * chunk->word, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint8	   *nulls = palloc0((rows + 7) / 8);

	for (int32 i = 0; i < rows; i++)
	{
		const char *bytes;
		size_t		length;

		if (column_bytes(reader->source, wanted[i].stored, &bytes, &length))
			memcpy(words + (size_t) wanted[i].row * chunk->word, bytes, chunk->word);
		else
			nulls[wanted[i].row / 8] |= 1 << (wanted[i].row % 8);
	}
	chunk->words = words;
	chunk->nulls = nulls;
}

/* Numbers of the values of the source's chunk at hand among those that were gathered; -1: not yet. */
typedef struct Renumbered
{
	int64		chunk;			/* chunks that the source had read */
	int32	   *number;
} Renumbered;

/* The number of the value of a stored row; -1: null. */
static int32
gather_value(ColumnReader *reader, int64 stored, Renumbered *known, size_t *gathered)
{
	ColumnReader *source = reader->source;
	ChunkReader *chunk = &reader->chunk;
	const char *bytes;
	size_t		length;
	int32	   *number;
	char	   *copy;

	if (!column_bytes(source, stored, &bytes, &length))
		return -1;
	if (known->chunk != source->read)
	{
		if (known->number != NULL)
			pfree(known->number);
		known->number = palloc_extended(source->chunk.values * sizeof(int32), MCXT_ALLOC_HUGE);
		memset(known->number, -1, source->chunk.values * sizeof(int32));
		known->chunk = source->read;
	}
	number = &known->number[source->chunk.value[stored - source->first_row]];
	if (*number >= 0)
		return *number;
	copy = palloc_extended(length + 1, MCXT_ALLOC_HUGE);
	memcpy(copy, bytes, length);
	*gathered += length;
	chunk->start[chunk->values] = copy;
	chunk->length[chunk->values] = length;
	return *number = chunk->values++;
}

/* False: they are more than a window may be. */
static bool
gather_values(ColumnReader *reader, const Wanted *wanted, int32 rows)
{
	ChunkReader *chunk = &reader->chunk;
	Renumbered	known = {0};
	size_t		gathered = 0;

	chunk->value = palloc_extended(rows * sizeof(int32), MCXT_ALLOC_HUGE);
	chunk->start = palloc_extended(rows * sizeof(char *), MCXT_ALLOC_HUGE);
	chunk->length = palloc_extended(rows * sizeof(size_t), MCXT_ALLOC_HUGE);
	for (int32 i = 0; i < rows; i++)
	{
		chunk->value[wanted[i].row] = gather_value(reader, wanted[i].stored, &known, &gathered);
		if (gathered > reader->most && rows > 1)
			return false;
	}
	return true;
}

static bool
gather(ColumnReader *reader, const RowMap *map, int64 row, int32 rows)
{
	MemoryContext previous;
	Wanted	   *wanted;
	bool		fits = true;

	MemoryContextReset(reader->context);
	previous = MemoryContextSwitchTo(reader->context);
	memset(&reader->chunk, 0, sizeof(reader->chunk));
	reader->chunk.word = type_word(reader->coder);
	wanted = wanted_rows(map, row, rows);
	if (reader->chunk.word > 0)
		gather_words(reader, wanted, rows);
	else
		fits = gather_values(reader, wanted, rows);
	pfree(wanted);
	prepare_values(reader);
	MemoryContextSwitchTo(previous);
	return fits;
}

/* What a row of a window takes besides its values. */
#define WINDOW_ROW 40

static void
fetch_mapped(ColumnReader *reader, int64 row)
{
	const RowMap *map = column_map(reader);
	bool		goes_on = row == reader->next_window;
	int32		rows;

	if (row < 0 || row >= map->head.rows)
		elog(ERROR, "row " INT64_FORMAT " is not there", row);
	if (!goes_on)
		reader->window = FIRST_WINDOW;
	reader->window = (int32) Min((size_t) reader->window, Max(reader->most / WINDOW_ROW, 1));
	rows = (int32) Min((int64) reader->window, map->head.rows - row);
	reader->window = 2 * rows;
	while (!gather(reader, map, row, rows))
		reader->window = rows = Max(rows / 2, 1);
	reader->chunk.rows = rows;
	reader->first_row = row;
	reader->next_window = row + rows;
}

static void
fetch(ColumnReader *reader, int64 row)
{
	reader->chunk.rows = 0;
	if (reader->source != NULL)
		fetch_mapped(reader, row);
	else
		fetch_stored(reader, row);
}

/* The row's number within the chunk at hand, after it was fetched. */
static int32
seek(ColumnReader *reader, int64 row)
{
	if (row < reader->first_row || row - reader->first_row >= reader->chunk.rows)
		fetch(reader, row);
	return (int32) (row - reader->first_row);
}

bool
column_bytes(ColumnReader *reader, int64 row, const char **bytes, size_t *length)
{
	return chunk_value(&reader->chunk, seek(reader, row), bytes, length);
}

/* A value that the chunk has once is made once. */
static Datum
make_value(ColumnReader *reader, int32 number)
{
	if (!reader->is_made[number])
	{
		ErrorContextCallback context = {error_context_stack, name_column, reader};
		MemoryContext previous = MemoryContextSwitchTo(reader->context);

		error_context_stack = &context;
		reader->made[number] = value_unpack(reader->coder, reader->chunk.start[number], reader->chunk.length[number]);
		reader->is_made[number] = true;
		error_context_stack = context.previous;
		MemoryContextSwitchTo(previous);
	}
	return reader->made[number];
}

Datum
column_value(ColumnReader *reader, int64 row, bool *null)
{
	int32		at = seek(reader, row);
	const char *bytes;
	size_t		length;

	*null = !chunk_value(&reader->chunk, at, &bytes, &length);
	if (*null)
		return (Datum) 0;
	if (reader->chunk.word == 0)
		return make_value(reader, reader->chunk.value[at]);
	if (reader->coder->constrained)
		return value_unpack(reader->coder, bytes, length);
	return word_value(reader->coder, bytes);
}

int64
column_chunks_read(const ColumnReader *reader)
{
	return reader->source != NULL ? reader->source->read : reader->read;
}
