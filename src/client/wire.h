/*
 * wire.h: the rows of the wire protocol (docs/wire.md), as they come in binary form.
 *
 * The server is not trusted: every length is checked before it is used, and a row
 * that is not what the protocol says is refused by a sentence about it.
 */
#ifndef SPARSE_CLIENT_WIRE_H
#define SPARSE_CLIENT_WIRE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/delta.h"

#define WIRE_MAX_REFS 64		/* ranges of one prediction */

/* Memory that grows to what was needed so far. */
typedef struct wire_buffer
{
	uint8_t    *bytes;
	size_t		room;
	size_t		length;			/* in use */
} wire_buffer;

extern void wire_reserve(wire_buffer *buffer, size_t bytes);
extern void wire_release(wire_buffer *buffer);

/* A range of a file that the client holds. */
typedef struct wire_range
{
	uint64_t	element;		/* of have, from 1 */
	uint64_t	file;			/* of its files */
	uint64_t	first;			/* byte */
	uint64_t	bytes;
} wire_range;

typedef struct wire_refs
{
	unsigned	count;
	uint64_t	bytes;			/* of all: at most SPARSE_MAX_PREDICTION */
	wire_range	range[WIRE_MAX_REFS];
} wire_refs;

/*
 * A row of sparse_delta, of the columns file, file_offset, bytes, encoding, refs, delta
 * and content_xxh3. What it points to lives as long as the result.
 */
typedef struct wire_delta
{
	const char *file;
	uint64_t	file_offset;
	uint64_t	bytes;
	bool		same;			/* the one range of refs */
	bool		factor;			/* of no file: the next chunks need it, at that place of the tape */
	wire_refs	refs;
	const uint8_t *delta;
	size_t		delta_bytes;
	uint64_t	content_xxh3;
} wire_delta;

/* NULL, or what is wrong with the row. */
extern const char *wire_read_delta(const PGresult *result, wire_delta *row);

/* Column by column. False: it is null, or not of that form. */
extern bool wire_get_int8(const PGresult *result, int row, int column, uint64_t *value);
extern bool wire_get_int4(const PGresult *result, int row, int column, uint32_t *value);
extern bool wire_get_refs(const PGresult *result, int row, int column, wire_refs *refs);

/* Big-endian, as the protocol has it. */
extern void wire_put_int4(uint8_t bytes[4], uint32_t value);
extern void wire_put_int8(uint8_t bytes[8], uint64_t value);

/* An array in binary form, put together element by element. */
typedef struct wire_array
{
	wire_buffer bytes;
	uint32_t	count;
} wire_array;

/* Starts an empty one (of any array) with elements of a type. */
extern void wire_array_begin(wire_array *array, uint32_t type);
extern void wire_array_add(wire_array *array, const void *bytes, size_t length);
extern void wire_array_add_int4(wire_array *array, uint32_t value);
extern void wire_array_add_int8(wire_array *array, int64_t value);

/* The type numbers of PostgreSQL, which never change. */
#define WIRE_INT4 23
#define WIRE_INT8 20

/* "{...}": an array of texts, quoted. The caller frees it. */
extern char *wire_text_array(const char *const *text, unsigned long count);

/* 64 hexadecimal digits; false when they are not. */
extern bool wire_parse_hex(const char *text, uint8_t *bytes, size_t count);

#endif
