/*
 * safetensors_entries.h: the entries of a safetensors header, one by one.
 *
 * Internal to safetensors.c, which checks what concerns all of them together.
 */
#ifndef SPARSE_CODEC_SAFETENSORS_ENTRIES_H
#define SPARSE_CODEC_SAFETENSORS_ENTRIES_H

#include "safetensors.h"

/*
 * Reads the header's JSON into parsed: tensors in the order of the header, each
 * sound in itself, and the metadata. Names may still occur twice and bytes may
 * still overlap. parsed->memory is to be released by the caller, also on failure.
 */
extern sparse_status sparse_entries_read(const sparse_allocator *allocator,
										 const sparse_interrupt *interrupt,
										 const char *text, size_t bytes,
										 sparse_layout *parsed,
										 char *error, size_t error_size);

#endif
