/*
 * rans_avx2.c: the 64 lanes of rANS in eight vectors of eight.
 *
 * A decoder's step gathers 64 slots, multiplies, and refills the states that fell below
 * RANS_LOW: the next words of the stream are spread over those lanes by a
 * permutation looked up by their mask. The vectors depend on each other only by
 * the count of the words that those before them took. The encoder does the same
 * backwards; it divides in floating point and mends the quotient, which is off by
 * one at the most.
 */
#include "rans.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>

/*
 * For each mask of lanes that need a word: which of the next words each lane
 * takes, a byte a lane (lanes that need none may take any).
 */
static const uint64_t spread[256] = {
#define TAKES(mask, lane) ((uint64_t) __builtin_popcount((mask) & ((1u << (lane)) - 1)) << (8 * (lane)))
#define ROW(mask) \
	(TAKES(mask, 0) | TAKES(mask, 1) | TAKES(mask, 2) | TAKES(mask, 3) \
	 | TAKES(mask, 4) | TAKES(mask, 5) | TAKES(mask, 6) | TAKES(mask, 7))
#define ROWS4(mask) ROW(mask), ROW((mask) + 1), ROW((mask) + 2), ROW((mask) + 3)
#define ROWS16(mask) ROWS4(mask), ROWS4((mask) + 4), ROWS4((mask) + 8), ROWS4((mask) + 12)
#define ROWS64(mask) ROWS16(mask), ROWS16((mask) + 16), ROWS16((mask) + 32), ROWS16((mask) + 48)
	ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)
};

#define INLINE_AVX2 static inline __attribute__((always_inline)) TARGET_AVX2

/* The slots of eight lanes. */
INLINE_AVX2 __m256i
look_up(__m256i state, const rans_slot *slots, const uint8_t *table)
{
	__m256i		base = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (const void *) table));
	__m256i		index = _mm256_or_si256(_mm256_slli_epi32(base, RANS_BITS),
										_mm256_and_si256(state, _mm256_set1_epi32(RANS_SLOTS - 1)));

	return _mm256_i32gather_epi32((const int *) (const void *) slots, index, 4);
}

INLINE_AVX2 __m256i
advance(__m256i state, __m256i slot)
{
	__m256i		frequency = _mm256_and_si256(_mm256_srli_epi32(slot, 8), _mm256_set1_epi32(RANS_SLOTS - 1));

	return _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(state, RANS_BITS)),
							_mm256_srli_epi32(slot, 20));
}

/* Refills the lanes that need it; *word moves on by what they took. */
INLINE_AVX2 __m256i
refill(__m256i state, const uint8_t **word)
{
	__m256i		empty = _mm256_cmpeq_epi32(_mm256_srli_epi32(state, 16), _mm256_setzero_si256());
	unsigned	mask = (unsigned) _mm256_movemask_ps(_mm256_castsi256_ps(empty));
	__m256i		words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) (const void *) *word));
	__m256i		order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long) spread[mask]));
	__m256i		full = _mm256_or_si256(_mm256_slli_epi32(state, 16),
									   _mm256_permutevar8x32_epi32(words, order));

	*word += 2 * _mm_popcnt_u32(mask);
	return _mm256_blendv_epi8(state, full, empty);
}

/* The symbols of four vectors of slots, in order. */
INLINE_AVX2 void
put_symbols(__m256i a, __m256i b, __m256i c, __m256i d, uint8_t *symbol)
{
	const __m256i low_byte = _mm256_set1_epi32(255);
	const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i		ab = _mm256_packus_epi32(_mm256_and_si256(a, low_byte), _mm256_and_si256(b, low_byte));
	__m256i		cd = _mm256_packus_epi32(_mm256_and_si256(c, low_byte), _mm256_and_si256(d, low_byte));

	_mm256_storeu_si256((__m256i *) (void *) symbol,
						_mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), in_order));
}

/* A step of 32 lanes in four vectors. */
INLINE_AVX2 void
decode_half(__m256i *state, const rans_slot *slots, const uint8_t *table, uint8_t *symbol, const uint8_t **word)
{
	__m256i		a = look_up(state[0], slots, table);
	__m256i		b = look_up(state[1], slots, table + 8);
	__m256i		c = look_up(state[2], slots, table + 16);
	__m256i		d = look_up(state[3], slots, table + 24);

	put_symbols(a, b, c, d, symbol);
	state[0] = refill(advance(state[0], a), word);
	state[1] = refill(advance(state[1], b), word);
	state[2] = refill(advance(state[2], c), word);
	state[3] = refill(advance(state[3], d), word);
}

TARGET_AVX2 void
rans_decode_steps_avx2(rans_decoder *decoder, const rans_slot *slots,
					   const uint8_t *table, size_t steps, uint8_t *symbol)
{
	const uint8_t *word = decoder->word;
	__m256i		state[RANS_MAX_LANES / 8];

	memcpy(state, decoder->state, sizeof(state));
	for (size_t step = 0; step < steps; step++, table += RANS_MAX_LANES, symbol += RANS_MAX_LANES)
	{
		rans_touch_ahead(decoder, step);
		decode_half(state, slots, table, symbol, &word);
		decode_half(state + 4, slots, table + 32, symbol + 32, &word);
	}
	memcpy(decoder->state, state, sizeof(state));
	decoder->word = word;
}

/* For each mask of lanes that give off a word: the lanes of the mask, in order, at the upper end. */
static const uint64_t gathered[256] = {
#define NTH(mask, n) /* the n-th lane of the mask, counted from 1 */ \
	(RANK(mask, 0, n) + RANK(mask, 1, n) + RANK(mask, 2, n) + RANK(mask, 3, n) \
	 + RANK(mask, 4, n) + RANK(mask, 5, n) + RANK(mask, 6, n) + RANK(mask, 7, n))
#define RANK(mask, lane, n) \
	((((mask) >> (lane)) & 1) && __builtin_popcount((mask) & ((2u << (lane)) - 1)) == (n) ? (uint64_t) (lane) : 0)
#define PLACE(mask, at) (NTH(mask, (at) - 7 + __builtin_popcount(mask)) << (8 * (at)))
#undef ROW
#define ROW(mask) \
	(PLACE(mask, 0) | PLACE(mask, 1) | PLACE(mask, 2) | PLACE(mask, 3) \
	 | PLACE(mask, 4) | PLACE(mask, 5) | PLACE(mask, 6) | PLACE(mask, 7))
	ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)
};

/* The packed symbols of eight lanes. */
INLINE_AVX2 __m256i
pick(const rans_packed *packed, const uint8_t *symbol, const uint8_t *table)
{
	__m256i		s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (const void *) symbol));
	__m256i		t = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (const void *) table));

	return _mm256_i32gather_epi32((const int *) (const void *) packed,
								  _mm256_or_si256(_mm256_slli_epi32(t, 8), s), 4);
}

/* Lets the lanes whose state is too large for their symbol give off a word. */
INLINE_AVX2 __m256i
shed(__m256i state, __m256i frequency, uint8_t **word)
{
	__m256i		high = _mm256_srli_epi32(state, 32 - RANS_BITS);
	__m256i		full = _mm256_cmpgt_epi32(high, _mm256_sub_epi32(frequency, _mm256_set1_epi32(1)));
	unsigned	mask = (unsigned) _mm256_movemask_ps(_mm256_castsi256_ps(full));
	__m256i		order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long) gathered[mask]));
	__m256i		low = _mm256_permutevar8x32_epi32(_mm256_and_si256(state, _mm256_set1_epi32(0xffff)), order);
	__m256i		words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);

	_mm_storeu_si128((__m128i *) (void *) (*word - 16), _mm256_castsi256_si128(words));
	*word -= 2 * _mm_popcnt_u32(mask);
	return _mm256_blendv_epi8(state, _mm256_srli_epi32(state, 16), full);
}

/* A step of eight lanes. state < frequency << 21: the quotient is below 2^21, a float errs by less than 1. */
INLINE_AVX2 __m256i
absorb(__m256i state, __m256i frequency, __m256i start)
{
	__m256		high = _mm256_cvtepi32_ps(_mm256_srli_epi32(state, 16));
	__m256		low = _mm256_cvtepi32_ps(_mm256_and_si256(state, _mm256_set1_epi32(0xffff)));
	__m256		x = _mm256_add_ps(_mm256_mul_ps(high, _mm256_set1_ps(65536.0f)), low);
	__m256i		q = _mm256_cvttps_epi32(_mm256_div_ps(x, _mm256_cvtepi32_ps(frequency)));
	__m256i		r = _mm256_sub_epi32(state, _mm256_mullo_epi32(q, frequency));
	__m256i		less = _mm256_cmpgt_epi32(_mm256_setzero_si256(), r);
	__m256i		more = _mm256_cmpgt_epi32(r, _mm256_sub_epi32(frequency, _mm256_set1_epi32(1)));

	/* a mask is -1: adding it subtracts one */
	q = _mm256_sub_epi32(_mm256_add_epi32(q, less), more);
	r = _mm256_add_epi32(r, _mm256_and_si256(less, frequency));
	r = _mm256_sub_epi32(r, _mm256_and_si256(more, frequency));
	return _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(q, RANS_BITS), r), start);
}

INLINE_AVX2 __m256i
encode_eight(__m256i state, const rans_packed *packed, const uint8_t *symbol, const uint8_t *table, uint8_t **word)
{
	__m256i		entry = pick(packed, symbol, table);
	__m256i		frequency = _mm256_and_si256(entry, _mm256_set1_epi32(0xffff));

	state = shed(state, frequency, word);
	return absorb(state, frequency, _mm256_srli_epi32(entry, 16));
}

TARGET_AVX2 uint8_t *
rans_encode_steps_avx2(uint32_t *lanes, const rans_packed *packed, const uint8_t *symbol,
					   const uint8_t *table, size_t count, uint8_t *word)
{
	__m256i		state[RANS_MAX_LANES / 8];

	memcpy(state, lanes, sizeof(state));
	while (count > 0)
	{
		count -= RANS_MAX_LANES;
		for (int i = RANS_MAX_LANES / 8 - 1; i >= 0; i--)
			state[i] = encode_eight(state[i], packed, symbol + count + 8 * i, table + count + 8 * i, &word);
	}
	memcpy(lanes, state, sizeof(state));
	return word;
}

#endif
