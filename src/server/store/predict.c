/*
 * predict.c: objects as the core sees them, which chooses what predicts what (recipes/prediction.h).
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"

#include "sdelta/glue.h"
#include "store/predict.h"
#include "store/reader.h"
#include "store/write.h"

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

bool
prediction_consider(ObjectReader *reader, const ObjectSpec *spec, int64 candidate,
					sparse_prediction *prediction)
{
	sparse_subject subject;
	ObjectInfo	info;

	if (!within_depth(reader, spec, candidate, &info))
		return false;
	subject_of_spec(spec, &subject);
	return prediction_plain(&subject, info.id, &(sparse_kin_info) {info.dtype, info.bytes, info.depth, 1}, prediction);
}

bool
object_predicts(const ObjectInfo *parent, const ObjectInfo *child,
				uint64 first, uint64 bytes, sparse_ref *ref)
{
	sparse_prediction prediction = {
		.object = parent->id, .depth = parent->depth, .bytes = parent->bytes,
		.by_elements = parent->dtype != SPARSE_BYTES
	};

	if (prediction.by_elements && first + bytes > parent->bytes)
		return false;
	*ref = prediction_reference(&prediction, child->dtype, child->grid.chunk_bytes, first, bytes);
	return ref->count > 0;
}

/* ---- the core's shell ---- */

static sparse_status
read_spec(void *state, uint64_t first, uint64_t bytes, void *target)
{
	const ObjectSpec *spec = state;

	spec->source(spec->source_state, first, bytes, target);
	return SPARSE_OK;
}

void
subject_of_spec(const ObjectSpec *spec, sparse_subject *subject)
{
	*subject = (sparse_subject) {
		.dtype = spec->dtype, .bytes = spec->bytes, .row_bytes = spec->row_bytes,
		.chunk_bytes = object_chunk_bytes(spec), .read = read_spec, .state = (void *) spec
	};
}

static sparse_status
read_source(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep)
{
	const ObjectSource *source = state;

	object_read_keep(source->reader, object, first, bytes, target, keep);
	return SPARSE_OK;
}

/* What takes no bytes was only reserved so far: the object at hand itself, others of its version. */
static bool
inspect_source(void *state, int64_t object, int most, sparse_kin_info *kin)
{
	const ObjectSource *source = state;
	const ObjectSpec *spec = source->spec;
	ObjectInfo	info;

	if (!object_info(source->reader, object, &info) || info.stored_bytes == 0 ||
		info.depth >= (spec->max_depth > 0 ? spec->max_depth : sparse_max_chain_depth))
		return false;
	*kin = (sparse_kin_info) {info.dtype, info.bytes, info.depth, object_decodes(source->reader, object, most)};
	return true;
}

void
object_source(ObjectSource *state, sparse_source *source)
{
	*source = (sparse_source) {.state = state, .inspect = inspect_source, .read = read_source};
}

bool
object_computes(ObjectReader *reader, const ObjectSpec *spec, sparse_recipe *recipe, int32 *depth)
{
	ObjectSource objects = {.reader = reader, .spec = spec};
	sparse_source source;
	sparse_subject subject;

	object_source(&objects, &source);
	subject_of_spec(spec, &subject);
	return recipe_consider(&source, &subject, recipe, depth);
}

static bool
let_interrupt(void *state)
{
	(void) state;
	CHECK_FOR_INTERRUPTS();
	return false;
}

void
object_environment(sparse_environment *environment, sparse_allocator *allocator, MemoryContext context)
{
	sparse_allocator_init(allocator, context);
	*environment = (sparse_environment) {.allocator = allocator, .interrupted = let_interrupt, .effort = sparse_effort};
}
