/*
 * match.c: matches tensors by dtype and shape (see match.h).
 */
#include "match.h"

#include <string.h>

uint64_t
sparse_tensor_row_bytes(const sparse_tensor *tensor)
{
	if (tensor->rank == 0 || tensor->shape[0] == 0 || tensor->bytes % tensor->shape[0] != 0)
		return 0;
	return tensor->bytes / tensor->shape[0];
}

static bool
same_dtype(const sparse_tensor *a, const sparse_tensor *b)
{
	return a->dtype == b->dtype && strcmp(a->dtype_name, b->dtype_name) == 0;
}

static bool
same_trailing_dimensions(const sparse_tensor *a, const sparse_tensor *b)
{
	if (a->rank != b->rank)
		return false;
	return a->rank < 2 ||
		memcmp(a->shape + 1, b->shape + 1, (a->rank - 1) * sizeof(uint64_t)) == 0;
}

uint64_t
sparse_tensor_shared_bytes(const sparse_tensor *child, const sparse_tensor *parent)
{
	if (!same_dtype(child, parent) || !same_trailing_dimensions(child, parent))
		return 0;
	/* Of an unknown dtype the bytes may differ where the shape does not. */
	if (child->rank == 0 || child->shape[0] == parent->shape[0])
		return child->bytes == parent->bytes ? child->bytes : 0;
	if (sparse_tensor_row_bytes(child) == 0 ||
		sparse_tensor_row_bytes(child) != sparse_tensor_row_bytes(parent))
		return 0;
	return child->bytes < parent->bytes ? child->bytes : parent->bytes;
}

sparse_grid
sparse_tensor_grid(const sparse_tensor *tensor, uint64_t shared_bytes, uint64_t target)
{
	return (sparse_grid) {
		.content_bytes = tensor->bytes,
		.split_bytes = shared_bytes < tensor->bytes ? shared_bytes : 0,
		.chunk_bytes = sparse_grid_chunk_bytes(sparse_tensor_row_bytes(tensor),
											   sparse_dtype_get(tensor->dtype)->bytes, target)
	};
}
