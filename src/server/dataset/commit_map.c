/*
 * commit_map.c: rows first. The rows of a new version that stand in its parent are not stored again in any column,
 * wherever they stand: the columns are the parent's chunks and one or more of new rows, and a map that all columns
 * share (codec/rowmap.h) says which of the stored rows each row is.
 *
 * Rows are found by a hash of all their values, with a seed that is drawn for each commit. It is not what makes
 * the version exact: when it is stored, every column is read back through the map, and its SHA-256 compared with that
 * of the values that came.
 *
 * In memory are, of at most MAP_MOST rows, 8 bytes for each new one and 20 for each of the parent's.
 */
#include "postgres.h"
#include "compat.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "commit.h"

/* Maps that stand on each other: each adds a small chunk to every column. */
#define MOST_GENERATIONS 32

/* Of that many stored rows at most one is used: else the version is better stored by itself. */
#define MOST_STORED 8

/* One row of that many may be new. */
#define MOST_NEW 4

uint64
commit_hash_add(const Commit *commit, uint64 hash, const char *bytes, size_t length)
{
	uint64		of_value = bytes == NULL ? UINT64CONST(0x9E3779B97F4A7C15) : XXH3_64bits_withSeed(bytes, length, commit->seed);

	hash ^= hash >> 32;
	return (hash * UINT64CONST(0xD6E8FEB86659FD93)) ^ of_value;
}

/* What is worked out for one split. */
typedef struct Mapping
{
	Commit	   *commit;
	NewSplit   *split;
	Split	   *parent;
	int		   *column;			/* of each column the parent's */
	ObjectReader *objects;
	uint64	   *hash;			/* of each row of the parent */
	int32	   *slot;			/* hash table: its first row with that hash; -1: none */
	int32	   *next;			/* of each row of the parent, the next with its hash or slot */
	uint32		mask;
	sparse_rowmap_head head;
	uint32	   *row;			/* of each row the stored one */
	int64		runs;			/* in the order of the parent's rows */
	int64		news;			/* new rows */
	int64	   *new_row;		/* which those are */
} Mapping;

/* ---- the parent's rows ---- */

/* Whether the parent has all columns with the same type, stored in one order; finds them. */
static bool
find_columns(Mapping *mapping)
{
	const NewSplit *split = mapping->split;
	Split	   *parent = mapping->parent;

	mapping->column = palloc(split->columns * sizeof(int));
	for (int i = 0; i < split->columns; i++)
	{
		int			number = split_find_column(parent, split->column[i].name);
		SplitColumn *column;
		const SplitColumn *first;

		if (number < 0)
			return false;
		mapping->column[i] = number;
		column = &parent->column[number];
		first = &parent->column[mapping->column[0]];
		if (strcmp(column->type, split->column[i].type) != 0 || strcmp(column->structure, split->column[i].structure) != 0 ||
			column->map != first->map || column->stored_rows != first->stored_rows)
			return false;
		if (column->coder == NULL)
			column->coder = split->column[i].coder;
	}
	return true;
}

static int64
fresh_bytes(const NewSplit *split)
{
	int64		bytes = 0;

	for (int c = 0; c < split->columns; c++)
		for (int i = 0; i < split->column[c].pending.chunks; i++)
			if (split->column[c].pending.chunk[i].fresh)
				bytes += split->column[c].pending.chunk[i].bytes;
	return bytes;
}

/* What hashes cannot tell: whether it is worth reading the parent. */
static bool
is_worth_it(Mapping *mapping)
{
	const NewSplit *split = mapping->split;
	int64		stored;

	if (!sparse_map_rows || split->rows == 0 || split->columns == 0 || split->hash == NULL || mapping->parent->rows == 0 ||
		fresh_bytes(split) / 128 < 64 * split->columns || !find_columns(mapping))
		return false;
	stored = mapping->parent->column[mapping->column[0]].stored_rows;
	return mapping->parent->rows <= MAP_MOST && stored <= MAP_MOST && stored / MOST_STORED <= split->rows;
}

static void
hash_parent(Mapping *mapping)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse rows of the parent", ALLOCSET_DEFAULT_SIZES);
	int64		rows = mapping->parent->rows;

	mapping->hash = palloc_extended(rows * sizeof(uint64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int c = 0; c < mapping->split->columns; c++)
	{
		ColumnReader *reader = column_open(context, mapping->objects, mapping->parent, mapping->column[c], false);

		for (int64 row = 0; row < rows; row++)
		{
			const char *bytes;
			size_t		length;

			if ((row & 1023) == 0)
				CHECK_FOR_INTERRUPTS();
			if (!column_bytes(reader, row, &bytes, &length))
				bytes = NULL;
			mapping->hash[row] = commit_hash_add(mapping->commit, mapping->hash[row], bytes, length);
		}
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

static void
index_parent(Mapping *mapping)
{
	int64		rows = mapping->parent->rows;
	uint32		slots = 1024;

	while (slots < rows)
		slots *= 2;
	mapping->mask = slots - 1;
	mapping->slot = palloc_extended(slots * sizeof(int32), MCXT_ALLOC_HUGE);
	memset(mapping->slot, -1, slots * sizeof(int32));
	mapping->next = palloc_extended(rows * sizeof(int32), MCXT_ALLOC_HUGE);
	for (int64 row = rows - 1; row >= 0; row--)
	{
		int32	   *slot = &mapping->slot[(mapping->hash[row] >> 20) & mapping->mask];

		mapping->next[row] = *slot;
		*slot = (int32) row;
	}
}

/* ---- the map ---- */

/* Rows of one slot that are looked at to go on behind the last one. */
#define MOST_LOOKED_AT 64

/* The row of the parent with that hash; -1: none. After `last`, where there is one: the order goes on. */
static int64
find_row(const Mapping *mapping, uint64 hash, int64 last)
{
	int64		found = -1;
	int			looked_at = 0;

	if (last + 1 < mapping->parent->rows && mapping->hash[last + 1] == hash)
		return last + 1;
	for (int32 row = mapping->slot[(hash >> 20) & mapping->mask]; row >= 0; row = mapping->next[row])
	{
		if (mapping->hash[row] == hash && (found < 0 || row > last))
			found = row;
		if (found > last || (found >= 0 && ++looked_at > MOST_LOOKED_AT))
			break;
	}
	return found;
}

/* Finds all rows; false: too many are new. */
static bool
map_rows(Mapping *mapping, const RowMap *of_parent)
{
	NewSplit   *split = mapping->split;
	int64		last = -1;

	mapping->head.rows = (uint32) split->rows;
	mapping->head.inherited = of_parent == NULL ? (uint32) mapping->parent->rows : of_parent->head.stored;
	mapping->head.generation = of_parent == NULL ? 1 : of_parent->head.generation + 1;
	if (mapping->head.generation > MOST_GENERATIONS)
		return false;
	mapping->row = palloc_extended(split->rows * sizeof(uint32), MCXT_ALLOC_HUGE);
	mapping->new_row = palloc_extended((split->rows / MOST_NEW + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < split->rows; i++)
	{
		int64		row = find_row(mapping, split->hash[i], last);

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		mapping->runs += row < 0 || row != last + 1;
		if (row >= 0)
		{
			mapping->row[i] = of_parent == NULL ? (uint32) row : of_parent->row[row];
			if (mapping->news == 0)
				split->near = mapping->row[i];
			last = row;
			continue;
		}
		if (mapping->news >= split->rows / MOST_NEW)
			return false;
		mapping->row[i] = mapping->head.inherited + (uint32) mapping->news;
		mapping->new_row[mapping->news++] = i;
	}
	mapping->head.stored = mapping->head.inherited + (uint32) mapping->news;
	return true;
}

/* ---- new rows ---- */

/* The content of a chunk, from the temporary file or the store; NULL: it is not there any more. */
static char *
read_chunk(Mapping *mapping, const PendingChunk *chunk)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *content = palloc_extended(chunk->bytes + 1, MCXT_ALLOC_HUGE);
	int			nest;
	StoreAccess access;
	ObjectInfo	info;
	bool		there;

	if (chunk->at >= 0)
	{
		pending_read(mapping->commit->pending, chunk, 0, chunk->bytes, content);
		return content;
	}
	nest = closed_path_enter();
	store_enter(&access);
	answer_connect();
	there = object_info(mapping->objects, chunk->object, &info) && info.bytes == (uint64) chunk->bytes;
	if (there)
		object_read(mapping->objects, chunk->object, 0, chunk->bytes, content);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	MemoryContextSwitchTo(context);
	return there ? content : NULL;
}

static void
finish_chunk(Mapping *mapping, ChunkBuilder *builder, PendingColumn *pending)
{
	ChunkContent content;

	if (chunk_finish(builder, &content))
		pending_add(mapping->commit->pending, pending, &content, "", 0);
}

static void
keep_chunk(Mapping *mapping, PendingColumn *pending, const PendingChunk *chunk)
{
	ChunkContent nothing = {.rows = 1, .dtype = SPARSE_BYTES, .bytes = "", .length = 0};

	pending_add(mapping->commit->pending, pending, &nothing, "", 0);
	pending->chunk[pending->chunks - 1] = *chunk;
}

/* The new rows of a column as chunks of their own; false: one cannot be read any more. */
static bool
gather_column(Mapping *mapping, const NewColumn *column, PendingColumn *pending)
{
	ChunkBuilder *builder = chunk_builder_create(column->coder, chunk_average(mapping->split->columns));
	MemoryContext builder_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(builder_context, "sparse new rows", ALLOCSET_DEFAULT_SIZES);
	int64		first_row = 0;
	int64		at = 0;

	for (int i = 0; i < column->pending.chunks && at < mapping->news; i++)
	{
		const PendingChunk *chunk = &column->pending.chunk[i];
		int64		end = first_row + chunk->rows;
		ChunkReader reader;
		char	   *content;

		CHECK_FOR_INTERRUPTS();
		if (mapping->new_row[at] < end && chunk->rows == 1)
		{
			/* a long value has a chunk of its own anyway */
			finish_chunk(mapping, builder, pending);
			keep_chunk(mapping, pending, chunk);
			at++;
		}
		else if (mapping->new_row[at] < end)
		{
			MemoryContextSwitchTo(context);
			content = read_chunk(mapping, chunk);
			if (content != NULL)
				chunk_open(&reader, column->coder, chunk->plain, content, chunk->bytes, chunk->rows);
			MemoryContextSwitchTo(builder_context);
			if (content == NULL)
				return false;
			for (; at < mapping->news && mapping->new_row[at] < end; at++)
			{
				const char *bytes;
				size_t		length;

				if (!chunk_value(&reader, (int32) (mapping->new_row[at] - first_row), &bytes, &length))
				{
					bytes = NULL;
					length = 0;
				}
				if (chunk_ends_before(builder, bytes, length))
					finish_chunk(mapping, builder, pending);
				chunk_add(builder, bytes, length);
			}
			MemoryContextReset(context);
		}
		first_row = end;
	}
	finish_chunk(mapping, builder, pending);
	MemoryContextDelete(context);
	return true;
}

/* ---- what is cheaper ---- */

/* The stored bytes of one way and of the other, roughly: measured on tables of five to twenty columns. */
static bool
is_cheaper(const Mapping *mapping, size_t map_bytes, const PendingColumn *pending)
{
	const NewSplit *split = mapping->split;
	int64		as_it_is = fresh_bytes(split) / 128 + 2 * mapping->runs * split->columns;
	int64		by_map = (int64) map_bytes * 5 / 8;

	/* a map whose rows go on as those of the parent's map is predicted from that one */
	if (mapping->head.generation > 1)
		by_map = Min(by_map, 12 * mapping->runs + 64);
	for (int c = 0; c < split->columns; c++)
		for (int i = 0; i < pending[c].chunks; i++)
			by_map += 120 + pending[c].chunk[i].bytes / 3;
	return by_map < as_it_is;
}

/* From now on the split consists of those chunks, and the map. */
static void
take_map(Mapping *mapping, size_t map_bytes, PendingColumn *pending)
{
	NewSplit   *split = mapping->split;
	ChunkContent content = {.rows = 1, .dtype = SPARSE_BYTES, .length = map_bytes};
	char	   *bytes = palloc_extended(map_bytes, MCXT_ALLOC_HUGE);
	int64		before = fresh_bytes(split);

	sparse_rowmap_write(&mapping->head, mapping->row, (uint8 *) bytes);
	content.bytes = bytes;
	for (int c = 0; c < split->columns; c++)
		split->column[c].pending = pending[c];
	mapping->commit->pending->fresh_bytes -= before;
	split->parent_map = mapping->parent->column[mapping->column[0]].map;
	split->stored_rows = mapping->head.stored;
	pending_add(mapping->commit->pending, &split->map, &content, "", 0);
}

static void
find_map(Mapping *mapping)
{
	NewSplit   *split = mapping->split;
	PendingColumn *pending = palloc0(split->columns * sizeof(PendingColumn));
	size_t		bytes;

	hash_parent(mapping);
	index_parent(mapping);
	if (!map_rows(mapping, column_map(column_open(CurrentMemoryContext, mapping->objects, mapping->parent,
												  mapping->column[0], false))))
		return;
	bytes = sparse_rowmap_size(&mapping->head, mapping->row);
	if (bytes == 0 || bytes > SPARSE_MAX_CONTENT)
		return;
	for (int c = 0; c < split->columns; c++)
		if (!gather_column(mapping, &split->column[c], &pending[c]))
			return;
	if (is_cheaper(mapping, bytes, pending))
		take_map(mapping, bytes, pending);
}

void
commit_map_rows(Commit *commit, NewSplit *split, Split *parent)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse map of rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Mapping		mapping = {.commit = commit, .split = split, .parent = parent};

	if (is_worth_it(&mapping))
	{
		mapping.objects = object_reader_create(context, false);
		find_map(&mapping);
		object_reader_free(mapping.objects);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	if (split->hash != NULL)
		pfree(split->hash);
	split->hash = NULL;
}

/* ---- the check ---- */

/* The split as it stands in the store, which the snapshot of the statement does not show yet. */
static Split *
stored_split(const Commit *commit, int number)
{
	const NewSplit *new = &commit->split[number];
	Split	   *split = palloc0(sizeof(Split));

	split->version.id = commit->import.version;
	split->version.name = unconstify(char *, commit->import.name);
	split->version.revision = commit->import.revision;
	split->version.kind = 'd';
	split->ordinal = (int16) number;
	split->name = unconstify(char *, new->name);
	split->rows = new->rows;
	split->columns = new->columns;
	split->column = palloc0(new->columns * sizeof(SplitColumn));
	split->map = palloc0(sizeof(RowMap));
	for (int c = 0; c < new->columns; c++)
	{
		split->column[c].ordinal = (int16) c;
		split->column[c].name = unconstify(char *, new->column[c].name);
		split->column[c].map = new->map.chunk[0].object;
		split->column[c].stored_rows = new->stored_rows;
		split->column[c].coder = new->column[c].coder;
	}
	return split;
}

static bool
column_is_same(Split *split, int column, ObjectReader *objects, const uint8 *stored)
{
	ColumnReader *reader = column_open(CurrentMemoryContext, objects, split, column, false);
	Sha256	   *sum = sha256_create(CurrentMemoryContext);
	uint8		sha256[SPARSE_SHA256_BYTES];

	for (int64 row = 0; row < split->rows; row++)
	{
		const char *bytes = "";
		size_t		length = 0;
		bool		there = column_bytes(reader, row, &bytes, &length);
		uint32		head = there ? (uint32) length : PG_UINT32_MAX;
		uint8		little_endian[4] = {(uint8) head, (uint8) (head >> 8), (uint8) (head >> 16), (uint8) (head >> 24)};

		if ((row & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		sha256_add(sum, little_endian, 4);
		sha256_add(sum, bytes, there ? length : 0);
	}
	sha256_finish(sum, sha256);
	return memcmp(sha256, stored, SPARSE_SHA256_BYTES) == 0;
}

void
commit_check_map(const Commit *commit, int number)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse check of a map", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Split	   *split = stored_split(commit, number);
	ObjectReader *objects = object_reader_create(context, false);

	for (int c = 0; c < split->columns; c++)
		if (!column_is_same(split, c, objects, commit->split[number].column[c].sha256))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("column \"%s\" of the new version is not what was given", split->column[c].name),
					 errdetail("Two rows that differ had the same hash."),
					 errhint("Try again: the next commit hashes otherwise.")));
	object_reader_free(objects);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}
