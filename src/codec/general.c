/*
 * general.c: zstd, for whatever has no better coder.
 *
 * Bytes against a prefix (a parent's file or header), bytes alone, and the byte
 * planes of an element type alone: the k-th bytes of all elements together.
 */
#include "codec.h"

/* A frame may look back over prefix and content; both are bounded by SPARSE_MAX_CONTENT. */
static int
window_log(size_t bytes)
{
	int			log = 10;

	while (log < 27 && ((size_t) 1 << log) < bytes)
		log++;
	return log;
}

sparse_status
zstd_encode(sparse_codec *codec, const void *content, size_t bytes,
			const void *prefix, size_t prefix_bytes, int level, output *out)
{
	size_t		length;

	if (codec->compressor == NULL && (codec->compressor = ZSTD_createCCtx()) == NULL)
		return SPARSE_NO_MEMORY;
	ZSTD_CCtx_reset(codec->compressor, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_contentSizeFlag, 0);
	if (prefix_bytes > 0)
	{
		ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_windowLog, window_log(bytes + prefix_bytes));
		ZSTD_CCtx_refPrefix(codec->compressor, prefix, prefix_bytes);
	}
	length = ZSTD_compress2(codec->compressor, out->at, (size_t) (out->end - out->at), content, bytes);
	if (!ZSTD_isError(length))
		out->at += length;
	else if (ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation)
		return SPARSE_NO_MEMORY;
	else
		out->full = true;
	return SPARSE_OK;
}

sparse_status
zstd_decode(sparse_codec *codec, cursor payload, const void *prefix, size_t prefix_bytes,
			void *content, size_t bytes)
{
	size_t		length;

	if (codec->decompressor == NULL && (codec->decompressor = ZSTD_createDCtx()) == NULL)
		return SPARSE_NO_MEMORY;
	ZSTD_DCtx_reset(codec->decompressor, ZSTD_reset_session_and_parameters);
	ZSTD_DCtx_setParameter(codec->decompressor, ZSTD_d_windowLogMax, 27);
	if (prefix_bytes > 0)
		ZSTD_DCtx_refPrefix(codec->decompressor, prefix, prefix_bytes);
	length = ZSTD_decompressDCtx(codec->decompressor, content, bytes, payload.at, cursor_left(&payload));
	if (ZSTD_isError(length) && ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation)
		return SPARSE_NO_MEMORY;
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
