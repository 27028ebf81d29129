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

#include "layout.h"
#include "status.h"

#define SPARSE_SAFETENSORS_MAX_HEADER ((uint64_t) 100000000)	/* of N, as the reference implementation */
#define SPARSE_SAFETENSORS_MAX_RANK 64

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
											  sparse_layout *parsed,
											  char *error, size_t error_size);

#endif
