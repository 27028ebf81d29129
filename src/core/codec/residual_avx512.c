/*
 * residual_avx512.c: the residual coder's inner loops, compiled for AVX-512.
 *
 * Most of them the compiler vectorises by itself once it may; the headers come
 * first, so that only the loops are compiled for it.
 */
#include "residual.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>

#define LOOPS residual_loops_avx512
#define LOOPS_AVX512 1

#include "avx512_begin.h"

#include "residual_loops.h"

#include "avx512_end.h"

#endif
