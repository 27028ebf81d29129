/*
 * value.c: values to bytes and back (see type.h).
 *
 *   array      dimensions d; then, if d > 0: 1 where there are nulls, else 0; of each
 *              dimension its length and lower bound; the elements
 *   composite  the fields that are not dropped, in order
 *   range      a byte: 1 empty, 2 lower inclusive, 4 upper inclusive, 8 lower infinite,
 *              16 upper infinite; then the bounds that there are
 *   multirange the number of ranges; the ranges
 *
 * Elements that are words and of which none is null follow each other as words. All
 * other parts are a number, 0 for null and else their length and 1, and their bytes.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/multirangetypes.h"

#include "store/encoding.h"
#include "store/guard.h"

#include "pack.h"
#include "type.h"

typedef struct EncodedCall
{
	Datum		(*call) (TypeCoder *coder, Datum argument);
	TypeCoder  *coder;
	Datum		argument;
	int			before;			/* the client's encoding */
	Datum		result;
} EncodedCall;

static void
call_in_encoding(void *argument)
{
	EncodedCall *in_encoding = argument;

	in_encoding->result = in_encoding->call(in_encoding->coder, in_encoding->argument);
}

static void
restore_encoding(void *argument)
{
	(void) SetClientEncoding(((const EncodedCall *) argument)->before);
}

/*
 * Send and receive functions of text-like types follow client_encoding, which is that
 * of kept text while they run.
 */
static Datum
call_in_kept_encoding(Datum (*call) (TypeCoder *coder, Datum argument), TypeCoder *coder, Datum argument)
{
	int			encoding = pg_get_client_encoding();
	EncodedCall in_encoding = {call, coder, argument, encoding, (Datum) 0};

	if (encoding == kept_encoding())
		return call(coder, argument);
	if (PrepareClientEncoding(kept_encoding()) < 0 || SetClientEncoding(kept_encoding()) < 0)
		elog(ERROR, "could not set the encoding of kept text");
	guarded_finally(call_in_encoding, restore_encoding, &in_encoding);
	return in_encoding.result;
}

static Datum
send_value(TypeCoder *coder, Datum value)
{
	return PointerGetDatum(SendFunctionCall(&coder->send, value));
}

static Datum
receive_value(TypeCoder *coder, Datum message)
{
	return ReceiveFunctionCall(&coder->receive, (StringInfo) DatumGetPointer(message), coder->receive_arg,
							   coder->base_typmod);
}

/* ---- words ---- */

static void
word_bytes(const TypeCoder *coder, Datum value, char word[8])
{
	uint64		bits;

	if (coder->by_value)
		bits = coder->length == 1 ? (uint8) DatumGetChar(value)
			: coder->length == 2 ? (uint16) DatumGetInt16(value)
			: coder->length == 4 ? (uint32) DatumGetInt32(value) : (uint64) DatumGetInt64(value);
	else
		memcpy(&bits, DatumGetPointer(value), sizeof(bits));
	for (int i = 0; i < 8; i++)
		word[i] = (char) (bits >> (8 * i));
}

Datum
word_value(const TypeCoder *coder, const char *bytes)
{
	uint64		bits = 0;

	for (int i = 0; i < coder->length; i++)
		bits |= (uint64) (uint8) bytes[i] << (8 * i);
	if (coder->type == BOOLOID || coder->base == BOOLOID)
		return BoolGetDatum(bits != 0);
	switch (coder->length)
	{
		case 1:
			return CharGetDatum((char) bits);
		case 2:
			return Int16GetDatum((int16) bits);
		case 4:
			return Int32GetDatum((int32) bits);
		default:
			return Int64GetDatum((int64) bits);
	}
}

/* ---- parts ---- */

static void
pack_part(TypeCoder *coder, Datum value, bool null, StringInfo out)
{
	StringInfoData bytes;

	if (null)
	{
		pack_number(out, 0);
		return;
	}
	initStringInfo(&bytes);
	value_pack(coder, value, &bytes);
	pack_number(out, (uint64) bytes.len + 1);
	appendBinaryStringInfo(out, bytes.data, bytes.len);
	pfree(bytes.data);
}

static Datum
unpack_part(TypeCoder *coder, Unpack *in, bool *null)
{
	uint64		length = unpack_number(in);

	*null = length == 0;
	if (*null)
		return (Datum) 0;
	return value_unpack(coder, unpack_bytes(in, length - 1), length - 1);
}

/* ---- arrays ---- */

static void
pack_array(TypeCoder *coder, Datum value, StringInfo out)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	TypeCoder  *part = coder->part;
	bool		words;
	Datum	   *element;
	bool	   *null;
	int			count;

	pack_number(out, ARR_NDIM(array));
	if (ARR_NDIM(array) == 0)
		return;
	pack_number(out, array_contains_nulls(array));
	for (int i = 0; i < ARR_NDIM(array); i++)
	{
		pack_number(out, ARR_DIMS(array)[i]);
		pack_signed(out, ARR_LBOUND(array)[i]);
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), part->length, part->by_value, part->align,
					  &element, &null, &count);
	words = part->form == FORM_WORD && !array_contains_nulls(array);
	for (int i = 0; i < count; i++)
	{
		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (words)
			value_pack(part, element[i], out);
		else
			pack_part(part, element[i], null[i], out);
	}
	pfree(element);
	pfree(null);
	if ((void *) array != DatumGetPointer(value))
		pfree(array);
}

/* Dimensions and lower bounds; the number of elements. */
static int
unpack_dimensions(Unpack *in, int dimensions, int *length, int *bound)
{
	uint64		count = 1;

	for (int i = 0; i < dimensions; i++)
	{
		uint64		dimension = unpack_number(in);
		int64		lower = unpack_signed(in);

		if (dimension == 0 || dimension > MaxAllocSize / sizeof(Datum) ||
			lower < PG_INT32_MIN || lower + (int64) dimension > PG_INT32_MAX)
			unpack_failed();
		length[i] = (int) dimension;
		bound[i] = (int) lower;
		count *= dimension;
		/* an element takes a byte at least */
		if (count > unpack_left(in))
			unpack_failed();
	}
	return (int) count;
}

static Datum
unpack_array(TypeCoder *coder, Unpack *in)
{
	TypeCoder  *part = coder->part;
	uint64		dimensions = unpack_number(in);
	int			length[MAXDIM];
	int			bound[MAXDIM];
	Datum	   *element;
	bool	   *null;
	uint64		nulls;
	int			count;
	ArrayType  *array;

	if (dimensions > MAXDIM)
		unpack_failed();
	if (dimensions == 0)
		return PointerGetDatum(construct_empty_array(part->type));
	nulls = unpack_number(in);
	count = unpack_dimensions(in, (int) dimensions, length, bound);
	element = palloc(count * sizeof(Datum));
	null = palloc0(count * sizeof(bool));
	for (int i = 0; i < count; i++)
	{
		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (part->form == FORM_WORD && nulls == 0)
			element[i] = word_value(part, unpack_bytes(in, part->length));
		else
			element[i] = unpack_part(part, in, &null[i]);
	}
	array = construct_md_array(element, null, (int) dimensions, length, bound, part->type,
							   part->length, part->by_value, part->align);
	pfree(element);
	pfree(null);
	return PointerGetDatum(array);
}

/* ---- composites ---- */

static void
pack_composite(TypeCoder *coder, Datum value, StringInfo out)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	int			count = coder->fields->natts;
	Datum	   *field = palloc(Max(count, 1) * sizeof(Datum));
	bool	   *null = palloc(Max(count, 1) * sizeof(bool));

	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, coder->fields, field, null);
	for (int i = 0; i < count; i++)
		if (coder->field[i] != NULL)
			pack_part(coder->field[i], field[i], null[i], out);
	pfree(field);
	pfree(null);
}

static Datum
unpack_composite(TypeCoder *coder, Unpack *in)
{
	int			count = coder->fields->natts;
	Datum	   *field = palloc0(Max(count, 1) * sizeof(Datum));
	bool	   *null = palloc(Max(count, 1) * sizeof(bool));

	for (int i = 0; i < count; i++)
	{
		null[i] = true;
		if (coder->field[i] != NULL)
			field[i] = unpack_part(coder->field[i], in, &null[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(coder->fields, field, null));
}

/* ---- ranges ---- */

#define EMPTY 1
#define LOWER_INCLUSIVE 2
#define UPPER_INCLUSIVE 4
#define LOWER_INFINITE 8
#define UPPER_INFINITE 16

RangeForm
range_form(Unpack *in)
{
	uint8		flags = *(const uint8 *) unpack_bytes(in, 1);
	RangeForm	form = {
		.lower = !(flags & (EMPTY | LOWER_INFINITE)),
		.upper = !(flags & (EMPTY | UPPER_INFINITE)),
		.bounds = "empty"
	};

	if (!(flags & EMPTY))
		form.bounds = flags & LOWER_INCLUSIVE ? flags & UPPER_INCLUSIVE ? "[]" : "[)"
			: flags & UPPER_INCLUSIVE ? "(]" : "()";
	return form;
}

static void
pack_range(TypeCoder *coder, Datum value, StringInfo out)
{
	RangeType  *range = DatumGetRangeTypeP(value);
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(coder->ranges, range, &lower, &upper, &empty);
	appendStringInfoChar(out, empty ? EMPTY :
						 (lower.inclusive ? LOWER_INCLUSIVE : 0) | (upper.inclusive ? UPPER_INCLUSIVE : 0) |
						 (lower.infinite ? LOWER_INFINITE : 0) | (upper.infinite ? UPPER_INFINITE : 0));
	if (!empty && !lower.infinite)
		pack_part(coder->part, lower.val, false, out);
	if (!empty && !upper.infinite)
		pack_part(coder->part, upper.val, false, out);
}

static RangeBound
unpack_bound(TypeCoder *coder, Unpack *in, bool lower, bool inclusive, bool infinite)
{
	RangeBound	bound = {.lower = lower, .inclusive = inclusive, .infinite = infinite};
	bool		null = false;

	if (!infinite)
		bound.val = unpack_part(coder->part, in, &null);
	if (null)
		unpack_failed();
	return bound;
}

static Datum
unpack_range(TypeCoder *coder, Unpack *in)
{
	uint8		flags = *(const uint8 *) unpack_bytes(in, 1);
	RangeBound	lower = {.lower = true};
	RangeBound	upper = {.lower = false};

	if (!(flags & EMPTY))
	{
		lower = unpack_bound(coder, in, true, flags & LOWER_INCLUSIVE, flags & LOWER_INFINITE);
		upper = unpack_bound(coder, in, false, flags & UPPER_INCLUSIVE, flags & UPPER_INFINITE);
	}
	return RangeTypePGetDatum(make_range(coder->ranges, &lower, &upper, flags & EMPTY, NULL));
}

static void
pack_multirange(TypeCoder *coder, Datum value, StringInfo out)
{
	RangeType **range;
	int32		count;

	multirange_deserialize(coder->ranges, DatumGetMultirangeTypeP(value), &count, &range);
	pack_number(out, count);
	for (int i = 0; i < count; i++)
		pack_part(coder->part, RangeTypePGetDatum(range[i]), false, out);
}

static Datum
unpack_multirange(TypeCoder *coder, Unpack *in)
{
	uint64		count = unpack_number(in);
	RangeType **range;
	bool		null;

	if (count > unpack_left(in))
		unpack_failed();
	range = palloc(Max(count, 1) * sizeof(RangeType *));
	for (uint64 i = 0; i < count; i++)
	{
		Datum		one = unpack_part(coder->part, in, &null);

		if (null)
			unpack_failed();
		range[i] = DatumGetRangeTypeP(one);
	}
	return MultirangeTypePGetDatum(make_multirange(coder->base, coder->ranges, (int32) count, range));
}

/* ---- text ---- */

static void
pack_text(const char *text, size_t length, StringInfo out)
{
	size_t		kept_length;
	const char *kept = text_to_kept(text, length, &kept_length);

	appendBinaryStringInfo(out, kept, (int) kept_length);
	if (kept != text)
		pfree(unconstify(char *, kept));
}

/* ---- enums ---- */

static void
pack_label(Datum value, StringInfo out)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, value);
	const char *label;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", DatumGetObjectId(value))));
	label = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
	pack_text(label, strlen(label), out);
	ReleaseSysCache(tuple);
}

static Datum
unpack_label(TypeCoder *coder, const char *bytes, size_t length)
{
	const char *label = text_from_kept(bytes, length, &length);

	return OidInputFunctionCall(F_ENUM_IN, pnstrdup(label, length), coder->base, -1);
}

/* ---- all ---- */

static void
pack_varlena(const TypeCoder *coder, Datum value, StringInfo out)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	if (coder->base == BYTEAOID)
		appendBinaryStringInfo(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	else
		pack_text(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), out);
	if ((void *) bytes != DatumGetPointer(value))
		pfree(bytes);
}

static void
pack_sent(TypeCoder *coder, Datum value, StringInfo out)
{
	bytea	   *bytes = DatumGetByteaPP(call_in_kept_encoding(send_value, coder, value));

	appendBinaryStringInfo(out, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	pfree(bytes);
}

void
value_pack(TypeCoder *coder, Datum value, StringInfo out)
{
	char		word[8];

	switch (coder->form)
	{
		case FORM_WORD:
			word_bytes(coder, value, word);
			appendBinaryStringInfo(out, word, coder->length);
			return;
		case FORM_BYTES:
			pack_varlena(coder, value, out);
			return;
		case FORM_SENT:
			pack_sent(coder, value, out);
			return;
		case FORM_ENUM:
			pack_label(value, out);
			return;
		default:
			break;
	}
	check_stack_depth();
	if (coder->form == FORM_ARRAY)
		pack_array(coder, value, out);
	else if (coder->form == FORM_COMPOSITE)
		pack_composite(coder, value, out);
	else if (coder->form == FORM_RANGE)
		pack_range(coder, value, out);
	else
		pack_multirange(coder, value, out);
}

/* A receive function may look for a terminating zero, and must take all there is. */
static Datum
unpack_sent(TypeCoder *coder, const char *bytes, size_t length)
{
	StringInfoData message;
	Datum		value;

	message.data = palloc(length + 1);
	memcpy(message.data, bytes, length);
	message.data[length] = '\0';
	message.len = (int) length;
	message.maxlen = (int) length + 1;
	message.cursor = 0;
	value = call_in_kept_encoding(receive_value, coder, PointerGetDatum(&message));
	if (message.cursor != message.len)
		unpack_failed();
	pfree(message.data);
	return value;
}

static Datum
unpack_container(TypeCoder *coder, Unpack *in)
{
	check_stack_depth();
	switch (coder->form)
	{
		case FORM_ARRAY:
			return unpack_array(coder, in);
		case FORM_COMPOSITE:
			return unpack_composite(coder, in);
		case FORM_RANGE:
			return unpack_range(coder, in);
		default:
			return unpack_multirange(coder, in);
	}
}

static Datum
unpack_base(TypeCoder *coder, const char *bytes, size_t length)
{
	Unpack		in = {bytes, bytes + length};
	Datum		value;

	switch (coder->form)
	{
		case FORM_WORD:
			if (length != (size_t) coder->length)
				unpack_failed();
			return word_value(coder, bytes);
		case FORM_BYTES:
			if (coder->base != BYTEAOID)
				bytes = text_from_kept(bytes, length, &length);
			return PointerGetDatum(cstring_to_text_with_len(bytes, (int) length));
		case FORM_SENT:
			return unpack_sent(coder, bytes, length);
		case FORM_ENUM:
			return unpack_label(coder, bytes, length);
		default:
			value = unpack_container(coder, &in);
			if (unpack_left(&in) > 0)
				unpack_failed();
			return value;
	}
}

Datum
value_unpack(TypeCoder *coder, const char *bytes, size_t length)
{
	Datum		value = unpack_base(coder, bytes, length);

	if (coder->constrained)
		domain_check(value, false, coder->type, &coder->constraints, coder->context);
	return value;
}

/* ---- checking ---- */

static void
check_part(TypeCoder *coder, Unpack *in, bool may_be_null)
{
	uint64		length = unpack_number(in);

	if (length > 0)
		value_check(coder, unpack_bytes(in, length - 1), length - 1);
	else if (!may_be_null)
		unpack_failed();
}

static void
check_array(TypeCoder *coder, Unpack *in)
{
	TypeCoder  *part = coder->part;
	uint64		dimensions = unpack_number(in);
	int			length[MAXDIM];
	int			bound[MAXDIM];
	bool		words;
	int			count;

	if (dimensions > MAXDIM)
		unpack_failed();
	if (dimensions == 0)
		return;
	words = unpack_number(in) == 0 && part->form == FORM_WORD;
	count = unpack_dimensions(in, (int) dimensions, length, bound);
	if (words)
		(void) unpack_bytes(in, (uint64) count * part->length);
	for (int i = 0; i < count && !words; i++)
		check_part(part, in, true);
}

static void
check_range(TypeCoder *coder, Unpack *in)
{
	RangeForm	form = range_form(in);

	if (form.lower)
		check_part(coder->part, in, false);
	if (form.upper)
		check_part(coder->part, in, false);
}

static void
check_container(TypeCoder *coder, Unpack *in)
{
	check_stack_depth();
	if (coder->form == FORM_ARRAY)
		check_array(coder, in);
	else if (coder->form == FORM_COMPOSITE)
	{
		for (int i = 0; i < coder->fields->natts; i++)
			if (coder->field[i] != NULL)
				check_part(coder->field[i], in, true);
	}
	else if (coder->form == FORM_RANGE)
		check_range(coder, in);
	else
		for (uint64 count = unpack_number(in); count > 0; count--)
			check_part(coder->part, in, false);
	if (unpack_left(in) > 0)
		unpack_failed();
}

void
value_check(TypeCoder *coder, const char *bytes, size_t length)
{
	Unpack		in = {bytes, bytes + length};

	switch (coder->form)
	{
		case FORM_WORD:
			if (length != (size_t) coder->length)
				unpack_failed();
			return;
		case FORM_BYTES:
			if (coder->base != BYTEAOID)
				(void) text_from_kept(bytes, length, &length);
			return;
		case FORM_SENT:
			(void) unpack_sent(coder, bytes, length);
			return;
		case FORM_ENUM:
			(void) unpack_label(coder, bytes, length);
			return;
		case FORM_OPAQUE:
			return;
		default:
			check_container(coder, &in);
	}
}
