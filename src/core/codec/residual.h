/*
 * residual.h: what the residual coder's inner loops share with the coder.
 *
 * The loops (residual_loops.h) are compiled once portably and once for each vector
 * unit; residual.c picks a set by the codec's level.
 */
#ifndef SPARSE_CODEC_RESIDUAL_H
#define SPARSE_CODEC_RESIDUAL_H

#include "bits.h"
#include "codec.h"
#include "price.h"

/* What the width's loops must know of a dtype. */
typedef struct shape
{
	unsigned	element_bytes;
	unsigned	mantissa_bits;
	bool		floats;
	uint32_t	exponent_mask;	/* 0: no exponent is looked at */
	int			most_shift;		/* low bits that may be raw */
} shape;

/*
 * What the encoder knows of the tables that will code the tokens: the prices of
 * tokens, and, when tables are fixed, which tokens they have.
 */
typedef struct price_list
{
	const uint16_t *price;		/* see price.h */
	const uint8_t *most_token;	/* of each context; NULL: every token can be coded */
	int			lowest;			/* of the scales that may be chosen */
	int			highest;
} price_list;

#define SCALES 255				/* that stored ones can tell apart */
#define MOST_SCALE (9000 + 3 * PRICE_TRIES)	/* that is ever chosen: see within_contexts */

#define UNCHANGED INT16_MIN		/* the scale of a block that equals its prediction */

/* The elements of the block that begins at `at`. */
static inline size_t
block_count(size_t elements, size_t at)
{
	return elements - at < BLOCK ? elements - at : BLOCK;
}

/*
 * A scale that gives the same contexts and that 16 bits can hold: beyond these
 * bounds every exponent, at most 2047, gives the lowest or the highest.
 */
static inline int
within_contexts(int scale)
{
	return scale < 0 ? 0 : scale > 9000 ? 9000 : scale;
}

/* The nearest scale that may be chosen. */
static inline int
within_limits(int scale, const price_list *prices)
{
	return scale < prices->lowest ? prices->lowest : scale > prices->highest ? prices->highest : scale;
}

/* Blocks that are decoded together: so that the rANS lanes stay full, the loops' overhead small, and all stays in L1. */
#define BATCH 16

typedef struct batch
{
	unsigned	blocks;
	size_t		at[BATCH];		/* first element of each */
	int			scale[BATCH];
	size_t		elements;		/* of all; only the last block of the content may be short */
	uint8_t		table[BATCH * BLOCK];
	uint8_t		token[BATCH * BLOCK];
} batch;

/* The loops of one element width. */
typedef struct residual_loops
{
	/*
	 * Encodes the block at element `at`: its scale, or UNCHANGED; in the latter case
	 * nothing else, otherwise a token and a context an element, and raw bits. *last is
	 * the scale of the block before (UNCHANGED: none), and becomes this one's.
	 */
	int			(*encode) (const void *content, const void *prediction, size_t at, size_t count, const shape *s,
						   const price_list *prices, int last, uint8_t *token, uint8_t *context, bit_writer *raw);

	/* the tables of a batch's elements, given its blocks; of_context NULL: contexts are tables */
	void		(*contexts) (const void *prediction, const shape *s, const uint8_t *of_context, batch *k);

	/* content of a batch from its prediction and tokens; false when they are out of range */
	bool		(*rebuild) (const void *prediction, const shape *s, const batch *k, bit_reader *raw, void *content);
} residual_loops;

/* For elements of 1, 2, 4 and 8 bytes. */
extern const residual_loops residual_loops_portable[4];
extern const residual_loops residual_loops_avx2[4];
extern const residual_loops residual_loops_avx512[4];

#endif
