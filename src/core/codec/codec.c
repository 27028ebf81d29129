/*
 * codec.c: the life of a codec and its scratch memory.
 */
#include "codec.h"

/* What a codec keeps from call to call. */
#define BUFFERS(codec) { \
		&(codec)->payload, &(codec)->other, &(codec)->raw, &(codec)->token, \
		&(codec)->table, &(codec)->scale, &(codec)->predicted, &(codec)->fraction, \
		&(codec)->mirrored, &(codec)->planes, &(codec)->wide, &(codec)->slots, &(codec)->symbols}

sparse_codec *
sparse_codec_create(const sparse_allocator *allocator)
{
	sparse_codec *codec;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	codec = allocator->allocate(allocator->state, sizeof(sparse_codec));
	if (codec == NULL)
		return NULL;
	memset(codec, 0, sizeof(sparse_codec));
	codec->allocator = *allocator;
	codec->simd = sparse_simd_best();
	return codec;
}

void
sparse_codec_restrict(sparse_codec *codec, sparse_simd level)
{
	if (level < codec->simd)
		codec->simd = level;
}

void
sparse_codec_free(sparse_codec *codec)
{
	sparse_allocator allocator;

	if (codec == NULL)
		return;
	allocator = codec->allocator;
	buffer	   *const all[] = BUFFERS(codec);

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		allocator.release(allocator.state, all[i]->bytes);
	for (unsigned i = 0; i < FIXED_TABLES; i++)
	{
		allocator.release(allocator.state, codec->shape_slots[i].bytes);
		allocator.release(allocator.state, codec->shape_symbols[i].bytes);
	}
	for (unsigned shape = 0; shape < FAMILY_SHAPES; shape++)
		allocator.release(allocator.state, codec->shape_prices[shape].bytes);
	ZSTD_freeCCtx(codec->compressor);
	ZSTD_freeDCtx(codec->decompressor);
	allocator.release(allocator.state, codec);
}

sparse_status
buffer_reserve(const sparse_codec *codec, buffer *b, size_t size)
{
	if (size <= b->size)
		return SPARSE_OK;
	size += size / 8 + 64;
	codec->allocator.release(codec->allocator.state, b->bytes);
	b->size = 0;
	b->bytes = codec->allocator.allocate(codec->allocator.state, size);
	if (b->bytes == NULL)
		return SPARSE_NO_MEMORY;
	b->size = size;
	return SPARSE_OK;
}

size_t
sparse_codec_held(const sparse_codec *codec)
{
	const buffer *const all[] = BUFFERS(codec);
	size_t		held = sizeof(*codec) + ZSTD_sizeof_CCtx(codec->compressor) + ZSTD_sizeof_DCtx(codec->decompressor);

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		held += all[i]->size;
	for (unsigned i = 0; i < FIXED_TABLES; i++)
		held += codec->shape_slots[i].size + codec->shape_symbols[i].size;
	for (unsigned shape = 0; shape < FAMILY_SHAPES; shape++)
		held += codec->shape_prices[shape].size;
	return held;
}

void
sparse_codec_level(sparse_codec *codec, int level)
{
	codec->zstd_level = level;
}
