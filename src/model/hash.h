/*
 * hash.h: SHA-256 over content that arrives in pieces.
 *
 * The server's own implementation, in the memory and for the life of a memory
 * context, so that a sum can run on from one call of a set-returning function to
 * the next.
 */
#ifndef SPARSE_MODEL_HASH_H
#define SPARSE_MODEL_HASH_H

#include "postgres.h"

#include "store/store.h"

typedef struct Sha256 Sha256;

/* Released with `context`. */
extern Sha256 *sha256_create(MemoryContext context);
extern void sha256_reset(Sha256 *sha256);
extern void sha256_add(Sha256 *sha256, const void *data, size_t bytes);

/* Ends the sum; the next one begins with sha256_reset. */
extern void sha256_finish(Sha256 *sha256, uint8 digest[SPARSE_SHA256_BYTES]);

/* In lower-case hexadecimal digits, palloc'd. */
extern char *sha256_text(const uint8 digest[SPARSE_SHA256_BYTES]);

#endif
