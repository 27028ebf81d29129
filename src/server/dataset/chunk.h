/*
 * chunk.h: a run of values of one column as the content of an object.
 *
 * Columns of words (integers, floats, dates ...) are just their words, in the
 * type's dtype, with 0 for null; where there are nulls a bitmap follows, a bit a
 * row, set for null, lowest bit first, padded with zeros to whole words.
 *
 * Other columns begin with a byte that says how they go on:
 *
 *   T  a number, the bytes of the codes; the codes, a number a row: 0 the next distinct
 *      value, 1 the value of the row before, 2 null, 3 + i the i-th distinct value of the
 *      chunk; the lengths of the distinct values, a number each; their bytes
 *   S  one row, whose value is all that follows
 *   H  a number, the digits of a value; values that are lower-case hexadecimal digits, two a byte
 *   D  the same, but the differences, as big-endian numbers, of each value to the one
 *      before (the first to 0)
 *
 * Or they are "plain", which the row of sparse.column_chunk says: one-dimensional arrays of words, of
 * equal length, from subscript 1 on, without nulls: their elements.
 *
 * Where a chunk ends is decided by the values around that place, so that equal runs
 * of values are cut alike wherever they stand.
 */
#ifndef SPARSE_DATASET_CHUNK_H
#define SPARSE_DATASET_CHUNK_H

#include "postgres.h"

#include "codec/dtype.h"
#include "type.h"

/* Content of a chunk, in bytes before anything codes it: on average, and at most, but for single values. */
#define CHUNK_AVERAGE ((size_t) 128 * 1024)
#define CHUNK_LARGEST(average) (3 * (average))

/* Longer values have a chunk of their own. */
#define SINGLE_VALUE ((size_t) 256 * 1024)

/* The average for a table of that many columns: all of them have a chunk at work. */
static inline size_t
chunk_average(int columns)
{
	return columns <= 100 ? CHUNK_AVERAGE : columns <= 400 ? CHUNK_AVERAGE / 4 : CHUNK_AVERAGE / 16;
}

typedef struct ChunkContent
{
	int32		rows;
	bool		plain;			/* elements of arrays and nothing else: see above */
	sparse_dtype dtype;
	const char *bytes;			/* valid until the next value is added */
	size_t		length;
} ChunkContent;

typedef struct ChunkBuilder ChunkBuilder;

/* In the current context, which must be the current one at all calls. */
extern ChunkBuilder *chunk_builder_create(const TypeCoder *coder, size_t average);

/* Whether the chunk at hand ends before this value; then chunk_finish is due. NULL bytes: null. */
extern bool chunk_ends_before(ChunkBuilder *builder, const char *bytes, size_t length);

/* Adds a value that chunk_ends_before was asked about; it is not longer than SINGLE_VALUE. */
extern void chunk_add(ChunkBuilder *builder, const char *bytes, size_t length);

/* The chunk at hand; false when it is empty. The builder begins another. */
extern bool chunk_finish(ChunkBuilder *builder, ChunkContent *content);

/* ---- chunk_read.c ---- */

typedef struct ChunkReader
{
	int32		rows;
	int32		word;			/* bytes of a word; 0: other columns */
	const char *words;
	const uint8 *nulls;			/* the bitmap; NULL: none */
	int32	   *value;			/* of each row the number of its distinct value; -1: null */
	int32		values;			/* distinct ones */
	const char **start;			/* of each, and of the end of the last but those that are packed */
	size_t	   *length;
} ChunkReader;

/*
 * Takes a chunk apart, in the current context, in which `content` must live as long
 * as it is read. Whatever contradicts itself is data_corrupted.
 */
extern void chunk_open(ChunkReader *reader, const TypeCoder *coder, bool plain,
					   const char *content, size_t length, int32 rows);

/* The bytes of a row's value; false: it is null. */
static inline bool
chunk_value(const ChunkReader *reader, int32 row, const char **bytes, size_t *length)
{
	if (reader->word > 0)
	{
		if (reader->nulls != NULL && (reader->nulls[row / 8] >> (row % 8) & 1))
			return false;
		*bytes = reader->words + (size_t) row * reader->word;
		*length = reader->word;
		return true;
	}
	if (reader->value[row] < 0)
		return false;
	*bytes = reader->start[reader->value[row]];
	*length = reader->length[reader->value[row]];
	return true;
}

#endif
