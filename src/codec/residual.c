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
#include "residual.h"

static shape
shape_of(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	return (shape) {info->bytes, info->mantissa_bits, (1u << info->exponent_bits) - 1};
}

static const residual_loops *
loops_of(const sparse_codec *codec, const shape *s)
{
	const residual_loops *loops = residual_loops_portable;

#ifdef SPARSE_HAVE_AVX2
	if (codec->simd >= SPARSE_SIMD_AVX2)
		loops = residual_loops_avx2;
#endif
	(void) codec;
	return &loops[__builtin_ctz(s->element_bytes)];
}

/* Contexts as they are. */
static const uint8_t identity[TABLES_CONTEXTS] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
};

static sparse_status
survey_begin(sparse_codec *codec, size_t elements, const shape *s, survey *m)
{
	size_t		blocks = (elements + BLOCK - 1) / BLOCK;

	SPARSE_TRY(buffer_reserve(codec, &codec->wide, 2 * (elements + blocks)));
	SPARSE_TRY(buffer_reserve(codec, &codec->scale, blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, elements));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, elements * s->element_bytes + 64));
	m->elements = elements;
	m->blocks = blocks;
	m->exponent = (int16_t *) (void *) codec->wide.bytes;
	m->block = m->exponent + elements;
	m->token = codec->token.bytes;
	m->tokens = 0;
	codec->raw.bytes[0] = 0;
	m->raw = (bit_writer) {codec->raw.bytes, 0};
	return SPARSE_OK;
}

/*
 * Where the contexts lie: so that all but a thousandth of the changed elements
 * are below the top context. What is far below an ulp costs next to nothing, so
 * the lowest context may hold many.
 */
#define CHANGES 8192			/* more than any scale */
static sparse_status
place_contexts(sparse_codec *codec, survey *m)
{
	uint32_t   *count;
	size_t		above = 0;
	size_t		sampled = 0;
	int			top = CHANGES - 1;

	SPARSE_TRY(buffer_reserve(codec, &codec->counts, CHANGES * sizeof(uint32_t)));
	count = (uint32_t *) (void *) codec->counts.bytes;
	memset(count, 0, CHANGES * sizeof(uint32_t));
	for (size_t b = 0, at = 0; b < m->blocks; b++)
	{
		size_t		end = at + block_count(m->elements, b * BLOCK);

		if (m->block[b] == UNCHANGED)
			continue;
		for (size_t i = at; i < end; i += 4, sampled++)
		{
			int			change = m->block[b] - 2 * m->exponent[i];

			count[change > 0 ? change : 0]++;
		}
		at = end;
	}
	while (top > 0 && (above + count[top]) * 1000 < sampled)
		above += count[top--];
	m->base = top >= TABLES_CONTEXTS ? top - (TABLES_CONTEXTS - 1) : 0;
	return SPARSE_OK;
}

/* The largest token of the chunk, for loops over what occurs. */
static unsigned
tokens_used(const survey *m)
{
	uint8_t		largest = 0;

	for (size_t i = 0; i < m->tokens; i++)
		largest = m->token[i] > largest ? m->token[i] : largest;
	return largest + 1u;
}

/*
 * Each token's context, and how often each token came in each. Two histograms
 * in turn: most neighbours are equal, and would wait for each other's store. Of
 * the blocks, only one in `every`.
 */
static void
count_tokens(sparse_codec *codec, const residual_loops *loop, const survey *m, unsigned used, size_t every)
{
	memset(codec->histogram, 0, sizeof(codec->histogram));
	memset(codec->odd, 0, sizeof(codec->odd));
	for (size_t b = 0, at = 0; b < m->blocks; b++)
	{
		size_t		count = block_count(m->elements, b * BLOCK);
		uint8_t    *context = codec->table.bytes + at;
		const uint8_t *token = m->token + at;

		if (m->block[b] == UNCHANGED)
			continue;
		at += count;
		if (b % every != 0)
			continue;
		loop->contexts(m->exponent + (token - m->token), count, m->block[b] - m->base, identity, context);
		for (size_t i = 0; i + 2 <= count; i += 2)
		{
			codec->histogram[context[i]][token[i]]++;
			codec->odd[context[i + 1]][token[i + 1]]++;
		}
		if (count % 2)
			codec->histogram[context[count - 1]][token[count - 1]]++;
	}
	for (unsigned c = 0; c < TABLES_CONTEXTS; c++)
		for (unsigned t = 0; t < used; t++)
			codec->histogram[c][t] += codec->odd[c][t];
}

/* What each token costs in each context by the counts so far; contexts outside cost what the outermost do. */
static void
price_tokens(sparse_codec *codec, unsigned used)
{
	for (unsigned c = 0; c < TABLES_CONTEXTS; c++)
	{
		const uint32_t *count = codec->histogram[c];
		uint32_t	total = RANS_SYMBOLS;
		uint32_t	log_total;

		for (unsigned t = 0; t < used; t++)
			total += count[t] * 16;
		log_total = fixed_log2(total);
		for (unsigned t = 0; t < used; t++)
			codec->price[t][PRICE_MARGIN + c] =
				(uint16_t) ((log_total - fixed_log2(1 + 16 * count[t])) / (65536 / PRICE_UNIT));
	}
	for (unsigned t = 0; t < used; t++)
		for (unsigned i = 0; i < PRICE_MARGIN; i++)
		{
			codec->price[t][i] = codec->price[t][PRICE_MARGIN];
			codec->price[t][PRICE_MARGIN + TABLES_CONTEXTS + i] = codec->price[t][PRICE_MARGIN + TABLES_CONTEXTS - 1];
		}
}

/* PRICE_TRIES prices side by side: a vector on every machine that has one of 128 bits. */
typedef uint16_t prices __attribute__((vector_size(2 * PRICE_TRIES)));

/* The price of a block at PRICE_TRIES neighbouring scales, the middle one being `scale`. */
static void
price_block(const sparse_codec *codec, const uint8_t *token, const int16_t *exponent, size_t count,
			int scale, uint32_t *price)
{
	const int16_t lowest = -PRICE_TRIES / 2;
	const int16_t highest = TABLES_CONTEXTS + PRICE_TRIES / 2;
	int16_t		context[BLOCK];

	for (size_t i = 0; i < count; i++)
	{
		int16_t		c = (int16_t) (scale - 2 * exponent[i]);

		c = c < lowest ? lowest : c;
		context[i] = c > highest ? highest : c;
	}
	for (int k = 0; k < PRICE_TRIES; k++)
		price[k] = 0;
	/* 32 prices, each below 2048, fit 16 bits */
	for (size_t first = 0; first < count; first += 32)
	{
		size_t		end = count - first < 32 ? count : first + 32;
		prices		sum = {0};

		for (size_t i = first; i < end; i++)
		{
			prices		p;

			memcpy(&p, &codec->price[token[i]][PRICE_MARGIN - PRICE_TRIES / 2 + context[i]], sizeof(p));
			sum += p;
		}
		for (int k = 0; k < PRICE_TRIES; k++)
			price[k] += sum[k];
	}
}

/*
 * Gives every block the scale that codes it cheapest, by the counts so far. The
 * mean change is a poor estimate (a coarse element says little, and says it
 * loudly); after one or two rounds of this the blocks of a real fine-tune cost 5%
 * less, those of a light one 9%.
 */
static void
refine_scales(sparse_codec *codec, survey *m, unsigned used, size_t every)
{
	int			last = 0;

	price_tokens(codec, used);
	for (size_t b = 0, at = 0; b < m->blocks; b++)
	{
		size_t		first = at;
		size_t		count = block_count(m->elements, b * BLOCK);
		int			scale = m->block[b];
		uint32_t	price[PRICE_TRIES];
		uint32_t	least = UINT32_MAX;

		if (scale == UNCHANGED)
			continue;
		at += count;
		if (first == 0)
			last = scale;
		if (b % every != 0)
			continue;
		price_block(codec, m->token + first, m->exponent + first, count, scale - m->base, price);
		for (int k = 0; k < PRICE_TRIES; k++)
		{
			int			candidate = scale + k - PRICE_TRIES / 2;
			int			step = candidate > last ? candidate - last : last - candidate;
			uint32_t	total = price[k] + (uint32_t) step * SCALE_STEP_PRICE;

			if (candidate >= 0 && total < least)
			{
				least = total;
				m->block[b] = (int16_t) candidate;
			}
		}
		last = m->block[b];
	}
}

/* Stored scales: 0 for unchanged blocks, otherwise 1 for the lowest, at most 255. Returns the lowest. */
static int
store_scales(survey *m, uint8_t *scale)
{
	int			lowest = INT16_MAX;

	for (size_t b = 0; b < m->blocks; b++)
		if (m->block[b] != UNCHANGED && m->block[b] < lowest)
			lowest = m->block[b];
	for (size_t b = 0; b < m->blocks; b++)
	{
		if (m->block[b] > lowest + 254)
			m->block[b] = (int16_t) (lowest + 254);
		scale[b] = m->block[b] == UNCHANGED ? 0 : (uint8_t) (m->block[b] - lowest + 1);
	}
	return lowest;
}

/*
 * Two rounds of refinement; the first only needs a sample, since all that it is
 * for are better counts.
 */
static void
choose_scales(sparse_codec *codec, const residual_loops *loop, survey *m, unsigned used)
{
	const size_t sample = m->blocks >= 1024 ? 4 : 1;

	count_tokens(codec, loop, m, used, sample);
	refine_scales(codec, m, used, sample);
	count_tokens(codec, loop, m, used, sample);
	refine_scales(codec, m, used, 1);
}

sparse_status
residual_encode(sparse_codec *codec, const void *content, const void *prediction,
				size_t elements, sparse_dtype dtype, output *out)
{
	shape		s = shape_of(dtype);
	const residual_loops *loop = loops_of(codec, &s);
	survey		m;
	unsigned	used;
	int			lowest;
	uint8_t		head[4];

	SPARSE_TRY(survey_begin(codec, elements, &s, &m));
	loop->scan(content, prediction, elements, &s, &m);
	SPARSE_TRY(place_contexts(codec, &m));
	used = tokens_used(&m);
	choose_scales(codec, loop, &m, used);
	lowest = store_scales(&m, codec->scale.bytes);
	count_tokens(codec, loop, &m, used, 1);

	store32(head, (uint16_t) (int16_t) (lowest - 1 - m.base));
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, bits_written(&m.raw));
	return token_stream_write(codec, out, m.blocks, m.tokens);
}

/* An unchanged block. */
static void
copy_prediction(void *content, const void *prediction, size_t at, size_t bytes)
{
	if (prediction)
		memcpy((uint8_t *) content + at, (const uint8_t *) prediction + at, bytes);
	else
		memset((uint8_t *) content + at, 0, bytes);
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

/*
 * A scale that gives the same contexts and that 16 bits can hold: beyond these
 * bounds every exponent, at most 2047, gives the lowest or the highest.
 */
static int
within_contexts(int scale)
{
	return scale < 0 ? 0 : scale > 8192 ? 8192 : scale;
}

static bool
flush_batch(batch *k, token_stream *st, const residual_loops *loop, const shape *s, const void *prediction,
			size_t elements, bit_reader *raw, void *content)
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
decode_blocks(token_stream *st, const residual_loops *loop, const shape *s, int bias,
			  const void *prediction, size_t elements, bit_reader *raw, void *content)
{
	batch		k = {.blocks = 0, .elements = 0};

	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = block_count(elements, at);
		uint8_t    *table = k.table + k.elements;

		if (st->scale[b] == 0)
		{
			copy_prediction(content, prediction, at * s->element_bytes, count * s->element_bytes);
			continue;
		}
		loop->predict(prediction, at, count, s, within_contexts(st->scale[b] + bias), st->of_context, table);
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
	bit_reader	raw = {bits.at, 0, 0};
	token_stream st;

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(head >> 16 == 0);
	raw.length = cursor_left(&bits);
	SPARSE_TRY(token_stream_open(codec, &payload, elements, &st));
	SPARSE_TRY(decode_blocks(&st, loops_of(codec, &s), &s, (int16_t) head,
							 prediction, elements, &raw, content));
	SPARSE_CHECK(bits_done(&raw));
	return SPARSE_OK;
}
