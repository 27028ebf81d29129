/*
 * lowrank.h: two thin matrices whose product is what a child changed of its parent.
 *
 * For a merged adapter, when the adapter is not at hand. Pure C, for the encoder only: what it finds is
 * written down as integers, and evaluated by the codec (codec/formula.h). Both callbacks get the state given.
 */
#ifndef SPARSE_FIT_LOWRANK_H
#define SPARSE_FIT_LOWRANK_H

#include <stdint.h>

#include "codec/formula.h"
#include "codec/memory.h"
#include "codec/status.h"
#include "fit/eigen.h"

#define FIT_MAX_RANK 64

/* Gives rows [first, first + rows) of child and parent, row by row. May not return (an error of the caller's). */
typedef void (*fit_read) (void *state, uint64_t first, uint64_t rows, float *child, float *parent);

typedef struct fit_lowrank
{
	unsigned	rank;			/* 0: the change has no low rank, or coding it so gains nothing */
	int16_t    *left;			/* rows x rank */
	int16_t    *right;			/* rank x columns */
	int8_t		exponent[FIT_MAX_RANK]; /* of each component */
} fit_lowrank;

/*
 * Looks for them. dtype is the child's: its values were rounded to it. First a
 * sample is looked at, which turns away nearly all that has no low rank. SPARSE_NO_MEMORY
 * is the only error. The result is released by fit_lowrank_free.
 */
extern sparse_status fit_lowrank_find(const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
									  uint64_t rows, uint64_t columns, sparse_dtype dtype, fit_lowrank *fit);

extern void fit_lowrank_free(const sparse_allocator *allocator, fit_lowrank *fit);

#endif
