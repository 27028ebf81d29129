/*
 * convert.c: elements of any numeric dtype as reals, and back (see convert.h).
 *
 * All conversions are integer arithmetic, or additions that are exact: none depends
 * on what a processor does with NaNs. The loops over F16 and BF16 have no branches, so that they
 * are vectorised.
 */
#include "convert.h"

#include "bytes.h"

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "reals are IEEE 754");

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "predictions need float and double to be computed as such (-msse2 -mfpmath=sse)"
#endif

#define QUIET_NAN32 UINT32_C(0x7fc00000)
#define QUIET_NAN64 UINT64_C(0x7ff8000000000000)

static inline float
float_of(uint32_t bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t
bits_of(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* Same as `yes` where the condition holds, else `no`: for loops without branches. */
static inline uint32_t
pick(bool condition, uint32_t yes, uint32_t no)
{
	const uint32_t mask = 0 - (uint32_t) condition;

	return (yes & mask) | (no & ~mask);
}

/* ---- to reals ---- */

static inline float
float_of_half(uint16_t half)
{
	const uint32_t magnitude = (uint32_t) (half & 0x7fff) << 13;
	const uint32_t normal = magnitude + pick(magnitude >= UINT32_C(0x0f800000), UINT32_C(0x70000000), UINT32_C(0x38000000));
	const uint32_t subnormal = bits_of(float_of(magnitude + UINT32_C(0x38800000)) - float_of(UINT32_C(0x38800000)));

	return float_of(pick(magnitude < UINT32_C(0x00800000), subnormal, normal) | (uint32_t) (half & 0x8000) << 16);
}

/* 4 bits of exponent, bias 7; the largest magnitude is NaN, there is no infinity. */
static float
float_of_e4m3(uint8_t byte)
{
	const int	exponent = byte >> 3 & 15;
	const int	mantissa = byte & 7;
	float		magnitude = exponent ? float_of((uint32_t) (exponent + 120) << 23 | (uint32_t) mantissa << 20)
		: (float) mantissa * float_of(UINT32_C(118) << 23);

	if ((byte & 0x7f) == 0x7f)
		return float_of(QUIET_NAN32);
	return byte & 0x80 ? -magnitude : magnitude;
}

bool
convert_loads(sparse_dtype dtype)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);

	return info->exponent_bits > 0 || (dtype >= SPARSE_U8 && info->bytes <= 4);
}

#define LOAD_EACH(count, type, real, expression) \
	for (size_t i = 0; i < (count); i++) \
	{ \
		type		x; \
		memcpy(&x, from + i * sizeof(type), sizeof(type)); \
		to[i] = (real) (expression); \
	}

#define LOAD(real) \
	switch (dtype) \
	{ \
		case SPARSE_BF16: \
			LOAD_EACH(count, uint16_t, real, float_of((uint32_t) x << 16)); \
			break; \
		case SPARSE_F16: \
			LOAD_EACH(count, uint16_t, real, float_of_half(x)); \
			break; \
		case SPARSE_F32: \
			LOAD_EACH(count, float, real, x); \
			break; \
		case SPARSE_F64: \
			LOAD_EACH(count, double, real, x); \
			break; \
		case SPARSE_F8_E4M3: \
			LOAD_EACH(count, uint8_t, real, float_of_e4m3(x)); \
			break; \
		case SPARSE_F8_E5M2: \
			LOAD_EACH(count, uint8_t, real, float_of_half((uint16_t) (x << 8))); \
			break; \
		case SPARSE_U8: \
			LOAD_EACH(count, uint8_t, real, x); \
			break; \
		case SPARSE_I8: \
			LOAD_EACH(count, int8_t, real, x); \
			break; \
		case SPARSE_U16: \
			LOAD_EACH(count, uint16_t, real, x); \
			break; \
		case SPARSE_I16: \
			LOAD_EACH(count, int16_t, real, x); \
			break; \
		case SPARSE_U32: \
			LOAD_EACH(count, uint32_t, real, x); \
			break; \
		case SPARSE_I32: \
			LOAD_EACH(count, int32_t, real, x); \
			break; \
		default: \
			break; \
	}

void
load_floats(sparse_dtype dtype, const uint8_t *from, size_t count, float *to)
{
	LOAD(float)
}

void
load_doubles(sparse_dtype dtype, const uint8_t *from, size_t count, double *to)
{
	LOAD(double)
}

/* ---- from reals ---- */

static inline uint16_t
bf16_of(uint32_t bits)
{
	const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

	return (uint16_t) pick((bits & UINT32_C(0x7fffffff)) > UINT32_C(0x7f800000), QUIET_NAN32 >> 16, rounded);
}

static inline uint16_t
half_of(uint32_t bits)
{
	const uint32_t magnitude = bits & UINT32_C(0x7fffffff);
	const uint32_t normal = (magnitude - UINT32_C(0x38000000) + 0xfff + (magnitude >> 13 & 1)) >> 13;
	/* adding a half lets the addition round to multiples of the least number */
	const uint32_t subnormal = bits_of(float_of(pick(magnitude < UINT32_C(0x38800000), magnitude, 0)) + 0.5f)
		- UINT32_C(0x3f000000);
	uint32_t	result = pick(magnitude < UINT32_C(0x38800000), subnormal, normal);

	result = pick(magnitude >= UINT32_C(0x47800000), 0x7c00, result);
	result |= bits >> 16 & 0x8000;
	return (uint16_t) pick(magnitude > UINT32_C(0x7f800000), 0x7e00, result);
}

/* To an 8-bit float of `mantissa` bits whose exponent has the bias; `most` is the largest magnitude that it may be. */
static inline uint8_t
byte_of(uint32_t bits, int mantissa, int bias, uint32_t most, uint8_t nan)
{
	const uint32_t magnitude = bits & UINT32_C(0x7fffffff);
	const int	exponent = (int) (magnitude >> 23) - 127 + bias;
	const int	below = exponent > 0 ? 0 : 1 - exponent;	/* bits that a subnormal number lacks */
	const unsigned shift = (unsigned) (23 - mantissa + (below < 8 ? below : 8));
	const uint32_t significand = (magnitude & UINT32_C(0x7fffff)) | UINT32_C(0x800000);
	uint32_t	result;

	if (magnitude > UINT32_C(0x7f800000))
		return nan;
	result = (significand + (UINT32_C(1) << (shift - 1)) - 1 + (significand >> shift & 1)) >> shift;
	if (exponent > 0)
		result += (uint32_t) (exponent - 1) << mantissa;
	result = result < most ? result : most;
	return (uint8_t) (result | (bits >> 24 & 0x80));
}

#define STORE_EACH(type, expression) \
	for (size_t i = 0; i < count; i++) \
	{ \
		const uint32_t bits = bits_of((float) from[i]); \
		const type	x = (expression); \
		memcpy(to + i * sizeof(type), &x, sizeof(type)); \
	}

static void
store_double(double value, uint8_t *to)
{
	uint64_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	store64(to, (bits & INT64_MAX) > UINT64_C(0x7ff0000000000000) ? QUIET_NAN64 : bits);
}

#define STORE \
	switch (dtype) \
	{ \
		case SPARSE_BF16: \
			STORE_EACH(uint16_t, bf16_of(bits)); \
			break; \
		case SPARSE_F16: \
			STORE_EACH(uint16_t, half_of(bits)); \
			break; \
		case SPARSE_F32: \
			STORE_EACH(uint32_t, pick((bits & UINT32_C(0x7fffffff)) > UINT32_C(0x7f800000), QUIET_NAN32, bits)); \
			break; \
		case SPARSE_F64: \
			for (size_t i = 0; i < count; i++) \
				store_double((double) from[i], to + i * sizeof(double)); \
			break; \
		case SPARSE_F8_E4M3: \
			STORE_EACH(uint8_t, byte_of(bits, 3, 7, 0x7e, 0x7f)); \
			break; \
		case SPARSE_F8_E5M2: \
			STORE_EACH(uint8_t, byte_of(bits, 2, 15, 0x7c, 0x7e)); \
			break; \
		default: \
			break; \
	}

void
store_floats(sparse_dtype dtype, const float *from, size_t count, uint8_t *to)
{
	STORE
}

void
store_doubles(sparse_dtype dtype, const double *from, size_t count, uint8_t *to)
{
	STORE
}
