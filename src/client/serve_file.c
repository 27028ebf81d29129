/*
 * serve_file.c: files of versions, and tensors of theirs, whole or by ranges (see serve.h).
 *
 * A file is read in blocks, each by a statement of its own: a version does not change, so the
 * blocks are of one file however long that takes. The first is short, for who comes for a
 * header; while each is taken at once they grow with what was taken, more than the system keeps for
 * a client that is slow. So that one keeps little memory, and none keeps a connection to the database.
 */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define FIRST_BLOCK ((uint64_t) 256 << 10)
#define LAST_BLOCK ((uint64_t) 4 << 20)
#define GROWTH 2				/* a block is at most so small a part of what was taken */
#define AT_ONCE 1.0				/* seconds */

typedef struct stream
{
	request    *request;
	char	   *version;		/* id */
	char	   *path;
	uint64_t	first;			/* byte of the file that is the answer's first */
	uint64_t	bytes;
	PGresult   *block;
	uint64_t	block_first;	/* counted as `first` is */
	uint64_t	block_bytes;
	uint64_t	next_block;		/* how long it may be */
	struct timespec taken;		/* when the block came */
} stream;

static double
seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) (now.tv_sec - then->tv_sec) + (double) (now.tv_nsec - then->tv_nsec) / 1e9;
}

/* The block from byte `at` of the file on. Where it cannot be had the answer says why. */
static bool
read_block(stream *s, uint64_t at)
{
	uint64_t	left = s->first + s->bytes - at;
	uint64_t	wanted = left < s->next_block ? left : s->next_block;
	char		offset[24];
	char		length[24];
	const char *const value[] = {s->version, s->path, offset, length};

	PQclear(s->block);
	s->block_bytes = 0;
	snprintf(offset, sizeof offset, "%llu", (unsigned long long) at);
	snprintf(length, sizeof length, "%llu", (unsigned long long) wanted);
	s->block = pool_ask(s->request->hub->pool, s->request->role, false,
						"select @.sparse_read($1::bigint, $2::text, $3::bigint, $4::bigint)", 4, value, true);
	if (PQresultStatus(s->block) != PGRES_TUPLES_OK || (uint64_t) PQgetlength(s->block, 0, 0) != wanted)
		return false;
	s->block_first = at;
	s->block_bytes = wanted;
	clock_gettime(CLOCK_MONOTONIC, &s->taken);
	return true;
}

static ssize_t
read_stream(void *state, uint64_t position, char *buffer, size_t most)
{
	stream	   *s = state;
	uint64_t	at = s->first + position;
	uint64_t	left;

	if (at >= s->block_first + s->block_bytes)
	{
		s->next_block = seconds_since(&s->taken) < AT_ONCE ? position / GROWTH : FIRST_BLOCK;
		s->next_block = s->next_block < FIRST_BLOCK ? FIRST_BLOCK : s->next_block > LAST_BLOCK ? LAST_BLOCK : s->next_block;
		/* the length was promised: a short answer is how HTTP says that it broke off */
		if (!read_block(s, at))
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	left = s->block_first + s->block_bytes - at;
	if (left < most)
		most = (size_t) left;
	memcpy(buffer, PQgetvalue(s->block, 0, 0) + (at - s->block_first), most);
	atomic_fetch_add(&s->request->sent, most);
	return (ssize_t) most;
}

static void
end_stream(void *state)
{
	stream	   *s = state;

	PQclear(s->block);
	free(s->version);
	free(s->path);
	free(s);
}

/* What a version has under a path: one row, of where the bytes are and what they are called. */
static const char find_file[] =
WITH_VERSION
" select " HAS_NAME ", v.id, v.commit, f.bytes, encode(f.sha256, 'hex'),"
" coalesce(t.first_byte, 0), coalesce(t.bytes, f.bytes), case when $4::text is null then encode(f.sha256, 'hex') else encode(t.sha256, 'hex') end"
" from (select 1) one left join v on true"
" left join lateral (select * from @.sparse_files(v.id) where path = $3::text) f on v.id is not null"
" left join lateral (select * from @.sparse_tensors(v.id) where file = $3::text and name = $4::text) t on $4::text is not null and v.id is not null";

static const char *
type_of(const char *path)
{
	static const struct
	{
		const char *end;
		const char *type;
	}			known[] = {
		{".json", "application/json"}, {".md", "text/markdown; charset=utf-8"}, {".txt", "text/plain; charset=utf-8"},
		{".py", "text/plain; charset=utf-8"}, {".yaml", "text/plain; charset=utf-8"}, {".jinja", "text/plain; charset=utf-8"}
	};
	size_t		length = strlen(path);

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (length > strlen(known[i].end) && strcmp(path + length - strlen(known[i].end), known[i].end) == 0)
			return known[i].type;
	return "application/octet-stream";
}

/* The last part of a path in a header: what is not plain is written as RFC 5987 has it. */
static void
say_name(request *r, const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char	   *coded = allocate(3 * strlen(name) + 1);
	char	   *to = coded;

	for (const char *at = name; *at; at++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *at))
			*to++ = *at;
		else
			to += sprintf(to, "%%%02X", (unsigned char) *at);
	*to = '\0';
	answer_header(r, "Content-Disposition", "inline; filename*=UTF-8''%s; filename=\"%s\"", coded, coded);
	free(coded);
}

/* Of what was found: the conditions of the request, then its range, then the bytes. */
static enum MHD_Result
answer_found(request *r, const PGresult *found, const char *path)
{
	const char *tag = PQgetvalue(found, 0, 7);
	const char *wants = request_header(r, "Range");
	const char *only_if = request_header(r, "If-Range");
	const char *match = request_header(r, "If-Match");
	uint64_t	size = strtoull(PQgetvalue(found, 0, 6), NULL, 10);
	uint64_t	first = 0;
	uint64_t	bytes = size;
	bool		bad = false;
	bool		part;
	stream	   *s;

	answer_header(r, "ETag", "\"%s\"", tag);
	answer_header(r, "X-Repo-Commit", "%s", PQgetvalue(found, 0, 2));
	answer_header(r, "X-Linked-Size", "%llu", (unsigned long long) size);
	answer_header(r, "X-Linked-ETag", "\"%s\"", tag);
	answer_header(r, "Accept-Ranges", "bytes");
	answer_header(r, "Vary", "Authorization");
	answer_header(r, "Cache-Control", "private, no-cache");
	if (match && !tag_matches(match, tag))
		return answer_nothing(r, 412);
	if (tag_matches(request_header(r, "If-None-Match"), tag))
		return answer_nothing(r, 304);
	if (only_if && !tag_matches(only_if, tag))
		wants = NULL;
	part = parse_range(wants, size, &first, &bytes, &bad);
	if (bad)
	{
		answer_header(r, "Content-Range", "bytes */%llu", (unsigned long long) size);
		return answer_nothing(r, 416);
	}
	if (part)
		answer_header(r, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long) first,
					  (unsigned long long) (first + bytes - 1), (unsigned long long) size);
	say_name(r, path);
	s = allocate(sizeof *s);
	*s = (stream) {.request = r, .version = format_text("%s", PQgetvalue(found, 0, 1)), .path = format_text("%s", path),
		.first = strtoull(PQgetvalue(found, 0, 5), NULL, 10) + first, .bytes = bytes, .next_block = FIRST_BLOCK};
	/* while it can still be said that there is none */
	if (strcmp(r->method, "HEAD") != 0 && bytes > 0 && !read_block(s, s->first))
	{
		PGresult   *refused = s->block;

		s->block = NULL;
		end_stream(s);
		r->headers = 0;
		return answer_refusal(r, refused);
	}
	return answer_stream(r, part ? 206 : 200, type_of(path), bytes, read_stream, s, end_stream);
}

enum MHD_Result
file_answer(request *r, const char *name, const char *revision, const char *path)
{
	const char *const value[] = {name, revision, path, request_argument(r, "tensor")};
	PGresult   *found = request_ask(r, find_file, 4, value);
	enum MHD_Result result;

	if (PQresultStatus(found) != PGRES_TUPLES_OK)
		return answer_refusal(r, found);
	if (strcmp(PQgetvalue(found, 0, 0), "t") != 0)
		result = answer_failure(r, NO_REPO, "Repository not found: %s", name);
	else if (PQgetisnull(found, 0, 1))
		result = answer_failure(r, NO_REVISION, "Revision not found: %s", revision);
	else if (PQgetisnull(found, 0, 3) || PQgetisnull(found, 0, 7))
	{
		answer_header(r, "X-Repo-Commit", "%s", PQgetvalue(found, 0, 2));
		result = answer_failure(r, NO_ENTRY, "Entry not found: %s", path);
	}
	else
		result = answer_found(r, found, path);
	PQclear(found);
	return result;
}
