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
	{
		if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
			&& __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
			&& __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2"))
			return SPARSE_SIMD_AVX512;
		return SPARSE_SIMD_AVX2;
	}
#endif
	return SPARSE_SIMD_NONE;
}

const char *
sparse_simd_name(sparse_simd level)
{
	static const char *const names[SPARSE_SIMD_LEVELS] = {"portable", "avx2", "avx512"};

	return names[level];
}
