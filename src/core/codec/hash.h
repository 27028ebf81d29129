/*
 * hash.h: XXH3 of content and predictions, as fast as the machine allows.
 *
 * xxHash picks its vector code at compile time; so it is compiled several times.
 */
#ifndef SPARSE_CODEC_HASH_H
#define SPARSE_CODEC_HASH_H

#include "simd.h"

/* XXH3, 64 bits, seed 0. */
extern uint64_t sparse_hash(const void *bytes, size_t length, sparse_simd simd);

extern uint64_t sparse_hash_avx2(const void *bytes, size_t length);
extern uint64_t sparse_hash_avx512(const void *bytes, size_t length);

#endif
