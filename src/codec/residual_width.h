/*
 * residual_width.h: the loops of the residual coder for one element width.
 *
 * Included by residual_loops.h once for each width, with WIDTH (8, 16, 32, 64), DIRECT
 * and LEAD set. A folded difference below DIRECT is its own token; above, the
 * token names its octave and the LEAD bits after the leading one, and the rest
 * are raw bits. Every loop is over one block, without branches where the
 * compiler can then vectorise it.
 */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define ELEMENT PASTE(PASTE(uint, WIDTH), _t)
#define NAME(function) PASTE(function, WIDTH)
#define LOOSE NAME(loose)
#define DIRECT_LOG (DIRECT == 256 ? 8 : DIRECT == 128 ? 7 : DIRECT == 16 ? 4 : 3)
#define TOP ((ELEMENT) ((ELEMENT) 1 << (WIDTH - 1)))

/* An element in content or prediction, which may lie at any address. */
typedef ELEMENT LOOSE __attribute__((aligned(1), may_alias));

/*
 * Sign and magnitude to an integer that grows with the float. flip is TOP for
 * floats; 0 leaves integers as they are.
 */
static inline ELEMENT
NAME(order)(ELEMENT bits, ELEMENT flip)
{
	ELEMENT		negative = (ELEMENT) (0 - (bits >> (WIDTH - 1)));

	return flip ? (ELEMENT) (bits ^ (negative | TOP)) : bits;
}

static inline ELEMENT
NAME(unorder)(ELEMENT ordered, ELEMENT flip)
{
	ELEMENT		positive = (ELEMENT) (0 - (ordered >> (WIDTH - 1)));

	return flip ? (ELEMENT) (ordered ^ ((ELEMENT) ~positive | TOP)) : ordered;
}

/* The exponents of predictions, as the contexts use them: at least 1; 0 for integers. */
static void
NAME(exponents)(const LOOSE *prediction, size_t count, const shape *s, int16_t *exponent)
{
	const unsigned shift = s->mantissa_bits;
	const ELEMENT mask = (ELEMENT) s->exponent_mask;
	const int16_t least = s->exponent_mask ? 1 : 0;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		e = (int16_t) ((ELEMENT) (prediction[i] >> shift) & mask);

		exponent[i] = e > least ? e : least;
	}
}

/* Folded differences of a block; returns their union, 0 when nothing changed. */
static ELEMENT
NAME(differences)(const LOOSE *content, const LOOSE *prediction, size_t count,
				  const shape *s, ELEMENT *folded)
{
	const ELEMENT flip = s->exponent_mask ? TOP : 0;
	ELEMENT		any = 0;

	for (size_t i = 0; i < count; i++)
	{
		ELEMENT		d = (ELEMENT) (NAME(order)(content[i], flip) - NAME(order)(prediction[i], flip));
		ELEMENT		sign = (ELEMENT) (0 - (d >> (WIDTH - 1)));

		folded[i] = (ELEMENT) ((ELEMENT) (d << 1) ^ sign);
		any |= folded[i];
	}
	return any;
}

/*
 * The block's first scale: its mean absolute change, in half octaves of the unit
 * in the last place at exponent 0. Narrow elements are summed in 32 bits, which
 * vector units can shift by different amounts.
 */
#if WIDTH <= 16
#define SUM_TYPE uint32_t
#define SUM_BITS 8				/* 128 x 2^16 x 2^8 fits */
#else
#define SUM_TYPE uint64_t
#define SUM_BITS 16
#endif

static int
NAME(block_scale)(const ELEMENT *folded, const int16_t *exponent, size_t count)
{
	const int	widest = 8 * (int) sizeof(SUM_TYPE) - 1;
	int16_t		largest = 0;
	SUM_TYPE	sum = 0;

	for (size_t i = 0; i < count; i++)
		largest = exponent[i] > largest ? exponent[i] : largest;
	for (size_t i = 0; i < count; i++)
	{
		SUM_TYPE	magnitude = (SUM_TYPE) folded[i] / 2 + (folded[i] & 1);
		int			below = largest - exponent[i];

#if WIDTH == 64
		magnitude = magnitude < UINT64_C(1) << 40 ? magnitude : UINT64_C(1) << 40;
#endif
		sum += (magnitude << SUM_BITS) >> (below < widest ? below : widest);
	}
	sum /= (SUM_TYPE) count;
	return 2 * largest + (sum ? half_octaves(sum) : 0);
}

#undef SUM_TYPE
#undef SUM_BITS

#if DIRECT < 256

/* The token of a difference that is DIRECT or more; the rest of it becomes raw bits. */
static inline uint8_t
NAME(escape)(uint64_t v, bit_writer *raw)
{
	unsigned	octave = 63 - (unsigned) __builtin_clzll(v);
	unsigned	rest = octave - LEAD;
	uint8_t		token = (uint8_t) (DIRECT + (octave - DIRECT_LOG) * (1u << LEAD)
								   + ((v >> rest) & ((1u << LEAD) - 1)));

	v &= (UINT64_C(1) << rest) - 1;
	if (WIDTH == 64 && rest > 32)
	{
		bits_put(raw, v & UINT32_MAX, 32);
		v >>= 32;
		rest -= 32;
	}
	bits_put(raw, v, rest);
	return token;
}

#endif

/* A block's tokens, and the bits that they leave over; `any` is the union of the differences. */
static void
NAME(tokens)(const ELEMENT *folded, size_t count, ELEMENT any, uint8_t *token, bit_writer *raw)
{
#if DIRECT == 128
	/* few escape: mark them with the top bit, then visit the marked */
	for (size_t i = 0; i < count; i++)
		token[i] = (uint8_t) (folded[i] < DIRECT ? folded[i] : DIRECT);
	if (any >= DIRECT)
		FOR_EACH_MARKED(i, token, count, token[i] = NAME(escape)(folded[i], raw));
#elif DIRECT < 128
	for (size_t i = 0; i < count; i++)
		token[i] = folded[i] < DIRECT ? (uint8_t) folded[i] : NAME(escape)(folded[i], raw);
#else
	for (size_t i = 0; i < count; i++)
		token[i] = (uint8_t) folded[i];
#endif
	(void) any;
	(void) raw;
}

#if DIRECT < 256

/* Raw bits of a token, and its difference without them. */
static inline unsigned
NAME(rest_of)(uint8_t token)
{
	return token < DIRECT ? 0 : DIRECT_LOG - LEAD + ((token - (unsigned) DIRECT) >> LEAD);
}

static inline ELEMENT
NAME(base_of)(uint8_t token, unsigned rest)
{
	const ELEMENT lead = (ELEMENT) (1u << LEAD | ((token - (unsigned) DIRECT) & ((1u << LEAD) - 1)));

	return token < DIRECT ? token : (ELEMENT) (lead << rest);
}

/* Every element has raw bits, or may have: no branches. The block's bits must be loadable in full. */
static void
NAME(take_all)(const uint8_t *token, size_t count, bit_reader *raw, ELEMENT *folded)
{
	const uint8_t *bytes = raw->bytes;
	uint64_t	position = raw->position;

	for (size_t i = 0; i < count; i++)
	{
		unsigned	rest = NAME(rest_of)(token[i]);

		folded[i] = (ELEMENT) (NAME(base_of)(token[i], rest)
							   | (ELEMENT) bits_get_fast(bytes, position, rest));
		position += rest;
	}
	raw->position = position;
}

static inline void
NAME(take_one)(uint8_t token, bit_reader *raw, ELEMENT *folded)
{
	unsigned	rest = NAME(rest_of)(token);
	uint64_t	low = bits_take(raw, rest < 32 ? rest : 32);

	if (WIDTH == 64 && rest > 32)
		low |= bits_take(raw, rest - 32) << 32;
	*folded = (ELEMENT) (NAME(base_of)(token, rest) | (ELEMENT) low);
}

/* Few elements have raw bits. */
static void
NAME(take_few)(const uint8_t *token, size_t count, bit_reader *raw, ELEMENT *folded)
{
#if DIRECT == 128
	FOR_EACH_MARKED(i, token, count, NAME(take_one)(token[i], raw, &folded[i]));
#else
	for (size_t i = 0; i < count; i++)
		if (token[i] >= DIRECT)
			NAME(take_one)(token[i], raw, &folded[i]);
#endif
}

#endif

/* What NAME(tokens) took apart. False when a token or the raw bits are out of range. */
static bool
NAME(untokens)(const uint8_t *token, size_t count, bit_reader *raw, ELEMENT *folded)
{
#if DIRECT < 256
	uint8_t		largest = 0;

	for (size_t i = 0; i < count; i++)
		largest = token[i] > largest ? token[i] : largest;
	for (size_t i = 0; i < count; i++)
		folded[i] = token[i];
	if (largest < DIRECT)
		return true;
	if (largest >= DIRECT + (WIDTH - DIRECT_LOG) * (1u << LEAD))
		return false;
	if (WIDTH == 32 && bits_ahead(raw, count * WIDTH))
		NAME(take_all)(token, count, raw, folded);
	else
		NAME(take_few)(token, count, raw, folded);
	return bits_ok(raw);
#else
	for (size_t i = 0; i < count; i++)
		folded[i] = token[i];
	(void) raw;
	return true;
#endif
}

/* Content from a prediction and folded differences. */
static void
NAME(restore)(const LOOSE *prediction, const ELEMENT *folded, size_t count,
			  const shape *s, LOOSE *content)
{
	const ELEMENT flip = s->exponent_mask ? TOP : 0;

	for (size_t i = 0; i < count; i++)
	{
		ELEMENT		d = (ELEMENT) ((ELEMENT) (folded[i] >> 1) ^ (ELEMENT) (0 - (folded[i] & 1)));

		content[i] = NAME(unorder)((ELEMENT) (NAME(order)(prediction[i], flip) + d), flip);
	}
}

/* The first pass: tokens, raw bits, exponents and a first scale of every changed block. */
static void
NAME(scan)(const void *content, const void *prediction, size_t elements, const shape *s, survey *m)
{
	for (size_t b = 0, at = 0; at < elements; b++, at += BLOCK)
	{
		size_t		count = block_count(elements, at);
		int16_t    *e = m->exponent + m->tokens;
		const LOOSE *c = (const LOOSE *) content + at;
		const LOOSE *p = prediction_at(prediction, at * sizeof(ELEMENT));
		ELEMENT		folded[BLOCK];
		ELEMENT		any;

		m->block[b] = UNCHANGED;
		any = NAME(differences)(c, p, count, s, folded);
		if (any == 0)
			continue;
		NAME(exponents)(p, count, s, e);
		m->block[b] = (int16_t) NAME(block_scale)(folded, e, count);
		NAME(tokens)(folded, count, any, m->token + m->tokens, &m->raw);
		m->tokens += count;
	}
}

/* Decodes the block at element `at` from its tokens. */
static bool
NAME(rebuild)(const void *prediction, size_t at, size_t count, const shape *s,
			  const uint8_t *token, bit_reader *raw, void *content)
{
	ELEMENT		folded[BLOCK];

	if (!NAME(untokens)(token, count, raw, folded))
		return false;
	NAME(restore)(prediction_at(prediction, at * sizeof(ELEMENT)), folded, count, s,
				  (LOOSE *) content + at);
	return true;
}

static void
NAME(predict)(const void *prediction, size_t at, size_t count, const shape *s,
			  int scale, const uint8_t *of_context, uint8_t *context)
{
	int16_t		e[BLOCK];

	NAME(exponents)(prediction_at(prediction, at * sizeof(ELEMENT)), count, s, e);
	block_contexts(e, count, scale, of_context, context);
}

#undef PASTE_
#undef PASTE
#undef ELEMENT
#undef NAME
#undef LOOSE
#undef DIRECT_LOG
#undef TOP
#undef WIDTH
#undef DIRECT
#undef LEAD
