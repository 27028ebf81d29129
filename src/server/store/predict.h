/*
 * predict.h: what an object may be predicted from, and by which of its bytes.
 *
 * Internal to the writers of objects (write.c, stage.c).
 */
#ifndef SPARSE_STORE_PREDICT_H
#define SPARSE_STORE_PREDICT_H

#include "store/store.h"

/* By bytes: chunks of the parent before the place of a chunk, and from it on. */
#define WINDOW_BEFORE 1
#define WINDOW_AFTER 3

/*
 * Reading a chunk by bytes reads several of its parent, and each of those several
 * of its own: such chains must be short, however long others may be.
 */
#define MAX_DEPTH_BY_BYTES 2

/* What an object is predicted from. */
typedef struct Prediction
{
	int64		parent;			/* 0: nothing */
	int32		depth;			/* of the parent */
	uint64		bytes;			/* of the parent */
	uint64		shared;			/* bytes of content from the start on that it predicts */
	bool		by_elements;
	const struct Recipe *recipe;	/* not NULL: it is computed (parent is then the first source) */
} Prediction;

/*
 * Whether, and how, a candidate can predict what `spec` describes. One that would
 * make the chain too long is replaced by the nearest of its ancestors that does not.
 */
extern bool prediction_consider(ObjectReader *reader, const ObjectSpec *spec, int64 candidate,
								Prediction *prediction);

/* The part of the parent that predicts `bytes` bytes of content from `first` on. */
extern sparse_ref prediction_reference(const Prediction *prediction, sparse_dtype dtype,
									   uint64 chunk_bytes, uint64 first, uint64 bytes);

#endif
