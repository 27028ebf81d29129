/*
 * residual_width.h: the loops of the residual coder for one element width.
 *
 * Included by residual_loops.h once for each WIDTH (8, 16, 32, 64). Every loop is
 * over one block, without branches where the compiler can then vectorise it.
 */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define ELEMENT PASTE(PASTE(uint, WIDTH), _t)
#define NAME(function) PASTE(function, WIDTH)
#define LOOSE NAME(loose)
#define TOP ((ELEMENT) ((ELEMENT) 1 << (WIDTH - 1)))

/* An element in content or prediction, which may lie at any address. */
typedef ELEMENT LOOSE __attribute__((aligned(1), may_alias));

/* The sign bit of floats; integers have none that is set apart. */
static inline ELEMENT
NAME(sign_of)(const shape *s)
{
	return s->floats ? TOP : 0;
}

/*
 * Folded differences of a block; returns their union, 0 when nothing changed. A
 * float's difference is how many floats lie between it and its prediction, and is
 * positive away from zero.
 */
static ELEMENT
NAME(differences)(const LOOSE *content, const LOOSE *prediction, size_t count, const shape *s, ELEMENT *folded)
{
	const ELEMENT sign = NAME(sign_of)(s);
	const ELEMENT magnitude = (ELEMENT) ~sign;
	ELEMENT		any = 0;

	for (size_t i = 0; i < count; i++)
	{
		ELEMENT		other_side = (ELEMENT) (0 - (((content[i] ^ prediction[i]) & sign) >> (WIDTH - 1)));
		ELEMENT		d = (ELEMENT) (((content[i] & magnitude) ^ other_side) - (prediction[i] & magnitude));
		ELEMENT		negative = (ELEMENT) (0 - (d >> (WIDTH - 1)));

		folded[i] = (ELEMENT) ((ELEMENT) (d << 1) ^ negative);
		any |= folded[i];
	}
	return any;
}

/* Content from a prediction and folded differences. */
static void
NAME(restore)(const LOOSE *prediction, const ELEMENT *folded, size_t count, const shape *s, LOOSE *content)
{
	const ELEMENT sign = NAME(sign_of)(s);
	const ELEMENT magnitude = (ELEMENT) ~sign;

	for (size_t i = 0; i < count; i++)
	{
		ELEMENT		d = (ELEMENT) ((ELEMENT) (folded[i] >> 1) ^ (ELEMENT) (0 - (folded[i] & 1)));
		ELEMENT		m = (ELEMENT) ((prediction[i] & magnitude) + d);
		ELEMENT		other_side = (ELEMENT) (0 - ((m & sign) >> (WIDTH - 1)));

		content[i] = (ELEMENT) (((m ^ other_side) & magnitude) | ((prediction[i] ^ other_side) & sign));
	}
}

/* A step of the scale is a quarter of an octave: so exponents of predictions times four. Integers have none. */
static void
NAME(exponents)(const LOOSE *prediction, size_t count, const shape *s, int16_t *exponent)
{
	const unsigned shift = s->mantissa_bits;
	const ELEMENT mask = (ELEMENT) s->exponent_mask;
	const int16_t least = s->floats ? FAMILY_OCTAVE : 0;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		e = (int16_t) (FAMILY_OCTAVE * (int16_t) ((ELEMENT) (prediction[i] >> shift) & mask));

		exponent[i] = e > least ? e : least;
	}
}

/*
 * The scale that the block's mean absolute change would have. Narrow elements are
 * summed in 32 bits, which vector units can shift by different amounts.
 */
#if WIDTH <= 16
#define SUM_TYPE uint32_t
#define SUM_BITS 8				/* 128 x 2^16 x 2^8 fits */
#else
#define SUM_TYPE uint64_t
#define SUM_BITS 16
#endif

static int
NAME(mean_scale)(const ELEMENT *folded, const int16_t *exponent, size_t count)
{
	const int	widest = 8 * (int) sizeof(SUM_TYPE) - 1;
	int16_t		largest = 0;
	SUM_TYPE	sum = 0;

	for (size_t i = 0; i < count; i++)
		largest = exponent[i] > largest ? exponent[i] : largest;
	for (size_t i = 0; i < count; i++)
	{
		SUM_TYPE	magnitude = (SUM_TYPE) folded[i] / 2 + (folded[i] & 1);
		int			below = (largest - exponent[i]) >> 2;	/* of FAMILY_OCTAVE steps */

#if WIDTH == 64
		magnitude = magnitude < UINT64_C(1) << 40 ? magnitude : UINT64_C(1) << 40;
#endif
		sum += (magnitude << SUM_BITS) >> (below < widest ? below : widest);
	}
	sum /= (SUM_TYPE) count;
	return largest - FAMILY_LOWEST - FAMILY_OCTAVE * SUM_BITS + (sum ? quarter_octaves(sum) : 0);
}

#undef SUM_TYPE
#undef SUM_BITS

#if WIDTH > 8

/*
 * Tokens of differences without their raw low bits: TOKEN_DIRECT and above, the
 * octave and the three bits behind the leading one; the bits below are raw too.
 * What is beyond the octaves that a byte can name escapes.
 */
static inline uint8_t
NAME(token_of)(ELEMENT v)
{
	unsigned	octave;

	if (v < TOKEN_DIRECT)
		return (uint8_t) v;
	octave = 63 - (unsigned) __builtin_clzll((uint64_t) v);
	if (octave > TOKEN_LAST_OCTAVE)
		return FAMILY_ESCAPE;
	return (uint8_t) (TOKEN_DIRECT + (octave - 7) * 8 + ((v >> (octave - 3)) & 7));
}

/* Raw bits of a token, and its difference without them. */
static inline unsigned
NAME(rest_of)(uint8_t token)
{
	return token < TOKEN_DIRECT ? 0 : (token >> 3) - (TOKEN_DIRECT / 8 - 4u);
}

static inline ELEMENT
NAME(base_of)(uint8_t token, unsigned rest)
{
	return token < TOKEN_DIRECT ? token : (ELEMENT) ((ELEMENT) (8 | (token & 7)) << rest);
}

static inline ELEMENT
NAME(take_raw)(bit_reader *raw, unsigned bits)
{
#if WIDTH == 64
	uint64_t	low = bits_take(raw, bits < 32 ? bits : 32);

	return bits > 32 ? low | bits_take(raw, bits - 32) << 32 : low;
#else
	return (ELEMENT) bits_take(raw, bits);
#endif
}

static inline ELEMENT
NAME(take_token)(uint8_t token, unsigned shift, bit_reader *raw)
{
	unsigned	rest;

	if (token == FAMILY_ESCAPE)
		return NAME(take_raw)(raw, WIDTH);
	rest = shift + NAME(rest_of)(token);
	return (ELEMENT) (NAME(base_of)(token, rest - shift) << shift | NAME(take_raw)(raw, rest));
}

#endif

/* How many low bits of each element are raw at a scale. */
static void
NAME(shifts_of)(const int16_t *exponent, size_t count, const shape *s, int scale, int16_t *shift)
{
	const int16_t most = (int16_t) s->most_shift;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		octaves = (int16_t) ((int16_t) (scale - exponent[i] - FAMILY_TOP) / FAMILY_OCTAVE);

		octaves = octaves > 0 ? octaves : 0;
		shift[i] = octaves < most ? octaves : most;
	}
}

/* Tokens of the differences without those bits; room: as many bytes as a block has elements. */
static void
NAME(tokens_of)(const ELEMENT *folded, const int16_t *shift, size_t count, uint8_t *token)
{
#if WIDTH == 8
	(void) shift;
	memcpy(token, folded, count);
#else
	for (size_t i = 0; i < count; i++)
	{
		ELEMENT		v = (ELEMENT) (folded[i] >> shift[i]);

		token[i] = (uint8_t) (v < TOKEN_DIRECT ? v : TOKEN_DIRECT);
	}
	FOR_EACH_MARKED(i, token, count, token[i] = NAME(token_of)((ELEMENT) (folded[i] >> shift[i])));
#endif
}

/* The place in the price list of each element's price at `scale`. */
static void
NAME(index_prices)(const ELEMENT *folded, const int16_t *exponent, size_t count, const shape *s, int scale,
				   uint16_t *index)
{
	const int16_t plain = PRICE_MARGIN - PRICE_BEFORE;
	const int16_t shifted = PRICE_MARGIN - PRICE_BEFORE + PRICE_PLAIN;
	const int16_t deep = PRICE_PLAIN + PRICE_SHIFTED - PRICE_DEEP_FIRST - PRICE_BEFORE;
	const int16_t end = s->most_shift > 0 ? FAMILY_TOP + FAMILY_OCTAVE : INT16_MIN;	/* of contexts in those parts */
	int16_t		shift[BLOCK];
	uint8_t		token[BLOCK];

	NAME(shifts_of)(exponent, count, s, scale, shift);
	NAME(tokens_of)(folded, shift, count, token);
	for (size_t i = 0; i < count; i++)
	{
		int16_t		c = (int16_t) (scale - exponent[i] - FAMILY_OCTAVE * shift[i]);
		int16_t		part = shift[i] == 0 ? shifted : deep;

		part = c < end ? part : plain;
		c = c < -PRICE_BEFORE ? -PRICE_BEFORE : c;
		c = c > FAMILY_CONTEXTS + 7 ? FAMILY_CONTEXTS + 7 : c;
		index[i] = (uint16_t) ((uint16_t) (token[i] * (uint16_t) PRICE_ROW) + (uint16_t) (part + c));
	}
}

/*
 * The scale that codes the block cheapest, the step from the last one included. The
 * mean change, with which the search begins, is a poor estimate: a coarse element
 * says little, and says it loudly.
 */
static int
NAME(choose_scale)(const ELEMENT *folded, const int16_t *exponent, size_t count, const shape *s,
				   const uint16_t *price, int last)
{
	int			scale = within_contexts(NAME(mean_scale)(folded, exponent, count));
	uint16_t	index[BLOCK];

	for (int turn = 0;; turn++)
	{
		uint32_t	total[PRICE_TRIES];
		int			best;

		NAME(index_prices)(folded, exponent, count, s, scale, index);
		add_prices(price, index, count, total);
		best = best_scale(total, scale, last);
		if (turn == LAST_TURN || within_tries(best, scale))
			return best;
		scale = best;
	}
}

static void
NAME(contexts_of)(const int16_t *exponent, size_t count, const shape *s, int scale, uint8_t *context)
{
	const int	most = s->most_shift;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		q = (int16_t) (scale - exponent[i]);
		int16_t		shift = (int16_t) ((int16_t) (q - FAMILY_TOP) / FAMILY_OCTAVE);
		int16_t		c;

		shift = shift > 0 ? shift : 0;
		shift = shift < most ? shift : (int16_t) most;
		c = (int16_t) (q - FAMILY_OCTAVE * shift);
		c = c > 0 ? c : 0;
		context[i] = (uint8_t) (c < FAMILY_CONTEXTS ? c : FAMILY_CONTEXTS - 1);
	}
}

/* The tables of a block's elements; of_context NULL: contexts are tables. */
static void
NAME(block_contexts)(const LOOSE *p, size_t count, const shape *s, int scale, const uint8_t *of_context, uint8_t *table)
{
	int16_t		exponent[BLOCK];

#if WIDTH == 16 && defined(PLAIN_STEP)
	if (s->most_shift == 0 && count == BLOCK)
	{
		const plain_type plain = plain_type_of(s);

		for (size_t i = 0; i < BLOCK; i += 2 * PLAIN_STEP)
			plain_contexts((const uint8_t *) (p + i), &plain, scale, of_context, table + i);
		return;
	}
#endif
	NAME(exponents)(p, count, s, exponent);
	NAME(contexts_of)(exponent, count, s, scale, table);
	if (of_context)
		for (size_t i = 0; i < count; i++)
			table[i] = of_context[table[i]];
}

#if WIDTH > 8

/* The raw bits of a block whose tokens are known. Those of a field that is longer than a writer takes: in two. */
static void
NAME(put_fields)(const ELEMENT *folded, const int16_t *shift, size_t count, const uint8_t *token, bit_writer *raw)
{
	fast_writer w = fast_begin(raw);
	uint8_t		widths[BLOCK];

	for (size_t i = 0; i < count; i++)
		widths[i] = (uint8_t) (token[i] == FAMILY_ESCAPE ? WIDTH : shift[i] + (int) NAME(rest_of)(token[i]));
	for (size_t i = 0; i < count; i++)
	{
		unsigned	width = widths[i];

#if WIDTH == 64
		if (width > 32)
		{
			fast_put(&w, folded[i] & UINT32_MAX, 32);
			fast_put(&w, folded[i] >> 32 & ((UINT64_C(1) << (width - 32)) - 1), width - 32);
			continue;
		}
#endif
		fast_put(&w, folded[i] & ((UINT64_C(1) << width) - 1), width);
	}
	fast_end(&w, raw);
}

#endif

/* A block's tokens and raw bits. */
static void
NAME(put_tokens)(const ELEMENT *folded, const int16_t *exponent, size_t count, const shape *s, int scale,
				 const uint8_t *context, const uint8_t *most_token, uint8_t *token, bit_writer *raw)
{
	int16_t		shift[BLOCK];

	NAME(shifts_of)(exponent, count, s, scale, shift);
	NAME(tokens_of)(folded, shift, count, token);
#if WIDTH == 8
	(void) context; (void) most_token; (void) raw;
#else
	if (most_token)
		escape_above(context, count, most_token, token);
	NAME(put_fields)(folded, shift, count, token, raw);
#endif
}

#if WIDTH == 16

/*
 * The same three steps where no low bits are raw, so that tokens do not depend on the scale. Nearly all are the
 * differences themselves; the others are marked by their top bit, and visited.
 */
static int
encode_plain16(const LOOSE *p, const uint16_t *folded, uint16_t any, const int16_t *exponent, size_t count,
			   const shape *s, const price_list *prices, int last, uint8_t *token, uint8_t *context, bit_writer *raw)
{
	int			scale = within_contexts(mean_scale16(folded, exponent, count));
	fast_writer w;

	for (size_t i = 0; i < count; i++)
		token[i] = (uint8_t) (folded[i] < TOKEN_DIRECT ? folded[i] : TOKEN_DIRECT);
	if (any >= TOKEN_DIRECT)
		FOR_EACH_MARKED(i, token, count, token[i] = token_of16(folded[i]));
	scale = within_limits(choose_plain_scale(token, exponent, count, scale, prices->price, last), prices);
	block_contexts16(p, count, s, scale, NULL, context);
	if (prices->most_token)
		escape_above(context, count, prices->most_token, token);
	w = fast_begin(raw);
	FOR_EACH_MARKED(i, token, count,
					{
						unsigned	bits = token[i] == FAMILY_ESCAPE ? 16 : rest_of16(token[i]);

						fast_put(&w, folded[i] & ((1u << bits) - 1), bits);
					});
	fast_end(&w, raw);
	return scale;
}

#endif

static int
NAME(encode)(const void *content, const void *prediction, size_t at, size_t count, const shape *s,
			 const price_list *prices, int last, uint8_t *token, uint8_t *context, bit_writer *raw)
{
	const LOOSE *c = (const LOOSE *) content + at;
	const LOOSE *p = prediction_at(prediction, at * sizeof(ELEMENT));
	ELEMENT		folded[BLOCK];
	int16_t		exponent[BLOCK];
	ELEMENT		any = NAME(differences)(c, p, count, s, folded);
	int			scale;

	if (any == 0)
		return UNCHANGED;
	NAME(exponents)(p, count, s, exponent);
#if WIDTH == 16
	if (s->most_shift == 0)
		return encode_plain16(p, folded, any, exponent, count, s, prices, last, token, context, raw);
#endif
	scale = within_limits(NAME(choose_scale)(folded, exponent, count, s, prices->price, last), prices);
	NAME(contexts_of)(exponent, count, s, scale, context);
	NAME(put_tokens)(folded, exponent, count, s, scale, context, prices->most_token, token, raw);
	return scale;
}

/* The elements of block b of a batch. */
static inline size_t
NAME(count_in)(const batch *k, unsigned b)
{
	return b + 1 < k->blocks ? BLOCK : k->elements - (k->blocks - 1u) * BLOCK;
}

static void
NAME(contexts)(const void *prediction, const shape *s, const uint8_t *of_context, batch *k)
{
	for (unsigned b = 0; b < k->blocks; b++)
		NAME(block_contexts)(prediction_at(prediction, k->at[b] * sizeof(ELEMENT)), NAME(count_in)(k, b), s,
							 k->scale[b], of_context, k->table + b * BLOCK);
}

#if WIDTH > 8

/*
 * The differences of a block of which all raw bits can be loaded, by fields whose widths and whose places in the
 * differences are known beforehand.
 */
static void
NAME(take_fields)(const uint8_t *token, const int16_t *shift, size_t count, bit_reader *raw, ELEMENT *folded)
{
	const uint8_t *bytes = raw->bytes;
	uint64_t	position = raw->position;
	uint8_t		lead[BLOCK];	/* what the token says */
	uint8_t		width[BLOCK];	/* and how many bits are behind it */

	for (size_t i = 0; i < count; i++)
	{
		const uint8_t t = token[i];
		const uint8_t known = t < TOKEN_DIRECT ? t : (t & 7) | 8;
		const uint8_t bits = (uint8_t) ((uint8_t) NAME(rest_of)(t) + (uint8_t) shift[i]);

		lead[i] = t == FAMILY_ESCAPE ? 0 : known;
		width[i] = t == FAMILY_ESCAPE ? WIDTH : bits;
	}
	for (size_t i = 0; i < count; i++)
		folded[i] = (ELEMENT) (width[i] < 32 ? (uint32_t) lead[i] << (width[i] & 31) : 0);
	for (size_t i = 0; i < count; i++)
	{
		folded[i] = (ELEMENT) (folded[i] | (ELEMENT) bits_get_fast(bytes, position, width[i]));
		position += width[i];
	}
	raw->position = position;
}

/* What NAME(put_tokens) took apart. False when a token or the raw bits are out of range. */
static bool
NAME(take_tokens)(const LOOSE *prediction, const uint8_t *token, size_t count, const shape *s, int scale,
				  bit_reader *raw, ELEMENT *folded)
{
	uint8_t		largest = 0;
	int16_t		exponent[BLOCK];
	int16_t		shift[BLOCK];

	for (size_t i = 0; i < count; i++)
	{
		uint8_t		t = token[i] == FAMILY_ESCAPE ? 0 : token[i];

		largest = t > largest ? t : largest;
	}
	if (largest > TOKEN_MOST(WIDTH))
		return false;
	if (s->most_shift == 0)
	{
		for (size_t i = 0; i < count; i++)
			folded[i] = token[i];
		FOR_EACH_MARKED(i, token, count, folded[i] = NAME(take_token)(token[i], 0, raw));
		return bits_ok(raw);
	}
	NAME(exponents)(prediction, count, s, exponent);
	NAME(shifts_of)(exponent, count, s, scale, shift);
	if (WIDTH < 64 && bits_ahead(raw, count * 50))
		NAME(take_fields)(token, shift, count, raw, folded);
	else
		for (size_t i = 0; i < count; i++)
			folded[i] = NAME(take_token)(token[i], (unsigned) shift[i], raw);
	return bits_ok(raw);
}

#else

static bool
take_tokens8(const loose8 *prediction, const uint8_t *token, size_t count, const shape *s, int scale,
			 bit_reader *raw, uint8_t *folded)
{
	(void) prediction; (void) s; (void) scale; (void) raw;
	memcpy(folded, token, count);
	return true;
}

#endif

static bool
NAME(rebuild_block)(const LOOSE *p, const uint8_t *token, size_t count, const shape *s, int scale,
					bit_reader *raw, LOOSE *content)
{
	ELEMENT		folded[BLOCK];

	if (!NAME(take_tokens)(p, token, count, s, scale, raw, folded))
		return false;
	NAME(restore)(p, folded, count, s, content);
	return true;
}

#if WIDTH == 16 && defined(PLAIN_STEP)

#ifndef PLAIN_FIELDS

/*
 * The elements of a full block whose tokens have raw bits, all of which can be loaded; without a branch on the token.
 * False when a token is out of range.
 */
static inline bool
mend_marked16(const LOOSE *p, const uint8_t *token, bit_reader *raw, LOOSE *content)
{
	const uint8_t *bytes = raw->bytes;
	uint64_t	position = raw->position;
	bool		ok = true;

	FOR_EACH_MARKED(k, token, BLOCK,
					{
						const uint32_t t = token[k];
						const bool	escaped = t == FAMILY_ESCAPE;
						const unsigned width = escaped ? 16 : ((t >> 3) - (TOKEN_DIRECT / 8 - 4u)) & 15;
						const uint32_t lead = escaped ? 0 : (t & 7) | 8;
						const uint32_t folded = lead << width | (uint32_t) bits_get_fast(bytes, position, width);
						const uint32_t m = (p[k] & 0x7fffu) + (folded >> 1 ^ (0 - (folded & 1)));
						const uint32_t other_side = 0 - (m >> 15 & 1);

						ok &= escaped | (t <= TOKEN_MOST(16));
						position += width;
						content[k] = (uint16_t) (((m ^ other_side) & 0x7fff) | ((p[k] ^ other_side) & 0x8000));
					});
	raw->position = position;
	return ok;
}

#endif

/* A full block. */
static inline bool
rebuild_plain16(const LOOSE *p, const uint8_t *token, const shape *s, bit_reader *raw, LOOSE *content)
{
#ifdef PLAIN_FIELDS
	for (size_t i = 0; i < BLOCK; i += 2 * PLAIN_STEP)
		if (!plain_rebuild((const uint8_t *) (p + i), token + i, raw, (uint8_t *) (content + i))
			&& !rebuild_block16(p + i, token + i, 2 * PLAIN_STEP, s, 0, raw, content + i))
			return false;
	return true;
#else
	uint8_t		largest = 0;

	/* all as if no token had raw bits, and then those that have some again: they are few */
	for (size_t i = 0; i < BLOCK; i += PLAIN_STEP)
		plain_restore((const uint8_t *) (p + i), plain_tokens(token + i), (uint8_t *) (content + i));
	if (bits_ahead(raw, 16 * BLOCK))
		return mend_marked16(p, token, raw, content);
	FOR_EACH_MARKED(k, token, BLOCK,
					{
						uint16_t	folded = take_token16(token[k], 0, raw);

						largest = token[k] > largest && token[k] != FAMILY_ESCAPE ? token[k] : largest;
						restore16(p + k, &folded, 1, s, content + k);
					});
	return largest <= TOKEN_MOST(WIDTH) && bits_ok(raw);
#endif
}

#endif

/* Decodes the blocks of a batch from their tokens. */
static bool
NAME(rebuild)(const void *prediction, const shape *s, const batch *k, bit_reader *raw_bits, void *content)
{
	bit_reader	raw = *raw_bits;
	bool		ok = true;

	for (unsigned b = 0; ok && b < k->blocks; b++)
	{
		const LOOSE *p = prediction_at(prediction, k->at[b] * sizeof(ELEMENT));
		const size_t count = NAME(count_in)(k, b);
		const uint8_t *token = k->token + b * BLOCK;
		LOOSE	   *to = (LOOSE *) content + k->at[b];

#if WIDTH == 16 && defined(PLAIN_STEP)
		if (s->most_shift == 0 && count == BLOCK)
			ok = rebuild_plain16(p, token, s, &raw, to);
		else
#endif
			ok = NAME(rebuild_block)(p, token, count, s, k->scale[b], &raw, to);
	}
	*raw_bits = raw;
	return ok;
}

#undef PASTE_
#undef PASTE
#undef ELEMENT
#undef NAME
#undef LOOSE
#undef TOP
#undef WIDTH
