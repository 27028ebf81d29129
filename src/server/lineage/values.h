/*
 * values.h: elements of tensors as numbers, and how far two runs of them lie apart.
 */
#ifndef SPARSE_LINEAGE_VALUES_H
#define SPARSE_LINEAGE_VALUES_H

#include "postgres.h"

#include "codec/dtype.h"

/*
 * What is known of two runs of elements a and b, of what was added so far. Elements
 * of which one is infinite or NaN are counted, and left out of all sums and maxima.
 */
typedef struct Distance
{
	uint64		elements;
	uint64		changed;		/* other bits, or where the dtypes differ, another value */
	uint64		not_finite;
	double		largest;		/* of |b - a| */
	double		largest_relative;	/* of |b - a| / |a|, where a is not 0 */
	bool		divisible;		/* there was such an element */
	double		squares;		/* sum of (b - a)^2 */
	double		squares_a;
	double		squares_b;
	double		product;		/* sum of a * b */
} Distance;

/* False for content whose elements are no numbers that this version knows. */
extern bool values_known(sparse_dtype dtype);

/* Adds `count` elements. */
extern void distance_add(Distance *distance, sparse_dtype dtype_a, const char *a,
						 sparse_dtype dtype_b, const char *b, size_t count);

/* Square root of the sum of squares; -1 to 1, false where one of the two is zero, or squares pass the doubles. */
extern double distance_l2(const Distance *distance);
extern bool distance_cosine(const Distance *distance, double *cosine);

#endif
