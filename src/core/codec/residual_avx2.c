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

#include "avx2_begin.h"

#include "residual_loops.h"

#include "avx2_end.h"

#endif
