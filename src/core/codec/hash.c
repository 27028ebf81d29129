/*
 * hash.c: XXH3, compiled for any machine, and the choice.
 */
#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t
sparse_hash(const void *bytes, size_t length, sparse_simd simd)
{
#ifdef SPARSE_HAVE_AVX2
	if (simd >= SPARSE_SIMD_AVX512)
		return sparse_hash_avx512(bytes, length);
	if (simd >= SPARSE_SIMD_AVX2)
		return sparse_hash_avx2(bytes, length);
#endif
	(void) simd;
	return XXH3_64bits(bytes, length);
}
