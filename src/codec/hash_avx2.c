/*
 * hash_avx2.c: XXH3, compiled for AVX2.
 */
#include "hash.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(TARGET_AVX2, apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#define XXH_INLINE_ALL
#define XXH_VECTOR 2			/* AVX2, whatever the command line says */
#include <xxhash.h>

uint64_t
sparse_hash_avx2(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
