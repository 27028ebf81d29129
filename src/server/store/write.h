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
extern int16 object_place(int64 object);
extern void object_remove_content(int64 object);
extern void object_remove_row(int64 object);

/* Removes an object of formulas, a factor, if nothing needs it; what it belonged to is counted anew. */
extern void object_remove_factor(int64 factor);

/* ---- staged objects, between stage.c and stage_parents.c ---- */

/* Reads the header of a delta for a chunk, of which all but the references must fit; and where the chunk begins. */
extern void staged_check_delta(const StagedObject *staged, int32 seq, struct varlena *delta, uint64 *first,
							   sparse_delta_info *info);

pg_noreturn extern void staged_refuse_delta(int32 seq, const char *problem);

/* Stores a delta in place of what was there. */
extern void staged_put_chunk(const StagedObject *staged, int32 seq, struct varlena *delta);

/* Removes the edges to parents that are not among `used`, a bit for each number, and what was worked out for those alone. */
extern void staged_keep_parents(int64 object, uint32 used);

/* What is predicted from a staged object is predicted from another of the same content, which is to take its place. */
extern void staged_replace_parent(int64 staged, int64 object);

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
