/*
 * predict.c: what an object may be predicted from, and by which of its bytes.
 *
 * Two ways: by elements, from the same place of a parent of the same dtype, as far
 * as both reach; or, for content without elements, by bytes, from what lies around
 * the same place.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"

#include "store/predict.h"
#include "store/reader.h"

/* The candidate itself, or the nearest of its ancestors that leaves the chain short enough. */
static bool
within_depth(ObjectReader *reader, const ObjectSpec *spec, int64 candidate, ObjectInfo *info)
{
	int			most = spec->max_depth > 0 ? spec->max_depth : sparse_max_chain_depth;

	if (spec->dtype == SPARSE_BYTES)
		most = Min(most, MAX_DEPTH_BY_BYTES);
	for (int32 deeper = PG_INT32_MAX;; deeper = info->depth)
	{
		CHECK_FOR_INTERRUPTS();
		if (!object_info(reader, candidate, info))
			return false;
		if (info->depth >= deeper)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("object " INT64_FORMAT " is corrupt", info->id),
					 errdetail("It is a parent, but not less deep than its child.")));
		if (info->depth < most)
			return true;
		if (!object_parent(reader, candidate, 0, &candidate))
			return false;
	}
}

/* How far a parent reaches into the content: in whole rows, or else in whole elements. */
static uint64
shared_bytes(const ObjectSpec *spec, uint64 parent_bytes)
{
	uint64		row = spec->row_bytes;
	uint64		unit = sparse_dtype_get(spec->dtype)->bytes;

	if (parent_bytes >= spec->bytes)
		return spec->bytes;
	if (row > 0 && row <= parent_bytes && row % unit == 0)
		unit = row;
	return parent_bytes - parent_bytes % unit;
}

bool
prediction_consider(ObjectReader *reader, const ObjectSpec *spec, int64 candidate,
					Prediction *prediction)
{
	ObjectInfo	info;

	if (!within_depth(reader, spec, candidate, &info))
		return false;
	if (info.dtype != spec->dtype || info.bytes == 0)
		return false;
	prediction->parent = info.id;
	prediction->depth = info.depth;
	prediction->bytes = info.bytes;
	prediction->by_elements = info.dtype != SPARSE_BYTES;
	prediction->shared = prediction->by_elements ? shared_bytes(spec, info.bytes) : spec->bytes;
	return prediction->shared > 0;
}

sparse_ref
prediction_reference(const Prediction *prediction, sparse_dtype dtype,
					 uint64 chunk_bytes, uint64 first, uint64 bytes)
{
	uint64		element_bytes = sparse_dtype_get(dtype)->bytes;
	uint64		begin = first;
	uint64		end = first + bytes;

	if (!prediction->by_elements)
	{
		uint64		middle = Min(first, prediction->bytes);

		begin = middle - Min(middle, WINDOW_BEFORE * chunk_bytes);
		end = middle + Min(prediction->bytes - middle, WINDOW_AFTER * chunk_bytes);
	}
	return (sparse_ref) {
		.parent = 0,
		.dtype = dtype,
		.first = begin / element_bytes,
		.count = (end - begin) / element_bytes
	};
}

bool
object_predicts(const ObjectInfo *parent, const ObjectInfo *child,
				uint64 first, uint64 bytes, sparse_ref *ref)
{
	Prediction	prediction = {
		.parent = parent->id, .depth = parent->depth, .bytes = parent->bytes,
		.by_elements = parent->dtype != SPARSE_BYTES
	};

	if (prediction.by_elements && first + bytes > parent->bytes)
		return false;
	*ref = prediction_reference(&prediction, child->dtype, child->grid.chunk_bytes, first, bytes);
	return ref->count > 0;
}
