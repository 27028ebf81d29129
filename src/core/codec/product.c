/*
 * product.c: see product.h.
 */
#include "product.h"

#include <string.h>

void
product_row(sparse_simd simd, const int16_t *left, const int16_t *right, unsigned pairs, size_t count, int32_t *sum)
{
	size_t		done = 0;

#ifdef SPARSE_HAVE_AVX2
	if (simd >= SPARSE_SIMD_AVX2)
		done = product_row_avx2(left, right, pairs, count, sum);
#endif
	(void) simd;
	memset(sum + done, 0, (count - done) * sizeof(*sum));
	for (unsigned k = 0; k < pairs; k++)
	{
		const int32_t a = left[2 * k];
		const int32_t b = left[2 * k + 1];
		const int16_t *r = right + (size_t) k * PRODUCT_STRETCH * 2;

		for (size_t j = done; j < count; j++)
			sum[j] += a * r[2 * j] + b * r[2 * j + 1];
	}
}
