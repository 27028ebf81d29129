/*
 * pair.h: a child and what it may be predicted from: the two as bench and estimate
 * take them from the command line, and the bytes that predict a chunk.
 */
#ifndef SPARSE_CLIENT_PAIR_H
#define SPARSE_CLIENT_PAIR_H

#include "codec/match.h"
#include "model.h"

#define PAIR_WINDOW ((uint64_t) 512 << 10)	/* of a parent's bytes, on either side of a chunk of bytes */
#define PAIR_MAX_PREDICTION (SPARSE_CHUNK_TARGET + 2 * PAIR_WINDOW)

typedef struct pair
{
	model		child;
	model		base;
	bool		has_base;
} pair;

/*
 * Opens the operands of the command argv[0], which getopt has left at the end:
 * BASE and CHILD, or CHILD alone with no_base. "-" in place of BASE is none.
 */
extern void pair_open(pair *p, int argc, char **argv, bool no_base);

/*
 * What predicts a tensor of the child: the base's tensor of its name and, in
 * *shared_bytes, how many leading bytes of both; NULL and 0 when nothing does.
 */
extern const sparse_tensor *pair_parent(const pair *p, const sparse_tensor *tensor,
										uint64_t *shared_bytes);

/*
 * What predicts the chunk [first, first + bytes) of a tensor, of whose leading bytes
 * parent_bytes are predicted, or of other bytes, whose parent has that many. False:
 * nothing does.
 */
extern bool pair_reference(bool is_tensor, sparse_dtype dtype, uint64_t parent_bytes,
						   uint64_t first, uint64_t bytes, sparse_ref *ref);

extern void pair_close(pair *p);

#endif
