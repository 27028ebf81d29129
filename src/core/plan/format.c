/*
 * format.c: the table of file formats (see format.h).
 */
#include "format.h"

#include <string.h>

#include "codec/message.h"
#include "codec/safetensors.h"
#include "plan/gguf.h"
#include "plan/path.h"
#include "plan/pytorch.h"

/* ---- safetensors ---- */

static uint64_t
header_length(const uint8_t *first)
{
	uint64_t	length = 0;

	for (int i = 8; i-- > 0;)
		length = length << 8 | first[i];
	return length;
}

static bool
is_safetensors(const uint8_t *first, size_t bytes, uint64_t file_bytes)
{
	return bytes > 8 && first[8] == '{' && header_length(first) <= SPARSE_SAFETENSORS_MAX_HEADER &&
		header_length(first) <= file_bytes - 8;
}

static sparse_status
parse_safetensors(const sparse_allocator *allocator, const sparse_interrupt *interrupt, const sparse_content *from,
				  uint64_t file_bytes, sparse_layout *parsed, char *error, size_t error_size)
{
	uint8_t		first[8] = {0};
	uint64_t	bytes;
	void	   *header;
	sparse_status status;

	from->read(from->state, 0, from->bytes < sizeof first ? from->bytes : sizeof first, first);
	SPARSE_TRY(sparse_safetensors_header_bytes(first, file_bytes, &bytes, error, error_size));
	if (bytes > from->bytes)
	{
		sparse_complain(error, error_size, "header has %llu bytes, not the %llu handed over",
						(unsigned long long) bytes, (unsigned long long) from->bytes);
		return SPARSE_TRUNCATED;
	}
	header = allocator->allocate(allocator->state, (size_t) bytes);
	if (header == NULL)
		return SPARSE_NO_MEMORY;
	from->read(from->state, 0, bytes, header);
	status = sparse_safetensors_parse(allocator, interrupt, header, bytes, file_bytes, parsed, error, error_size);
	allocator->release(allocator->state, header);
	return status;
}

/* ---- GGUF ---- */

static bool
is_gguf(const uint8_t *first, size_t bytes, uint64_t file_bytes)
{
	(void) file_bytes;
	return bytes >= sizeof SPARSE_GGUF_MAGIC - 1 && memcmp(first, SPARSE_GGUF_MAGIC, sizeof SPARSE_GGUF_MAGIC - 1) == 0;
}

/* ---- the table ---- */

typedef struct file_format
{
	const char *name;
	const char *words;
	const char *path;			/* of a file that came without one */
	const char *ending;			/* NULL: none by which its files are known */
	bool		names_all;		/* whatever a tensor is called in the file, its layout has a tensor of that name */
	bool		(*is) (const uint8_t *first, size_t bytes, uint64_t file_bytes);
	sparse_status (*parse) (const sparse_allocator *allocator, const sparse_interrupt *interrupt, const sparse_content *from,
							uint64_t file_bytes, sparse_layout *parsed, char *error, size_t error_size);
} file_format;

static const file_format formats[SPARSE_FILE_KINDS] = {
	[SPARSE_FILE_BYTES] = {.name = "bytes", .words = "file", .path = "model.safetensors"},
	[SPARSE_FILE_SAFETENSORS] = {"safetensors", "safetensors file", "model.safetensors", ".safetensors", true, is_safetensors, parse_safetensors},
	[SPARSE_FILE_GGUF] = {"gguf", "GGUF file", "model.gguf", ".gguf", true, is_gguf, sparse_gguf_parse},
	[SPARSE_FILE_PYTORCH] = {"pytorch", "PyTorch file", "pytorch_model.bin", NULL, false, sparse_is_pytorch, sparse_pytorch_parse},
};

const char *
sparse_file_kind_name(sparse_file_kind kind)
{
	return formats[kind].name;
}

const char *
sparse_file_kind_words(sparse_file_kind kind)
{
	return formats[kind].words;
}

const char *
sparse_file_kind_path(sparse_file_kind kind)
{
	return formats[kind].path;
}

bool
sparse_file_names_all(sparse_file_kind kind)
{
	return formats[kind].names_all;
}

sparse_file_kind
sparse_file_kind_named(const char *name)
{
	for (int i = 1; i < SPARSE_FILE_KINDS; i++)
		if (strcmp(formats[i].name, name) == 0)
			return (sparse_file_kind) i;
	return SPARSE_FILE_BYTES;
}

sparse_file_kind
sparse_file_kind_of_path(const char *path)
{
	for (int i = 1; i < SPARSE_FILE_KINDS; i++)
		if (formats[i].ending != NULL && sparse_path_ends(path, formats[i].ending))
			return (sparse_file_kind) i;
	return SPARSE_FILE_BYTES;
}

sparse_file_kind
sparse_file_recognise(const void *first, size_t bytes, uint64_t file_bytes)
{
	for (int i = 1; i < SPARSE_FILE_KINDS; i++)
		if (formats[i].is(first, bytes, file_bytes))
			return (sparse_file_kind) i;
	return SPARSE_FILE_BYTES;
}

sparse_status
sparse_file_parse(sparse_file_kind kind, const sparse_allocator *allocator, const sparse_interrupt *interrupt,
				  const sparse_content *from, uint64_t file_bytes, sparse_layout *parsed, char *error, size_t error_size)
{
	sparse_status status;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (error_size > 0)
		error[0] = '\0';
	*parsed = (sparse_layout) {0};
	status = formats[kind].parse(allocator, interrupt, from, file_bytes, parsed, error, error_size);
	if (status != SPARSE_OK && error_size > 0 && error[0] == '\0')
		sparse_complain(error, error_size, "%s", sparse_status_text(status));
	return status;
}
