/*
 * product_avx2.c: rows of products, by instructions that multiply and add pairs.
 */
#include "product.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>
#include <string.h>

#define COLUMNS 32				/* whose sums stay in registers */

TARGET_AVX2 size_t
product_row_avx2(const int16_t *left, const int16_t *right, unsigned pairs, size_t count, int32_t *sum)
{
	size_t		at = 0;

	for (; at + COLUMNS <= count; at += COLUMNS)
	{
		__m256i		s[COLUMNS / 8] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};

		for (unsigned k = 0; k < pairs; k++)
		{
			const int16_t *r = right + ((size_t) k * PRODUCT_STRETCH + at) * 2;
			int32_t		both;

			memcpy(&both, left + 2 * k, sizeof(both));
			for (int i = 0; i < COLUMNS / 8; i++)
				s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *) (const void *) (r + 16 * i)),
																_mm256_set1_epi32(both)));
		}
		for (int i = 0; i < COLUMNS / 8; i++)
			_mm256_storeu_si256((__m256i *) (void *) (sum + at + 8 * i), s[i]);
	}
	return at;
}

#endif
