/*
 * memory.h: where the codec's memory comes from.
 *
 * The codec asks an allocator that its caller gives; the server passes one over a
 * memory context, the client and the tests pass NULL for malloc. An allocator
 * returns NULL when it has none left, and must not unwind the stack.
 */
#ifndef SPARSE_CODEC_MEMORY_H
#define SPARSE_CODEC_MEMORY_H

#include <stddef.h>

typedef struct sparse_allocator
{
	void	   *(*allocate) (void *state, size_t bytes);
	void		(*release) (void *state, void *block);	/* block may be NULL */
	void	   *state;
} sparse_allocator;

/* malloc and free. */
extern const sparse_allocator sparse_malloc;

#endif
