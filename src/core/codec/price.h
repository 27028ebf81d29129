/*
 * price.h: what tokens cost by a family's shape, laid out to be added up in vectors.
 *
 * A block's scale is chosen among PRICE_TRIES neighbours: one step of the scale is
 * one context for all elements. So the prices of a token in PRICE_TRIES neighbouring
 * contexts lie side by side, and the sum over a block's elements of one vector each
 * is what the block costs at each of those scales.
 *
 * Where low bits become raw from some context on, an octave up is not four contexts
 * further but the same context and a token with one bit less, and an octave down the
 * reverse. Such elements use parts of the row that are continued accordingly: "shifted"
 * those that have no raw bits yet, "deep" those that have.
 */
#ifndef SPARSE_CODEC_PRICE_H
#define SPARSE_CODEC_PRICE_H

#include "family.h"

#define PRICE_TRIES 16			/* scales tried, from PRICE_BEFORE below to 7 above */
#define PRICE_BEFORE 8
#define PRICE_MARGIN 16			/* contexts before the first, and behind the last, that cost as these */
#define PRICE_UNIT 64			/* a bit */
#define PRICE_MOST 2047			/* so that 32 prices fit 16 bits */
#define PRICE_PLAIN (PRICE_MARGIN + FAMILY_CONTEXTS + PRICE_MARGIN)
#define PRICE_SHIFTED (PRICE_MARGIN + FAMILY_TOP + FAMILY_OCTAVE + PRICE_MARGIN)
#define PRICE_DEEP_FIRST (FAMILY_TOP - PRICE_BEFORE)	/* the lowest context in the deep part */
#define PRICE_DEEP 24
#define PRICE_ROW (PRICE_PLAIN + PRICE_SHIFTED + PRICE_DEEP)
#define PRICE_ENTRIES (RANS_SYMBOLS * PRICE_ROW)

/* Fills price[PRICE_ENTRIES] from the tables of a shape. */
extern void price_tokens(const tables *t, uint16_t *price);

/* The price of a token in a context. */
static inline unsigned
price_of(const uint16_t *price, unsigned token, unsigned context)
{
	return price[token * PRICE_ROW + PRICE_MARGIN + context];
}

#endif
