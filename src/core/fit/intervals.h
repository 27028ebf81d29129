/*
 * intervals.h: what a rounded number says of the number that was rounded.
 *
 * A child's element is known to lie within half a unit in the last place. Where a model of the change says where in there it is to be
 * expected, and how surely, the best guess is the mean of a normal distribution between those bounds.
 */
#ifndef SPARSE_FIT_INTERVALS_H
#define SPARSE_FIT_INTERVALS_H

#include <stdint.h>

#include "codec/dtype.h"

#define INTERVAL_WIDTHS 24		/* octaves of width that have a table; below lies the middle, above the expectation */
#define INTERVAL_PLACES 257
#define INTERVAL_REACH 8.0f		/* deviations to either side that the tables cover */

typedef struct intervals
{
	int			mantissa_bits;	/* of the dtype that children were rounded to */
	int			least_exponent; /* of its normal numbers */
	int			lowest;			/* exponent of half a unit in the last place of the first table */
	float		deviation;
	float		guess[INTERVAL_WIDTHS][INTERVAL_PLACES];	/* less the expectation, in deviations */
	float		square[INTERVAL_WIDTHS][INTERVAL_PLACES];	/* the mean square of that */
} intervals;

/* Half a unit in the last place of a number. */
extern float interval_half(const intervals *t, float child);

/* Fills in the tables for what differs from the model by that deviation, above 0. */
extern void intervals_set(intervals *t, sparse_dtype dtype, float deviation);

/*
 * Puts guesses of the changes that `count` children had before they were rounded in place of them, given parents and
 * what the model says of the changes; the sum of the mean squares of what the model misses.
 */
extern double intervals_guess(const intervals *t, float *child, const float *parent, const float *model, uint64_t count);

#endif
