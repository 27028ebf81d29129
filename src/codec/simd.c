/*
 * simd.c: looks for vector instructions at run time.
 */
#include "simd.h"

sparse_simd
sparse_simd_best(void)
{
#ifdef SPARSE_HAVE_AVX2
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
		&& __builtin_cpu_supports("popcnt"))
		return SPARSE_SIMD_AVX2;
#endif
	return SPARSE_SIMD_NONE;
}

const char *
sparse_simd_name(sparse_simd level)
{
	return level == SPARSE_SIMD_AVX2 ? "avx2" : "portable";
}
