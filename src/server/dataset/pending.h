/*
 * pending.h: chunks of a version that is being made.
 *
 * A query is read once and in one pass. Each chunk is hashed when it is full; one
 * that the store has is remembered by that, another is put into a temporary file. Only
 * when the query has ended is it known whether the version is new, and so whether
 * anything is to be written.
 */
#ifndef SPARSE_DATASET_PENDING_H
#define SPARSE_DATASET_PENDING_H

#include "postgres.h"

#include "storage/buffile.h"

#include "store/store.h"

#include "chunk.h"

typedef struct PendingChunk
{
	uint8		sha256[SPARSE_SHA256_BYTES];
	int64		object;			/* that the store had when it was added, or once it is there */
	int64		bytes;
	int64		at;				/* in the temporary file; -1: not there */
	int32		rows;
	uint8		dtype;
	bool		plain;
	bool		fresh;			/* its object is to be written */
} PendingChunk;

typedef struct PendingColumn
{
	int			chunks;
	int			room;
	PendingChunk *chunk;
} PendingColumn;

typedef struct Pending
{
	MemoryContext context;
	Sha256	   *sha256;
	BufFile    *file;
	int64		length;
	int64		fresh_bytes;	/* of chunks that the store did not have */
} Pending;

/* In the current context. */
extern Pending *pending_create(void);

/* Adds a chunk whose content is `first`, then `second` (which may be empty). */
extern void pending_add(Pending *pending, PendingColumn *column, const ChunkContent *content,
						const char *second, size_t second_length);

/* Reads bytes of a chunk that is in the file. */
extern void pending_read(Pending *pending, const PendingChunk *chunk, uint64 first, uint64 bytes, char *target);

#endif
