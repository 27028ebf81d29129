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

/*
 * A codec that nobody uses waits for the next one who needs one, with the tables that it has made and the pages that
 * it has touched: they take as long as some MiB of content. One that has grown large is released.
 */
#define KEPT_MAX ((size_t) 8 * 1024 * 1024)

typedef struct Codec
{
	MemoryContext memory;		/* its own, under TopMemoryContext */
	sparse_allocator allocator;
	sparse_codec *codec;
} Codec;

static Codec *idle;

typedef struct Lease
{
	MemoryContextCallback callback;
	Codec	   *codec;
} Lease;

static void
release_codec(Codec *codec)
{
	MemoryContext memory = codec->memory;

	sparse_codec_free(codec->codec);
	MemoryContextDelete(memory);
}

static void
give_back(void *argument)
{
	Codec	   *codec = ((Lease *) argument)->codec;

	if (codec == NULL)
		return;
	sparse_codec_level(codec->codec, 0);
	if (idle == NULL && sparse_codec_held(codec->codec) <= KEPT_MAX)
		idle = codec;
	else
		release_codec(codec);
}

static Codec *
make_codec(void)
{
	MemoryContext memory = AllocSetContextCreate(TopMemoryContext, "sparse codec", ALLOCSET_DEFAULT_SIZES);
	Codec	   *codec = MemoryContextAllocExtended(memory, sizeof(Codec), MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);

	if (codec != NULL)
	{
		codec->memory = memory;
		sparse_allocator_init(&codec->allocator, memory);
		codec->codec = sparse_codec_create(&codec->allocator);
	}
	if (codec == NULL || codec->codec == NULL)
	{
		MemoryContextDelete(memory);
		sparse_report(SPARSE_NO_MEMORY, "set up the codec");
	}
	return codec;
}

sparse_codec *
sparse_codec_in_context(MemoryContext context)
{
	Lease	   *lease = MemoryContextAllocZero(context, sizeof(Lease));

	lease->callback.func = give_back;
	lease->callback.arg = lease;
	MemoryContextRegisterResetCallback(context, &lease->callback);
	if (idle != NULL)
	{
		lease->codec = idle;
		idle = NULL;
	}
	else
		lease->codec = make_codec();
	return lease->codec->codec;
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
		case SPARSE_GIVEN_UP:
		case SPARSE_NEWER_VERSION:
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
			 status == SPARSE_NEWER_VERSION ?
			 errhint("Install a newer version of the extension \"sparse\".") : 0));
	pg_unreachable();
}
