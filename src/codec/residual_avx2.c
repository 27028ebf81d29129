/*
 * residual_avx2.c: the residual coder's inner loops, compiled for AVX2.
 *
 * Most of them the compiler vectorises by itself once it may; the headers come
 * first, so that only the loops are compiled for it.
 */
#include "residual.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>

#define LOOPS residual_loops_avx2
#define LOOPS_AVX2 1

#ifdef __clang__
#pragma clang attribute push(TARGET_AVX2, apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#include "residual_loops.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
