/*
 * avx2_begin.h: what follows, until avx2_end.h, is compiled for AVX2.
 *
 * To be included after all other headers, so that nothing of theirs is; and only
 * where SPARSE_HAVE_AVX2 is defined. Meant to be included more than once.
 */
#ifdef __clang__
#pragma clang attribute push(TARGET_AVX2, apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif
