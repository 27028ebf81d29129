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
	return most < TOKEN_ESCAPE >> l->lead && zeros == 0;
}

/* The bits of the mantissa that are no raw ones: the highest, in the token. */
static inline unsigned
NAME(lead_bits)(ELEMENT x, const layout *l)
{
	return (unsigned) (x >> (l->mantissa_bits - l->lead)) & ((1u << l->lead) - 1);
}

static uint64_t
NAME(raw_of)(ELEMENT x, const layout *l)
{
	const ELEMENT mantissa = (ELEMENT) (x & (ELEMENT) (((ELEMENT) 1 << (l->mantissa_bits - l->lead)) - 1));

	return (uint64_t) (x >> (WIDTH - 1)) << (l->raw_bits - 1) | (uint64_t) (mantissa >> l->low_zeros);
}

static void
NAME(put_plain)(const ELEMENT *x, size_t count, const layout *l, bit_writer *raw)
{
	uint8_t    *to = raw->bytes + (raw->position >> 3);
	const unsigned bytes = l->raw_bits / 8;

	if (l->raw_bits < 8 && raw->position % 8 == 0)
	{
		uint8_t		field[BLOCK + 8];

		for (size_t i = 0; i < count; i++)
			field[i] = (uint8_t) NAME(raw_of)(x[i], l);
		pack_fields(field, count, l->raw_bits, to);
		raw->position += (uint64_t) count * l->raw_bits;
		return;
	}
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
		token[i] = (uint8_t) ((unsigned) below[i] << l->lead | NAME(lead_bits)(x[i], l));
		if (below[i] >= TOKEN_ESCAPE >> l->lead)
		{
			token[i] = TOKEN_ESCAPE;
			bits_put(raw, (uint64_t) (l->largest - below[i]), l->exponent_bits);
			bits_put(raw, NAME(lead_bits)(x[i], l), l->lead);
		}
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
			token[i] = (uint8_t) ((unsigned) below[i] << l->lead | NAME(lead_bits)(x[i], l));
		NAME(put_plain)(x, count, l, raw);
	}
	else
		NAME(put_special)(x, below, count, l, token, raw);
	return block_scale(below, count);
}

/* octaves: the exponent and, below it, the lead bits. */
static inline ELEMENT
NAME(element_of)(uint64_t raw, unsigned octaves, const layout *l)
{
	const unsigned kept = l->raw_bits - 1;

	return (ELEMENT) ((ELEMENT) (raw >> kept) << (WIDTH - 1)
					  | (ELEMENT) octaves << (l->mantissa_bits - l->lead)
					  | (ELEMENT) ((ELEMENT) (raw & ((UINT64_C(1) << kept) - 1)) << l->low_zeros));
}

/* The exponent and lead bits that a plain token says. */
static inline unsigned
NAME(octaves_of)(uint8_t token, const layout *l)
{
	const unsigned lead = (1u << l->lead) - 1;

	return (((unsigned) l->largest << l->lead) - (token & ~lead)) | (token & lead);
}

static void
NAME(take_plain)(const uint8_t *token, size_t count, const layout *l, bit_reader *raw, ELEMENT *x)
{
	const uint8_t *from = raw->bytes + (raw->position >> 3);
	const unsigned bytes = l->raw_bits / 8;
	const bool	ahead = raw->position % 8 == 0 && bits_ahead(raw, (uint64_t) count * l->raw_bits + 64);
	const bool	whole = ahead && l->raw_bits % 8 == 0;

	if (ahead && l->raw_bits <= 8)
	{
		uint8_t		field[BLOCK + 8];

		unpack_fields(from, count, l->raw_bits, field);
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(field[i], NAME(octaves_of)(token[i], l), l);
	}
	else if (whole)
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(load64(from + i * bytes) & ((UINT64_C(1) << l->raw_bits) - 1),
									NAME(octaves_of)(token[i], l), l);
	else
	{
		for (size_t i = 0; i < count; i++)
			x[i] = NAME(element_of)(bits_take(raw, l->raw_bits), NAME(octaves_of)(token[i], l), l);
		return;
	}
	raw->position += (uint64_t) count * l->raw_bits;
}

static bool
NAME(take_special)(const uint8_t *token, size_t count, const layout *l, bit_reader *raw, ELEMENT *x)
{
	for (size_t i = 0; i < count; i++)
	{
		unsigned	octaves = NAME(octaves_of)(token[i], l);

		x[i] = 0;
		if (token[i] == TOKEN_ZERO)
			continue;
		if (token[i] == TOKEN_ESCAPE)
		{
			octaves = (unsigned) bits_take(raw, l->exponent_bits) << l->lead;
			octaves |= (unsigned) bits_take(raw, l->lead);
		}
		else if (token[i] >> l->lead > l->largest)
			return false;
		x[i] = NAME(element_of)(bits_take(raw, l->raw_bits), octaves, l);
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
	if (most < TOKEN_ESCAPE && most >> l->lead <= l->largest)
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
