/*
 * floats_avx2.c: the float coder's inner loops, compiled for AVX2.
 *
 * The compiler vectorises them by itself once it may; the headers come first, so
 * that only the loops are compiled for it.
 */
#include "floats.h"

#ifdef SPARSE_HAVE_AVX2

#define LOOPS float_loops_avx2

#ifdef __clang__
#pragma clang attribute push(TARGET_AVX2, apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#include "floats_loops.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
