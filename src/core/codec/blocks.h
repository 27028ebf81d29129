/*
 * blocks.h: the tensor types of ggml, as GGUF files number them.
 *
 * Quantised ones come in blocks: so many elements in so many bytes, of which nothing smaller can
 * be cut. Sizes after the structs of ggml-common.h; numbers that ggml has taken back are
 * missing.
 */
#ifndef SPARSE_CODEC_BLOCKS_H
#define SPARSE_CODEC_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "dtype.h"

typedef struct sparse_block_type
{
	uint32_t	number;
	const char *name;
	uint32_t	elements;		/* of a block */
	uint32_t	bytes;
	sparse_dtype dtype;			/* SPARSE_BYTES where the coders know none */
} sparse_block_type;

/* NULL: there is none of that number, or of that name. */
extern const sparse_block_type *sparse_block_numbered(uint32_t number);
extern const sparse_block_type *sparse_block_named(const char *name);

#endif
