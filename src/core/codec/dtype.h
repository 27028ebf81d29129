/*
 * dtype.h: the element types of tensors, and what the coders must know of each.
 *
 * The names are those of the safetensors format. SPARSE_BYTES stands for content
 * without elements (headers, tokenizer files, dtypes that this version does not
 * know): one-byte elements that are never interpreted.
 */
#ifndef SPARSE_CODEC_DTYPE_H
#define SPARSE_CODEC_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored in deltas: values never change their meaning. */
typedef enum sparse_dtype
{
	SPARSE_BYTES = 0,
	SPARSE_BOOL = 1,
	SPARSE_U8 = 2,
	SPARSE_I8 = 3,
	SPARSE_U16 = 4,
	SPARSE_I16 = 5,
	SPARSE_U32 = 6,
	SPARSE_I32 = 7,
	SPARSE_U64 = 8,
	SPARSE_I64 = 9,
	SPARSE_F8_E4M3 = 10,
	SPARSE_F8_E5M2 = 11,
	SPARSE_F16 = 12,
	SPARSE_BF16 = 13,
	SPARSE_F32 = 14,
	SPARSE_F64 = 15
} sparse_dtype;

#define SPARSE_DTYPES 16

typedef struct sparse_dtype_info
{
	const char *name;			/* as safetensors writes it; "BYTES" for SPARSE_BYTES */
	uint8_t		bytes;			/* of an element: 1, 2, 4 or 8 */
	uint8_t		exponent_bits;	/* 0: not a float */
	uint8_t		mantissa_bits;	/* stored ones, without the hidden bit */
} sparse_dtype_info;

/* dtype must be below SPARSE_DTYPES. */
extern const sparse_dtype_info *sparse_dtype_get(sparse_dtype dtype);

/* Finds a dtype by its name of len bytes; false when this version does not know it. */
extern bool sparse_dtype_find(const char *name, size_t len, sparse_dtype *dtype);

/*
 * Bits of an element of any dtype of the safetensors format, those too that this version
 * keeps as SPARSE_BYTES (F4 has 4, C64 has 64); 0 where the format has none of that name.
 */
extern unsigned sparse_dtype_bits(const char *name, size_t len);

#endif
