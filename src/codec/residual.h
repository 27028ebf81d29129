/*
 * residual.h: what the residual coder's inner loops share with the coder.
 *
 * The loops (residual_loops.h) are compiled once portably and once for each
 * vector unit; residual.c picks a set by the codec's level.
 */
#ifndef SPARSE_CODEC_RESIDUAL_H
#define SPARSE_CODEC_RESIDUAL_H

#include "bits.h"
#include "codec.h"

/* What the width's loops must know of a dtype. */
typedef struct shape
{
	unsigned	element_bytes;
	unsigned	mantissa_bits;
	uint32_t	exponent_mask;	/* 0: integers */
} shape;

/* What the first pass learns of a chunk. Tokens and exponents are those of changed blocks, one after another. */
#define UNCHANGED (-1)
typedef struct survey
{
	size_t		elements;
	size_t		blocks;
	int16_t    *block;			/* scale of each block, or UNCHANGED */
	size_t		tokens;
	uint8_t    *token;
	int16_t    *exponent;		/* of each token's prediction */
	bit_writer	raw;
	int			base;			/* context 0 is this scale at exponent 0 */
} survey;

/* The elements of the block that begins at `at`. */
static inline size_t
block_count(size_t elements, size_t at)
{
	return elements - at < BLOCK ? elements - at : BLOCK;
}

/* The loops of one element width. */
typedef struct residual_loops
{
	/* the first pass over content and prediction: fills the survey */
	void		(*scan) (const void *content, const void *prediction, size_t elements,
						 const shape *s, survey *m);

	/* of_context[clamp(scale - 2 x exponent)] for each element of a block; exponents are given */
	void		(*contexts) (const int16_t *exponent, size_t count, int scale,
							 const uint8_t *of_context, uint8_t *context);

	/* the same, of the block at element `at` of a prediction */
	void		(*predict) (const void *prediction, size_t at, size_t count, const shape *s,
							int scale, const uint8_t *of_context, uint8_t *context);

	/* content of a block from its prediction and tokens; false when they are out of range */
	bool		(*rebuild) (const void *prediction, size_t at, size_t count, const shape *s,
							const uint8_t *token, bit_reader *raw, void *content);
} residual_loops;

/* For elements of 1, 2, 4 and 8 bytes. */
extern const residual_loops residual_loops_portable[4];
extern const residual_loops residual_loops_avx2[4];

#endif
