/*
 * pending.c: chunks on their way to the store (see pending.h).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "model/hash.h"

#include "dataset.h"
#include "pending.h"

/* The file is addressed in pieces, for it may have several segments. */
#define SEGMENT ((int64) 1 << 30)

static StoreQuery known_query = {
	.sql = "select id from sparse.object where sha256 = $1",
	.args = 1, .arg = {BYTEAOID},
	.columns = 1, .column = {INT8OID}};

Pending *
pending_create(void)
{
	Pending    *pending = palloc0(sizeof(Pending));

	pending->context = CurrentMemoryContext;
	pending->sha256 = sha256_create(CurrentMemoryContext);
	/* now: what is made while the query runs ends with its resource owner */
	pending->file = BufFileCreateTemp(false);
	return pending;
}

/* The object of that content, 0: the store has none; asked as its owner, and told to nobody. */
static int64
known_object(const uint8 *sha256)
{
	Datum		value;
	StoreAccess access;
	SPITupleTable *rows;
	int			nest = closed_path_enter();
	int64		known = 0;

	answer_connect();
	value = sha256_datum(sha256);
	store_enter(&access);
	if (query_run(&known_query, &value, NULL, false, &rows) > 0)
		known = row_int64(rows, 0, 1);
	store_leave(&access);
	answer_finish();
	closed_path_leave(nest);
	return known;
}

static void
seek(BufFile *file, int64 at)
{
	if (BufFileSeek(file, (int) (at / SEGMENT), (off_t) (at % SEGMENT), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in a temporary file")));
}

/* Positions are those of BufFile itself, whose segments have 1 GB. */
static void
spill(Pending *pending, PendingChunk *chunk, const char *bytes, size_t length)
{
	if (chunk->at < 0)
		chunk->at = pending->length;
	seek(pending->file, pending->length);
	BufFileWrite(pending->file, unconstify(char *, bytes), length);
	pending->length += length;
}

static PendingChunk *
next_chunk(Pending *pending, PendingColumn *column)
{
	if (column->chunks == column->room)
	{
		size_t		room = Max(16, 2 * (size_t) column->room);

		column->chunk = column->chunk == NULL ?
			MemoryContextAlloc(pending->context, room * sizeof(PendingChunk)) :
			repalloc_huge(column->chunk, room * sizeof(PendingChunk));
		column->room = (int) room;
	}
	memset(&column->chunk[column->chunks], 0, sizeof(PendingChunk));
	return &column->chunk[column->chunks++];
}

void
pending_add(Pending *pending, PendingColumn *column, const ChunkContent *content,
			const char *second, size_t second_length)
{
	PendingChunk *chunk = next_chunk(pending, column);

	sha256_reset(pending->sha256);
	sha256_add(pending->sha256, content->bytes, content->length);
	sha256_add(pending->sha256, second, second_length);
	sha256_finish(pending->sha256, chunk->sha256);
	chunk->rows = content->rows;
	chunk->dtype = content->dtype;
	chunk->plain = content->plain;
	chunk->bytes = content->length + second_length;
	chunk->at = -1;
	chunk->object = known_object(chunk->sha256);
	if (chunk->object != 0)
		return;
	chunk->fresh = true;
	pending->fresh_bytes += chunk->bytes;
	spill(pending, chunk, content->bytes, content->length);
	if (second_length > 0)
		spill(pending, chunk, second, second_length);
}

void
pending_read(Pending *pending, const PendingChunk *chunk, uint64 first, uint64 bytes, char *target)
{
	seek(pending->file, chunk->at + first);
	BufFileReadExact(pending->file, target, bytes);
}
