/*
 * dense_avx2.c: the loops of dense.h, compiled for AVX2.
 */
#include "dense.h"

#ifdef SPARSE_HAVE_AVX2

#include <string.h>

#define LOOPS dense_loops_avx2
#define PART_LANES 8

#include "codec/avx2_begin.h"

#include "dense_loops.h"

#include "codec/avx2_end.h"

#endif
