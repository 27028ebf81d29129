/*
 * test_formula.c: predictions that are computed.
 *
 * Vectors made once say what each formula predicts, to the bit: a delta made today
 * must decode on any machine and by any later version. Then: each formula's delta gives its content
 * back, by every set of instructions, in few bytes where the formula holds, and no more than
 * the parent's where it does not; and parameters that do not fit are refused.
 */
#include "../../src/core/codec/codec.h"
#include "../../src/core/codec/convert.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>

static int	tests;
static int	failures;
static sparse_codec *codec;
static sparse_codec *portable;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t
random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Like a weight: within +-0.1, seldom small. */
static float
weight(void)
{
	return ((float) (random_bits() >> 40) / 16777216.0f - 0.5f) * 0.2f;
}

/* ---- conversions ---- */

static uint32_t
stored(sparse_dtype dtype, float x)
{
	uint32_t	bits = 0;

	store_floats(dtype, &x, 1, (uint8_t *) &bits);
	return bits;
}

static float
loaded(sparse_dtype dtype, uint32_t bits)
{
	float		x;

	load_floats(dtype, (const uint8_t *) &bits, 1, &x);
	return x;
}

static void
conversions_are_exact(void)
{
	bool		good = true;

	for (uint32_t bits = 0; bits < 65536; bits++)
	{
		static const sparse_dtype narrow[] = {SPARSE_BF16, SPARSE_F16, SPARSE_F8_E4M3, SPARSE_F8_E5M2};

		for (size_t i = 0; i < 4; i++)
		{
			float		x;

			if (sparse_dtype_get(narrow[i])->bytes == 1 && bits > 255)
				continue;
			x = loaded(narrow[i], bits);
			if (x == x)
				good &= stored(narrow[i], x) == bits;
		}
	}
	ok(good, "every number of 8 and 16 bits becomes a float and itself again");
	ok(stored(SPARSE_BF16, 1.00390625f) == 0x3f80 && stored(SPARSE_BF16, 1.01171875f) == 0x3f82
	   && stored(SPARSE_BF16, 3.4e38f) == 0x7f80, "bf16: halves go to the even neighbour, the largest to infinity");
	ok(stored(SPARSE_F16, 65519.0f) == 0x7bff && stored(SPARSE_F16, 65520.0f) == 0x7c00
	   && stored(SPARSE_F16, 2.98e-8f) == 0 && stored(SPARSE_F16, 2.99e-8f) == 1
	   && stored(SPARSE_F16, -6.103515625e-05f) == 0x8400, "f16: overflow, the least subnormal number and the least normal one");
	ok(stored(SPARSE_F8_E4M3, 448.0f) == 0x7e && stored(SPARSE_F8_E4M3, 1e9f) == 0x7e && stored(SPARSE_F8_E4M3, -0.0009765625f) == 0x80
	   && stored(SPARSE_F8_E4M3, 0.001953125f) == 1 && stored(SPARSE_F8_E4M3, 1.0625f) == 0x38, "e4m3: what is too large becomes the largest number");
	ok(stored(SPARSE_F8_E5M2, 1e9f) == 0x7c && stored(SPARSE_F8_E5M2, 57344.0f) == 0x7b, "e5m2: what is too large becomes infinite");
}

/* ---- vectors ---- */

/* A delta that says nothing but a formula, applied: what the formula predicts. */
static bool
predicts(sparse_predictor predictor, const sparse_formula *f, sparse_dtype dtype,
		 const sparse_ref *ref, unsigned refs, const void *references, size_t reference_bytes,
		 const void *expected, size_t bytes)
{
	const uint8_t *delta;
	size_t		size;
	uint8_t		content[4096];
	sparse_delta_info info;
	bool		good;

	if (sparse_delta_encode_formula(codec, expected, bytes, dtype, predictor, f, ref, refs, references, reference_bytes,
									&delta, &size) != SPARSE_OK
		|| sparse_delta_read(delta, size, size, &info) != SPARSE_OK)
		return false;
	/* few bytes may be cheaper without references: then the formula is asked for itself */
	if (info.predictor != predictor)
	{
		info.predictor = predictor;
		info.refs = (uint16_t) refs;
		memcpy(info.ref, ref, refs * sizeof(*ref));
		good = formula_check(&info, f) == SPARSE_OK
			&& formula_predict(codec, &info, f, references, content, NULL) == SPARSE_OK;
	}
	else
		good = info.coding == SPARSE_CODE_EMPTY
			&& sparse_delta_apply(codec, delta, size, references, reference_bytes, content, bytes) == SPARSE_OK;
	return good && memcmp(content, expected, bytes) == 0;
}

#define REF(p, t, n) {.parent = (p), .dtype = (t), .first = 0, .count = (n)}

static void
vectors_hold(void)
{
	const uint16_t a[4] = {0x3f80, 0xbf00, 0x4049, 0x0001};	/* 1, -0.5, 3.140625, least subnormal */
	const uint16_t b[4] = {0x3f81, 0xbf01, 0x4048, 0x7fc1};
	const float wide[4] = {1.00390625f, -0.5f, 65536.0f, 1e-40f};
	const uint16_t narrowed[4] = {0x3f80, 0xbf00, 0x4780, 0x0001};
	const uint16_t half[4] = {0x3c04, 0xb800, 0x7c00, 0x0000};
	uint8_t		both[16];
	sparse_formula f = {0};
	sparse_ref	ref[3] = {REF(0, SPARSE_F32, 4)};

	ok(predicts(SPARSE_PREDICT_CAST, &f, SPARSE_BF16, ref, 1, wide, 16, narrowed, 8)
	   && predicts(SPARSE_PREDICT_CAST, &f, SPARSE_F16, ref, 1, wide, 16, half, 8), "cast: f32 to bf16 and f16");

	memcpy(both, a, 8);
	memcpy(both + 8, b, 8);
	ref[0] = (sparse_ref) REF(0, SPARSE_BF16, 4);
	ref[1] = (sparse_ref) REF(1, SPARSE_BF16, 4);
	f.coefficient[0] = 0.25;
	f.coefficient[1] = 0.75;
	ok(predicts(SPARSE_PREDICT_BLEND, &f, SPARSE_BF16, ref, 2, both, 16, (uint16_t[]) {0x3f81, 0xbf01, 0x4048, 0x7fc0}, 8),
	   "blend: rounded once, and a NaN is the quiet one");
	f.style = SPARSE_BLEND_STEPS;
	ok(predicts(SPARSE_PREDICT_BLEND, &f, SPARSE_BF16, ref, 2, both, 16, (uint16_t[]) {0x3f81, 0xbf01, 0x4048, 0x7fc0}, 8),
	   "blend: every product rounded");
	f.style = SPARSE_BLEND_TASKS;
	f.coefficient[1] = 2;
	ok(predicts(SPARSE_PREDICT_BLEND, &f, SPARSE_BF16, ref, 2, both, 16, (uint16_t[]) {0x3f82, 0xbf02, 0x4047, 0x7fc0}, 8),
	   "blend: the first and twice the difference to it");
	f = (sparse_formula) {.style = SPARSE_PRUNE_THRESHOLD, .threshold = 0x3f80, .signed_zeros = 1};
	ok(predicts(SPARSE_PREDICT_PRUNED, &f, SPARSE_BF16, ref, 1, a, 8, (uint16_t[]) {0x3f80, 0x8000, 0x4049, 0}, 8),
	   "pruned: below the threshold, with signs");
	f = (sparse_formula) {.style = SPARSE_PRUNE_GROUPS, .keep = 2, .of = 4};
	ok(predicts(SPARSE_PREDICT_PRUNED, &f, SPARSE_BF16, ref, 1, a, 8, (uint16_t[]) {0x3f80, 0, 0x4049, 0}, 8),
	   "pruned: the two largest of four");
}

static void
scaled_vectors_hold(void)
{
	struct
	{
		float		x[4];
		float		scale[2];
	}			from = {{1.5f, -2.5f, 300.0f, 0.24f}, {1.0f, 0.5f}};
	struct
	{
		int8_t		q[4];
		uint8_t		scale[8];
	}			back;
	sparse_ref	ref[3] = {REF(0, SPARSE_F32, 4), REF(1, SPARSE_F32, 2)};
	sparse_formula f = {.lowest = -128, .highest = 127, .group = 2, .factor = 1};

	ok(predicts(SPARSE_PREDICT_QUANTISED, &f, SPARSE_I8, ref, 2, &from, 24, (int8_t[]) {2, -2, 127, 0}, 4),
	   "quantised: halves go to the even neighbour, limits hold");
	f.style = SPARSE_PACK_LOW_FIRST;
	f.bias = 8;
	f.lowest = -8;
	f.highest = 7;
	ok(predicts(SPARSE_PREDICT_QUANTISED, &f, SPARSE_U8, ref, 2, &from, 24, (uint8_t[]) {0x6a, 0x8f}, 2),
	   "quantised: two values a byte");
	memcpy(back.q, (int8_t[]) {2, -2, 127, 0}, 4);
	memcpy(back.scale, from.scale, 8);
	f = (sparse_formula) {.lowest = -128, .highest = 127, .group = 2, .factor = 1};
	ref[0] = (sparse_ref) REF(0, SPARSE_I8, 4);
	ok(predicts(SPARSE_PREDICT_DEQUANTISED, &f, SPARSE_F32, ref, 2, &back, 12, (float[]) {2, -2, 63.5f, 0}, 16),
	   "dequantised: values times their scales");
	f = (sparse_formula) {.group = 2, .factor = 127};
	ref[0] = (sparse_ref) REF(0, SPARSE_F32, 4);
	ok(predicts(SPARSE_PREDICT_MAXIMA, &f, SPARSE_F32, ref, 1, &from, 16, (float[]) {2.5f / 127.0f, 300.0f / 127.0f}, 8),
	   "maxima: the largest magnitude of a group, divided");
	f = (sparse_formula) {.columns = 2, .stride = 2, .group = 6, .offset = 3};
	ref[0] = (sparse_ref) REF(0, SPARSE_I16, 24);
	ok(predicts(SPARSE_PREDICT_PERMUTED, &f, SPARSE_I16, ref, 1,
				(int16_t[]) {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}, 48,
				(int16_t[]) {5, 8, 9, 2, 3, 6, 7, 10, 11, 20, 21, 24}, 24),
	   "permuted: rows of each group in another order, from the middle of a row on");
	f.offset = 0;
	ref[0] = (sparse_ref) REF(0, SPARSE_F32, 12);
	ok(predicts(SPARSE_PREDICT_PERMUTED, &f, SPARSE_BF16, ref, 1, (float[]) {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 48,
				(uint16_t[]) {0, 0x3f80, 0x4080, 0x40a0, 0x4100, 0x4110}, 12),
	   "permuted: of another dtype");
}

static void
product_vectors_hold(void)
{
	struct
	{
		float		base[6];
		float		left[4];	/* 2 x 2 */
		float		right[6];	/* 2 x 3 */
	}			from = {{1, 2, 3, 4, 5, 6}, {1, 2, 3, 4}, {1, 0, -1, 0.5f, 1, 2}};
	const float expected[6] = {2, 3, 4.5f, 6.5f, 7, 8.5f};	/* base + 0.5 x left x right */
	sparse_ref	ref[3] = {REF(0, SPARSE_F32, 6), REF(1, SPARSE_F32, 4), REF(2, SPARSE_F32, 6)};
	sparse_formula f = {.rank = 2, .columns = 3, .factor = 0.5};
	struct
	{
		float		base[3];
		float		left[4];
		float		right[6];
	}			part = {{3, 4, 5}, {1, 3, 2, 4}, {1, 0.5f, 0, 1, -1, 2}};

	ok(predicts(SPARSE_PREDICT_LOW_RANK, &f, SPARSE_F32, ref, 3, &from, sizeof from, expected, 24),
	   "low-rank: the base and half the product");
	f.style = SPARSE_LEFT_TRANSPOSED | SPARSE_RIGHT_TRANSPOSED;
	f.offset = 2;
	ref[0].count = 3;
	ok(predicts(SPARSE_PREDICT_LOW_RANK, &f, SPARSE_F32, ref, 3, &part, sizeof part, expected + 2, 12),
	   "low-rank: transposed factors, and a part that begins within a row");
}

static void
sum_vectors_hold(void)
{
	struct
	{
		float		base[6];
		float		other[6];
		int8_t		left[6];	/* 2 components x 3 rows, of which the first is passed over */
		int8_t		right[6];	/* 2 x 3 */
	}			from = {{1, 2, 3, 4, 5, 6}, {1, 1, 1, 2, 2, 2}, {9, 1, 3, 9, 2, -4}, {1, 0, -1, 2, 1, 3}};
	/* base x 2 - other + (1 x 1 + 2 x 2 x 2, ...) / 4 */
	const float expected[6] = {1 + 9 / 4.0f, 3 + 1, 5 + 11 / 4.0f, 6 - 13 / 4.0f, 8 - 2, 10 - 27 / 4.0f};
	sparse_ref	ref[4] = {REF(0, SPARSE_F32, 6), REF(1, SPARSE_F32, 6), REF(2, SPARSE_I8, 6), REF(3, SPARSE_I8, 6)};
	sparse_formula f = {
		.bases = 2, .coefficient = {2, -1}, .rank = 2, .columns = 3, .row = 1, .power = -2, .exponent = {0, 1}
	};
	const sparse_formula alone = {.bases = 1, .coefficient = {0.5}};
	const float halved[2] = {0.5f, -1.5f};

	ok(predicts(SPARSE_PREDICT_SUM, &f, SPARSE_F32, ref, 4, &from, sizeof from, expected, 24),
	   "sum: weighted bases, and the product of integers, shifted and scaled");
	ref[0].count = 2;
	ok(predicts(SPARSE_PREDICT_SUM, &alone, SPARSE_F32, ref, 1, (float[]) {1, -3}, 8, halved, 8), "sum: of one base, without a product");
}

/* What a bf16 and an f16 keep of sums that lie between two elements. */
static void
fractions_hold(void)
{
	/* 1 + 0, 1/32, 15/32 and 20/32 of the distance to the next; and below zero */
	const float sums[5] = {1, 1 + 1 / 4096.0f, 1 + 15 / 4096.0f, 1 + 20 / 4096.0f, -1 - 20 / 4096.0f};
	const uint8_t expected[5] = {0, 0, 7, 6 | 8, 6 | 8};
	const sparse_formula f = {.bases = 1, .coefficient = {1}};
	const sparse_delta_info info = {
		.predictor = SPARSE_PREDICT_SUM, .dtype = SPARSE_BF16, .content_bytes = 10, .refs = 1, .ref = {REF(0, SPARSE_F32, 5)}
	};
	uint16_t	predicted[5];
	uint8_t		fraction[5];

	ok(formula_check(&info, &f) == SPARSE_OK
	   && formula_predict(codec, &info, &f, (const uint8_t *) sums, (uint8_t *) predicted, fraction) == SPARSE_OK
	   && memcmp(fraction, expected, sizeof expected) == 0, "sum: the fraction is how far it lies from what it was rounded to");
}

/* Content near sums of many rows, long and short ones: by every set of instructions the same delta, and the content again. */
static void
sums_come_back(void)
{
	enum {ROWS = 60, COLUMNS = 1037, RANK = 5, N = ROWS * COLUMNS};
	static struct
	{
		uint16_t	base[N];
		int8_t		left[RANK * ROWS];
		int8_t		right[RANK * COLUMNS];
	}			from;
	static uint16_t content[N];
	static uint16_t again[N];
	static uint8_t first[2 * N + 1024];
	const sparse_ref ref[3] = {REF(0, SPARSE_BF16, N - 40), REF(1, SPARSE_I8, RANK * ROWS), REF(2, SPARSE_I8, RANK * COLUMNS)};
	const sparse_formula f = {
		.bases = 1, .coefficient = {1}, .rank = RANK, .columns = COLUMNS, .offset = 40, .power = -22, .exponent = {0, 1, 2, 3, 8}
	};
	const size_t bytes = 2 * (N - 40);
	size_t		first_bytes = 0;
	sparse_delta_info info = {.predictor = SPARSE_PREDICT_SUM, .dtype = SPARSE_BF16, .content_bytes = bytes, .refs = 3};
	bool		good = true;

	for (size_t i = 0; i < N; i++)
	{
		const float x = weight();

		store_floats(SPARSE_BF16, &x, 1, (uint8_t *) &from.base[i]);
	}
	for (size_t i = 0; i < sizeof from.left; i++)
		from.left[i] = (int8_t) (random_bits() % 255 - 127);
	for (size_t i = 0; i < sizeof from.right; i++)
		from.right[i] = (int8_t) (random_bits() % 255 - 127);
	memcpy(info.ref, ref, sizeof ref);
	/* the base's last elements are not referred to: what follows must lie right behind */
	memmove((uint8_t *) &from + bytes, from.left, sizeof from.left + sizeof from.right);
	good &= formula_check(&info, &f) == SPARSE_OK
		&& formula_predict(codec, &info, &f, (const uint8_t *) &from, (uint8_t *) content, NULL) == SPARSE_OK;
	for (size_t i = 0; i < N - 40; i++)
		content[i] = (uint16_t) (content[i] + (random_bits() >> 20) % 3 - 1);
	content[77] ^= 0x8000;
	content[777] = 0x7f80;
	for (int level = 0; level <= (int) sparse_simd_best(); level++)
	{
		sparse_codec *own = sparse_codec_create(NULL);
		const size_t reference_bytes = bytes + sizeof from.left + sizeof from.right;
		const uint8_t *delta;
		size_t		size;

		sparse_codec_restrict(own, (sparse_simd) level);
		good &= sparse_delta_encode_formula(own, content, bytes, SPARSE_BF16, SPARSE_PREDICT_SUM, &f, ref, 3, &from, reference_bytes,
											&delta, &size) == SPARSE_OK && size < sizeof first;
		good &= delta[0] == 2 && delta[2] == SPARSE_CODE_FRACTION && (level == 0 || (size == first_bytes && memcmp(first, delta, size) == 0));
		memcpy(first, delta, size);
		first_bytes = size;
		good &= sparse_delta_apply(own, first, size, &from, reference_bytes, again, bytes) == SPARSE_OK
			&& memcmp(again, content, bytes) == 0;
		sparse_codec_free(own);
	}
	ok(good, "sum: the same delta by every set of instructions, and the content again");
}

/* ---- round trips ---- */

#define ELEMENTS 20000

typedef struct family
{
	uint16_t	a[ELEMENTS];
	uint16_t	b[ELEMENTS];
	uint16_t	child[ELEMENTS];
	uint16_t	both[2 * ELEMENTS];
} family;

/* Two fine-tunes of one base, as bf16. */
static family *
make_family(void)
{
	family	   *f = malloc(sizeof(family));

	for (size_t i = 0; i < ELEMENTS; i++)
	{
		const float base = weight();

		f->a[i] = (uint16_t) stored(SPARSE_BF16, base + weight() * 0.01f);
		f->b[i] = (uint16_t) stored(SPARSE_BF16, base + weight() * 0.01f);
	}
	memcpy(f->both, f->a, sizeof f->a);
	memcpy(f->both + ELEMENTS, f->b, sizeof f->b);
	return f;
}

/* Bytes of the child's delta by a formula; 0 when it does not come back. */
static size_t
delta_bytes(const family *f, sparse_predictor predictor, const sparse_formula *formula, unsigned refs, sparse_delta_info *info)
{
	const sparse_ref ref[2] = {REF(0, SPARSE_BF16, ELEMENTS), REF(1, SPARSE_BF16, ELEMENTS)};
	const size_t bytes = sizeof f->child;
	const uint8_t *delta;
	const uint8_t *again;
	uint8_t    *content = malloc(bytes);
	size_t		size;
	size_t		again_size;
	bool		good;

	if (sparse_delta_encode_formula(codec, f->child, bytes, SPARSE_BF16, predictor, formula, ref, refs,
									f->both, refs * bytes, &delta, &size) != SPARSE_OK
		|| sparse_delta_encode_formula(portable, f->child, bytes, SPARSE_BF16, predictor, formula, ref, refs,
									   f->both, refs * bytes, &again, &again_size) != SPARSE_OK
		|| size != again_size || memcmp(delta, again, size) != 0
		|| sparse_delta_read(delta, size, size, info) != SPARSE_OK)
		size = 0;
	for (int i = 0; i < 2 && size > 0; i++)
	{
		uint8_t    *copy = malloc(size);

		memcpy(copy, again, size);
		memset(content, 0, bytes);
		good = sparse_delta_apply(i ? portable : codec, copy, size, f->both, (size_t) info->prediction_bytes,
								  content, bytes) == SPARSE_OK && memcmp(content, f->child, bytes) == 0;
		free(copy);
		if (!good)
			size = 0;
	}
	free(content);
	return size;
}

static void
merges_are_nearly_free(void)
{
	family	   *f = make_family();
	sparse_formula blend = {.coefficient = {0.4, 0.6}};
	sparse_delta_info info;
	size_t		size;

	for (size_t i = 0; i < ELEMENTS; i++)
		f->child[i] = (uint16_t) stored(SPARSE_BF16, 0.4f * loaded(SPARSE_BF16, f->a[i]) + 0.6f * loaded(SPARSE_BF16, f->b[i]));
	size = delta_bytes(f, SPARSE_PREDICT_BLEND, &blend, 2, &info);
	ok(size > 0 && size < 200 && info.predictor == SPARSE_PREDICT_BLEND, "an exact merge costs its header");
	for (size_t i = 0; i < ELEMENTS; i += 100)
		f->child[i] ^= 3;
	size = delta_bytes(f, SPARSE_PREDICT_BLEND, &blend, 2, &info);
	ok(size > 0 && size < 1200 && info.coding == SPARSE_CODE_RESIDUAL, "exceptions to a merge cost a little each");
	memcpy(f->child, f->a, sizeof f->a);
	size = delta_bytes(f, SPARSE_PREDICT_BLEND, &blend, 2, &info);
	ok(size > 0 && size < 100 && info.predictor == SPARSE_PREDICT_SAME, "a child that is the first parent is taken for that");
	for (size_t i = 0; i < ELEMENTS; i++)
		f->child[i] = f->a[i] + (random_bits() % 3 == 0);
	size = delta_bytes(f, SPARSE_PREDICT_BLEND, &blend, 2, &info);
	ok(size > 0 && info.predictor == SPARSE_PREDICT_PARENT && info.refs == 1, "where a formula predicts badly, the first parent alone does");
	free(f);
}

static void
pruned_ones_are_masks(void)
{
	family	   *f = make_family();
	sparse_formula pruned = {.threshold = 0x3d00};
	sparse_delta_info info;
	size_t		size;

	for (size_t i = 0; i < ELEMENTS; i++)
		f->child[i] = (f->a[i] & 0x7fff) < 0x3d00 ? 0 : f->a[i];
	size = delta_bytes(f, SPARSE_PREDICT_PRUNED, &pruned, 1, &info);
	ok(size > 0 && size < 120 && info.coding == SPARSE_CODE_EMPTY, "magnitude pruning costs its threshold");
	for (size_t i = 0; i < ELEMENTS; i++)
		f->child[i] = random_bits() % 4 == 0 ? (i % 2 ? 0x8000 : 0) : f->a[i];
	f->child[7] = 0x3c01;
	size = delta_bytes(f, SPARSE_PREDICT_PRUNED, &pruned, 1, &info);
	ok(size > 0 && size < ELEMENTS * 5 / 32 && info.coding == SPARSE_CODE_MASK && info.predictor == SPARSE_PREDICT_PARENT,
	   "a random mask costs about a bit an element");
	free(f);
}

static void
lost_bits_are_all_that_is_left(void)
{
	float	   *child = malloc(ELEMENTS * sizeof(float));
	uint16_t   *parent = malloc(ELEMENTS * sizeof(uint16_t));
	const sparse_ref ref = REF(0, SPARSE_BF16, ELEMENTS);
	const sparse_formula cast = {0};
	const uint8_t *delta;
	size_t		size = 0;

	for (size_t i = 0; i < ELEMENTS; i++)
		child[i] = weight();
	store_floats(SPARSE_BF16, child, ELEMENTS, (uint8_t *) parent);
	(void) sparse_delta_encode_formula(codec, child, 4 * ELEMENTS, SPARSE_F32, SPARSE_PREDICT_CAST, &cast, &ref, 1,
									   parent, 2 * ELEMENTS, &delta, &size);
	ok(size > 0 && size < 2 * ELEMENTS * 102 / 100, "f32 from its bf16 costs 16 bits an element");
	free(child);
	free(parent);
}

#ifdef __SSE2__
#include <xmmintrin.h>
#define FLUSH_TO_ZERO (1u << 15 | 1u << 6)
#endif

/* Whatever the process has set: rounding, and what becomes of numbers below the normal ones. */
static void
the_environment_does_not_matter(void)
{
	float		parents[2][64];
	float		expected[64];
	float		predicted[64];
	const sparse_ref ref[2] = {REF(0, SPARSE_F32, 64), REF(1, SPARSE_F32, 64)};
	const sparse_formula blend = {.coefficient = {1 / 3.0, 0.7}};
	sparse_delta_info info = {
		.predictor = SPARSE_PREDICT_BLEND, .dtype = SPARSE_BF16, .content_bytes = 128, .refs = 2, .ref = {ref[0], ref[1]}
	};

	for (int i = 0; i < 64; i++)
	{
		parents[0][i] = weight() * (i % 2 ? 1e-38f : 1);
		parents[1][i] = weight() * (i % 2 ? 1e-38f : 1);
	}
	(void) formula_predict(codec, &info, &blend, (const uint8_t *) parents, (uint8_t *) expected, NULL);
	fesetround(FE_UPWARD);
#ifdef __SSE2__
	_mm_setcsr(_mm_getcsr() | FLUSH_TO_ZERO);
#endif
	(void) formula_predict(codec, &info, &blend, (const uint8_t *) parents, (uint8_t *) predicted, NULL);
	ok(fegetround() == FE_UPWARD, "the caller's rounding is left as it was");
	fesetenv(FE_DFL_ENV);
	ok(memcmp(expected, predicted, 128) == 0, "a prediction does not depend on the caller's rounding");
}

/* ---- refusals ---- */

static void
what_does_not_fit_is_refused(void)
{
	family	   *f = make_family();
	sparse_ref	ref[2] = {REF(0, SPARSE_BF16, ELEMENTS), REF(1, SPARSE_BF16, ELEMENTS)};
	sparse_formula pruned = {.style = SPARSE_PRUNE_GROUPS, .keep = 4, .of = 4};
	sparse_formula product = {.rank = 300, .columns = 10};
	sparse_formula scaled = {.group = 0};
	sparse_formula sum[] = {
		{.bases = 0}, {.bases = 9}, {.bases = 1, .rank = 129, .columns = 10}, {.bases = 1, .columns = 1}, {.bases = 1, .power = 1},
		{.bases = 1, .rank = 1, .columns = 10, .exponent = {9}}, {.bases = 1, .rank = 1, .columns = 0}, {.bases = 2, .rank = 1, .columns = 10}
	};
	sparse_formula permuted[] = {
		{.columns = 0, .stride = 1, .group = 1}, {.columns = 1, .stride = 0, .group = 1}, {.columns = 1, .stride = 1, .group = 0},
		{.columns = 1, .stride = 2, .group = 3}, {.columns = 2, .stride = 1, .group = 1, .offset = 2},
		{.columns = UINT32_MAX, .stride = 1, .group = 1}, {.columns = 1, .stride = 1, .group = UINT64_MAX},
		{.columns = ELEMENTS, .stride = 1, .group = 2}, {.columns = 1, .stride = 1, .group = 1, .offset = 1}
	};
	bool		refused = true;
	const uint8_t *delta;
	size_t		size;

	memcpy(f->child, f->b, sizeof f->b);
#define REFUSED(predictor, formula, refs) \
	(sparse_delta_encode_formula(codec, f->child, sizeof f->child, SPARSE_BF16, predictor, formula, ref, refs, \
								 f->both, (refs) * sizeof f->child, &delta, &size) == SPARSE_BAD_ARGUMENT)
	ok(REFUSED(SPARSE_PREDICT_PARENT, &scaled, 1) && REFUSED(SPARSE_PREDICT_CAST, &scaled, 2), "a formula with other references is refused");
	ok(REFUSED(SPARSE_PREDICT_PRUNED, &pruned, 1), "pruning that keeps all is refused");
	ok(REFUSED(SPARSE_PREDICT_LOW_RANK, &product, 2), "a rank beyond the limit is refused");
	ok(REFUSED(SPARSE_PREDICT_DEQUANTISED, &scaled, 2), "values without a group are refused");
	for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++)
		refused &= REFUSED(SPARSE_PREDICT_SUM, &sum[i], 1);
	ok(refused, "sums that contradict themselves are refused");
	for (size_t i = 0; i < sizeof permuted / sizeof permuted[0]; i++)
		refused &= REFUSED(SPARSE_PREDICT_PERMUTED, &permuted[i], 1);
	ok(refused, "permutations that contradict themselves, or want more of the reference, are refused");
#undef REFUSED
	free(f);
}

/* Every bit of a delta's head changed, and every length of it: an error, or the content. */
static void
damaged_heads_are_refused(void)
{
	family	   *f = make_family();
	const sparse_ref ref[2] = {REF(0, SPARSE_BF16, ELEMENTS), REF(1, SPARSE_BF16, ELEMENTS)};
	const sparse_formula blend = {.coefficient = {0.5, 0.5}};
	uint8_t    *content = malloc(sizeof f->child);
	const uint8_t *made;
	uint8_t    *delta;
	size_t		size;
	bool		good = true;

	for (size_t i = 0; i < ELEMENTS; i++)
		f->child[i] = (uint16_t) stored(SPARSE_BF16, 0.5f * loaded(SPARSE_BF16, f->a[i]) + 0.5f * loaded(SPARSE_BF16, f->b[i]));
	f->child[9]++;
	if (sparse_delta_encode_formula(codec, f->child, sizeof f->child, SPARSE_BF16, SPARSE_PREDICT_BLEND, &blend, ref, 2,
									f->both, sizeof f->both, &made, &size) != SPARSE_OK)
		size = 0;
	delta = malloc(size);
	memcpy(delta, made, size);
	for (size_t bit = 0; bit < 8 * size; bit++)
	{
		delta[bit / 8] ^= 1 << bit % 8;
		if (sparse_delta_apply(codec, delta, size, f->both, sizeof f->both, content, sizeof f->child) == SPARSE_OK)
			good &= memcmp(content, f->child, sizeof f->child) == 0;
		delta[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t length = 0; length < size; length++)
	{
		uint8_t    *cut = malloc(length);

		memcpy(cut, delta, length);
		good &= sparse_delta_apply(codec, cut, length, f->both, sizeof f->both, content, sizeof f->child) != SPARSE_OK;
		free(cut);
	}
	ok(size > 0 && good, "a damaged delta of a formula never gives wrong content");
	free(delta);
	free(content);
	free(f);
}

int
main(void)
{
	codec = sparse_codec_create(NULL);
	portable = sparse_codec_create(NULL);
	sparse_codec_restrict(portable, SPARSE_SIMD_NONE);
	conversions_are_exact();
	vectors_hold();
	scaled_vectors_hold();
	product_vectors_hold();
	sum_vectors_hold();
	fractions_hold();
	sums_come_back();
	merges_are_nearly_free();
	pruned_ones_are_masks();
	lost_bits_are_all_that_is_left();
	the_environment_does_not_matter();
	what_does_not_fit_is_refused();
	damaged_heads_are_refused();
	printf("1..%d\n", tests);
	sparse_codec_free(codec);
	sparse_codec_free(portable);
	return failures > 0;
}
