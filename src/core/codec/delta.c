/*
 * delta.c: the header of a delta, and the choice among its coders.
 *
 *      0  u8   version            16  u64  XXH3 of the content
 *      1  u8   predictor          24  u64  XXH3 of the prediction, 0 without
 *      2  u8   coding             32  u32  bytes of the payload
 *      3  u8   dtype              36  u32  piece
 *      4  u16  references         40  u64  whole: what it is a piece of
 *      6  u16  bytes of parameters  48  references, parameters, then the payload
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
	static const char *const names[SPARSE_PREDICTORS] = {
		"none", "same", "parent", "bytes", "cast", "blend", "low-rank", "quantised", "dequantised", "pruned", "maxima", "sum", "permuted"
	};

	return names[predictor];
}

const char *
sparse_coding_name(sparse_coding coding)
{
	static const char *const names[SPARSE_CODINGS] = {
		"empty", "raw", "constant", "zstd", "planes", "residual", "float", "palette", "mask", "fraction", "fields"
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

/* Whether the prediction is there element by element. */
static bool
predicts_elements(const sparse_delta_info *info)
{
	return sparse_predictor_computes(info->predictor)
		|| (info->predictor == SPARSE_PREDICT_PARENT && info->prediction_bytes == info->content_bytes);
}

/* Whether a prediction keeps its fraction: sums, of types that reals have more bits than. */
static bool
has_fraction(sparse_predictor predictor, sparse_dtype dtype)
{
	const unsigned bytes = sparse_dtype_get(dtype)->bytes;

	return predictor == SPARSE_PREDICT_SUM && bytes > 1 && bytes < 8;
}

/* The lowest version that describes what a predictor and a coding do. */
static uint8_t
version_of(sparse_predictor predictor, sparse_coding coding)
{
	return predictor == SPARSE_PREDICT_SUM || predictor == SPARSE_PREDICT_PERMUTED || coding == SPARSE_CODE_FIELDS ? 2 : 1;
}

/* Whether elements of that dtype may be words, or bytes, into which tools pack codes. */
static bool
may_be_packed(sparse_dtype dtype)
{
	return dtype == SPARSE_I32 || dtype == SPARSE_U32 || dtype == SPARSE_U8;
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
			if (payload_bytes > 0)
				return false;
			if (info->predictor == SPARSE_PREDICT_SAME)
				return info->prediction_bytes == info->content_bytes;
			return info->content_bytes == 0 ? info->predictor == SPARSE_PREDICT_NONE
				: sparse_predictor_computes(info->predictor);
		case SPARSE_CODE_RAW:
			return info->predictor == SPARSE_PREDICT_NONE && payload_bytes == info->content_bytes;
		case SPARSE_CODE_CONSTANT:
			return info->predictor == SPARSE_PREDICT_NONE && payload_bytes == dtype->bytes;
		case SPARSE_CODE_ZSTD:
			return info->predictor == SPARSE_PREDICT_NONE || info->predictor == SPARSE_PREDICT_BYTES;
		case SPARSE_CODE_PLANES:
			return info->predictor == SPARSE_PREDICT_NONE;
		case SPARSE_CODE_RESIDUAL:
			return info->predictor == SPARSE_PREDICT_NONE || predicts_elements(info);
		case SPARSE_CODE_FLOAT:
			return info->predictor == SPARSE_PREDICT_NONE && dtype->exponent_bits > 0;
		case SPARSE_CODE_PALETTE:
			return info->predictor == SPARSE_PREDICT_NONE && dtype->bytes > 1;
		case SPARSE_CODE_MASK:
			return predicts_elements(info) && dtype->exponent_bits > 0;
		case SPARSE_CODE_FRACTION:
			return has_fraction(info->predictor, info->dtype);
		case SPARSE_CODE_FIELDS:
			return info->content_bytes <= FIELDS_MOST_CONTENT &&
				(may_be_packed(info->dtype)
				 ? info->predictor == SPARSE_PREDICT_NONE || predicts_elements(info)
				 : info->dtype == SPARSE_BYTES &&
				 (info->predictor == SPARSE_PREDICT_NONE ||
				  (info->predictor == SPARSE_PREDICT_PARENT && info->prediction_bytes == info->content_bytes)));
	}
	return false;
}

/* Bytes before the payload. */
static size_t
head_bytes(const sparse_delta_info *info)
{
	return SPARSE_DELTA_HEADER + (size_t) info->refs * SPARSE_DELTA_REF + info->parameter_bytes;
}

static sparse_status
read_formula(const uint8_t *delta, const sparse_delta_info *info, sparse_formula *formula)
{
	SPARSE_TRY(formula_read(info->predictor, info->refs, delta + head_bytes(info) - info->parameter_bytes,
							info->parameter_bytes, formula));
	return formula_check(info, formula);
}

sparse_status
sparse_delta_read(const void *delta, size_t available, size_t total, sparse_delta_info *info)
{
	const uint8_t *at = delta;
	sparse_formula formula;
	size_t		head;

	if (available < 1)
		return SPARSE_TRUNCATED;
	if (at[0] == 0 || at[0] > SPARSE_FORMAT)
		return at[0] == 0 ? SPARSE_GIVEN_UP : SPARSE_NEWER_VERSION;
	if (available < SPARSE_DELTA_HEADER)
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(at[1] < SPARSE_PREDICTORS && at[2] < SPARSE_CODINGS && at[3] < SPARSE_DTYPES);
	SPARSE_CHECK(at[0] == version_of((sparse_predictor) at[1], (sparse_coding) at[2]));
	info->version = at[0];
	info->predictor = (sparse_predictor) at[1];
	info->coding = (sparse_coding) at[2];
	info->dtype = (sparse_dtype) at[3];
	info->refs = load16(at + 4);
	info->parameter_bytes = load16(at + 6);
	info->content_bytes = load64(at + 8);
	info->content_hash = load64(at + 16);
	info->prediction_hash = load64(at + 24);
	info->delta_bytes = total;
	info->piece = load32(at + 36);
	info->whole = load64(at + 40);
	SPARSE_CHECK(info->refs <= SPARSE_MAX_REFS);
	SPARSE_CHECK(info->parameter_bytes <= (sparse_predictor_computes(info->predictor) ? SPARSE_MAX_PARAMETERS : 0));
	SPARSE_CHECK((info->refs > 0) == (info->predictor != SPARSE_PREDICT_NONE));
	SPARSE_CHECK(info->refs > 0 || info->prediction_hash == 0);
	SPARSE_CHECK(info->content_bytes <= SPARSE_MAX_CONTENT);
	SPARSE_CHECK(info->content_bytes % sparse_dtype_get(info->dtype)->bytes == 0);
	head = head_bytes(info);
	if (available < head || total < head || total - head < load32(at + 32))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(total - head == load32(at + 32));
	SPARSE_TRY(read_references(at + SPARSE_DELTA_HEADER, info));
	SPARSE_CHECK(coder_fits(info, total - head));
	if (sparse_predictor_computes(info->predictor))
		SPARSE_TRY(read_formula(delta, info, &formula));
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
			return residual_decode(codec, payload, info->refs ? prediction : NULL, NULL,
								   bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_FRACTION:
			return residual_decode(codec, payload, prediction, codec->fraction.bytes, bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_FLOAT:
			return floats_decode(codec, payload, bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_PALETTE:
			return palette_decode(codec, payload, bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_MASK:
			return mask_decode(codec, payload, prediction, bytes / element_bytes, info->dtype, content);
		case SPARSE_CODE_FIELDS:
			return fields_decode(codec, payload, info->refs ? prediction : NULL, content, bytes);
	}
	return SPARSE_CORRUPT;
}

/* Computes what a delta's formula predicts, into memory of the codec; with its fraction, where it has one that is wanted. */
static sparse_status
compute_prediction(sparse_codec *codec, const sparse_delta_info *info, const sparse_formula *formula,
				   const void *references, bool fraction)
{
	SPARSE_TRY(buffer_reserve(codec, &codec->predicted, (size_t) info->content_bytes));
	if (fraction)
		SPARSE_TRY(buffer_reserve(codec, &codec->fraction, (size_t) info->content_bytes / sparse_dtype_get(info->dtype)->bytes));
	return formula_predict(codec, info, formula, references, codec->predicted.bytes, fraction ? codec->fraction.bytes : NULL);
}

/* Decodes a delta whose header was read, and whose prediction is as long as it must be. */
static sparse_status
decode(sparse_codec *codec, const sparse_delta_info *info, const uint8_t *delta, const void *references, void *content)
{
	const size_t head = head_bytes(info);
	const void *prediction = references;
	sparse_formula formula;

	if (sparse_predictor_computes(info->predictor))
	{
		SPARSE_TRY(read_formula(delta, info, &formula));
		SPARSE_TRY(compute_prediction(codec, info, &formula, references, info->coding == SPARSE_CODE_FRACTION));
		prediction = codec->predicted.bytes;
	}
	return decode_payload(codec, info, cursor_over(delta + head, (size_t) info->delta_bytes - head), prediction, content);
}

sparse_status
sparse_delta_apply(sparse_codec *codec, const void *delta, size_t delta_bytes,
				   const void *prediction, size_t prediction_bytes,
				   void *content, size_t content_bytes)
{
	sparse_delta_info info;
	sparse_status status;

	SPARSE_TRY(sparse_delta_read(delta, delta_bytes, delta_bytes, &info));
	if (content_bytes != info.content_bytes)
		return SPARSE_BAD_ARGUMENT;
	if (info.refs > 0 && prediction_bytes != info.prediction_bytes)
		return SPARSE_WRONG_PREDICTION;
	status = decode(codec, &info, delta, prediction, content);
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

/* A way to predict the content: what a delta that goes it must name, and what it gives. */
typedef struct way
{
	sparse_predictor predictor; /* SPARSE_PREDICT_NONE: there is none */
	unsigned	refs;			/* the first of those given */
	const void *reference;		/* what they name, of this length */
	size_t		reference_bytes;
	size_t		parameter_bytes;
	const void *predicted;		/* what is predicted: for the predictor "bytes" a dictionary */
} way;

/* One encoding at work: what is given, and the best payload so far. */
typedef struct contest
{
	sparse_codec *codec;
	const uint8_t *content;
	size_t		bytes;
	sparse_dtype dtype;
	unsigned	element_bytes;
	const block_structure *structure;	/* that bytes, or packed words, seem to have; NULL: none */
	way			best;
	sparse_coding coding;
	size_t		payload_bytes;	/* of the best, in codec->payload */
} contest;

static const way nothing = {.predictor = SPARSE_PREDICT_NONE};

/* Bytes behind the header that a payload takes with its references and parameters. */
static size_t
cost_of(const way *w, size_t payload_bytes)
{
	return payload_bytes + w->refs * SPARSE_DELTA_REF + w->parameter_bytes;
}

static int
zstd_level(const sparse_codec *codec, bool predicted)
{
	if (codec->zstd_level > 0)
		return codec->zstd_level;
	return predicted ? ZSTD_LEVEL_PREFIX : ZSTD_LEVEL_ALONE;
}

static sparse_status
run_coder(contest *c, const way *w, sparse_coding coding, output *out)
{
	const bool	predicted = w->predictor != SPARSE_PREDICT_NONE;
	size_t		elements = c->bytes / c->element_bytes;

	switch (coding)
	{
		case SPARSE_CODE_ZSTD:
			return zstd_encode(c->codec, c->content, c->bytes, w->predicted, w->reference_bytes,
							   zstd_level(c->codec, predicted), out);
		case SPARSE_CODE_PLANES:
			return planes_encode(c->codec, c->content, c->bytes, c->element_bytes, out);
		case SPARSE_CODE_RESIDUAL:
			return residual_encode(c->codec, c->content, w->predicted, NULL, elements, c->dtype,
								   w->predictor == SPARSE_PREDICT_CAST, out);
		case SPARSE_CODE_FRACTION:
			return residual_encode(c->codec, c->content, w->predicted, c->codec->fraction.bytes, elements, c->dtype, false, out);
		case SPARSE_CODE_FLOAT:
			return floats_encode(c->codec, c->content, elements, c->dtype, out);
		case SPARSE_CODE_PALETTE:
			return palette_encode(c->codec, c->content, elements, c->dtype, out);
		case SPARSE_CODE_MASK:
			return mask_encode(c->codec, c->content, w->predicted, elements, c->dtype, out);
		case SPARSE_CODE_FIELDS:
			return fields_encode(c->codec, c->structure, c->content, w->predicted, c->bytes, out);
		default:
			return SPARSE_BAD_ARGUMENT;
	}
}

/* Lets a coder try to beat the best so far; it gets only the room that winning takes. */
static sparse_status
try_coder(contest *c, const way *w, sparse_coding coding)
{
	buffer	   *other = &c->codec->other;
	size_t		best = cost_of(&c->best, c->payload_bytes);
	size_t		own = cost_of(w, 0);
	output		out;

	if (best <= own)
		return SPARSE_OK;
	SPARSE_TRY(buffer_reserve(c->codec, other, SPARSE_DELTA_HEAD + best));
	out = (output) {other->bytes + SPARSE_DELTA_HEAD, other->bytes + SPARSE_DELTA_HEAD + best - own - 1, false};
	SPARSE_TRY(run_coder(c, w, coding, &out));
	if (!out.full)
	{
		buffer		won = *other;

		c->best = *w;
		c->coding = coding;
		c->payload_bytes = (size_t) (out.at - (won.bytes + SPARSE_DELTA_HEAD));
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
	SPARSE_TRY(buffer_reserve(c->codec, &c->codec->other, SPARSE_DELTA_HEAD + c->bytes));
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
	{
		if (c->structure != NULL)
			SPARSE_TRY(try_coder(c, &nothing, SPARSE_CODE_FIELDS));
		return try_coder(c, &nothing, SPARSE_CODE_ZSTD);
	}
	if (c->element_bytes > 1)
		SPARSE_TRY(try_coder(c, &nothing, SPARSE_CODE_PALETTE));
	SPARSE_TRY(try_coder(c, &nothing, sparse_dtype_get(c->dtype)->exponent_bits ? SPARSE_CODE_FLOAT : SPARSE_CODE_RESIDUAL));
	if (c->structure != NULL)
		SPARSE_TRY(try_coder(c, &nothing, SPARSE_CODE_FIELDS));
	SPARSE_TRY(planes_promise(c, &promising));
	if (promising)
		SPARSE_TRY(try_coder(c, &nothing, SPARSE_CODE_PLANES));
	return SPARSE_OK;
}

#define MASK_STRIDE 31			/* one element in so many is looked at */
#define MASK_SHARE 64			/* a mask is tried where one in so many of those was zeroed */

/* Whether elements were zeroed that were not predicted to be. */
static bool
was_masked(const contest *c, const uint8_t *predicted)
{
	static const uint8_t zero[8];
	size_t		zeroed = 0;
	size_t		seen = 0;

	if (sparse_dtype_get(c->dtype)->exponent_bits == 0)
		return false;
	for (size_t at = 0; at < c->bytes; at += MASK_STRIDE * c->element_bytes, seen++)
	{
		const uint8_t *x = c->content + at;

		/* (all but the top byte, which holds the sign, and that without it) */
		zeroed += memcmp(x, zero, c->element_bytes - 1) == 0 && (x[c->element_bytes - 1] & 0x7f) == 0
			&& memcmp(x, predicted + at, c->element_bytes) != 0;
	}
	return zeroed * MASK_SHARE > seen;
}

/* A prediction that leaves more than one part in `share` of the content may be no relative at all. */
static bool
convinces(const contest *c, size_t share)
{
	return c->best.predictor != SPARSE_PREDICT_NONE && c->payload_bytes < c->bytes / share;
}

/* Bytes: as blocks against those of the parent, where they seem to be such; else with the parent as a dictionary. */
static sparse_status
try_bytes(contest *c, const way *dictionary)
{
	way			parent = *dictionary;

	parent.predictor = SPARSE_PREDICT_PARENT;
	if (c->structure != NULL && dictionary->reference_bytes == c->bytes)
		SPARSE_TRY(try_coder(c, &parent, SPARSE_CODE_FIELDS));
	return convinces(c, 4) ? SPARSE_OK : try_coder(c, dictionary, SPARSE_CODE_ZSTD);
}

static sparse_status
try_predicted(contest *c, const way *w)
{
	if (w->predictor == SPARSE_PREDICT_NONE)
		return SPARSE_OK;
	if (w->predictor == SPARSE_PREDICT_BYTES)
		return try_bytes(c, w);
	if (was_masked(c, w->predicted))
		SPARSE_TRY(try_coder(c, w, SPARSE_CODE_MASK));
	if (c->structure != NULL)
		SPARSE_TRY(try_coder(c, w, SPARSE_CODE_FIELDS));
	return try_coder(c, w, has_fraction(w->predictor, c->dtype) ? SPARSE_CODE_FRACTION : SPARSE_CODE_RESIDUAL);
}

static bool
is_constant(const contest *c)
{
	return memcmp(c->content, c->content + c->element_bytes, c->bytes - c->element_bytes) == 0;
}

/* Where a way predicts the content exactly, takes it: the predictor is then all there is to say. */
static bool
predicts_exactly(contest *c, const way *w, sparse_predictor predictor)
{
	if (w->predictor == SPARSE_PREDICT_NONE || cost_of(w, 0) >= c->bytes
		|| (!sparse_predictor_computes(w->predictor) && w->reference_bytes != c->bytes)
		|| memcmp(c->content, w->predicted, c->bytes) != 0)
		return false;
	c->best = *w;
	c->best.predictor = predictor;
	c->coding = SPARSE_CODE_EMPTY;
	c->payload_bytes = 0;
	return true;
}

/* A computed prediction that leaves no more than one part in so many need not be compared with the parent alone. */
#define COMPUTED_SHARE 16

static sparse_status
choose(contest *c, const way *computed, const way *plain)
{
	c->best = nothing;
	c->coding = SPARSE_CODE_RAW;
	c->payload_bytes = c->bytes;
	if (c->bytes == 0)
	{
		c->coding = SPARSE_CODE_EMPTY;
		return SPARSE_OK;
	}
	if (predicts_exactly(c, plain, SPARSE_PREDICT_SAME))
		return SPARSE_OK;
	if (is_constant(c))
	{
		c->coding = SPARSE_CODE_CONSTANT;
		c->payload_bytes = c->element_bytes;
		memcpy(c->codec->payload.bytes + SPARSE_DELTA_HEAD, c->content, c->element_bytes);
		return SPARSE_OK;
	}
	if (predicts_exactly(c, computed, computed->predictor))
		return SPARSE_OK;
	if (c->dtype == SPARSE_BYTES && c->bytes <= FIELDS_MOST_CONTENT)
		c->structure = fields_recognise(c->content, c->bytes);
	if (may_be_packed(c->dtype) && c->bytes <= FIELDS_MOST_CONTENT)
		c->structure = fields_recognise_packed(c->content, plain->predictor == SPARSE_PREDICT_PARENT ? plain->predicted : NULL, c->bytes);
	SPARSE_TRY(try_predicted(c, computed));
	if (!convinces(c, COMPUTED_SHARE))
		SPARSE_TRY(try_predicted(c, plain));
	if (!convinces(c, 2))
		SPARSE_TRY(try_unpredicted(c));
	if (c->coding == SPARSE_CODE_RAW)
		memcpy(c->codec->payload.bytes + SPARSE_DELTA_HEAD, c->content, c->bytes);
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

/* Puts header, references and parameters right before the payload; returns where the delta begins. */
static uint8_t *
write_head(const contest *c, const sparse_ref *ref, const sparse_formula *formula)
{
	const way  *w = &c->best;
	const size_t head = SPARSE_DELTA_HEADER + (size_t) w->refs * SPARSE_DELTA_REF + w->parameter_bytes;
	uint8_t    *at = c->codec->payload.bytes + SPARSE_DELTA_HEAD - head;

	memset(at, 0, SPARSE_DELTA_HEADER);
	at[0] = version_of(w->predictor, c->coding);
	at[1] = (uint8_t) w->predictor;
	at[2] = (uint8_t) c->coding;
	at[3] = (uint8_t) c->dtype;
	store16(at + 4, (uint16_t) w->refs);
	store16(at + 6, (uint16_t) w->parameter_bytes);
	store64(at + 8, c->bytes);
	store64(at + 16, sparse_hash(c->content, c->bytes, c->codec->simd));
	store64(at + 24, w->refs ? sparse_hash(w->reference, w->reference_bytes, c->codec->simd) : 0);
	store32(at + 32, (uint32_t) c->payload_bytes);
	for (unsigned i = 0; i < w->refs; i++)
		write_reference(at + SPARSE_DELTA_HEADER + i * SPARSE_DELTA_REF, &ref[i]);
	if (w->parameter_bytes > 0)
		formula_write(w->predictor, formula, w->refs, at + head - w->parameter_bytes);
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

/* Computes what a formula predicts; SPARSE_BAD_ARGUMENT where it does not fit the content and the references. */
static sparse_status
go_computed(const contest *c, sparse_predictor predictor, const sparse_formula *formula,
			const sparse_ref *ref, unsigned refs, const void *prediction, size_t prediction_bytes, way *computed)
{
	uint8_t		parameters[SPARSE_MAX_PARAMETERS];
	sparse_formula read;
	sparse_delta_info info = {
		.predictor = predictor, .dtype = c->dtype, .content_bytes = c->bytes, .refs = (uint16_t) refs
	};

	if (!sparse_predictor_computes(predictor) || refs == 0
		|| (predictor == SPARSE_PREDICT_BLEND && refs > SPARSE_MAX_BLEND)
		|| (predictor == SPARSE_PREDICT_LOW_RANK && formula->rank > SPARSE_MAX_RANK)
		|| (predictor == SPARSE_PREDICT_SUM && (formula->rank > SPARSE_MAX_SUM_RANK || formula->bases > SPARSE_MAX_BASES)))
		return SPARSE_BAD_ARGUMENT;
	memcpy(info.ref, ref, refs * sizeof(*ref));
	computed->parameter_bytes = formula_write(predictor, formula, refs, parameters);
	if (formula_read(predictor, refs, parameters, computed->parameter_bytes, &read) != SPARSE_OK
		|| formula_check(&info, &read) != SPARSE_OK)
		return SPARSE_BAD_ARGUMENT;
	SPARSE_TRY(compute_prediction(c->codec, &info, &read, prediction, has_fraction(predictor, c->dtype)));
	computed->predictor = predictor;
	computed->refs = refs;
	computed->reference = prediction;
	computed->reference_bytes = prediction_bytes;
	computed->predicted = c->codec->predicted.bytes;
	return SPARSE_OK;
}

/* The references as they are: element by element, or as a dictionary. */
static way
go_plain(const contest *c, unsigned refs, const void *prediction, size_t prediction_bytes, bool same_dtype)
{
	const bool	elementwise = c->dtype != SPARSE_BYTES && same_dtype && prediction_bytes == c->bytes;

	if (refs == 0)
		return nothing;
	return (way) {
		.predictor = elementwise ? SPARSE_PREDICT_PARENT : SPARSE_PREDICT_BYTES,
		.refs = refs, .reference = prediction, .reference_bytes = prediction_bytes, .predicted = prediction
	};
}

static sparse_status
encode(contest *c, sparse_predictor predictor, const sparse_formula *formula, const sparse_ref *ref, unsigned refs,
	   const void *prediction, size_t prediction_bytes, const uint8_t **delta, size_t *delta_bytes)
{
	sparse_codec *codec = c->codec;
	way			computed = nothing;
	way			plain;
	bool		same_dtype;

	c->element_bytes = sparse_dtype_get(c->dtype)->bytes;
	if (c->bytes > SPARSE_MAX_CONTENT)
		return SPARSE_TOO_LARGE;
	if (c->bytes % c->element_bytes != 0)
		return SPARSE_BAD_ARGUMENT;
	SPARSE_TRY(check_references(ref, refs, prediction_bytes, c->dtype, &same_dtype));
	SPARSE_TRY(buffer_reserve(codec, &codec->payload, SPARSE_DELTA_HEAD + c->bytes + 8));
	if (formula == NULL)
		plain = go_plain(c, refs, prediction, prediction_bytes, same_dtype);
	else
	{
		const bool	is_parent = refs > 0 && ref->dtype == c->dtype && ref->count * c->element_bytes == c->bytes;

		SPARSE_TRY(go_computed(c, predictor, formula, ref, refs, prediction, prediction_bytes, &computed));
		plain = is_parent ? go_plain(c, 1, prediction, c->bytes, true) : nothing;
	}
	SPARSE_TRY(choose(c, &computed, &plain));
	*delta = write_head(c, ref, formula);
	*delta_bytes = (size_t) (codec->payload.bytes + SPARSE_DELTA_HEAD + c->payload_bytes - *delta);
	return SPARSE_OK;
}

sparse_status
sparse_delta_encode(sparse_codec *codec, const void *content, size_t bytes, sparse_dtype dtype,
					const sparse_ref *ref, unsigned refs,
					const void *prediction, size_t prediction_bytes,
					const uint8_t **delta, size_t *delta_bytes)
{
	contest		c = {.codec = codec, .content = content, .bytes = bytes, .dtype = dtype};

	return encode(&c, SPARSE_PREDICT_NONE, NULL, ref, refs, prediction, prediction_bytes, delta, delta_bytes);
}

sparse_status
sparse_delta_encode_formula(sparse_codec *codec, const void *content, size_t bytes, sparse_dtype dtype,
							sparse_predictor predictor, const sparse_formula *formula,
							const sparse_ref *ref, unsigned refs,
							const void *prediction, size_t prediction_bytes,
							const uint8_t **delta, size_t *delta_bytes)
{
	contest		c = {.codec = codec, .content = content, .bytes = bytes, .dtype = dtype};

	return encode(&c, predictor, formula, ref, refs, prediction, prediction_bytes, delta, delta_bytes);
}
