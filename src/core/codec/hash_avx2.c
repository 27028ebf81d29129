/*
 * hash_avx2.c: XXH3, compiled for AVX2.
 */
#include "hash.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "avx2_begin.h"

#define XXH_INLINE_ALL
#define XXH_VECTOR 2			/* AVX2, whatever the command line says */
#include <xxhash.h>

uint64_t
sparse_hash_avx2(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}

#include "avx2_end.h"

#endif
