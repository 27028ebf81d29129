/*
 * grid.c: the arithmetic of chunk grids (see grid.h). No sum or product here can
 * overflow for a valid grid: every intermediate value is at most content_bytes.
 */
#include "grid.h"

static uint64_t
divide_up(uint64_t bytes, uint64_t by)
{
	return bytes / by + (bytes % by != 0);
}

bool
sparse_grid_valid(const sparse_grid *grid)
{
	return grid->chunk_bytes > 0 && grid->split_bytes <= grid->content_bytes;
}

uint64_t
sparse_grid_chunks(const sparse_grid *grid)
{
	return divide_up(grid->split_bytes, grid->chunk_bytes) +
		divide_up(grid->content_bytes - grid->split_bytes, grid->chunk_bytes);
}

bool
sparse_grid_chunk(const sparse_grid *grid, uint64_t seq,
				  uint64_t *first, uint64_t *length)
{
	uint64_t	before_split = divide_up(grid->split_bytes, grid->chunk_bytes);
	uint64_t	begin;
	uint64_t	end;

	if (seq >= sparse_grid_chunks(grid))
		return false;
	if (seq < before_split)
	{
		begin = seq * grid->chunk_bytes;
		end = grid->split_bytes;
	}
	else
	{
		begin = grid->split_bytes + (seq - before_split) * grid->chunk_bytes;
		end = grid->content_bytes;
	}
	*first = begin;
	*length = end - begin < grid->chunk_bytes ? end - begin : grid->chunk_bytes;
	return true;
}

uint64_t
sparse_grid_seq(const sparse_grid *grid, uint64_t byte)
{
	if (byte >= grid->content_bytes)
		return sparse_grid_chunks(grid);
	if (byte < grid->split_bytes)
		return byte / grid->chunk_bytes;
	return divide_up(grid->split_bytes, grid->chunk_bytes) +
		(byte - grid->split_bytes) / grid->chunk_bytes;
}

uint64_t
sparse_grid_chunk_bytes(uint64_t row_bytes, uint64_t element_bytes, uint64_t target)
{
	uint64_t	unit = element_bytes;

	if (row_bytes != 0 && row_bytes <= target && row_bytes % element_bytes == 0)
		unit = row_bytes;
	return target < unit ? unit : target - target % unit;
}
