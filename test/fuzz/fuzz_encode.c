/*
 * fuzz_encode.c: any content against any prediction comes back. The first four
 * bytes of the input say what is tried: the dtype, the relation of the prediction
 * to the content, a seed, and into how many references the prediction is cut. The
 * rest is the content; in the relation "changed" its second half tells how the
 * prediction differs from the first.
 */
#include "../../src/core/codec/delta.h"
#include "../lib/made_prediction.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

enum relation
{
	NO_PREDICTION, CHANGED, SEEDED, SHORTER, LONGER, RELATIONS
};

typedef struct trial
{
	const uint8_t *content;
	size_t		bytes;
	sparse_dtype dtype;
	uint8_t    *prediction;
	size_t		prediction_bytes;
	sparse_ref	ref[SPARSE_MAX_REFS];
	unsigned	refs;
} trial;

/* The prediction is the content plus the changes, byte by byte. */
static void
make_changed(trial *t, const uint8_t *changes)
{
	t->prediction_bytes = t->bytes;
	t->prediction = malloc(t->bytes);
	for (size_t i = 0; i < t->bytes; i++)
		t->prediction[i] = (uint8_t) (t->content[i] + changes[i]);
}

static void
make_seeded(trial *t, uint8_t seed, size_t length)
{
	t->prediction_bytes = length;
	t->prediction = malloc(length);
	make_prediction(seed, t->prediction, length);
	memcpy(t->prediction, t->content, t->bytes / 2 < length ? t->bytes / 2 : length);
}

/* Cuts the prediction into about `pieces` references; elements where the lengths allow it. */
static void
cut_references(trial *t, unsigned pieces)
{
	unsigned	unit = sparse_dtype_get(t->dtype)->bytes;
	sparse_dtype dtype = t->dtype;
	uint64_t	elements;
	uint64_t	at = 0;

	if (t->prediction_bytes % unit != 0)
	{
		unit = 1;
		dtype = SPARSE_BYTES;
	}
	elements = t->prediction_bytes / unit;
	t->refs = 1 + pieces % SPARSE_MAX_REFS;
	for (unsigned i = 0; i < t->refs; i++)
	{
		uint64_t	count = i + 1 < t->refs ? elements / t->refs : elements - at;

		t->ref[i] = (sparse_ref) {(uint16_t) i, dtype, at, count};
		at += count;
	}
}

/*
 * One codec encodes all inputs, another decodes them: what one input leaves behind
 * must not show in the next, and setting a codec up takes longer than a trial.
 */
static void
check_round_trip(const trial *t)
{
	static sparse_codec *encoder;
	static sparse_codec *decoder;
	const uint8_t *written;
	uint8_t    *delta;
	uint8_t    *content = malloc(t->bytes);
	size_t		size;
	sparse_delta_info info;

	if (encoder == NULL)
	{
		encoder = sparse_codec_create(NULL);
		decoder = sparse_codec_create(NULL);
	}
	REQUIRE(sparse_delta_encode(encoder, t->content, t->bytes, t->dtype, t->ref, t->refs,
								t->prediction, t->prediction_bytes, &written, &size) == SPARSE_OK);
	delta = malloc(size);
	memcpy(delta, written, size);
	REQUIRE(sparse_delta_read(delta, size, size, &info) == SPARSE_OK);
	REQUIRE(info.content_bytes == t->bytes && info.dtype == t->dtype);
	REQUIRE(size <= sparse_delta_bound(t->bytes));
	REQUIRE(sparse_delta_apply(decoder, delta, size,
							   info.refs ? t->prediction : NULL, info.prediction_bytes,
							   content, t->bytes) == SPARSE_OK);
	REQUIRE(memcmp(content, t->content, t->bytes) == 0);
	free(content);
	free(delta);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	trial		t = {0};
	enum relation relation;
	unsigned	unit;
	uint8_t    *content;

	if (size < 4)
		return 0;
	t.dtype = (sparse_dtype) (input[0] % SPARSE_DTYPES);
	relation = (enum relation) (input[1] % RELATIONS);
	unit = sparse_dtype_get(t.dtype)->bytes;
	t.bytes = relation == CHANGED ? (size - 4) / 2 : size - 4;
	t.bytes -= t.bytes % unit;
	t.content = content = malloc(t.bytes);
	memcpy(content, input + 4, t.bytes);
	if (relation == CHANGED)
		make_changed(&t, input + 4 + t.bytes);
	else if (relation == SEEDED)
		make_seeded(&t, input[2], t.bytes);
	else if (relation == SHORTER)
		make_seeded(&t, input[2], t.bytes / 3);
	else if (relation == LONGER)
		make_seeded(&t, input[2], t.bytes + 1 + input[2]);
	if (relation != NO_PREDICTION)
		cut_references(&t, input[3]);
	check_round_trip(&t);
	free(t.prediction);
	free(content);
	return 0;
}
