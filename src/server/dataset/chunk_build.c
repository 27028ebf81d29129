/*
 * chunk_build.c: values to chunks, and where chunks end (see chunk.h).
 *
 * A chunk may end before a value that differs from the one before it, if a hash of
 * the last values falls below a bound that is in proportion to what the value takes: 64
 * values of words, 8 of others. A value that the chunk has already takes a byte or two,
 * whatever its length; so runs of repeated values make few chunks.
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/stringinfo.h"

#include "chunk.h"
#include "pack.h"

typedef struct Distinct
{
	uint64		hash;
	size_t		first;			/* in data */
	size_t		length;
} Distinct;

struct ChunkBuilder
{
	/* fixed */
	const TypeCoder *coder;
	int			word;
	size_t		average;

	/* of the chunk at hand */
	int32		rows;
	int32		nulls;
	StringInfoData data;		/* words, or distinct values */
	StringInfoData codes;
	StringInfoData content;		/* what chunk_finish gives */
	uint8	   *null;			/* bitmap, words only */
	int32		null_room;		/* rows */
	Distinct   *distinct;
	int32		count;			/* of distinct values */
	int32		room;
	int32	   *slot;			/* hash table of 1 + number; twice the room */
	size_t		lengths;		/* bytes that the lengths will take, about */

	/* goes on from chunk to chunk */
	uint64		window;
	int32		last;			/* number of the value before; -1: null, -2: none */

	/* of the value that was asked about */
	uint64		hash;
	int32		found;			/* its number; -1: new */
};

#define FIRST_ROOM 256
#define GOLDEN UINT64CONST(0x9E3779B97F4A7C15)

ChunkBuilder *
chunk_builder_create(const TypeCoder *coder, size_t average)
{
	ChunkBuilder *builder = palloc0(sizeof(ChunkBuilder));

	builder->coder = coder;
	builder->word = type_word(coder);
	builder->average = average;
	builder->last = -2;
	initStringInfo(&builder->data);
	initStringInfo(&builder->codes);
	initStringInfo(&builder->content);
	if (builder->word > 0)
		return builder;
	builder->room = FIRST_ROOM;
	builder->distinct = palloc(builder->room * sizeof(Distinct));
	builder->slot = palloc0(2 * builder->room * sizeof(int32));
	return builder;
}

/* ---- distinct values ---- */

static int32 *
find_slot(ChunkBuilder *builder, uint64 hash, const char *bytes, size_t length)
{
	uint32		mask = 2 * builder->room - 1;

	for (uint32 i = (uint32) (hash >> 20) & mask;; i = (i + 1) & mask)
	{
		const Distinct *known;

		if (builder->slot[i] == 0)
			return &builder->slot[i];
		known = &builder->distinct[builder->slot[i] - 1];
		if (known->hash == hash && known->length == length &&
			memcmp(builder->data.data + known->first, bytes, length) == 0)
			return &builder->slot[i];
	}
}

static void
grow(ChunkBuilder *builder)
{
	uint32		mask;

	builder->room *= 2;
	mask = 2 * builder->room - 1;
	builder->distinct = repalloc(builder->distinct, builder->room * sizeof(Distinct));
	pfree(builder->slot);
	builder->slot = palloc0(2 * builder->room * sizeof(int32));
	for (int32 n = 0; n < builder->count; n++)
	{
		uint32		i = (uint32) (builder->distinct[n].hash >> 20) & mask;

		while (builder->slot[i] != 0)
			i = (i + 1) & mask;
		builder->slot[i] = n + 1;
	}
}

static int
number_bytes(uint64 value)
{
	int			bytes = 1;

	for (; value > 127; value >>= 7)
		bytes++;
	return bytes;
}

static void
add_distinct(ChunkBuilder *builder, const char *bytes, size_t length)
{
	Distinct   *distinct;

	if (builder->count == builder->room)
		grow(builder);
	distinct = &builder->distinct[builder->count++];
	distinct->hash = builder->hash;
	distinct->first = builder->data.len;
	distinct->length = length;
	appendBinaryStringInfo(&builder->data, bytes, (int) length);
	builder->lengths += number_bytes(length);
	*find_slot(builder, builder->hash, bytes, length) = builder->count;
}

/* ---- where a chunk ends ---- */

static size_t
size_of(const ChunkBuilder *builder)
{
	return builder->data.len + builder->codes.len + builder->lengths;
}

/* Looks a value up and counts it in. What it takes, if it is added to the chunk. */
static size_t
look_at(ChunkBuilder *builder, const char *bytes, size_t length)
{
	builder->hash = bytes == NULL ? 1 : XXH3_64bits(bytes, length);
	if (builder->word > 0)
	{
		builder->window = (builder->window << 1) + builder->hash;
		return builder->word;
	}
	builder->window = (builder->window << 8) + builder->hash;
	builder->found = bytes == NULL ? -1 : *find_slot(builder, builder->hash, bytes, length) - 1;
	return bytes == NULL || builder->found >= 0 ? 1 : length + 2;
}

bool
chunk_ends_before(ChunkBuilder *builder, const char *bytes, size_t length)
{
	size_t		takes = look_at(builder, bytes, length);
	size_t		size = size_of(builder);
	uint64		bound = ((uint64) takes << 32) / (builder->average * 3 / 4);

	if (builder->rows == 0)
		return false;
	if (size + takes > CHUNK_LARGEST(builder->average))
		return true;
	if (size < builder->average / 4 || (builder->word == 0 && bytes != NULL && builder->found == builder->last))
		return false;
	return (builder->window * GOLDEN) >> 32 < bound;
}

/* ---- adding ---- */

static void
add_word(ChunkBuilder *builder, const char *bytes)
{
	static const char zero[8];

	if (builder->rows == builder->null_room)
	{
		int32		room = Max(2 * builder->null_room, 1024);

		builder->null = builder->null == NULL ? palloc(room / 8) : repalloc(builder->null, room / 8);
		memset(builder->null + builder->null_room / 8, 0, (room - builder->null_room) / 8);
		builder->null_room = room;
	}
	if (bytes == NULL)
		builder->null[builder->rows / 8] |= 1 << (builder->rows % 8);
	appendBinaryStringInfo(&builder->data, bytes == NULL ? zero : bytes, builder->word);
}

void
chunk_add(ChunkBuilder *builder, const char *bytes, size_t length)
{
	if (builder->word > 0)
		add_word(builder, bytes);
	else if (bytes == NULL)
		pack_number(&builder->codes, 2);
	else if (builder->found < 0)
	{
		add_distinct(builder, bytes, length);
		builder->found = builder->count - 1;
		pack_number(&builder->codes, 0);
	}
	else
		pack_number(&builder->codes, builder->found == builder->last ? 1 : 3 + (uint64) builder->found);
	builder->last = bytes == NULL ? -1 : builder->found;
	builder->nulls += bytes == NULL;
	builder->rows++;
}

/* ---- the content of a chunk ---- */

static void
words_content(ChunkBuilder *builder, ChunkContent *content)
{
	content->dtype = builder->coder->dtype;
	if (builder->nulls > 0)
	{
		appendBinaryStringInfo(&builder->data, (char *) builder->null, (builder->rows + 7) / 8);
		while (builder->data.len % builder->word != 0)
			appendStringInfoChar(&builder->data, '\0');
	}
	content->bytes = builder->data.data;
	content->length = builder->data.len;
}

/* Whether all rows differ, have one length and none is null. */
static bool
is_uniform(const ChunkBuilder *builder)
{
	if (builder->count != builder->rows)
		return false;
	for (int32 i = 1; i < builder->count; i++)
		if (builder->distinct[i].length != builder->distinct[0].length)
			return false;
	return true;
}

/* One-dimensional arrays of words from subscript 1 on: their elements. */
static bool
matrix_content(ChunkBuilder *builder, ChunkContent *content)
{
	const TypeCoder *part = builder->coder->part;
	StringInfoData head;
	size_t		length = builder->distinct[0].length;
	bool		good;

	if (builder->coder->form != FORM_ARRAY || part->form != FORM_WORD || length < 4)
		return false;
	initStringInfo(&head);
	pack_number(&head, 1);
	pack_number(&head, 0);
	/* the length of the array is what its bytes say, whatever it takes itself */
	for (int size = 1; size <= 5; size++)
		if (length > (size_t) size + 3 && number_bytes((length - 3 - size) / part->length) == size)
		{
			pack_number(&head, (length - 3 - size) / part->length);
			break;
		}
	pack_signed(&head, 1);
	good = length > (size_t) head.len && (length - head.len) % part->length == 0;
	for (int32 i = 0; good && i < builder->count; i++)
		good = memcmp(builder->data.data + builder->distinct[i].first, head.data, head.len) == 0;
	for (int32 i = 0; good && i < builder->count; i++)
		appendBinaryStringInfo(&builder->content, builder->data.data + builder->distinct[i].first + head.len,
							   (int) (length - head.len));
	content->dtype = part->dtype;
	content->plain = good;
	pfree(head.data);
	return good;
}

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal digits to bytes, in place; false where one is none, and then nothing was changed. */
static bool
digits_to_bytes(const char *digits, size_t count, char *bytes)
{
	for (size_t i = 0; i < count; i++)
		if (digit(digits[i]) < 0)
			return false;
	for (size_t i = 0; i < count / 2; i++)
		bytes[i] = (char) (digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]));
	return true;
}

/* The difference of each row to the one before, from the last row backwards; its bytes that are 0. */
static size_t
differences(uint8 *value, int32 rows, size_t width)
{
	size_t		zeros = 0;

	for (int32 row = rows - 1; row > 0; row--)
	{
		uint8	   *at = value + row * width;
		const uint8 *before = at - width;
		int			borrow = 0;

		for (size_t i = width; i-- > 0;)
		{
			int			difference = at[i] - before[i] - borrow;

			borrow = difference < 0;
			at[i] = (uint8) difference;
			zeros += at[i] == 0;
		}
	}
	return zeros;
}

static bool
hex_content(ChunkBuilder *builder, ChunkContent *content)
{
	size_t		digits = builder->distinct[0].length;
	size_t		width = digits / 2;
	size_t		bytes = width * builder->rows;
	char	   *packed;
	uint8	   *difference;
	bool		differ;

	if (digits < 8 || digits > 64 || digits % 2 != 0)
		return false;
	packed = palloc(bytes);
	if (!digits_to_bytes(builder->data.data, builder->data.len, packed))
	{
		pfree(packed);
		return false;
	}
	difference = palloc(bytes);
	memcpy(difference, packed, bytes);
	differ = 2 * differences(difference, builder->rows, width) > bytes;
	appendStringInfoChar(&builder->content, differ ? 'D' : 'H');
	pack_number(&builder->content, digits);
	appendBinaryStringInfo(&builder->content, differ ? (char *) difference : packed, (int) bytes);
	content->dtype = SPARSE_BYTES;
	pfree(packed);
	pfree(difference);
	return true;
}

static void
text_content(ChunkBuilder *builder, ChunkContent *content)
{
	appendStringInfoChar(&builder->content, 'T');
	pack_number(&builder->content, builder->codes.len);
	appendBinaryStringInfo(&builder->content, builder->codes.data, builder->codes.len);
	for (int32 i = 0; i < builder->count; i++)
		pack_number(&builder->content, builder->distinct[i].length);
	appendBinaryStringInfo(&builder->content, builder->data.data, builder->data.len);
	content->dtype = SPARSE_BYTES;
}

static void
reset(ChunkBuilder *builder)
{
	if (builder->word > 0)
		memset(builder->null, 0, builder->null_room / 8);
	else
		memset(builder->slot, 0, 2 * builder->room * sizeof(int32));
	/* (the words themselves were handed out) */
	builder->rows = builder->nulls = builder->count = 0;
	builder->lengths = 0;
	builder->last = -2;
	builder->found = -1;
	resetStringInfo(&builder->codes);
}

bool
chunk_finish(ChunkBuilder *builder, ChunkContent *content)
{
	if (builder->rows == 0)
		return false;
	content->rows = builder->rows;
	content->plain = false;
	if (builder->word > 0)
		words_content(builder, content);
	else
	{
		bool		uniform = builder->count > 0 && is_uniform(builder);

		resetStringInfo(&builder->content);
		if (!(uniform && (matrix_content(builder, content) || hex_content(builder, content))))
			text_content(builder, content);
		content->bytes = builder->content.data;
		content->length = builder->content.len;
	}
	reset(builder);
	builder->data.len = 0;
	return true;
}
