/*
 * floats_avx2.c: the float coder's inner loops, compiled for AVX2.
 *
 * The compiler vectorises them by itself once it may; the headers come first, so
 * that only the loops are compiled for it.
 */
#include "floats.h"

#ifdef SPARSE_HAVE_AVX2

#include <immintrin.h>

#define LOOPS float_loops_avx2
#define LOOPS_BMI2 1

#include "avx2_begin.h"

#include "floats_loops.h"

#include "avx2_end.h"

#endif
