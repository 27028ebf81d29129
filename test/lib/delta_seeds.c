/*
 * delta_seeds.c: writes the corpus of fuzz_delta and fuzz_encode: a delta of every
 * coder and every kind of dtype. To be run again whenever the format changes, for
 * the old seeds then end at the first check (test_delta notices):
 *
 *   gcc -Isrc -Isrc/core -Itest test/lib/delta_seeds.c src/core/codec/[a-z]*.c -lzstd -lxxhash -lyajl -lm -o /tmp/seeds
 *   /tmp/seeds test/fuzz/corpus/fuzz_delta test/fuzz/corpus/fuzz_encode
 */
#include "codec/codec.h"
#include "codec/delta.h"
#include "lib/made_prediction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How the content differs from the prediction; fuzz_encode knows the relation by number. */
enum change
{
	ALONE, FEW, MANY, LARGE, SAME, SHIFTED, LEVELS
};

typedef struct seed
{
	const char *name;
	sparse_dtype dtype;
	uint8_t		prediction;		/* seed of make_prediction */
	size_t		elements;
	enum change change;
} seed;

static const seed seeds[] = {
	{"bf16-few", SPARSE_BF16, 2, 300, FEW}, {"bf16-many", SPARSE_BF16, 2, 300, MANY},
	{"bf16-large", SPARSE_BF16, 6, 600, LARGE}, {"bf16-none", SPARSE_BF16, 2, 2000, ALONE},
	{"bf16-same", SPARSE_BF16, 2, 100, SAME}, {"bf16-sparse", SPARSE_BF16, 3, 1000, ALONE},
	{"f16-many", SPARSE_F16, 2, 300, MANY}, {"f32-many", SPARSE_F32, 2, 200, MANY},
	{"f32-large", SPARSE_F32, 1, 200, LARGE}, {"f32-none", SPARSE_F32, 2, 800, ALONE},
	{"f64-many", SPARSE_F64, 1, 150, MANY}, {"f64-none", SPARSE_F64, 2, 300, ALONE},
	{"e4m3-many", SPARSE_F8_E4M3, 1, 500, MANY}, {"e5m2-few", SPARSE_F8_E5M2, 1, 500, FEW},
	{"i8-many", SPARSE_I8, 1, 500, MANY}, {"u16-many", SPARSE_U16, 1, 300, MANY},
	{"i32-many", SPARSE_I32, 3, 300, MANY}, {"i64-large", SPARSE_I64, 1, 200, LARGE},
	{"i64-none", SPARSE_I64, 3, 300, ALONE}, {"u8-none", SPARSE_U8, 3, 1500, ALONE},
	{"bool-few", SPARSE_BOOL, 3, 500, FEW}, {"bytes-none", SPARSE_BYTES, 3, 1500, ALONE},
	{"bytes-dict", SPARSE_BYTES, 1, 600, SHIFTED}, {"noise", SPARSE_BF16, 1, 60, ALONE},
	{"constant", SPARSE_F32, 0, 60, ALONE}, {"empty", SPARSE_F32, 0, 0, ALONE},
	{"levels", SPARSE_F32, 0, 500, LEVELS}, {"levels-some", SPARSE_BF16, 0, 700, LEVELS}
};

static void
write_seed(const char *folder, const char *name, const uint8_t *head, size_t head_bytes,
		   const uint8_t *bytes, size_t length)
{
	char		path[4096];
	FILE	   *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(head, 1, head_bytes, file) != head_bytes
		|| fwrite(bytes, 1, length, file) != length || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
}

static void
change_elements(uint8_t *content, const uint8_t *prediction, const seed *s, unsigned unit)
{
	uint32_t	state = 12345;

	for (size_t i = 0; i < s->elements; i++)
	{
		int			noise;

		state = state * 1664525u + 1013904223u;
		noise = (int) (state >> 24);
		if (s->change == FEW && noise < 6)
			content[i * unit]++;
		else if (s->change == MANY)
			content[i * unit] += noise % 7 - 3;
		else if (s->change == LARGE)
		{
			content[i * unit] += noise;
			content[i * unit + unit - 1] += unit > 1 ? noise % 3 - 1 : 0;
		}
		else if (s->change == LEVELS)
			content[i * unit + 1] = (uint8_t) (i / 128 % 3 == 1 ? 0 : noise & 0x55);
		else if (s->change == SHIFTED && i + 40 < s->elements)
			content[i] = prediction[i + 37];
	}
}

/* fuzz_encode's input: what is tried, the content, and where it is changed, the changes. */
static void
write_encode_seed(const char *folder, const seed *s, const uint8_t *content,
				  const uint8_t *prediction, size_t bytes)
{
	uint8_t		relation = s->change == ALONE || s->change == LEVELS ? 0 : s->change == SHIFTED ? 4 : 1;
	uint8_t		head[4] = {(uint8_t) s->dtype, relation, s->prediction, (uint8_t) (s->elements % 16)};
	uint8_t    *input = malloc(2 * bytes + 1);

	memcpy(input, content, bytes);
	for (size_t i = 0; i < bytes; i++)
		input[bytes + i] = (uint8_t) (prediction[i] - content[i]);
	write_seed(folder, s->name, head, sizeof head, input, relation == 1 ? 2 * bytes : bytes);
	free(input);
}

static void
write_seeds(sparse_codec *codec, const seed *s, char **folder)
{
	unsigned	unit = sparse_dtype_get(s->dtype)->bytes;
	size_t		bytes = s->elements * unit;
	uint8_t    *prediction = malloc(bytes + 1);
	uint8_t    *content = malloc(bytes + 1);
	sparse_ref	ref = {0, s->dtype, 0, s->elements};
	unsigned	refs = s->change != ALONE && s->change != LEVELS;
	const uint8_t *delta;
	size_t		delta_bytes;
	sparse_delta_info info;

	make_prediction(s->prediction, prediction, bytes);
	memcpy(content, prediction, bytes);
	change_elements(content, prediction, s, unit);
	if (sparse_delta_encode(codec, content, bytes, s->dtype, &ref, refs, refs ? prediction : NULL,
							refs ? bytes : 0, &delta, &delta_bytes) != SPARSE_OK
		|| sparse_delta_read(delta, delta_bytes, delta_bytes, &info) != SPARSE_OK)
		abort();
	printf("%-12s %s, %s: %zu bytes, delta %zu\n", s->name, sparse_predictor_name(info.predictor),
		   sparse_coding_name(info.coding), bytes, delta_bytes);
	write_seed(folder[0], s->name, &s->prediction, 1, delta, delta_bytes);
	write_encode_seed(folder[1], s, content, prediction, bytes);
	free(prediction);
	free(content);
}

/* Deltas of formulas, for fuzz_delta: as predicted, and with every fifth element changed or zero. */
typedef struct formula_seed
{
	const char *name;
	sparse_predictor predictor;
	sparse_dtype dtype;
	size_t		elements;
	sparse_formula formula;
	unsigned	refs;
	sparse_ref	ref[3];
} formula_seed;

#define REF(ordinal, type, elements) {.parent = ordinal, .dtype = SPARSE_##type, .count = elements}

static const formula_seed formula_seeds[] = {
	{"cast", SPARSE_PREDICT_CAST, SPARSE_BF16, 300, {0}, 1, {REF(0, F32, 300)}},
	{"blend", SPARSE_PREDICT_BLEND, SPARSE_BF16, 300, {.coefficient = {.3, .3, .4}}, 3,
		{REF(0, BF16, 300), REF(1, F16, 300), REF(2, F32, 300)}},
	{"steps", SPARSE_PREDICT_BLEND, SPARSE_F16, 200, {.style = SPARSE_BLEND_STEPS, .coefficient = {.5, .5}}, 2,
		{REF(0, F16, 200), REF(1, F16, 200)}},
	{"tasks", SPARSE_PREDICT_BLEND, SPARSE_F32, 100, {.style = SPARSE_BLEND_TASKS, .coefficient = {1, .5}}, 2,
		{REF(0, F32, 100), REF(1, F32, 100)}},
	{"product", SPARSE_PREDICT_LOW_RANK, SPARSE_F16, 300, {.rank = 3, .columns = 40, .offset = 7, .factor = .5}, 3,
		{REF(0, F16, 300), REF(1, F32, 24), REF(2, I8, 120)}},
	{"exponents", SPARSE_PREDICT_LOW_RANK, SPARSE_BF16, 120,
		{.style = SPARSE_PRODUCT_EXPONENTS, .rank = 2, .columns = 40, .factor = 1, .exponent = {-20, -25}}, 3,
		{REF(0, BF16, 120), REF(1, I16, 6), REF(2, I16, 80)}},
	{"transposed", SPARSE_PREDICT_LOW_RANK, SPARSE_BF16, 120,
		{.style = SPARSE_LEFT_TRANSPOSED | SPARSE_RIGHT_TRANSPOSED | SPARSE_PRODUCT_ROUNDED, .rank = 2, .columns = 40, .row = 1,
			.factor = 2}, 3, {REF(0, BF16, 120), REF(1, BF16, 10), REF(2, BF16, 80)}},
	{"quantised", SPARSE_PREDICT_QUANTISED, SPARSE_I8, 300,
		{.lowest = -128, .highest = 127, .group = 100, .offset = 6, .factor = .01}, 3,
		{REF(0, F32, 300), REF(1, F16, 4), REF(2, I8, 4)}},
	{"packed", SPARSE_PREDICT_QUANTISED, SPARSE_U8, 150,
		{.style = SPARSE_PACK_LOW_FIRST, .lowest = -8, .highest = 7, .bias = 8, .group = 100, .factor = .01}, 2,
		{REF(0, BF16, 300), REF(1, F32, 3)}},
	{"dequantised", SPARSE_PREDICT_DEQUANTISED, SPARSE_F32, 200,
		{.style = SPARSE_PACK_HIGH_FIRST, .lowest = -7, .highest = 7, .group = 100, .factor = .01}, 2,
		{REF(0, U8, 100), REF(1, F16, 2)}},
	{"pruned", SPARSE_PREDICT_PRUNED, SPARSE_BF16, 400, {.threshold = 0x3c00}, 1, {REF(0, BF16, 400)}},
	{"two-of-four", SPARSE_PREDICT_PRUNED, SPARSE_F32, 200, {.style = SPARSE_PRUNE_GROUPS, .keep = 2, .of = 4}, 1,
		{REF(0, F32, 200)}},
	{"maxima", SPARSE_PREDICT_MAXIMA, SPARSE_F32, 50, {.group = 10, .factor = 127}, 1, {REF(0, BF16, 500)}},
	{"permuted", SPARSE_PREDICT_PERMUTED, SPARSE_BF16, 300, {.columns = 10, .stride = 4, .group = 8, .offset = 7}, 1, {REF(0, F32, 320)}},
	{"moved", SPARSE_PREDICT_PERMUTED, SPARSE_I32, 80, {.columns = 4, .stride = 2, .group = 20}, 1, {REF(0, I32, 80)}},
	{"sum", SPARSE_PREDICT_SUM, SPARSE_BF16, 300,
		{.bases = 1, .coefficient = {1}, .rank = 3, .columns = 40, .row = 1, .offset = 7, .power = -12, .exponent = {0, 8, 1}}, 3,
		{REF(0, BF16, 300), REF(1, I8, 30), REF(2, I8, 120)}},
	{"sum-of-two", SPARSE_PREDICT_SUM, SPARSE_F16, 200, {.bases = 2, .coefficient = {1.5, -.5}}, 2,
		{REF(0, F16, 200), REF(1, F32, 200)}},
	{"sum-wide", SPARSE_PREDICT_SUM, SPARSE_F32, 100,
		{.bases = 1, .coefficient = {1}, .rank = 2, .columns = 50, .power = -20}, 3,
		{REF(0, F32, 100), REF(1, I8, 4), REF(2, I8, 100)}}
};

static void
write_formula_seed(sparse_codec *codec, const formula_seed *s, int change, const char *folder)
{
	const uint8_t prediction_seed = 2;
	const unsigned unit = sparse_dtype_get(s->dtype)->bytes;
	const size_t bytes = s->elements * unit;
	sparse_delta_info info = {.predictor = s->predictor, .dtype = s->dtype, .content_bytes = bytes, .refs = s->refs};
	size_t		prediction_bytes = 0;
	uint8_t    *prediction;
	uint8_t    *content = malloc(bytes);
	const uint8_t *delta;
	size_t		delta_bytes;
	char		name[64];

	memcpy(info.ref, s->ref, sizeof s->ref);
	for (unsigned i = 0; i < s->refs; i++)
		prediction_bytes += s->ref[i].count * sparse_dtype_get(s->ref[i].dtype)->bytes;
	prediction = malloc(prediction_bytes);
	make_prediction(prediction_seed, prediction, prediction_bytes);
	if (formula_check(&info, &s->formula) != SPARSE_OK
		|| formula_predict(codec, &info, &s->formula, prediction, content, NULL) != SPARSE_OK)
		abort();
	for (size_t i = 0; i < s->elements && change > 0; i += 5)
		if (change == 1)
			content[i * unit] ^= 1;
		else
			memset(content + i * unit, 0, unit);
	if (sparse_delta_encode_formula(codec, content, bytes, s->dtype, s->predictor, &s->formula, s->ref, s->refs,
									prediction, prediction_bytes, &delta, &delta_bytes) != SPARSE_OK
		|| sparse_delta_read(delta, delta_bytes, delta_bytes, &info) != SPARSE_OK)
		abort();
	snprintf(name, sizeof name, "%s-%d", s->name, change);
	printf("%-14s %s, %s: %zu bytes, delta %zu\n", name, sparse_predictor_name(info.predictor),
		   sparse_coding_name(info.coding), bytes, delta_bytes);
	write_seed(folder, name, &prediction_seed, 1, delta, delta_bytes);
	free(prediction);
	free(content);
}

int
main(int argc, char **argv)
{
	sparse_codec *codec = sparse_codec_create(NULL);

	if (argc != 3 || codec == NULL)
		return 2;
	for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
		write_seeds(codec, &seeds[i], argv + 1);
	for (size_t i = 0; i < sizeof formula_seeds / sizeof formula_seeds[0]; i++)
		for (int change = 0; change < 3; change++)
			write_formula_seed(codec, &formula_seeds[i], change, argv[1]);
	sparse_codec_free(codec);
	return 0;
}
