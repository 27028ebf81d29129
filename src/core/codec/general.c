/*
 * general.c: zstd, for whatever has no better coder.
 *
 * Bytes against a prefix (a parent's file or header), bytes alone, and the byte
 * planes of an element type alone: the k-th bytes of all elements together.
 */
#include "codec.h"

/* A frame may look back over prefix and content: at most 5 x SPARSE_MAX_CONTENT. */
static int
window_log(size_t bytes)
{
	int			log = 10;

	while (log < 27 && ((size_t) 1 << log) < bytes)
		log++;
	return log;
}

/* What a zstd call returned, as a status; `otherwise` for errors that are not of memory. */
static sparse_status
zstd_status(size_t result, sparse_status otherwise)
{
	if (!ZSTD_isError(result))
		return SPARSE_OK;
	return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? SPARSE_NO_MEMORY : otherwise;
}

/* A prefix must be set before every frame. */
static sparse_status
set_up_compressor(ZSTD_CCtx *compressor, const void *prefix, size_t prefix_bytes, size_t bytes, int level)
{
	ZSTD_CCtx_reset(compressor, ZSTD_reset_session_and_parameters);
	SPARSE_TRY(zstd_status(ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, level), SPARSE_BAD_ARGUMENT));
	SPARSE_TRY(zstd_status(ZSTD_CCtx_setParameter(compressor, ZSTD_c_contentSizeFlag, 0), SPARSE_BAD_ARGUMENT));
	if (prefix_bytes == 0)
		return SPARSE_OK;
	SPARSE_TRY(zstd_status(ZSTD_CCtx_setParameter(compressor, ZSTD_c_windowLog, window_log(bytes + prefix_bytes)),
						   SPARSE_BAD_ARGUMENT));
	return zstd_status(ZSTD_CCtx_refPrefix(compressor, prefix, prefix_bytes), SPARSE_BAD_ARGUMENT);
}

sparse_status
zstd_encode(sparse_codec *codec, const void *content, size_t bytes,
			const void *prefix, size_t prefix_bytes, int level, output *out)
{
	size_t		length;

	if (codec->compressor == NULL && (codec->compressor = ZSTD_createCCtx()) == NULL)
		return SPARSE_NO_MEMORY;
	SPARSE_TRY(set_up_compressor(codec->compressor, prefix, prefix_bytes, bytes, level));
	length = ZSTD_compress2(codec->compressor, out->at, (size_t) (out->end - out->at), content, bytes);
	if (!ZSTD_isError(length))
		out->at += length;
	else if (ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation)
		return SPARSE_NO_MEMORY;
	else
		out->full = true;
	return SPARSE_OK;
}

/*
 * The payload must be one frame of the present format and nothing else: the
 * library would also take several, skip some, and decode formats long past.
 */
static sparse_status
check_frame(cursor payload)
{
	size_t		length = cursor_left(&payload);

	SPARSE_CHECK(length >= 4 && load32(payload.at) == ZSTD_MAGICNUMBER);
	SPARSE_CHECK(ZSTD_findFrameCompressedSize(payload.at, length) == length);
	return SPARSE_OK;
}

sparse_status
zstd_decode(sparse_codec *codec, cursor payload, const void *prefix, size_t prefix_bytes,
			void *content, size_t bytes)
{
	size_t		length;

	SPARSE_TRY(check_frame(payload));
	if (codec->decompressor == NULL && (codec->decompressor = ZSTD_createDCtx()) == NULL)
		return SPARSE_NO_MEMORY;
	ZSTD_DCtx_reset(codec->decompressor, ZSTD_reset_session_and_parameters);
	SPARSE_TRY(zstd_status(ZSTD_DCtx_setParameter(codec->decompressor, ZSTD_d_windowLogMax, 27), SPARSE_BAD_ARGUMENT));
	if (prefix_bytes > 0)
		SPARSE_TRY(zstd_status(ZSTD_DCtx_refPrefix(codec->decompressor, prefix, prefix_bytes), SPARSE_BAD_ARGUMENT));
	length = ZSTD_decompressDCtx(codec->decompressor, content, bytes, payload.at, cursor_left(&payload));
	SPARSE_TRY(zstd_status(length, SPARSE_CORRUPT));
	SPARSE_CHECK(length == bytes);
	return SPARSE_OK;
}

sparse_status
planes_encode(sparse_codec *codec, const void *content, size_t bytes, unsigned element_bytes, output *out)
{
	const uint8_t *from = content;
	size_t		elements = bytes / element_bytes;

	SPARSE_TRY(buffer_reserve(codec, &codec->wide, bytes));
	for (unsigned k = 0; k < element_bytes; k++)
		for (size_t i = 0; i < elements; i++)
			codec->wide.bytes[k * elements + i] = from[i * element_bytes + k];
	return zstd_encode(codec, codec->wide.bytes, bytes, NULL, 0, 3, out);
}

sparse_status
planes_decode(sparse_codec *codec, cursor payload, void *content, size_t bytes, unsigned element_bytes)
{
	uint8_t    *to = content;
	size_t		elements = bytes / element_bytes;

	SPARSE_TRY(buffer_reserve(codec, &codec->wide, bytes));
	SPARSE_TRY(zstd_decode(codec, payload, NULL, 0, codec->wide.bytes, bytes));
	for (unsigned k = 0; k < element_bytes; k++)
		for (size_t i = 0; i < elements; i++)
			to[i * element_bytes + k] = codec->wide.bytes[k * elements + i];
	return SPARSE_OK;
}
