/*
 * pair.h: a child and what it may be predicted from: the two as bench takes them from
 * the command line.
 */
#ifndef SPARSE_CLIENT_PAIR_H
#define SPARSE_CLIENT_PAIR_H

#include "codec/match.h"
#include "model.h"

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

extern void pair_close(pair *p);

#endif
