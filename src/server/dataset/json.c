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

#include "store/encoding.h"

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

/* Text that is kept; where it need not be any, and is none, its bytes. */
static void
push_kept(JsonbInState *state, JsonbIteratorToken token, const TypeCoder *coder, const char *bytes, size_t length)
{
	const char *text = bytes;

	if (coder->lenient && !text_is_readable(bytes, length))
	{
		json_push_bytes(state, token, bytes, length);
		return;
	}
	text = text_from_kept(bytes, length, &length);
	push_string(state, token, text, length);
}

/* Of a type that is gone: text, if its bytes are that and nothing else. */
static void
push_opaque(JsonbInState *state, JsonbIteratorToken token, const char *bytes, size_t length)
{
	bool		text = text_is_readable(bytes, length);

	for (size_t i = 0; i < length && text; i++)
		text = (uint8) bytes[i] >= ' ' && bytes[i] != 127;
	if (text)
	{
		bytes = text_from_kept(bytes, length, &length);
		push_string(state, token, bytes, length);
	}
	else
		json_push_bytes(state, token, bytes, length);
}

static void
push_key(JsonbInState *state, const char *key)
{
	push_string(state, WJB_KEY, key, strlen(key));
}

/* A range whose type is gone, as its bounds. */
static void
push_range(JsonbInState *state, TypeCoder *coder, Unpack *in)
{
	RangeForm	form = range_form(in);

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "bounds");
	push_string(state, WJB_VALUE, form.bounds, strlen(form.bounds));
	if (form.lower)
	{
		push_key(state, "lower");
		push_part(state, WJB_VALUE, coder->part, in);
	}
	if (form.upper)
	{
		push_key(state, "upper");
		push_part(state, WJB_VALUE, coder->part, in);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_multirange(JsonbInState *state, TypeCoder *coder, Unpack *in)
{
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 count = unpack_number(in); count > 0; count--)
		push_part(state, WJB_ELEM, coder->part, in);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

void
json_push_bytes(JsonbInState *state, JsonbIteratorToken token, const char *bytes, size_t length)
{
	char	   *text = palloc(2 + 2 * length);

	text[0] = '\\';
	text[1] = 'x';
	push_string(state, token, text, 2 + hex_encode(bytes, length, text + 2));
}

void
json_push(JsonbInState *state, JsonbIteratorToken token, TypeCoder *coder, const char *bytes, size_t length)
{
	Unpack		in = {bytes, bytes + length};

	check_stack_depth();
	switch (coder->form)
	{
		case FORM_ENUM:
			push_kept(state, token, coder, bytes, length);
			return;
		case FORM_OPAQUE:
			push_opaque(state, token, bytes, length);
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
	if (coder->stored && coder->form == FORM_RANGE)
		push_range(state, coder, &in);
	else if (coder->stored && coder->form == FORM_MULTIRANGE)
		push_multirange(state, coder, &in);
	else if (coder->form == FORM_BYTES && coder->base != BYTEAOID &&
			 (coder->base != JSONOID || (coder->lenient && !text_is_readable(bytes, length))))
		push_kept(state, token, coder, bytes, length);
	else
		push_base(state, token, coder, value_unpack(coder, bytes, length));
}

void
json_append_text(TypeCoder *coder, const char *bytes, size_t length, StringInfo out)
{
	JsonbInState state = {0};
	Jsonb	   *document;
	JsonbValue *value;
	int			start = out->len;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	json_push(&state, WJB_ELEM, coder, bytes, length);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	document = JsonbValueToJsonb(state.result);
	value = getIthJsonbValueFromContainer(&document->root, 0);
	if (value != NULL && value->type == jbvString)
	{
		appendBinaryStringInfo(out, value->val.string.val, value->val.string.len);
		return;
	}
	(void) JsonbToCString(out, &document->root, (int) length);
	/* without the brackets around it */
	memmove(out->data + start, out->data + start + 1, out->len - start - 2);
	out->len -= 2;
	out->data[out->len] = '\0';
}

/* What errors below name. */
typedef struct ValuePlace
{
	const Split *split;
	const SplitColumn *column;
	int64		row;
} ValuePlace;

static void
name_value(void *arg)
{
	const ValuePlace *place = arg;

	errcontext("reading column \"%s\" of version \"%s@%d\", row " INT64_FORMAT, place->column->name,
			   place->split->version.name, place->split->version.revision, place->row + 1);
}

Jsonb *
json_row(ColumnReader **reader, const Split *split, const int *column, int columns, int64 row, bool raw)
{
	JsonbInState state = {0};
	ValuePlace	place = {.split = split, .row = row};
	ErrorContextCallback context = {error_context_stack, name_value, &place};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < columns; i++)
	{
		const SplitColumn *of = &split->column[column[i]];
		const char *bytes;
		size_t		length;

		push_string(&state, WJB_KEY, of->name, strlen(of->name));
		if (!column_bytes(reader[i], row, &bytes, &length))
		{
			push_null(&state, WJB_VALUE);
			continue;
		}
		place.column = of;
		error_context_stack = &context;
		if (raw)
			json_push_bytes(&state, WJB_VALUE, bytes, length);
		else
			json_push(&state, WJB_VALUE, of->coder, bytes, length);
		error_context_stack = context.previous;
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}
