/*
 * dense.c: the loops of dense.h portably, and the choice among them.
 */
#include "dense.h"

#define LOOPS dense_loops_portable
#define PART_LANES 4
#include "dense_loops.h"

const dense_loops *
dense_loops_of(sparse_simd level)
{
#ifdef SPARSE_HAVE_AVX2
	if (level >= SPARSE_SIMD_AVX512)
		return &dense_loops_avx512;
	if (level >= SPARSE_SIMD_AVX2)
		return &dense_loops_avx2;
#endif
	(void) level;
	return &dense_loops_portable;
}
