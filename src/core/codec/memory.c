/*
 * memory.c: the default allocator.
 */
#include "memory.h"

#include <stdlib.h>

static void *
malloc_allocate(void *state, size_t bytes)
{
	(void) state;
	return malloc(bytes ? bytes : 1);
}

static void
malloc_release(void *state, void *block)
{
	(void) state;
	free(block);
}

const sparse_allocator sparse_malloc = {malloc_allocate, malloc_release, NULL};
