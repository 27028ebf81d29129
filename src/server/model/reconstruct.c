/*
 * reconstruct.c: sparse_reconstruct and sparse_reconstruct_file.
 *
 * Value-per-call, so that they stream where they stand in a target list, as in
 * copy (select sparse_reconstruct(...)) to stdout. Between the calls there is
 * nothing but memory.
 */
#include "postgres.h"
#include "compat.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "answer.h"
#include "stream.h"

PG_FUNCTION_INFO_V1(model_reconstruct);
PG_FUNCTION_INFO_V1(model_reconstruct_file);

/* path NULL: the version's only file. In the memory that lives over all calls. */
static FileStream *
open_stream(FunctionCallInfo fcinfo, MemoryContext context, const char *path)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	StoreVersion *version = palloc0(sizeof(StoreVersion));
	StoreAccess access;
	VersionFile *file;
	FileStream *stream;

	version_from_argument(fcinfo, 0, false, version);
	store_enter(&access);
	answer_connect();
	MemoryContextSwitchTo(context);
	file = path == NULL ? version_only_file(context, version) : version_file(context, version, path);
	stream = file_stream_open(context, version, file);
	answer_finish();
	store_leave(&access);
	MemoryContextSwitchTo(previous);
	return stream;
}

static bytea *
next_piece(FileStream *stream)
{
	StoreAccess access;
	bytea	   *piece;

	store_enter(&access);
	answer_connect();
	piece = file_stream_next(stream);
	answer_finish();
	store_leave(&access);
	return piece;
}

static Datum
stream_pieces(FunctionCallInfo fcinfo, const char *path)
{
	FuncCallContext *call;
	bytea	   *piece;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = open_stream(fcinfo, call->multi_call_memory_ctx, path);
	}
	call = SRF_PERCALL_SETUP();
	piece = next_piece(call->user_fctx);
	if (piece != NULL)
		SRF_RETURN_NEXT(call, PointerGetDatum(piece));
	SRF_RETURN_DONE(call);
}

Datum
model_reconstruct(PG_FUNCTION_ARGS)
{
	return stream_pieces(fcinfo, NULL);
}

Datum
model_reconstruct_file(PG_FUNCTION_ARGS)
{
	return stream_pieces(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(1)));
}
