/*
 * content.h: bytes that a shell has somewhere, to be read in any order.
 */
#ifndef SPARSE_PLAN_CONTENT_H
#define SPARSE_PLAN_CONTENT_H

#include <stdint.h>

typedef struct sparse_content
{
	void	   *state;
	uint64_t	bytes;
	/* Reports its failures itself, and need not return then. */
	void		(*read) (void *state, uint64_t first, uint64_t bytes, void *target);
} sparse_content;

#endif
