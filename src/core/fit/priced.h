/*
 * priced.h: a product of two thin matrices that saves more bytes than it takes.
 *
 * Unlike lowrank.h this asks for no low rank: what a fine-tune changed is predictable across elements, more by every component,
 * and every component has a price. Pure C, for the encoder only.
 */
#ifndef SPARSE_FIT_PRICED_H
#define SPARSE_FIT_PRICED_H

#include "codec/delta.h"
#include "fit/lowrank.h"

typedef struct fit_priced
{
	unsigned	rank;			/* 0: nothing is gained */
	int8_t	   *left;			/* rank x rows */
	int8_t	   *right;			/* rank x columns */
	uint8_t		shift[FIT_MAX_RANK];	/* of each component: as formulas of sums want them */
	int			power;
	double		expected;		/* bytes that content and factors are expected to take, */
	double		alone;			/* and the content by its parent alone */
} fit_priced;

/*
 * Looks for the rank, at most `most`, at which residual and factors together take the fewest bytes, and for the factors; rank
 * 0 where none pays. dtype is the child's, a float of at most four bytes; the parent's values are what the content is predicted from.
 * `codec` codes samples; thorough: more of them, and what rounding hides is looked for. fit->expected and fit->alone say what is expected. SPARSE_NO_MEMORY is the only error. The result is released by
 * fit_priced_free.
 */
extern sparse_status fit_priced_find(sparse_codec *codec, const sparse_allocator *allocator, fit_read read, fit_pause pause,
									 void *state, uint64_t rows, uint64_t columns, sparse_dtype dtype, unsigned most,
									 bool thorough, fit_priced *fit);

extern void fit_priced_free(const sparse_allocator *allocator, fit_priced *fit);

#endif
