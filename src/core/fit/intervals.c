/*
 * intervals.c: see intervals.h. Half units are powers of two: a table for each, over where the interval's middle lies.
 */
#include "fit/intervals.h"

#include <math.h>
#include <string.h>

#define NARROW -3				/* octaves below the deviation at which an interval is as good as its middle */

float
interval_half(const intervals *t, float child)
{
	uint32_t	bits;
	int			exponent;

	memcpy(&bits, &child, sizeof(bits));
	exponent = (int) (bits >> 23 & 255) - 127;
	exponent = exponent < t->least_exponent ? t->least_exponent : exponent;
	exponent += 127 - t->mantissa_bits - 1;
	bits = exponent > 0 ? (uint32_t) exponent << 23 : 0;
	memcpy(&child, &bits, sizeof(bits));
	return child;
}

/* Mean and mean square of a normal number of deviation 1 between two bounds. */
static void
moments(double low, double high, float *mean, float *square)
{
	const double root = sqrt(0.5);
	double		part;
	double		at_low;
	double		at_high;

	/* (the far side of the tail would be nothing but rounding) */
	if (low > 0)
	{
		moments(-high, -low, mean, square);
		*mean = -*mean;
		return;
	}
	part = (erfc(-high * root) - erfc(-low * root)) / 2;
	at_low = exp(-low * low / 2) / sqrt(2 * acos(-1));
	at_high = exp(-high * high / 2) / sqrt(2 * acos(-1));
	if (part < 1e-30)
	{
		*mean = (float) high;
		*square = (float) (high * high);
		return;
	}
	*mean = (float) ((at_low - at_high) / part);
	*square = (float) (1 + (low * at_low - high * at_high) / part);
}

void
intervals_set(intervals *t, sparse_dtype dtype, float deviation)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	int			exponent;

	t->mantissa_bits = info->mantissa_bits;
	t->least_exponent = 2 - (1 << (info->exponent_bits - 1));
	t->deviation = deviation;
	(void) frexpf(deviation, &exponent);
	t->lowest = exponent + NARROW;
	for (int w = 0; w < INTERVAL_WIDTHS; w++)
		for (int i = 0; i < INTERVAL_PLACES; i++)
		{
			const double half = ldexp(1, t->lowest + w) / deviation;
			const double middle = (2.0 * i / (INTERVAL_PLACES - 1) - 1) * (half + INTERVAL_REACH);

			moments(middle - half, middle + half, &t->guess[w][i], &t->square[w][i]);
		}
}

double
intervals_guess(const intervals *t, float *child, const float *parent, const float *model, uint64_t count)
{
	const float narrow = ldexpf(1, t->lowest);
	double		squares = 0;

	for (uint64_t i = 0; i < count; i++)
	{
		const float change = child[i] - parent[i];
		const float half = interval_half(t, child[i]);
		const float reach = half + INTERVAL_REACH * t->deviation;
		const float off = change - model[i];
		float		place = (off / reach + 1) * ((INTERVAL_PLACES - 1) / 2);
		int			w;
		int			at;

		child[i] = fabsf(change) < INFINITY ? change : model[i];
		if (!(half >= narrow) || !(fabsf(off) < reach))
		{
			squares += fabsf(off) < INFINITY ? (double) off * off : 0;
			continue;
		}
		(void) frexpf(half, &w);
		w -= 1 + t->lowest;
		w = w < INTERVAL_WIDTHS ? w : INTERVAL_WIDTHS - 1;
		at = (int) place;
		place -= (float) at;
		child[i] = model[i] + t->deviation * (t->guess[w][at] + place * (t->guess[w][at + 1] - t->guess[w][at]));
		squares += (double) t->deviation * t->deviation * (t->square[w][at] + place * (t->square[w][at + 1] - t->square[w][at]));
	}
	return squares;
}
