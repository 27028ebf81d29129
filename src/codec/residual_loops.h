/*
 * residual_loops.h: the residual coder's inner loops, for one instruction set.
 *
 * Included by residual_portable.c and residual_avx2.c, which define LOOPS, the
 * name of the table of loops, and LOOPS_AVX2 where its instructions may be used.
 */
#include "residual.h"

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
#ifdef LOOPS_AVX2
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

#ifdef LOOPS_AVX2

/* 32 contexts, and the table of each: two look-ups of 16 bytes, chosen by bit 4. */
static void
block_contexts(const int16_t *exponent, size_t count, int scale,
			   const uint8_t *of_context, uint8_t *context)
{
	const __m256i s = _mm256_set1_epi16((int16_t) scale);
	const __m256i top = _mm256_set1_epi16(TABLES_CONTEXTS - 1);
	const __m128i low = _mm_loadu_si128((const __m128i *) (const void *) of_context);
	const __m128i high = _mm_loadu_si128((const __m128i *) (const void *) (of_context + 16));
	size_t		i = 0;

	for (; i + 16 <= count; i += 16)
	{
		__m256i		e = _mm256_loadu_si256((const __m256i *) (const void *) (exponent + i));
		__m256i		wide = _mm256_sub_epi16(s, _mm256_add_epi16(e, e));
		__m128i		c;

		wide = _mm256_min_epi16(_mm256_max_epi16(wide, _mm256_setzero_si256()), top);
		c = _mm_packus_epi16(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
		c = _mm_blendv_epi8(_mm_shuffle_epi8(low, c), _mm_shuffle_epi8(high, c), _mm_slli_epi16(c, 3));
		_mm_storeu_si128((__m128i *) (void *) (context + i), c);
	}
	for (; i < count; i++)
	{
		int			c = scale - 2 * exponent[i];

		context[i] = of_context[c < 0 ? 0 : c < TABLES_CONTEXTS ? c : TABLES_CONTEXTS - 1];
	}
}

#else

static void
block_contexts(const int16_t *exponent, size_t count, int scale,
			   const uint8_t *of_context, uint8_t *context)
{
	const int16_t s = (int16_t) scale;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		c = (int16_t) (s - 2 * exponent[i]);

		c = c > 0 ? c : 0;
		context[i] = (uint8_t) (c < TABLES_CONTEXTS ? c : TABLES_CONTEXTS - 1);
	}
	for (size_t i = 0; i < count; i++)
		context[i] = of_context[context[i]];
}

#endif

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

const residual_loops LOOPS[4] = {
	{scan8, block_contexts, predict8, rebuild8},
	{scan16, block_contexts, predict16, rebuild16},
	{scan32, block_contexts, predict32, rebuild32},
	{scan64, block_contexts, predict64, rebuild64},
};
