/*
 * zstd.c: sparse_measure_zstd: what the files of a version would take if each were
 * compressed by "zstd -3", the baseline of those who keep compressed files.
 *
 * The files are read as any reader reads them, and compressed from their first byte
 * to their last with the parameters of that program; nothing is estimated. What
 * comes out is thrown away, its length noted in the version's row, as the caller.
 */
#include "postgres.h"
#include "compat.h"

#include <zstd.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "model/layout.h"
#include "model/stream.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(savings_measure_zstd);

#define LEVEL 3

typedef struct Measuring
{
	const StoreVersion *version;
	ZSTD_CCtx  *codec;
	char	   *output;			/* of no use to anybody */
	size_t		room;
	uint64		bytes;			/* that came out */
} Measuring;

static void
check(size_t result)
{
	if (ZSTD_isError(result))
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not compress: %s", ZSTD_getErrorName(result)));
}

static void
compress(Measuring *measuring, const char *content, size_t bytes, ZSTD_EndDirective end)
{
	ZSTD_inBuffer input = {content, bytes, 0};
	size_t		left;

	do
	{
		ZSTD_outBuffer output = {measuring->output, measuring->room, 0};

		CHECK_FOR_INTERRUPTS();
		left = ZSTD_compressStream2(measuring->codec, &output, &input, end);
		check(left);
		measuring->bytes += output.pos;
	} while (end == ZSTD_e_end ? left > 0 : input.pos < input.size);
}

/* As the program does: with the length of the content, and a checksum. */
static void
begin_frame(Measuring *measuring, const VersionFile *file)
{
	check(ZSTD_CCtx_reset(measuring->codec, ZSTD_reset_session_and_parameters));
	check(ZSTD_CCtx_setParameter(measuring->codec, ZSTD_c_compressionLevel, LEVEL));
	check(ZSTD_CCtx_setParameter(measuring->codec, ZSTD_c_checksumFlag, 1));
	check(ZSTD_CCtx_setPledgedSrcSize(measuring->codec, file->bytes));
}

static void
measure_file(Measuring *measuring, const StoreVersion *version, const VersionFile *file)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse zstd", ALLOCSET_DEFAULT_SIZES);
	FileStream *stream = file_stream_open(context, version, file);
	bytea	   *piece;

	begin_frame(measuring, file);
	while ((piece = file_stream_next(stream)) != NULL)
		compress(measuring, VARDATA_ANY(piece), VARSIZE_ANY_EXHDR(piece), ZSTD_e_continue);
	compress(measuring, NULL, 0, ZSTD_e_end);
	MemoryContextDelete(context);
}

static void
measure(void *argument)
{
	Measuring  *measuring = argument;
	const StoreVersion *version = measuring->version;
	VersionFile *file;
	StoreAccess access;
	int			files;

	measuring->room = ZSTD_CStreamOutSize();
	measuring->output = palloc(measuring->room);
	store_enter(&access);
	answer_connect();
	files = version_files(CurrentMemoryContext, version->id, &file);
	for (int i = 0; i < files; i++)
		measure_file(measuring, version, &file[i]);
	answer_finish();
	store_leave(&access);
}

static void
free_codec(void *argument)
{
	ZSTD_freeCCtx(((const Measuring *) argument)->codec);
}

/* sparse_measure_zstd(version): what it came to. */
Datum
savings_measure_zstd(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	Measuring	measuring = {.version = &version};

	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, "It has no files to measure.");
	measuring.codec = ZSTD_createCCtx();
	if (measuring.codec == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	guarded_finally(measure, free_codec, &measuring);
	version_measured(version.id, (int64) measuring.bytes);
	PG_RETURN_INT64((int64) measuring.bytes);
}
