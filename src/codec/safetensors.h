/*
 * safetensors.h: the framing of a safetensors file.
 *
 *      u64 little-endian N | N bytes of JSON | the tensors' bytes, no gaps
 *
 * Parses and validates a header; never needs the tensors' bytes. What the format
 * allows is accepted (any order of keys and of offsets, padding by spaces,
 * __metadata__, empty tensors, zero in a shape, any UTF-8 name, unknown dtypes),
 * what it forbids is refused with one clear message. Nothing of the header is
 * normalised: whoever must give the file back keeps the header's bytes.
 */
#ifndef SPARSE_CODEC_SAFETENSORS_H
#define SPARSE_CODEC_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "memory.h"
#include "status.h"

#define SPARSE_SAFETENSORS_MAX_HEADER ((uint64_t) 100000000)	/* of N, as the reference implementation */
#define SPARSE_SAFETENSORS_MAX_RANK 64

typedef struct sparse_tensor
{
	const char *name;			/* UTF-8, zero-terminated (a NUL within a name is refused) */
	const char *dtype_name;		/* as written in the header, zero-terminated */
	sparse_dtype dtype;			/* SPARSE_BYTES when the name is unknown */
	uint32_t	rank;			/* number of dimensions; 0: a scalar */
	const uint64_t *shape;		/* rank of them */
	uint64_t	first;			/* first byte, counted from the end of the header */
	uint64_t	bytes;
} sparse_tensor;

typedef struct sparse_safetensors
{
	uint64_t	header_bytes;	/* 8 + N: where the tensors' bytes begin */
	uint64_t	data_bytes;		/* of all tensors; the file has header_bytes + data_bytes */
	uint32_t	tensors;
	sparse_tensor *tensor;		/* in the order of their bytes in the file;
								 * empty ones before what starts at the same byte */
	uint32_t	metadata_pairs;
	const char *const *metadata;	/* key, value, key, value, ... of __metadata__ */
	void	   *memory;			/* owned; released by sparse_safetensors_free */
} sparse_safetensors;

/*
 * From the first 8 bytes of a file of `file_bytes` bytes: the length of the whole
 * header (8 + N), after checking N against the limits. A message of at most
 * error_size bytes (lower case, no full stop) is left in `error` on failure.
 */
extern sparse_status sparse_safetensors_header_bytes(const void *first8, uint64_t file_bytes,
													 uint64_t *header_bytes,
													 char *error, size_t error_size);

/*
 * Parses `header` (8 + N bytes, `header_bytes` of them) of a file of `file_bytes`
 * bytes. Memory: at most about three times the header beside the caller's copy.
 */
extern sparse_status sparse_safetensors_parse(const sparse_allocator *allocator,
											  const void *header, uint64_t header_bytes,
											  uint64_t file_bytes,
											  sparse_safetensors *parsed,
											  char *error, size_t error_size);

extern void sparse_safetensors_free(const sparse_allocator *allocator, sparse_safetensors *parsed);

#endif
