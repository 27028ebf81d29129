/*
 * push_layout.c: the chunks that the server wants, matched with the local files (see
 * push.h). A layout that does not fit them is refused.
 */
#include "push.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

enum
{
	COLUMN_FILE, COLUMN_TENSOR, COLUMN_SEQ, COLUMN_OFFSET, COLUMN_BYTES, COLUMN_REFS
};

/* Whether the chunk lies within its tensor, or file, and is of whole elements. */
static bool
is_within(const push_chunk *chunk)
{
	const model *content = &chunk->file->content;
	uint64_t	first = 0;
	uint64_t	bytes = content->file.bytes;
	unsigned	element = 1;

	if (chunk->tensor)
	{
		first = content->header.header_bytes + chunk->tensor->first;
		bytes = chunk->tensor->bytes;
		element = sparse_dtype_get(chunk->tensor->dtype)->bytes;
	}
	return chunk->bytes > 0 && chunk->bytes <= SPARSE_MAX_CONTENT && chunk->bytes % element == 0 &&
		chunk->file_offset >= first && chunk->file_offset - first <= bytes &&
		chunk->bytes <= bytes - (chunk->file_offset - first);
}

static bool
read_row(const push *p, const PGresult *row, push_chunk *chunk)
{
	wire_refs	refs;

	*chunk = (push_chunk) {0};
	if (PQnfields(row) != 6 || PQgetisnull(row, 0, COLUMN_FILE) ||
		!wire_get_int4(row, 0, COLUMN_SEQ, &chunk->seq) || !wire_get_int8(row, 0, COLUMN_OFFSET, &chunk->file_offset) ||
		!wire_get_int8(row, 0, COLUMN_BYTES, &chunk->bytes) || !wire_get_refs(row, 0, COLUMN_REFS, &refs))
		return false;
	chunk->file = local_find(&p->local, PQgetvalue(row, 0, COLUMN_FILE));
	if (chunk->file == NULL)
		return false;
	if (!PQgetisnull(row, 0, COLUMN_TENSOR))
	{
		chunk->tensor = model_find(&chunk->file->content, PQgetvalue(row, 0, COLUMN_TENSOR));
		if (chunk->tensor == NULL)
			return false;
	}
	chunk->predicted = refs.count == 1;
	chunk->prediction = refs.range[0];
	return is_within(chunk);
}

void
push_layout(push *p, conn *c)
{
	const char *const value[] = {p->id, p->haves.array};
	PGresult   *row;

	conn_start(c, "select (r).file, (r).tensor, (r).seq, (r).file_offset, (r).bytes, (r).refs"
			   " from (select @.sparse_layout($1::bigint, $2::text[]) as r offset 0) s where (r).wanted", 2, value);
	while ((row = conn_next_row(c)) != NULL)
	{
		push_chunk	chunk;

		if (!read_row(p, row, &chunk))
			fail(STATUS_DAMAGED, "Nothing was sent.", "the server's layout does not fit the files");
		p->chunk = array_grow(p->chunk, p->chunks, sizeof *p->chunk);
		p->chunk[p->chunks++] = chunk;
		p->bytes += chunk.bytes;
		PQclear(row);
	}
}
