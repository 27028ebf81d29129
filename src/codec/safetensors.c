/*
 * safetensors.c: checks the framing of a safetensors file.
 *
 * What concerns several tensors at once (equal names, overlaps, gaps) is checked
 * here, over sorted indexes; each entry by itself in safetensors_entries.c.
 *
 * Where the format's description and its reference implementation leave room, we
 * follow the stricter for what is written twice (any duplicate key is refused)
 * and the reference for the rest: unknown keys of an entry are ignored, entries
 * are walked in the order of (begin, end) and each must begin where the one before
 * it ended, a shape's product may overflow at no step.
 */
#include "safetensors.h"

#include <string.h>

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

/* ---- all tensors together ---- */

typedef struct sorter
{
	const sparse_safetensors *of;
	uint32_t   *index;
	bool		(*before) (const sparse_safetensors *of, uint32_t a, uint32_t b);
} sorter;

static void
sift_down(const sorter *s, uint32_t root, uint32_t count)
{
	uint32_t	moved = s->index[root];
	uint64_t	child;

	while ((child = 2 * (uint64_t) root + 1) < count)
	{
		if (child + 1 < count && s->before(s->of, s->index[child], s->index[child + 1]))
			child++;
		if (!s->before(s->of, moved, s->index[child]))
			break;
		s->index[root] = s->index[child];
		root = (uint32_t) child;
	}
	s->index[root] = moved;
}

static bool
is_sorted(const sorter *s, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (s->before(s->of, s->index[i], s->index[i - 1]))
			return false;
	return true;
}

/* Heapsort of the numbers 0 .. count - 1: no memory, no quadratic case. */
static void
sort_indexes(const sorter *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		s->index[i] = i;
	if (is_sorted(s, count))
		return;					/* as headers mostly are */
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(s, i, count);
	for (uint32_t i = count; i-- > 1;)
	{
		uint32_t	last = s->index[i];

		s->index[i] = s->index[0];
		s->index[0] = last;
		sift_down(s, 0, i);
	}
}

static bool
name_before(const sparse_safetensors *of, uint32_t a, uint32_t b)
{
	return strcmp(of->tensor[a].name, of->tensor[b].name) < 0;
}

static bool
key_before(const sparse_safetensors *of, uint32_t a, uint32_t b)
{
	return strcmp(of->metadata[2 * (size_t) a], of->metadata[2 * (size_t) b]) < 0;
}

/* By first byte, then by last, then by place in the header: a total order. */
static bool
bytes_before(const sparse_safetensors *of, uint32_t a, uint32_t b)
{
	const sparse_tensor *left = &of->tensor[a];
	const sparse_tensor *right = &of->tensor[b];

	if (left->first != right->first)
		return left->first < right->first;
	if (left->bytes != right->bytes)
		return left->bytes < right->bytes;
	return a < b;
}

static bool
check_names(const sparse_safetensors *of, uint32_t *index, complaint *c)
{
	sort_indexes(&(sorter) {of, index, name_before}, of->tensors);
	for (uint32_t i = 1; i < of->tensors; i++)
	{
		const char *name = of->tensor[index[i]].name;

		if (strcmp(of->tensor[index[i - 1]].name, name) != 0)
			continue;
		sparse_show_name(c->shown, name, strlen(name));
		return REFUSE(c, "tensor \"%s\" stands there twice", c->shown);
	}
	return true;
}

static bool
check_metadata(const sparse_safetensors *of, uint32_t *index, complaint *c)
{
	sort_indexes(&(sorter) {of, index, key_before}, of->metadata_pairs);
	for (uint32_t i = 1; i < of->metadata_pairs; i++)
	{
		const char *key = of->metadata[2 * (size_t) index[i]];

		if (strcmp(of->metadata[2 * (size_t) index[i - 1]], key) != 0)
			continue;
		sparse_show_name(c->shown, key, strlen(key));
		return REFUSE(c, "key \"%s\" of __metadata__ stands there twice", c->shown);
	}
	return true;
}

/* Puts tensor index[i] into place i, following the cycles; uses the index up. */
static void
permute(sparse_tensor *tensor, uint32_t *index, uint32_t count)
{
	for (uint32_t start = 0; start < count; start++)
	{
		sparse_tensor first = tensor[start];
		uint32_t	at = start;

		while (index[at] != start)
		{
			uint32_t	from = index[at];

			tensor[at] = tensor[from];
			index[at] = at;
			at = from;
		}
		tensor[at] = first;
		index[at] = at;
	}
}

/* The tensors, in order, must lie side by side and fill the file. */
static bool
check_tiling(sparse_safetensors *parsed, uint64_t file_bytes, complaint *c)
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

static sparse_status
check_together(const sparse_allocator *allocator, sparse_safetensors *parsed,
			   uint64_t file_bytes, complaint *c)
{
	size_t		most = parsed->tensors > parsed->metadata_pairs ? parsed->tensors : parsed->metadata_pairs;
	uint32_t   *index = allocator->allocate(allocator->state, (most + 1) * sizeof(uint32_t));
	bool		good;

	if (index == NULL)
		return SPARSE_NO_MEMORY;
	good = check_names(parsed, index, c) && check_metadata(parsed, index, c);
	if (good)
	{
		sort_indexes(&(sorter) {parsed, index, bytes_before}, parsed->tensors);
		permute(parsed->tensor, index, parsed->tensors);
		good = check_tiling(parsed, file_bytes, c);
	}
	allocator->release(allocator->state, index);
	return good ? SPARSE_OK : SPARSE_CORRUPT;
}

/* ---- the whole ---- */

static sparse_status
parse_text(const sparse_allocator *allocator, const char *text, size_t bytes,
		   uint64_t file_bytes, sparse_safetensors *parsed, complaint *c)
{
	if (text[0] != '{')
	{
		REFUSE(c, "header does not begin with {");
		return SPARSE_CORRUPT;
	}
	SPARSE_TRY(sparse_entries_read(allocator, text, bytes, parsed, c->error, c->error_size));
	return check_together(allocator, parsed, file_bytes, c);
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
						 const void *header, uint64_t header_bytes,
						 uint64_t file_bytes,
						 sparse_safetensors *parsed,
						 char *error, size_t error_size)
{
	uint64_t	announced;
	complaint	c = {.error = error, .error_size = error_size};
	sparse_status status;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (error_size > 0)
		error[0] = '\0';
	*parsed = (sparse_safetensors) {.header_bytes = header_bytes};
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
	status = parse_text(allocator, (const char *) header + 8, (size_t) (header_bytes - 8),
						file_bytes, parsed, &c);
	if (status == SPARSE_NO_MEMORY)
		sparse_complain(error, error_size, "%s", sparse_status_text(status));
	if (status != SPARSE_OK)
		sparse_safetensors_free(allocator, parsed);
	return status;
}

void
sparse_safetensors_free(const sparse_allocator *allocator, sparse_safetensors *parsed)
{
	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (parsed->memory)
		allocator->release(allocator->state, parsed->memory);
	*parsed = (sparse_safetensors) {0};
}
