/*
 * wire.c: reads and writes the protocol's values (see wire.h).
 */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define ARRAY_HEADER 12			/* dimensions, flags, type */
#define DIMENSION 8				/* length, lower bound */

void
wire_reserve(wire_buffer *buffer, size_t bytes)
{
	buffer->length = bytes;
	if (bytes <= buffer->room)
		return;
	free(buffer->bytes);
	buffer->bytes = allocate(bytes);
	buffer->room = bytes;
}

void
wire_release(wire_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (wire_buffer) {0};
}

/* ---- numbers ---- */

static uint32_t
load4(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

static uint64_t
load8(const uint8_t *at)
{
	return (uint64_t) load4(at) << 32 | load4(at + 4);
}

void
wire_put_int4(uint8_t bytes[4], uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t) (value >> (24 - 8 * i));
}

void
wire_put_int8(uint8_t bytes[8], uint64_t value)
{
	wire_put_int4(bytes, (uint32_t) (value >> 32));
	wire_put_int4(bytes + 4, (uint32_t) value);
}

static bool
has_length(const PGresult *result, int row, int column, int length)
{
	return !PQgetisnull(result, row, column) && PQgetlength(result, row, column) == length;
}

bool
wire_get_int8(const PGresult *result, int row, int column, uint64_t *value)
{
	if (!has_length(result, row, column, 8))
		return false;
	*value = load8((const uint8_t *) PQgetvalue(result, row, column));
	return true;
}

bool
wire_get_int4(const PGresult *result, int row, int column, uint32_t *value)
{
	if (!has_length(result, row, column, 4))
		return false;
	*value = load4((const uint8_t *) PQgetvalue(result, row, column));
	return true;
}

/* ---- references ---- */

/* The next number of an array's elements; false when it is null or cut off. */
static bool
next_element(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	if (end - *at < 12 || load4(*at) != 8)
		return false;
	*value = load8(*at + 4);
	*at += 12;
	return true;
}

static bool
add_range(wire_refs *refs, const wire_range *range)
{
	if (range->bytes > SPARSE_MAX_PREDICTION - refs->bytes)
		return false;
	refs->bytes += range->bytes;
	refs->range[refs->count++] = *range;
	return true;
}

/* n rows of four numbers. Null and an empty array are no references. */
bool
wire_get_refs(const PGresult *result, int row, int column, wire_refs *refs)
{
	const uint8_t *at = (const uint8_t *) PQgetvalue(result, row, column);
	const uint8_t *end = at + PQgetlength(result, row, column);
	uint32_t	rows;

	*refs = (wire_refs) {0};
	if (PQgetisnull(result, row, column))
		return true;
	if (end - at < ARRAY_HEADER || load4(at + 8) != WIRE_INT8)
		return false;
	if (load4(at) == 0)
		return end - at == ARRAY_HEADER;
	if (load4(at) != 2 || end - at < ARRAY_HEADER + 2 * DIMENSION || load4(at + ARRAY_HEADER + DIMENSION) != 4)
		return false;
	rows = load4(at + ARRAY_HEADER);
	if (rows > WIRE_MAX_REFS)
		return false;
	at += ARRAY_HEADER + 2 * DIMENSION;
	for (uint32_t i = 0; i < rows; i++)
	{
		wire_range	r;

		if (!next_element(&at, end, &r.element) || !next_element(&at, end, &r.file) ||
			!next_element(&at, end, &r.first) || !next_element(&at, end, &r.bytes) || !add_range(refs, &r))
			return false;
	}
	return at == end;
}

/* ---- rows ---- */

static const char *
check_delta(const wire_delta *row)
{
	sparse_delta_info info;

	if (sparse_delta_read(row->delta, row->delta_bytes, row->delta_bytes, &info) != SPARSE_OK)
		return "a delta is damaged";
	if (info.content_bytes != row->bytes || info.content_hash != row->content_xxh3)
		return "a delta is not of the chunk that it was sent for";
	if (info.prediction_bytes != row->refs.bytes)
		return "a delta's prediction is not what its references name";
	return NULL;
}

const char *
wire_read_delta(const PGresult *result, wire_delta *row)
{
	const char *encoding;

	*row = (wire_delta) {0};
	if (PQnfields(result) != 7 || PQgetisnull(result, 0, 0) ||
		!wire_get_int8(result, 0, 1, &row->file_offset) || !wire_get_int8(result, 0, 2, &row->bytes) ||
		PQgetisnull(result, 0, 3) || !wire_get_refs(result, 0, 4, &row->refs) ||
		!wire_get_int8(result, 0, 6, &row->content_xxh3))
		return "a row of sparse_delta() is malformed";
	if (row->bytes == 0 || row->bytes > SPARSE_MAX_CONTENT)
		return "a chunk has an impossible length";
	row->file = PQgetvalue(result, 0, 0);
	encoding = PQgetvalue(result, 0, 3);
	row->same = strcmp(encoding, "same") == 0;
	if (row->same)
		return row->refs.count == 1 && row->refs.bytes == row->bytes ? NULL : "a shared chunk has no range of its length";
	row->factor = strcmp(encoding, "factor") == 0;
	if ((!row->factor && strcmp(encoding, "delta") != 0) || PQgetisnull(result, 0, 5))
		return "a chunk has an encoding that this pg_sparse does not know";
	row->delta = (const uint8_t *) PQgetvalue(result, 0, 5);
	row->delta_bytes = (size_t) PQgetlength(result, 0, 5);
	return check_delta(row);
}

/* ---- arrays ---- */

/* Room for so many more bytes behind those that are there. */
static uint8_t *
extend(wire_buffer *buffer, size_t bytes)
{
	size_t		length = buffer->length;

	if (buffer->room - length < bytes)
	{
		uint8_t    *wider = allocate(2 * length + bytes);

		if (length > 0)
			memcpy(wider, buffer->bytes, length);
		free(buffer->bytes);
		buffer->bytes = wider;
		buffer->room = 2 * length + bytes;
	}
	buffer->length = length + bytes;
	return buffer->bytes + length;
}

void
wire_array_begin(wire_array *array, uint32_t type)
{
	uint8_t    *header;

	array->bytes.length = 0;
	array->count = 0;
	header = extend(&array->bytes, ARRAY_HEADER);
	memset(header, 0, ARRAY_HEADER);
	wire_put_int4(header + 8, type);
}

void
wire_array_add(wire_array *array, const void *bytes, size_t length)
{
	uint8_t    *at;

	if (array->count == 0)
	{
		at = extend(&array->bytes, DIMENSION);
		wire_put_int4(array->bytes.bytes, 1);
		wire_put_int4(at + 4, 1);
	}
	at = extend(&array->bytes, 4 + length);
	wire_put_int4(at, (uint32_t) length);
	memcpy(at + 4, bytes, length);
	wire_put_int4(array->bytes.bytes + ARRAY_HEADER, ++array->count);
}

void
wire_array_add_int4(wire_array *array, uint32_t value)
{
	uint8_t		bytes[4];

	wire_put_int4(bytes, value);
	wire_array_add(array, bytes, sizeof bytes);
}

void
wire_array_add_int8(wire_array *array, int64_t value)
{
	uint8_t		bytes[8];

	wire_put_int8(bytes, (uint64_t) value);
	wire_array_add(array, bytes, sizeof bytes);
}

/* ---- text ---- */

char *
wire_text_array(const char *const *text, unsigned long count)
{
	size_t		room = 3;
	char	   *array;
	char	   *to;

	for (unsigned long i = 0; i < count; i++)
		room += 2 * strlen(text[i]) + 3;
	to = array = allocate(room);
	*to++ = '{';
	for (unsigned long i = 0; i < count; i++)
	{
		if (i > 0)
			*to++ = ',';
		*to++ = '"';
		for (const char *at = text[i]; *at; at++)
		{
			if (*at == '"' || *at == '\\')
				*to++ = '\\';
			*to++ = *at;
		}
		*to++ = '"';
	}
	strcpy(to, "}");
	return array;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
wire_parse_hex(const char *text, uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		int			high = hex_digit(text[2 * i]);
		int			low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t) (high << 4 | low);
	}
	return text[2 * count] == '\0';
}
