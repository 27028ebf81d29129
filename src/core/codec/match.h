/*
 * match.h: what a tensor can be predicted from in a parent's tensor of its name.
 *
 * Tensors match when they have the same dtype, rank and trailing dimensions.
 * Where the first dimension differs (a vocabulary that grew, layers of experts
 * that were cut), the leading rows that both have are shared and predicted; the
 * rest is not, and the chunk grid restarts at that boundary.
 */
#ifndef SPARSE_CODEC_MATCH_H
#define SPARSE_CODEC_MATCH_H

#include <stdint.h>

#include "grid.h"
#include "safetensors.h"

/*
 * The bytes of one row: all that stands under one index of the first dimension.
 * 0 without rows (no dimensions, no content, or an unknown dtype whose bytes do
 * not divide by the rows).
 */
extern uint64_t sparse_tensor_row_bytes(const sparse_tensor *tensor);

/*
 * How many leading bytes of `child` the bytes at the same place of `parent` can
 * predict; 0 when the tensors do not match. Always whole elements.
 */
extern uint64_t sparse_tensor_shared_bytes(const sparse_tensor *child,
										   const sparse_tensor *parent);

/*
 * The chunk grid of a tensor of which the first shared_bytes are predicted, with
 * chunks of about `target` bytes.
 */
extern sparse_grid sparse_tensor_grid(const sparse_tensor *tensor,
									  uint64_t shared_bytes, uint64_t target);

#endif
