/*
 * receive.c: gets chunks and makes their content (see receive.h).
 */
#include "receive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "codec/hash.h"

const char	received_damaged_hint[] = "pg_sparse verify says whether the store itself is damaged. No file was put in place.";

__attribute__((noreturn))
static void
fail_received(const char *path, uint64_t at, const char *problem)
{
	char		shown[SPARSE_SHOWN];

	fail(STATUS_DAMAGED, received_damaged_hint, "\"%s\", byte %" PRIu64 ": %s",
		 sparse_show_name(shown, path, strlen(path)), at, problem);
}

/* The content of a row, checked; NULL and why not. */
static const uint8_t *
decode(receiver *r, const wire_delta *row, const char **problem)
{
	const uint8_t *prediction = NULL;
	sparse_status status;

	if (row->refs.count > 0)
	{
		prediction = haves_get(r->haves, &r->tape, &row->refs, &r->prediction, problem);
		if (prediction == NULL)
			return NULL;
	}
	if (row->same)
	{
		if (sparse_hash(prediction, (size_t) row->bytes, sparse_simd_best()) == row->content_xxh3)
			return prediction;
		*problem = "a shared chunk is not what the local file has there";
		return NULL;
	}
	wire_reserve(&r->content, (size_t) row->bytes);
	status = sparse_delta_apply(r->codec, row->delta, row->delta_bytes, prediction, (size_t) row->refs.bytes,
								r->content.bytes, r->content.length);
	if (status == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "out of memory");
	*problem = sparse_status_text(status);
	return status == SPARSE_OK ? r->content.bytes : NULL;
}

/* Whether a row goes on where the last one ended, or holds the first byte. */
static const char *
check_place(const receiver *r, const wire_delta *row, const char *path, uint64_t first, uint64_t at, uint64_t end)
{
	if (at >= end)
		return "the server sent more than it was asked for";
	if (strcmp(row->file, path) != 0)
		return "the server sent a chunk of another file";
	if (row->factor)
		return r->factors ? NULL : "the server sent what it was not asked for";
	if (at == first ? row->file_offset > at || row->bytes <= at - row->file_offset : row->file_offset != at)
		return "the server sent chunks out of order, or left some out";
	if (row->bytes > UINT64_MAX / 2 - row->file_offset)
		return "a chunk has an impossible place";
	return NULL;
}

static void
take_factor(receiver *r, const wire_delta *row, const uint8_t *content, uint64_t at)
{
	const char *problem = tape_put(&r->tape, row->file_offset, content, (size_t) row->bytes);

	if (problem != NULL)
		fail_received(row->file, at, problem);
}

/* The byte of the file that has been reached. */
static uint64_t
take_row(receiver *r, const PGresult *result, const char *path, uint64_t first, uint64_t at, uint64_t end,
		 receiver_take take, void *state)
{
	wire_delta	row;
	const char *problem = wire_read_delta(result, &row);
	const uint8_t *content = NULL;

	if (problem == NULL)
		problem = check_place(r, &row, path, first, at, end);
	if (problem == NULL)
		content = decode(r, &row, &problem);
	if (content == NULL)
		fail_received(path, at, problem);
	if (row.factor)
	{
		take_factor(r, &row, content, at);
		return at;
	}
	take(state, &row, content);
	return row.file_offset + row.bytes;
}

/* Of the values alone: what the protocol puts around them is a few bytes for each. */
static uint64_t
bytes_of_row(const PGresult *result)
{
	uint64_t	bytes = 0;

	for (int column = 0; column < PQnfields(result); column++)
		bytes += (uint64_t) PQgetlength(result, 0, column);
	return bytes;
}

void
receive(receiver *r, const char *path, uint64_t first, uint64_t end, receiver_take take, void *state)
{
	char		from[24];
	char		length[24];
	const char *const value[] = {r->version, r->haves->array, path, from, length};
	char	   *sql = format_text("select (d).file, (d).file_offset, (d).bytes, (d).encoding, (d).refs, (d).delta, (d).content_xxh3"
								  " from (select @.sparse_delta%s($1::bigint, $2::text[], $3::text, $4::bigint, $5::bigint) as d offset 0) s",
								  r->factors ? "_factors" : "");
	uint64_t	at = first;
	PGresult   *result;

	snprintf(from, sizeof from, "%" PRIu64, first);
	snprintf(length, sizeof length, "%" PRIu64, end - first);
	tape_begin(&r->tape, end - first);
	conn_start(r->conn, sql, 5, value);
	while ((result = conn_next_row(r->conn)) != NULL)
	{
		*r->sent += bytes_of_row(result);
		at = take_row(r, result, path, first, at, end, take, state);
		PQclear(result);
	}
	if (at < end)
		fail_received(path, at, "the server sent less than it has");
	free(sql);
}

void
receiver_release(receiver *r)
{
	wire_release(&r->prediction);
	wire_release(&r->content);
	tape_release(&r->tape);
}
