/*
 * safetensors.h: the framing of a safetensors file.
 *
 *      u64 little-endian N | N bytes of JSON | the tensors' bytes, no gaps
 *
 * Parses and validates a header; never needs the tensors' bytes. What the format
 * allows is accepted (any order of keys and of offsets, padding by spaces,
 * __metadata__ or null for it, empty tensors, zero in a shape, any UTF-8 name,
 * unknown dtypes), what it forbids is refused with one clear message. Nothing of
 * the header is normalised: whoever must give the file back keeps the header's bytes.
 *
 * Refused on purpose though the reference implementation accepts it: more than 64
 * dimensions; a dimension of 2^63 or more, which only fits beside a 0; a NUL in the
 * name of a tensor, in a dtype or in a key of the metadata; and two tensors, or two
 * keys of the metadata, of one name.
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
	const char *metadata;		/* key, value, key, value, ... of __metadata__, each zero-terminated */
	void	   *memory;			/* owned; released by sparse_safetensors_free */
} sparse_safetensors;

/* Is asked every few thousand steps of long work; true: give up with SPARSE_INTERRUPTED. */
typedef struct sparse_interrupt
{
	bool		(*pending) (void *state);
	void	   *state;
} sparse_interrupt;

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
 * bytes. `interrupt` may be NULL. Memory beside the caller's copy: for an
 * ordinary header 1.2 times its length, for none more than 3.5 times. Tensors of 64
 * dimensions of one digit come closest (3.3): two bytes that become eight.
 */
extern sparse_status sparse_safetensors_parse(const sparse_allocator *allocator,
											  const sparse_interrupt *interrupt,
											  const void *header, uint64_t header_bytes,
											  uint64_t file_bytes,
											  sparse_safetensors *parsed,
											  char *error, size_t error_size);

extern void sparse_safetensors_free(const sparse_allocator *allocator, sparse_safetensors *parsed);

#endif
