/*
 * dense_avx512.c: the loops of dense.h, compiled for AVX-512.
 */
#include "dense.h"

#ifdef SPARSE_HAVE_AVX2

#include <string.h>

#define LOOPS dense_loops_avx512
#define PART_LANES 16

#include "codec/avx512_begin.h"

#include "dense_loops.h"

#include "codec/avx512_end.h"

#endif
