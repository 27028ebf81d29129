/*
 * peers.h: the codecs that pg_sparse bench measures besides sparse itself.
 *
 * All of them are one interface over runs: a run of elements of one dtype, and
 * what predicts it. What a codec writes for a run holds everything that its
 * decoder needs beside the run's dtype, length and prediction.
 *
 *   bitx         ZipLLM's BitX (Wang et al., 2025): XOR with the parent, of bf16 the
 *                exponents and the rest as two streams (of others the byte planes),
 *                zstd level 3; whole tensors, and 2 MiB at a time above 10 MiB
 *   tensorx      XOR with the parent, byte planes, zstd level 1, 2 MiB at a time
 *   fm-delta     see fmdelta.h; what is no float or has no parent stays as it is
 *   planes-zstd3 byte planes, zstd level 3, whole tensors, no parent
 *   memcpy       nothing
 *
 * Where a codec finds no parent, it codes without XOR.
 */
#ifndef SPARSE_CLIENT_PEERS_H
#define SPARSE_CLIENT_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/dtype.h"

typedef struct run
{
	sparse_dtype dtype;
	const uint8_t *content;
	const uint8_t *prediction;	/* as long as the content, or NULL */
	uint64_t	first;			/* byte of the parent where the prediction begins */
	size_t		bytes;
	size_t		chunk_bytes;	/* of sparse's chunks */
} run;

typedef struct bench_codec
{
	const char *name;
	bool		needs_parent;	/* and is of no interest without one */

	/* Returns the bytes written, which always fit in `room`. */
	size_t		(*encode) (void *state, const run *r, uint8_t *out, size_t room);

	/* Returns the bytes used up. */
	size_t		(*decode) (void *state, const run *r, const uint8_t *in, size_t room, uint8_t *content);
	void		(*release) (void *state);
	void	   *state;
} bench_codec;

#define PEERS 5

/* Creates the peers for runs of at most `largest` bytes. Failures end the program. */
extern void peers_create(bench_codec peer[PEERS], size_t largest);

#endif
