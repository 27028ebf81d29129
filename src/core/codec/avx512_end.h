/*
 * avx512_end.h: the end of what avx512_begin.h began.
 */
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
