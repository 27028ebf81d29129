/*
 * tape.h: what a server sends before the chunks that need it: factors, scales, levels.
 *
 * They lie one after another in a file without a name, which begins anew where the server says so (docs/wire.md):
 * with each tensor. Nothing of it outlives the program, however that ends.
 */
#ifndef SPARSE_CLIENT_TAPE_H
#define SPARSE_CLIENT_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tape
{
	const char *beside;			/* a path: the file lies in its folder; NULL: among temporary files */
	bool		opened;
	int			fd;
	uint64_t	length;
	uint64_t	left;			/* bytes that may still come for the request at hand */
} tape;

/* Another request, for that many bytes of content. */
extern void tape_begin(tape *t, uint64_t wanted);

/* Takes what is said to lie at byte `first`. NULL, or why not. */
extern const char *tape_put(tape *t, uint64_t first, const void *bytes, size_t length);

/* Adds to what is kept, for a caller who knows how much that may be. */
extern void tape_keep(tape *t, const void *bytes, size_t length);

/* Reads from it; false: it has no such bytes. */
extern bool tape_get(const tape *t, uint64_t first, void *bytes, size_t length);

extern void tape_release(tape *t);

#endif
