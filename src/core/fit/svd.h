/*
 * svd.h: the largest singular values of a change, and its best product of two thin matrices.
 *
 * For approximations, where what is left over is given up: unlike lowrank.h this asks for no gap between the
 * singular values. Pure C, for the encoder only: what it finds is written down as integers, and evaluated
 * by the codec (codec/formula.h).
 */
#ifndef SPARSE_FIT_SVD_H
#define SPARSE_FIT_SVD_H

#include "fit/lowrank.h"

#define FIT_SVD_MAX_RANK SPARSE_MAX_RANK

typedef struct fit_svd
{
	unsigned	rank;			/* 0: there is no change */
	double		squares;		/* of the whole change: the sum of its elements' squares */
	double		left_over;		/* what the factors leave of it, before they are rounded */
	int16_t    *left;			/* rows x rank */
	int16_t    *right;			/* rank x columns */
	int8_t		exponent[FIT_SVD_MAX_RANK]; /* of each component */
} fit_svd;

/* Bytes of memory that fit_svd_find takes, but for the blocks that it reads. */
extern double fit_svd_memory(uint64_t rows, uint64_t columns, unsigned rank);

/*
 * Finds up to `rank` components, and keeps as few of them as leave at most `enough` of the sum of squares (0: all). All
 * that is read must be finite. SPARSE_NO_MEMORY is the only error. The result is released by fit_svd_free.
 */
extern sparse_status fit_svd_find(const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
								  uint64_t rows, uint64_t columns, unsigned rank, double enough, fit_svd *fit);

extern void fit_svd_free(const sparse_allocator *allocator, fit_svd *fit);

#endif
