/*
 * source.h: tensors, as a shell has them: in rows of a database, in files, or in memory.
 *
 * A shell calls each of them by a number of its own (an object's id, a subscript), never 0. Whatever
 * asks it does not come back when the shell fails: it says so in its own way, or returns a status.
 */
#ifndef SPARSE_RECIPES_SOURCE_H
#define SPARSE_RECIPES_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/dtype.h"
#include "codec/status.h"

#define SPARSE_KIN_RANK 8		/* dimensions of tensors that recipes are for */

#define SPARSE_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SPARSE_MAX(a, b) ((a) > (b) ? (a) : (b))
#define SPARSE_LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* A tensor that may have to do with the one at hand: of a parent, or beside it in its file. */
typedef struct sparse_kin
{
	int64_t		object;
	sparse_dtype dtype;
	int			rank;
	uint64_t	shape[SPARSE_KIN_RANK];
	uint64_t	elements;
	int			parent;			/* -1: of the file at hand */
} sparse_kin;

/* Gives bytes [first, first + bytes) of what `state` stands for. */
typedef sparse_status (*sparse_read) (void *state, uint64_t first, uint64_t bytes, void *target);

/* The tensor at hand. */
typedef struct sparse_subject
{
	const char *name;			/* NULL: a header, or a file that has no tensors */
	sparse_dtype dtype;
	uint32_t	rank;
	const uint64_t *shape;
	uint64_t	bytes;
	uint64_t	row_bytes;		/* 0: it has no rows */
	uint64_t	chunk_bytes;	/* of its grid */
	sparse_read read;
	void	   *state;
} sparse_subject;

/* What is to be known of an object that others are computed from. */
typedef struct sparse_kin_info
{
	sparse_dtype dtype;
	uint64_t	bytes;
	int32_t		depth;			/* of the chain that it ends */
	int			decodes;		/* chunks that are decoded for one of it, at most as many as was asked for */
} sparse_kin_info;

typedef struct sparse_source
{
	void	   *state;
	int			parents;
	int			neighbours;		/* versions near them, which `find` knows as parents + 0, 1 ..: their own parents */

	/* The tensor of a parent, or of the file at hand, by the first of these names that it has. */
	bool		(*find)(void *state, int parent, char *const *name, int names, sparse_kin *found);
	bool		(*sibling)(void *state, const char *name, sparse_kin *found);

	/* Hands up to `most` tensors of a parent that have elements over, in their order. */
	void		(*list)(void *state, int parent, uint64_t most, void (*take)(void *taker, const sparse_kin *kin), void *taker);

	/* False: it is not to be computed from: not there yet, or too deep. */
	bool		(*inspect)(void *state, int64_t object, int most, sparse_kin_info *info);

	/* keep: the bytes around will be wanted again soon. */
	sparse_status (*read)(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep);

	/* Keeps a factor that was found for the tensor at hand, of I16 or I8; gives its number. */
	sparse_status (*store)(void *state, const void *factor, sparse_dtype dtype, uint64_t count, int64_t *object);
} sparse_source;

/* Elements of a shape; false for one that recipes are not for. */
extern bool sparse_kin_shape(sparse_kin *kin, const uint64_t *shape, uint32_t rank);

#endif
