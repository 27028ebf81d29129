/*
 * fuzz_format.c: any file at all, to the table of formats. The first 8 bytes of the input say
 * how many bytes of data follow what is there; the rest is the file. What is accepted must
 * tile the file, and its literal alone must be taken for the same.
 */
#include "codec/message.h"
#include "plan/format.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

typedef struct file
{
	const uint8_t *byte;
	uint64_t	there;			/* behind it come zeros */
	const sparse_layout *layout;	/* not NULL: its literal is read */
} file;

static void
read_file(void *state, uint64_t first, uint64_t bytes, void *target)
{
	const file *f = state;

	memset(target, 0, (size_t) bytes);
	if (first < f->there)
		memcpy(target, f->byte + first, (size_t) (bytes < f->there - first ? bytes : f->there - first));
}

static void
read_literal(void *state, uint64_t first, uint64_t bytes, void *target)
{
	const file *f = state;

	while (bytes > 0)
	{
		sparse_span span = sparse_layout_literal(f->layout, first);
		uint64_t	length = span.bytes < bytes ? span.bytes : bytes;

		REQUIRE(length > 0 && span.at == first);
		read_file(state, span.first, length, target);
		target = (uint8_t *) target + length;
		first += length;
		bytes -= length;
	}
}

static void
check_tiling(const sparse_layout *of, uint64_t file_bytes)
{
	uint64_t	at = of->header_bytes;
	uint64_t	literal = of->header_bytes;
	uint32_t	gap = 0;

	for (uint32_t i = 0; i <= of->tensors; i++)
	{
		/* (an empty tensor may stand before a gap) */
		if (gap < of->gaps && of->gap[gap].first == at && (i == of->tensors || of->header_bytes + of->tensor[i].first > at))
		{
			REQUIRE(of->gap[gap].bytes > 0 && of->gap[gap].at == literal);
			at += of->gap[gap].bytes;
			literal += of->gap[gap++].bytes;
		}
		if (i == of->tensors)
			break;
		REQUIRE(of->header_bytes + of->tensor[i].first == at);
		REQUIRE(sparse_utf8_valid(of->tensor[i].name, strlen(of->tensor[i].name)));
		at += of->tensor[i].bytes;
	}
	REQUIRE(at == file_bytes && gap == of->gaps && literal == of->literal_bytes);
	REQUIRE(sparse_layout_literal(of, literal).bytes == 0);
}

/* A layout of the literal alone must be the same. */
static void
check_literal(sparse_file_kind kind, const file *whole, const sparse_layout *of, uint64_t file_bytes)
{
	file		f = {whole->byte, whole->there, of};
	sparse_content literal = {&f, of->literal_bytes, read_literal};
	char		error[SPARSE_MESSAGE];
	sparse_layout again;

	REQUIRE(sparse_file_parse(kind, NULL, NULL, &literal, file_bytes, &again, error, sizeof error) == SPARSE_OK);
	REQUIRE(again.tensors == of->tensors && again.gaps == of->gaps && again.literal_bytes == of->literal_bytes);
	for (uint32_t i = 0; i < of->tensors; i++)
	{
		const sparse_tensor *a = &of->tensor[i];
		const sparse_tensor *b = &again.tensor[i];

		REQUIRE(strcmp(a->name, b->name) == 0 && a->first == b->first && a->bytes == b->bytes && a->rank == b->rank);
		REQUIRE(a->dtype == b->dtype && strcmp(a->dtype_name, b->dtype_name) == 0);
		REQUIRE(a->rank == 0 || memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0);
	}
	sparse_layout_free(NULL, &again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	file		f;
	uint64_t	more = 0;
	uint64_t	file_bytes;
	sparse_content content;
	sparse_file_kind kind;
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];

	if (size < 8)
		return 0;
	for (int i = 8; i-- > 0;)
		more = more << 8 | input[i];
	f = (file) {input + 8, size - 8, NULL};
	file_bytes = f.there + more % ((uint64_t) 1 << 62);
	content = (sparse_content) {&f, file_bytes, read_file};
	kind = sparse_file_recognise(f.byte, (size_t) (f.there < SPARSE_FORMAT_FIRST ? f.there : SPARSE_FORMAT_FIRST), file_bytes);
	if (kind == SPARSE_FILE_BYTES)
		return 0;
	if (sparse_file_parse(kind, NULL, NULL, &content, file_bytes, &parsed, error, sizeof error) == SPARSE_OK)
	{
		check_tiling(&parsed, file_bytes);
		check_literal(kind, &f, &parsed, file_bytes);
		sparse_layout_free(NULL, &parsed);
	}
	else
		REQUIRE(error[0] != '\0' && strlen(error) < sizeof error && sparse_utf8_valid(error, strlen(error)));
	return 0;
}
