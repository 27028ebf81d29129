/*
 * predict.h: what an object may be predicted from, and by which of its bytes.
 *
 * Internal to the writers of objects (write.c, stage.c).
 */
#ifndef SPARSE_STORE_PREDICT_H
#define SPARSE_STORE_PREDICT_H

#include "recipes/prediction.h"
#include "store/store.h"

/*
 * Reading a chunk by bytes reads several of its parent, and each of those several
 * of its own: such chains must be short, however long others may be.
 */
#define MAX_DEPTH_BY_BYTES 2

/*
 * Whether, and how, a candidate can predict what `spec` describes. One that would
 * make the chain too long is replaced by the nearest of its ancestors that does not.
 */
extern bool prediction_consider(ObjectReader *reader, const ObjectSpec *spec, int64 candidate,
								sparse_prediction *prediction);

/* recipe_consider, of what `spec` describes. */
extern bool object_computes(ObjectReader *reader, const ObjectSpec *spec, sparse_recipe *recipe, int32 *depth);

/* ---- the core's shell ---- */

/* Objects as a source of the core: the state of its callbacks. Those that look for tensors are a higher layer's. */
typedef struct ObjectSource
{
	ObjectReader *reader;
	const ObjectSpec *spec;
	void	   *above;			/* of that layer */
} ObjectSource;

extern void object_source(ObjectSource *state, sparse_source *source);

/* What is to be stored, but for its name and shape. */
extern void subject_of_spec(const ObjectSpec *spec, sparse_subject *subject);

/* Memory of a context, and the backend's interrupts. */
extern void object_environment(sparse_environment *environment, sparse_allocator *allocator, MemoryContext context);

#endif
