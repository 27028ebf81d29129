/*
 * floats.c: the coder for floats that nothing predicts.
 *
 * A weight's sign and mantissa are noise; its exponent is not. The exponent, as
 * octaves below the largest of the chunk, is a token, with a bit or two of the
 * mantissa below; its context is the scale of the block of 128 elements around it
 * (mean magnitude, in half octaves). The rest are raw bits, without those low mantissa bits that are zero throughout the
 * chunk (a bf16 model kept as fp32). A positive zero is a token by itself, so what
 * was pruned costs next to nothing.
 *
 * Payload: u16 largest exponent, u8 zero low bits, u8 lead bits, section raw bits,
 * then the stream (stream.c). A block of positive zeros has scale 0.
 */
#include "floats.h"

#define FLOAT_CONTEXTS 32
#define MOST_LEAD 2

static const float_loops *
loops_of(const sparse_codec *codec, sparse_dtype dtype)
{
	const float_loops *loops = float_loops_portable;

#ifdef SPARSE_HAVE_AVX2
	if (codec->simd >= SPARSE_SIMD_AVX512)
		loops = float_loops_avx512;
	else if (codec->simd >= SPARSE_SIMD_AVX2)
		loops = float_loops_avx2;
#endif
	(void) codec;
	return &loops[__builtin_ctz(sparse_dtype_get(dtype)->bytes)];
}

static layout
layout_of(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	return (layout) {.mantissa_bits = info->mantissa_bits, .exponent_bits = info->exponent_bits};
}

static void
layout_finish(layout *l, unsigned low_zeros, unsigned lead)
{
	l->low_zeros = low_zeros;
	l->lead = lead;
	l->raw_bits = 1 + l->mantissa_bits - low_zeros - lead;
}

/*
 * Within an octave, small mantissas are the more common the further the octave is above
 * the block's scale. Two bits take 0.7% off a bf16 model, a third none that its tables do
 * not cost. Of wider types this is too little to give up whole bytes of raw bits.
 */
static unsigned
lead_of(sparse_dtype dtype, unsigned low_zeros)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	unsigned	kept = info->mantissa_bits - low_zeros;

	return info->bytes != 2 ? 0 : kept < MOST_LEAD ? kept : MOST_LEAD;
}

static uint8_t
context_of_scale(uint8_t scale)
{
	return scale - 1 < FLOAT_CONTEXTS ? (uint8_t) (scale - 1) : FLOAT_CONTEXTS - 1;
}

/* Scales, tokens and their counts; returns the number of tokens. */
static size_t
encode_blocks(sparse_codec *codec, const float_loops *loop, const void *content, size_t elements,
			  const layout *l, bit_writer *raw)
{
	size_t		tokens = 0;

	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = elements - at < BLOCK ? elements - at : BLOCK;
		uint8_t    *token = codec->token.bytes + tokens;
		uint8_t		scale = loop->encode(content, at, count, l, token, raw);
		uint8_t		context;

		codec->scale.bytes[b] = scale;
		if (scale == 0)
			continue;
		context = context_of_scale(scale);
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
	const float_loops *loop = loops_of(codec, dtype);
	layout		l = layout_of(dtype);
	size_t		blocks = (elements + BLOCK - 1) / BLOCK;
	uint64_t	any;
	bit_writer	raw;
	size_t		tokens;
	uint8_t		head[4] = {0};

	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, elements * (sparse_dtype_get(dtype)->bytes + 2u) + 64));
	any = loop->survey(content, elements, &l, &l.largest);
	l.low_zeros = (unsigned) __builtin_ctzll(any | UINT64_C(1) << l.mantissa_bits);
	layout_finish(&l, l.low_zeros, lead_of(dtype, l.low_zeros));
	memset(codec->histogram, 0, sizeof(codec->histogram));
	raw = (bit_writer) {codec->raw.bytes, 0};
	codec->raw.bytes[0] = 0;
	tokens = encode_blocks(codec, loop, content, elements, &l, &raw);

	store16(head, (uint16_t) l.largest);
	head[2] = (uint8_t) l.low_zeros;
	head[3] = (uint8_t) l.lead;
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, bits_written(&raw));
	return token_stream_write(codec, out, blocks, tokens, TABLES_DESCRIBED, FLOAT_CONTEXTS);
}

static sparse_status
decode_blocks(token_stream *st, const float_loops *loop, size_t elements, unsigned element_bytes,
			  const layout *l, bit_reader *raw, void *content)
{
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = elements - at < BLOCK ? elements - at : BLOCK;
		uint8_t		token[BLOCK];
		uint8_t		table[BLOCK];

		if (st->scale[b] == 0)
		{
			memset((uint8_t *) content + at * element_bytes, 0, count * element_bytes);
			continue;
		}
		memset(table, st->of_context[context_of_scale(st->scale[b])], count);
		rans_decode(&st->decoder, st->slots, table, count, token);
		SPARSE_CHECK(loop->restore(token, at, count, l, raw, content));
	}
	SPARSE_CHECK(rans_decode_done(&st->decoder));
	return SPARSE_OK;
}

sparse_status
floats_decode(sparse_codec *codec, cursor payload, size_t elements, sparse_dtype dtype, void *content)
{
	layout		l = layout_of(dtype);
	uint32_t	head = cursor_u32(&payload);
	cursor		bits = cursor_section(&payload);
	bit_reader	raw = {bits.at, 0, 0};
	token_stream st;

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	l.largest = (int) (head & 0xffff);
	SPARSE_CHECK(l.largest < 1 << l.exponent_bits);
	SPARSE_CHECK((head >> 16 & 0xff) <= l.mantissa_bits);
	SPARSE_CHECK(head >> 24 <= MOST_LEAD && (head >> 16 & 0xff) + (head >> 24) <= l.mantissa_bits);
	layout_finish(&l, head >> 16 & 0xff, head >> 24);
	raw.length = cursor_left(&bits);
	SPARSE_TRY(token_stream_open(codec, &payload, elements, TABLES_DESCRIBED, FLOAT_CONTEXTS, &st));
	SPARSE_TRY(decode_blocks(&st, loops_of(codec, dtype), elements, sparse_dtype_get(dtype)->bytes,
							 &l, &raw, content));
	SPARSE_CHECK(bits_done(&raw));
	return SPARSE_OK;
}
