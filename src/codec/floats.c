/*
 * floats.c: the coder for floats that nothing predicts.
 *
 * A weight's sign and mantissa are noise; its exponent is not. The exponent, as
 * octaves below the largest of the chunk, is a token; its context is the scale of
 * the block of 128 elements around it (mean magnitude, in half octaves). The
 * rest are raw bits, without those low mantissa bits that are zero throughout the
 * chunk (a bf16 model kept as fp32). A positive zero is a token by itself, so what
 * was pruned costs next to nothing.
 *
 * Payload: u16 largest exponent, u8 zero low bits, u8 zero, section raw bits,
 * then the stream (stream.c). A block of positive zeros has scale 0.
 */
#include "bits.h"
#include "codec.h"

#define TOKEN_ZERO 255			/* +0.0, no raw bits */
#define TOKEN_ESCAPE 254		/* the whole exponent stands in the raw bits */

typedef struct layout
{
	unsigned	element_bytes;
	unsigned	mantissa_bits;
	unsigned	exponent_bits;
	unsigned	low_zeros;		/* of the mantissa, common to all elements */
	unsigned	raw_bits;		/* sign and what is left of the mantissa */
	int			largest;		/* exponent */
} layout;

static inline uint64_t
load_element(const uint8_t *at, unsigned bytes)
{
	switch (bytes)
	{
		case 1:
			return *at;
		case 2:
			return load16(at);
		case 4:
			return load32(at);
		default:
			return load64(at);
	}
}

static inline void
store_element(uint8_t *at, uint64_t value, unsigned bytes)
{
	switch (bytes)
	{
		case 1:
			*at = (uint8_t) value;
			return;
		case 2:
			store16(at, (uint16_t) value);
			return;
		case 4:
			store32(at, (uint32_t) value);
			return;
		default:
			store64(at, value);
	}
}

static inline int
exponent_of(uint64_t element, const layout *l)
{
	return (int) (element >> l->mantissa_bits & ((1u << l->exponent_bits) - 1));
}

static layout
layout_of(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	layout		l = {info->bytes, info->mantissa_bits, info->exponent_bits, 0, 0, 0};

	return l;
}

static void
layout_finish(layout *l, unsigned low_zeros)
{
	l->low_zeros = low_zeros;
	l->raw_bits = 1 + l->mantissa_bits - low_zeros;
}

static inline __attribute__((always_inline)) void
survey_elements(const uint8_t *content, size_t elements, unsigned bytes, layout *l)
{
	uint64_t	any = 0;
	unsigned	zeros;

	for (size_t i = 0; i < elements; i++)
	{
		uint64_t	x = load_element(content + i * bytes, bytes);
		int			e = exponent_of(x, l);

		any |= x;
		l->largest = e > l->largest ? e : l->largest;
	}
	any |= UINT64_C(1) << l->mantissa_bits;
	zeros = (unsigned) __builtin_ctzll(any);
	layout_finish(l, zeros);
}

/* The stored scale of a block: 1 + half octaves of its mean below the largest; 0: all +0.0. */
static inline __attribute__((always_inline)) uint8_t
block_scale(const uint8_t *content, size_t count, unsigned bytes, const layout *l)
{
	uint64_t	sum = 0;
	uint64_t	any = 0;
	int			below;

	for (size_t i = 0; i < count; i++)
	{
		uint64_t	x = load_element(content + i * bytes, bytes);
		int			k = l->largest - exponent_of(x, l);

		any |= x;
		sum += UINT64_C(1) << (k < 48 ? 48 - k : 0);
	}
	if (any == 0)
		return 0;
	below = 2 * 48 + 1 - half_octaves(sum / count);
	return (uint8_t) (below < 1 ? 1 : below);
}

static inline uint8_t
context_of_scale(uint8_t scale)
{
	return scale - 1 < TABLES_CONTEXTS ? (uint8_t) (scale - 1) : TABLES_CONTEXTS - 1;
}

static inline __attribute__((always_inline)) void
block_tokens(const uint8_t *content, size_t count, unsigned bytes, const layout *l,
			 uint8_t *token, bit_writer *raw)
{
	const unsigned kept = l->mantissa_bits - l->low_zeros;
	const uint64_t mantissa_mask = (UINT64_C(1) << l->mantissa_bits) - 1;

	for (size_t i = 0; i < count; i++)
	{
		uint64_t	x = load_element(content + i * bytes, bytes);
		int			k = l->largest - exponent_of(x, l);
		uint64_t	sign = x >> (8 * bytes - 1);

		if (x == 0)
		{
			token[i] = TOKEN_ZERO;
			continue;
		}
		if (k >= TOKEN_ESCAPE)
			bits_put(raw, (uint64_t) exponent_of(x, l), l->exponent_bits);
		token[i] = (uint8_t) (k < TOKEN_ESCAPE ? k : TOKEN_ESCAPE);
		bits_put(raw, sign << kept | (x & mantissa_mask) >> l->low_zeros, l->raw_bits);
	}
}

static inline __attribute__((always_inline)) size_t
encode_elements(sparse_codec *codec, const uint8_t *content, size_t elements, unsigned bytes,
				const layout *l, bit_writer *raw)
{
	size_t		tokens = 0;

	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = elements - at < BLOCK ? elements - at : BLOCK;
		const uint8_t *block = content + at * bytes;
		uint8_t    *token = codec->token.bytes + tokens;
		uint8_t		context;

		codec->scale.bytes[b] = block_scale(block, count, bytes, l);
		if (codec->scale.bytes[b] == 0)
			continue;
		context = context_of_scale(codec->scale.bytes[b]);
		block_tokens(block, count, bytes, l, token, raw);
		memset(codec->table.bytes + tokens, context, count);
		for (size_t i = 0; i < count; i++)
			codec->histogram[context][token[i]]++;
		tokens += count;
	}
	return tokens;
}

sparse_status
floats_encode(sparse_codec *codec, const void *content, size_t elements, sparse_dtype dtype, output *out)
{
	layout		l = layout_of(dtype);
	size_t		blocks = (elements + BLOCK - 1) / BLOCK;
	bit_writer	raw;
	size_t		tokens;
	uint8_t		head[4] = {0};

	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, elements * (l.element_bytes + 2) + 64));
	memset(codec->histogram, 0, sizeof(codec->histogram));
	raw = (bit_writer) {codec->raw.bytes, 0};
	codec->raw.bytes[0] = 0;
	switch (l.element_bytes)
	{
#define CASE(bytes) \
		case bytes: \
			survey_elements(content, elements, bytes, &l); \
			tokens = encode_elements(codec, content, elements, bytes, &l, &raw); \
			break
			CASE(1);
			CASE(2);
			CASE(4);
		default:
			survey_elements(content, elements, 8, &l);
			tokens = encode_elements(codec, content, elements, 8, &l, &raw);
#undef CASE
	}
	store16(head, (uint16_t) l.largest);
	head[2] = (uint8_t) l.low_zeros;
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, bits_written(&raw));
	return token_stream_write(codec, out, blocks, tokens);
}

typedef struct raw_bits
{
	const uint8_t *bytes;
	size_t		length;
	uint64_t	position;
} raw_bits;

static inline uint64_t
take_bits(raw_bits *r, unsigned width)
{
	uint64_t	value;

	if ((r->position >> 3) + 8 <= r->length)
		value = bits_get_fast(r->bytes, r->position, width);
	else
		value = bits_get(r->bytes, r->length, r->position, width);
	r->position += width;
	return value;
}

/* False when an exponent is out of range. */
static inline __attribute__((always_inline)) bool
restore_block(const uint8_t *token, size_t count, unsigned bytes, const layout *l,
			  raw_bits *raw, uint8_t *content)
{
	const unsigned kept = l->mantissa_bits - l->low_zeros;
	const uint64_t kept_mask = (UINT64_C(1) << kept) - 1;

	for (size_t i = 0; i < count; i++)
	{
		int			e = l->largest - token[i];
		uint64_t	rest;

		if (token[i] == TOKEN_ZERO)
		{
			store_element(content + i * bytes, 0, bytes);
			continue;
		}
		if (token[i] == TOKEN_ESCAPE)
			e = (int) take_bits(raw, l->exponent_bits);
		if (e < 0)
			return false;
		rest = take_bits(raw, l->raw_bits);
		store_element(content + i * bytes,
					  (rest >> kept) << (8 * bytes - 1) | (uint64_t) e << l->mantissa_bits
					  | (rest & kept_mask) << l->low_zeros,
					  bytes);
	}
	return true;
}

static inline __attribute__((always_inline)) sparse_status
decode_elements(token_stream *st, size_t elements, unsigned bytes, const layout *l,
				raw_bits *raw, uint8_t *content)
{
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = elements - at < BLOCK ? elements - at : BLOCK;
		uint8_t		token[BLOCK];
		uint8_t		table[BLOCK];

		if (st->scale[b] == 0)
		{
			memset(content + at * bytes, 0, count * bytes);
			continue;
		}
		memset(table, st->of_context[context_of_scale(st->scale[b])], count);
		rans_decode(&st->decoder, st->slots, table, count, token);
		SPARSE_CHECK(restore_block(token, count, bytes, l, raw, content + at * bytes));
	}
	SPARSE_CHECK(rans_decode_done(&st->decoder));
	return SPARSE_OK;
}

static sparse_status
decode_any(token_stream *st, size_t elements, const layout *l, raw_bits *raw, uint8_t *content)
{
	switch (l->element_bytes)
	{
		case 1:
			return decode_elements(st, elements, 1, l, raw, content);
		case 2:
			return decode_elements(st, elements, 2, l, raw, content);
		case 4:
			return decode_elements(st, elements, 4, l, raw, content);
		default:
			return decode_elements(st, elements, 8, l, raw, content);
	}
}

sparse_status
floats_decode(sparse_codec *codec, cursor payload, size_t elements, sparse_dtype dtype, void *content)
{
	layout		l = layout_of(dtype);
	uint32_t	head = cursor_u32(&payload);
	cursor		bits = cursor_section(&payload);
	raw_bits	raw = {bits.at, 0, 0};
	token_stream st;

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	l.largest = (int) (head & 0xffff);
	SPARSE_CHECK(l.largest < 1 << l.exponent_bits);
	SPARSE_CHECK((head >> 16 & 0xff) <= l.mantissa_bits && head >> 24 == 0);
	layout_finish(&l, head >> 16 & 0xff);
	raw.length = cursor_left(&bits);
	SPARSE_TRY(token_stream_open(codec, &payload, elements, &st));
	SPARSE_TRY(decode_any(&st, elements, &l, &raw, content));
	SPARSE_CHECK((raw.position + 7) / 8 == raw.length);
	return SPARSE_OK;
}
