/*
 * residual.c: the coder of differences to a prediction. The heart of sparse.
 *
 * A float is mapped to the integer that orders it, the prediction's integer is
 * subtracted modulo the width, and the difference is folded (0, -1, 1, -2 ...).
 * How large it is depends on two things: how much the training moved this
 * neighbourhood (a scale per block of 128 elements, in half octaves of value), and
 * how large a unit in the last place is here (the prediction's exponent). Both
 * together are one number, the expected change in units in the last place:
 *
 *      context = clamp(block scale - 2 x exponent of the prediction)
 *
 * in half octaves, TABLES_CONTEXTS of them, each with the table of its own.
 * Blocks in which nothing changed cost one symbol of the scale stream.
 *
 * Payload: i16 bias, u16 zero, section raw bits, then the stream (stream.c).
 * The context of an element is clamp(scale + bias - 2 x exponent), scale being
 * the stored one. Integers have exponent 0, and a missing prediction is zero.
 */
#include "bits.h"
#include "codec.h"

/* What the width's loops must know of a dtype. */
typedef struct shape
{
	unsigned	element_bytes;
	unsigned	mantissa_bits;
	uint32_t	exponent_mask;	/* 0: integers */
} shape;

static shape
shape_of(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	return (shape) {info->bytes, info->mantissa_bits, (1u << info->exponent_bits) - 1};
}

/* What the first pass learns of a chunk. */
#define SCALES 8192				/* more than any block_scale */
typedef struct survey
{
	uint8_t    *folded;			/* differences, element by element */
	int16_t    *block;			/* scale of each block, or -1 */
	uint32_t   *change;			/* counts of expected changes, SCALES of them */
	int			lowest;			/* of the scales */
	int			bias;
} survey;

static void
survey_unchanged(survey *m, size_t block)
{
	m->block[block] = -1;
}

static void
survey_block(survey *m, size_t block, int scale, const int16_t *exponent, size_t count)
{
	m->block[block] = (int16_t) scale;
	if (scale < m->lowest)
		m->lowest = scale;
	for (size_t i = 0; i < count; i += 4)
	{
		int			change = scale - 2 * exponent[i];

		m->change[change > 0 ? change : 0]++;
	}
}

static size_t
block_count(size_t elements, size_t at)
{
	return elements - at < BLOCK ? elements - at : BLOCK;
}

static void
load_prediction(void *to, const void *prediction, size_t at, size_t bytes)
{
	if (prediction)
		memcpy(to, (const uint8_t *) prediction + at, bytes);
	else
		memset(to, 0, bytes);
}

/* scale: the stored one plus the bias. */
static void
block_contexts(const int16_t *exponent, size_t count, int scale, uint8_t *context)
{
	const int16_t s = (int16_t) scale;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		c = (int16_t) (s - 2 * exponent[i]);

		c = c > 0 ? c : 0;
		context[i] = (uint8_t) (c < TABLES_CONTEXTS ? c : TABLES_CONTEXTS - 1);
	}
}

/* The bits of the elements that are not in their tokens. */
typedef struct raw_reader
{
	const uint8_t *bytes;
	size_t		length;
	uint64_t	position;
} raw_reader;

static inline uint64_t
raw_take(raw_reader *r, unsigned width)
{
	uint64_t	value = 0;
	unsigned	low = 0;

	if (width > 32)
	{
		value = bits_get(r->bytes, r->length, r->position, 32);
		low = 32;
	}
	if ((r->position >> 3) + 16 < r->length)
		value |= bits_get_fast(r->bytes, r->position + low, width - low) << low;
	else
		value |= bits_get(r->bytes, r->length, r->position + low, width - low) << low;
	r->position += width;
	return value;
}

static inline bool
raw_ok(const raw_reader *r)
{
	return r->position <= 8 * (uint64_t) r->length;
}

#define WIDTH 8
#define DIRECT 256
#define LEAD 0
#include "residual_width.h"
#define WIDTH 16
#define DIRECT 128
#define LEAD 3
#include "residual_width.h"
#define WIDTH 32
#define DIRECT 16
#define LEAD 3
#include "residual_width.h"
#define WIDTH 64
#define DIRECT 8
#define LEAD 2
#include "residual_width.h"

/* The loops of each width. */
typedef struct loops
{
	void		(*measure) (const void *, const void *, size_t, const shape *, survey *);
	size_t		(*tokenise) (const void *, size_t, const shape *, const survey *, sparse_codec *, bit_writer *);
	void		(*contexts) (const void *, size_t, size_t, const shape *, int, uint8_t *);
	bool		(*rebuild) (const void *, size_t, size_t, const shape *, const uint8_t *, raw_reader *, void *);
} loops;

static const loops *
loops_of(const shape *s)
{
	static const loops of_log[4] = {
		{measure8, tokenise8, prediction_contexts8, rebuild8},
		{measure16, tokenise16, prediction_contexts16, rebuild16},
		{measure32, tokenise32, prediction_contexts32, rebuild32},
		{measure64, tokenise64, prediction_contexts64, rebuild64},
	};

	return &of_log[__builtin_ctz(s->element_bytes)];
}

/*
 * Where the contexts lie: so that all but a thousandth of the changed elements
 * are below the top context. What is far below an ulp costs next to nothing, so
 * the lowest context may hold many.
 */
static int
lowest_context(const uint32_t *change)
{
	uint64_t	total = 0;
	uint64_t	above = 0;
	int			top = SCALES - 1;

	for (int i = 0; i < SCALES; i++)
		total += change[i];
	while (top > 0 && (above + change[top]) * 1000 < total)
		above += change[top--];
	return top >= TABLES_CONTEXTS ? top - (TABLES_CONTEXTS - 1) : 0;
}

/* Stored scales: 0 for unchanged blocks, otherwise 1 for the lowest, at most 255. */
static void
store_scales(const survey *m, size_t blocks, uint8_t *scale)
{
	for (size_t b = 0; b < blocks; b++)
	{
		int			above = m->block[b] - m->lowest + 1;

		scale[b] = m->block[b] < 0 ? 0 : (uint8_t) (above < 255 ? above : 255);
	}
}

static sparse_status
survey_begin(sparse_codec *codec, size_t elements, size_t blocks, const shape *s, survey *m)
{
	size_t		folded = (elements * s->element_bytes + 7) / 8 * 8;

	SPARSE_TRY(buffer_reserve(codec, &codec->wide, folded + SCALES * sizeof(uint32_t) + 2 * blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, elements * s->element_bytes + 64));
	m->folded = codec->wide.bytes;
	m->change = (uint32_t *) (void *) (m->folded + folded);
	m->block = (int16_t *) (void *) (m->change + SCALES);
	m->lowest = SCALES;
	memset(m->change, 0, SCALES * sizeof(uint32_t));
	return SPARSE_OK;
}

sparse_status
residual_encode(sparse_codec *codec, const void *content, const void *prediction,
				size_t elements, sparse_dtype dtype, output *out)
{
	shape		s = shape_of(dtype);
	const loops *loop = loops_of(&s);
	size_t		blocks = (elements + BLOCK - 1) / BLOCK;
	survey		m;
	bit_writer	raw;
	size_t		tokens;
	uint8_t		head[4];

	SPARSE_TRY(survey_begin(codec, elements, blocks, &s, &m));
	loop->measure(content, prediction, elements, &s, &m);
	store_scales(&m, blocks, codec->scale.bytes);
	m.bias = m.lowest - 1 - lowest_context(m.change);

	memset(codec->histogram, 0, sizeof(codec->histogram));
	raw = (bit_writer) {codec->raw.bytes, 0};
	codec->raw.bytes[0] = 0;
	tokens = loop->tokenise(prediction, elements, &s, &m, codec, &raw);

	store32(head, (uint16_t) (int16_t) m.bias);
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, bits_written(&raw));
	return stream_write(codec, out, blocks, tokens);
}

/* Blocks whose tokens are decoded together; so that the rANS lanes stay full and all stays in L1. */
#define BATCH 8

typedef struct batch
{
	unsigned	blocks;
	size_t		at[BATCH];		/* first element of each */
	size_t		elements;
	uint8_t		table[BATCH * BLOCK];
	uint8_t		token[BATCH * BLOCK];
} batch;

static bool
flush_batch(batch *k, stream *st, const loops *loop, const shape *s, const void *prediction,
			size_t elements, raw_reader *raw, void *content)
{
	const uint8_t *token = k->token;

	rans_decode(&st->decoder, st->slots, k->table, k->elements, k->token);
	for (unsigned b = 0; b < k->blocks; b++)
	{
		size_t		count = block_count(elements, k->at[b]);

		if (!loop->rebuild(prediction, k->at[b], count, s, token, raw, content))
			return false;
		token += count;
	}
	k->blocks = 0;
	k->elements = 0;
	return true;
}

static sparse_status
decode_blocks(stream *st, const shape *s, int bias, const void *prediction,
			  size_t elements, raw_reader *raw, void *content)
{
	const loops *loop = loops_of(s);
	batch		k = {.blocks = 0, .elements = 0};

	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = block_count(elements, at);
		uint8_t    *table = k.table + k.elements;

		if (st->scale[b] == 0)
		{
			load_prediction((uint8_t *) content + at * s->element_bytes, prediction,
							at * s->element_bytes, count * s->element_bytes);
			continue;
		}
		loop->contexts(prediction, at, count, s, st->scale[b] + bias, table);
		for (size_t i = 0; i < count; i++)
			table[i] = st->of_context[table[i]];
		k.at[k.blocks++] = at;
		k.elements += count;
		if (k.blocks == BATCH)
			SPARSE_CHECK(flush_batch(&k, st, loop, s, prediction, elements, raw, content));
	}
	SPARSE_CHECK(flush_batch(&k, st, loop, s, prediction, elements, raw, content));
	SPARSE_CHECK(rans_decode_done(&st->decoder));
	return SPARSE_OK;
}

sparse_status
residual_decode(sparse_codec *codec, cursor payload, const void *prediction,
				size_t elements, sparse_dtype dtype, void *content)
{
	shape		s = shape_of(dtype);
	uint32_t	head = cursor_u32(&payload);
	cursor		bits = cursor_section(&payload);
	raw_reader	raw = {bits.at, 0, 0};
	stream		st;

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(head >> 16 == 0);
	raw.length = cursor_left(&bits);
	SPARSE_TRY(stream_open(codec, &payload, elements, &st));
	SPARSE_TRY(decode_blocks(&st, &s, (int16_t) head, prediction, elements, &raw, content));
	SPARSE_CHECK((raw.position + 7) / 8 == raw.length);
	return SPARSE_OK;
}
