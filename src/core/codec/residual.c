/*
 * residual.c: the coder of differences to a prediction. The heart of sparse.
 *
 * The difference of a float to its prediction is how many floats lie between,
 * away from zero or towards it; folded (0, -1, 1, -2 ...) it is a token. How large
 * it is depends on two things: how much the training moved this neighbourhood (a
 * scale per block of 128 elements, in quarter octaves of value), and how large a
 * unit in the last place is here (the prediction's exponent). Both together are one
 * number, the expected change in units in the last place:
 *
 *      q = block scale - 4 x exponent of the prediction
 *
 * Up to an expected change of 64 units, each quarter octave is a context with a
 * table of its own. Above, the low bits of a difference are noise: each octave
 * makes one more of them raw, and the contexts of the top octave serve again. This
 * ends where the expected change is half the value itself, so that all that is left
 * of a type is as a bf16: behind that lie contexts for values that may change sign.
 * Blocks in which nothing changed cost one symbol of the scale stream.
 *
 * A prediction that was rounded (a cast) is wrong by as many units in the last place
 * whatever its exponent: then it is left out of q (flat).
 *
 * A prediction that was computed may keep its fraction: then the content is mirrored towards it, and
 * its level is a second context (fraction.h).
 *
 * Payload: u8 which tables, u8 flat, i16 base, section raw bits, then the stream
 * (stream.c). A block's scale is the stored one + base.
 */
#include "fraction.h"
#include "residual.h"

static shape
shape_of(sparse_dtype dtype, bool flat)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	int			noise = info->exponent_bits ? info->mantissa_bits - 7 : info->bytes * 8 - 8;

	return (shape) {
		.element_bytes = info->bytes,
		.mantissa_bits = info->mantissa_bits,
		.floats = info->exponent_bits > 0,
		.exponent_mask = flat ? 0 : (1u << info->exponent_bits) - 1,
		.most_shift = noise > 0 ? noise : 0
	};
}

static bool
is_flat(const shape *s)
{
	return s->floats && s->exponent_mask == 0;
}

static const residual_loops *
loops_of(const sparse_codec *codec, const shape *s)
{
	const residual_loops *loops = residual_loops_portable;

#ifdef SPARSE_HAVE_AVX2
	if (codec->simd >= SPARSE_SIMD_AVX512)
		loops = residual_loops_avx512;
	else if (codec->simd >= SPARSE_SIMD_AVX2)
		loops = residual_loops_avx2;
#endif
	(void) codec;
	return &loops[__builtin_ctz(s->element_bytes)];
}

/* ---- encoding ---- */

/* A pass over a chunk. Tokens and contexts are those of changed blocks, one after another. */
typedef struct survey
{
	const residual_loops *loop;
	const void *content;
	const void *prediction;
	const shape *shape;
	size_t		elements;
	size_t		blocks;
	int16_t    *block;			/* scale of each block, or UNCHANGED */
	size_t		tokens;
	uint8_t    *token;
	uint8_t    *context;
	bit_writer	raw;
} survey;

static sparse_status
survey_begin(sparse_codec *codec, survey *m)
{
	const size_t slack = 64;	/* that vectors may write behind the last */

	SPARSE_TRY(buffer_reserve(codec, &codec->wide, 2 * m->blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->scale, m->blocks));
	SPARSE_TRY(buffer_reserve(codec, &codec->token, m->elements + slack));
	SPARSE_TRY(buffer_reserve(codec, &codec->table, m->elements + slack));
	SPARSE_TRY(buffer_reserve(codec, &codec->raw, m->elements * (m->shape->element_bytes + 2u) + slack));
	m->block = (int16_t *) (void *) codec->wide.bytes;
	m->token = codec->token.bytes;
	m->context = codec->table.bytes;
	return SPARSE_OK;
}

/* Encodes one in `every` blocks, by the prices given. */
static void
survey_blocks(sparse_codec *codec, survey *m, const price_list *prices, size_t every)
{
	int			last = UNCHANGED;

	m->tokens = 0;
	m->raw = (bit_writer) {codec->raw.bytes, 0};
	codec->raw.bytes[0] = 0;
	for (size_t b = 0; b < m->blocks; b += every)
	{
		size_t		count = block_count(m->elements, b * BLOCK);
		int			scale = m->loop->encode(m->content, m->prediction, b * BLOCK, count, m->shape, prices, last,
											m->token + m->tokens, m->context + m->tokens, &m->raw);

		m->block[b] = (int16_t) scale;
		if (scale == UNCHANGED)
			continue;
		m->tokens += count;
		last = scale;
	}
}

/* One more than the largest of some bytes. */
static unsigned
range_of(const uint8_t *bytes, size_t count)
{
	uint8_t		largest = 0;

	for (size_t i = 0; i < count; i++)
		largest = bytes[i] > largest ? bytes[i] : largest;
	return largest + 1u;
}

/*
 * How often each token came in each context; returns how many contexts and *used how many tokens to look at. Two
 * histograms in turn: neighbours that are equal would wait for each other.
 */
static unsigned
count_tokens(sparse_codec *codec, const survey *m, unsigned *used)
{
	const unsigned contexts = range_of(m->context, m->tokens);
	size_t		i = 0;

	*used = range_of(m->token, m->tokens);
	memset(codec->histogram, 0, sizeof(codec->histogram));
	memset(codec->odd, 0, contexts * sizeof(codec->odd[0]));
	for (; i + 2 <= m->tokens; i += 2)
	{
		codec->histogram[m->context[i]][m->token[i]]++;
		codec->odd[m->context[i + 1]][m->token[i + 1]]++;
	}
	if (i < m->tokens)
		codec->histogram[m->context[i]][m->token[i]]++;
	for (unsigned c = 0; c < contexts; c++)
		for (unsigned t = 0; t < *used; t++)
			codec->histogram[c][t] += codec->odd[c][t];
	return contexts;
}

/* What the surveyed blocks cost by the prices given, in PRICE_UNITs. */
static uint64_t
cost_of_tokens(const survey *m, const price_list *prices)
{
	uint64_t	cost = m->raw.position * PRICE_UNIT;

	for (size_t i = 0; i < m->tokens; i++)
		cost += price_of(prices->price, m->token[i], m->context[i]);
	return cost;
}

/* Fixed tables spare the decoder time as well, and a sample flatters those fitted to it: they must save more than a twelfth. */
#define DESCRIBED_AT_MOST 92		/* per cent of what the best shape takes */
#define SAMPLE_BLOCKS 64

/*
 * Which tables are to code the chunk, and at which prices the scales are to be chosen: a sample is coded at those
 * of each shape. Eight-bit elements have no token to spare as an escape: their tables are described. So are those of
 * rounding errors, which are spread evenly, as no shape is.
 */
static sparse_status
choose_tables(sparse_codec *codec, survey *m, bool fixed, unsigned *which, price_list *prices)
{
	const size_t every = m->blocks > SAMPLE_BLOCKS ? m->blocks / SAMPLE_BLOCKS : 1;
	uint64_t	least = UINT64_MAX;
	uint64_t	own;
	unsigned	contexts;
	unsigned	used;

	for (unsigned shape = 0; shape < FAMILY_SHAPES; shape++)
	{
		price_list	these = {NULL, codec->most_token[shape], 0, MOST_SCALE};
		uint64_t	cost;

		SPARSE_TRY(shape_prices(codec, shape, &these.price));
		survey_blocks(codec, m, &these, every);
		cost = cost_of_tokens(m, &these);
		if (cost < least)
		{
			least = cost;
			*which = shape;
			*prices = these;
		}
	}
	if (fixed)
		return SPARSE_OK;
	survey_blocks(codec, m, &(price_list) {prices->price, NULL, 0, MOST_SCALE}, every);
	contexts = count_tokens(codec, m, &used);
	own = tables_cost(codec->histogram, contexts, used, (unsigned) every) / (65536 / PRICE_UNIT)
		+ m->raw.position * PRICE_UNIT * every;
	if (m->shape->element_bytes == 1 || is_flat(m->shape) || own * 100 < least * every * DESCRIBED_AT_MOST)
	{
		*which = TABLES_DESCRIBED;
		prices->most_token = NULL;
	}
	return SPARSE_OK;
}

/* Stored scales: 0 for unchanged blocks, otherwise 1 for the lowest, at most 255. Returns what is to be added to them. */
static int
store_scales(survey *m, uint8_t *scale)
{
	int			lowest = INT16_MAX;

	for (size_t b = 0; b < m->blocks; b++)
		if (m->block[b] != UNCHANGED && m->block[b] < lowest)
			lowest = m->block[b];
	for (size_t b = 0; b < m->blocks; b++)
		scale[b] = m->block[b] == UNCHANGED ? 0 : (uint8_t) (m->block[b] - lowest + 1);
	return lowest - 1;
}

/* Whether the scales of the blocks are within what stored ones can tell apart. */
static bool
scales_fit(const survey *m)
{
	int			lowest = INT16_MAX;
	int			highest = INT16_MIN;

	for (size_t b = 0; b < m->blocks; b++)
		if (m->block[b] != UNCHANGED)
		{
			lowest = m->block[b] < lowest ? m->block[b] : lowest;
			highest = m->block[b] > highest ? m->block[b] : highest;
		}
	return highest - lowest < SCALES;
}

/*
 * Where they are not (a parent's zeros that were trained, an infinity), most blocks shall keep theirs: limits the
 * scales to the window that holds the most.
 */
static void
limit_scales(sparse_codec *codec, const survey *m, price_list *prices)
{
	uint32_t   *blocks = codec->odd[0];	/* of each scale, SCALES further */
	uint32_t	inside = 0;
	uint32_t	most = 0;

	_Static_assert(sizeof(codec->odd) >= (MOST_SCALE + SCALES + 1) * sizeof(uint32_t), "all scales can be counted");
	memset(codec->odd, 0, sizeof(codec->odd));
	for (size_t b = 0; b < m->blocks; b++)
		if (m->block[b] != UNCHANGED)
			blocks[m->block[b] + SCALES]++;
	for (int scale = 0; scale <= MOST_SCALE; scale++)
	{
		inside += blocks[scale + SCALES] - blocks[scale];
		if (inside > most)
		{
			most = inside;
			prices->highest = scale;
		}
	}
	prices->lowest = prices->highest < SCALES ? 0 : prices->highest - (SCALES - 1);
}

/* Of the elements of changed blocks: the tables by their fractions, in place of their contexts. */
static void
tables_by_fraction(const survey *m, const uint8_t *fraction)
{
	uint8_t    *context = m->context;

	for (size_t b = 0; b < m->blocks; b++)
	{
		const size_t count = block_count(m->elements, b * BLOCK);

		if (m->block[b] == UNCHANGED)
			continue;
		for (size_t i = 0; i < count; i++)
			context[i] = fraction_table(context[i], fraction[b * BLOCK + i]);
		context += count;
	}
}

static sparse_status
mirror_content(sparse_codec *codec, survey *m, const uint8_t *fraction)
{
	SPARSE_TRY(buffer_reserve(codec, &codec->mirrored, m->elements * m->shape->element_bytes));
	fraction_mirror(m->content, m->prediction, fraction, m->elements, m->shape->element_bytes, codec->mirrored.bytes);
	m->content = codec->mirrored.bytes;
	return SPARSE_OK;
}

sparse_status
residual_encode(sparse_codec *codec, const void *content, const void *prediction,
				const uint8_t *fraction, size_t elements, sparse_dtype dtype, bool flat, output *out)
{
	shape		s = shape_of(dtype, flat);
	survey		m = {
		.loop = loops_of(codec, &s), .content = content, .prediction = prediction, .shape = &s,
		.elements = elements, .blocks = (elements + BLOCK - 1) / BLOCK
	};
	unsigned	which = 0;
	price_list	prices;
	uint8_t		head[4];

	SPARSE_TRY(survey_begin(codec, &m));
	if (fraction)
		SPARSE_TRY(mirror_content(codec, &m, fraction));
	SPARSE_TRY(choose_tables(codec, &m, fraction != NULL, &which, &prices));
	survey_blocks(codec, &m, &prices, 1);
	if (!scales_fit(&m))
	{
		limit_scales(codec, &m, &prices);
		survey_blocks(codec, &m, &prices, 1);
	}
	head[0] = (uint8_t) which;
	head[1] = flat;
	store16(head + 2, (uint16_t) store_scales(&m, codec->scale.bytes));
	if (which == TABLES_DESCRIBED)
		count_tokens(codec, &m, &(unsigned) {0});
	if (fraction)
	{
		tables_by_fraction(&m, fraction);
		which += WITH_FRACTION;
	}
	output_put(out, head, sizeof(head));
	output_section(out, codec->raw.bytes, bits_written(&m.raw));
	return token_stream_write(codec, out, m.blocks, m.tokens, which, FAMILY_CONTEXTS);
}

/* ---- decoding ---- */

/* An unchanged block. */
static void
copy_prediction(void *content, const void *prediction, size_t at, size_t bytes)
{
	if (prediction)
		memcpy((uint8_t *) content + at, (const uint8_t *) prediction + at, bytes);
	else
		memset((uint8_t *) content + at, 0, bytes);
}

/* What is being decoded. */
typedef struct rebuilding
{
	token_stream stream;
	const residual_loops *loop;
	const shape *shape;
	int			base;
	const void *prediction;
	const uint8_t *fraction;	/* of the prediction; or NULL */
	size_t		elements;
	bit_reader	raw;
	void	   *content;
} rebuilding;

/* The elements of block b of a batch. */
static size_t
count_in(const batch *k, unsigned b)
{
	return b + 1 < k->blocks ? BLOCK : k->elements - (k->blocks - 1u) * BLOCK;
}

/* The tables by fraction, in place of contexts; and then the content as it was before it was mirrored. */
static void
batch_tables(const rebuilding *r, batch *k)
{
	for (unsigned b = 0; b < k->blocks; b++)
		for (size_t i = 0, count = count_in(k, b); i < count; i++)
			k->table[b * BLOCK + i] = fraction_table(k->table[b * BLOCK + i], r->fraction[k->at[b] + i]);
}

static void
batch_mirror(const rebuilding *r, const batch *k)
{
	const unsigned bytes = r->shape->element_bytes;

	for (unsigned b = 0; b < k->blocks; b++)
	{
		uint8_t    *content = (uint8_t *) r->content + k->at[b] * bytes;

		fraction_mirror(content, (const uint8_t *) r->prediction + k->at[b] * bytes, r->fraction + k->at[b], count_in(k, b), bytes,
						content);
	}
}

static bool
flush_batch(rebuilding *r, batch *k)
{
	bool		ok;

	if (k->blocks == BATCH)
	{
		const size_t next = (k->at[BATCH - 1] + BLOCK) * r->shape->element_bytes;

		rans_decode_ahead(&r->stream.decoder, (const uint8_t *) (r->prediction ? r->prediction : r->content) + next,
						  (const uint8_t *) r->content + next);
	}
	r->loop->contexts(r->prediction, r->shape, r->stream.of_context, k);
	if (r->fraction)
		batch_tables(r, k);
	rans_decode(&r->stream.decoder, r->stream.slots, k->table, k->elements, k->token);
	ok = r->loop->rebuild(r->prediction, r->shape, k, &r->raw, r->content);
	if (ok && r->fraction)
		batch_mirror(r, k);
	k->blocks = 0;
	k->elements = 0;
	return ok;
}

static sparse_status
decode_blocks(rebuilding *r)
{
	const unsigned element_bytes = r->shape->element_bytes;
	batch		k = {.blocks = 0, .elements = 0};

	for (size_t b = 0, at = 0; at < r->elements; b++, at += BLOCK)
	{
		size_t		count = block_count(r->elements, at);
		int			scale = r->stream.scale[b];

		if (scale == 0)
		{
			copy_prediction(r->content, r->prediction, at * element_bytes, count * element_bytes);
			continue;
		}
		k.at[k.blocks] = at;
		k.scale[k.blocks++] = within_contexts(scale + r->base);
		k.elements += count;
		if (k.blocks == BATCH)
			SPARSE_CHECK(flush_batch(r, &k));
	}
	SPARSE_CHECK(flush_batch(r, &k));
	SPARSE_CHECK(rans_decode_done(&r->stream.decoder));
	SPARSE_CHECK(bits_done(&r->raw));
	return SPARSE_OK;
}

sparse_status
residual_decode(sparse_codec *codec, cursor payload, const void *prediction,
				const uint8_t *fraction, size_t elements, sparse_dtype dtype, void *content)
{
	uint32_t	head = cursor_u32(&payload);
	shape		s = shape_of(dtype, head >> 8 & 1);
	cursor		bits = cursor_section(&payload);
	unsigned	which = head & 0xff;
	rebuilding	r = {
		.loop = loops_of(codec, &s), .shape = &s, .base = (int16_t) (head >> 16), .prediction = prediction, .fraction = fraction,
		.elements = elements, .raw = {bits.at, 0, 0}, .content = content
	};

	if (!cursor_ok(&payload))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(which <= TABLES_DESCRIBED && (head >> 8 & 0xff) <= s.floats);
	SPARSE_CHECK(which == TABLES_DESCRIBED || s.element_bytes > 1);
	if (fraction)
	{
		SPARSE_CHECK(which != TABLES_DESCRIBED && (head >> 8 & 0xff) == 0);
		which += WITH_FRACTION;
	}
	r.raw.length = cursor_left(&bits);
	SPARSE_TRY(token_stream_open(codec, &payload, elements, which, FAMILY_CONTEXTS, &r.stream));
	return decode_blocks(&r);
}
