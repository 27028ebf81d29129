/*
 * delta.c: the header of a delta, and the choice among its coders.
 *
 *      0  u8   version            16  u64  XXH3 of the content
 *      1  u8   predictor          24  u64  XXH3 of the prediction, 0 without
 *      2  u8   coding             32  u32  bytes of the payload
 *      3  u8   dtype              36  u32  piece
 *      4  u16  references         40  u64  whole: what it is a piece of
 *      6  u16  zero               48  references, then the payload
 *      8  u64  bytes of content
 *
 *      reference: u16 parent, u8 dtype, u8 zero, u32 zero, u64 first, u64 count
 *
 * Nothing in here is trusted: sparse_delta_read checks every field against the
 * others before anybody uses one.
 */
#include "codec.h"
#include "hash.h"

#define ZSTD_LEVEL_PREFIX 9		/* headers, tokenizers: small beside the weights */
#define ZSTD_LEVEL_ALONE 3
#define SAMPLE_BYTES ((size_t) 64 << 10)

const char *
sparse_predictor_name(sparse_predictor predictor)
{
	static const char *const names[SPARSE_PREDICTORS] = {"none", "same", "parent", "bytes"};

	return names[predictor];
}

const char *
sparse_coding_name(sparse_coding coding)
{
	static const char *const names[SPARSE_CODINGS] = {
		"empty", "raw", "constant", "zstd", "planes", "residual", "float", "palette"
	};

	return names[coding];
}

/* ---- reading ---- */

static sparse_status
read_references(const uint8_t *at, sparse_delta_info *info)
{
	info->prediction_bytes = 0;
	for (unsigned i = 0; i < info->refs; i++, at += SPARSE_DELTA_REF)
	{
		sparse_ref *ref = &info->ref[i];
		unsigned	element_bytes;

		SPARSE_CHECK(at[2] < SPARSE_DTYPES && at[3] == 0 && load32(at + 4) == 0);
		ref->parent = load16(at);
		ref->dtype = (sparse_dtype) at[2];
		ref->first = load64(at + 8);
		ref->count = load64(at + 16);
		element_bytes = sparse_dtype_get(ref->dtype)->bytes;
		SPARSE_CHECK(ref->first <= INT64_MAX / 8 && ref->count <= SPARSE_MAX_PREDICTION / element_bytes);
		info->prediction_bytes += ref->count * element_bytes;
		SPARSE_CHECK(info->prediction_bytes <= SPARSE_MAX_PREDICTION);
	}
	return SPARSE_OK;
}

/* Which coders go with which predictors, and what sizes that asks for. */
static bool
coder_fits(const sparse_delta_info *info, size_t payload_bytes)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(info->dtype);

	if (info->content_bytes == 0 && info->coding != SPARSE_CODE_EMPTY)
		return false;
	switch (info->coding)
	{
		case SPARSE_CODE_EMPTY:
			return payload_bytes == 0
				&& (info->predictor == SPARSE_PREDICT_SAME ? info->prediction_bytes == info->content_bytes
					: info->predictor == SPARSE_PREDICT_NONE && info->content_bytes == 0);
		case SPARSE_CODE_RAW:
			return info->predictor == SPARSE_PREDICT_NONE && payload_bytes == info->content_bytes;
		case SPARSE_CODE_CONSTANT:
			return info->predictor == SPARSE_PREDICT_NONE && payload_bytes == dtype->bytes;
		case SPARSE_CODE_ZSTD:
			return info->predictor == SPARSE_PREDICT_NONE || info->predictor == SPARSE_PREDICT_BYTES;
		case SPARSE_CODE_PLANES:
			return info->predictor == SPARSE_PREDICT_NONE;
		case SPARSE_CODE_RESIDUAL:
			return info->predictor == SPARSE_PREDICT_NONE
				|| (info->predictor == SPARSE_PREDICT_PARENT && info->prediction_bytes == info->content_bytes);
		case SPARSE_CODE_FLOAT:
			return info->predictor == SPARSE_PREDICT_NONE && dtype->exponent_bits > 0;
		case SPARSE_CODE_PALETTE:
			return info->predictor == SPARSE_PREDICT_NONE && dtype->bytes > 1;
	}
	return false;
}

sparse_status
sparse_delta_read(const void *delta, size_t available, size_t total, sparse_delta_info *info)
{
	const uint8_t *at = delta;
	size_t		head;

	if (available < 1)
		return SPARSE_TRUNCATED;
	if (at[0] != SPARSE_FORMAT)
		return SPARSE_BAD_VERSION;
	if (available < SPARSE_DELTA_HEADER)
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(at[1] < SPARSE_PREDICTORS && at[2] < SPARSE_CODINGS && at[3] < SPARSE_DTYPES);
	SPARSE_CHECK(load16(at + 6) == 0);
	info->version = at[0];
	info->predictor = (sparse_predictor) at[1];
	info->coding = (sparse_coding) at[2];
	info->dtype = (sparse_dtype) at[3];
	info->refs = load16(at + 4);
	info->content_bytes = load64(at + 8);
	info->content_hash = load64(at + 16);
	info->prediction_hash = load64(at + 24);
	info->delta_bytes = total;
	info->piece = load32(at + 36);
	info->whole = load64(at + 40);
	SPARSE_CHECK(info->refs <= SPARSE_MAX_REFS);
	SPARSE_CHECK((info->refs > 0) == (info->predictor != SPARSE_PREDICT_NONE));
	SPARSE_CHECK(info->refs > 0 || info->prediction_hash == 0);
	SPARSE_CHECK(info->content_bytes <= SPARSE_MAX_CONTENT);
	SPARSE_CHECK(info->content_bytes % sparse_dtype_get(info->dtype)->bytes == 0);
	head = SPARSE_DELTA_HEADER + (size_t) info->refs * SPARSE_DELTA_REF;
	if (available < head || total < head || total - head < load32(at + 32))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(total - head == load32(at + 32));
	SPARSE_TRY(read_references(at + SPARSE_DELTA_HEADER, info));
	SPARSE_CHECK(coder_fits(info, total - head));
	return SPARSE_OK;
}

void
sparse_delta_bind(uint8_t *delta, uint64_t whole, uint32_t piece)
{
	store32(delta + 36, piece);
	store64(delta + 40, whole);
}

/* ---- applying ---- */

static void
repeat_element(void *content, size_t bytes, const uint8_t *element, unsigned element_bytes)
{
	for (size_t i = 0; i < bytes; i += element_bytes)
		memcpy((uint8_t *) content + i, element, element_bytes);
}

static sparse_status
decode_payload(sparse_codec *codec, const sparse_delta_info *info, cursor payload,
			   const void *prediction, void *content)
{
	size_t		bytes = (size_t) info->content_bytes;
	size_t		prediction_bytes = (size_t) info->prediction_bytes;
	unsigned	element_bytes = sparse_dtype_get(info->dtype)->bytes;

	switch (info->coding)
	{
		case SPARSE_CODE_EMPTY:
			if (bytes > 0)
				memcpy(content, prediction, bytes);
			return SPARSE_OK;
		case SPARSE_CODE_RAW:
			if (bytes > 0)
				memcpy(content, payload.at, bytes);
			return SPARSE_OK;
		case SPARSE_CODE_CONSTANT:
			repeat_element(content, bytes, payload.at, element_bytes);
			return SPARSE_OK;
		case SPARSE_CODE_ZSTD:
			return zstd_decode(codec, payload, prediction, prediction_bytes, content, bytes);
		case SPARSE_CODE_PLANES:
			return planes_decode(codec, payload, content, bytes, element_bytes);
		case SPARSE_CODE_RESIDUAL:
			return residual_decode(codec, payload, info->refs ? prediction : NULL,
								   bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_FLOAT:
			return floats_decode(codec, payload, bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_PALETTE:
			return palette_decode(codec, payload, bytes / element_bytes, info->dtype, content);
	}
	return SPARSE_CORRUPT;
}

sparse_status
sparse_delta_apply(sparse_codec *codec, const void *delta, size_t delta_bytes,
				   const void *prediction, size_t prediction_bytes,
				   void *content, size_t content_bytes)
{
	sparse_delta_info info;
	sparse_status status;
	size_t		head;

	SPARSE_TRY(sparse_delta_read(delta, delta_bytes, delta_bytes, &info));
	if (content_bytes != info.content_bytes)
		return SPARSE_BAD_ARGUMENT;
	if (info.refs > 0 && prediction_bytes != info.prediction_bytes)
		return SPARSE_WRONG_PREDICTION;
	head = SPARSE_DELTA_HEADER + (size_t) info.refs * SPARSE_DELTA_REF;
	status = decode_payload(codec, &info,
							cursor_over((const uint8_t *) delta + head, delta_bytes - head),
							prediction, content);
	if (status == SPARSE_OK && sparse_hash(content, content_bytes, codec->simd) != info.content_hash)
		status = SPARSE_WRONG_CONTENT;

	/* the content's hash says all; the prediction's, whose fault it is when that is wrong */
	if (status != SPARSE_OK && status != SPARSE_NO_MEMORY && info.refs > 0
		&& sparse_hash(prediction, prediction_bytes, codec->simd) != info.prediction_hash)
		status = SPARSE_WRONG_PREDICTION;
	return status;
}

/* ---- encoding ---- */

size_t
sparse_delta_bound(size_t bytes)
{
	return SPARSE_DELTA_HEADER + bytes;
}

/* One encoding at work: what is given, and the best payload so far. */
typedef struct contest
{
	sparse_codec *codec;
	const uint8_t *content;
	size_t		bytes;
	sparse_dtype dtype;
	unsigned	element_bytes;
	const void *prediction;
	size_t		prediction_bytes;
	size_t		refs_bytes;		/* what naming the prediction takes */
	sparse_predictor predictor; /* of the best */
	sparse_coding coding;
	size_t		payload_bytes;	/* of the best, in codec->payload */
} contest;

/* Bytes behind the header that a payload takes with its references. */
static size_t
cost_of(const contest *c, sparse_predictor predictor, size_t payload_bytes)
{
	return payload_bytes + (predictor == SPARSE_PREDICT_NONE ? 0 : c->refs_bytes);
}

#define HEAD_ROOM (SPARSE_DELTA_HEADER + SPARSE_MAX_REFS * SPARSE_DELTA_REF)

static int
zstd_level(const sparse_codec *codec, bool predicted)
{
	if (codec->zstd_level > 0)
		return codec->zstd_level;
	return predicted ? ZSTD_LEVEL_PREFIX : ZSTD_LEVEL_ALONE;
}

static sparse_status
run_coder(contest *c, sparse_predictor predictor, sparse_coding coding, output *out)
{
	bool		predicted = predictor != SPARSE_PREDICT_NONE;
	size_t		elements = c->bytes / c->element_bytes;

	switch (coding)
	{
		case SPARSE_CODE_ZSTD:
			return zstd_encode(c->codec, c->content, c->bytes,
							   predicted ? c->prediction : NULL, predicted ? c->prediction_bytes : 0,
							   zstd_level(c->codec, predicted), out);
		case SPARSE_CODE_PLANES:
			return planes_encode(c->codec, c->content, c->bytes, c->element_bytes, out);
		case SPARSE_CODE_RESIDUAL:
			return residual_encode(c->codec, c->content, predicted ? c->prediction : NULL,
								   elements, c->dtype, out);
		case SPARSE_CODE_FLOAT:
			return floats_encode(c->codec, c->content, elements, c->dtype, out);
		case SPARSE_CODE_PALETTE:
			return palette_encode(c->codec, c->content, elements, c->dtype, out);
		default:
			return SPARSE_BAD_ARGUMENT;
	}
}

/* Lets a coder try to beat the best so far; it gets only the room that winning takes. */
static sparse_status
try_coder(contest *c, sparse_predictor predictor, sparse_coding coding)
{
	buffer	   *other = &c->codec->other;
	size_t		best = cost_of(c, c->predictor, c->payload_bytes);
	size_t		own = cost_of(c, predictor, 0);
	output		out;

	if (best <= own)
		return SPARSE_OK;
	SPARSE_TRY(buffer_reserve(c->codec, other, HEAD_ROOM + best));
	out = (output) {other->bytes + HEAD_ROOM, other->bytes + HEAD_ROOM + best - own - 1, false};
	SPARSE_TRY(run_coder(c, predictor, coding, &out));
	if (!out.full)
	{
		buffer		won = *other;

		c->predictor = predictor;
		c->coding = coding;
		c->payload_bytes = (size_t) (out.at - (won.bytes + HEAD_ROOM));
		*other = c->codec->payload;
		c->codec->payload = won;
	}
	return SPARSE_OK;
}

/*
 * What zstd over planes would make of the content, from a sample of its middle:
 * finds what the float coder does not see (few distinct values, repeated runs).
 */
static sparse_status
planes_promise(contest *c, bool *promising)
{
	size_t		sample = c->bytes < SAMPLE_BYTES ? c->bytes : SAMPLE_BYTES;
	size_t		first = (c->bytes - sample) / 2;
	output		out;

	sample -= sample % c->element_bytes;
	first -= first % c->element_bytes;
	SPARSE_TRY(buffer_reserve(c->codec, &c->codec->other, HEAD_ROOM + c->bytes));
	out = (output) {c->codec->other.bytes, c->codec->other.bytes + sample, false};
	SPARSE_TRY(planes_encode(c->codec, c->content + first, sample, c->element_bytes, &out));
	*promising = !out.full
		&& (uint64_t) (out.at - c->codec->other.bytes) * c->bytes < (uint64_t) c->payload_bytes * sample;
	return SPARSE_OK;
}

static sparse_status
try_unpredicted(contest *c)
{
	bool		promising = true;

	if (c->dtype == SPARSE_BYTES)
		return try_coder(c, SPARSE_PREDICT_NONE, SPARSE_CODE_ZSTD);
	if (c->element_bytes > 1)
		SPARSE_TRY(try_coder(c, SPARSE_PREDICT_NONE, SPARSE_CODE_PALETTE));
	SPARSE_TRY(try_coder(c, SPARSE_PREDICT_NONE,
						 sparse_dtype_get(c->dtype)->exponent_bits ? SPARSE_CODE_FLOAT : SPARSE_CODE_RESIDUAL));
	SPARSE_TRY(planes_promise(c, &promising));
	if (promising)
		SPARSE_TRY(try_coder(c, SPARSE_PREDICT_NONE, SPARSE_CODE_PLANES));
	return SPARSE_OK;
}

static sparse_status
try_predicted(contest *c, bool elementwise)
{
	if (elementwise)
		SPARSE_TRY(try_coder(c, SPARSE_PREDICT_PARENT, SPARSE_CODE_RESIDUAL));
	else
		SPARSE_TRY(try_coder(c, SPARSE_PREDICT_BYTES, SPARSE_CODE_ZSTD));
	return SPARSE_OK;
}

/* A prediction that leaves more than this much of the content may be no relative at all. */
static bool
prediction_convinces(const contest *c)
{
	return c->predictor != SPARSE_PREDICT_NONE && c->payload_bytes < c->bytes / 2;
}

static bool
is_constant(const contest *c)
{
	return memcmp(c->content, c->content + c->element_bytes, c->bytes - c->element_bytes) == 0;
}

static void
choose_raw(contest *c)
{
	c->predictor = SPARSE_PREDICT_NONE;
	c->coding = SPARSE_CODE_RAW;
	c->payload_bytes = c->bytes;
}

static sparse_status
choose(contest *c, bool has_prediction, bool elementwise)
{
	choose_raw(c);
	if (c->bytes == 0)
	{
		c->coding = SPARSE_CODE_EMPTY;
		return SPARSE_OK;
	}
	if (has_prediction && c->prediction_bytes == c->bytes && c->refs_bytes < c->bytes
		&& memcmp(c->content, c->prediction, c->bytes) == 0)
	{
		c->predictor = SPARSE_PREDICT_SAME;
		c->coding = SPARSE_CODE_EMPTY;
		c->payload_bytes = 0;
		return SPARSE_OK;
	}
	if (is_constant(c))
	{
		c->coding = SPARSE_CODE_CONSTANT;
		c->payload_bytes = c->element_bytes;
		memcpy(c->codec->payload.bytes + HEAD_ROOM, c->content, c->element_bytes);
		return SPARSE_OK;
	}
	if (has_prediction)
		SPARSE_TRY(try_predicted(c, elementwise));
	if (!prediction_convinces(c))
		SPARSE_TRY(try_unpredicted(c));
	if (c->coding == SPARSE_CODE_RAW)
		memcpy(c->codec->payload.bytes + HEAD_ROOM, c->content, c->bytes);
	return SPARSE_OK;
}

static void
write_reference(uint8_t *at, const sparse_ref *ref)
{
	memset(at, 0, SPARSE_DELTA_REF);
	store16(at, ref->parent);
	at[2] = (uint8_t) ref->dtype;
	store64(at + 8, ref->first);
	store64(at + 16, ref->count);
}

/* Puts header and references right before the payload; returns where the delta begins. */
static uint8_t *
write_head(const contest *c, const sparse_ref *ref, unsigned refs)
{
	size_t		head;
	uint8_t    *at;

	if (c->predictor == SPARSE_PREDICT_NONE)
		refs = 0;
	head = SPARSE_DELTA_HEADER + (size_t) refs * SPARSE_DELTA_REF;
	at = c->codec->payload.bytes + HEAD_ROOM - head;
	memset(at, 0, SPARSE_DELTA_HEADER);
	at[0] = SPARSE_FORMAT;
	at[1] = (uint8_t) c->predictor;
	at[2] = (uint8_t) c->coding;
	at[3] = (uint8_t) c->dtype;
	store16(at + 4, (uint16_t) refs);
	store64(at + 8, c->bytes);
	store64(at + 16, sparse_hash(c->content, c->bytes, c->codec->simd));
	store64(at + 24, refs ? sparse_hash(c->prediction, c->prediction_bytes, c->codec->simd) : 0);
	store32(at + 32, (uint32_t) c->payload_bytes);
	for (unsigned i = 0; i < refs; i++)
		write_reference(at + SPARSE_DELTA_HEADER + i * SPARSE_DELTA_REF, &ref[i]);
	return at;
}

/* The references must be well-formed and add up to the prediction. */
static sparse_status
check_references(const sparse_ref *ref, unsigned refs, size_t prediction_bytes,
				 sparse_dtype dtype, bool *same_dtype)
{
	uint64_t	sum = 0;

	*same_dtype = true;
	if (refs > SPARSE_MAX_REFS)
		return SPARSE_TOO_LARGE;
	for (unsigned i = 0; i < refs; i++)
	{
		unsigned	element_bytes = sparse_dtype_get(ref[i].dtype)->bytes;

		if (ref[i].count > SPARSE_MAX_PREDICTION / element_bytes || ref[i].first > INT64_MAX / 8)
			return SPARSE_TOO_LARGE;
		sum += ref[i].count * element_bytes;
		*same_dtype &= ref[i].dtype == dtype;
	}
	if (sum > SPARSE_MAX_PREDICTION)
		return SPARSE_TOO_LARGE;
	return sum == prediction_bytes ? SPARSE_OK : SPARSE_BAD_ARGUMENT;
}

sparse_status
sparse_delta_encode(sparse_codec *codec, const void *content, size_t bytes, sparse_dtype dtype,
					const sparse_ref *ref, unsigned refs,
					const void *prediction, size_t prediction_bytes,
					const uint8_t **delta, size_t *delta_bytes)
{
	contest		c = {
		.codec = codec, .content = content, .bytes = bytes, .dtype = dtype,
		.element_bytes = sparse_dtype_get(dtype)->bytes,
		.prediction = prediction, .prediction_bytes = prediction_bytes,
		.refs_bytes = (size_t) refs * SPARSE_DELTA_REF
	};
	bool		same_dtype;

	if (bytes > SPARSE_MAX_CONTENT)
		return SPARSE_TOO_LARGE;
	if (bytes % c.element_bytes != 0)
		return SPARSE_BAD_ARGUMENT;
	SPARSE_TRY(check_references(ref, refs, prediction_bytes, dtype, &same_dtype));
	SPARSE_TRY(buffer_reserve(codec, &codec->payload, HEAD_ROOM + bytes + 8));
	SPARSE_TRY(choose(&c, refs > 0,
					  dtype != SPARSE_BYTES && same_dtype && prediction_bytes == bytes));
	*delta = write_head(&c, ref, refs);
	*delta_bytes = (size_t) (codec->payload.bytes + HEAD_ROOM + c.payload_bytes - *delta);
	return SPARSE_OK;
}
