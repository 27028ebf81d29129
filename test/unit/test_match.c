/*
 * test_match.c: which tensors predict which, and how far.
 */
#include "codec/match.h"

#include <stdio.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static sparse_tensor
matrix(sparse_dtype dtype, const uint64_t shape[2])
{
	uint64_t	bytes = shape[0] * shape[1] * sparse_dtype_get(dtype)->bytes;

	return (sparse_tensor) {"t", sparse_dtype_get(dtype)->name, dtype, 2, shape, 0, bytes};
}

/* A tensor of a dtype that this version does not know. */
static sparse_tensor
unknown(const char *dtype, const uint64_t shape[2], uint64_t bytes)
{
	return (sparse_tensor) {"t", dtype, SPARSE_BYTES, 2, shape, 0, bytes};
}

static uint64_t
shared(sparse_tensor child, sparse_tensor parent)
{
	return sparse_tensor_shared_bytes(&child, &parent);
}

int
main(void)
{
	static const uint64_t small[] = {1024, 384}, grown[] = {1088, 384}, wide[] = {1024, 385}, empty[] = {0, 384};
	sparse_tensor child = matrix(SPARSE_BF16, grown);
	sparse_tensor none = matrix(SPARSE_BF16, empty);
	sparse_tensor scalar = {"t", "F32", SPARSE_F32, 0, NULL, 0, 4};
	uint64_t	all = 1024 * 384 * 2;
	sparse_grid grid = sparse_tensor_grid(&child, all, SPARSE_CHUNK_TARGET);

	ok(shared(matrix(SPARSE_BF16, small), matrix(SPARSE_BF16, small)) == all, "equal shapes share everything");
	ok(shared(matrix(SPARSE_BF16, grown), matrix(SPARSE_BF16, small)) == all, "a grown tensor shares the rows it had");
	ok(shared(matrix(SPARSE_BF16, small), matrix(SPARSE_BF16, grown)) == all, "a cut tensor shares the rows it kept");
	ok(shared(matrix(SPARSE_BF16, wide), matrix(SPARSE_BF16, small)) == 0, "other trailing dimensions share nothing");
	ok(shared(matrix(SPARSE_F16, small), matrix(SPARSE_BF16, small)) == 0, "another dtype shares nothing");
	ok(shared(matrix(SPARSE_BF16, empty), matrix(SPARSE_BF16, small)) == 0, "an empty tensor shares nothing");
	ok(shared(scalar, scalar) == 4, "scalars share their element");
	ok(shared(scalar, matrix(SPARSE_F32, small)) == 0, "another rank shares nothing");
	ok(shared(unknown("F4", small, 500), unknown("F4", small, 500)) == 500, "unknown dtypes of equal shape share everything");
	ok(shared(unknown("F4", small, 500), unknown("F4", small, 501)) == 0, "unless their bytes differ");
	ok(shared(unknown("F4", small, 500), unknown("E8", small, 500)) == 0, "or their names");
	ok(sparse_tensor_row_bytes(&child) == 768 && sparse_tensor_row_bytes(&scalar) == 0 &&
	   sparse_tensor_row_bytes(&none) == 0, "a row is what stands under one index of the first dimension");
	ok(grid.content_bytes == child.bytes && grid.split_bytes == all && grid.chunk_bytes == 1048320,
	   "the grid of a grown tensor restarts where the shared rows end");
	grid = sparse_tensor_grid(&child, child.bytes, SPARSE_CHUNK_TARGET);
	ok(grid.split_bytes == 0, "the grid of a tensor that is wholly shared has no split");
	printf("1..%d\n", tests);
	return failures != 0;
}
