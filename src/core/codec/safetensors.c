/*
 * safetensors.c: checks the framing of a safetensors file.
 *
 * What concerns several tensors at once (equal names, overlaps, gaps) is checked
 * here; each entry by itself in safetensors_entries.c.
 *
 * Where the format's description and its reference implementation leave room, we
 * follow the stricter for what is written twice (a tensor, __metadata__ or a key in
 * it, dtype, shape or data_offsets of an entry are refused; a key that is ignored is
 * ignored twice) and the reference for the rest: unknown keys of an entry are ignored, entries
 * are walked in the order of (begin, end) and each must begin where the one before
 * it ended, a shape's product may overflow at no step.
 */
#include "safetensors.h"

#include <string.h>
#include <xxhash.h>

#include "message.h"
#include "safetensors_entries.h"

#define REFUSE(parser, ...) sparse_complain((parser)->error, (parser)->error_size, __VA_ARGS__)

/* Where a message goes, and room for the name in it. */
typedef struct complaint
{
	char	   *error;
	size_t		error_size;
	char		shown[SPARSE_SHOWN];
} complaint;

/* ---- the order of the bytes ---- */

/* The tensors, in order, must lie side by side and fill the file. */
static bool
check_tiling(sparse_layout *parsed, uint64_t file_bytes, complaint *c)
{
	uint64_t	end = 0;

	for (uint32_t i = 0; i < parsed->tensors; i++)
	{
		const sparse_tensor *tensor = &parsed->tensor[i];

		sparse_show_name(c->shown, tensor->name, strlen(tensor->name));
		if (tensor->first != end)
			return REFUSE(c, "tensor \"%s\" begins at byte %llu of the data, not at %llu: %s", c->shown,
						  (unsigned long long) tensor->first, (unsigned long long) end,
						  tensor->first < end ? "it overlaps another" : "there is a gap before it");
		end = tensor->first + tensor->bytes;
		if (end > file_bytes - parsed->header_bytes)
			return REFUSE(c, "tensor \"%s\" ends at byte %llu of the data, of which the file has %llu", c->shown,
						  (unsigned long long) end, (unsigned long long) (file_bytes - parsed->header_bytes));
	}
	if (end != file_bytes - parsed->header_bytes)
		return REFUSE(c, "%llu bytes at the end of the file belong to no tensor",
					  (unsigned long long) (file_bytes - parsed->header_bytes - end));
	parsed->data_bytes = end;
	return true;
}

/* ---- the whole ---- */

static sparse_status
parse_text(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
		   const char *text, size_t bytes,
		   uint64_t file_bytes, sparse_layout *parsed, complaint *c)
{
	if (text[0] != '{')
	{
		REFUSE(c, "header does not begin with {");
		return SPARSE_CORRUPT;
	}
	SPARSE_TRY(sparse_entries_read(allocator, interrupt, text, bytes, parsed, c->error, c->error_size));
	SPARSE_TRY(sparse_layout_check_names(allocator, interrupt, parsed, XXH3_64bits(text, bytes), c->error, c->error_size));
	SPARSE_TRY(sparse_layout_sort(allocator, interrupt, parsed));
	return check_tiling(parsed, file_bytes, c) ? SPARSE_OK : SPARSE_CORRUPT;
}

sparse_status
sparse_safetensors_header_bytes(const void *first8, uint64_t file_bytes,
								uint64_t *header_bytes,
								char *error, size_t error_size)
{
	const unsigned char *byte = first8;
	uint64_t	n = 0;

	if (file_bytes < 8)
	{
		sparse_complain(error, error_size, "%llu bytes are too few for a safetensors file",
				 (unsigned long long) file_bytes);
		return SPARSE_TRUNCATED;
	}
	for (int i = 8; i-- > 0;)
		n = n << 8 | byte[i];
	if (n > SPARSE_SAFETENSORS_MAX_HEADER)
	{
		sparse_complain(error, error_size, "header of %llu bytes is longer than the %llu that the format allows",
				 (unsigned long long) n, (unsigned long long) SPARSE_SAFETENSORS_MAX_HEADER);
		return SPARSE_TOO_LARGE;
	}
	if (n > file_bytes - 8)
	{
		sparse_complain(error, error_size, "header of %llu bytes ends past the file's %llu",
				 (unsigned long long) n, (unsigned long long) file_bytes);
		return SPARSE_TRUNCATED;
	}
	if (n == 0)
	{
		sparse_complain(error, error_size, "header is empty");
		return SPARSE_CORRUPT;
	}
	*header_bytes = 8 + n;
	return SPARSE_OK;
}

sparse_status
sparse_safetensors_parse(const sparse_allocator *allocator,
						 const sparse_interrupt *interrupt,
						 const void *header, uint64_t header_bytes,
						 uint64_t file_bytes,
						 sparse_layout *parsed,
						 char *error, size_t error_size)
{
	uint64_t	announced;
	complaint	c = {.error = error, .error_size = error_size};
	sparse_status status;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (error_size > 0)
		error[0] = '\0';
	*parsed = (sparse_layout) {.header_bytes = header_bytes, .literal_bytes = header_bytes};
	if (header_bytes < 8)
	{
		REFUSE(&c, "header of %llu bytes is too short", (unsigned long long) header_bytes);
		return SPARSE_BAD_ARGUMENT;
	}
	SPARSE_TRY(sparse_safetensors_header_bytes(header, file_bytes, &announced, error, error_size));
	if (announced != header_bytes)
	{
		REFUSE(&c, "header has %llu bytes, not the %llu handed over",
			   (unsigned long long) announced, (unsigned long long) header_bytes);
		return SPARSE_BAD_ARGUMENT;
	}
	status = parse_text(allocator, interrupt, (const char *) header + 8, (size_t) (header_bytes - 8),
						file_bytes, parsed, &c);
	if (status == SPARSE_NO_MEMORY || status == SPARSE_INTERRUPTED)
		sparse_complain(error, error_size, "%s", sparse_status_text(status));
	if (status != SPARSE_OK)
		sparse_layout_free(allocator, parsed);
	return status;
}
