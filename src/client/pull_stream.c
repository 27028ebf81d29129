/*
 * pull_stream.c: what is pulled in order: a file to standard output, or some tensors
 * as a safetensors file of their own.
 *
 * Neither is resumed. Standard output has had its bytes when their SHA-256 turns out
 * wrong: the exit code tells. A file of tensors gets its name only when each is right.
 */
#include "pull.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "codec/blocks.h"
#include "codec/safetensors.h"
#include "plan/format.h"
#include "receive.h"
#include "table.h"

typedef struct stream
{
	bool		to_stdout;		/* else to the program's output */
	uint64_t	first;			/* of the range wanted */
	uint64_t	end;
	sha256	   *sum;
} stream;

static void
put(const stream *s, const void *bytes, size_t length)
{
	const char *at = bytes;

	if (!s->to_stdout)
	{
		output_write(bytes, length);
		return;
	}
	while (length > 0)
	{
		ssize_t		written = write(STDOUT_FILENO, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			fail_file("write to", "standard output");
		at += written;
		length -= (size_t) written;
	}
}

/* Of a chunk, what lies within the range. */
static void
take_chunk(void *state, const wire_delta *row, const uint8_t *content)
{
	stream	   *s = state;
	uint64_t	first = row->file_offset < s->first ? s->first : row->file_offset;
	uint64_t	end = row->file_offset + row->bytes < s->end ? row->file_offset + row->bytes : s->end;

	sha256_add(s->sum, content + (first - row->file_offset), (size_t) (end - first));
	put(s, content + (first - row->file_offset), (size_t) (end - first));
}

static void
stream_range(receiver *r, stream *s, const char *path, uint64_t first, uint64_t bytes,
			 const uint8_t sha256[SHA256_BYTES])
{
	uint8_t		digest[SHA256_BYTES];

	s->first = first;
	s->end = first + bytes;
	s->sum = sha256_create();
	if (bytes > 0)
		receive(r, path, first, first + bytes, take_chunk, s);
	sha256_finish(s->sum, digest);
	if (memcmp(digest, sha256, SHA256_BYTES) != 0)
		fail(STATUS_DAMAGED, s->to_stdout ? "Do not use what was written to standard output." : received_damaged_hint,
			 "\"%s\": the SHA-256 of what was received is not the one that it ought to have", path);
}

static void
receiver_open(receiver *r, conn *c, pull_version *v, const haves *h, const char *beside)
{
	*r = (receiver) {.conn = c, .codec = sparse_codec_create(NULL), .version = v->id, .haves = h, .sent = &v->sent,
	.factors = v->factors, .tape = {.beside = beside}};
	if (r->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
}

static void
receiver_close(receiver *r)
{
	sparse_codec_free(r->codec);
	receiver_release(r);
}

static void
refuse_terminal(void)
{
	if (isatty(STDOUT_FILENO))
		fail(STATUS_USAGE, "Redirect it, or give -o FILE.", "a model is not for a terminal");
}

void
pull_stream(conn *c, pull_version *v, const haves *h)
{
	stream		s = {.to_stdout = true};
	receiver	r;

	if (v->count != 1)
		fail(STATUS_USAGE, "Give a folder: -o FOLDER.", "the version has %lu files: standard output takes one", v->count);
	refuse_terminal();
	receiver_open(&r, c, v, h, NULL);
	stream_range(&r, &s, v->file[0].path, 0, v->file[0].bytes, v->file[0].sha256);
	v->wanted = v->file[0].bytes;
	receiver_close(&r);
}

/* ---- tensors ---- */

enum
{
	COLUMN_FILE, COLUMN_NAME, COLUMN_DTYPE, COLUMN_SHAPE, COLUMN_FIRST, COLUMN_BYTES, COLUMN_SHA256, COLUMN_ROWS
};

/* Each name once, and none missing. */
static void
check_names(const PGresult *tensors, const name_list *names)
{
	for (unsigned long i = 0; i < names->count; i++)
	{
		int			found = 0;

		for (int row = 0; row < PQntuples(tensors); row++)
			found += strcmp(PQgetvalue(tensors, row, COLUMN_NAME), names->name[i]) == 0;
		if (found == 0)
			fail(STATUS_REFUSED, "pg_sparse show --all lists them.", "the version has no tensor \"%s\"", names->name[i]);
		if (found > 1)
			fail(STATUS_REFUSED, "Pull the whole version.", "%d files of the version have a tensor \"%s\"", found, names->name[i]);
	}
}

/* The bytes of the version's file of that path; none where it has no such file. */
static uint64_t
bytes_of_file(const pull_version *v, const char *path)
{
	for (unsigned long i = 0; i < v->count; i++)
		if (strcmp(v->file[i].path, path) == 0)
			return v->file[i].bytes;
	return 0;
}

/* The bytes of a version's file, [0, length). NULL where the server gives others. The caller frees them. */
static uint8_t *
read_beginning(conn *c, const pull_version *v, const char *path, uint64_t length)
{
	char		number[24];
	const char *const value[] = {v->id, path, number};
	PGresult   *result;
	uint8_t    *bytes = allocate((unsigned long) length + 1);

	snprintf(number, sizeof number, "%llu", (unsigned long long) length);
	result = conn_query(c, "select encode(@.sparse_read($1::bigint, $2::text, 0, $3::bigint), 'hex')", 3, value);
	if (!wire_parse_hex(PQgetvalue(result, 0, 0), bytes, (size_t) length))
	{
		free(bytes);
		bytes = NULL;
	}
	PQclear(result);
	return bytes;
}

/* The pairs of a header's __metadata__, without what stands already in `keys`. */
static void
print_metadata(FILE *out, const sparse_layout *header, name_list *keys)
{
	const char *at = header->metadata;

	for (uint32_t i = 0; i < header->metadata_pairs; i++)
	{
		const char *key = at;
		const char *value = key + strlen(key) + 1;
		bool		known = false;

		at = value + strlen(value) + 1;
		for (unsigned long k = 0; k < keys->count; k++)
			known |= strcmp(keys->name[k], key) == 0;
		if (known)
			continue;
		fputs(keys->count > 0 ? "," : "\"__metadata__\":{", out);
		json_string(out, key);
		fputc(':', out);
		json_string(out, value);
		keys->name = array_grow(keys->name, keys->count, sizeof *keys->name);
		keys->name[keys->count++] = format_text("%s", key);
	}
}

static void
add_metadata(FILE *out, conn *c, const pull_version *v, const char *path, name_list *keys)
{
	uint64_t	file_bytes = bytes_of_file(v, path);
	char		error[SPARSE_MESSAGE];
	uint64_t	length;
	sparse_layout header;
	const uint64_t first = file_bytes < SPARSE_FORMAT_FIRST ? file_bytes : SPARSE_FORMAT_FIRST;
	uint8_t    *bytes = read_beginning(c, v, path, first);
	const sparse_file_kind kind = bytes ? sparse_file_recognise(bytes, (size_t) first, file_bytes) : SPARSE_FILE_BYTES;
	const bool	foreign = kind != SPARSE_FILE_BYTES && kind != SPARSE_FILE_SAFETENSORS;
	bool		good = kind == SPARSE_FILE_SAFETENSORS && sparse_safetensors_header_bytes(bytes, file_bytes, &length, error, sizeof error) == SPARSE_OK;

	free(bytes);
	if (foreign)
		return;
	bytes = good ? read_beginning(c, v, path, length) : NULL;
	if (bytes == NULL || sparse_safetensors_parse(NULL, NULL, bytes, length, file_bytes, &header, error, sizeof error) != SPARSE_OK)
		fail(STATUS_DAMAGED, received_damaged_hint, "the header of \"%s\" is malformed", path);
	print_metadata(out, &header, keys);
	sparse_layout_free(NULL, &header);
	free(bytes);
}

/* What the files that the tensors come from say of themselves: loaders look there for the format. Of a key that several have, the first. */
static bool
print_metadata_of(FILE *out, conn *c, const pull_version *v, const PGresult *tensors)
{
	name_list	keys = {0};
	bool		some;

	for (int row = 0; row < PQntuples(tensors); row++)
		if (row == 0 || strcmp(PQgetvalue(tensors, row - 1, COLUMN_FILE), PQgetvalue(tensors, row, COLUMN_FILE)) != 0)
			add_metadata(out, c, v, PQgetvalue(tensors, row, COLUMN_FILE), &keys);
	some = keys.count > 0;
	fputs(some ? "}" : "", out);
	for (unsigned long k = 0; k < keys.count; k++)
		free((char *) keys.name[k]);
	free(keys.name);
	return some;
}

/* Whether a tensor is of ggml's blocks, which safetensors does not know: it becomes rows of bytes. */
static bool
is_in_blocks(const PGresult *tensors, int row)
{
	const sparse_block_type *type = sparse_block_named(PQgetvalue(tensors, row, COLUMN_DTYPE));

	return type != NULL && type->elements > 1;
}

/* The header of a file of these tensors alone. The caller frees it. */
static char *
make_header(conn *c, const pull_version *v, const PGresult *tensors, size_t *bytes)
{
	char	   *text;
	uint64_t	at = 0;
	bool		some;
	FILE	   *out = open_memstream(&text, bytes);

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	fputc('{', out);
	some = print_metadata_of(out, c, v, tensors);
	for (int row = 0; row < PQntuples(tensors); row++)
	{
		uint64_t	end = at + pull_get_number(tensors, row, COLUMN_BYTES, INT64_MAX - at);

		fputs(row > 0 || some ? "," : "", out);
		json_string(out, PQgetvalue(tensors, row, COLUMN_NAME));
		fprintf(out, ":{\"dtype\":");
		json_string(out, is_in_blocks(tensors, row) ? "U8" : PQgetvalue(tensors, row, COLUMN_DTYPE));
		fprintf(out, ",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
				PQgetvalue(tensors, row, is_in_blocks(tensors, row) ? COLUMN_ROWS : COLUMN_SHAPE),
				(unsigned long long) at, (unsigned long long) end);
		at = end;
	}
	fputc('}', out);
	for (long length = ftell(out); length % 8 != 0; length++)
		fputc(' ', out);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	return text;
}

static void
put_header(conn *c, const pull_version *v, const stream *s, const PGresult *tensors)
{
	size_t		bytes;
	char	   *header = make_header(c, v, tensors, &bytes);
	uint8_t		length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t) ((uint64_t) bytes >> (8 * i));
	put(s, length, sizeof length);
	put(s, header, bytes);
	free(header);
}

static void
put_tensor(receiver *r, stream *s, pull_version *v, const PGresult *tensors, int row)
{
	const char *path = PQgetvalue(tensors, row, COLUMN_FILE);
	uint64_t	file_bytes = bytes_of_file(v, path);
	uint64_t	first = pull_get_number(tensors, row, COLUMN_FIRST, file_bytes);
	uint64_t	bytes = pull_get_number(tensors, row, COLUMN_BYTES, file_bytes - first);
	uint8_t		sha256[SHA256_BYTES];

	if (!wire_parse_hex(PQgetvalue(tensors, row, COLUMN_SHA256), sha256, SHA256_BYTES))
		fail(STATUS_DAMAGED, received_damaged_hint, "the server's list of tensors is malformed");
	stream_range(r, s, path, first, bytes, sha256);
	v->wanted += bytes;
}

void
pull_tensors(conn *c, pull_version *v, const haves *h, const remote *options)
{
	char	   *names = wire_text_array(options->tensors.name, options->tensors.count);
	const char *const value[] = {v->id, names};
	PGresult   *tensors = conn_query(c, "select t.file, t.name, t.dtype, array_to_json(t.shape), t.first_byte, t.bytes, encode(t.sha256, 'hex'),"
									 " array_to_json(array[coalesce(nullif(t.shape[1], 0), 1), t.bytes / coalesce(nullif(t.shape[1], 0), 1)])"
									 " from @.sparse_tensors($1::bigint) with ordinality t (file, name, dtype, shape, first_byte, bytes, sha256, predictor, depth, chunks, stored_bytes, n)"
									 " where t.name = any ($2::text[]) order by t.n", 2, value);
	stream		s = {.to_stdout = strcmp(options->output, "-") == 0};
	receiver	r;

	check_names(tensors, &options->tensors);
	if (s.to_stdout)
		refuse_terminal();
	else
		output_create(options->output, NULL, 0);
	receiver_open(&r, c, v, h, s.to_stdout ? NULL : options->output);
	put_header(c, v, &s, tensors);
	for (int row = 0; row < PQntuples(tensors); row++)
		put_tensor(&r, &s, v, tensors, row);
	if (!s.to_stdout)
		output_commit();
	receiver_close(&r);
	PQclear(tensors);
	free(names);
}
