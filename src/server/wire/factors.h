/*
 * factors.h: what deltas refer to beyond what a client holds, sent to it before them.
 *
 * A merged adapter is stored by factors, an approximation by levels and scales: objects that no file
 * holds. Where sending them costs less than coding the chunks that need them anew, they are sent, chunk by
 * chunk, each before what refers to it. With the client they lie one after another, as on a tape that begins
 * anew with each part (a tensor) of a version; references name ranges of it as those of element 0 of "have".
 *
 * Sent is only what the version at hand is decoded from, and of that, what was worked out of its own
 * content (object_parent_is_made: whoever may read that may have it, be it also somebody's tensor), and
 * what occurs in a version that the caller can read.
 *
 * All of it as the store's owner, within SPI_connect.
 */
#ifndef SPARSE_WIRE_FACTORS_H
#define SPARSE_WIRE_FACTORS_H

#include "postgres.h"
#include "compat.h"

#include "have.h"
#include "store/store.h"

typedef struct Factors Factors;

/* Sends at most so many bytes of content; none: only what the client holds is referred to. */
extern Factors *factors_create(MemoryContext context, ObjectReader *reader, const Have *have, uint64 most_bytes);

/* Another part of the version: what was sent is forgotten. */
extern void factors_begin(Factors *factors);

/*
 * Settles what would be sent for chunks [low, high) of an object, by the first and the last of them. False:
 * something may not be, or would be too much. Else what the deltas of it come to, about.
 * `access` is that of store_enter, for who may read what is asked as the caller.
 */
extern bool factors_plan(Factors *factors, StoreAccess *access, const ObjectInfo *object,
						 uint64 low, uint64 high, uint64 *bytes);

typedef enum FactorsAnswer
{
	FACTORS_READY,				/* all that the chunk refers to is there */
	FACTORS_FIRST,				/* something has to be sent before it */
	FACTORS_IMPOSSIBLE
} FactorsAnswer;

/* A chunk of a factor on its way. */
typedef struct FactorChunk
{
	struct varlena *delta;		/* palloc'd in the context given */
	Datum		refs;			/* 0: none */
	uint64		at;				/* its place on the tape */
	uint64		bytes;
	uint64		content_hash;
} FactorChunk;

/* What a stored chunk refers to, in terms of what the client holds. 0: nothing. False: it lacks some. */
extern bool factors_refs(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info, Datum *refs);

/* What has to be sent before a stored chunk can be; it counts as sent then. */
extern FactorsAnswer factors_next(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info,
								  MemoryContext result, FactorChunk *chunk);

/* A delta as a value in `result`. */
extern struct varlena *delta_value(MemoryContext result, const void *bytes, size_t length);

#endif
