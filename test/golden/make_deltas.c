/*
 * make_deltas.c: writes the golden deltas of a format (lib/golden_deltas.h says what they are): one of
 * every predictor, coding and dtype that go together, and variants of formulas and streams.
 *
 * What the encoder would choose is not asked: each coder is called by itself, and the bytes before
 * the payload are written here after docs/format.md, not by the codec. For make.sh alone.
 */
#include "codec/codec.h"
#include "codec/convert.h"
#include "lib/golden_deltas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#define POOL 1024				/* elements of each dtype in predictions.bin */
#define SCALES 256				/* the last ones of a float dtype are positive: scales */
#define COUNT 200				/* elements of most contents */
#define LONG 17000				/* elements of contents with 64 lanes */

static sparse_codec *codec;
static FILE *deltas;
static FILE *list;
static uint8_t predictions[1 << 18];
static uint8_t fraction[1 << 17];	/* of the prediction at hand */
static size_t pool_at[SPARSE_DTYPES];
static size_t long_at;
static size_t blocks_at;
static size_t deltas_at;
static uint64_t random_state = 88172645463325252u;

static uint64_t
random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "make_deltas: %s\n", what);
	exit(1);
}

static double
weight(void)
{
	return ((double) (random_bits() >> 40) / 16777216.0 - 0.5) * 0.2;
}

/* ---- predictions.bin ---- */

#define BLOCKS_BYTES 4096

/* Bytes of blocks, by their number: what was made before them stays what it is. Of a child a few are others. */
static uint8_t
block_byte(size_t i, unsigned child)
{
	uint64_t	x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 32;
	return (uint8_t) (x ^ (child && i % 11 == 3 ? x >> 8 & 3 : 0));
}

static void
make_floats(sparse_dtype dtype, size_t elements, uint8_t *to)
{
	static const double special[] = {NAN, INFINITY, -INFINITY, -0.0, 0.0, 1e-310, -1e-40, 6e-8};
	const unsigned unit = sparse_dtype_get(dtype)->bytes;

	for (size_t i = 0; i < elements; i++)
	{
		const double x = i + SCALES >= elements && elements == POOL ? fabs(weight()) + 0.01
			: i >= 40 && i < 48 ? special[i - 40] : weight();

		store_doubles(dtype, &x, 1, to + i * unit);
	}
}

static size_t
make_pools(void)
{
	size_t		at = 0;

	for (unsigned d = 0; d < SPARSE_DTYPES; d++)
	{
		const unsigned unit = sparse_dtype_get(d)->bytes;

		pool_at[d] = at;
		if (sparse_dtype_get(d)->exponent_bits > 0)
			make_floats(d, POOL, predictions + at);
		else
			for (size_t i = 0; i < POOL; i++)
			{
				const int64_t x = d == SPARSE_BOOL ? (int64_t) (random_bits() & 1) : (int64_t) (random_bits() % 61) - 30;

				memcpy(predictions + at + i * unit, &x, unit);
			}
		at += (size_t) POOL * unit;
	}
	long_at = at;
	make_floats(SPARSE_BF16, LONG, predictions + at);
	if (SPARSE_FORMAT == 1)
		return at + LONG * 2;
	blocks_at = at + LONG * 2;
	for (size_t i = 0; i < BLOCKS_BYTES; i++)
		predictions[blocks_at + i] = block_byte(i, 0);
	return blocks_at + BLOCKS_BYTES;
}

/* ---- one delta ---- */

/* What a delta is made of. */
typedef struct plan
{
	unsigned	predictor;
	sparse_coding coding;
	sparse_dtype dtype;
	size_t		elements;
	unsigned	refs;
	sparse_ref	ref[SPARSE_MAX_REFS];
	size_t		piece_at[SPARSE_MAX_REFS];	/* in predictions.bin */
	sparse_formula formula;
	unsigned	structure;		/* of blocks */
	int			noise;			/* of a residual: how many of the lowest bits may change; at most 16 */
} plan;

static void
refer(plan *p, sparse_dtype dtype, size_t first, size_t count)
{
	must(first + count <= POOL, "a reference leaves its pool");
	p->ref[p->refs] = (sparse_ref) {.parent = (uint16_t) p->refs, .dtype = dtype, .first = 1000 + first, .count = count};
	p->piece_at[p->refs++] = pool_at[dtype] + first * sparse_dtype_get(dtype)->bytes;
}

/* All references as they are applied; their bytes. */
static size_t
join_references(const plan *p, uint8_t *to)
{
	size_t		at = 0;

	for (unsigned i = 0; i < p->refs; i++)
	{
		const size_t bytes = p->ref[i].count * sparse_dtype_get(p->ref[i].dtype)->bytes;

		memcpy(to + at, predictions + p->piece_at[i], bytes);
		at += bytes;
	}
	return at;
}

/* Content that suits the coding, given what is predicted. */
static void
make_content(const plan *p, const uint8_t *predicted, uint8_t *content)
{
	const unsigned unit = sparse_dtype_get(p->dtype)->bytes;
	const size_t bytes = p->elements * unit;

	if (p->coding == SPARSE_CODE_FIELDS)
	{
		for (size_t i = 0; i < bytes; i++)
			content[i] = block_byte(i, 1);
		return;
	}
	memcpy(content, predicted, bytes);
	for (size_t i = 0; i < p->elements; i++)
	{
		uint8_t    *x = content + i * unit;
		const uint64_t bits = random_bits() >> 20;

		if (p->coding == SPARSE_CODE_CONSTANT)
			memcpy(x, predicted, unit);
		else if (p->coding == SPARSE_CODE_PALETTE)
			memcpy(x, predicted + (i / 128 == 0 ? 0 : bits % 5) * unit, unit);
		else if (p->coding == SPARSE_CODE_MASK && i >= 128 && bits % 2 == 0)
		{
			memset(x, 0, unit);
			x[unit - 1] = bits % 8 == 0 ? 0x80 : 0;
		}
		else if (p->coding == SPARSE_CODE_MASK && i >= 128 && bits % 37 == 1)
			x[0] ^= 5;
		else if ((p->coding == SPARSE_CODE_RESIDUAL || p->coding == SPARSE_CODE_FRACTION) && p->predictor != SPARSE_PREDICT_NONE && i / 128 != 1)
		{
			x[0] ^= (uint8_t) (bits & ((1u << (p->noise < 8 ? p->noise : 8)) - 1));
			if (unit > 1 && p->noise > 8)
				x[1] ^= (uint8_t) (bits >> 8 & ((1u << (p->noise - 8)) - 1));
		}
	}
}

static size_t
encode_payload(const plan *p, const uint8_t *content, size_t bytes, const uint8_t *predicted, const uint8_t *joined,
			   size_t joined_bytes, uint8_t *to, size_t room)
{
	const void *prediction = p->predictor == SPARSE_PREDICT_NONE ? NULL : predicted;
	const unsigned unit = sparse_dtype_get(p->dtype)->bytes;
	output		out = {to, to + room, false};
	sparse_status status = SPARSE_OK;

	switch (p->coding)
	{
		case SPARSE_CODE_EMPTY:
			break;
		case SPARSE_CODE_RAW:
			output_put(&out, content, bytes);
			break;
		case SPARSE_CODE_CONSTANT:
			output_put(&out, content, unit);
			break;
		case SPARSE_CODE_ZSTD:
			status = zstd_encode(codec, content, bytes, joined, joined_bytes, 9, &out);
			break;
		case SPARSE_CODE_PLANES:
			status = planes_encode(codec, content, bytes, unit, &out);
			break;
		case SPARSE_CODE_RESIDUAL:
			status = residual_encode(codec, content, prediction, NULL, p->elements, p->dtype,
									 p->predictor == SPARSE_PREDICT_CAST, &out);
			break;
		case SPARSE_CODE_FRACTION:
			status = residual_encode(codec, content, prediction, fraction, p->elements, p->dtype, false, &out);
			break;
		case SPARSE_CODE_FLOAT:
			status = floats_encode(codec, content, p->elements, p->dtype, &out);
			break;
		case SPARSE_CODE_PALETTE:
			status = palette_encode(codec, content, p->elements, p->dtype, &out);
			break;
		case SPARSE_CODE_FIELDS:
			status = fields_encode(codec, fields_structure(p->structure), content, prediction, bytes, &out);
			break;
		case SPARSE_CODE_MASK:
			status = mask_encode(codec, content, predicted, p->elements, p->dtype, &out);
			break;
	}
	must(status == SPARSE_OK && !out.full, "a coder failed");
	return (size_t) (out.at - to);
}

static void
put(uint8_t **at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*(*at)++ = (uint8_t) (value >> 8 * i);
}

/* Header, references and parameters, after docs/format.md; where the payload begins. */
static uint8_t *
write_head(const plan *p, const uint8_t *content, size_t bytes, const uint8_t *joined, size_t joined_bytes,
		   size_t payload_bytes, uint8_t *at)
{
	uint8_t		parameters[SPARSE_MAX_PARAMETERS];
	const size_t parameter_bytes = formula_write(p->predictor, &p->formula, p->refs, parameters);

	put(&at, SPARSE_FORMAT, 1);
	put(&at, p->predictor, 1);
	put(&at, p->coding, 1);
	put(&at, p->dtype, 1);
	put(&at, p->refs, 2);
	put(&at, parameter_bytes, 2);
	put(&at, bytes, 8);
	put(&at, XXH3_64bits(content, bytes), 8);
	put(&at, p->refs ? XXH3_64bits(joined, joined_bytes) : 0, 8);
	put(&at, payload_bytes, 4);
	put(&at, 7, 4);
	put(&at, UINT64_C(0x1122334455667788), 8);
	for (unsigned i = 0; i < p->refs; i++)
	{
		put(&at, p->ref[i].parent, 2);
		put(&at, p->ref[i].dtype, 1);
		put(&at, 0, 5);
		put(&at, p->ref[i].first, 8);
		put(&at, p->ref[i].count, 8);
	}
	memcpy(at, parameters, parameter_bytes);
	return at + parameter_bytes;
}

static void
print_hash(const void *bytes, size_t length)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, length));
	for (unsigned i = 0; i < sizeof canonical.digest; i++)
		fprintf(list, "%02x", canonical.digest[i]);
}

static void
list_delta(const plan *p, const char *name, const uint8_t *content, size_t bytes, const uint8_t *delta, size_t delta_bytes)
{
	fprintf(list, "%s %u %u %u %zu ", name, p->predictor, (unsigned) p->coding, (unsigned) p->dtype, bytes);
	print_hash(content, bytes);
	fprintf(list, " %zu %zu ", deltas_at, delta_bytes);
	print_hash(delta, delta_bytes);
	for (unsigned i = 0; i < p->refs; i++)
		fprintf(list, "%c%zu:%zu", i ? ',' : ' ', p->piece_at[i],
				(size_t) p->ref[i].count * sparse_dtype_get(p->ref[i].dtype)->bytes);
	fprintf(list, "%s\n", p->refs ? "" : " -");
}

/* What predicts the content: the references, what is computed from them, or, for content alone, its own pool. */
static void
predict(const plan *p, const uint8_t *joined, uint8_t *predicted, size_t bytes)
{
	sparse_delta_info info = {.predictor = p->predictor, .dtype = p->dtype, .content_bytes = bytes, .refs = (uint16_t) p->refs};

	memcpy(info.ref, p->ref, sizeof info.ref);
	if (sparse_predictor_computes(p->predictor))
		must(formula_check(&info, &p->formula) == SPARSE_OK
			 && formula_predict(codec, &info, &p->formula, joined, predicted,
								p->coding == SPARSE_CODE_FRACTION ? fraction : NULL) == SPARSE_OK, "a formula does not fit");
	else if (p->predictor == SPARSE_PREDICT_NONE || p->predictor == SPARSE_PREDICT_BYTES)
		memcpy(predicted, predictions + (p->elements == LONG ? long_at : pool_at[p->dtype]), bytes);
	else
		memcpy(predicted, joined, bytes);
}

static void
make_delta(const plan *p, const char *name)
{
	static uint8_t joined[1 << 17], predicted[1 << 17], content[1 << 17], payload[1 << 18], delta[1 << 18];
	const size_t bytes = p->elements * sparse_dtype_get(p->dtype)->bytes;
	const size_t joined_bytes = join_references(p, joined);
	static uint8_t again[1 << 17];
	size_t		payload_bytes;
	size_t		delta_bytes;
	uint8_t    *at;

	predict(p, joined, predicted, bytes);
	make_content(p, predicted, content);
	payload_bytes = encode_payload(p, content, bytes, predicted, joined, joined_bytes, payload, sizeof payload);
	at = write_head(p, content, bytes, joined, joined_bytes, payload_bytes, delta);
	memcpy(at, payload, payload_bytes);
	delta_bytes = (size_t) (at - delta) + payload_bytes;
	must(sparse_delta_apply(codec, delta, delta_bytes, joined, joined_bytes, again, bytes) == SPARSE_OK, name);
	must(fwrite(delta, 1, delta_bytes, deltas) == delta_bytes, "cannot write");
	list_delta(p, name, content, bytes, delta, delta_bytes);
	deltas_at += delta_bytes;
}

/* ---- what is made ---- */

static sparse_dtype
another_float(sparse_dtype dtype)
{
	return dtype == SPARSE_F32 ? SPARSE_BF16 : SPARSE_F32;
}

/* References and parameters of a predictor for content of p->dtype. */
static void
add_references(plan *p)
{
	const sparse_dtype d = p->dtype;
	const size_t scales = POOL - SCALES;

	switch (p->predictor)
	{
		case SPARSE_PREDICT_SAME:
		case SPARSE_PREDICT_PARENT:
			refer(p, d, 0, p->elements);
			break;
		case SPARSE_PREDICT_BYTES:
			refer(p, d, 9, p->elements);
			refer(p, SPARSE_BYTES, 0, 100);
			break;
		case SPARSE_PREDICT_CAST:
			refer(p, another_float(d), 0, p->elements);
			break;
		case SPARSE_PREDICT_BLEND:
			p->formula = (sparse_formula) {.coefficient = {0.25, 0.75, -0.125}};
			refer(p, d, 0, p->elements);
			refer(p, another_float(d), 200, p->elements);
			refer(p, d, 400, p->elements);
			break;
		case SPARSE_PREDICT_LOW_RANK:
			p->formula = (sparse_formula) {.rank = 3, .columns = 40, .offset = 7, .factor = 0.5};
			refer(p, d, 0, p->elements);
			refer(p, SPARSE_F32, 100, 3 * ((7 + p->elements + 39) / 40));
			refer(p, SPARSE_I8, 0, 120);
			break;
		case SPARSE_PREDICT_QUANTISED:
			p->formula = (sparse_formula) {.lowest = -128, .highest = 127, .group = 64, .offset = 6, .factor = 0.0625};
			refer(p, SPARSE_F32, 0, p->elements);
			refer(p, SPARSE_F16, scales, 4);
			break;
		case SPARSE_PREDICT_DEQUANTISED:
			p->formula = (sparse_formula) {.lowest = -128, .highest = 127, .group = 64, .offset = 6, .factor = 0.0625};
			refer(p, SPARSE_I8, 0, p->elements);
			refer(p, SPARSE_F32, scales, 4);
			break;
		case SPARSE_PREDICT_PRUNED:
			p->formula = (sparse_formula) {.style = SPARSE_PRUNE_GROUPS, .keep = 2, .of = 4};
			refer(p, d, 0, p->elements);
			break;
		case SPARSE_PREDICT_SUM:
			p->formula = (sparse_formula) {
				.bases = 2, .coefficient = {1.5, -0.5}, .rank = 3, .columns = 40, .row = 2, .offset = 7, .power = -14,
				.exponent = {0, 3, SPARSE_MAX_SUM_SHIFT}
			};
			refer(p, d, 0, p->elements);
			refer(p, another_float(d), 200, p->elements);
			refer(p, SPARSE_I8, 100, 3 * (2 + (7 + p->elements + 39) / 40));
			refer(p, SPARSE_I8, 0, 120);
			break;
		case SPARSE_PREDICT_MAXIMA:
			p->formula = (sparse_formula) {.group = 4, .factor = 127};
			refer(p, another_float(d), 0, 4 * p->elements);
			break;
		default:
			break;
	}
}

static void
make_combinations(void)
{
	for (unsigned predictor = 0; predictor < SPARSE_PREDICTORS; predictor++)
		for (unsigned coding = 0; coding < SPARSE_CODINGS; coding++)
			for (unsigned d = 0; d < SPARSE_DTYPES; d++)
			{
				const bool	nothing = predictor == SPARSE_PREDICT_NONE && coding == SPARSE_CODE_EMPTY;
				plan		p = {.predictor = predictor, .coding = coding, .dtype = d, .elements = nothing ? 0 : COUNT, .noise = 3};
				char		name[64];

				if (coding == SPARSE_CODE_FIELDS || !golden_occurs(SPARSE_FORMAT, predictor, coding, d))
					continue;
				add_references(&p);
				snprintf(name, sizeof name, "%s-%s-%s", sparse_predictor_name(predictor), sparse_coding_name(coding),
						 sparse_dtype_get(d)->name);
				make_delta(&p, name);
			}
}

/* Of a parent: the change in units in the last place chooses the tables, the length the lanes. */
static void
make_residuals(void)
{
	static const sparse_dtype dtype[] = {SPARSE_BF16, SPARSE_F16, SPARSE_F32, SPARSE_F64, SPARSE_I16, SPARSE_I64};
	char		name[64];

	for (unsigned i = 0; i < sizeof dtype / sizeof dtype[0]; i++)
		for (int noise = 1; noise <= 16; noise += 5)
		{
			plan		p = {.predictor = SPARSE_PREDICT_PARENT, .coding = SPARSE_CODE_RESIDUAL, .dtype = dtype[i],
				.elements = 700, .noise = noise};

			add_references(&p);
			snprintf(name, sizeof name, "4-lanes-%s-%d", sparse_dtype_get(dtype[i])->name, noise);
			make_delta(&p, name);
		}
	for (int noise = 1; noise <= 9; noise += 4)
	{
		plan		p = {.predictor = SPARSE_PREDICT_PARENT, .coding = SPARSE_CODE_RESIDUAL, .dtype = SPARSE_BF16,
			.elements = LONG, .noise = noise, .refs = 1, .ref = {{.dtype = SPARSE_BF16, .count = LONG}}, .piece_at = {long_at}};

		snprintf(name, sizeof name, "64-lanes-%d", noise);
		make_delta(&p, name);
	}
	make_delta(&(plan) {.predictor = SPARSE_PREDICT_NONE, .coding = SPARSE_CODE_FLOAT, .dtype = SPARSE_BF16, .elements = LONG},
			   "64-lanes-float");
}

/* A variant of a formula, exactly predicted. */
static void
make_variant(const char *name, unsigned predictor, sparse_dtype dtype, sparse_formula formula, const plan *references)
{
	plan		p = *references;

	p.predictor = predictor;
	p.dtype = dtype;
	p.formula = formula;
	p.coding = SPARSE_CODE_EMPTY;
	if (p.elements == 0)
		p.elements = COUNT;
	make_delta(&p, name);
}

static void
make_products(void)
{
	plan		plain = {0};
	plan		wide = {0};

	refer(&plain, SPARSE_BF16, 0, COUNT);
	wide = plain;
	refer(&plain, SPARSE_I16, 0, 2 * 5);
	refer(&plain, SPARSE_I16, 100, 80);
	make_variant("low-rank-exponents", SPARSE_PREDICT_LOW_RANK, SPARSE_BF16,
				 (sparse_formula) {.style = SPARSE_PRODUCT_EXPONENTS, .rank = 2, .columns = 40, .factor = 1, .exponent = {-20, -25}}, &plain);
	make_variant("low-rank-rounded", SPARSE_PREDICT_LOW_RANK, SPARSE_BF16,
				 (sparse_formula) {.style = SPARSE_PRODUCT_ROUNDED, .rank = 2, .columns = 40, .factor = 0.001}, &plain);
	refer(&wide, SPARSE_F16, 100, 2 * 9);
	refer(&wide, SPARSE_F64, 100, 80);
	make_variant("low-rank-transposed", SPARSE_PREDICT_LOW_RANK, SPARSE_BF16,
				 (sparse_formula) {.style = SPARSE_LEFT_TRANSPOSED | SPARSE_RIGHT_TRANSPOSED, .rank = 2, .columns = 40, .row = 3, .factor = 2}, &wide);
	make_variant("low-rank-left", SPARSE_PREDICT_LOW_RANK, SPARSE_F32,
				 (sparse_formula) {.style = SPARSE_LEFT_TRANSPOSED, .rank = 2, .columns = 40, .row = 1, .factor = 2}, &wide);
}

static void
make_scaled(void)
{
	plan		zeros = {0};
	plan		packed = {.elements = 150};
	plan		unpacked = {.elements = 300};

	refer(&zeros, SPARSE_F32, 0, COUNT);
	refer(&zeros, SPARSE_F16, POOL - SCALES, 2);
	refer(&zeros, SPARSE_I8, 0, 2);
	make_variant("quantised-zeros", SPARSE_PREDICT_QUANTISED, SPARSE_U8,
				 (sparse_formula) {.lowest = 0, .highest = 255, .group = 100, .factor = 0.01}, &zeros);
	refer(&packed, SPARSE_BF16, 0, 300);
	refer(&packed, SPARSE_F32, POOL - SCALES, 3);
	refer(&unpacked, SPARSE_U8, 0, 150);
	refer(&unpacked, SPARSE_F16, POOL - SCALES, 3);
	refer(&unpacked, SPARSE_F32, 0, 3);
	for (int style = SPARSE_PACK_LOW_FIRST; style <= SPARSE_PACK_HIGH_FIRST; style++)
	{
		const sparse_formula f = {.style = (uint8_t) style, .lowest = -8, .highest = 7, .bias = 8, .group = 100, .factor = 0.25};

		make_variant(style == SPARSE_PACK_LOW_FIRST ? "packed-low" : "packed-high", SPARSE_PREDICT_QUANTISED, SPARSE_U8, f, &packed);
		make_variant(style == SPARSE_PACK_LOW_FIRST ? "unpacked-low" : "unpacked-high", SPARSE_PREDICT_DEQUANTISED, SPARSE_BF16, f,
					 &unpacked);
	}
}

static void
make_variants(void)
{
	plan		two = {0};
	plan		one = {0};
	plan		many = {0};
	sparse_formula sixteen = {0};

	refer(&two, SPARSE_BF16, 0, COUNT);
	one = two;
	refer(&two, SPARSE_BF16, 300, COUNT);
	make_variant("blend-steps", SPARSE_PREDICT_BLEND, SPARSE_BF16,
				 (sparse_formula) {.style = SPARSE_BLEND_STEPS, .coefficient = {0.4, 0.6}}, &two);
	make_variant("blend-tasks", SPARSE_PREDICT_BLEND, SPARSE_BF16,
				 (sparse_formula) {.style = SPARSE_BLEND_TASKS, .coefficient = {1, 0.7}}, &two);
	for (unsigned i = 0; i < SPARSE_MAX_BLEND; i++)
	{
		refer(&many, SPARSE_F16, 10 * i, COUNT);
		sixteen.coefficient[i] = 0.1 * i - 0.3;
	}
	make_variant("blend-16", SPARSE_PREDICT_BLEND, SPARSE_F32, sixteen, &many);
	make_variant("pruned-threshold", SPARSE_PREDICT_PRUNED, SPARSE_BF16,
				 (sparse_formula) {.threshold = 0x3d00, .signed_zeros = 1}, &one);
	make_products();
	make_scaled();
}

/* Of sums: without a product, of one component, and of so many elements and so large changes that every path of the coder is gone. */
static void
make_sums(void)
{
	static const struct
	{
		const char *name;
		sparse_dtype dtype;
		int			noise;
	}			coded[] = {{"sum-none-bf16", SPARSE_BF16, 1}, {"sum-large-bf16", SPARSE_BF16, 12}, {"sum-large-f16", SPARSE_F16, 14},
	{"sum-large-f32", SPARSE_F32, 16}};

	for (size_t i = 0; i < sizeof coded / sizeof coded[0]; i++)
	{
		plan		p = {
			.predictor = SPARSE_PREDICT_SUM, .coding = SPARSE_CODE_FRACTION, .dtype = coded[i].dtype, .elements = COUNT,
			.noise = coded[i].noise, .formula = {.bases = 1, .coefficient = {0.9}}
		};

		refer(&p, another_float(p.dtype), 0, COUNT);
		make_delta(&p, coded[i].name);
	}
	for (int rank = 1; rank <= 2; rank++)
	{
		plan		p = {
			.predictor = SPARSE_PREDICT_SUM, .coding = SPARSE_CODE_FRACTION, .dtype = SPARSE_BF16, .elements = LONG,
			.noise = 2, .refs = 1,
			.formula = {.bases = 1, .coefficient = {1}, .rank = (uint16_t) rank, .columns = 300, .power = -17, .exponent = {1, 0}}
		};

		p.ref[0] = (sparse_ref) {.dtype = SPARSE_BF16, .first = 5, .count = LONG};
		p.piece_at[0] = long_at;
		refer(&p, SPARSE_I8, 0, (size_t) rank * 57);
		refer(&p, SPARSE_I8, 200, (size_t) rank * 300);
		make_delta(&p, rank == 1 ? "sum-long-1" : "sum-long-2");
	}
}

/* Blocks of each structure, alone and of a parent. */
static void
make_fields(void)
{
	for (unsigned number = 0; number < 64; number++)
		for (unsigned refs = 0; refs <= 1; refs++)
		{
			const block_structure *s = fields_structure(number);
			plan		p = {
				.predictor = refs ? SPARSE_PREDICT_PARENT : SPARSE_PREDICT_NONE, .coding = SPARSE_CODE_FIELDS, .dtype = SPARSE_BYTES,
				.refs = refs, .piece_at = {blocks_at}, .structure = number
			};
			char		name[64];

			if (s == NULL)
				continue;
			p.elements = BLOCKS_BYTES / 2 / s->bytes * s->bytes;
			p.ref[0] = (sparse_ref) {.dtype = SPARSE_BYTES, .count = p.elements};
			snprintf(name, sizeof name, "fields-%s-%u", refs ? "parent" : "none", number);
			make_delta(&p, name);
		}
}

static FILE *
create(const char *folder, const char *name)
{
	char		path[4096];
	FILE	   *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "wbx");
	must(file != NULL, path);
	return file;
}

int
main(int argc, char **argv)
{
	FILE	   *file;
	size_t		bytes;

	must(argc == 2, "say where to");
	codec = sparse_codec_create(NULL);
	must(codec != NULL, "no memory");
	sparse_codec_restrict(codec, SPARSE_SIMD_NONE);
	file = create(argv[1], "predictions.bin");
	deltas = create(argv[1], "deltas.bin");
	list = create(argv[1], "deltas.txt");
	bytes = make_pools();
	must(bytes <= sizeof predictions && fwrite(predictions, 1, bytes, file) == bytes && fclose(file) == 0, "cannot write");
	make_combinations();
	if (SPARSE_FORMAT == 1)
	{
		make_residuals();
		make_variants();
	}
	if (SPARSE_FORMAT == 2)
	{
		make_sums();
		make_fields();
	}
	must(fclose(deltas) == 0 && fclose(list) == 0, "cannot write");
	sparse_codec_free(codec);
	return 0;
}
