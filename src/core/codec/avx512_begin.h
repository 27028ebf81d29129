/*
 * avx512_begin.h: what follows, until avx512_end.h, is compiled for AVX-512.
 *
 * As avx2_begin.h; the compiler would otherwise keep to half the width.
 */
#ifdef __clang__
#pragma clang attribute push(TARGET_AVX512, apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt,prefer-vector-width=512")
#endif
