/*
 * write.h: what storing objects at once (write.c) and by and by (stage.c) share.
 */
#ifndef SPARSE_STORE_WRITE_H
#define SPARSE_STORE_WRITE_H

#include "store/store.h"

/* Refuses content that no object can hold. */
extern void object_check_spec(const ObjectSpec *spec);

/* Finds the object of that content, or else inserts a row for it, of which only the id is known. */
extern bool object_find_or_reserve(const ObjectSpec *spec, uint64 chunk_bytes, ObjectResult *result);

/* Of the object's grid, by the rows and the setting where the spec does not say it. */
extern uint64 object_chunk_bytes(const ObjectSpec *spec);

/* That `object` is predicted from `parent`, its parent number `ordinal`; made: which was worked out for it. */
extern void object_insert_edge(int64 object, int32 depth, int ordinal, int64 parent, int32 parent_depth,
							   bool made);

/* Removes the chunks of an object and its edges to its parents; its row, that nothing refers to. */
extern void object_remove_content(int64 object);
extern void object_remove_row(int64 object);

/*
 * One word for the predictors of all chunks: the only one, where "same" counts as
 * the other that has a parent; else "mixed".
 */
extern const char *object_predictor_name(const bool used[SPARSE_PREDICTORS]);

/* Whether any of the predictors used has a parent. */
extern bool object_parent_was_used(const bool used[SPARSE_PREDICTORS]);

/* A SHA-256 as a value. */
extern bytea *object_sha256_value(const uint8 *sha256);

#endif
