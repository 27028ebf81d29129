/*
 * simd.h: which vector instructions this machine has.
 *
 * The codec's inner loops exist portably and, where it pays, for a vector unit
 * that is looked for at run time. All of them read and write the same bytes.
 */
#ifndef SPARSE_CODEC_SIMD_H
#define SPARSE_CODEC_SIMD_H

#include "delta.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SPARSE_HAVE_AVX2 1
#endif

/* For functions, and what is inlined into them, that only run where AVX2 is, or AVX-512 as of Ice Lake and Zen 4. */
#define TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define TARGET_AVX512 \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt")))

#endif
