/*
 * rans_avx512.c: the 64 lanes of rANS in four vectors of sixteen.
 *
 * As rans_avx2.c; words are spread over the lanes that need them, and collected
 * from those that give one off, by the expand and compress instructions.
 */
#include "rans.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>

#define VECTORS (RANS_MAX_LANES / 16)
#define INLINE_AVX512 static inline __attribute__((always_inline)) TARGET_AVX512

/* Sixteen bytes as 32-bit numbers. */
INLINE_AVX512 __m512i
widen(const uint8_t *bytes)
{
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) (const void *) bytes));
}

INLINE_AVX512 __m512i
look_up(__m512i state, const rans_slot *slots, const uint8_t *table)
{
	/* state & mask | base */
	__m512i		index = _mm512_ternarylogic_epi32(state, _mm512_set1_epi32(RANS_SLOTS - 1),
												  _mm512_slli_epi32(widen(table), RANS_BITS), 0xEA);

	return _mm512_i32gather_epi32(index, slots, 4);
}

INLINE_AVX512 __m512i
advance(__m512i state, __m512i slot)
{
	__m512i		frequency = _mm512_and_si512(_mm512_srli_epi32(slot, 8), _mm512_set1_epi32(RANS_SLOTS - 1));

	return _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, RANS_BITS)),
							_mm512_srli_epi32(slot, 20));
}

INLINE_AVX512 __m512i
refill(__m512i state, const uint8_t **word)
{
	__mmask16	empty = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(RANS_LOW));
	__m512i		words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) (const void *) *word));

	*word += 2 * _mm_popcnt_u32(empty);
	return _mm512_mask_or_epi32(state, empty, _mm512_slli_epi32(state, 16),
								_mm512_maskz_expand_epi32(empty, words));
}

TARGET_AVX512 void
rans_decode_steps_avx512(rans_decoder *decoder, const rans_slot *slots,
						 const uint8_t *table, size_t steps, uint8_t *symbol)
{
	const uint8_t *word = decoder->word;
	__m512i		state[VECTORS];

	memcpy(state, decoder->state, sizeof(state));
	for (size_t step = 0; step < steps; step++, table += RANS_MAX_LANES, symbol += RANS_MAX_LANES)
	{
		__m512i		slot[VECTORS];

		rans_touch_ahead(decoder, step);
		for (int i = 0; i < VECTORS; i++)
			slot[i] = look_up(state[i], slots, table + 16 * i);
		for (int i = 0; i < VECTORS; i++)
			_mm_storeu_si128((__m128i *) (void *) (symbol + 16 * i), _mm512_cvtepi32_epi8(slot[i]));
		for (int i = 0; i < VECTORS; i++)
			state[i] = refill(advance(state[i], slot[i]), &word);
	}
	memcpy(decoder->state, state, sizeof(state));
	decoder->word = word;
}

/* Lets the lanes whose state is too large for their symbol give off a word. */
INLINE_AVX512 __m512i
shed(__m512i state, __m512i frequency, uint8_t **word)
{
	__mmask16	full = _mm512_cmpge_epu32_mask(_mm512_srli_epi32(state, 32 - RANS_BITS), frequency);
	__m256i		words = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, state));
	unsigned	count = _mm_popcnt_u32(full);
	const __m256i order = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	/* to the upper end of the vector: what is stored before belongs to nobody yet */
	words = _mm256_permutexvar_epi16(_mm256_add_epi16(order, _mm256_set1_epi16((int16_t) count)), words);
	_mm256_storeu_si256((__m256i *) (void *) (*word - 32), words);
	*word -= 2 * count;
	return _mm512_mask_srli_epi32(state, full, state, 16);
}

/* A step of sixteen lanes. state < frequency << 21: the quotient is below 2^21, a float errs by less than 1. */
INLINE_AVX512 __m512i
absorb(__m512i state, __m512i frequency, __m512i start)
{
	__m512		x = _mm512_cvtepu32_ps(state);
	__m512i		q = _mm512_cvttps_epi32(_mm512_div_ps(x, _mm512_cvtepi32_ps(frequency)));
	__m512i		r = _mm512_sub_epi32(state, _mm512_mullo_epi32(q, frequency));
	__mmask16	less = _mm512_movepi32_mask(r);
	__mmask16	more = _mm512_cmpge_epi32_mask(r, frequency);
	const __m512i one = _mm512_set1_epi32(1);

	q = _mm512_mask_sub_epi32(q, less, q, one);
	q = _mm512_mask_add_epi32(q, more, q, one);
	r = _mm512_mask_add_epi32(r, less, r, frequency);
	r = _mm512_mask_sub_epi32(r, more, r, frequency);
	return _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(q, RANS_BITS), r), start);
}

INLINE_AVX512 __m512i
encode_sixteen(__m512i state, const rans_packed *packed, const uint8_t *symbol, const uint8_t *table, uint8_t **word)
{
	__m512i		index = _mm512_or_si512(_mm512_slli_epi32(widen(table), 8), widen(symbol));
	__m512i		entry = _mm512_i32gather_epi32(index, packed, 4);
	__m512i		frequency = _mm512_and_si512(entry, _mm512_set1_epi32(0xffff));

	state = shed(state, frequency, word);
	return absorb(state, frequency, _mm512_srli_epi32(entry, 16));
}

TARGET_AVX512 uint8_t *
rans_encode_steps_avx512(uint32_t *lanes, const rans_packed *packed, const uint8_t *symbol,
						 const uint8_t *table, size_t count, uint8_t *word)
{
	__m512i		state[VECTORS];

	memcpy(state, lanes, sizeof(state));
	while (count > 0)
	{
		count -= RANS_MAX_LANES;
		for (int i = VECTORS - 1; i >= 0; i--)
			state[i] = encode_sixteen(state[i], packed, symbol + count + 16 * i, table + count + 16 * i, &word);
	}
	memcpy(lanes, state, sizeof(state));
	return word;
}

#endif
