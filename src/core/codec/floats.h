/*
 * floats.h: what the float coder's inner loops share with the coder.
 *
 * The loops (floats_loops.h) are compiled once portably and once for each vector
 * unit; floats.c picks a set by the codec's level.
 */
#ifndef SPARSE_CODEC_FLOATS_H
#define SPARSE_CODEC_FLOATS_H

#include "bits.h"
#include "codec.h"

#define TOKEN_ZERO 255			/* +0.0, no raw bits */
#define TOKEN_ESCAPE 254		/* the whole exponent stands in the raw bits */

typedef struct layout
{
	unsigned	mantissa_bits;
	unsigned	exponent_bits;
	unsigned	low_zeros;		/* of the mantissa, common to all elements */
	unsigned	lead;			/* highest bits of the mantissa that the token tells, below the octaves */
	unsigned	raw_bits;		/* sign and what is left of the mantissa */
	int			largest;		/* exponent field */
} layout;

/* The loops of one element width. */
typedef struct float_loops
{
	/* union of all elements, and their largest exponent field */
	uint64_t	(*survey) (const void *content, size_t elements, const layout *l, int *largest);

	/*
	 * The stored scale of the block at element `at` (0: all +0.0); and unless
	 * that is 0, its tokens and raw bits.
	 */
	uint8_t		(*encode) (const void *content, size_t at, size_t count, const layout *l,
						   uint8_t *token, bit_writer *raw);

	/* a block from its tokens; false when an exponent is out of range */
	bool		(*restore) (const uint8_t *token, size_t at, size_t count, const layout *l,
							bit_reader *raw, void *content);
} float_loops;

/* For elements of 1, 2, 4 and 8 bytes. */
extern const float_loops float_loops_portable[4];
extern const float_loops float_loops_avx2[4];
extern const float_loops float_loops_avx512[4];

#endif
