/*
 * layout.h: a file as literal spans and tensors.
 *
 * What lies between tensors (a header, a directory, padding, a tail) is literal and kept as
 * it is, so that every file comes back exactly, whatever made it. Tensors are kept in the
 * order of their bytes and do not overlap; the literal spans are all the bytes that are no
 * tensor's: the first header_bytes of the file, and the gaps behind. Joined in this order
 * they are the file's literal.
 *
 * A parser of some format (safetensors.h, plan/gguf.h) makes one.
 */
#ifndef SPARSE_CODEC_LAYOUT_H
#define SPARSE_CODEC_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "memory.h"
#include "status.h"

typedef struct sparse_tensor
{
	const char *name;			/* UTF-8, zero-terminated (a NUL within a name is refused) */
	const char *dtype_name;		/* as the file's format calls it, zero-terminated */
	sparse_dtype dtype;			/* SPARSE_BYTES when the name is unknown */
	uint32_t	rank;			/* number of dimensions; 0: a scalar */
	const uint64_t *shape;		/* rank of them */
	uint64_t	first;			/* first byte, counted from the end of the header */
	uint64_t	bytes;
} sparse_tensor;

/* Bytes of the file that are no tensor's. */
typedef struct sparse_span
{
	uint64_t	first;
	uint64_t	bytes;
	uint64_t	at;				/* their place in the literal */
} sparse_span;

typedef struct sparse_layout
{
	uint64_t	header_bytes;	/* where the first byte of the data is, of which tensors count */
	uint64_t	data_bytes;		/* behind the header, gaps included */
	uint32_t	tensors;
	sparse_tensor *tensor;		/* in the order of their bytes in the file;
								 * empty ones before what starts at the same byte */
	uint32_t	gaps;			/* in order; none is empty */
	sparse_span *gap;
	uint64_t	literal_bytes;	/* of the header and the gaps */
	uint32_t	metadata_pairs;
	const char *metadata;		/* of safetensors: key, value, key, value, ... of __metadata__, each zero-terminated */
	void	   *memory;			/* owned; released by sparse_layout_free */
} sparse_layout;

/* Is asked every few thousand steps of long work; true: give up with SPARSE_INTERRUPTED. */
typedef struct sparse_interrupt
{
	bool		(*pending) (void *state);
	void	   *state;
} sparse_interrupt;

#define SPARSE_STEPS 4096		/* a power of two: between two questions to a sparse_interrupt */

/* Whether the work is to be given up, asked at every step. */
static inline bool
sparse_interrupted(const sparse_interrupt *interrupt, size_t step)
{
	return interrupt && step % SPARSE_STEPS == SPARSE_STEPS - 1 && interrupt->pending(interrupt->state);
}

/* From byte `at` of the literal on, what lies in one piece in the file too. Of no bytes: that is its end. */
extern sparse_span sparse_layout_literal(const sparse_layout *of, uint64_t at);

extern void sparse_layout_free(const sparse_allocator *allocator, sparse_layout *of);

/* ---- for parsers ---- */

/* SPARSE_CORRUPT with a message where a name of a tensor, or a key of the metadata, stands there twice. */
extern sparse_status sparse_layout_check_names(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
											   const sparse_layout *of, uint64_t seed, char *error, size_t error_size);

/* Puts the tensors in the order of their bytes. */
extern sparse_status sparse_layout_sort(const sparse_allocator *allocator, const sparse_interrupt *interrupt, sparse_layout *of);

/*
 * Finds the gaps between sorted tensors of a file of `file_bytes` bytes; `gap` has room for one more than
 * there are tensors. SPARSE_CORRUPT with a message where tensors overlap, or reach past the end.
 */
extern sparse_status sparse_layout_find_gaps(sparse_layout *of, uint64_t file_bytes, char *error, size_t error_size);

#endif
