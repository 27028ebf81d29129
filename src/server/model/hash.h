/*
 * hash.h: sums over content that arrives in pieces.
 *
 * In the memory and for the life of a memory context, so that a sum can run on
 * from one call of a set-returning function to the next. SHA-256, the server's own
 * implementation, is what content is known by; the checksum, XXH3 of 128 bits and
 * ten times as fast, what a file is checked by whenever it is read whole.
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

typedef struct Checksum Checksum;

/* Released with `context`. */
extern Checksum *checksum_create(MemoryContext context);
extern void checksum_reset(Checksum *checksum);
extern void checksum_add(Checksum *checksum, const void *data, size_t bytes);

/*
 * Ends the sum with the SHA-256 that goes with the content, so that a row with
 * another one fails as well; the next sum begins with checksum_reset.
 */
extern void checksum_finish(Checksum *checksum, const uint8 sha256[SPARSE_SHA256_BYTES],
							uint8 digest[SPARSE_CHECKSUM_BYTES]);

/* In lower-case hexadecimal digits, palloc'd. */
extern char *sha256_text(const uint8 digest[SPARSE_SHA256_BYTES]);

#endif
