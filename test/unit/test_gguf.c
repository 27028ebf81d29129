/*
 * test_gguf.c: what the parser of GGUF files accepts, where it finds the tensors and what lies
 * between them, what it refuses and with which words, and that formats are recognised by
 * content.
 */
#include "codec/message.h"
#include "plan/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* ---- files, made ---- */

typedef struct made
{
	uint8_t		byte[8192];
	uint64_t	bytes;
} made;

static void
put(made *m, const void *bytes, size_t length)
{
	memcpy(m->byte + m->bytes, bytes, length);
	m->bytes += length;
}

static void
put_number(made *m, uint64_t number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		m->byte[m->bytes++] = (uint8_t) (number >> 8 * i);
}

static void
put_string(made *m, const char *text)
{
	put_number(m, strlen(text), 8);
	put(m, text, strlen(text));
}

static void
begin(made *m, uint32_t version, uint64_t tensors, uint64_t pairs)
{
	m->bytes = 0;
	put(m, "GGUF", 4);
	put_number(m, version, 4);
	put_number(m, tensors, 8);
	put_number(m, pairs, 8);
}

static void
put_alignment(made *m, uint32_t alignment)
{
	put_string(m, "general.alignment");
	put_number(m, 4, 4);
	put_number(m, alignment, 4);
}

static void
put_tensor(made *m, const char *name, uint32_t rank, const uint64_t *dimension, uint32_t type, uint64_t first)
{
	put_string(m, name);
	put_number(m, rank, 4);
	for (uint32_t i = 0; i < rank; i++)
		put_number(m, dimension[i], 8);
	put_number(m, type, 4);
	put_number(m, first, 8);
}

static void
pad(made *m, uint64_t alignment, uint8_t with)
{
	while (m->bytes % alignment != 0)
		put(m, &with, 1);
}

static void
put_data(made *m, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++)
		m->byte[m->bytes++] = (uint8_t) i;
}

/* ---- parsing ---- */

static void
read_made(void *state, uint64_t first, uint64_t bytes, void *target)
{
	memcpy(target, ((const made *) state)->byte + first, (size_t) bytes);
}

static sparse_status
parse(const made *m, sparse_layout *parsed, char error[SPARSE_MESSAGE])
{
	made	   *exact = malloc(sizeof *exact);
	sparse_content content = {exact, m->bytes, read_made};
	sparse_status status;

	*exact = *m;
	status = sparse_file_parse(SPARSE_FILE_GGUF, NULL, NULL, &content, m->bytes, parsed, error, SPARSE_MESSAGE);
	free(exact);				/* nothing parsed may point into it */
	return status;
}

static bool
refuses(const made *m, const char *words)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];

	if (parse(m, &parsed, error) == SPARSE_OK)
	{
		sparse_layout_free(NULL, &parsed);
		return false;
	}
	if (strstr(error, words) == NULL)
		printf("# %s\n", error);
	return strstr(error, words) != NULL;
}

static const uint64_t two_rows[2] = {32, 2};	/* of 32 elements */

/* A tensor "a" of Q8_0, 68 bytes, then padding, then "b" of F16, 128 bytes, then three bytes. */
static void
make_model(made *m, uint32_t version, uint32_t alignment)
{
	begin(m, version, 2, alignment == 0 ? 1 : 2);
	put_string(m, "tokens");
	put_number(m, 9, 4);
	put_number(m, 8, 4);
	put_number(m, 2, 8);
	put_string(m, "one");
	put_string(m, "two");
	if (alignment != 0)
		put_alignment(m, alignment);
	alignment = alignment == 0 ? 32 : alignment;
	put_tensor(m, "b", 2, two_rows, 1, (68 + alignment - 1) / alignment * alignment);
	put_tensor(m, "a", 2, two_rows, 8, 0);
	pad(m, alignment, 0);
	put_data(m, 68);
	pad(m, alignment, 7);
	put_data(m, 128);
	put(m, "end", 3);
}

static bool
finds(uint32_t version, uint32_t alignment, uint64_t gap)
{
	static made m;
	sparse_layout of;
	char		error[SPARSE_MESSAGE];
	sparse_span span;
	bool		good;

	make_model(&m, version, alignment);
	if (parse(&m, &of, error) != SPARSE_OK)
	{
		printf("# %s\n", error);
		return false;
	}
	span = sparse_layout_literal(&of, of.header_bytes + 1);
	good = of.tensors == 2 && strcmp(of.tensor[0].name, "a") == 0 && strcmp(of.tensor[0].dtype_name, "Q8_0") == 0 &&
		of.tensor[0].dtype == SPARSE_BYTES && of.tensor[0].first == 0 && of.tensor[0].bytes == 68 &&
		of.tensor[1].dtype == SPARSE_F16 && of.tensor[1].bytes == 128 && of.tensor[1].rank == 2 &&
		of.tensor[1].shape[0] == 2 && of.tensor[1].shape[1] == 32 &&
		of.gaps == 2 && of.gap[0].bytes == gap && of.gap[0].first == of.header_bytes + 68 && of.gap[1].bytes == 3 &&
		of.literal_bytes == of.header_bytes + gap + 3 && of.header_bytes + 68 + gap + 128 + 3 == m.bytes &&
		span.first == of.gap[0].first + 1 && span.bytes == gap - 1;
	sparse_layout_free(NULL, &of);
	return good;
}

static void
test_accepted(void)
{
	static made m;
	sparse_layout of;
	char		error[SPARSE_MESSAGE];

	ok(finds(3, 0, 28), "tensors, padding and tail of a file of version 3 are found");
	ok(finds(2, 64, 60), "so are those of version 2 with an alignment of 64");
	begin(&m, 3, 0, 0);
	ok(parse(&m, &of, error) == SPARSE_OK && of.tensors == 0 && of.literal_bytes == m.bytes, "a file of no tensors is all literal");
	sparse_layout_free(NULL, &of);
	begin(&m, 3, 1, 0);
	put_tensor(&m, "s", 0, NULL, 0, 0);
	pad(&m, 32, 0);
	put_data(&m, 4);
	ok(parse(&m, &of, error) == SPARSE_OK && of.tensor[0].rank == 0 && of.tensor[0].bytes == 4, "a tensor without dimensions has one element");
	sparse_layout_free(NULL, &of);
}

static void
test_refused_pairs(void)
{
	static made m;

	begin(&m, 1, 0, 0);
	ok(refuses(&m, "version is 1"), "version 1 is refused");
	begin(&m, 3u << 24, 0, 0);
	ok(refuses(&m, "little-endian"), "a big-endian file is refused");
	begin(&m, 3, UINT64_MAX / 2, 0);
	ok(refuses(&m, "ends within"), "more tensors than the file has bytes for are refused");
	begin(&m, 3, 0, UINT64_MAX);
	ok(refuses(&m, "ends within"), "so are more pairs");
	begin(&m, 3, 0, 1);
	put_alignment(&m, 33);
	ok(refuses(&m, "no power of two"), "an alignment that is no power of two is refused");
	begin(&m, 3, 0, 2);
	put_alignment(&m, 32);
	put_alignment(&m, 64);
	ok(refuses(&m, "twice"), "two alignments are refused");
	begin(&m, 3, 0, 1);
	put_string(&m, "k");
	put_number(&m, 13, 4);
	ok(refuses(&m, "type 13"), "a value of an unknown type is refused");
	begin(&m, 3, 0, 1);
	put_string(&m, "k");
	put_number(&m, 9, 4);
	put_number(&m, 10, 4);
	put_number(&m, UINT64_MAX / 8 + 2, 8);
	ok(refuses(&m, "ends within"), "an array whose bytes overflow is refused");
}

static void
refuse_tensors(uint64_t first, uint64_t second, const char *name, const char *words, const char *sentence)
{
	static made m;

	begin(&m, 3, 2, 0);
	put_tensor(&m, "a", 2, two_rows, 0, first);
	put_tensor(&m, name, 2, two_rows, 0, second);
	pad(&m, 32, 0);
	put_data(&m, 512);
	ok(refuses(&m, words), sentence);
}

static void
refuse_tensor(uint64_t innermost, uint64_t rows, uint32_t type, const char *words, const char *sentence)
{
	static made m;
	const uint64_t dimension[2] = {innermost, rows};

	begin(&m, 3, 1, 0);
	put_tensor(&m, "a", 2, dimension, type, 0);
	pad(&m, 32, 0);
	put_data(&m, 256);
	ok(refuses(&m, words), sentence);
}

static void
test_refused_tensors(void)
{
	refuse_tensors(0, 224, "b", "overlaps", "tensors that overlap are refused");
	refuse_tensors(0, 288, "b", "past the end", "a tensor past the end of the file is refused");
	refuse_tensors(0, 255, "b", "multiple of 32", "a tensor that is not aligned is refused");
	refuse_tensors(0, 256, "a", "twice", "a name that stands there twice is refused");
	refuse_tensors(0, 256, "\xff", "UTF-8", "a name that is no UTF-8 is refused");
	refuse_tensor(33, 2, 8, "whole blocks", "a row of no whole blocks is refused");
	refuse_tensor(32, 2, 4, "type 4", "a type that ggml has taken back is refused");
	refuse_tensor((uint64_t) 1 << 62, 32, 0, "too large", "a tensor whose bytes overflow is refused");
	refuse_tensor((uint64_t) 1 << 63, 0, 0, "too large", "so is a dimension of 2^63");
}

/* Whatever is cut off of a file, or changed in its directory, it is parsed or refused, and never misread. */
static void
test_damage(void)
{
	static made m;
	static made damaged;
	sparse_layout of;
	char		error[SPARSE_MESSAGE];
	bool		cut_refused = true;

	make_model(&m, 3, 64);
	for (uint64_t bytes = 0; bytes < m.bytes - 3; bytes++)
	{
		damaged = m;
		damaged.bytes = bytes;
		if (parse(&damaged, &of, error) == SPARSE_OK)
		{
			cut_refused = false;
			sparse_layout_free(NULL, &of);
		}
	}
	ok(cut_refused, "a file that is cut anywhere before its tail is refused");
	for (uint64_t at = 0; at < 256; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			damaged = m;
			damaged.byte[at] ^= (uint8_t) (1 << bit);
			if (parse(&damaged, &of, error) == SPARSE_OK)
				sparse_layout_free(NULL, &of);
		}
	ok(true, "a bit changed anywhere does no harm");
}

static sparse_file_kind
kind_of(const char *begins, size_t bytes, uint64_t file_bytes)
{
	return sparse_file_recognise(begins, bytes, file_bytes);
}

static void
test_recognised(void)
{
	ok(kind_of("GGUF\3\0\0\0\0", 9, 100) == SPARSE_FILE_GGUF, "a GGUF file is recognised by its magic");
	ok(kind_of("\2\0\0\0\0\0\0\0{", 9, 10) == SPARSE_FILE_SAFETENSORS, "a safetensors file by its length and brace");
	ok(kind_of("\3\0\0\0\0\0\0\0{", 9, 10) == SPARSE_FILE_BYTES, "unless its header reaches past its end");
	ok(kind_of("GGU", 3, 3) == SPARSE_FILE_BYTES && kind_of("", 0, 0) == SPARSE_FILE_BYTES, "a file of a few bytes is bytes");
	ok(sparse_file_kind_of_path("a/b.gguf") == SPARSE_FILE_GGUF && sparse_file_kind_of_path("gguf") == SPARSE_FILE_BYTES,
	   "a path claims a kind by its ending");
	ok(sparse_file_kind_named("gguf") == SPARSE_FILE_GGUF && sparse_file_kind_named("bytes") == SPARSE_FILE_BYTES, "kinds have names");
}

int
main(void)
{
	test_accepted();
	test_refused_pairs();
	test_refused_tensors();
	test_damage();
	test_recognised();
	printf("1..%d\n", tests);
	return failures > 0;
}
