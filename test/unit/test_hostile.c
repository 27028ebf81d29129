/*
 * test_hostile.c: deltas that no encoder writes, made by hand: each is refused, or
 * means the same on every path.
 */
#include "../../src/core/codec/codec.h"
#include "../../src/core/codec/hash.h"

#include <stdio.h>
#include <stdlib.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* A delta under construction; what follows the header is appended. */
typedef struct made
{
	uint8_t		bytes[8192];
	size_t		size;
} made;

static void
append(made *m, const void *bytes, size_t length)
{
	memcpy(m->bytes + m->size, bytes, length);
	m->size += length;
}

static void
append_section(made *m, const void *bytes, size_t length)
{
	uint8_t		prefix[4];

	store32(prefix, (uint32_t) length);
	append(m, prefix, 4);
	append(m, bytes, length);
}

/* A header for `bytes` of content; with a prediction, one reference of the same dtype and length. */
static made
begin(sparse_predictor predictor, sparse_coding coding, sparse_dtype dtype,
	  const void *content, size_t bytes, const void *prediction)
{
	made		m = {.size = SPARSE_DELTA_HEADER};

	m.bytes[0] = 1;
	m.bytes[1] = (uint8_t) predictor;
	m.bytes[2] = (uint8_t) coding;
	m.bytes[3] = (uint8_t) dtype;
	store64(m.bytes + 8, bytes);
	store64(m.bytes + 16, sparse_hash(content, bytes, SPARSE_SIMD_NONE));
	if (prediction)
	{
		uint8_t		ref[SPARSE_DELTA_REF] = {0};

		store16(m.bytes + 4, 1);
		store64(m.bytes + 24, sparse_hash(prediction, bytes, SPARSE_SIMD_NONE));
		ref[2] = (uint8_t) dtype;
		store64(ref + 16, bytes / sparse_dtype_get(dtype)->bytes);
		append(&m, ref, sizeof ref);
	}
	return m;
}

static sparse_status
apply_at(sparse_simd level, made *m, const void *prediction, size_t bytes)
{
	sparse_codec *codec = sparse_codec_create(NULL);
	uint8_t    *content = malloc(bytes + 1);
	size_t		head = SPARSE_DELTA_HEADER + (size_t) load16(m->bytes + 4) * SPARSE_DELTA_REF;
	sparse_status status;

	sparse_codec_restrict(codec, level);
	store32(m->bytes + 32, (uint32_t) (m->size - head));
	status = sparse_delta_apply(codec, m->bytes, m->size, prediction, prediction ? bytes : 0, content, bytes);
	free(content);
	sparse_codec_free(codec);
	return status;
}

static bool
all_levels_say(sparse_status expected, made *m, const void *prediction, size_t bytes)
{
	bool		all = true;

	for (int level = 0; level <= (int) sparse_simd_best(); level++)
		all &= apply_at((sparse_simd) level, m, prediction, bytes) == expected;
	return all;
}

/* ---- zstd ---- */

static bool
frames_give(sparse_status expected, const uint8_t *frames, size_t length, const void *content, size_t bytes)
{
	made		m = begin(SPARSE_PREDICT_NONE, SPARSE_CODE_ZSTD, SPARSE_BYTES, content, bytes, NULL);

	append(&m, frames, length);
	return all_levels_say(expected, &m, NULL, bytes);
}

static void
only_one_present_frame_is_taken(void)
{
	uint8_t		content[1000];
	uint8_t		frame[4096];
	size_t		length;

	for (size_t i = 0; i < sizeof content; i++)
		content[i] = (uint8_t) (i % 7);
	length = ZSTD_compress(frame, sizeof frame, content, sizeof content, 3);
	ok(frames_give(SPARSE_OK, frame, length, content, sizeof content), "a zstd frame is decoded");
	ok(frames_give(SPARSE_CORRUPT, frame, length + 1, content, sizeof content), "a byte behind the frame is refused");

	length = ZSTD_compress(frame, 2048, content, 500, 3);
	length += ZSTD_compress(frame + length, 2048, content + 500, 500, 3);
	ok(frames_give(SPARSE_CORRUPT, frame, length, content, sizeof content), "two frames are refused");

	store32(frame, ZSTD_MAGIC_SKIPPABLE_START);
	store32(frame + 4, 100);
	memset(frame + 8, 'x', 100);
	length = 108 + ZSTD_compress(frame + 108, 2048, content, sizeof content, 3);
	ok(frames_give(SPARSE_CORRUPT, frame, length, content, sizeof content), "a skippable frame is refused");

	memcpy(frame, "\x27\xb5\x2f\xfd\x20\x0a\x40\x00\x0a", 9);
	memcpy(frame + 9, content, 10);
	memcpy(frame + 19, "\xc0\x00\x00", 3);
	ok(frames_give(SPARSE_CORRUPT, frame, 22, content, 10), "a frame of zstd 0.7 is refused");
}

/* ---- the residual coder ---- */

#define ELEMENTS 140			/* a block, and a part of one */

/* A residual of U8 whose elements, tokens 1 to 9, all have the highest or all the lowest context. */
static made
residual_with_base(int base, unsigned scale, unsigned context, const uint8_t *prediction, uint8_t *content)
{
	sparse_codec *codec = sparse_codec_create(NULL);
	static uint8_t payload[4096];
	output		out = {payload, payload + sizeof payload, false};
	made		m;
	uint8_t		head[4] = {0};

	if (buffer_reserve(codec, &codec->scale, 2) != SPARSE_OK
		|| buffer_reserve(codec, &codec->token, ELEMENTS) != SPARSE_OK
		|| buffer_reserve(codec, &codec->table, ELEMENTS) != SPARSE_OK)
		abort();
	memset(codec->histogram, 0, sizeof codec->histogram);
	/* the outermost contexts have tables of their own */
	codec->histogram[0][200] = codec->histogram[FAMILY_CONTEXTS - 1][100] = 100000;
	for (unsigned i = 0; i < ELEMENTS; i++)
	{
		unsigned	token = 1 + i % 9;

		codec->token.bytes[i] = (uint8_t) token;
		codec->table.bytes[i] = (uint8_t) context;
		codec->histogram[context][token]++;
		content[i] = (uint8_t) (prediction[i] + (token & 1 ? -(int) (token / 2) - 1 : (int) (token / 2)));
	}
	codec->scale.bytes[0] = codec->scale.bytes[1] = (uint8_t) scale;
	if (token_stream_write(codec, &out, 2, ELEMENTS, TABLES_DESCRIBED, FAMILY_CONTEXTS) != SPARSE_OK || out.full)
		abort();
	m = begin(SPARSE_PREDICT_PARENT, SPARSE_CODE_RESIDUAL, SPARSE_U8, content, ELEMENTS, prediction);
	head[0] = TABLES_DESCRIBED;
	store16(head + 2, (uint16_t) (int16_t) base);
	append(&m, head, 4);
	append_section(&m, "", 0);
	append(&m, payload, (size_t) (out.at - payload));
	sparse_codec_free(codec);
	return m;
}

static bool
base_means_the_same(int base, unsigned scale, unsigned context)
{
	uint8_t		prediction[ELEMENTS];
	uint8_t		content[ELEMENTS];
	made		m;

	for (unsigned i = 0; i < ELEMENTS; i++)
		prediction[i] = (uint8_t) (1000 + 300 * i);
	m = residual_with_base(base, scale, context, prediction, content);
	return all_levels_say(SPARSE_OK, &m, prediction, ELEMENTS);
}

/* ---- nothing ---- */

static bool
nothing_is_coded_as_nothing(void)
{
	bool		good = true;

	for (int coding = SPARSE_CODE_RAW; coding < SPARSE_CODINGS; coding++)
	{
		made		m = begin(SPARSE_PREDICT_NONE, (sparse_coding) coding, SPARSE_BF16, "", 0, NULL);

		if (coding == SPARSE_CODE_CONSTANT)
			append(&m, "ab", 2);
		good &= all_levels_say(SPARSE_CORRUPT, &m, NULL, 0);
	}
	return good;
}

int
main(void)
{
	only_one_present_frame_is_taken();
	ok(base_means_the_same(32767, 255, FAMILY_CONTEXTS - 1), "the largest base gives the highest context on every path");
	ok(base_means_the_same(-32768, 1, 0), "the smallest base gives the lowest context on every path");
	ok(base_means_the_same(30, 1, 31), "a base in between gives the context that it says");
	ok(nothing_is_coded_as_nothing(), "no content has no coding but the empty one");
	printf("1..%d\n", tests);
	return failures != 0;
}
