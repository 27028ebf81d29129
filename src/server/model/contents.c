/*
 * contents.c: the second pass of an import: every object of the plan is stored, once.
 *
 * Their rows are found or inserted in the order of their SHA-256, so that two
 * transactions of one import each can wait for each other but never deadlock. Those of
 * several imports can, for the order begins anew with each: the server finds the
 * deadlock and ends one of them. Then the content of the new ones is written, first of those
 * that are predicted from parents only, then of those that others of the version may predict.
 *
 * The bytes are read again, and may have changed since the first pass named them.
 * Storing them under the old name would poison whoever has the true content
 * later; so each object's checksum is taken again from what the store reads.
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "answer.h"
#include "import.h"
#include "recipes.h"

/* An object being read. The store may sample it first, then reads it in order. */
typedef struct ObjectStream
{
	XXH3_state_t checksum;		/* of the bytes before position */
	uint64		position;
	uint64		seed;
	bool		verified;		/* read in order to its end, and unchanged */
	const PlanObject *object;
	const PlanFile *file;
} ObjectStream;

static void
restart(ObjectStream *stream)
{
	XXH3_64bits_reset_withSeed(&stream->checksum, stream->seed);
	stream->position = 0;
	stream->verified = false;
}

static void
check_unchanged(ObjectStream *stream)
{
	if (XXH3_64bits_digest(&stream->checksum) != stream->object->checksum)
		source_has_changed(stream->file->source);
	stream->verified = true;
}

static void
read_object(void *state, uint64 first, uint64 bytes, char *target)
{
	ObjectStream *stream = state;

	plan_read(stream->file, stream->object, first, bytes, target);
	if (first == 0)
		restart(stream);
	if (first != stream->position)
		return;
	XXH3_64bits_update(&stream->checksum, target, bytes);
	stream->position += bytes;
	if (stream->position == stream->object->bytes)
		check_unchanged(stream);
}

/* What the store must know of an object before its content. */
static void
describe(const Import *import, const PlanObject *object, ObjectSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->version = import->version;
	spec->place = import->place;
	spec->sha256 = object->sha256;
	spec->dtype = object->dtype;
	spec->bytes = object->bytes;
	spec->row_bytes = object->row_bytes;
}

static void
reserve_object(Import *import, ObjectReader *reader, PlanObject *object)
{
	ObjectSpec	spec;
	ObjectResult result;

	(void) reader;
	describe(import, object, &spec);
	object_reserve(&spec, &result);
	object->id = result.id;
	object->is_new = !result.existed;
	object->wants_siblings = object->is_new && import_wants_siblings(import, object);
}

static void
store_object(Import *import, ObjectReader *reader, PlanObject *object)
{
	const PlanFile *file = &import->plan->file[object->file];
	ObjectStream stream = {.object = object, .file = file, .seed = import->plan->seed};
	ObjectSpec	spec;
	ObjectResult result = {0};

	restart(&stream);
	describe(import, object, &spec);
	spec.source = read_object;
	spec.source_state = &stream;
	object_reader_context(reader, import->name, file->path,
						  object->tensor != NULL ? object->tensor->name : NULL);
	import_propose(import, reader, object, &spec);
	object_write_content(reader, &spec, object->id, &result);
	if (object->bytes > 0 && !stream.verified)
		elog(ERROR, "object was stored without being read in order");
	import->new_objects++;
	import->new_bytes += (int64) object->bytes;
	import->stored_bytes += (int64) result.stored_bytes;
}

static int
compare_objects(const void *a, const void *b)
{
	const PlanObject *const *left = a;
	const PlanObject *const *right = b;

	return memcmp((*left)->sha256, (*right)->sha256, SPARSE_SHA256_BYTES);
}

/* Of equal objects the first in the version comes first: it looks for a parent by its name. */
static int
compare_in_order(const void *a, const void *b)
{
	const PlanObject *left = *(const PlanObject *const *) a;
	const PlanObject *right = *(const PlanObject *const *) b;
	int			order = compare_objects(a, b);

	if (order == 0)
		order = (left->file > right->file) - (left->file < right->file);
	if (order == 0)
		order = (left->first > right->first) - (left->first < right->first);
	return order;
}

PlanObject **
plan_sorted_objects(const ImportPlan *plan, uint64 *count)
{
	PlanObject **object = palloc_extended((plan->files + plan_tensors(plan)) * sizeof(PlanObject *),
										  MCXT_ALLOC_HUGE);

	*count = 0;
	for (int i = 0; i < plan->files; i++)
	{
		PlanFile   *file = &plan->file[i];

		object[(*count)++] = &file->object;
		for (uint32 t = 0; t < file->tensors; t++)
			object[(*count)++] = &file->tensor[t].object;
	}
	qsort(object, *count, sizeof(PlanObject *), compare_in_order);
	return object;
}

typedef void (*ObjectStep) (Import *import, ObjectReader *reader, PlanObject *object);

/*
 * Each object within an SPI connection and a memory context of its own: what is
 * left behind by one is gone before the next.
 */
static void
in_context(Import *import, ObjectReader *reader, MemoryContext context, ObjectStep step, PlanObject *object)
{
	MemoryContext previous = MemoryContextSwitchTo(context);

	CHECK_FOR_INTERRUPTS();
	answer_connect();
	step(import, reader, object);
	answer_finish();
	MemoryContextSwitchTo(previous);
	MemoryContextReset(context);
}

void
import_contents(Import *import)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse object",
												  ALLOCSET_DEFAULT_SIZES);
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, false);
	MemoryContext kin_context = AllocSetContextCreate(CurrentMemoryContext, "sparse kin", ALLOCSET_DEFAULT_SIZES);
	uint64		count;
	PlanObject **object = plan_sorted_objects(import->plan, &count);

	import->kin = import_kin_index(kin_context, import->parents);
	for (uint64 i = 0; i < count; i++)
		if (i > 0 && compare_objects(&object[i - 1], &object[i]) == 0)
			object[i]->id = object[i - 1]->id;
		else
			in_context(import, reader, context, reserve_object, object[i]);
	for (int last = 0; last <= 1; last++)
		for (uint64 i = 0; i < count; i++)
			if (object[i]->is_new && object[i]->wants_siblings == last)
				in_context(import, reader, context, store_object, object[i]);
	object_reader_free(reader);
	MemoryContextDelete(kin_context);
	MemoryContextDelete(context);
	pfree(object);
}
