/*
 * fraction.h: what a computed prediction says beyond the element it is rounded to.
 *
 * A prediction that lies just below the middle between two elements is missed upwards nearly as often as not, and hardly ever
 * downwards. So a prediction that was computed keeps how far it lies from the element it was rounded to: the level, in sixteenths
 * of the distance between two elements, and the side. Differences are counted towards that side (the content is mirrored in its
 * prediction where that is below), and the level is a second context.
 */
#ifndef SPARSE_CODEC_FRACTION_H
#define SPARSE_CODEC_FRACTION_H

#include "tables.h"

#define FRACTION_LEVELS 8
#define FRACTION_BELOW 8		/* added to the level: the prediction lies nearer to zero than the element */

#define FRACTION_CONTEXTS 48	/* below, two and two contexts have tables for each level; from there on, the shape's own serve */
#define FRACTION_TABLES (FRACTION_CONTEXTS / 2 * FRACTION_LEVELS)
#define FRACTION_ALL_TABLES (FRACTION_TABLES + TABLES_CONTEXTS - FRACTION_CONTEXTS)

_Static_assert(FRACTION_ALL_TABLES <= 256, "a byte says which table");

/* The table of an element in a context, with a fraction. */
static inline uint8_t
fraction_table(uint8_t context, uint8_t fraction)
{
	return (uint8_t) (context < FRACTION_CONTEXTS ? context / 2 * FRACTION_LEVELS + fraction % FRACTION_LEVELS
					  : FRACTION_TABLES + context - FRACTION_CONTEXTS);
}

/* The RANS_SYMBOLS frequencies of a table below FRACTION_TABLES. */
extern void fraction_frequencies(unsigned table, uint16_t *frequency);

/*
 * Mirrors those of `count` elements whose prediction lies below, floats of `bytes` bytes, 2 or 4: the difference changes its sign. Twice is not at all.
 */
extern void fraction_mirror(const void *content, const void *prediction, const uint8_t *fraction, size_t count, unsigned bytes,
							void *mirrored);

#endif
