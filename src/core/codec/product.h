/*
 * product.h: products of two thin matrices of small integers.
 */
#ifndef SPARSE_CODEC_PRODUCT_H
#define SPARSE_CODEC_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

#include "simd.h"

#define PRODUCT_STRETCH 512		/* columns that are worked on at a time */

/*
 * sum[j] = the sum over `pairs` pairs of components of left x right, for j below `count`, at most PRODUCT_STRETCH. The two numbers
 * of a pair lie side by side: left[2 k], left[2 k + 1], and right[(k x PRODUCT_STRETCH + j) x 2] and the next. The sums must fit 32 bits.
 */
extern void product_row(sparse_simd simd, const int16_t *left, const int16_t *right, unsigned pairs, size_t count, int32_t *sum);

/* The same for columns [0, count less what is left over of 32); how many that is (product_avx2.c). */
extern size_t product_row_avx2(const int16_t *left, const int16_t *right, unsigned pairs, size_t count, int32_t *sum);

#endif
