/*
 * sdelta.c: the SQL type over the codec.
 *
 * The value is a varlena whose payload is exactly the delta's bytes (docs/format.md);
 * its text form is their base64. Input functions accept what sparse_delta_read()
 * accepts: a sound header, references within the limits, a payload of the
 * announced length. Whether the payload decodes is seen when it is applied, and
 * nothing that was stored is trusted then either.
 *
 * Functions about a delta, not its content, detoast its first bytes only.
 */
#include "postgres.h"
#include "compat.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "sdelta/glue.h"

PG_FUNCTION_INFO_V1(sdelta_in);
PG_FUNCTION_INFO_V1(sdelta_out);
PG_FUNCTION_INFO_V1(sdelta_recv);
PG_FUNCTION_INFO_V1(sdelta_send);
PG_FUNCTION_INFO_V1(sdelta_from_bytea);
PG_FUNCTION_INFO_V1(sdelta_encode);
PG_FUNCTION_INFO_V1(sdelta_apply);
PG_FUNCTION_INFO_V1(sdelta_apply_one);
PG_FUNCTION_INFO_V1(sdelta_info);
PG_FUNCTION_INFO_V1(sdelta_content_bytes);
PG_FUNCTION_INFO_V1(sdelta_bytes);
PG_FUNCTION_INFO_V1(sdelta_format);

/* Scratch memory of a codec that worked on more than this is not kept. */
#define KEEP_CODEC_BYTES ((size_t) 4 << 20)

/* A run of bytes that somebody else owns. */
typedef struct Bytes
{
	const char *data;
	size_t		length;
} Bytes;

/* ---- input and output ---- */

/* Whether `length` bytes are a delta, as far as can be told without decoding it. */
static sparse_status
validate(const void *delta, size_t length)
{
	sparse_delta_info info;

	if (length > SPARSE_MAX_DELTA)
		return SPARSE_TOO_LARGE;
	return sparse_delta_read(delta, length, length, &info);
}

Datum
sdelta_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	size_t		length = strlen(text);
	int			room;
	struct varlena *delta;
	int			bytes;
	sparse_status status;

	if (length > (size_t) pg_b64_enc_len(SPARSE_MAX_DELTA))
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("invalid input for type %s: %s", "sdelta", sparse_status_text(SPARSE_TOO_LARGE))));
	room = pg_b64_dec_len((int) length);
	delta = palloc(VARHDRSZ + room);

	bytes = pg_b64_decode(text, (int) length, (sparse_b64_bytes *) VARDATA(delta), room);
	if (bytes < 0)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "sdelta"),
				 errdetail("A delta is written in base64, without line breaks.")));
	status = validate(VARDATA(delta), bytes);
	if (status != SPARSE_OK)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s: %s", "sdelta", sparse_status_text(status))));
	SET_VARSIZE(delta, VARHDRSZ + bytes);
	PG_RETURN_POINTER(delta);
}

Datum
sdelta_out(PG_FUNCTION_ARGS)
{
	struct varlena *delta = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
	int			length = VARSIZE_ANY_EXHDR(delta);
	int			room = pg_b64_enc_len(length);
	char	   *text = palloc(room + 1);
	int			written;

	written = pg_b64_encode((const sparse_b64_bytes *) VARDATA_ANY(delta), length, text, room);
	if (written < 0)
		elog(ERROR, "could not encode a delta of %d bytes in base64", length);
	text[written] = '\0';
	PG_RETURN_CSTRING(text);
}

Datum
sdelta_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			length = message->len - message->cursor;
	struct varlena *delta = palloc(VARHDRSZ + length);
	sparse_status status;

	pq_copymsgbytes(message, VARDATA(delta), length);
	status = validate(VARDATA(delta), length);
	if (status != SPARSE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary input for type %s: %s", "sdelta", sparse_status_text(status))));
	SET_VARSIZE(delta, VARHDRSZ + length);
	PG_RETURN_POINTER(delta);
}

Datum
sdelta_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
}

/* The cast from bytea: the value as it is, once it was looked at. */
Datum
sdelta_from_bytea(PG_FUNCTION_ARGS)
{
	struct varlena *delta = PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0));
	const sparse_status status = validate(VARDATA(delta), VARSIZE(delta) - VARHDRSZ);

	if (status != SPARSE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for type %s: %s", "sdelta", sparse_status_text(status))));
	PG_RETURN_POINTER(delta);
}

/* ---- a codec per call site ---- */

/*
 * The codec of this call site, made on first use and kept for the query. It has a
 * context of its own, so that one that has grown can be dropped.
 */
static sparse_codec *
call_site_codec(FunctionCallInfo fcinfo, MemoryContext *owner)
{
	typedef struct CallSite
	{
		MemoryContext context;
		sparse_codec *codec;
	} CallSite;
	CallSite   *site = fcinfo->flinfo->fn_extra;

	if (site == NULL)
	{
		MemoryContext context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
													  "sparse codec", ALLOCSET_DEFAULT_SIZES);

		site = MemoryContextAllocZero(context, sizeof(CallSite));
		site->context = context;
		site->codec = sparse_codec_in_context(context);
		fcinfo->flinfo->fn_extra = site;
	}
	*owner = site->context;
	return site->codec;
}

static void
call_site_forget_large(FunctionCallInfo fcinfo, MemoryContext owner, size_t content_bytes)
{
	if (content_bytes <= KEEP_CODEC_BYTES)
		return;
	fcinfo->flinfo->fn_extra = NULL;
	MemoryContextDelete(owner);
}

/* ---- predictions ---- */

/* The elements of a bytea[]; nulls are an error. The bytes stay in the array. */
static int
predictions_of_array(ArrayType *array, Bytes **predictions)
{
	Datum	   *element;
	bool	   *null;
	int			count;

	deconstruct_array(array, BYTEAOID, -1, false, 'i', &element, &null, &count);
	*predictions = palloc(sizeof(Bytes) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		bytea	   *value;

		if (null[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("prediction %d is null", i)));
		value = DatumGetByteaPP(element[i]);
		(*predictions)[i].data = VARDATA_ANY(value);
		(*predictions)[i].length = VARSIZE_ANY_EXHDR(value);
	}
	return count;
}

/*
 * The bytes of the prediction that a delta refers to. A reference past what was
 * given is the user's mistake: predictions are arguments here.
 */
static Bytes
cut_reference(const sparse_ref *ref, const Bytes *predictions, int count)
{
	uint64		element_bytes = sparse_dtype_get(ref->dtype)->bytes;
	uint64		elements;
	Bytes		cut;

	if (ref->parent >= count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delta needs prediction %d, but %d were given", ref->parent, count)));
	elements = predictions[ref->parent].length / element_bytes;
	if (ref->first > elements || ref->count > elements - ref->first)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("prediction %d is too short", ref->parent),
				 errdetail("The delta needs " UINT64_FORMAT " elements from element " UINT64_FORMAT
						   " on; the prediction has " UINT64_FORMAT ".",
						   ref->count, ref->first, elements)));
	cut.data = predictions[ref->parent].data + ref->first * element_bytes;
	cut.length = ref->count * element_bytes;
	return cut;
}

/* One run of bytes; copies only when there are several. */
static Bytes
concatenate(const Bytes *pieces, int count)
{
	Bytes		whole = {NULL, 0};
	char	   *at;

	for (int i = 0; i < count; i++)
	{
		whole.length += pieces[i].length;
		if (whole.length > SPARSE_MAX_PREDICTION)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("predictions are too large"),
					 errdetail("Together they may have %zu bytes.", (size_t) SPARSE_MAX_PREDICTION)));
	}
	if (count <= 1)
		return count == 1 ? pieces[0] : whole;
	whole.data = at = palloc(Max(whole.length, 1));
	for (int i = 0; i < count; i++)
	{
		memcpy(at, pieces[i].data, pieces[i].length);
		at += pieces[i].length;
	}
	return whole;
}

/* ---- encode ---- */

static sparse_dtype
dtype_of_text(text *name)
{
	sparse_dtype dtype;
	StringInfoData known;

	if (sparse_dtype_find(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &dtype))
		return dtype;
	initStringInfo(&known);
	for (int i = 0; i < SPARSE_DTYPES; i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", sparse_dtype_get(i)->name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown dtype \"%s\"", text_to_cstring(name)),
			 errhint("Known dtypes are %s.", known.data)));
}

static void
check_content(Bytes content, sparse_dtype dtype)
{
	const sparse_dtype_info *type = sparse_dtype_get(dtype);

	if (content.length > SPARSE_MAX_CONTENT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("content is too large for one delta"),
				 errdetail("It has %zu bytes; a delta holds at most %zu.",
						   content.length, SPARSE_MAX_CONTENT),
				 errhint("Cut it into chunks and make a delta of each.")));
	if (content.length % type->bytes != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("content is not made of whole elements of dtype %s", type->name),
				 errdetail("It has %zu bytes; an element has %d.", content.length, type->bytes)));
}

/* Encodes against one prediction and keeps the delta if it beats *best. */
static void
encode_candidate(sparse_codec *codec, Bytes content, sparse_dtype dtype,
				 const sparse_ref *ref, int refs, Bytes prediction, struct varlena **best)
{
	const uint8_t *delta;
	size_t		length;
	sparse_status status;

	CHECK_FOR_INTERRUPTS();
	status = sparse_delta_encode(codec, content.data, content.length, dtype, ref, refs,
								 prediction.data, prediction.length, &delta, &length);
	if (status != SPARSE_OK)
		sparse_report(status, "encode the content");
	if (*best != NULL)
	{
		if (VARSIZE(*best) <= length + VARHDRSZ)
			return;
		pfree(*best);
	}
	*best = palloc(VARHDRSZ + length);
	SET_VARSIZE(*best, VARHDRSZ + length);
	memcpy(VARDATA(*best), delta, length);
}

/* Every prediction that is as long as the content, each alone, element by element. */
static void
encode_by_elements(sparse_codec *codec, Bytes content, sparse_dtype dtype,
				   const Bytes *predictions, int count, struct varlena **best)
{
	for (int i = 0; i < count; i++)
		if (predictions[i].length == content.length && content.length > 0)
		{
			sparse_ref	ref = {i, dtype, 0, content.length / sparse_dtype_get(dtype)->bytes};

			encode_candidate(codec, content, dtype, &ref, 1, predictions[i], best);
		}
}

/* All predictions, joined, as a dictionary of bytes. */
static void
encode_by_bytes(sparse_codec *codec, Bytes content, sparse_dtype dtype,
				const Bytes *predictions, int count, struct varlena **best)
{
	sparse_ref	ref[SPARSE_MAX_REFS];
	Bytes		piece[SPARSE_MAX_REFS];
	int			refs = 0;

	for (int i = 0; i < count; i++)
		if (predictions[i].length > 0)
		{
			if (refs == SPARSE_MAX_REFS)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("too many predictions"),
						 errdetail("A delta refers to at most %d.", SPARSE_MAX_REFS)));
			ref[refs].parent = i;
			ref[refs].dtype = SPARSE_BYTES;
			ref[refs].first = 0;
			ref[refs].count = predictions[i].length;
			piece[refs++] = predictions[i];
		}
	encode_candidate(codec, content, dtype, ref, refs, concatenate(piece, refs), best);
}

Datum
sdelta_encode(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	Bytes		content = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	sparse_dtype dtype = dtype_of_text(PG_GETARG_TEXT_PP(2));
	Bytes	   *predictions;
	int			count = predictions_of_array(PG_GETARG_ARRAYTYPE_P(1), &predictions);
	struct varlena *delta = NULL;
	MemoryContext owner;
	sparse_codec *codec;

	check_content(content, dtype);
	if (count > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many predictions")));
	codec = call_site_codec(fcinfo, &owner);
	encode_by_elements(codec, content, dtype, predictions, count, &delta);
	if (delta == NULL)
		encode_by_bytes(codec, content, dtype, predictions, count, &delta);
	call_site_forget_large(fcinfo, owner, content.length);
	PG_RETURN_POINTER(delta);
}

/* ---- apply ---- */

static Datum
apply(FunctionCallInfo fcinfo, const Bytes *predictions, int count, struct varlena *delta)
{
	sparse_delta_info info;
	Bytes		piece[SPARSE_MAX_REFS];
	Bytes		prediction;
	bytea	   *content;
	MemoryContext owner;
	sparse_status status;

	status = sparse_delta_read(VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta),
							   VARSIZE_ANY_EXHDR(delta), &info);
	if (status != SPARSE_OK)
		sparse_report(status, "read the delta");
	for (int i = 0; i < info.refs; i++)
		piece[i] = cut_reference(&info.ref[i], predictions, count);
	prediction = concatenate(piece, info.refs);

	CHECK_FOR_INTERRUPTS();
	content = palloc(VARHDRSZ + info.content_bytes);
	status = sparse_delta_apply(call_site_codec(fcinfo, &owner),
								VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta),
								prediction.data, prediction.length,
								VARDATA(content), info.content_bytes);
	if (status != SPARSE_OK)
		sparse_report(status, "apply the delta");
	SET_VARSIZE(content, VARHDRSZ + info.content_bytes);
	call_site_forget_large(fcinfo, owner, info.content_bytes);
	PG_RETURN_BYTEA_P(content);
}

Datum
sdelta_apply(PG_FUNCTION_ARGS)
{
	Bytes	   *predictions;
	int			count = predictions_of_array(PG_GETARG_ARRAYTYPE_P(0), &predictions);

	return apply(fcinfo, predictions, count, PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1)));
}

Datum
sdelta_apply_one(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	Bytes		prediction = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};

	return apply(fcinfo, &prediction, 1, PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1)));
}

/* ---- what a delta says of itself ---- */

/* Reads the header without detoasting what follows it. */
static void
read_header(Datum delta, sparse_delta_info *info)
{
	size_t		total = toast_raw_datum_size(delta) - VARHDRSZ;
	struct varlena *prefix = PG_DETOAST_DATUM_SLICE(delta, 0, SPARSE_DELTA_PREFIX);
	sparse_status status;

	status = sparse_delta_read(VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix), total, info);
	if (status != SPARSE_OK)
		sparse_report(status, "read the delta");
}

static Datum
refs_as_jsonb(const sparse_delta_info *info)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < info->refs; i++)
		appendStringInfo(&json,
						 "%s{\"parent\":%d,\"dtype\":\"%s\",\"first\":" UINT64_FORMAT ",\"count\":" UINT64_FORMAT "}",
						 i > 0 ? "," : "", info->ref[i].parent,
						 sparse_dtype_get(info->ref[i].dtype)->name,
						 info->ref[i].first, info->ref[i].count);
	appendStringInfoChar(&json, ']');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static Datum
hash_as_text(uint64 hash)
{
	return CStringGetTextDatum(psprintf("%08x%08x", (uint32) (hash >> 32), (uint32) hash));
}

Datum
sdelta_info(PG_FUNCTION_ARGS)
{
	sparse_delta_info info;
	TupleDesc	row_type;
	Datum		value[12];
	bool		null[12] = {false};

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read_header(PG_GETARG_DATUM(0), &info);
	value[0] = Int32GetDatum(info.version);
	value[1] = CStringGetTextDatum(sparse_predictor_name(info.predictor));
	value[2] = CStringGetTextDatum(sparse_coding_name(info.coding));
	value[3] = CStringGetTextDatum(sparse_dtype_get(info.dtype)->name);
	value[4] = Int64GetDatum(info.content_bytes);
	value[5] = Int64GetDatum(info.delta_bytes);
	value[6] = hash_as_text(info.content_hash);
	value[7] = hash_as_text(info.prediction_hash);
	null[7] = info.refs == 0;
	value[8] = Int64GetDatum(info.prediction_bytes);
	value[9] = refs_as_jsonb(&info);
	value[10] = Int64GetDatum(info.piece);
	value[11] = hash_as_text(info.whole);
	null[10] = null[11] = info.whole == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), value, null)));
}

Datum
sdelta_content_bytes(PG_FUNCTION_ARGS)
{
	sparse_delta_info info;

	read_header(PG_GETARG_DATUM(0), &info);
	PG_RETURN_INT64(info.content_bytes);
}

Datum
sdelta_bytes(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ);
}

/* sparse_format() */
Datum
sdelta_format(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_INT32(SPARSE_FORMAT);
}
