/*
 * values.c: elements as numbers, and distances between them (see values.h).
 *
 * Every dtype's values are doubles exactly, but for 64-bit integers beyond 2^53. A
 * block of each run is made doubles, then compared; blocks whose bytes are equal
 * only add to the norms.
 */
#include "values.h"

#include <math.h>

#define BLOCK 1024

bool
values_known(sparse_dtype dtype)
{
	return dtype != SPARSE_BYTES;
}

/* ---- elements as doubles ---- */

static inline float
float_of_bits(uint32 bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/*
 * A small float, of which `magnitude` holds exponent and mantissa, moved to where a
 * float32 has them, is its value divided by a power of two: also when it is subnormal.
 */
static inline float
small_float(bool negative, uint32 magnitude, int shift, float power)
{
	float		value = float_of_bits(magnitude << shift) * power;

	return negative ? -value : value;
}

static inline float
f16_value(uint32 bits)
{
	uint32		magnitude = bits & 0x7fff;

	if (magnitude >= 0x7c00)
		return float_of_bits((bits & 0x8000) << 16 | 0x7f800000 | (magnitude & 0x3ff) << 13);
	return small_float(bits & 0x8000, magnitude, 13, 0x1p112f);
}

/* The E4M3 of safetensors: no infinities, and all ones is NaN. */
static inline float
e4m3_value(uint32 bits)
{
	uint32		magnitude = bits & 0x7f;

	if (magnitude == 0x7f)
		return float_of_bits(0x7fc00000);
	return small_float(bits & 0x80, magnitude, 20, 0x1p120f);
}

#define READ_AS(type, expression) \
	for (size_t i = 0; i < count; i++) \
	{ \
		type		x; \
		\
		memcpy(&x, bytes + i * sizeof(x), sizeof(x)); \
		value[i] = (double) (expression); \
	} \
	break

static void
read_values(sparse_dtype dtype, const char *bytes, size_t count, double *value)
{
	switch (dtype)
	{
		case SPARSE_BYTES:
		case SPARSE_BOOL:
		case SPARSE_U8:
			READ_AS(uint8, x);
		case SPARSE_I8:
			READ_AS(int8, x);
		case SPARSE_U16:
			READ_AS(uint16, x);
		case SPARSE_I16:
			READ_AS(int16, x);
		case SPARSE_U32:
			READ_AS(uint32, x);
		case SPARSE_I32:
			READ_AS(int32, x);
		case SPARSE_U64:
			READ_AS(uint64, x);
		case SPARSE_I64:
			READ_AS(int64, x);
		case SPARSE_F8_E4M3:
			READ_AS(uint8, e4m3_value(x));
		case SPARSE_F8_E5M2:
			READ_AS(uint8, f16_value((uint32) x << 8));
		case SPARSE_F16:
			READ_AS(uint16, f16_value(x));
		case SPARSE_BF16:
			READ_AS(uint16, float_of_bits((uint32) x << 16));
		case SPARSE_F32:
			READ_AS(float, x);
		case SPARSE_F64:
			READ_AS(double, x);
	}
}

/* ---- what changed ---- */

#define COUNT_OTHER_BITS(type) \
	for (size_t i = 0; i < count; i++) \
	{ \
		type		x; \
		type		y; \
		\
		memcpy(&x, a + i * sizeof(x), sizeof(x)); \
		memcpy(&y, b + i * sizeof(y), sizeof(y)); \
		changed += x != y; \
	} \
	break

static size_t
count_other_bits(const char *a, const char *b, size_t count, size_t width)
{
	size_t		changed = 0;

	switch (width)
	{
		case 1:
			COUNT_OTHER_BITS(uint8);
		case 2:
			COUNT_OTHER_BITS(uint16);
		case 4:
			COUNT_OTHER_BITS(uint32);
		default:
			COUNT_OTHER_BITS(uint64);
	}
	return changed;
}

static size_t
count_other_values(const double *a, const double *b, size_t count)
{
	size_t		changed = 0;

	for (size_t i = 0; i < count; i++)
		changed += a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]));
	return changed;
}

/* Moves the elements that are finite in both to the front; their number. */
static size_t
keep_finite(double *a, double *b, size_t count)
{
	size_t		kept = 0;

	for (size_t i = 0; i < count; i++)
	{
		a[kept] = a[i];
		b[kept] = b[i];
		kept += isfinite(a[i]) && isfinite(b[i]);
	}
	return kept;
}

/* Of finite elements. */
static void
add_values(Distance *distance, const double *a, const double *b, size_t count)
{
	double		squares = 0;
	double		squares_a = 0;
	double		squares_b = 0;
	double		product = 0;
	double		largest = distance->largest;
	double		relative = distance->largest_relative;
	bool		divisible = distance->divisible;

	for (size_t i = 0; i < count; i++)
	{
		double		change = fabs(b[i] - a[i]);
		double		size = fabs(a[i]);

		largest = change > largest ? change : largest;
		if (change > relative * size && size > 0)
			relative = change / size;
		divisible |= size > 0;
		squares += change * change;
		squares_a += a[i] * a[i];
		squares_b += b[i] * b[i];
		product += a[i] * b[i];
	}
	distance->largest = largest;
	distance->largest_relative = relative;
	distance->divisible = divisible;
	distance->squares += squares;
	distance->squares_a += squares_a;
	distance->squares_b += squares_b;
	distance->product += product;
}

/* Elements that are the same in both. */
static void
add_unchanged(Distance *distance, const double *value, size_t count)
{
	double		squares = 0;

	for (size_t i = 0; i < count; i++)
	{
		if (isfinite(value[i]))
		{
			squares += value[i] * value[i];
			distance->divisible |= value[i] != 0;
		}
		else
			distance->not_finite++;
	}
	distance->squares_a += squares;
	distance->squares_b += squares;
	distance->product += squares;
}

static void
add_block(Distance *distance, sparse_dtype dtype_a, const char *a,
		  sparse_dtype dtype_b, const char *b, size_t count)
{
	size_t		width = sparse_dtype_get(dtype_a)->bytes;
	double		value_a[BLOCK];
	double		value_b[BLOCK];
	size_t		finite;

	distance->elements += count;
	read_values(dtype_a, a, count, value_a);
	if (dtype_a == dtype_b && memcmp(a, b, count * width) == 0)
	{
		add_unchanged(distance, value_a, count);
		return;
	}
	read_values(dtype_b, b, count, value_b);
	distance->changed += dtype_a == dtype_b ? count_other_bits(a, b, count, width)
		: count_other_values(value_a, value_b, count);
	finite = keep_finite(value_a, value_b, count);
	distance->not_finite += count - finite;
	add_values(distance, value_a, value_b, finite);
}

void
distance_add(Distance *distance, sparse_dtype dtype_a, const char *a,
			 sparse_dtype dtype_b, const char *b, size_t count)
{
	size_t		width_a = sparse_dtype_get(dtype_a)->bytes;
	size_t		width_b = sparse_dtype_get(dtype_b)->bytes;

	for (size_t at = 0; at < count; at += BLOCK)
		add_block(distance, dtype_a, a + at * width_a, dtype_b, b + at * width_b, Min(BLOCK, count - at));
}

double
distance_l2(const Distance *distance)
{
	return sqrt(distance->squares);
}

/* Equal runs have a cosine of 1, not one of what rounding left. */
bool
distance_cosine(const Distance *distance, double *cosine)
{
	if (!(distance->squares_a > 0) || !(distance->squares_b > 0) ||
		!isfinite(distance->squares_a) || !isfinite(distance->squares_b))
		return false;
	*cosine = distance->squares == 0 ? 1
		: distance->product / (sqrt(distance->squares_a) * sqrt(distance->squares_b));
	*cosine = Max(-1.0, Min(1.0, *cosine));
	return true;
}
