/*
 * safetensors_entries.h: the entries of a safetensors header, one by one.
 *
 * Internal to safetensors.c, which checks what concerns all of them together.
 */
#ifndef SPARSE_CODEC_SAFETENSORS_ENTRIES_H
#define SPARSE_CODEC_SAFETENSORS_ENTRIES_H

#include "safetensors.h"

#define SPARSE_STEPS 4096		/* a power of two: between two questions to a sparse_interrupt */

/* Whether the work is to be given up, asked at every step. */
static inline bool
sparse_interrupted(const sparse_interrupt *interrupt, size_t step)
{
	return interrupt && step % SPARSE_STEPS == SPARSE_STEPS - 1 && interrupt->pending(interrupt->state);
}

/*
 * Reads the header's JSON into parsed: tensors in the order of the header, each
 * sound in itself, and the metadata. Names may still occur twice and bytes may
 * still overlap. parsed->memory is to be released by the caller, also on failure.
 */
extern sparse_status sparse_entries_read(const sparse_allocator *allocator,
										 const sparse_interrupt *interrupt,
										 const char *text, size_t bytes,
										 sparse_safetensors *parsed,
										 char *error, size_t error_size);

#endif
