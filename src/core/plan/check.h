/*
 * check.h: whether the files of a version that is being made are whole.
 *
 * An interrupted download leaves an index that names a shard which is not there; a
 * clone without git-lfs leaves pointers where the weights should be. Either would become
 * a version that is ready and of no use, so every road into the store asks here first:
 * import, upload and push, with the files that they have at hand.
 *
 *      - no file may be a Git-LFS pointer;
 *      - what is named as an index of safetensors shards must be one, and any index must
 *        be sound (index.h);
 *      - each shard that an index names must be a file of the version, and, where that is a
 *        safetensors file, have each tensor that the index looks for in it.
 *
 * One thing is let by, and said: an index of shards in another form (pytorch_model.bin.
 * index.json) of which none is there, as downloads of the safetensors files alone leave it.
 */
#ifndef SPARSE_PLAN_CHECK_H
#define SPARSE_PLAN_CHECK_H

#include <stdint.h>

#include "codec/memory.h"
#include "complaint.h"

/* What a version says of a tensor in one of its files. */
typedef enum sparse_finding
{
	SPARSE_FOUND_NO_FILE,
	SPARSE_FOUND_NO_TENSOR,
	SPARSE_FOUND_TENSOR,
	SPARSE_FOUND_BYTES			/* the file is there, but not all names in it are known */
} sparse_finding;

/* A version, as its shell has it. Functions that fail report it themselves, and need not return. */
typedef struct sparse_made_version
{
	void	   *state;
	uint32_t	files;
	const char *(*path) (void *state, uint32_t file);
	uint64_t	(*bytes) (void *state, uint32_t file);
	/* All of a file's bytes. */
	void		(*read) (void *state, uint32_t file, void *content, uint64_t bytes);
	/* Looks for a tensor, a name of UTF-8, in the file of that path. */
	sparse_finding (*find) (void *state, const char *path, const char *tensor);
	/* A name of UTF-8 in the shell's encoding. */
	const char *(*native) (void *state, const char *name);
	/* Says that an index is kept whose shards are not there. */
	void		(*tell) (void *state, const char *index);
} sparse_made_version;

/* SPARSE_CORRUPT with a complaint, or SPARSE_NO_MEMORY. To be asked before headers are parsed. */
extern sparse_status sparse_check_pointers(const sparse_made_version *version, sparse_complaint *complaint);

/* The same; once the tensors are known. */
extern sparse_status sparse_check_indexes(const sparse_made_version *version, const sparse_allocator *allocator,
										  sparse_complaint *complaint);

#endif
