/*
 * dense.h: the inner loops over thin matrices, for the instruction set at hand.
 *
 * Sums are kept in sixteen parts whatever vectors there are, and nothing is fused: so what is found is
 * the same on every machine, and tests can say how large it is.
 */
#ifndef SPARSE_FIT_DENSE_H
#define SPARSE_FIT_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "codec/simd.h"

#define DENSE_ROWS 4			/* that are worked on together */

typedef struct dense_loops
{
	float		(*dot) (const float *a, const float *b, size_t count);

	/* product[i] = row i of `rows` (each of count floats, one behind the other) times x; DENSE_ROWS of them */
	void		(*dots) (const float *rows, const float *x, size_t count, float *product);

	/* to += factor x from */
	void		(*add) (float *to, const float *from, float factor, size_t count);

	/* to += the sum of factor[i] x row i, for DENSE_ROWS rows that lie `stride` floats apart */
	void		(*adds) (float *to, const float *rows, size_t stride, const float *factor, size_t count);
} dense_loops;

extern const dense_loops dense_loops_portable;
extern const dense_loops dense_loops_avx2;
extern const dense_loops dense_loops_avx512;

/* Those of an instruction set that this machine has. */
extern const dense_loops *dense_loops_of(sparse_simd level);

#endif
