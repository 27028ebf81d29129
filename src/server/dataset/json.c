/*
 * json.c: values as jsonb (see json.h).
 *
 * Written from the stored bytes rather than by to_jsonb(), which would call the casts
 * that owners of types have made, with the rights of whoever reads.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "json.h"
#include "pack.h"

static void
push_string(JsonbInState *state, JsonbIteratorToken token, const char *text, size_t length)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) length;
	pushJsonbValue(state, token, &value);
}

static void
push_null(JsonbInState *state, JsonbIteratorToken token)
{
	JsonbValue	value = {.type = jbvNull};

	pushJsonbValue(state, token, &value);
}

/* A document within the document. */
static void
push_jsonb(JsonbInState *state, JsonbIteratorToken token, Jsonb *document)
{
	JsonbIterator *iterator;
	JsonbValue	value;
	JsonbIteratorToken inner;

	if (!JB_ROOT_IS_SCALAR(document))
	{
		value.type = jbvBinary;
		value.val.binary.data = &document->root;
		value.val.binary.len = VARSIZE(document) - VARHDRSZ;
		pushJsonbValue(state, token, &value);
		return;
	}
	iterator = JsonbIteratorInit(&document->root);
	(void) JsonbIteratorNext(&iterator, &value, true);
	inner = JsonbIteratorNext(&iterator, &value, true);
	if (inner != WJB_ELEM)
		unpack_failed();
	pushJsonbValue(state, token, &value);
}

static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == FLOAT4OID ||
		type == FLOAT8OID || type == NUMERICOID;
}

/* What the output function says; a number where it is one. */
static void
push_text(JsonbInState *state, JsonbIteratorToken token, const TypeCoder *coder, Datum datum)
{
	Oid			output;
	bool		varlena;
	char	   *text;

	getTypeOutputInfo(coder->base, &output, &varlena);
	text = OidOutputFunctionCall(output, datum);
	if (is_number(coder->base) && strspn(text, "0123456789+-.eE") == strlen(text))
	{
		JsonbValue	value = {.type = jbvNumeric};

		value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
																ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		pushJsonbValue(state, token, &value);
		return;
	}
	push_string(state, token, text, strlen(text));
}

static void
push_time(JsonbInState *state, JsonbIteratorToken token, const TypeCoder *coder, Datum datum)
{
	char	   *text = JsonEncodeDateTime(NULL, datum, coder->base, NULL);

	push_string(state, token, text, strlen(text));
}

static void
push_part(JsonbInState *state, JsonbIteratorToken token, TypeCoder *coder, Unpack *in)
{
	uint64		length = unpack_number(in);

	if (length == 0)
		push_null(state, token);
	else
		json_push(state, token, coder, unpack_bytes(in, length - 1), length - 1);
}

static void
push_dimension(JsonbInState *state, TypeCoder *part, Unpack *in, const uint64 *length, int dimensions, bool words)
{
	for (uint64 i = 0; i < length[0]; i++)
	{
		if (dimensions > 1)
		{
			pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
			push_dimension(state, part, in, length + 1, dimensions - 1, words);
			pushJsonbValue(state, WJB_END_ARRAY, NULL);
		}
		else if (words)
			json_push(state, WJB_ELEM, part, unpack_bytes(in, part->length), part->length);
		else
			push_part(state, WJB_ELEM, part, in);
	}
}

/* Containers are pushed as such whatever the token is. */
static void
push_array(JsonbInState *state, TypeCoder *coder, Unpack *in)
{
	uint64		dimensions = unpack_number(in);
	uint64		length[MAXDIM] = {0};
	bool		nulls;

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	if (dimensions > MAXDIM)
		unpack_failed();
	if (dimensions > 0)
	{
		nulls = unpack_number(in) != 0;
		for (uint64 i = 0; i < dimensions; i++)
		{
			length[i] = unpack_number(in);
			(void) unpack_signed(in);
			if (length[i] == 0 || length[i] > unpack_left(in))
				unpack_failed();
		}
		push_dimension(state, coder->part, in, length, (int) dimensions,
					   coder->part->form == FORM_WORD && !nulls);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_composite(JsonbInState *state, TypeCoder *coder, Unpack *in)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < coder->fields->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(coder->fields, i)->attname);

		if (coder->field[i] == NULL)
			continue;
		push_string(state, WJB_KEY, name, strlen(name));
		push_part(state, WJB_VALUE, coder->field[i], in);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_base(JsonbInState *state, JsonbIteratorToken token, TypeCoder *coder, Datum datum)
{
	JsonbValue	value = {.type = jbvBool};

	switch (coder->base)
	{
		case BOOLOID:
			value.val.boolean = DatumGetBool(datum);
			pushJsonbValue(state, token, &value);
			return;
		case JSONBOID:
			push_jsonb(state, token, DatumGetJsonbP(datum));
			return;
		case JSONOID:
			push_jsonb(state, token, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(datum)))));
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			push_time(state, token, coder, datum);
			return;
		default:
			push_text(state, token, coder, datum);
	}
}

void
json_push(JsonbInState *state, JsonbIteratorToken token, TypeCoder *coder, const char *bytes, size_t length)
{
	Unpack		in = {bytes, bytes + length};

	check_stack_depth();
	switch (coder->form)
	{
		case FORM_ENUM:
			push_string(state, token, bytes, length);
			return;
		case FORM_ARRAY:
			push_array(state, coder, &in);
			return;
		case FORM_COMPOSITE:
			push_composite(state, coder, &in);
			return;
		default:
			break;
	}
	if (coder->form == FORM_BYTES && coder->base != JSONOID && coder->base != BYTEAOID)
	{
		push_string(state, token, bytes, length);
		return;
	}
	push_base(state, token, coder, value_unpack(coder, bytes, length));
}

Jsonb *
json_row(ColumnReader **reader, const Split *split, const int *column, int columns, int64 row)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < columns; i++)
	{
		const SplitColumn *of = &split->column[column[i]];
		const char *bytes;
		size_t		length;

		push_string(&state, WJB_KEY, of->name, strlen(of->name));
		if (column_bytes(reader[i], row, &bytes, &length))
			json_push(&state, WJB_VALUE, of->coder, bytes, length);
		else
			push_null(&state, WJB_VALUE);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}
