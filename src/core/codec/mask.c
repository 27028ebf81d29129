/*
 * mask.c: the coder for content that is its prediction with some elements zeroed.
 *
 * Pruning keeps most weights as they are and zeroes the others. Which, depends on
 * their magnitude first of all: so the context of an element is its prediction's
 * magnitude, in quarter octaves below the largest. A block of the prediction as it is has scale 0 and
 * no tokens; any other has scale 1, and its elements the tokens below.
 *
 * Payload: u32 quarter octave of the largest magnitude, section elements that are neither, then the
 * stream (stream.c) of MASK_CONTEXTS contexts.
 */
#include "codec.h"

#define MASK_CONTEXTS 64

enum
{
	MASK_KEPT = 0,
	MASK_ZERO = 1,				/* +0 */
	MASK_NEGATIVE_ZERO = 2,
	MASK_OTHER = 3
};

static inline uint64_t
load_bits(const uint8_t *at, unsigned element_bytes)
{
	switch (element_bytes)
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

/* How a dtype's elements become quarter octaves. */
typedef struct magnitudes
{
	unsigned	element_bytes;
	unsigned	shift;
	uint64_t	sign;
} magnitudes;

static magnitudes
magnitudes_of(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	return (magnitudes) {
		.element_bytes = info->bytes,
		.shift = info->mantissa_bits - 2u,
		.sign = UINT64_C(1) << (8 * info->bytes - 1)
	};
}

static inline uint32_t
quarter_of(const magnitudes *m, uint64_t element)
{
	return (uint32_t) ((element & (m->sign - 1)) >> m->shift);
}

static inline uint8_t
context_of(const magnitudes *m, const uint8_t *predicted, uint32_t top)
{
	const uint32_t quarter = quarter_of(m, load_bits(predicted, m->element_bytes));
	const uint32_t below = top > quarter ? top - quarter : 0;

	return (uint8_t) (below < MASK_CONTEXTS ? below : MASK_CONTEXTS - 1);
}

static inline uint8_t
token_of(const magnitudes *m, uint64_t element, uint64_t predicted)
{
	if (element == predicted)
		return MASK_KEPT;
	if (element == 0)
		return MASK_ZERO;
	return element == m->sign ? MASK_NEGATIVE_ZERO : MASK_OTHER;
}

static uint32_t
largest_quarter(const magnitudes *m, const uint8_t *prediction, size_t elements)
{
	uint32_t	top = 0;

	for (size_t i = 0; i < elements; i++)
	{
		const uint32_t quarter = quarter_of(m, load_bits(prediction + i * m->element_bytes, m->element_bytes));

		top = quarter > top ? quarter : top;
	}
	return top;
}

/* One encoding at work. */
typedef struct masking
{
	magnitudes	m;
	const uint8_t *content;
	const uint8_t *prediction;
	uint32_t	top;
	size_t		tokens;
	uint8_t    *others;			/* where the next goes */
} masking;

/* A block's tokens and contexts; false when it is the prediction as it is. */
static bool
mask_block(sparse_codec *codec, masking *k, size_t at, size_t count)
{
	const unsigned size = k->m.element_bytes;
	uint8_t    *token = codec->token.bytes + k->tokens;
	uint8_t    *context = codec->table.bytes + k->tokens;

	if (memcmp(k->content + at * size, k->prediction + at * size, count * size) == 0)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		const uint8_t *element = k->content + (at + i) * size;
		const uint8_t *predicted = k->prediction + (at + i) * size;

		token[i] = token_of(&k->m, load_bits(element, size), load_bits(predicted, size));
		context[i] = context_of(&k->m, predicted, k->top);
		codec->histogram[context[i]][token[i]]++;
		if (token[i] == MASK_OTHER)
		{
			memcpy(k->others, element, size);
			k->others += size;
		}
	}
	k->tokens += count;
	return true;
}

sparse_status
mask_encode(sparse_codec *codec, const void *content, const void *prediction,
			size_t elements, sparse_dtype dtype, output *out)
{
	const size_t blocks = (elements + BLOCK - 1) / BLOCK;
	masking		k = {.m = magnitudes_of(dtype), .content = content, .prediction = prediction};
	uint8_t		head[4];

	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, elements * k.m.element_bytes));
	memset(codec->histogram, 0, MASK_CONTEXTS * sizeof(codec->histogram[0]));
	k.others = codec->raw.bytes;
	k.top = largest_quarter(&k.m, prediction, elements);
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
		codec->scale.bytes[b] = mask_block(codec, &k, at, elements - at < BLOCK ? elements - at : BLOCK);
	store32(head, k.top);
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, (size_t) (k.others - codec->raw.bytes));
	return token_stream_write(codec, out, blocks, k.tokens, TABLES_DESCRIBED, MASK_CONTEXTS);
}

/* What is being decoded. */
typedef struct unmasking
{
	token_stream stream;
	magnitudes	m;
	uint32_t	top;
	cursor		others;
} unmasking;

static bool
unmask_block(unmasking *k, const uint8_t *predicted, size_t count, uint8_t *content)
{
	const unsigned size = k->m.element_bytes;
	const uint64_t zeros[2] = {0, k->m.sign};
	uint8_t		table[BLOCK];
	uint8_t		token[BLOCK];

	for (size_t i = 0; i < count; i++)
	{
		const uint8_t context = context_of(&k->m, predicted + i * size, k->top);

		table[i] = k->stream.of_context ? k->stream.of_context[context] : context;
	}
	rans_decode(&k->stream.decoder, k->stream.slots, table, count, token);
	for (size_t i = 0; i < count; i++)
	{
		const void *from = predicted + i * size;

		if (token[i] == MASK_ZERO || token[i] == MASK_NEGATIVE_ZERO)
			from = &zeros[token[i] - MASK_ZERO];
		else if (token[i] == MASK_OTHER)
			from = cursor_take(&k->others, size);
		else if (token[i] != MASK_KEPT)
			return false;
		if (from == NULL)
			return false;
		memcpy(content + i * size, from, size);
	}
	return true;
}

sparse_status
mask_decode(sparse_codec *codec, cursor payload, const void *prediction,
			size_t elements, sparse_dtype dtype, void *content)
{
	unmasking	k = {.m = magnitudes_of(dtype)};

	k.top = cursor_u32(&payload);
	k.others = cursor_section(&payload);
	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	SPARSE_TRY(token_stream_open(codec, &payload, elements, TABLES_DESCRIBED, MASK_CONTEXTS, &k.stream));
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		const size_t count = elements - at < BLOCK ? elements - at : BLOCK;
		const uint8_t *predicted = (const uint8_t *) prediction + at * k.m.element_bytes;
		uint8_t    *to = (uint8_t *) content + at * k.m.element_bytes;

		SPARSE_CHECK(k.stream.scale[b] <= 1);
		if (k.stream.scale[b] == 0)
			memcpy(to, predicted, count * k.m.element_bytes);
		else
			SPARSE_CHECK(unmask_block(&k, predicted, count, to));
	}
	SPARSE_CHECK(rans_decode_done(&k.stream.decoder));
	SPARSE_CHECK(cursor_left(&k.others) == 0);
	return SPARSE_OK;
}
