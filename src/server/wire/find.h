/*
 * find.h: which versions that the caller can read have some content.
 *
 * What only others can read does not show: whether a version is among the answers is
 * asked as the caller, for a few candidates at a time.
 */
#ifndef SPARSE_WIRE_FIND_H
#define SPARSE_WIRE_FIND_H

#include "postgres.h"
#include "compat.h"

#include "store/store.h"

/* The newest ready version that the caller can read with a file of that SHA-256; false: there is none. */
extern bool find_file(const uint8 *sha256, bool read_only, int64 *version, int32 *file);

/* Whether `text` is 64 hexadecimal digits; then the bytes that they stand for. */
extern bool find_parse_sha256(const char *text, size_t length, uint8 sha256[SPARSE_SHA256_BYTES]);

/*
 * Whether the object occurs in a version that the caller can read: of very many, the newest are looked at. With the
 * snapshot of the query. As the caller.
 */
extern bool find_object_readable(int64 object);

/* Objects that may be left out of an upload. */
typedef struct Known Known;

/*
 * `readable` are versions that were found to be readable already. In the
 * current memory context.
 */
extern Known *known_create(const int64 *readable, int count);

/*
 * The object with that content that occurs in a version which the caller can read; 0:
 * none does, or not in one of the newest that have it. As the caller.
 */
extern int64 known_object(Known *known, const uint8 *sha256, uint64 bytes);

#endif
