/*
 * formula_real.h: what formulas predict, computed in REAL (float or double).
 *
 * Included by formula.c for each of the two, with REAL, LOAD_REALS, STORE_REALS
 * and NAME defined. Every element is computed by itself, by the operations that are
 * written here in the order in which they stand.
 */

/* Reals as they would be after being stored as elements of the content's dtype. */
static void
NAME(round_reals)(const work *w, REAL *x, size_t count)
{
	uint8_t		stored[STRETCH * sizeof(double)];

	STORE_REALS(w->info->dtype, x, count, stored);
	LOAD_REALS(w->info->dtype, stored, count, x);
}

static void
NAME(load_reference)(const work *w, unsigned ref, size_t first, size_t count, REAL *x)
{
	const sparse_dtype dtype = w->info->ref[ref].dtype;

	LOAD_REALS(dtype, w->from[ref] + first * sparse_dtype_get(dtype)->bytes, count, x);
}

static void
NAME(store_content)(const work *w, size_t first, size_t count, const REAL *x)
{
	STORE_REALS(w->info->dtype, x, count, w->to + first * w->element_bytes);
}

static void
NAME(cast_stretch)(const work *w, size_t first, size_t count)
{
	REAL		x[STRETCH];

	NAME(load_reference)(w, 0, first, count, x);
	NAME(store_content)(w, first, count, x);
}

static void
NAME(blend_stretch)(const work *w, size_t first, size_t count)
{
	const sparse_formula *f = w->formula;
	REAL		sum[STRETCH] = {0};
	REAL		x[STRETCH];

	for (unsigned k = 0; k < w->info->refs; k++)
	{
		const REAL	c = (REAL) f->coefficient[k];

		NAME(load_reference)(w, k, first, count, x);
		for (size_t i = 0; i < count; i++)
			x[i] = c * x[i];
		if (f->style == SPARSE_BLEND_STEPS)
			NAME(round_reals)(w, x, count);
		for (size_t i = 0; i < count; i++)
			sum[i] = sum[i] + x[i];
	}
	NAME(store_content)(w, first, count, sum);
}

static void
NAME(blend_tasks)(const work *w, size_t first, size_t count)
{
	REAL		base[STRETCH];
	REAL		sum[STRETCH] = {0};
	REAL		x[STRETCH];

	NAME(load_reference)(w, 0, first, count, base);
	for (unsigned k = 1; k < w->info->refs; k++)
	{
		const REAL	c = (REAL) w->formula->coefficient[k];

		NAME(load_reference)(w, k, first, count, x);
		for (size_t i = 0; i < count; i++)
			x[i] = x[i] - base[i];
		NAME(round_reals)(w, x, count);
		for (size_t i = 0; i < count; i++)
			x[i] = c * x[i];
		NAME(round_reals)(w, x, count);
		for (size_t i = 0; i < count; i++)
			sum[i] = sum[i] + x[i];
	}
	NAME(round_reals)(w, sum, count);
	for (size_t i = 0; i < count; i++)
		sum[i] = base[i] + sum[i];
	NAME(store_content)(w, first, count, sum);
}

/* 2^exponent, for the exponents of a product's components. */
static REAL
NAME(power_of_two)(int exponent)
{
	REAL		power = 1;

	for (; exponent > 0; exponent--)
		power *= 2;
	for (; exponent < 0; exponent++)
		power /= 2;
	return power;
}

/* The right factor under `count` columns from `first` on, a row of STRETCH reals for each component, with its exponent. */
static void
NAME(load_right)(const work *w, size_t first, size_t count, REAL *right)
{
	const sparse_formula *f = w->formula;

	for (unsigned k = 0; k < f->rank; k++)
	{
		REAL	   *row = right + (size_t) k * STRETCH;

		if (f->style & SPARSE_RIGHT_TRANSPOSED)
			for (size_t j = 0; j < count; j++)
				NAME(load_reference)(w, 2, (first + j) * f->rank + k, 1, row + j);
		else
			NAME(load_reference)(w, 2, (size_t) k * f->columns + first, count, row);
		if (f->style & SPARSE_PRODUCT_EXPONENTS)
		{
			const REAL	power = NAME(power_of_two)(f->exponent[k]);

			for (size_t j = 0; j < count; j++)
				row[j] = row[j] * power;
		}
	}
}

/* Row `row` of the left factor, counted from the one of the first element. */
static void
NAME(load_left)(const work *w, size_t row, REAL *left)
{
	const sparse_formula *f = w->formula;
	const size_t rows = (size_t) w->info->ref[1].count / f->rank;

	if (f->style & SPARSE_LEFT_TRANSPOSED)
		for (unsigned k = 0; k < f->rank; k++)
			NAME(load_reference)(w, 1, k * rows + (size_t) f->row + row, 1, left + k);
	else
		NAME(load_reference)(w, 1, row * f->rank, f->rank, left);
}

/* `count` elements from `first` on, which lie in one row, under the columns that `right` holds. */
static void
NAME(product_stretch)(const work *w, const REAL *left, const REAL *right, size_t first, size_t count)
{
	const sparse_formula *f = w->formula;
	const REAL	factor = (REAL) f->factor;
	REAL		base[STRETCH];
	REAL		sum[STRETCH] = {0};

	for (unsigned k = 0; k < f->rank; k++)
	{
		const REAL	l = left[k];
		const REAL *r = right + (size_t) k * STRETCH;

		for (size_t j = 0; j < count; j++)
			sum[j] = sum[j] + l * r[j];
	}
	for (size_t j = 0; j < count; j++)
		sum[j] = sum[j] * factor;
	if (f->style & SPARSE_PRODUCT_ROUNDED)
		NAME(round_reals)(w, sum, count);
	NAME(load_reference)(w, 0, first, count, base);
	for (size_t j = 0; j < count; j++)
		sum[j] = base[j] + sum[j];
	NAME(store_content)(w, first, count, sum);
}

/* All rows under one stretch of columns, then the next: the right factor is converted once. */
static void
NAME(predict_product)(const work *w)
{
	const sparse_formula *f = w->formula;
	const size_t columns = f->columns;
	const size_t offset = (size_t) f->offset;
	const size_t end = offset + w->elements;	/* counted from the first row's first element */
	REAL	   *right = (REAL *) (void *) w->scratch;
	REAL		left[SPARSE_MAX_RANK];

	for (size_t column = 0; column < columns; column += STRETCH)
	{
		const size_t width = columns - column < STRETCH ? columns - column : STRETCH;

		NAME(load_right)(w, column, width, right);
		for (size_t row = 0; row * columns + column < end; row++)
		{
			const size_t from = row * columns + column;
			const size_t skip = from < offset ? (offset - from < width ? offset - from : width) : 0;
			const size_t until = end - from < width ? end - from : width;

			if (skip >= until)
				continue;
			NAME(load_left)(w, row, left);
			NAME(product_stretch)(w, left, right + skip, from + skip - offset, until - skip);
		}
	}
}

/* Stores sums, and how far they lie from what was stored, in sixteenths of the distance between two elements, where that is wanted. */
static void
NAME(store_sums)(const work *w, size_t first, size_t count, const REAL *x)
{
	const BITS	magnitude = (BITS) -1 >> 1;
	const BITS	infinite = magnitude >> REAL_MANTISSA << REAL_MANTISSA;
	const unsigned shift = REAL_MANTISSA - sparse_dtype_get(w->info->dtype)->mantissa_bits - 4;
	BITS		exact[STRETCH];
	BITS		stored[STRETCH];
	REAL		back[STRETCH];

	NAME(store_content)(w, first, count, x);
	if (w->fraction == NULL)
		return;
	LOAD_REALS(w->info->dtype, w->to + first * w->element_bytes, count, back);
	memcpy(exact, x, count * sizeof(REAL));
	memcpy(stored, back, count * sizeof(REAL));
	for (size_t i = 0; i < count; i++)
	{
		const BITS	s = stored[i] & magnitude;
		const BITS	apart = (exact[i] & magnitude) - s;
		const BITS	below = 0 - (apart >> (8 * sizeof(BITS) - 1));
		const BITS	level = ((apart ^ below) - below) >> shift;
		const uint8_t fraction = (uint8_t) ((level < FRACTION_LEVELS ? level : FRACTION_LEVELS - 1) | (below & FRACTION_BELOW));

		w->fraction[first + i] = s < infinite ? fraction : 0;
	}
}

/* `count` elements from `first` on: the bases, each times its coefficient, and the product. */
static void
NAME(sum_stretch)(const work *w, size_t first, size_t count, const int32_t *product)
{
	const sparse_formula *f = w->formula;
	REAL		sum[STRETCH];
	REAL		x[STRETCH];

	if (product != NULL && adds_to_bf16(w))
	{
		sum_to_bf16(w, first, count, product, (float) NAME(power_of_two)(f->power));
		return;
	}
	for (unsigned k = 0; k < f->bases; k++)
	{
		const REAL	c = (REAL) f->coefficient[k];

		NAME(load_reference)(w, k, first, count, x);
		for (size_t i = 0; i < count; i++)
			sum[i] = k == 0 ? c * x[i] : sum[i] + c * x[i];
	}
	if (product != NULL)
	{
		const REAL	unit = NAME(power_of_two)(f->power);

		for (size_t i = 0; i < count; i++)
			sum[i] = sum[i] + (REAL) product[i] * unit;
	}
	NAME(store_sums)(w, first, count, sum);
}

/* All rows under one stretch of columns, as a product. */
static void
NAME(predict_sum)(const work *w)
{
	const sparse_formula *f = w->formula;
	const size_t columns = f->columns;
	const size_t offset = (size_t) f->offset;
	const size_t end = offset + w->elements;
	int16_t    *right = (int16_t *) (void *) w->scratch;
	int16_t		left[SPARSE_MAX_SUM_RANK + 1];
	int32_t		product[STRETCH];

	for (size_t at = 0; f->rank == 0 && at < w->elements; at += STRETCH)
		NAME(sum_stretch)(w, at, w->elements - at < STRETCH ? w->elements - at : STRETCH, NULL);
	for (size_t column = 0; column < columns; column += STRETCH)
	{
		const size_t width = columns - column < STRETCH ? columns - column : STRETCH;

		load_right_pairs(w, column, width, right);
		for (size_t row = 0; row * columns + column < end; row++)
		{
			const size_t from = row * columns + column;
			const size_t skip = from < offset ? (offset - from < width ? offset - from : width) : 0;
			const size_t until = end - from < width ? end - from : width;

			if (skip >= until)
				continue;
			load_left_pairs(w, row, left);
			product_row(w->simd, left, right + 2 * skip, (f->rank + 1) / 2, until - skip, product);
			NAME(sum_stretch)(w, from + skip - offset, until - skip, product);
		}
	}
}

/* Scales of `count` values from `first` on, and what is their zero. */
static void
NAME(load_scales)(const work *w, size_t first, size_t count, REAL *scale, REAL *zero)
{
	const sparse_formula *f = w->formula;
	const uint64_t at = f->offset + first;
	const REAL	factor = (REAL) f->factor;

	for (size_t i = 0; i < count;)
	{
		const size_t group = (size_t) ((at + i) / f->group);
		const uint64_t rest = f->group - (at + i) % f->group;
		const size_t end = rest < count - i ? i + (size_t) rest : count;
		REAL		s;
		REAL		z = 0;

		NAME(load_reference)(w, 1, group, 1, &s);
		if (w->info->refs == 3)
			NAME(load_reference)(w, 2, group, 1, &z);
		for (; i < end; i++)
		{
			scale[i] = s * factor;
			zero[i] = z;
		}
	}
}

/* The nearest integer, of two the even one, of a number within +-2^16; NaN is the lowest. */
static inline REAL
NAME(nearest)(REAL x)
{
	const REAL	magic = sizeof(REAL) == sizeof(float) ? (REAL) 12582912.0 : (REAL) 6755399441055744.0;

	x = x >= -65536 ? x : -65536;
	x = x <= 65536 ? x : 65536;
	return (x + magic) - magic;
}

/* Values from `first` on, `count` of them, as they are to be stored. */
static void
NAME(quantise)(const work *w, size_t first, size_t count, REAL *x)
{
	const sparse_formula *f = w->formula;
	const REAL	lowest = f->lowest;
	const REAL	highest = f->highest;
	REAL		scale[STRETCH];
	REAL		zero[STRETCH];

	NAME(load_reference)(w, 0, first, count, x);
	NAME(load_scales)(w, first, count, scale, zero);
	for (size_t i = 0; i < count; i++)
		x[i] = x[i] / scale[i];
	if (sparse_dtype_get(w->info->dtype)->exponent_bits > 0)
		return;
	for (size_t i = 0; i < count; i++)
	{
		REAL		q = NAME(nearest)(x[i]) + zero[i];

		q = q >= lowest ? q : lowest;
		q = q <= highest ? q : highest;
		x[i] = q + f->bias;
	}
}

static void
NAME(quantised_stretch)(const work *w, size_t first, size_t count)
{
	const unsigned packing = w->formula->style;
	REAL		x[STRETCH];

	if (packing == SPARSE_PACK_ELEMENTS)
	{
		NAME(quantise)(w, first, count, x);
		if (sparse_dtype_get(w->info->dtype)->exponent_bits > 0)
			NAME(store_content)(w, first, count, x);
		else
			for (size_t i = 0; i < count; i++)
				w->to[first + i] = (uint8_t) (int32_t) x[i];
		return;
	}
	for (size_t half = 0; half < count; half += STRETCH / 2)
	{
		const size_t bytes = count - half < STRETCH / 2 ? count - half : STRETCH / 2;

		NAME(quantise)(w, 2 * (first + half), 2 * bytes, x);
		for (size_t i = 0; i < bytes; i++)
		{
			const unsigned a = (unsigned) (int32_t) x[2 * i] & 15;
			const unsigned b = (unsigned) (int32_t) x[2 * i + 1] & 15;

			w->to[first + half + i] = (uint8_t) (packing == SPARSE_PACK_LOW_FIRST ? a | b << 4 : b | a << 4);
		}
	}
}

/* Packed values are unsigned before the bias is taken away; then those that 4 bits hold with a sign wrap. */
static void
NAME(unpack)(const work *w, size_t first, size_t count, REAL *x)
{
	const sparse_formula *f = w->formula;

	if (f->style == SPARSE_PACK_ELEMENTS)
	{
		NAME(load_reference)(w, 0, first, count, x);
		for (size_t i = 0; i < count; i++)
			x[i] = x[i] - f->bias;
		return;
	}
	for (size_t i = 0; i < count; i++)
	{
		const unsigned byte = w->from[0][(first + i) / 2];
		const bool	high = ((first + i) % 2 == 0) == (f->style == SPARSE_PACK_HIGH_FIRST);
		int			value = (int) (high ? byte >> 4 : byte & 15);

		if (value - f->bias > f->highest)
			value -= 16;
		x[i] = (REAL) (value - f->bias);
	}
}

static void
NAME(dequantised_stretch)(const work *w, size_t first, size_t count)
{
	REAL		x[STRETCH];
	REAL		scale[STRETCH];
	REAL		zero[STRETCH];

	NAME(unpack)(w, first, count, x);
	NAME(load_scales)(w, first, count, scale, zero);
	for (size_t i = 0; i < count; i++)
		x[i] = (x[i] - zero[i]) * scale[i];
	NAME(store_content)(w, first, count, x);
}

/* The largest magnitude of each group, divided. */
static void
NAME(maxima_stretch)(const work *w, size_t first, size_t count)
{
	const size_t group = (size_t) w->formula->group;
	const REAL	divisor = (REAL) w->formula->factor;
	REAL		x[STRETCH];
	REAL		most[STRETCH];

	for (size_t i = 0; i < count; i++)
	{
		most[i] = 0;
		for (size_t at = 0; at < group; at += STRETCH)
		{
			const size_t part = group - at < STRETCH ? group - at : STRETCH;

			NAME(load_reference)(w, 0, (first + i) * group + at, part, x);
			for (size_t j = 0; j < part; j++)
			{
				const REAL	magnitude = x[j] < 0 ? -x[j] : x[j];

				most[i] = magnitude > most[i] ? magnitude : most[i];
			}
		}
		most[i] = most[i] / divisor;
	}
	NAME(store_content)(w, first, count, most);
}

/* The same elements in another order: runs of them, cut into stretches. */
static void
NAME(predict_permuted)(const work *w)
{
	REAL		x[STRETCH];

	for (size_t first = 0, count, from; first < w->elements; first += count)
	{
		count = permuted_run(w, first, &from);
		count = count < STRETCH ? count : STRETCH;
		NAME(load_reference)(w, 0, from, count, x);
		NAME(store_content)(w, first, count, x);
	}
}

static void
NAME(predict)(const work *w)
{
	void		(*stretch) (const work *w, size_t first, size_t count) = NULL;

	switch (w->info->predictor)
	{
		case SPARSE_PREDICT_CAST:
			stretch = NAME(cast_stretch);
			break;
		case SPARSE_PREDICT_BLEND:
			stretch = w->formula->style == SPARSE_BLEND_TASKS ? NAME(blend_tasks) : NAME(blend_stretch);
			break;
		case SPARSE_PREDICT_QUANTISED:
			stretch = NAME(quantised_stretch);
			break;
		case SPARSE_PREDICT_DEQUANTISED:
			stretch = NAME(dequantised_stretch);
			break;
		case SPARSE_PREDICT_MAXIMA:
			stretch = NAME(maxima_stretch);
			break;
		case SPARSE_PREDICT_PERMUTED:
			NAME(predict_permuted)(w);
			return;
		case SPARSE_PREDICT_SUM:
			NAME(predict_sum)(w);
			return;
		default:
			NAME(predict_product)(w);
			return;
	}
	for (size_t at = 0; at < w->elements; at += STRETCH)
		stretch(w, at, w->elements - at < STRETCH ? w->elements - at : STRETCH);
}

#undef REAL
#undef BITS
#undef REAL_MANTISSA
#undef LOAD_REALS
#undef STORE_REALS
#undef NAME
