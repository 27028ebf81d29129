/*
 * residual_loops.h: the residual coder's inner loops, for one instruction set.
 *
 * Included by residual_portable.c, residual_avx2.c and residual_avx512.c, which
 * define LOOPS, the name of the table of loops, and LOOPS_AVX2 or LOOPS_AVX512 where
 * its instructions may be used.
 */
#include "residual.h"

#define TOKEN_DIRECT 128		/* a difference below is its own token */
#define TOKEN_LAST_OCTAVE 21	/* the tokens of differences of 22 bits end at 247 */
#define TOKEN_MOST(width) ((width) == 16 ? 199 : 247)	/* the largest token besides the escape */

/* The block of a prediction at byte `at`; of none, zeros. */
static inline const void *
prediction_at(const void *prediction, size_t at)
{
	static const uint64_t zeros[BLOCK];

	return prediction ? (const void *) ((const uint8_t *) prediction + at) : zeros;
}

/*
 * Does `visit` for each i below count whose token has its top bit set: MARK_GROUP
 * tokens at a time, of which MARKS makes a mask with MARK_BITS bits a token.
 */
#if defined(LOOPS_AVX512)
#define MARK_GROUP 64
#define MARK_BITS 1
#define MARKS(token) ((uint64_t) _mm512_movepi8_mask(_mm512_loadu_si512(token)))
#elif defined(LOOPS_AVX2)
#define MARK_GROUP 32
#define MARK_BITS 1
#define MARKS(token) \
	((uint32_t) _mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *) (const void *) (token))))
#else
#define MARK_GROUP 8
#define MARK_BITS 8
#define MARKS(token) (load64(token) & UINT64_C(0x8080808080808080))
#endif

#define FOR_EACH_MARKED(i, token, count, visit) \
	do { \
		size_t		group_ = 0; \
		for (; group_ + MARK_GROUP <= (count); group_ += MARK_GROUP) \
			for (uint64_t marks_ = MARKS((token) + group_); marks_ != 0; marks_ &= marks_ - 1) \
			{ \
				size_t		i = group_ + (unsigned) __builtin_ctzll(marks_) / MARK_BITS; \
				visit; \
			} \
		for (size_t i = group_; i < (count); i++) \
			if ((token)[i] & 0x80) \
				visit; \
	} while (0)

/* log2 in quarter octaves, rounded down; value above 0. */
static inline int
quarter_octaves(uint64_t value)
{
	int			octave = 63 - __builtin_clzll(value);
	uint64_t	fraction = value << (63 - octave);

	return 4 * octave + (fraction >= UINT64_C(0x9837F0518DB8A96F)) + (fraction >= UINT64_C(0xB504F333F9DE6485))
		+ (fraction >= UINT64_C(0xD744FCCAD69D6AF5));
}

/* PRICE_TRIES prices side by side. */
typedef uint16_t prices __attribute__((vector_size(2 * PRICE_TRIES)));

/* What a block costs at PRICE_TRIES neighbouring scales. */
static void
add_prices(const uint16_t *price, const uint16_t *index, size_t count, uint32_t *total)
{
	memset(total, 0, PRICE_TRIES * sizeof(*total));
	/* 32 prices, each at most PRICE_MOST, fit 16 bits */
	for (size_t first = 0; first < count; first += 32)
	{
		size_t		end = count - first < 32 ? count : first + 32;
		prices		even = {0};
		prices		odd = {0};
		size_t		i = first;
		prices		p;

		for (; i + 2 <= end; i += 2)
		{
			memcpy(&p, price + index[i], sizeof(p));
			even += p;
			memcpy(&p, price + index[i + 1], sizeof(p));
			odd += p;
		}
		if (i < end)
		{
			memcpy(&p, price + index[i], sizeof(p));
			even += p;
		}
		even += odd;
		for (int k = 0; k < PRICE_TRIES; k++)
			total[k] += even[k];
	}
}

#define SCALE_STEP_PRICE (PRICE_UNIT * 3 / 10)	/* of a quarter octave in the scale stream, about */

static int
best_scale(const uint32_t *total, int scale, int last)
{
	uint32_t	least = UINT32_MAX;
	int			best = scale;

	for (int k = 0; k < PRICE_TRIES; k++)
	{
		int			candidate = scale + k - PRICE_BEFORE;
		int			step = last == UNCHANGED ? 0 : candidate > last ? candidate - last : last - candidate;
		uint32_t	cost = total[k] + (uint32_t) step * SCALE_STEP_PRICE;

		if (candidate >= 0 && cost < least)
		{
			least = cost;
			best = candidate;
		}
	}
	return best;
}

/* Tokens that are above the most of their context escape. */
static void
escape_above(const uint8_t *context, size_t count, const uint8_t *most_token, uint8_t *token)
{
	size_t		i = 0;

#if defined(LOOPS_AVX512)
	const __m512i low = _mm512_loadu_si512(most_token);
	const __m512i high = _mm512_loadu_si512(most_token + 64);

	for (; i + 64 <= count; i += 64)
	{
		__m512i		t = _mm512_loadu_si512(token + i);
		__m512i		most = _mm512_permutex2var_epi8(low, _mm512_loadu_si512(context + i), high);

		t = _mm512_mask_mov_epi8(t, _mm512_cmpgt_epu8_mask(t, most), _mm512_set1_epi8((char) FAMILY_ESCAPE));
		_mm512_storeu_si512(token + i, t);
	}
#elif defined(LOOPS_AVX2)
	for (; i + 32 <= count; i += 32)
	{
		__m256i		t = _mm256_loadu_si256((const __m256i *) (void *) (token + i));
		__m256i		c = _mm256_loadu_si256((const __m256i *) (const void *) (context + i));
		__m256i		row = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(15));
		__m256i		most = _mm256_setzero_si256();
		__m256i		fits;

		c = _mm256_and_si256(c, _mm256_set1_epi8(15));
		for (int k = 0; k < (FAMILY_CONTEXTS + 15) / 16; k++)
		{
			__m128i		part = _mm_loadu_si128((const __m128i *) (const void *) (most_token + 16 * k));

			most = _mm256_or_si256(most, _mm256_and_si256(_mm256_cmpeq_epi8(row, _mm256_set1_epi8((char) k)),
														  _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part), c)));
		}
		fits = _mm256_cmpeq_epi8(_mm256_min_epu8(t, most), t);
		/* the escape has all bits */
		_mm256_storeu_si256((__m256i *) (void *) (token + i),
							_mm256_or_si256(t, _mm256_andnot_si256(fits, _mm256_set1_epi8(-1))));
	}
#endif
	for (; i < count; i++)
		token[i] = token[i] > most_token[context[i]] ? FAMILY_ESCAPE : token[i];
}

/* Whether there is no use in looking beyond the scales tried around `scale`. */
static inline bool
within_tries(int best, int scale)
{
	return best > scale - PRICE_BEFORE && best < scale + PRICE_TRIES - PRICE_BEFORE - 1;
}

#define LAST_TURN 2

/* The scale that codes a block cheapest, given tokens that do not depend on it, and where to begin. */
static int
choose_plain_scale(const uint8_t *token, const int16_t *exponent, size_t count, int scale,
				   const uint16_t *price, int last)
{
	uint16_t	index[BLOCK];

	for (int turn = 0;; turn++)
	{
		uint32_t	total[PRICE_TRIES];
		int			best;

		for (size_t i = 0; i < count; i++)
		{
			int16_t		c = (int16_t) (scale - exponent[i]);

			c = c < -PRICE_BEFORE ? -PRICE_BEFORE : c;
			c = c > FAMILY_CONTEXTS + 7 ? FAMILY_CONTEXTS + 7 : c;
			index[i] = (uint16_t) ((uint16_t) (token[i] * (uint16_t) PRICE_ROW)
								   + (uint16_t) (c + PRICE_MARGIN - PRICE_BEFORE));
		}
		add_prices(price, index, count, total);
		best = best_scale(total, scale, last);
		if (turn == LAST_TURN || within_tries(best, scale))
			return best;
		scale = best;
	}
}

/* ---- by hand for vectors: bf16, the one type of two bytes of which no low bits are raw ---- */

#if defined(LOOPS_AVX512)

#define PLAIN_STEP 32			/* elements of a vector */
#define PLAIN_FIELDS			/* raw bits are read by vectors, too */

/* Where a type has its exponent, times FAMILY_OCTAVE. */
typedef struct plain_type
{
	__m128i		shift;
	__m512i		mask;
	__m512i		least;
	__m512i		top;
} plain_type;

static inline plain_type
plain_type_of(const shape *s)
{
	return (plain_type) {_mm_cvtsi32_si128((int) s->mantissa_bits - 2),
		_mm512_set1_epi16((short) (s->exponent_mask * FAMILY_OCTAVE)), _mm512_set1_epi16(FAMILY_OCTAVE),
		_mm512_set1_epi16(FAMILY_CONTEXTS - 1)};
}

static inline __m512i
plain_context(const uint8_t *prediction, const plain_type *t, __m512i scale)
{
	__m512i		e = _mm512_and_si512(_mm512_srl_epi16(_mm512_loadu_si512(prediction), t->shift), t->mask);

	return _mm512_min_epu16(_mm512_subs_epu16(scale, _mm512_max_epu16(e, t->least)), t->top);
}

/* The tables of 64 elements. */
static inline void
plain_contexts(const uint8_t *prediction, const plain_type *t, int scale, const uint8_t *of_context, uint8_t *table)
{
	const __m512i scales = _mm512_set1_epi16((short) scale);
	__m256i		a = _mm512_cvtepi16_epi8(plain_context(prediction, t, scales));
	__m256i		b = _mm512_cvtepi16_epi8(plain_context(prediction + 64, t, scales));
	__m512i		c = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);

	if (of_context)
		c = _mm512_permutex2var_epi8(_mm512_loadu_si512(of_context), c, _mm512_loadu_si512(of_context + 64));
	_mm512_storeu_si512(table, c);
}

/* 32 elements of content from their predictions and folded differences. */
static inline void
plain_restore(const uint8_t *prediction, __m512i folded, uint8_t *content)
{
	const __m512i one = _mm512_set1_epi16(1);
	const __m512i magnitude = _mm512_set1_epi16(0x7fff);
	__m512i		p = _mm512_loadu_si512(prediction);
	__m512i		d = _mm512_xor_si512(_mm512_srli_epi16(folded, 1),
									 _mm512_sub_epi16(_mm512_setzero_si512(), _mm512_and_si512(folded, one)));
	__m512i		m = _mm512_add_epi16(_mm512_and_si512(p, magnitude), d);
	__m512i		x = _mm512_xor_si512(m, _mm512_and_si512(_mm512_srai_epi16(m, 15), magnitude));

	/* x ^ (p & ~magnitude) */
	_mm512_storeu_si512(content, _mm512_ternarylogic_epi32(x, p, magnitude, 0xB4));
}

/*
 * The differences of up to 16 tokens that have raw bits, the i-th taking the i-th field from
 * raw->position on: where fields begin is the running sum of their widths.
 */
static inline __m256i
plain_fields(__m128i tokens, unsigned count, bit_reader *raw)
{
	const __m512i token = _mm512_cvtepu8_epi32(tokens);
	const __mmask16 some = (__mmask16) ((1u << count) - 1);
	const __mmask16 escaped = _mm512_cmpeq_epi32_mask(token, _mm512_set1_epi32(FAMILY_ESCAPE));
	__m512i		width = _mm512_sub_epi32(_mm512_srli_epi32(token, 3), _mm512_set1_epi32(TOKEN_DIRECT / 8 - 4));
	__m512i		lead = _mm512_or_si512(_mm512_and_si512(token, _mm512_set1_epi32(7)), _mm512_set1_epi32(8));
	__m512i		sum;
	__m512i		at;
	__m512i		field;

	width = _mm512_maskz_mov_epi32(some, _mm512_mask_mov_epi32(width, escaped, _mm512_set1_epi32(16)));
	sum = _mm512_add_epi32(width, _mm512_maskz_alignr_epi32(0xfffe, width, width, 15));
	sum = _mm512_add_epi32(sum, _mm512_maskz_alignr_epi32(0xfffc, sum, sum, 14));
	sum = _mm512_add_epi32(sum, _mm512_maskz_alignr_epi32(0xfff0, sum, sum, 12));
	sum = _mm512_add_epi32(sum, _mm512_maskz_alignr_epi32(0xff00, sum, sum, 8));
	at = _mm512_add_epi32(_mm512_sub_epi32(sum, width), _mm512_set1_epi32((int) (raw->position & 7)));
	/* the four bytes from at / 8 on: all fields lie in one vector, so a permutation does what a gather would */
	field = _mm512_mullo_epi32(_mm512_srli_epi32(at, 3), _mm512_set1_epi32(0x01010101));
	field = _mm512_permutexvar_epi8(_mm512_add_epi32(field, _mm512_set1_epi32(0x03020100)),
									_mm512_loadu_si512(raw->bytes + (raw->position >> 3)));
	field = _mm512_srlv_epi32(field, _mm512_and_si512(at, _mm512_set1_epi32(7)));
	field = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), width), field);
	lead = _mm512_mask_mov_epi32(lead, escaped, _mm512_setzero_si512());
	raw->position += (unsigned) _mm_extract_epi32(_mm512_extracti32x4_epi32(sum, 3), 3);
	return _mm512_cvtepi32_epi16(_mm512_or_si512(field, _mm512_sllv_epi32(lead, width)));
}

/* 64 elements; false when tokens or raw bits are out of range, or too many or too near their end for vectors. */
static inline bool
plain_rebuild(const uint8_t *prediction, const uint8_t *token, bit_reader *raw, uint8_t *content)
{
	const __m512i tokens = _mm512_loadu_si512(token);
	const __mmask64 marked = _mm512_movepi8_mask(tokens);
	__m512i		low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(tokens));
	__m512i		high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(tokens, 1));

	if (marked != 0)
	{
		const unsigned count = (unsigned) __builtin_popcountll(marked);
		const __mmask64 above = _mm512_cmpgt_epu8_mask(tokens, _mm512_set1_epi8((char) TOKEN_MOST(16)));
		const __mmask64 escaped = _mm512_cmpeq_epi8_mask(tokens, _mm512_set1_epi8((char) FAMILY_ESCAPE));
		const __m256i order = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
		__m256i		fields;

		/* a whole vector of raw bytes is loaded */
		if (count > 16 || above != escaped || !bits_ahead(raw, 8 * 64))
			return false;
		fields = plain_fields(_mm512_castsi512_si128(_mm512_maskz_compress_epi8(marked, tokens)), count, raw);
		low = _mm512_mask_expand_epi16(low, (__mmask32) marked, _mm512_castsi256_si512(fields));
		fields = _mm256_permutexvar_epi16(
			_mm256_add_epi16(order, _mm256_set1_epi16((short) __builtin_popcount((uint32_t) marked))), fields);
		high = _mm512_mask_expand_epi16(high, (__mmask32) (marked >> 32), _mm512_castsi256_si512(fields));
	}
	plain_restore(prediction, low, content);
	plain_restore(prediction + 64, high, content + 64);
	return true;
}

#elif defined(LOOPS_AVX2)

#define PLAIN_STEP 16

typedef struct plain_type
{
	__m128i		shift;
	__m256i		mask;
	__m256i		least;
} plain_type;

static inline plain_type
plain_type_of(const shape *s)
{
	return (plain_type) {_mm_cvtsi32_si128((int) s->mantissa_bits - 2),
		_mm256_set1_epi16((short) (s->exponent_mask * FAMILY_OCTAVE)), _mm256_set1_epi16(FAMILY_OCTAVE)};
}

static inline __m256i
load256(const void *bytes)
{
	return _mm256_loadu_si256((const __m256i *) bytes);
}

static inline __m256i
plain_context(const uint8_t *prediction, const plain_type *t, __m256i scale)
{
	__m256i		e = _mm256_and_si256(_mm256_srl_epi16(load256(prediction), t->shift), t->mask);

	return _mm256_sub_epi16(scale, _mm256_max_epi16(e, t->least));
}

/* The tables of 32 elements. */
static inline void
plain_contexts(const uint8_t *prediction, const plain_type *t, int scale, const uint8_t *of_context, uint8_t *table)
{
	const __m256i scales = _mm256_set1_epi16((short) scale);
	__m256i		c = _mm256_packus_epi16(plain_context(prediction, t, scales), plain_context(prediction + 32, t, scales));

	c = _mm256_min_epu8(_mm256_permute4x64_epi64(c, 0xD8), _mm256_set1_epi8(FAMILY_CONTEXTS - 1));
	_mm256_storeu_si256((__m256i *) (void *) table, c);
	if (of_context)
		for (int i = 0; i < 2 * PLAIN_STEP; i++)
			table[i] = of_context[table[i]];
}

/* 16 elements of content from their predictions and folded differences. */
static inline void
plain_restore(const uint8_t *prediction, __m256i folded, uint8_t *content)
{
	const __m256i magnitude = _mm256_set1_epi16(0x7fff);
	__m256i		p = load256(prediction);
	__m256i		d = _mm256_xor_si256(_mm256_srli_epi16(folded, 1),
									 _mm256_sub_epi16(_mm256_setzero_si256(),
													  _mm256_and_si256(folded, _mm256_set1_epi16(1))));
	__m256i		m = _mm256_add_epi16(_mm256_and_si256(p, magnitude), d);
	__m256i		x = _mm256_xor_si256(m, _mm256_and_si256(_mm256_srai_epi16(m, 15), magnitude));

	_mm256_storeu_si256((__m256i *) (void *) content, _mm256_xor_si256(x, _mm256_andnot_si256(magnitude, p)));
}

static inline __m256i
plain_tokens(const uint8_t *token)
{
	return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) (const void *) token));
}

#endif

#define WIDTH 8
#include "residual_width.h"
#define WIDTH 16
#include "residual_width.h"
#define WIDTH 32
#include "residual_width.h"
#define WIDTH 64
#include "residual_width.h"

const residual_loops LOOPS[4] = {
	{encode8, contexts8, rebuild8},
	{encode16, contexts16, rebuild16},
	{encode32, contexts32, rebuild32},
	{encode64, contexts64, rebuild64},
};
