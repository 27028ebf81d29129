/*
 * have.c: opens local copies, asks which of them the server knows, and reads
 * predictions out of them (see have.h).
 */
#include "have.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "folder.h"

#define MAX_HAVES 1000			/* as docs/wire.md has it */

static void
add_file(void *state, const char *path, const char *relative)
{
	haves	   *h = state;

	(void) relative;
	h->file = array_grow(h->file, h->count, sizeof *h->file);
	h->file[h->count++] = (have_file) {.path = format_text("%s", path)};
}

void
haves_open(haves *h, const name_list *paths, hash_jobs *jobs)
{
	*h = (haves) {0};
	for (unsigned long i = 0; i < paths->count; i++)
		folder_walk(paths->name[i], add_file, NULL, h);
	/* only now: the array has stopped growing, so that pointers into it last */
	for (unsigned long i = 0; i < h->count; i++)
	{
		have_file  *file = &h->file[i];
		char		error[SPARSE_MESSAGE];

		model_open_any(&file->content, file->path, error);
		source_map(&file->content.file);
		hash_add(jobs, &file->content.file, 0, file->content.file.bytes, file->sha256);
	}
}

/* The newest version that holds the file, or none. */
static void
find_version(have_file *file, conn *c)
{
	char		digest[2 * SHA256_BYTES + 1];
	const char *value[] = {digest};
	PGresult   *result;

	sha256_text(file->sha256, digest);
	result = conn_query(c, "select version::text from @.sparse_find_file(decode($1, 'hex')) limit 1", 1, value);
	if (PQntuples(result) > 0)
		snprintf(file->version, sizeof file->version, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
}

static void
close_file(have_file *file)
{
	model_close(&file->content);
	free(file->path);
}

void
haves_find(haves *h, conn *c)
{
	for (unsigned long i = 0; i < h->count; i++)
		find_version(&h->file[i], c);
}

void
haves_ask(haves *h, conn *c)
{
	char	  **element;
	unsigned long known = 0;

	haves_find(h, c);
	for (unsigned long i = 0; i < h->count; i++)
	{
		if (h->file[i].version[0] == '\0')
		{
			if (h->file[i].content.kind != SPARSE_FILE_BYTES)
				warn("\"%s\" is no help: no version in the store has its content", h->file[i].path);
			close_file(&h->file[i]);
		}
		else
			h->file[known++] = h->file[i];
	}
	if (known > MAX_HAVES)
		fail(STATUS_USAGE, "Name the files that matter, rather than the folder.",
			 "%lu local files are known to the store, of which at most %d can be used", known, MAX_HAVES);
	h->count = known;
	element = allocate(known * sizeof *element);
	for (unsigned long i = 0; i < known; i++)
	{
		char		digest[2 * SHA256_BYTES + 1];

		sha256_text(h->file[i].sha256, digest);
		element[i] = format_text("sha256:%s", digest);
	}
	h->array = wire_text_array((const char *const *) element, known);
	for (unsigned long i = 0; i < known; i++)
		free(element[i]);
	free(element);
}

/* The file of a range that lies within it, or NULL. */
static const have_file *
file_of(const haves *h, const wire_range *range)
{
	const have_file *file;

	if (range->element == 0 || range->element > h->count || range->file != 0)
		return NULL;
	file = &h->file[range->element - 1];
	if (range->first > file->content.file.bytes || range->bytes > file->content.file.bytes - range->first)
		return NULL;
	return file;
}

/* Whether a range is one of what the server sent before. */
static bool
is_on_tape(const wire_range *range)
{
	return range->element == 0 && range->file == 0;
}

/* Reads a range; false where it is not there. */
static bool
read_range(const haves *h, const tape *t, const wire_range *range, uint8_t *bytes)
{
	const have_file *file = file_of(h, range);

	if (is_on_tape(range))
		return t != NULL && tape_get(t, range->first, bytes, (size_t) range->bytes);
	if (file != NULL)
		source_read(&file->content.file, range->first, bytes, (size_t) range->bytes);
	return file != NULL;
}

const uint8_t *
haves_get(const haves *h, const tape *t, const wire_refs *refs, wire_buffer *buffer, const char **problem)
{
	const have_file *file = refs->count == 1 ? file_of(h, &refs->range[0]) : NULL;
	size_t		at = 0;

	if (refs->bytes == 0)
	{
		*problem = "a chunk refers to no bytes at all";
		return NULL;
	}
	wire_reserve(buffer, (size_t) refs->bytes);
	if (file != NULL)
		return source_get(&file->content.file, refs->range[0].first, (size_t) refs->bytes, buffer->bytes);
	for (unsigned i = 0; i < refs->count; i++)
	{
		if (!read_range(h, t, &refs->range[i], buffer->bytes + at))
		{
			*problem = "a chunk refers to bytes that are not there";
			return NULL;
		}
		at += (size_t) refs->range[i].bytes;
	}
	return buffer->bytes;
}

/* The tensor that holds a byte counted from the end of the header: the last that begins at or before it. */
static const sparse_tensor *
tensor_at(const sparse_layout *header, uint64_t byte)
{
	uint32_t	low = 0;
	uint32_t	high = header->tensors;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (header->tensor[middle].first <= byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &header->tensor[low - 1] : NULL;
}

bool
haves_locate(const haves *h, const wire_range *range, sparse_dtype dtype, sparse_ref *ref)
{
	const have_file *file = file_of(h, range);
	unsigned	element = sparse_dtype_get(dtype)->bytes;
	uint64_t	first;

	if (file == NULL || range->bytes == 0)
		return false;
	first = range->first;
	if (file->content.kind != SPARSE_FILE_BYTES && first >= file->content.header.header_bytes)
	{
		const sparse_tensor *tensor = tensor_at(&file->content.header, first - file->content.header.header_bytes);

		if (tensor == NULL)
			return false;
		first -= file->content.header.header_bytes + tensor->first;
		if (first > tensor->bytes || range->bytes > tensor->bytes - first)
			return false;
	}
	if (first % element != 0 || range->bytes % element != 0)
		return false;
	*ref = (sparse_ref) {0, dtype, first / element, range->bytes / element};
	return true;
}

void
haves_close(haves *h)
{
	for (unsigned long i = 0; i < h->count; i++)
		close_file(&h->file[i]);
	free(h->file);
	free(h->array);
	*h = (haves) {0};
}
