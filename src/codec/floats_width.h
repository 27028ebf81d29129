/*
 * floats_width.h: the loops of the float coder for one element width.
 *
 * Included by floats_loops.h once for each WIDTH (8, 16, 32, 64). A block without
 * +0.0 and without exponents that take an escape is plain: its tokens are
 * subtractions, and its raw bits, where they are whole bytes, byte moves.
 */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define ELEMENT PASTE(PASTE(uint, WIDTH), _t)
#define NAME(function) PASTE(function, WIDTH)

static uint64_t
NAME(survey)(const void *content, size_t elements, const layout *l, int *largest)
{
	const ELEMENT exponents = (ELEMENT) ((((ELEMENT) 1 << l->exponent_bits) - 1) << l->mantissa_bits);
	ELEMENT		any = 0;
	ELEMENT		top = 0;

	for (size_t i = 0; i < elements; i++)
	{
		ELEMENT		x;

		memcpy(&x, (const uint8_t *) content + i * sizeof(ELEMENT), sizeof(ELEMENT));
		any |= x;
		x &= exponents;
		top = x > top ? x : top;
	}
	*largest = (int) (top >> l->mantissa_bits);
	return any;
}

/* Octaves of each element below the largest, and the union of the elements. True when the block is plain. */
static bool
NAME(octaves)(const ELEMENT *x, size_t count, const layout *l, int16_t *below, ELEMENT *any)
{
	const unsigned shift = l->mantissa_bits;
	const ELEMENT mask = (ELEMENT) (((ELEMENT) 1 << l->exponent_bits) - 1);
	const int16_t largest = (int16_t) l->largest;
	int16_t		most = 0;
	ELEMENT		all = 0;
	ELEMENT		zeros = 0;

	for (size_t i = 0; i < count; i++)
	{
		int16_t		k = (int16_t) (largest - (int16_t) ((ELEMENT) (x[i] >> shift) & mask));

		below[i] = k;
		most = k > most ? k : most;
		all |= x[i];
		zeros |= (ELEMENT) (x[i] == 0);
	}
	*any = all;
	return most < TOKEN_ESCAPE && zeros == 0;
}

static uint64_t
NAME(raw_of)(ELEMENT x, const layout *l)
{
	const ELEMENT mantissa = (ELEMENT) (x & (ELEMENT) (((ELEMENT) 1 << l->mantissa_bits) - 1));

	return (uint64_t) (x >> (WIDTH - 1)) << (l->raw_bits - 1) | (uint64_t) (mantissa >> l->low_zeros);
}

static void
NAME(put_plain)(const ELEMENT *x, size_t count, const layout *l, bit_writer *raw)
{
	uint8_t    *to = raw->bytes + (raw->position >> 3);
	const unsigned bytes = l->raw_bits / 8;

	if (l->raw_bits % 8 != 0 || raw->position % 8 != 0)
	{
		for (size_t i = 0; i < count; i++)
			bits_put(raw, NAME(raw_of)(x[i], l), l->raw_bits);
		return;
	}
	if (bytes == 1)
		for (size_t i = 0; i < count; i++)
			to[i] = (uint8_t) NAME(raw_of)(x[i], l);
	else
		for (size_t i = 0; i < count; i++)
			store64(to + i * bytes, NAME(raw_of)(x[i], l));
	raw->position += (uint64_t) count * l->raw_bits;
}

static void
NAME(put_special)(const ELEMENT *x, const int16_t *below, size_t count, const layout *l,
				  uint8_t *token, bit_writer *raw)
{
	for (size_t i = 0; i < count; i++)
	{
		token[i] = TOKEN_ZERO;
		if (x[i] == 0)
			continue;
		token[i] = (uint8_t) (below[i] < TOKEN_ESCAPE ? below[i] : TOKEN_ESCAPE);
		if (below[i] >= TOKEN_ESCAPE)
			bits_put(raw, (uint64_t) (l->largest - below[i]), l->exponent_bits);
		bits_put(raw, NAME(raw_of)(x[i], l), l->raw_bits);
	}
}

static uint8_t
NAME(encode)(const void *content, size_t at, size_t count, const layout *l,
			 uint8_t *token, bit_writer *raw)
{
	ELEMENT		x[BLOCK];
	int16_t		below[BLOCK];
	ELEMENT		any;
	bool		plain;

	memcpy(x, (const uint8_t *) content + at * sizeof(ELEMENT), count * sizeof(ELEMENT));
	plain = NAME(octaves)(x, count, l, below, &any);
	if (any == 0)
		return 0;
	if (plain)
	{
		for (size_t i = 0; i < count; i++)
			token[i] = (uint8_t) below[i];
		NAME(put_plain)(x, count, l, raw);
	}
	else
		NAME(put_special)(x, below, count, l, token, raw);
	return block_scale(below, count);
}

static inline ELEMENT
NAME(element_of)(uint64_t raw, unsigned exponent, const layout *l)
{
	const unsigned kept = l->raw_bits - 1;

	return (ELEMENT) ((ELEMENT) (raw >> kept) << (WIDTH - 1)
					  | (ELEMENT) exponent << l->mantissa_bits
					  | (ELEMENT) ((ELEMENT) (raw & ((UINT64_C(1) << kept) - 1)) << l->low_zeros));
}

static void
NAME(take_plain)(const uint8_t *token, size_t count, const layout *l, bit_reader *raw, ELEMENT *x)
{
	const uint8_t *from = raw->bytes + (raw->position >> 3);
	const unsigned bytes = l->raw_bits / 8;
	const bool	whole = l->raw_bits % 8 == 0 && raw->position % 8 == 0
		&& bits_ahead(raw, (uint64_t) count * l->raw_bits);

	if (whole && bytes == 1)
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(from[i], (unsigned) l->largest - token[i], l);
	else if (whole)
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(load64(from + i * bytes) & ((UINT64_C(1) << l->raw_bits) - 1),
									(unsigned) l->largest - token[i], l);
	else
	{
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(bits_take(raw, l->raw_bits), (unsigned) l->largest - token[i], l);
		return;
	}
	raw->position += (uint64_t) count * l->raw_bits;
}

static bool
NAME(take_special)(const uint8_t *token, size_t count, const layout *l, bit_reader *raw, ELEMENT *x)
{
	for (size_t i = 0; i < count; i++)
	{
		int			e = l->largest - token[i];

		x[i] = 0;
		if (token[i] == TOKEN_ZERO)
			continue;
		if (token[i] == TOKEN_ESCAPE)
			e = (int) bits_take(raw, l->exponent_bits);
		if (e < 0)
			return false;
		x[i] = NAME(element_of)(bits_take(raw, l->raw_bits), (unsigned) e, l);
	}
	return true;
}

static bool
NAME(restore)(const uint8_t *token, size_t at, size_t count, const layout *l,
			  bit_reader *raw, void *content)
{
	ELEMENT		x[BLOCK];
	uint8_t		most = 0;

	for (size_t i = 0; i < count; i++)
		most = token[i] > most ? token[i] : most;
	if (most < TOKEN_ESCAPE && most <= l->largest)
		NAME(take_plain)(token, count, l, raw, x);
	else if (!NAME(take_special)(token, count, l, raw, x))
		return false;
	memcpy((uint8_t *) content + at * sizeof(ELEMENT), x, count * sizeof(ELEMENT));
	return true;
}

#undef PASTE_
#undef PASTE
#undef ELEMENT
#undef NAME
#undef WIDTH
