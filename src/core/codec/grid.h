/*
 * grid.h: how a run of content is cut into chunks.
 *
 * Content is cut every chunk_bytes. Where a tensor has grown or shrunk against
 * its parent, only the rows that both have can be predicted: the cut at
 * split_bytes keeps a chunk from straddling that boundary, and the grid starts
 * anew behind it.
 *
 *      |  c  |  c  | s |  c  |  c  |  c  | r |
 *      0               ^split              ^content_bytes
 *
 * Nothing but arithmetic: a grid is three numbers, so that a writer and a reader
 * who agree on them agree on every chunk.
 */
#ifndef SPARSE_CODEC_GRID_H
#define SPARSE_CODEC_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define SPARSE_CHUNK_TARGET ((uint64_t) 1 << 20)	/* bytes of content, where nothing else is said */

typedef struct sparse_grid
{
	uint64_t	content_bytes;
	uint64_t	split_bytes;	/* 0: no split; else at most content_bytes */
	uint64_t	chunk_bytes;	/* of every chunk but the last before the split
								 * and the last of all; never 0 */
} sparse_grid;

/* Whether the three numbers form a grid: to be asked of every grid that was read. */
extern bool sparse_grid_valid(const sparse_grid *grid);

/* The number of chunks; 0 for no content. */
extern uint64_t sparse_grid_chunks(const sparse_grid *grid);

/*
 * The chunk seq: its first byte within the content and its length in bytes,
 * which is never 0. False when there is no such chunk; the outputs are then
 * untouched.
 */
extern bool sparse_grid_chunk(const sparse_grid *grid, uint64_t seq,
							  uint64_t *first, uint64_t *length);

/* The chunk that holds `byte`; the number of chunks when it lies past the content. */
extern uint64_t sparse_grid_seq(const sparse_grid *grid, uint64_t byte);

/*
 * A chunk_bytes near `target`: as many whole rows as fit in it, or, where a row
 * is longer than that (or row_bytes is 0: there are none), as many whole
 * elements; one element at least. A row that is not made of whole elements counts
 * as none. element_bytes must not be 0.
 */
extern uint64_t sparse_grid_chunk_bytes(uint64_t row_bytes, uint64_t element_bytes,
										uint64_t target);

#endif
