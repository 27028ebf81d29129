/*
 * test_grid.c: chunk grids tile their content, on every grid small enough to try
 * them all and on the largest that 64 bits can hold.
 */
#include "codec/grid.h"

#include <stdio.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* Whether the chunks follow each other from 0 to the end and respect the split. */
static bool
tiles(const sparse_grid *grid)
{
	uint64_t	at = 0;
	uint64_t	first;
	uint64_t	length;

	for (uint64_t seq = 0; sparse_grid_chunk(grid, seq, &first, &length); seq++)
	{
		if (first != at || length == 0 || length > grid->chunk_bytes)
			return false;
		if (first < grid->split_bytes && first + length > grid->split_bytes)
			return false;
		for (uint64_t byte = first; byte < first + length; byte++)
			if (sparse_grid_seq(grid, byte) != seq)
				return false;
		at += length;
	}
	return at == grid->content_bytes;
}

static bool
all_small_grids_tile(void)
{
	for (uint64_t content = 0; content < 24; content++)
		for (uint64_t split = 0; split <= content; split++)
			for (uint64_t chunk = 1; chunk < 26; chunk++)
			{
				sparse_grid grid = {content, split, chunk};

				if (!sparse_grid_valid(&grid) || !tiles(&grid))
					return false;
			}
	return true;
}

static bool
split_at_the_end_is_no_split(void)
{
	sparse_grid whole = {100, 0, 7};
	sparse_grid split = {100, 100, 7};

	return sparse_grid_chunks(&whole) == sparse_grid_chunks(&split) &&
		sparse_grid_chunks(&whole) == 15;
}

static bool
largest_content_does_not_overflow(void)
{
	sparse_grid grid = {UINT64_MAX, UINT64_MAX - 10, (uint64_t) 1 << 20};
	uint64_t	last = sparse_grid_chunks(&grid) - 1;
	uint64_t	first;
	uint64_t	length;

	return sparse_grid_chunk(&grid, last, &first, &length) &&
		first == UINT64_MAX - 10 && length == 10 &&
		sparse_grid_chunk(&grid, last - 1, &first, &length) &&
		first + length == UINT64_MAX - 10 &&
		sparse_grid_seq(&grid, UINT64_MAX - 1) == last &&
		!sparse_grid_chunk(&grid, last + 1, &first, &length);
}

int
main(void)
{
	sparse_grid no_chunk = {10, 0, 0};
	sparse_grid late_split = {10, 11, 3};
	sparse_grid empty = {0, 0, 3};

	ok(all_small_grids_tile(), "every small grid tiles its content, splits kept, and seq finds each byte");
	ok(!sparse_grid_valid(&no_chunk), "a grid of chunks of no bytes is not valid");
	ok(!sparse_grid_valid(&late_split), "a split past the content is not valid");
	ok(sparse_grid_chunks(&empty) == 0 && sparse_grid_seq(&empty, 0) == 0, "no content has no chunks");
	ok(split_at_the_end_is_no_split(), "a split at the end changes nothing");
	ok(largest_content_does_not_overflow(), "the largest content does not overflow");
	ok(sparse_grid_chunk_bytes(768, 2, 1 << 20) == 1048320, "chunks hold whole rows when a row fits");
	ok(sparse_grid_chunk_bytes(1 << 20, 2, 1 << 20) == 1 << 20, "a row of exactly the target is one chunk");
	ok(sparse_grid_chunk_bytes((1 << 20) + 8, 8, 1 << 20) == 1 << 20, "longer rows are cut at elements");
	ok(sparse_grid_chunk_bytes(0, 4, 10) == 8, "without rows, chunks hold whole elements");
	ok(sparse_grid_chunk_bytes(16, 8, 3) == 8, "a chunk holds one element at least");
	ok(sparse_grid_chunk_bytes(10, 4, 100) == 100, "rows that are not whole elements do not count");
	printf("1..%d\n", tests);
	return failures != 0;
}
