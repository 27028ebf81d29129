/*
 * column.c: the values of a stored column (see dataset.h).
 *
 * One chunk is in memory at a time. What it is made of is read as the store's owner;
 * values are made of it as the caller.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "dataset.h"

struct ColumnReader
{
	/* fixed */
	const Split *split;
	const SplitColumn *column;
	TypeCoder  *coder;
	ObjectReader *objects;
	bool		read_only;

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

ColumnReader *
column_open(MemoryContext context, ObjectReader *objects, const Split *split, int column, bool read_only)
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
fetch(ColumnReader *reader, int64 row)
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
	if (reader->chunk.word == 0)
	{
		reader->made = palloc(Max(reader->chunk.values, 1) * sizeof(Datum));
		reader->is_made = palloc0(Max(reader->chunk.values, 1) * sizeof(bool));
	}
	MemoryContextSwitchTo(previous);
	reader->first_row = entry.first_row;
	reader->read++;
	error_context_stack = context.previous;
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
	return reader->read;
}
