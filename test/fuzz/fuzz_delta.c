/*
 * fuzz_delta.c: any bytes as a delta. The first byte of the input seeds the
 * prediction, the rest is the delta, whose checksum of the prediction is put right
 * first: no fuzzer guesses it, and behind it lie the decoders. The checksum of the
 * content stays as it is, and what decodes must have it.
 */
#include "../../src/core/codec/delta.h"
#include "../lib/made_prediction.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

/* Longer contents and predictions only make a run slower. */
#define MOST ((uint64_t) 1 << 18)

#define PREDICTION_HASH_AT 24

static void
set_prediction_hash(uint8_t *delta, uint64_t hash)
{
	for (int i = 0; i < 8; i++)
		delta[PREDICTION_HASH_AT + i] = (uint8_t) (hash >> 8 * i);
}

/* What every header that is accepted must satisfy. */
static void
check_info(const sparse_delta_info *info, size_t size)
{
	uint64_t	prediction_bytes = 0;

	REQUIRE(info->version >= 1 && info->version <= SPARSE_FORMAT && info->predictor < SPARSE_PREDICTORS);
	REQUIRE(info->coding < SPARSE_CODINGS && info->dtype < SPARSE_DTYPES);
	REQUIRE(info->delta_bytes == size && info->content_bytes <= SPARSE_MAX_CONTENT);
	REQUIRE(info->refs <= SPARSE_MAX_REFS);
	for (unsigned i = 0; i < info->refs; i++)
	{
		REQUIRE(info->ref[i].dtype < SPARSE_DTYPES);
		prediction_bytes += info->ref[i].count * sparse_dtype_get(info->ref[i].dtype)->bytes;
	}
	REQUIRE(prediction_bytes == info->prediction_bytes);
}

/*
 * A codec of each level. What they keep is made anew now and then, so that overruns of scratch memory show;
 * not each time, since making their fixed tables takes longer than most inputs.
 */
static sparse_codec *
codec_at(sparse_simd level, bool anew)
{
	static sparse_codec *codec[SPARSE_SIMD_LEVELS];

	if (anew)
	{
		sparse_codec_free(codec[level]);
		codec[level] = NULL;
	}
	if (codec[level] == NULL)
	{
		codec[level] = sparse_codec_create(NULL);
		sparse_codec_restrict(codec[level], level);
	}
	return codec[level];
}

/* What the path of a level says, compared with what the portable one said. */
static void
apply_also(sparse_simd level, bool anew, const uint8_t *delta, size_t size, const sparse_delta_info *info,
		   const uint8_t *prediction, sparse_status expected, const uint8_t *content)
{
	uint8_t    *again = malloc(info->content_bytes);
	sparse_status status = sparse_delta_apply(codec_at(level, anew), delta, size, prediction, info->prediction_bytes,
											  again, info->content_bytes);

	REQUIRE(status == expected);
	if (status == SPARSE_OK || status == SPARSE_WRONG_CONTENT)
		REQUIRE(info->content_bytes == 0 || memcmp(content, again, info->content_bytes) == 0);
	free(again);
}

/*
 * Everything lies in allocations of exactly its size, so that any overrun is
 * found. Whatever the bytes, all paths say the same.
 */
static void
apply(const uint8_t *delta, size_t size, const sparse_delta_info *info, const uint8_t *prediction)
{
	uint8_t    *content = malloc(info->content_bytes);
	const bool	anew = size % 64 == 0;
	sparse_status status = sparse_delta_apply(codec_at(SPARSE_SIMD_NONE, anew), delta, size,
											  prediction, info->prediction_bytes, content, info->content_bytes);

	if (status == SPARSE_OK)
		REQUIRE(XXH3_64bits(content, info->content_bytes) == info->content_hash);
	for (int level = 1; level <= (int) sparse_simd_best(); level++)
		apply_also((sparse_simd) level, anew, delta, size, info, prediction, status, content);
	free(content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	sparse_delta_info info;
	uint8_t    *delta;
	uint8_t    *prediction;

	if (size < 1)
		return 0;
	size--;
	delta = malloc(size);
	memcpy(delta, input + 1, size);
	if (sparse_delta_read(delta, size, size, &info) == SPARSE_OK)
	{
		check_info(&info, size);
		if (info.content_bytes <= MOST && info.prediction_bytes <= MOST)
		{
			prediction = malloc(info.prediction_bytes);
			make_prediction(input[0], prediction, info.prediction_bytes);
			if (info.refs > 0)
				set_prediction_hash(delta, XXH3_64bits(prediction, info.prediction_bytes));
			apply(delta, size, &info, prediction);
			free(prediction);
		}
	}
	free(delta);
	return 0;
}
