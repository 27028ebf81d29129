/*
 * hashing.h: SHA-256 of many ranges of files, on a few threads.
 *
 * A push needs it of every file, every tensor and every local copy of a parent
 * before it can ask for anything; the ranges overlap, and each is read anew: from
 * memory, mostly, where the first reading has left it.
 */
#ifndef SPARSE_CLIENT_HASHING_H
#define SPARSE_CLIENT_HASHING_H

#include "files.h"

typedef struct hash_job
{
	const source *file;
	uint64_t	first;
	uint64_t	bytes;
	uint8_t    *digest;			/* SHA256_BYTES */
} hash_job;

typedef struct hash_jobs
{
	hash_job   *job;
	unsigned long count;
	uint64_t	bytes;			/* of all */
	uint64_t	file_bytes;		/* of whole files among them: what people see as read */
} hash_jobs;

/* Notes a range; the digest comes with hash_run. */
extern void hash_add(hash_jobs *jobs, const source *file, uint64_t first, uint64_t bytes, uint8_t *digest);

/* Hashes them all, with a bar named `what`, and forgets them. */
extern void hash_run(hash_jobs *jobs, const char *what, bool quiet);

#endif
