/*
 * formula.c: the parameters of formulas, and what they predict (see formula.h).
 *
 * Parameters, little-endian:
 *   cast         none
 *   blend        u8 style, 7 zeros, f64 coefficient of each reference
 *   product      u8 flags, u8 zero, u16 rank, u32 columns, u64 row, u64 offset, f64 factor, i8 exponent of each component
 *                (with its flag)
 *   quantised    u8 packing, u8 zero, i16 lowest, i16 highest, i16 bias, u64 group, u64 offset, f64 factor
 *   dequantised  the same
 *   pruned       u8 mode, u8 signed zeros, u8 keep, u8 of, u32 zero, u64 threshold
 *   maxima       u64 group, f64 divisor
 *   permuted     u32 columns, u32 stride, u64 group, u64 offset
 *   sum          u8 bases, u8 zero, u16 rank, u32 columns, u64 row, u64 offset, i16 power, 6 zeros, f64 coefficient of each
 *                base, u8 shift of each component
 *
 * The arithmetic (formula_real.h) is compiled twice, for float and for double; the loops over
 * elements do the same operations in the same order whatever vectors a compiler makes of them.
 */
#include <fenv.h>
#include <float.h>

#include "codec.h"
#include "convert.h"
#include "formula.h"
#include "fraction.h"
#include "product.h"

#if FLT_EVAL_METHOD != 0
#error "floats must be computed as floats: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

#define STRETCH 512				/* elements that are worked on at a time */

#define SCALED_BYTES 32			/* parameters of quantised and dequantised */
#define SUM_BYTES 32			/* of a sum, before its coefficients */

#define SUM_MOST_POWER 1000

/* Multiplications of a product: a few seconds of what nobody can interrupt. */
#define MOST_PRODUCTS (UINT64_C(1) << 32)

static inline double
load_real(const uint8_t *at)
{
	double		value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline void
store_real(uint8_t *at, double value)
{
	memcpy(at, &value, sizeof(value));
}

/* ---- parameters ---- */

static size_t
parameter_bytes(unsigned predictor, const sparse_formula *f, unsigned refs)
{
	switch (predictor)
	{
		case SPARSE_PREDICT_BLEND:
			return 8 + 8 * (size_t) refs;
		case SPARSE_PREDICT_LOW_RANK:
			return 32 + (f->style & SPARSE_PRODUCT_EXPONENTS ? (size_t) f->rank : 0);
		case SPARSE_PREDICT_QUANTISED:
		case SPARSE_PREDICT_DEQUANTISED:
			return SCALED_BYTES;
		case SPARSE_PREDICT_PRUNED:
		case SPARSE_PREDICT_MAXIMA:
			return 16;
		case SPARSE_PREDICT_PERMUTED:
			return 24;
		case SPARSE_PREDICT_SUM:
			return SUM_BYTES + 8 * (size_t) f->bases + f->rank;
		default:
			return 0;
	}
}

static void
write_product(const sparse_formula *f, uint8_t *at)
{
	at[0] = f->style;
	store16(at + 2, f->rank);
	store32(at + 4, f->columns);
	store64(at + 8, f->row);
	store64(at + 16, f->offset);
	store_real(at + 24, f->factor);
	if (f->style & SPARSE_PRODUCT_EXPONENTS)
		memcpy(at + 32, f->exponent, f->rank);
}

static void
write_sum(const sparse_formula *f, uint8_t *at)
{
	at[0] = f->bases;
	store16(at + 2, f->rank);
	store32(at + 4, f->columns);
	store64(at + 8, f->row);
	store64(at + 16, f->offset);
	store16(at + 24, (uint16_t) f->power);
	at += SUM_BYTES;
	for (unsigned i = 0; i < f->bases; i++, at += 8)
		store_real(at, f->coefficient[i]);
	memcpy(at, f->exponent, f->rank);
}

static void
write_scaled(const sparse_formula *f, uint8_t *at)
{
	at[0] = f->style;
	store16(at + 2, (uint16_t) f->lowest);
	store16(at + 4, (uint16_t) f->highest);
	store16(at + 6, (uint16_t) f->bias);
	store64(at + 8, f->group);
	store64(at + 16, f->offset);
	store_real(at + 24, f->factor);
}

size_t
formula_write(unsigned predictor, const sparse_formula *f, unsigned refs, uint8_t *at)
{
	const size_t length = parameter_bytes(predictor, f, refs);

	memset(at, 0, length);
	switch (predictor)
	{
		case SPARSE_PREDICT_BLEND:
			at[0] = f->style;
			for (unsigned i = 0; i < refs; i++)
				store_real(at + 8 + 8 * i, f->coefficient[i]);
			break;
		case SPARSE_PREDICT_LOW_RANK:
			write_product(f, at);
			break;
		case SPARSE_PREDICT_QUANTISED:
		case SPARSE_PREDICT_DEQUANTISED:
			write_scaled(f, at);
			break;
		case SPARSE_PREDICT_PRUNED:
			at[0] = f->style;
			at[1] = f->signed_zeros;
			at[2] = f->keep;
			at[3] = f->of;
			store64(at + 8, f->threshold);
			break;
		case SPARSE_PREDICT_MAXIMA:
			store64(at, f->group);
			store_real(at + 8, f->factor);
			break;
		case SPARSE_PREDICT_PERMUTED:
			store32(at, f->columns);
			store32(at + 4, f->stride);
			store64(at + 8, f->group);
			store64(at + 16, f->offset);
			break;
		case SPARSE_PREDICT_SUM:
			write_sum(f, at);
			break;
		default:
			break;
	}
	return length;
}

static sparse_status
read_product(const uint8_t *at, sparse_formula *f)
{
	f->style = at[0];
	f->rank = load16(at + 2);
	f->columns = load32(at + 4);
	f->row = load64(at + 8);
	f->offset = load64(at + 16);
	f->factor = load_real(at + 24);
	SPARSE_CHECK(f->style < 16 && at[1] == 0);
	SPARSE_CHECK(f->rank >= 1 && f->rank <= SPARSE_MAX_RANK);
	SPARSE_CHECK(f->offset < f->columns && f->row <= INT64_MAX / 8);
	SPARSE_CHECK(f->style & SPARSE_LEFT_TRANSPOSED || f->row == 0);
	return SPARSE_OK;
}

static sparse_status
read_sum(const uint8_t *at, sparse_formula *f)
{
	f->columns = load32(at + 4);
	f->row = load64(at + 8);
	f->offset = load64(at + 16);
	f->power = (int16_t) load16(at + 24);
	SPARSE_CHECK(at[1] == 0 && load16(at + 26) == 0 && load32(at + 28) == 0);
	SPARSE_CHECK(f->bases >= 1 && f->power >= -SUM_MOST_POWER && f->power <= SUM_MOST_POWER);
	if (f->rank == 0)
		SPARSE_CHECK(f->columns == 0 && f->row == 0 && f->offset == 0 && f->power == 0);
	else
		SPARSE_CHECK(f->offset < f->columns && f->row <= INT64_MAX / 8);
	at += SUM_BYTES;
	for (unsigned i = 0; i < f->bases; i++, at += 8)
		f->coefficient[i] = load_real(at);
	memcpy(f->exponent, at, f->rank);
	for (unsigned k = 0; k < f->rank; k++)
		SPARSE_CHECK(at[k] <= SPARSE_MAX_SUM_SHIFT);
	return SPARSE_OK;
}

static sparse_status
read_scaled(const uint8_t *at, sparse_formula *f)
{
	f->style = at[0];
	f->lowest = (int16_t) load16(at + 2);
	f->highest = (int16_t) load16(at + 4);
	f->bias = (int16_t) load16(at + 6);
	f->group = load64(at + 8);
	f->offset = load64(at + 16);
	f->factor = load_real(at + 24);
	SPARSE_CHECK(f->style <= SPARSE_PACK_HIGH_FIRST && at[1] == 0);
	SPARSE_CHECK(f->lowest <= f->highest && f->group <= INT64_MAX / 8 && f->offset < f->group);
	return SPARSE_OK;
}

static sparse_status
read_pruned(const uint8_t *at, sparse_formula *f)
{
	f->style = at[0];
	f->signed_zeros = at[1];
	f->keep = at[2];
	f->of = at[3];
	f->threshold = load64(at + 8);
	SPARSE_CHECK(f->style <= SPARSE_PRUNE_GROUPS && f->signed_zeros <= 1 && load32(at + 4) == 0);
	if (f->style == SPARSE_PRUNE_GROUPS)
		SPARSE_CHECK(f->keep < f->of && f->of <= 16 && f->threshold == 0);
	else
		SPARSE_CHECK(f->keep == 0 && f->of == 0);
	return SPARSE_OK;
}

static sparse_status
read_permuted(const uint8_t *at, sparse_formula *f)
{
	f->columns = load32(at);
	f->stride = load32(at + 4);
	f->group = load64(at + 8);
	f->offset = load64(at + 16);
	SPARSE_CHECK(f->columns >= 1 && f->stride >= 1 && f->group >= 1 && f->group % f->stride == 0);
	SPARSE_CHECK(f->group <= SPARSE_MAX_PREDICTION / f->columns && f->offset < f->group * f->columns);
	return SPARSE_OK;
}

sparse_status
formula_read(unsigned predictor, unsigned refs, const uint8_t *at, size_t length, sparse_formula *f)
{
	memset(f, 0, sizeof(*f));
	/* of a product, what says how long they are must be there */
	if (predictor == SPARSE_PREDICT_LOW_RANK)
	{
		SPARSE_CHECK(length >= 4);
		f->style = at[0];
		f->rank = load16(at + 2);
	}
	if (predictor == SPARSE_PREDICT_SUM)
	{
		SPARSE_CHECK(length >= 4);
		f->bases = at[0];
		f->rank = load16(at + 2);
		SPARSE_CHECK(f->bases <= SPARSE_MAX_BASES && f->rank <= SPARSE_MAX_SUM_RANK);
	}
	SPARSE_CHECK(length == parameter_bytes(predictor, f, refs));
	switch (predictor)
	{
		case SPARSE_PREDICT_BLEND:
			SPARSE_CHECK(refs <= SPARSE_MAX_BLEND && load64(at) <= SPARSE_BLEND_TASKS);
			f->style = at[0];
			for (unsigned i = 0; i < refs; i++)
				f->coefficient[i] = load_real(at + 8 + 8 * i);
			return SPARSE_OK;
		case SPARSE_PREDICT_LOW_RANK:
			SPARSE_TRY(read_product(at, f));
			if (f->style & SPARSE_PRODUCT_EXPONENTS)
				memcpy(f->exponent, at + 32, f->rank);
			return SPARSE_OK;
		case SPARSE_PREDICT_QUANTISED:
		case SPARSE_PREDICT_DEQUANTISED:
			return read_scaled(at, f);
		case SPARSE_PREDICT_PRUNED:
			return read_pruned(at, f);
		case SPARSE_PREDICT_MAXIMA:
			f->group = load64(at);
			f->factor = load_real(at + 8);
			SPARSE_CHECK(f->group >= 1 && f->group <= SPARSE_MAX_PREDICTION);
			return SPARSE_OK;
		case SPARSE_PREDICT_PERMUTED:
			return read_permuted(at, f);
		case SPARSE_PREDICT_SUM:
			return read_sum(at, f);
		default:
			return SPARSE_OK;
	}
}

/* ---- whether all fits ---- */

static bool
is_float(sparse_dtype dtype)
{
	return sparse_dtype_get(dtype)->exponent_bits > 0;
}

static sparse_status
check_blend(const sparse_delta_info *info, uint64_t elements)
{
	for (unsigned i = 0; i < info->refs; i++)
		SPARSE_CHECK(is_float(info->ref[i].dtype) && info->ref[i].count == elements);
	SPARSE_CHECK(info->refs >= 1);
	return SPARSE_OK;
}

static sparse_status
check_product(const sparse_delta_info *info, const sparse_formula *f, uint64_t elements)
{
	const sparse_ref *left = &info->ref[1];
	const sparse_ref *right = &info->ref[2];
	const uint64_t rows = (f->offset + elements + f->columns - 1) / f->columns;

	SPARSE_CHECK(info->refs == 3);
	SPARSE_CHECK(is_float(info->ref[0].dtype) && info->ref[0].count == elements);
	SPARSE_CHECK(convert_loads(left->dtype) && convert_loads(right->dtype));
	SPARSE_CHECK(right->count == (uint64_t) f->rank * f->columns && f->rank * elements <= MOST_PRODUCTS);
	if (f->style & SPARSE_LEFT_TRANSPOSED)
		SPARSE_CHECK(left->count % f->rank == 0 && f->row <= left->count / f->rank && rows <= left->count / f->rank - f->row);
	else
		SPARSE_CHECK(left->count == rows * f->rank);
	return SPARSE_OK;
}

static sparse_status
check_sum(const sparse_delta_info *info, const sparse_formula *f, uint64_t elements)
{
	const sparse_ref *left = &info->ref[f->bases];
	const sparse_ref *right = left + 1;
	uint64_t	rows;

	SPARSE_CHECK(is_float(info->dtype) && info->refs == f->bases + (f->rank > 0 ? 2u : 0u));
	for (unsigned i = 0; i < f->bases; i++)
		SPARSE_CHECK(is_float(info->ref[i].dtype) && info->ref[i].count == elements);
	if (f->rank == 0)
		return SPARSE_OK;
	rows = (f->offset + elements + f->columns - 1) / f->columns;
	SPARSE_CHECK(left->dtype == SPARSE_I8 && right->dtype == SPARSE_I8);
	SPARSE_CHECK(right->count == (uint64_t) f->rank * f->columns && f->rank * elements <= MOST_PRODUCTS);
	SPARSE_CHECK(left->count % f->rank == 0 && f->row <= left->count / f->rank && rows <= left->count / f->rank - f->row);
	return SPARSE_OK;
}

/* The scales that `values` values need. */
static uint64_t
scales_of(const sparse_formula *f, uint64_t values)
{
	return (f->offset + values + f->group - 1) / f->group;
}

static sparse_status
check_zeros(const sparse_delta_info *info, uint64_t scales)
{
	SPARSE_CHECK(info->refs == 2 || info->refs == 3);
	SPARSE_CHECK(is_float(info->ref[1].dtype) && info->ref[1].count == scales);
	if (info->refs == 3)
		SPARSE_CHECK(convert_loads(info->ref[2].dtype) && info->ref[2].count == scales);
	return SPARSE_OK;
}

static sparse_status
check_quantised(const sparse_delta_info *info, const sparse_formula *f, uint64_t elements)
{
	const bool	packed = f->style != SPARSE_PACK_ELEMENTS;
	const uint64_t values = packed ? 2 * elements : elements;

	SPARSE_CHECK(sparse_dtype_get(info->dtype)->bytes == 1 && info->dtype != SPARSE_BYTES && info->dtype != SPARSE_BOOL);
	SPARSE_CHECK(!packed || !is_float(info->dtype));
	SPARSE_CHECK(info->refs >= 2 && is_float(info->ref[0].dtype) && info->ref[0].count == values);
	return check_zeros(info, scales_of(f, values));
}

static sparse_status
check_dequantised(const sparse_delta_info *info, const sparse_formula *f, uint64_t elements)
{
	const sparse_ref *from = &info->ref[0];
	const bool	packed = f->style != SPARSE_PACK_ELEMENTS;

	SPARSE_CHECK(is_float(info->dtype) && info->refs >= 2);
	SPARSE_CHECK(sparse_dtype_get(from->dtype)->bytes == 1 && convert_loads(from->dtype) && !(packed && is_float(from->dtype)));
	SPARSE_CHECK(!packed || elements % 2 == 0);
	SPARSE_CHECK(from->count == (packed ? elements / 2 : elements));
	return check_zeros(info, scales_of(f, elements));
}

/* Whole groups are referred to: the rows of each lie anywhere in it. */
static sparse_status
check_permuted(const sparse_delta_info *info, const sparse_formula *f, uint64_t elements)
{
	const uint64_t group = f->group * f->columns;

	SPARSE_CHECK(info->refs == 1 && info->ref[0].count == (f->offset + elements + group - 1) / group * group);
	SPARSE_CHECK(info->ref[0].dtype == info->dtype || (is_float(info->dtype) && is_float(info->ref[0].dtype)));
	return SPARSE_OK;
}

sparse_status
formula_check(const sparse_delta_info *info, const sparse_formula *f)
{
	const uint64_t elements = info->content_bytes / sparse_dtype_get(info->dtype)->bytes;

	switch (info->predictor)
	{
		case SPARSE_PREDICT_CAST:
			SPARSE_CHECK(info->refs == 1 && is_float(info->dtype));
			return check_blend(info, elements);
		case SPARSE_PREDICT_BLEND:
			SPARSE_CHECK(is_float(info->dtype));
			return check_blend(info, elements);
		case SPARSE_PREDICT_LOW_RANK:
			SPARSE_CHECK(is_float(info->dtype));
			return check_product(info, f, elements);
		case SPARSE_PREDICT_QUANTISED:
			return check_quantised(info, f, elements);
		case SPARSE_PREDICT_DEQUANTISED:
			return check_dequantised(info, f, elements);
		case SPARSE_PREDICT_PRUNED:
			SPARSE_CHECK(info->refs == 1 && is_float(info->dtype));
			SPARSE_CHECK(info->ref[0].dtype == info->dtype && info->ref[0].count == elements);
			SPARSE_CHECK(f->style != SPARSE_PRUNE_GROUPS || elements % f->of == 0);
			return SPARSE_OK;
		case SPARSE_PREDICT_MAXIMA:
			SPARSE_CHECK(info->refs == 1 && is_float(info->dtype) && is_float(info->ref[0].dtype));
			SPARSE_CHECK(info->ref[0].count / f->group == elements && info->ref[0].count % f->group == 0);
			return SPARSE_OK;
		case SPARSE_PREDICT_PERMUTED:
			return check_permuted(info, f, elements);
		case SPARSE_PREDICT_SUM:
			return check_sum(info, f, elements);
		default:
			return SPARSE_CORRUPT;
	}
}

/* ---- predictions ---- */

/* What a formula is applied to. */
typedef struct work
{
	const sparse_delta_info *info;
	const sparse_formula *formula;
	size_t		elements;
	unsigned	element_bytes;	/* of the content */
	const uint8_t *from[SPARSE_MAX_REFS];	/* where each reference begins */
	uint8_t    *to;
	uint8_t    *fraction;		/* of a sum; or NULL */
	uint8_t    *scratch;
	sparse_simd simd;
} work;

/* The left factor's numbers of a row of a sum, two and two; what is missing of the last pair is 0. */
static void
load_left_pairs(const work *w, size_t row, int16_t *left)
{
	const sparse_formula *f = w->formula;
	const size_t rows = (size_t) w->info->ref[f->bases].count / f->rank;
	const int8_t *from = (const int8_t *) w->from[f->bases] + (size_t) f->row + row;

	for (unsigned k = 0; k < f->rank; k++)
		left[k] = from[k * rows];
	left[f->rank] = 0;
}

/* The right factor under `count` columns from `first` on, with its shifts, as product_row wants it. */
static void
load_right_pairs(const work *w, size_t first, size_t count, int16_t *right)
{
	const sparse_formula *f = w->formula;
	const int8_t *from = (const int8_t *) w->from[f->bases + 1] + first;

	for (unsigned k = 0; k < f->rank; k++)
		for (size_t j = 0; j < count; j++)
			right[((size_t) k / 2 * PRODUCT_STRETCH + j) * 2 + k % 2] = (int16_t) (from[k * (size_t) f->columns + j] * (1 << f->exponent[k]));
	for (size_t j = 0; f->rank % 2 == 1 && j < count; j++)
		right[((size_t) f->rank / 2 * PRODUCT_STRETCH + j) * 2 + 1] = 0;
}

/*
 * The commonest sum at once: a bf16 and a product, as a bf16 and its fraction. It is what sum_stretch gives, and four times as
 * fast: a bf16 is the upper half of a float.
 */
static inline __attribute__((always_inline)) void
add_to_bf16(const uint8_t *base, const int32_t *product, float unit, size_t count, uint8_t *to, uint8_t *fraction)
{
	for (size_t i = 0; i < count; i++)
	{
		uint16_t	b;
		uint32_t	bits;
		float		x;

		memcpy(&b, base + 2 * i, 2);
		bits = (uint32_t) b << 16;
		memcpy(&x, &bits, 4);
		x = x + (float) product[i] * unit;
		memcpy(&bits, &x, 4);
		{
			const uint32_t exact = bits & 0x7fffffff;
			const uint32_t rounded = (exact + 0x7fff + (exact >> 16 & 1)) & 0xffff0000;
			const uint32_t apart = exact - rounded;
			const uint32_t below = 0 - (apart >> 31);
			const uint32_t level = ((apart ^ below) - below) >> 12;
			const uint32_t kept = (level < FRACTION_LEVELS ? level : FRACTION_LEVELS - 1) | (below & FRACTION_BELOW);
			const uint32_t is_finite = 0 - (uint32_t) (rounded < 0x7f800000);
			const uint32_t is_number = 0 - (uint32_t) (exact <= 0x7f800000);

			b = (uint16_t) ((((rounded | (bits & 0x80000000)) >> 16) & is_number) | (0x7fc0 & ~is_number));
			fraction[i] = (uint8_t) (kept & is_finite);
		}
		memcpy(to + 2 * i, &b, 2);
	}
}

static void
add_to_bf16_portable(const uint8_t *base, const int32_t *product, float unit, size_t count, uint8_t *to, uint8_t *fraction)
{
	add_to_bf16(base, product, unit, count, to, fraction);
}

#ifdef SPARSE_HAVE_AVX2
TARGET_AVX2 static void
add_to_bf16_avx2(const uint8_t *base, const int32_t *product, float unit, size_t count, uint8_t *to, uint8_t *fraction)
{
	add_to_bf16(base, product, unit, count, to, fraction);
}
#endif

/* Whether a sum is of that kind. */
static bool
adds_to_bf16(const work *w)
{
	return w->info->dtype == SPARSE_BF16 && w->formula->bases == 1 && w->info->ref[0].dtype == SPARSE_BF16
		&& w->formula->coefficient[0] == 1;
}

static void
sum_to_bf16(const work *w, size_t first, size_t count, const int32_t *product, float unit)
{
	uint8_t		unwanted[STRETCH];
	uint8_t    *fraction = w->fraction ? w->fraction + first : unwanted;

#ifdef SPARSE_HAVE_AVX2
	if (w->simd >= SPARSE_SIMD_AVX2)
	{
		add_to_bf16_avx2(w->from[0] + 2 * first, product, unit, count, w->to + 2 * first, fraction);
		return;
	}
#endif
	add_to_bf16_portable(w->from[0] + 2 * first, product, unit, count, w->to + 2 * first, fraction);
}

/* Elements from `first` on that lie side by side in the reference too: how many, and where there. */
static size_t
permuted_run(const work *w, size_t first, size_t *from)
{
	const sparse_formula *f = w->formula;
	const size_t at = (size_t) f->offset + first;
	const size_t group = (size_t) f->group * f->columns;
	const size_t row = at % group / f->columns;
	const size_t rows = (size_t) f->group / f->stride;
	const size_t column = at % f->columns;
	const size_t count = f->columns - column;

	*from = at / group * group + (row % rows * f->stride + row / rows) * f->columns + column;
	return count < w->elements - first ? count : w->elements - first;
}

#define REAL float
#define BITS uint32_t
#define REAL_MANTISSA 23
#define LOAD_REALS load_floats
#define STORE_REALS store_floats
#define NAME(x) x##_float
#include "formula_real.h"

#define REAL double
#define BITS uint64_t
#define REAL_MANTISSA 52
#define LOAD_REALS load_doubles
#define STORE_REALS store_doubles
#define NAME(x) x##_double
#include "formula_real.h"

/* Where floats lose nothing that the content's dtype has room for, they do. */
static bool
wants_doubles(const sparse_delta_info *info)
{
	return info->dtype == SPARSE_F64
		|| (info->dtype == SPARSE_F32 && (info->predictor == SPARSE_PREDICT_BLEND || info->predictor == SPARSE_PREDICT_LOW_RANK
										  || info->predictor == SPARSE_PREDICT_SUM || info->ref[0].dtype == SPARSE_F64));
}

/* The magnitude of an element of `bytes` bytes as an integer, and where it is. */
static inline uint64_t
magnitude_at(const uint8_t *at, unsigned bytes)
{
	switch (bytes)
	{
		case 1:
			return *at & 0x7f;
		case 2:
			return load16(at) & 0x7fff;
		case 4:
			return load32(at) & UINT32_C(0x7fffffff);
		default:
			return load64(at) & (uint64_t) INT64_MAX;
	}
}

/* Makes an element zero; its sign is the top bit of its last byte. */
static inline void
prune_at(uint8_t *at, unsigned bytes, bool keep_sign)
{
	const uint8_t sign = keep_sign ? at[bytes - 1] & 0x80 : 0;

	memset(at, 0, bytes);
	at[bytes - 1] = sign;
}

/* Below the threshold: BF16 and F16, by far the commonest, in a loop of their own. */
static void
prune_below16(uint8_t *at, size_t elements, uint16_t threshold, uint16_t sign)
{
	for (size_t i = 0; i < elements; i++)
	{
		uint16_t	x = load16(at + 2 * i);

		x = (uint16_t) (x & ((x & 0x7fff) >= threshold ? 0xffff : sign));
		store16(at + 2 * i, x);
	}
}

static void
prune_below(const work *w)
{
	const sparse_formula *f = w->formula;

	if (w->element_bytes == 2)
	{
		prune_below16(w->to, w->elements, (uint16_t) (f->threshold < 0xffff ? f->threshold : 0xffff),
					  f->signed_zeros ? 0x8000 : 0);
		return;
	}
	for (size_t i = 0; i < w->elements; i++)
	{
		uint8_t    *at = w->to + i * w->element_bytes;

		if (magnitude_at(at, w->element_bytes) < f->threshold)
			prune_at(at, w->element_bytes, f->signed_zeros);
	}
}

/* Of each group the largest are kept; of equally large ones the first. */
static void
prune_groups(const work *w)
{
	const sparse_formula *f = w->formula;

	for (size_t i = 0; i < w->elements; i += f->of)
	{
		uint8_t    *group = w->to + i * w->element_bytes;
		uint64_t	magnitude[16];

		for (unsigned k = 0; k < f->of; k++)
			magnitude[k] = magnitude_at(group + k * w->element_bytes, w->element_bytes);
		for (unsigned k = 0; k < f->of; k++)
		{
			unsigned	before = 0;

			for (unsigned other = 0; other < f->of; other++)
				before += magnitude[other] > magnitude[k] || (magnitude[other] == magnitude[k] && other < k);
			if (before >= f->keep)
				prune_at(group + k * w->element_bytes, w->element_bytes, f->signed_zeros);
		}
	}
}

static void
predict_pruned(const work *w)
{
	memcpy(w->to, w->from[0], w->elements * w->element_bytes);
	if (w->formula->style == SPARSE_PRUNE_GROUPS)
		prune_groups(w);
	else
		prune_below(w);
}

/* Of one dtype nothing is computed. */
static void
predict_moved(const work *w)
{
	for (size_t first = 0, count, from; first < w->elements; first += count)
	{
		count = permuted_run(w, first, &from);
		memcpy(w->to + first * w->element_bytes, w->from[0] + from * w->element_bytes, count * w->element_bytes);
	}
}

/* Scratch of a product: the right factor's part under a stretch of columns, as reals; of a sum, as pairs of integers. */
static size_t
scratch_bytes(const sparse_delta_info *info, const sparse_formula *f)
{
	if (info->predictor == SPARSE_PREDICT_SUM)
		return ((size_t) f->rank + 1) * PRODUCT_STRETCH * sizeof(int16_t);
	return info->predictor == SPARSE_PREDICT_LOW_RANK ? (size_t) f->rank * STRETCH * sizeof(double) : 0;
}

static void
predict(const work *w)
{
	if (w->info->predictor == SPARSE_PREDICT_PRUNED)
		predict_pruned(w);
	else if (w->info->predictor == SPARSE_PREDICT_PERMUTED && w->info->ref[0].dtype == w->info->dtype)
		predict_moved(w);
	else if (wants_doubles(w->info))
		predict_double(w);
	else
		predict_float(w);
}

/*
 * The caller's process may round otherwise, or flush small numbers to zero (a library compiled
 * with -ffast-math is enough): while predicting it does not.
 */
static void
predict_as_ieee(const work *w)
{
	fenv_t		callers;

	fegetenv(&callers);
	fesetenv(FE_DFL_ENV);
	predict(w);
	fesetenv(&callers);
}

sparse_status
formula_predict(sparse_codec *codec, const sparse_delta_info *info, const sparse_formula *f,
				const uint8_t *references, uint8_t *predicted, uint8_t *fraction)
{
	work		w = {
		.info = info, .formula = f, .element_bytes = sparse_dtype_get(info->dtype)->bytes, .to = predicted,
		.fraction = fraction, .simd = codec->simd
	};

	w.elements = (size_t) info->content_bytes / w.element_bytes;
	for (unsigned i = 0; i < info->refs; i++)
	{
		w.from[i] = references;
		references += info->ref[i].count * sparse_dtype_get(info->ref[i].dtype)->bytes;
	}
	SPARSE_TRY(buffer_reserve(codec, &codec->wide, scratch_bytes(info, f)));
	w.scratch = codec->wide.bytes;
	predict_as_ieee(&w);
	return SPARSE_OK;
}
