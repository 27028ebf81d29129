/*
 * test_delta.c: deltas give back what they were made of, and nothing else.
 *
 * Every dtype, with every kind of content and of change that the coders treat in
 * their own way, at every length up to 300 bytes and around the sizes at which
 * blocks end; and what happens when a delta, or its prediction, is not what it was.
 */
#include "../../src/core/codec/delta.h"
#include "../lib/made_prediction.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;
static bool bound_kept = true;
static bool written_alike = true;
static sparse_codec *codec;		/* with the vector instructions that the machine has */
static sparse_codec *lower[SPARSE_SIMD_LEVELS];	/* with less, down to none; NULL behind the last */

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* ---- contents ---- */

static uint64_t random_state = 88172645463325252u;

static uint64_t
random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

typedef enum kind
{
	ZERO, CONSTANT, NOISE, SPARSE, WEIGHTS, EDGES, COUNTING, LEVELS, PRUNED, KINDS
} kind;

static const char *const kind_name[KINDS] = {
	"zero", "constant", "noise", "sparse", "weights", "edge values", "counting", "few levels", "pruned weights"
};

/* Writes the low `bytes` bytes of `value`. */
static void
put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t) (value >> 8 * i);
}

static uint64_t
get(const uint8_t *at, unsigned bytes)
{
	uint64_t	value = 0;

	for (unsigned i = bytes; i-- > 0;)
		value = value << 8 | at[i];
	return value;
}

/* A float of the dtype with its exponent around that of small weights. */
static uint64_t
weight(const sparse_dtype_info *dtype)
{
	unsigned	bits = dtype->bytes * 8u;
	uint64_t	bias = ((uint64_t) 1 << (dtype->exponent_bits - 1)) - 1;
	uint64_t	exponent = bias - (bias > 8 ? 3 + random_bits() % 5 : random_bits() % (bias + 1));
	uint64_t	mantissa = random_bits() & (((uint64_t) 1 << dtype->mantissa_bits) - 1);

	return (random_bits() & 1) << (bits - 1) | exponent << dtype->mantissa_bits | mantissa;
}

/* Zeros and infinities of both signs, NaNs of several payloads, subnormals, the extremes. */
static uint64_t
edge(const sparse_dtype_info *dtype)
{
	unsigned	bits = dtype->bytes * 8u;
	uint64_t	sign = (uint64_t) 1 << (bits - 1);
	uint64_t	all = sign | (sign - 1);
	uint64_t	infinity = dtype->exponent_bits ?
		(((uint64_t) 1 << dtype->exponent_bits) - 1) << dtype->mantissa_bits : sign - 1;
	uint64_t	value[] = {
		0, sign, 1, sign | 1, sign - 1, all, infinity, sign | infinity,
		infinity | 1, infinity | (all >> 2 & ~infinity), sign | infinity | 3,
		infinity - 1, (uint64_t) 1 << dtype->mantissa_bits,
		((uint64_t) 1 << dtype->mantissa_bits) - 1
	};

	return value[random_bits() % (sizeof value / sizeof value[0])];
}

static void
fill(uint8_t *content, size_t bytes, sparse_dtype dtype, kind kind)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	uint64_t	constant = random_bits();

	for (size_t i = 0; i < bytes; i += info->bytes)
	{
		uint64_t	value = 0;

		if (kind == LEVELS)
			value = (1 + (random_bits() & random_bits() & 15)) * UINT64_C(0x3a94d1f00dd);
		else if (kind == CONSTANT)
			value = constant;
		else if (kind == NOISE)
			value = random_bits();
		else if (kind == SPARSE)
			value = random_bits() % 100 == 0 ? random_bits() : 0;
		else if (kind == WEIGHTS || (kind == PRUNED && (random_bits() & 1)))
			value = info->exponent_bits ? weight(info) : random_bits() % 16 + 100;
		else if (kind == EDGES)
			value = edge(info);
		else if (kind == COUNTING)
			value = i;
		put(content + i, value, info->bytes);
	}
}

/* ---- changes: what a prediction is to a content ---- */

typedef enum change
{
	NONE, EQUAL, FEW, SMALL, LARGE, SIGNS, ZEROED, UNRELATED, SHIFTED, CHANGES
} change;

static const char *const change_name[CHANGES] = {
	"no prediction", "an equal one", "few elements changed", "small changes everywhere",
	"large changes", "signs flipped", "one that was pruned", "an unrelated one", "a shifted one"
};

static uint64_t
changed(uint64_t value, const sparse_dtype_info *dtype, change change)
{
	switch (change)
	{
		case FEW:
			return random_bits() % 200 == 0 ? value + 1 : value;
		case SMALL:
			return value + random_bits() % 7 - 3;
		case LARGE:
			return value + random_bits() % 4001 - 2000;
		case SIGNS:
			return value ^ (random_bits() & 1) << (dtype->bytes * 8 - 1);
		case ZEROED:
			return value == 0 && dtype->exponent_bits ? weight(dtype) : value;
		default:
			return value;
	}
}

static void
predict(uint8_t *prediction, const uint8_t *content, size_t bytes, sparse_dtype dtype, change change)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	if (change == UNRELATED)
		fill(prediction, bytes, dtype, NOISE);
	else if (change == SHIFTED)
		for (size_t i = 0; i < bytes; i++)
			prediction[i] = content[(i + 3) % bytes];
	else
		for (size_t i = 0; i < bytes; i += info->bytes)
			put(prediction + i, changed(get(content + i, info->bytes), info, change), info->bytes);
}

/* ---- round trips ---- */

typedef struct encoded
{
	uint8_t    *delta;			/* allocated at exactly its size */
	size_t		size;
	sparse_delta_info info;
} encoded;

/* Whatever instructions a codec uses, it writes the same bytes. */
static void
compare_paths(const uint8_t *content, size_t bytes, sparse_dtype dtype,
			  const sparse_ref *ref, unsigned refs, const uint8_t *prediction, size_t prediction_bytes,
			  const encoded *expected)
{
	const uint8_t *delta;
	size_t		size;

	for (int level = 0; lower[level]; level++)
	{
		if (sparse_delta_encode(lower[level], content, bytes, dtype, ref, refs, prediction, prediction_bytes,
								&delta, &size) == SPARSE_OK
			&& size == expected->size && memcmp(delta, expected->delta, size) == 0)
			continue;
		if (written_alike)
			printf("# %s, %zu bytes: the %s path writes another delta\n", sparse_dtype_get(dtype)->name, bytes,
				   sparse_simd_name((sparse_simd) level));
		written_alike = false;
	}
}

static bool
encode(const uint8_t *content, size_t bytes, sparse_dtype dtype,
	   const sparse_ref *ref, unsigned refs, const uint8_t *prediction, size_t prediction_bytes,
	   encoded *result)
{
	const uint8_t *delta;

	if (sparse_delta_encode(codec, content, bytes, dtype, ref, refs, prediction, prediction_bytes,
							&delta, &result->size) != SPARSE_OK)
		return false;
	result->delta = malloc(result->size);
	memcpy(result->delta, delta, result->size);
	compare_paths(content, bytes, dtype, ref, refs, prediction, prediction_bytes, result);
	return sparse_delta_read(result->delta, result->size, result->size, &result->info) == SPARSE_OK;
}

static bool
codec_decodes_to(sparse_codec *by, const encoded *e, const uint8_t *prediction, const uint8_t *content, size_t bytes)
{
	uint8_t    *decoded = malloc(bytes);
	bool		good;

	good = sparse_delta_apply(by, e->delta, e->size, e->info.refs ? prediction : NULL,
							  (size_t) e->info.prediction_bytes, decoded, bytes) == SPARSE_OK
		&& memcmp(decoded, content, bytes) == 0;
	free(decoded);
	return good;
}

static bool
decodes_to(const encoded *e, const uint8_t *prediction, const uint8_t *content, size_t bytes)
{
	bool		good = codec_decodes_to(codec, e, prediction, content, bytes);

	for (int level = 0; lower[level]; level++)
		good &= codec_decodes_to(lower[level], e, prediction, content, bytes);
	return good;
}

/* Content and prediction start at odd addresses: nothing may rely on alignment. */
static bool
round_trip_of(sparse_dtype dtype, size_t bytes, kind kind, change change)
{
	uint8_t    *memory = malloc(2 * (bytes + 1));
	uint8_t    *content = memory + 1;
	uint8_t    *prediction = content + bytes + 1;
	sparse_ref	ref = {0, dtype, 0, bytes / sparse_dtype_get(dtype)->bytes};
	unsigned	refs = change != NONE;
	encoded		e = {0};
	bool		good;

	fill(content, bytes, dtype, kind);
	if (refs)
		predict(prediction, content, bytes, dtype, change);
	good = encode(content, bytes, dtype, refs ? &ref : NULL, refs,
				  refs ? prediction : NULL, refs ? bytes : 0, &e)
		&& e.info.content_bytes == bytes && e.info.dtype == dtype
		&& decodes_to(&e, prediction, content, bytes);
	if (!good)
		printf("# %s, %zu bytes, %s, %s: does not come back\n", sparse_dtype_get(dtype)->name, bytes,
			   kind_name[kind], change_name[change]);
	if (bound_kept && e.size > sparse_delta_bound(bytes))
	{
		bound_kept = false;
		printf("# %s, %zu bytes, %s, %s: %s, %zu bytes of delta\n", sparse_dtype_get(dtype)->name, bytes,
			   kind_name[kind], change_name[change], sparse_predictor_name(e.info.predictor), e.size);
	}
	free(e.delta);
	free(memory);
	return good;
}

static bool
every_content(sparse_dtype dtype, size_t bytes, change change)
{
	bool		good = true;

	for (kind kind = 0; kind < KINDS; kind++)
		good &= round_trip_of(dtype, bytes, kind, change);
	return good;
}

static bool
every_content_and_change(sparse_dtype dtype, size_t bytes)
{
	bool		good = true;

	for (change change = 0; change < CHANGES; change++)
		good &= every_content(dtype, bytes, change);
	return good;
}

/* Short ones take the changes in turn: 300 lengths with 56 combinations each take minutes. */
static void
every_dtype_comes_back(void)
{
	static const size_t elements[] = {127, 128, 129, 4095, 4097, 8192, 10007};
	char		sentence[200];

	for (int dtype = 0; dtype < SPARSE_DTYPES; dtype++)
	{
		unsigned	unit = sparse_dtype_get(dtype)->bytes;
		bool		good = true;

		for (size_t bytes = 0; bytes <= 300; bytes += unit)
			good &= every_content(dtype, bytes, (change) (bytes / unit % CHANGES));
		for (unsigned i = 0; i < sizeof elements / sizeof elements[0]; i++)
			good &= every_content_and_change(dtype, elements[i] * unit);
		snprintf(sentence, sizeof sentence,
				 "%s comes back bit for bit, whatever its content, length and prediction",
				 sparse_dtype_get(dtype)->name);
		ok(good, sentence);
	}
}

static bool
every_16_bit_pattern_comes_back(sparse_dtype dtype)
{
	size_t		bytes = 2 * 65536;
	uint8_t    *content = malloc(2 * bytes);
	uint8_t    *prediction = content + bytes;
	sparse_ref	ref = {0, dtype, 0, 65536};
	bool		good = true;

	for (unsigned i = 0; i < 65536; i++)
		put(content + 2 * i, i, 2);
	for (unsigned step = 0; step < 65536; step = step * 3 + 1)
	{
		encoded		e = {0};

		for (unsigned i = 0; i < 65536; i++)
			put(prediction + 2 * i, i + step, 2);
		good &= encode(content, bytes, dtype, &ref, 1, prediction, bytes, &e)
			&& decodes_to(&e, prediction, content, bytes);
		free(e.delta);
	}
	free(content);
	return good;
}

/* ---- several references, other lengths ---- */

static bool
pieces_of_parents_predict(void)
{
	uint8_t		content[3000];
	uint8_t		prediction[3000];
	sparse_ref	ref[SPARSE_MAX_REFS];
	encoded		e = {0};
	bool		good;

	fill(content, sizeof content, SPARSE_BF16, WEIGHTS);
	predict(prediction, content, sizeof content, SPARSE_BF16, SMALL);
	for (int i = 0; i < SPARSE_MAX_REFS; i++)
		ref[i] = (sparse_ref) {(uint16_t) (i % 3), SPARSE_BF16, 1000u + i, i == 15 ? 1500 - 15 * 90 : 90};
	good = encode(content, sizeof content, SPARSE_BF16, ref, SPARSE_MAX_REFS,
				  prediction, sizeof prediction, &e)
		&& e.info.refs == SPARSE_MAX_REFS && memcmp(e.info.ref, ref, 0) == 0
		&& e.info.ref[7].parent == 1 && e.info.ref[7].first == 1007 && e.info.ref[7].count == 90
		&& e.info.prediction_bytes == sizeof prediction
		&& decodes_to(&e, prediction, content, sizeof content);
	free(e.delta);
	return good;
}

static bool
a_dictionary_predicts(void)
{
	uint8_t		content[5000];
	uint8_t		dictionary[9000];
	sparse_ref	ref = {2, SPARSE_BYTES, 77, sizeof dictionary};
	encoded		e = {0};
	bool		good;

	fill(dictionary, sizeof dictionary, SPARSE_BYTES, NOISE);
	memcpy(content, dictionary + 3333, sizeof content);
	content[100] ^= 1;
	good = encode(content, sizeof content, SPARSE_BYTES, &ref, 1, dictionary, sizeof dictionary, &e)
		&& e.info.predictor == SPARSE_PREDICT_BYTES && e.size < 300
		&& decodes_to(&e, dictionary, content, sizeof content);
	free(e.delta);
	return good;
}

static bool
small_changes_cost_little(void)
{
	size_t		bytes = 1 << 20;
	uint8_t    *content = malloc(2 * bytes);
	sparse_ref	ref = {0, SPARSE_BF16, 0, bytes / 2};
	encoded		e = {0};
	bool		good;

	fill(content, bytes, SPARSE_BF16, WEIGHTS);
	predict(content + bytes, content, bytes, SPARSE_BF16, SMALL);
	/* seven equally likely values: 2.81 of 16 bits */
	good = encode(content, bytes, SPARSE_BF16, &ref, 1, content + bytes, bytes, &e)
		&& e.size < bytes * 0.185 && e.info.coding == SPARSE_CODE_RESIDUAL;
	free(e.delta);
	free(content);
	return good;
}

/* Some block's change is of another order altogether: zeros that were trained, an infinity. */
static bool
odd_blocks_cost_the_others_nothing(void)
{
	const size_t bytes = 1 << 18;
	uint8_t    *content = malloc(2 * bytes);
	uint8_t    *prediction = content + bytes;
	sparse_ref	ref = {0, SPARSE_BF16, 0, bytes / 2};
	size_t		plain = 0;
	bool		good = true;

	fill(content, bytes, SPARSE_BF16, WEIGHTS);
	predict(prediction, content, bytes, SPARSE_BF16, SMALL);
	for (int odd = 0; odd < 3; odd++)
	{
		encoded		e = {0};

		if (odd == 1)
			memset(prediction + 4096, 0, 256);
		if (odd == 2)
			put(prediction + 9000, 0x7f80, 2);
		good &= encode(content, bytes, SPARSE_BF16, &ref, 1, prediction, bytes, &e)
			&& decodes_to(&e, prediction, content, bytes);
		if (odd == 0)
			plain = e.size;
		good &= e.size < plain + 1000;
		free(e.delta);
	}
	free(content);
	return good;
}

static bool
few_levels_are_indices(void)
{
	const size_t bytes = 1 << 18;
	const sparse_dtype dtypes[] = {SPARSE_BF16, SPARSE_F32, SPARSE_I64};
	uint8_t    *content = malloc(bytes);
	bool		good = true;

	for (int i = 0; i < 3; i++)
	{
		encoded		e = {0};

		fill(content, bytes, dtypes[i], LEVELS);
		/* four bits of which each is set one time in four: 4 x 0.811 bits an element */
		good &= encode(content, bytes, dtypes[i], NULL, 0, NULL, 0, &e) && e.info.coding == SPARSE_CODE_PALETTE
			&& e.size < bytes / sparse_dtype_get(dtypes[i])->bytes * 3.245 / 8 * 1.02 + 512
			&& decodes_to(&e, NULL, content, bytes);
		free(e.delta);
	}
	free(content);
	return good;
}

static bool
encoding_is_deterministic(void)
{
	uint8_t		content[4000];
	uint8_t		prediction[4000];
	sparse_ref	ref = {0, SPARSE_F32, 0, 1000};
	sparse_codec *shared = codec;
	encoded		first = {0};
	encoded		second = {0};
	bool		good;

	fill(content, sizeof content, SPARSE_F32, WEIGHTS);
	predict(prediction, content, sizeof content, SPARSE_F32, LARGE);
	good = encode(content, sizeof content, SPARSE_F32, &ref, 1, prediction, sizeof prediction, &first);
	codec = sparse_codec_create(NULL);
	good = good && encode(content, sizeof content, SPARSE_F32, &ref, 1, prediction, sizeof prediction, &second)
		&& first.size == second.size && memcmp(first.delta, second.delta, first.size) == 0;
	sparse_codec_free(codec);
	codec = shared;
	free(first.delta);
	free(second.delta);
	return good;
}

/* ---- damage ---- */

/* A delta of each coder, over contents that make the codec choose it. */
typedef struct specimen
{
	sparse_dtype dtype;
	kind		kind;
	change		change;
	size_t		bytes;
} specimen;

static const specimen specimens[] = {
	{SPARSE_BF16, WEIGHTS, SMALL, 1200}, {SPARSE_BF16, WEIGHTS, FEW, 1200},
	{SPARSE_BF16, WEIGHTS, LARGE, 1200}, {SPARSE_BF16, WEIGHTS, NONE, 4096},
	{SPARSE_F16, WEIGHTS, SMALL, 1200}, {SPARSE_F32, WEIGHTS, LARGE, 1600},
	{SPARSE_F64, WEIGHTS, SMALL, 1600}, {SPARSE_F8_E4M3, WEIGHTS, SMALL, 600},
	{SPARSE_I32, WEIGHTS, SMALL, 1600}, {SPARSE_U8, WEIGHTS, NONE, 1000},
	{SPARSE_I64, COUNTING, NONE, 4000}, {SPARSE_BYTES, COUNTING, NONE, 2000},
	{SPARSE_BYTES, NOISE, SHIFTED, 2000}, {SPARSE_F32, NOISE, NONE, 400},
	{SPARSE_F32, CONSTANT, NONE, 400}, {SPARSE_F32, NOISE, EQUAL, 400},
	{SPARSE_BF16, SPARSE, NONE, 4000}, {SPARSE_F32, LEVELS, NONE, 4000},
	{SPARSE_BF16, PRUNED, ZEROED, 1200}, {SPARSE_F8_E5M2, PRUNED, ZEROED, 700},
	{SPARSE_F32, ZERO, UNRELATED, 0}
};

#define SPECIMENS (sizeof specimens / sizeof specimens[0])

typedef struct patient
{
	uint8_t    *content;
	uint8_t    *prediction;
	size_t		bytes;
	encoded		e;
} patient;

static bool
prepare(const specimen *s, patient *p)
{
	sparse_ref	ref = {0, s->dtype, 0, s->bytes / sparse_dtype_get(s->dtype)->bytes};
	unsigned	refs = s->change != NONE && s->bytes > 0;

	p->bytes = s->bytes;
	p->content = malloc(s->bytes);
	p->prediction = malloc(s->bytes);
	fill(p->content, s->bytes, s->dtype, s->kind);
	if (refs)
		predict(p->prediction, p->content, s->bytes, s->dtype, s->change);
	return encode(p->content, s->bytes, s->dtype, &ref, refs, p->prediction, refs ? s->bytes : 0, &p->e);
}

static void
dispose(patient *p)
{
	free(p->content);
	free(p->prediction);
	free(p->e.delta);
}

/* What applying does with `size` bytes in an allocation of exactly that size. */
static bool
refused_or_right(const patient *p, const uint8_t *bytes, size_t size)
{
	uint8_t    *delta = malloc(size);
	sparse_delta_info info;
	bool		good = true;

	memcpy(delta, bytes, size);
	if (sparse_delta_read(delta, size, size, &info) == SPARSE_OK && info.content_bytes <= 1 << 20)
	{
		uint8_t    *decoded = malloc((size_t) info.content_bytes);

		if (sparse_delta_apply(codec, delta, size, p->prediction, p->e.info.refs ? p->bytes : 0,
							   decoded, (size_t) info.content_bytes) == SPARSE_OK)
			good = info.content_bytes == p->bytes && memcmp(decoded, p->content, p->bytes) == 0;
		free(decoded);
	}
	free(delta);
	return good;
}

static bool
truncations_are_refused(const patient *p)
{
	for (size_t size = 0; size < p->e.size; size++)
	{
		uint8_t    *delta = malloc(size);
		uint8_t    *decoded = malloc(p->bytes);
		sparse_status status;

		memcpy(delta, p->e.delta, size);
		status = sparse_delta_apply(codec, delta, size, p->prediction,
									p->e.info.refs ? p->bytes : 0, decoded, p->bytes);
		free(decoded);
		free(delta);
		if (status == SPARSE_OK)
			return false;
	}
	return true;
}

/* Each byte of the delta, with each of its bits and all of them flipped. */
static bool
flips_never_give_wrong_bytes(const patient *p)
{
	uint8_t    *copy = malloc(p->e.size);
	bool		good = true;

	memcpy(copy, p->e.delta, p->e.size);
	for (size_t i = 0; i < p->e.size; i++)
		for (int bit = 0; bit <= 8; bit++)
		{
			copy[i] ^= bit < 8 ? 1 << bit : 0xff;
			good &= refused_or_right(p, copy, p->e.size);
			copy[i] = p->e.delta[i];
		}
	free(copy);
	return good;
}

static bool
extra_bytes_are_refused(const patient *p)
{
	uint8_t    *longer = calloc(1, p->e.size + 1);
	sparse_delta_info info;
	bool		good;

	memcpy(longer, p->e.delta, p->e.size);
	good = sparse_delta_read(longer, p->e.size + 1, p->e.size + 1, &info) != SPARSE_OK;
	free(longer);
	return good;
}

static void
damage_is_found(void)
{
	bool		made = true;
	bool		truncated = true;
	bool		flipped = true;
	bool		extended = true;
	bool		coding[SPARSE_CODINGS] = {false};
	bool		all = true;

	for (unsigned i = 0; i < SPECIMENS; i++)
	{
		patient		p;

		made &= prepare(&specimens[i], &p);
		coding[p.e.info.coding] = true;
		truncated &= truncations_are_refused(&p);
		flipped &= flips_never_give_wrong_bytes(&p);
		extended &= extra_bytes_are_refused(&p);
		dispose(&p);
	}
	coding[SPARSE_CODE_FRACTION] = true;	/* of sums: test_formula.c */
	coding[SPARSE_CODE_FIELDS] = true;	/* of blocks: test_fields.c */
	for (int i = 0; i < SPARSE_CODINGS; i++)
	{
		if (!coding[i])
			printf("# no specimen is coded as %s\n", sparse_coding_name(i));
		all &= coding[i];
	}
	ok(made, "a specimen of each coder is made");
	ok(all, "between them the specimens use every coder");
	ok(truncated, "a delta cut off anywhere is refused");
	ok(extended, "a byte too many is refused");
	ok(flipped, "a flipped bit is refused, or changes nothing: wrong bytes never come out");
}

static void
predictions_are_checked(void)
{
	specimen	s = {SPARSE_BF16, WEIGHTS, SMALL, 1200};
	patient		p;
	uint8_t		decoded[1200];
	bool		good = true;

	prepare(&s, &p);
	for (size_t i = 0; i < p.bytes; i++)
	{
		p.prediction[i] ^= 1;
		good &= sparse_delta_apply(codec, p.e.delta, p.e.size, p.prediction, p.bytes,
								   decoded, p.bytes) == SPARSE_WRONG_PREDICTION;
		p.prediction[i] ^= 1;
	}
	ok(good, "a prediction with one bit changed is a wrong prediction");
	ok(sparse_delta_apply(codec, p.e.delta, p.e.size, p.prediction, p.bytes - 2, decoded, p.bytes)
	   == SPARSE_WRONG_PREDICTION, "a prediction that is too short is a wrong prediction");
	ok(sparse_delta_apply(codec, p.e.delta, p.e.size, NULL, 0, decoded, p.bytes)
	   == SPARSE_WRONG_PREDICTION, "no prediction is a wrong prediction");
	ok(sparse_delta_apply(codec, p.e.delta, p.e.size, p.prediction, p.bytes, decoded, p.bytes - 2)
	   == SPARSE_BAD_ARGUMENT, "content must have the announced length");
	dispose(&p);
}

/* ---- arguments ---- */

static void
arguments_are_checked(void)
{
	uint8_t		content[64] = {1, 2, 3};
	sparse_ref	ref = {0, SPARSE_F32, 0, 16};
	sparse_ref	many[SPARSE_MAX_REFS + 1];
	const uint8_t *delta;
	size_t		size;

	for (unsigned i = 0; i <= SPARSE_MAX_REFS; i++)
		many[i] = (sparse_ref) {0, SPARSE_BYTES, i, 1};
	ok(sparse_delta_encode(codec, content, 63, SPARSE_F32, NULL, 0, NULL, 0, &delta, &size)
	   == SPARSE_BAD_ARGUMENT, "content that is not whole elements is refused");
	ok(sparse_delta_encode(codec, content, 64, SPARSE_F32, &ref, 1, content, 60, &delta, &size)
	   == SPARSE_BAD_ARGUMENT, "references that do not add up to the prediction are refused");
	ok(sparse_delta_encode(codec, content, 64, SPARSE_F32, many, SPARSE_MAX_REFS + 1, content,
						   SPARSE_MAX_REFS + 1, &delta, &size)
	   != SPARSE_OK, "more references than a delta has are refused");
	ok(sparse_delta_encode(codec, content, SPARSE_MAX_CONTENT + 8, SPARSE_F32, NULL, 0, NULL, 0,
						   &delta, &size)
	   == SPARSE_TOO_LARGE, "more content than a delta holds is refused before it is touched");
}

/* An allocator that fails from its n-th allocation on. */
typedef struct meter
{
	int			left;
	int			held;
} meter;

static void *
meter_allocate(void *state, size_t bytes)
{
	meter	   *m = state;

	if (m->left-- <= 0)
		return NULL;
	m->held++;
	return malloc(bytes ? bytes : 1);
}

static void
meter_release(void *state, void *block)
{
	if (block != NULL)
		((meter *) state)->held--;
	free(block);
}

static bool
exhaustion_is_survived(const specimen *s)
{
	sparse_codec *shared = codec;
	patient		p;
	bool		done = false;
	bool		good = prepare(s, &p);

	for (int limit = 0; good && !done; limit++)
	{
		meter		m = {limit, 0};
		sparse_allocator allocator = {meter_allocate, meter_release, &m};
		uint8_t    *decoded = malloc(p.bytes);

		codec = sparse_codec_create(&allocator);
		if (codec != NULL)
		{
			sparse_ref	ref = {0, s->dtype, 0, p.bytes / sparse_dtype_get(s->dtype)->bytes};
			const uint8_t *delta;
			size_t		size;
			sparse_status encoded = sparse_delta_encode(codec, p.content, p.bytes, s->dtype, &ref, p.e.info.refs,
														p.prediction, p.e.info.refs ? p.bytes : 0, &delta, &size);
			sparse_status applied = sparse_delta_apply(codec, p.e.delta, p.e.size, p.prediction,
													   p.e.info.refs ? p.bytes : 0, decoded, p.bytes);

			good = (encoded == SPARSE_OK || encoded == SPARSE_NO_MEMORY)
				&& (applied == SPARSE_OK || applied == SPARSE_NO_MEMORY);
			done = encoded == SPARSE_OK && applied == SPARSE_OK;
			sparse_codec_free(codec);
		}
		good = good && m.held == 0;
		free(decoded);
	}
	codec = shared;
	dispose(&p);
	return good;
}

static void
memory_may_run_out(void)
{
	bool		good = true;

	for (unsigned i = 0; i < SPECIMENS; i++)
		good &= exhaustion_is_survived(&specimens[i]);
	ok(good, "memory that runs out at any allocation is an error, and none is leaked");
}

/* ---- deltas made once ---- */

/* A file's bytes, malloc'd; NULL: it cannot be read. */
static uint8_t *
read_whole(const char *path, size_t *size)
{
	const size_t most = 1 << 20;
	uint8_t    *bytes = NULL;
	FILE	   *file = fopen(path, "rb");

	if (file == NULL)
		return NULL;
	bytes = malloc(most);
	*size = fread(bytes, 1, most, file);
	fclose(file);
	return bytes;
}

/* By every path that the machine has, to what it was made of, as its checksum says. */
static bool
decodes(const uint8_t *seed, size_t size)
{
	sparse_delta_info info;
	uint8_t    *prediction;
	uint8_t    *content;
	bool		good;

	if (size < 1 || sparse_delta_read(seed + 1, size - 1, size - 1, &info) != SPARSE_OK)
		return false;
	prediction = malloc((size_t) info.prediction_bytes + 1);
	content = malloc((size_t) info.content_bytes + 1);
	make_prediction(seed[0], prediction, (size_t) info.prediction_bytes);
	good = sparse_delta_apply(codec, seed + 1, size - 1, prediction, (size_t) info.prediction_bytes,
							  content, (size_t) info.content_bytes) == SPARSE_OK;
	for (int level = 0; lower[level]; level++)
		good &= sparse_delta_apply(lower[level], seed + 1, size - 1, prediction, (size_t) info.prediction_bytes,
								   content, (size_t) info.content_bytes) == SPARSE_OK;
	free(prediction);
	free(content);
	return good;
}

/* How many files of a folder there are, each a byte that makes the prediction, and a delta; -1 if one does not decode. */
static int
count_decoding(const char *folder)
{
	DIR		   *entries = opendir(folder);
	struct dirent *entry;
	int			count = 0;
	bool		good = entries != NULL;

	while (entries != NULL && (entry = readdir(entries)) != NULL)
	{
		char		path[600];
		uint8_t    *seed;
		size_t		size = 0;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		seed = read_whole(path, &size);
		if (seed == NULL || !decodes(seed, size))
		{
			printf("# %s does not decode: see test/lib/delta_seeds.c\n", path);
			good = false;
		}
		count++;
		free(seed);
	}
	if (entries != NULL)
		closedir(entries);
	return good ? count : -1;
}

int
main(void)
{
	codec = sparse_codec_create(NULL);
	for (int level = 0; level < (int) sparse_simd_best(); level++)
	{
		lower[level] = sparse_codec_create(NULL);
		sparse_codec_restrict(lower[level], (sparse_simd) level);
	}
	every_dtype_comes_back();
	ok(bound_kept, "a delta is never longer than its bound");
	ok(every_16_bit_pattern_comes_back(SPARSE_BF16), "every BF16 pattern comes back against predictions near and far");
	ok(every_16_bit_pattern_comes_back(SPARSE_F16), "every F16 pattern comes back against predictions near and far");
	ok(every_16_bit_pattern_comes_back(SPARSE_I16), "every I16 pattern comes back against predictions near and far");
	ok(pieces_of_parents_predict(), "sixteen pieces of three parents make one prediction");
	ok(a_dictionary_predicts(), "bytes found anywhere in the prediction cost little");
	ok(small_changes_cost_little(), "small changes of bf16 weights cost what their entropy says, and 4 % more at most");
	ok(odd_blocks_cost_the_others_nothing(), "blocks whose change is of another order cost the others nothing");
	ok(few_levels_are_indices(), "content of few levels costs the entropy of their indices, and 2 % and 512 bytes more at most");
	ok(encoding_is_deterministic(), "a used codec and a new one write the same delta");
	damage_is_found();
	predictions_are_checked();
	arguments_are_checked();
	memory_may_run_out();
	ok(count_decoding("test/fuzz/corpus/fuzz_delta") == 83, "the deltas that the fuzzer begins with decode");
	printf("# the best path is: %s\n", sparse_simd_name(sparse_simd_best()));
	ok(written_alike, "all paths that the machine has write the same deltas");
	sparse_codec_free(codec);
	for (int level = 0; lower[level]; level++)
		sparse_codec_free(lower[level]);
	printf("1..%d\n", tests);
	return failures != 0;
}
