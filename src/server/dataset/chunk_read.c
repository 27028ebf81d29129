/*
 * chunk_read.c: chunks to values (see chunk.h).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "chunk.h"
#include "pack.h"

static void
open_words(ChunkReader *reader, const char *content, size_t length)
{
	size_t		words = (size_t) reader->rows * reader->word;
	size_t		bitmap = (reader->rows + 7) / 8;

	bitmap += (reader->word - bitmap % reader->word) % reader->word;
	if (length != words && length != words + bitmap)
		unpack_failed();
	reader->words = content;
	reader->nulls = length > words ? (const uint8 *) content + words : NULL;
}

/* Room for `values` distinct values. */
static void
make_room(ChunkReader *reader, int32 values)
{
	reader->values = values;
	reader->start = palloc(Max(values, 1) * sizeof(char *));
	reader->length = palloc(Max(values, 1) * sizeof(size_t));
}

/* Every row has a value of its own, of one length, in a run. */
static void
all_distinct(ChunkReader *reader, const char *first, size_t length)
{
	make_room(reader, reader->rows);
	for (int32 i = 0; i < reader->rows; i++)
	{
		reader->value[i] = i;
		reader->start[i] = first + i * length;
		reader->length[i] = length;
	}
}

/* ---- text ---- */

/* The codes of all rows to numbers; how many distinct values they speak of. */
static int32
read_codes(ChunkReader *reader, Unpack *codes)
{
	int32		values = 0;
	int32		last = -2;

	for (int32 row = 0; row < reader->rows; row++)
	{
		uint64		code = unpack_number(codes);

		if (code == 0)
			last = values++;
		else if (code == 2)
			last = -1;
		else if (code > 2 && code - 3 < (uint64) values)
			last = (int32) (code - 3);
		else if (code != 1 || last < 0)
			unpack_failed();
		reader->value[row] = last;
	}
	if (unpack_left(codes) > 0)
		unpack_failed();
	return values;
}

static void
open_text(ChunkReader *reader, Unpack *in)
{
	uint64		length = unpack_number(in);
	const char *first = unpack_bytes(in, length);
	Unpack		codes = {first, first + length};

	make_room(reader, read_codes(reader, &codes));
	for (int32 i = 0; i < reader->values; i++)
		reader->length[i] = unpack_number(in);
	for (int32 i = 0; i < reader->values; i++)
		reader->start[i] = unpack_bytes(in, reader->length[i]);
	if (unpack_left(in) > 0)
		unpack_failed();
}

/* ---- hexadecimal digits ---- */

/* Each difference added to the row before. */
static void
add_differences(const uint8 *difference, int32 rows, size_t width, uint8 *value)
{
	for (int32 row = 0; row < rows; row++)
	{
		int			carry = 0;

		for (size_t i = width; i-- > 0;)
		{
			int			sum = difference[row * width + i] + (row > 0 ? value[(row - 1) * width + i] : 0) + carry;

			carry = sum > 255;
			value[row * width + i] = (uint8) sum;
		}
	}
}

static void
open_hex(ChunkReader *reader, Unpack *in, bool differ)
{
	uint64		digits = unpack_number(in);
	size_t		width = digits / 2;
	size_t		bytes = width * reader->rows;
	const uint8 *value;
	char	   *text;

	if (digits < 2 || digits > 64 || digits % 2 != 0 || unpack_left(in) != bytes)
		unpack_failed();
	value = (const uint8 *) unpack_bytes(in, bytes);
	if (differ)
	{
		uint8	   *sums = palloc(bytes);

		add_differences(value, reader->rows, width, sums);
		value = sums;
	}
	text = palloc(2 * bytes);
	for (size_t i = 0; i < bytes; i++)
	{
		text[2 * i] = "0123456789abcdef"[value[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[value[i] & 15];
	}
	all_distinct(reader, text, digits);
}

/* ---- arrays of equal length ---- */

static void
open_matrix(ChunkReader *reader, const TypeCoder *coder, const char *content, size_t length)
{
	size_t		row_bytes = length / reader->rows;
	StringInfoData head;
	char	   *value;

	if (coder->form != FORM_ARRAY || coder->part->form != FORM_WORD ||
		length % reader->rows != 0 || row_bytes == 0 || row_bytes % coder->part->length != 0)
		unpack_failed();
	initStringInfo(&head);
	pack_number(&head, 1);
	pack_number(&head, 0);
	pack_number(&head, row_bytes / coder->part->length);
	pack_signed(&head, 1);
	value = palloc((row_bytes + head.len) * reader->rows);
	for (int32 i = 0; i < reader->rows; i++)
	{
		char	   *at = value + i * (row_bytes + head.len);

		memcpy(at, head.data, head.len);
		memcpy(at + head.len, content + i * row_bytes, row_bytes);
	}
	all_distinct(reader, value, row_bytes + head.len);
}

/* Its checksum was right: another content than it should be, or one of later times. */
pg_noreturn static void
unknown_kind(char kind)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a chunk of a dataset is corrupt"),
			 errdetail("It is of kind %d, which this version of the extension \"sparse\" does not know.", (int) (uint8) kind),
			 errhint("If a newer version has made it, install that.")));
	pg_unreachable();
}

void
chunk_open(ChunkReader *reader, const TypeCoder *coder, bool plain,
		   const char *content, size_t length, int32 rows)
{
	Unpack		in = {content, content + length};
	char		kind;

	memset(reader, 0, sizeof(*reader));
	reader->rows = rows;
	reader->word = type_word(coder);
	/* a row takes a byte at least, but for a single value */
	if (rows < 1 || (size_t) rows > Max(length, 1))
		unpack_failed();
	if (reader->word > 0)
	{
		open_words(reader, content, length);
		return;
	}
	reader->value = palloc(rows * sizeof(int32));
	if (plain)
	{
		open_matrix(reader, coder, content, length);
		return;
	}
	kind = *unpack_bytes(&in, 1);
	if (kind == 'T')
		open_text(reader, &in);
	else if (kind == 'H' || kind == 'D')
		open_hex(reader, &in, kind == 'D');
	else if (kind == 'S' && rows == 1)
		all_distinct(reader, in.at, unpack_left(&in));
	else if (kind == 'S')
		unpack_failed();
	else
		unknown_kind(kind);
}
