/*
 * local.h: the files that are to become a version, and what they are: their sizes,
 * headers and SHA-256s.
 *
 * A file with tensors, an index and the shards that it names, or a folder (plan/walk.h).
 * All of it must be there (plan/check.h). Safetensors and GGUF files must be valid. Others are kept as bytes, except those that
 * hold weights in another form (pickles, ONNX ...): such are refused unless they are asked for as
 * bytes, since what is kept of them would be neither verified nor well compressed.
 */
#ifndef SPARSE_CLIENT_LOCAL_H
#define SPARSE_CLIENT_LOCAL_H

#include "folder.h"
#include "hashing.h"
#include "model.h"
#include "patterns.h"

typedef struct local_file
{
	char	   *path;			/* within the version */
	char	   *place;			/* on this machine */
	model		content;
	uint8_t		sha256[SHA256_BYTES];
	uint8_t   (*tensor_sha256)[SHA256_BYTES];
} local_file;

typedef struct local_version
{
	local_file *file;			/* in order of path */
	unsigned long count;
	uint64_t	bytes;			/* of all */
} local_version;

/* The files that a path means; `enters` may be NULL, or says which folders below belong to it; `taken` (NULL: all), which of them. */
extern void local_open(local_version *v, const char *path, folder_enter enters, void *state, const patterns *taken, bool as_bytes);

/* Notes the SHA-256s that are needed. */
extern void local_hash(local_version *v, hash_jobs *jobs);

/* The file of that path, or NULL. */
extern local_file *local_find(const local_version *v, const char *path);

/* The `files` argument of sparse_begin, as JSON. The caller frees it. */
extern char *local_json(const local_version *v);

extern void local_close(local_version *v);

#endif
