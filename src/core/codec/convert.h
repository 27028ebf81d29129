/*
 * convert.h: elements of any numeric dtype as reals, and back.
 *
 * Reals are float, or double where 32-bit floats would lose something. Rounding is
 * to the nearest, ties to even; what is too large becomes infinite (F8_E4M3, which
 * has no infinity: the largest number); every NaN becomes the positive quiet one. So bits
 * are the same on all machines.
 */
#ifndef SPARSE_CODEC_CONVERT_H
#define SPARSE_CODEC_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include "dtype.h"

/* Whether elements can be loaded: floats, and integers of up to 32 bits. */
extern bool convert_loads(sparse_dtype dtype);

/* Elements to reals. */
extern void load_floats(sparse_dtype dtype, const uint8_t *from, size_t count, float *to);
extern void load_doubles(sparse_dtype dtype, const uint8_t *from, size_t count, double *to);

/* Reals to elements of a float dtype. */
extern void store_floats(sparse_dtype dtype, const float *from, size_t count, uint8_t *to);
extern void store_doubles(sparse_dtype dtype, const double *from, size_t count, uint8_t *to);

#endif
