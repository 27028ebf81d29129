/*
 * pull_version.c: what there is to pull: files, and where their chunks begin (see
 * pull.h).
 */
#include "pull.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "codec/grid.h"
#include "plan/path.h"

__attribute__((noreturn))
static void
fail_listing(void)
{
	fail(STATUS_DAMAGED, "Nothing was written.", "the server's list of files is malformed");
}

uint64_t
pull_get_number(const PGresult *result, int row, int column, uint64_t most)
{
	char	   *end;
	const char *text = PQgetvalue(result, row, column);
	unsigned long long value = strtoull(text, &end, 10);

	if (end == text || *end != '\0' || text[0] == '-' || value > most)
		fail_listing();
	return value;
}

static void
take_file(pull_version *v, const PGresult *result, int row, const patterns *files)
{
	const char *path = PQgetvalue(result, row, 0);
	pull_file  *file = &v->file[v->count];

	if (!sparse_path_is_safe(path))
		fail(STATUS_DAMAGED, "Nothing was written.", "a file of the version has a path that leads elsewhere");
	/* a path that comes twice would be two files of one place */
	if (row > 0 && strcmp(PQgetvalue(result, row - 1, 0), path) >= 0)
		fail_listing();
	if (!patterns_take(files, path))
		return;
	v->count++;
	*file = (pull_file) {.path = format_text("%s", path), .bytes = pull_get_number(result, row, 1, INT64_MAX)};
	if (!wire_parse_hex(PQgetvalue(result, row, 2), file->sha256, SHA256_BYTES) ||
		file->bytes > INT64_MAX - v->bytes)
		fail_listing();
	v->bytes += file->bytes;
}

void
pull_version_open(pull_version *v, conn *c, const char *reference, const patterns *files)
{
	const char *value[] = {reference};
	PGresult   *result = conn_query(c, "select @.sparse_version_id($1::text)", 1, value);

	*v = (pull_version) {.taken = files};
	snprintf(v->id, sizeof v->id, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	value[0] = v->id;
	result = conn_query(c, "select path, bytes, encode(sha256, 'hex') from @.sparse_files($1::bigint) order by ordinal", 1, value);
	v->file = allocate((unsigned long) PQntuples(result) * sizeof *v->file);
	for (int row = 0; row < PQntuples(result); row++)
		take_file(v, result, row, files);
	v->alone = PQntuples(result) == 1;
	if (v->count == 0 && PQntuples(result) > 0)
		fail(STATUS_REFUSED, "pg_sparse show lists the files of a version.", "none of the files of \"%s\" is meant", reference);
	PQclear(result);
	v->factors = conn_may_call(c, "sparse_delta_factors(bigint, text[], text, bigint, bigint)");
}

/* ---- cuts ---- */

static void
take_cut(pull_file *file, const PGresult *result, int row)
{
	const char *dtype = PQgetvalue(result, row, 1);
	uint64_t	bytes = pull_get_number(result, row, 3, file->bytes);
	uint64_t	rows = pull_get_number(result, row, 4, INT64_MAX);
	sparse_dtype known;
	uint64_t	element = sparse_dtype_find(dtype, strlen(dtype), &known) ? sparse_dtype_get(known)->bytes : 1;

	file->cut = array_grow(file->cut, file->cuts, sizeof *file->cut);
	file->cut[file->cuts++] = (pull_cut) {
		pull_get_number(result, row, 2, file->bytes),
		sparse_grid_chunk_bytes(rows > 0 ? bytes / rows : 0, element, SPARSE_CHUNK_TARGET)
	};
}

void
pull_version_cuts(pull_version *v, conn *c)
{
	const char *const value[] = {v->id};
	PGresult   *result = conn_query(c, "select file, dtype, first_byte, bytes, coalesce(shape[1], 0) from @.sparse_tensors($1::bigint)", 1, value);
	unsigned long at = 0;

	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *path = PQgetvalue(result, row, 0);

		if (!patterns_take(v->taken, path))
			continue;
		/* in order of files: the list goes on, or back where the server does not keep that order */
		for (unsigned long tries = 0; tries < v->count && strcmp(v->file[at].path, path) != 0; tries++)
			at = (at + 1) % v->count;
		if (v->count == 0 || strcmp(v->file[at].path, path) != 0)
			fail_listing();
		take_cut(&v->file[at], result, row);
	}
	PQclear(result);
}

/* The last tensor that begins at or before a byte; NULL where there is none. */
static const pull_cut *
cut_at(const pull_file *file, uint64_t byte)
{
	unsigned long low = 0;
	unsigned long high = file->cuts;

	while (low < high)
	{
		unsigned long middle = low + (high - low) / 2;

		if (file->cut[middle].first <= byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &file->cut[low - 1] : NULL;
}

uint64_t
pull_next_cut(const pull_file *file, uint64_t at, uint64_t end, uint64_t wanted)
{
	static const pull_cut plain = {0, SPARSE_CHUNK_TARGET};
	const pull_cut *cut;
	uint64_t	place;

	if (end - at <= wanted + wanted / 2)
		return end;
	cut = cut_at(file, at + wanted);
	if (cut == NULL)
		cut = &plain;
	else if (cut->first > at && at + wanted - cut->first <= wanted / 2)
		return cut->first;
	place = cut->first + (at + wanted - cut->first) / cut->chunk_bytes * cut->chunk_bytes;
	return place > at ? place : at + wanted;
}

void
pull_version_close(pull_version *v)
{
	for (unsigned long i = 0; i < v->count; i++)
	{
		free(v->file[i].path);
		free(v->file[i].place);
		free(v->file[i].cut);
	}
	free(v->file);
	*v = (pull_version) {0};
}
