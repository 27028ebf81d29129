/*
 * glue.c: the codec inside a backend (see glue.h).
 *
 * zstd's contexts come from malloc, so a codec must be freed even when an error
 * unwinds past its owner: a reset callback of its memory context does that.
 */
#include "sdelta/glue.h"

#include "utils/memutils.h"

static void *
context_allocate(void *state, size_t bytes)
{
	if (!AllocHugeSizeIsValid(bytes))
		return NULL;
	return MemoryContextAllocExtended((MemoryContext) state, bytes,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
context_release(void *state, void *block)
{
	(void) state;
	if (block != NULL)
		pfree(block);
}

void
sparse_allocator_init(sparse_allocator *allocator, MemoryContext context)
{
	allocator->allocate = context_allocate;
	allocator->release = context_release;
	allocator->state = context;
}

static void
free_codec(void *codec)
{
	sparse_codec_free((sparse_codec *) codec);
}

typedef struct CodecOwner
{
	MemoryContextCallback callback;
	sparse_allocator allocator;
} CodecOwner;

sparse_codec *
sparse_codec_in_context(MemoryContext context)
{
	CodecOwner *owner = MemoryContextAllocZero(context, sizeof(CodecOwner));
	sparse_codec *codec;

	sparse_allocator_init(&owner->allocator, context);
	codec = sparse_codec_create(&owner->allocator);
	if (codec == NULL)
		sparse_report(SPARSE_NO_MEMORY, "set up the codec");
	owner->callback.func = free_codec;
	owner->callback.arg = codec;
	MemoryContextRegisterResetCallback(context, &owner->callback);
	return codec;
}

int
sparse_status_errcode(sparse_status status)
{
	switch (status)
	{
		case SPARSE_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case SPARSE_BAD_ARGUMENT:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case SPARSE_TOO_LARGE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case SPARSE_BAD_VERSION:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case SPARSE_WRONG_PREDICTION:
			return ERRCODE_DATA_EXCEPTION;
		case SPARSE_INTERRUPTED:
			return ERRCODE_QUERY_CANCELED;
		case SPARSE_OK:
		case SPARSE_TRUNCATED:
		case SPARSE_CORRUPT:
		case SPARSE_WRONG_CONTENT:
			break;
	}
	return ERRCODE_DATA_CORRUPTED;
}

void
sparse_report(sparse_status status, const char *action)
{
	ereport(ERROR,
			(errcode(sparse_status_errcode(status)),
			 errmsg("could not %s: %s", action, sparse_status_text(status)),
			 status == SPARSE_WRONG_PREDICTION ?
			 errhint("Give the same predictions, in the same order, as when the delta was made.") : 0,
			 status == SPARSE_BAD_VERSION ?
			 errhint("It was written by a newer version of the extension \"sparse\".") : 0));
	pg_unreachable();
}
