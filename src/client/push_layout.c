/*
 * push_layout.c: the chunks that the server wants, matched with the local files (see
 * push.h). A layout that does not fit them is refused.
 *
 * Of a tensor that is looked for in its parents all chunks are sent, though it may have some from an earlier run: they
 * may have been predicted from something else.
 */
#include "push.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

enum
{
	COLUMN_FILE, COLUMN_TENSOR, COLUMN_SEQ, COLUMN_OFFSET, COLUMN_BYTES, COLUMN_WANTED, COLUMN_REFS, COLUMNS
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
	if (PQnfields(row) != COLUMNS || PQgetisnull(row, 0, COLUMN_WANTED) || PQgetisnull(row, 0, COLUMN_FILE) ||
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
	chunk->wanted = PQgetvalue(row, 0, COLUMN_WANTED)[0] != 0;
	chunk->predicted = refs.count == 1;
	chunk->prediction = refs.range[0];
	return is_within(chunk);
}

/* ---- units ---- */

static void
add_unit(push *p, push_unit unit)
{
	p->unit = array_grow(p->unit, p->units, sizeof *p->unit);
	p->unit[p->units++] = unit;
}

/* The chunks of one tensor or file. */
static void
add_units(push *p, unsigned long first, unsigned long count)
{
	const push_chunk *chunk = &p->chunk[first];
	bool		wanted = false;

	for (unsigned long i = 0; i < count; i++)
		wanted |= chunk[i].wanted;
	if (wanted && chunk->tensor != NULL && push_kin_has(&p->kin))
		add_unit(p, (push_unit) {.first = first, .count = count, .searched = true, .late = push_kin_is_late(&p->kin, chunk->file, chunk->tensor)});
	else
		for (unsigned long i = 0; i < count; i++)
			if (chunk[i].wanted)
				add_unit(p, (push_unit) {.first = first + i, .count = 1});
}

/* In the order of the chunks, but the late ones last. */
static int
compare_units(const void *a, const void *b)
{
	const push_unit *left = a;
	const push_unit *right = b;

	if (left->late != right->late)
		return left->late ? 1 : -1;
	return (left->first > right->first) - (left->first < right->first);
}

static bool
is_of_the_same(const push_chunk *a, const push_chunk *b)
{
	return a->file == b->file && a->tensor == b->tensor;
}

static void
make_units(push *p)
{
	for (unsigned long first = 0, next; first < p->chunks; first = next)
	{
		for (next = first + 1; next < p->chunks && is_of_the_same(&p->chunk[first], &p->chunk[next]); next++)
			;
		add_units(p, first, next - first);
	}
	qsort(p->unit, p->units, sizeof *p->unit, compare_units);
	for (unsigned long i = 0; i < p->units; i++)
		for (unsigned long j = 0; j < p->unit[i].count; j++)
			p->bytes += p->chunk[p->unit[i].first + j].bytes;
}

void
push_layout(push *p, conn *c)
{
	const char *const value[] = {p->id, p->haves.array};
	PGresult   *row;

	conn_start(c, "select (r).file, (r).tensor, (r).seq, (r).file_offset, (r).bytes, (r).wanted, (r).refs"
			   " from (select @.sparse_layout($1::bigint, $2::text[]) as r offset 0) s", 2, value);
	while ((row = conn_next_row(c)) != NULL)
	{
		push_chunk	chunk;

		if (!read_row(p, row, &chunk))
			fail(STATUS_DAMAGED, "Nothing was sent.", "the server's layout does not fit the files");
		p->chunk = array_grow(p->chunk, p->chunks, sizeof *p->chunk);
		p->chunk[p->chunks++] = chunk;
		PQclear(row);
	}
	make_units(p);
}
