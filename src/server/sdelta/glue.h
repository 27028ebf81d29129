/*
 * glue.h: the codec inside a backend: its memory, its life, its errors.
 *
 * The codec knows nothing of PostgreSQL. Here it gets memory from a memory
 * context, a life no longer than that context's, and its status codes become
 * errors.
 */
#ifndef SPARSE_SDELTA_GLUE_H
#define SPARSE_SDELTA_GLUE_H

#include "postgres.h"
#include "compat.h"
#include "utils/palloc.h"

#include "codec/delta.h"

/* The most bytes that a delta takes which this library has written. */
#define SPARSE_MAX_DELTA \
	(sparse_delta_bound(SPARSE_MAX_CONTENT) + SPARSE_DELTA_HEAD)

/* How much of a delta sparse_delta_read() wants to see at most. */
#define SPARSE_DELTA_PREFIX SPARSE_DELTA_HEAD

/* An allocator over `context`; blocks may be larger than 1 GB. */
extern void sparse_allocator_init(sparse_allocator *allocator, MemoryContext context);

/* A codec for as long as `context` lives; then the next one has it. */
extern sparse_codec *sparse_codec_in_context(MemoryContext context);

/* The SQLSTATE for a codec's failure on bytes that should have been good. */
extern int	sparse_status_errcode(sparse_status status);

/*
 * Raises `status` as an error: "could not <action>: <status>". A prediction that
 * does not fit is taken for the user's mistake, all other failures for corruption.
 */
pg_noreturn extern void sparse_report(sparse_status status, const char *action);

#endif
