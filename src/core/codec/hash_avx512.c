/*
 * hash_avx512.c: XXH3, compiled for AVX-512.
 */
#include "hash.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "avx512_begin.h"

#define XXH_INLINE_ALL
#define XXH_VECTOR 3			/* AVX-512, whatever the command line says */
#include <xxhash.h>

uint64_t
sparse_hash_avx512(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}

#include "avx512_end.h"

#endif
