/*
 * alike.c: a form of values that values of another type have as well (see alike.h).
 *
 * Whatever a session's settings are: none of them shows in numbers and times, and what is text is
 * compared within one call.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "alike.h"
#include "json.h"
#include "pack.h"

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_number(Oid type)
{
	return is_integer(type) || type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

static bool
is_time(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID;
}

static bool
is_json(Oid type)
{
	return type == JSONOID || type == JSONBOID;
}

Alike
alike_of(const TypeCoder *a, const TypeCoder *b)
{
	if (is_number(a->base) && is_number(b->base))
		return ALIKE_NUMBER;
	if (a->base == b->base && OidIsValid(a->base) && !a->stored && !b->stored)
		return ALIKE_BYTES;
	if (is_time(a->base) && is_time(b->base))
		return ALIKE_TIME;
	if (is_json(a->base) && is_json(b->base))
		return ALIKE_JSON;
	return ALIKE_TEXT;
}

const char *
alike_name(Alike alike)
{
	static const char *const name[] = {"bytes", "numbers", "times", "jsonb", "text"};

	return name[alike];
}

/* The digits of a number without zeros at their end; of what is none, as it is. */
static void
append_digits(const char *digits, StringInfo out)
{
	Datum		number;

	if (strspn(digits, "0123456789+-.eE") != strlen(digits))
	{
		appendStringInfoString(out, digits);
		return;
	}
	number = DirectFunctionCall3(numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	appendStringInfoString(out, numeric_normalize(DatumGetNumeric(number)));
}

static void
append_number(TypeCoder *coder, const char *bytes, size_t length, StringInfo out)
{
	Datum		value = value_unpack(coder, bytes, length);
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	switch (coder->base)
	{
		case INT2OID:
			appendStringInfo(out, "%d", DatumGetInt16(value));
			return;
		case INT4OID:
			appendStringInfo(out, "%d", DatumGetInt32(value));
			return;
		case INT8OID:
			appendStringInfo(out, INT64_FORMAT, DatumGetInt64(value));
			return;
		case FLOAT4OID:
			float_to_shortest_decimal_buf(DatumGetFloat4(value), digits);
			append_digits(digits, out);
			return;
		case FLOAT8OID:
			double_to_shortest_decimal_buf(DatumGetFloat8(value), digits);
			append_digits(digits, out);
			return;
		default:
			append_digits(DatumGetCString(DirectFunctionCall1(numeric_out, value)), out);
	}
}

/* Microseconds since 2000; of a date that no timestamp can express, its days. */
static void
append_time(const TypeCoder *coder, const char *bytes, size_t length, StringInfo out)
{
	int64		time;
	DateADT		date;

	if (length != (size_t) coder->length)
		unpack_failed();
	if (coder->base == TIMESTAMPOID)
		time = DatumGetTimestamp(word_value(coder, bytes));
	else
	{
		date = DatumGetDateADT(word_value(coder, bytes));
		if (DATE_IS_NOBEGIN(date))
			time = DT_NOBEGIN;
		else if (DATE_IS_NOEND(date))
			time = DT_NOEND;
		else if (date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		{
			appendStringInfo(out, "%d days", date);
			return;
		}
		else
			time = date * USECS_PER_DAY;
	}
	appendStringInfo(out, INT64_FORMAT, time);
}

static void
append_text(TypeCoder *coder, const char *bytes, size_t length, StringInfo out)
{
	int			start = out->len;

	json_append_text(coder, bytes, length, out);
	/* blanks behind a character(n) are none of its value */
	while (coder->base == BPCHAROID && out->len > start && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

void
alike_append(Alike alike, TypeCoder *coder, const char *bytes, size_t length, StringInfo out)
{
	if (alike == ALIKE_NUMBER)
		append_number(coder, bytes, length, out);
	else if (alike == ALIKE_TIME)
		append_time(coder, bytes, length, out);
	else if (alike == ALIKE_BYTES)
		appendBinaryStringInfo(out, bytes, (int) length);
	else
		append_text(coder, bytes, length, out);
}
