/*
 * palette.c: the coder for content of few distinct values.
 *
 * Weights dequantised from four or eight bits, masks, categories: whatever their
 * type, elements of at most 256 different values are indices into a list of them,
 * the commonest first. Indices are tokens; a block of nothing but the commonest
 * value has scale 0 and no tokens, any other has scale 1.
 *
 * Payload: u16 number of values, u16 zero, section values, then the stream
 * (stream.c) of one context.
 */
#include "codec.h"

#define MOST_VALUES 256
#define SLOTS 1024				/* of the hash table: a power of two, sparsely filled */

typedef struct palette
{
	unsigned	count;
	uint64_t	value[MOST_VALUES];
	uint32_t	times[MOST_VALUES];
	uint16_t	slot[SLOTS];	/* 1 + index of a value; 0: free */
} palette;

static inline uint64_t
load_element(const uint8_t *at, unsigned element_bytes)
{
	switch (element_bytes)
	{
		case 2:
			return load16(at);
		case 4:
			return load32(at);
		default:
			return load64(at);
	}
}

/* Where a value is in the table, or is to be put. */
static inline unsigned
find_slot(const palette *p, uint64_t value)
{
	unsigned	slot = (unsigned) ((value * UINT64_C(0x9E3779B97F4A7C15)) >> 54);

	while (p->slot[slot] != 0 && p->value[p->slot[slot] - 1] != value)
		slot = (slot + 1) % SLOTS;
	return slot;
}

/* False when there are more values than a palette holds, which other content shows soon. */
static bool
collect(palette *p, const uint8_t *content, size_t elements, unsigned element_bytes)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < elements; i++)
	{
		const uint64_t value = load_element(content + i * element_bytes, element_bytes);
		const unsigned slot = find_slot(p, value);

		if (p->slot[slot] == 0)
		{
			if (p->count == MOST_VALUES)
				return false;
			p->value[p->count++] = value;
			p->slot[slot] = (uint16_t) p->count;
		}
		p->times[p->slot[slot] - 1]++;
	}
	return true;
}

/* rank[i]: the place of value i when the commonest come first, of equally common ones those met first. */
static void
rank_values(const palette *p, uint8_t *rank)
{
	for (unsigned i = 0; i < p->count; i++)
	{
		unsigned	before = 0;

		for (unsigned k = 0; k < p->count; k++)
			before += p->times[k] > p->times[i] || (p->times[k] == p->times[i] && k < i);
		rank[i] = (uint8_t) before;
	}
}

/* Indices of the elements; returns how many are tokens, those of blocks that have a scale. */
static size_t
index_elements(sparse_codec *codec, const palette *p, const uint8_t *rank, const uint8_t *content,
			   size_t elements, unsigned element_bytes)
{
	size_t		tokens = 0;

	memset(codec->histogram[0], 0, sizeof(codec->histogram[0]));
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		const size_t count = elements - at < BLOCK ? elements - at : BLOCK;
		uint8_t    *token = codec->token.bytes + tokens;
		uint8_t		any = 0;

		for (size_t i = 0; i < count; i++)
		{
			const uint64_t value = load_element(content + (at + i) * element_bytes, element_bytes);

			token[i] = rank[p->slot[find_slot(p, value)] - 1];
			any |= token[i];
		}
		codec->scale.bytes[b] = any != 0;
		if (any == 0)
			continue;
		for (size_t i = 0; i < count; i++)
			codec->histogram[0][token[i]]++;
		tokens += count;
	}
	return tokens;
}

static void
put_values(const palette *p, const uint8_t *rank, unsigned element_bytes, output *out)
{
	uint8_t		values[MOST_VALUES * sizeof(uint64_t)];
	uint8_t		head[4] = {0};

	for (unsigned i = 0; i < p->count; i++)
		memcpy(values + rank[i] * element_bytes, &p->value[i], element_bytes);
	store16(head, (uint16_t) p->count);
	output_put(out, head, sizeof(head));
	output_section(out, values, p->count * element_bytes);
}

sparse_status
palette_encode(sparse_codec *codec, const void *content, size_t elements, sparse_dtype dtype, output *out)
{
	const unsigned element_bytes = sparse_dtype_get(dtype)->bytes;
	const size_t blocks = (elements + BLOCK - 1) / BLOCK;
	palette		p;
	uint8_t		rank[MOST_VALUES];
	size_t		tokens;

	if (!collect(&p, content, elements, element_bytes))
	{
		out->full = true;
		return SPARSE_OK;
	}
	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	rank_values(&p, rank);
	tokens = index_elements(codec, &p, rank, content, elements, element_bytes);
	memset(codec->table.bytes, 0, tokens);
	put_values(&p, rank, element_bytes, out);
	return token_stream_write(codec, out, blocks, tokens, TABLES_DESCRIBED, 1);
}

/* What is being decoded. */
typedef struct painting
{
	token_stream stream;
	const uint8_t *values;
	unsigned	count;
	unsigned	element_bytes;
} painting;

/* A block of `count` elements; false when an index is out of range. */
static bool
paint(painting *p, bool has_tokens, size_t count, uint8_t *content)
{
	static const uint8_t zero[BLOCK];
	uint8_t		token[BLOCK] = {0};
	uint8_t		largest = 0;

	if (has_tokens)
		rans_decode(&p->stream.decoder, p->stream.slots, zero, count, token);
	for (size_t i = 0; i < count; i++)
		largest = token[i] > largest ? token[i] : largest;
	if (largest >= p->count)
		return false;
	for (size_t i = 0; i < count; i++)
		memcpy(content + i * p->element_bytes, p->values + token[i] * p->element_bytes, p->element_bytes);
	return true;
}

sparse_status
palette_decode(sparse_codec *codec, cursor payload, size_t elements, sparse_dtype dtype, void *content)
{
	const uint32_t head = cursor_u32(&payload);
	cursor		values = cursor_section(&payload);
	painting	p = {.values = values.at, .count = head, .element_bytes = sparse_dtype_get(dtype)->bytes};

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(head >= 1 && head <= MOST_VALUES && cursor_left(&values) == head * p.element_bytes);
	SPARSE_TRY(token_stream_open(codec, &payload, elements, TABLES_DESCRIBED, 1, &p.stream));
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		const size_t count = elements - at < BLOCK ? elements - at : BLOCK;

		SPARSE_CHECK(p.stream.scale[b] <= 1);
		SPARSE_CHECK(paint(&p, p.stream.scale[b] > 0, count, (uint8_t *) content + at * p.element_bytes));
	}
	SPARSE_CHECK(rans_decode_done(&p.stream.decoder));
	return SPARSE_OK;
}
