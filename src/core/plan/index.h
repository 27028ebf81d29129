/*
 * index.h: the index of a model in shards, as Hugging Face's tools write it.
 *
 *      {"metadata": {...}, "weight_map": {"TENSOR": "SHARD", ...}}
 *
 * An object whose "weight_map" is an object from the names of tensors to the paths of
 * files, relative to the index. What is said twice, or is anything but a name of a file
 * below the index's folder, is refused: readers differ in what they make of it. All
 * other keys may hold anything.
 */
#ifndef SPARSE_PLAN_INDEX_H
#define SPARSE_PLAN_INDEX_H

#include <stdint.h>

#include "codec/memory.h"
#include "complaint.h"

#define SPARSE_INDEX_MAX_BYTES ((uint64_t) 100000000)

typedef struct sparse_index_entry
{
	const char *tensor;
	const char *shard;
} sparse_index_entry;

typedef struct sparse_index
{
	bool		is_index;		/* there is a "weight_map" */
	uint32_t	entries;
	sparse_index_entry *entry;	/* in order of shards, then of tensors; each tensor once */
	void	   *memory;
} sparse_index;

/*
 * Reads the index called `name` in messages. SPARSE_OK without a weight_map too. On
 * failure, SPARSE_CORRUPT or SPARSE_NO_MEMORY, there is nothing to free; is_index says
 * whether a weight_map had been met by then.
 */
extern sparse_status sparse_index_read(const sparse_allocator *allocator, const char *name,
									   const char *text, size_t bytes,
									   sparse_index *index, sparse_complaint *complaint);

extern void sparse_index_free(const sparse_allocator *allocator, sparse_index *index);

#endif
