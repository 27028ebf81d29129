/*
 * rans.c: the entropy coder, portable.
 */
#include "rans.h"

/*
 * A state x is below frequency << 21 when it is divided, and frequency below
 * 2^11: so 43 bits of reciprocal make x * reciprocal >> 43 the exact quotient,
 * and the product stays below 2^64.
 */
#define RECIPROCAL_BITS (32 + RANS_BITS)

void
rans_encode_table(const uint16_t *frequency, unsigned table, const rans_encoder *encoder)
{
	rans_symbol *symbol = encoder->symbol + table * RANS_SYMBOLS;
	rans_packed *packed = encoder->packed + table * RANS_SYMBOLS;
	uint32_t	start = 0;

	for (int i = 0; i < RANS_SYMBOLS; i++)
	{
		uint32_t	f = frequency[i];

		symbol[i].reciprocal = f ? ((UINT64_C(1) << RECIPROCAL_BITS) + f - 1) / f : 0;
		symbol[i].limit = f << (32 - RANS_BITS);
		symbol[i].start = (uint16_t) start;
		symbol[i].frequency = (uint16_t) f;
		packed[i] = f | start << 16;
		start += f;
	}
}

void
rans_decode_table(const uint16_t *frequency, rans_slot *slot)
{
	for (uint32_t i = 0; i < RANS_SYMBOLS; i++)
	{
		const uint32_t f = frequency[i];

		/* eight at a time, which a vector unit does at once; the next symbol overwrites what is too much */
		for (uint32_t within = 0; within < f; within += 8)
			for (uint32_t k = 0; k < 8; k++)
				slot[within + k] = i | f << 8 | (within + k) << 20;
		slot += f;
	}
}

size_t
rans_bound(size_t count, unsigned lanes)
{
	return 4 * (size_t) lanes + 2 * count;
}

/*
 * Takes a symbol in, giving off at most one word, backwards. Whether it does is a
 * coin toss: written in any case, kept by arithmetic.
 */
static inline __attribute__((always_inline)) uint32_t
encode_one(uint32_t x, const rans_symbol *s, uint8_t **word)
{
	uint32_t	full = 0 - (uint32_t) (x >= s->limit);
	uint32_t	quotient;

	store16(*word - 2, (uint16_t) x);
	*word -= full & 2;
	x >>= full & 16;
	quotient = (uint32_t) (x * s->reciprocal >> RECIPROCAL_BITS);
	return x + s->start + quotient * (RANS_SLOTS - s->frequency);
}

/* Symbols 0 to `count`, a multiple of the lanes, from the last to the first. Inlined: lanes is a constant. */
static inline __attribute__((always_inline)) uint8_t *
encode_steps(uint32_t *restrict state, const unsigned lanes, const uint8_t *restrict symbol,
			 const uint8_t *restrict table, size_t count, const rans_symbol *restrict symbols, uint8_t *word)
{
	while (count > 0)
	{
		count -= lanes;
		for (unsigned lane = lanes; lane-- > 0;)
			state[lane] = encode_one(state[lane],
									 &symbols[(size_t) table[count + lane] * RANS_SYMBOLS + symbol[count + lane]],
									 &word);
	}
	return word;
}

/* Words grow downwards from the end; the states' place, still free, takes the stores in vain below the lowest. */
size_t
rans_encode(const rans_encoder *encoder, const uint8_t *symbol, const uint8_t *table,
			size_t count, unsigned lanes, uint8_t *out)
{
	const rans_symbol *symbols = encoder->symbol;
	uint32_t	state[RANS_MAX_LANES];
	uint8_t    *end = out + rans_bound(count, lanes);
	uint8_t    *word = end;
	size_t		whole = count - count % lanes;

	for (unsigned lane = 0; lane < lanes; lane++)
		state[lane] = RANS_LOW;
	for (size_t i = count; i-- > whole;)
		state[i % lanes] = encode_one(state[i % lanes],
									  &symbols[(size_t) table[i] * RANS_SYMBOLS + symbol[i]], &word);
	if (lanes != RANS_MAX_LANES)
		word = encode_steps(state, lanes, symbol, table, whole, symbols, word);
#ifdef SPARSE_HAVE_AVX2
	else if (encoder->simd >= SPARSE_SIMD_AVX512)
		word = rans_encode_steps_avx512(state, encoder->packed, symbol, table, whole, word);
	else if (encoder->simd >= SPARSE_SIMD_AVX2)
		word = rans_encode_steps_avx2(state, encoder->packed, symbol, table, whole, word);
#endif
	else
		word = encode_steps(state, RANS_MAX_LANES, symbol, table, whole, symbols, word);
	for (unsigned lane = 0; lane < lanes; lane++)
		store32(out + 4 * lane, state[lane]);
	memmove(out + 4 * lanes, word, (size_t) (end - word));
	return 4 * (size_t) lanes + (size_t) (end - word);
}

sparse_status
rans_decode_begin(rans_decoder *decoder, cursor stream, unsigned lanes, sparse_simd simd)
{
	for (unsigned lane = 0; lane < lanes; lane++)
		decoder->state[lane] = cursor_u32(&stream);
	if (!cursor_ok(&stream))
		return SPARSE_TRUNCATED;
	for (unsigned lane = 0; lane < lanes; lane++)
		SPARSE_CHECK(decoder->state[lane] >= RANS_LOW);
	SPARSE_CHECK(cursor_left(&stream) % 2 == 0);
	decoder->word = stream.at;
	decoder->end = stream.end;
	decoder->lanes = lanes;
	decoder->simd = simd;
	decoder->failed = false;
	decoder->ahead[0] = decoder->ahead[1] = stream.at;
	decoder->ahead_step = 0;
	return SPARSE_OK;
}

static inline uint32_t
decode_one(uint32_t x, rans_slot slot)
{
	return (slot >> 8 & (RANS_SLOTS - 1)) * (x >> RANS_BITS) + (slot >> 20);
}

/* `steps` steps of all the lanes, where no step can run out of words. Inlined, so that lanes is a constant. */
static inline __attribute__((always_inline)) void
decode_steps(rans_decoder *decoder, const unsigned lanes, const rans_slot *restrict slots,
			 const uint8_t *restrict table, size_t steps, uint8_t *restrict symbol)
{
	const uint8_t *word = decoder->word;
	uint32_t	state[RANS_MAX_LANES];

	memcpy(state, decoder->state, sizeof(state));

	for (; steps > 0; steps--, table += lanes, symbol += lanes)
		for (unsigned lane = 0; lane < lanes; lane++)
		{
			uint32_t	x = state[lane];
			rans_slot	slot = slots[(size_t) table[lane] << RANS_BITS | (x & (RANS_SLOTS - 1))];
			uint32_t	empty;

			symbol[lane] = (uint8_t) slot;
			x = decode_one(x, slot);
			empty = 0 - (uint32_t) (x < RANS_LOW);	/* arithmetic: a branch would be a coin toss */
			state[lane] = x << (empty & 16) | (load16(word) & empty);
			word += empty & 2;
		}
	decoder->word = word;
	memcpy(decoder->state, state, sizeof(state));
}

/* Symbol by symbol, watching the end of the stream. */
static void
decode_carefully(rans_decoder *decoder, const rans_slot *slots,
				 const uint8_t *table, size_t count, uint8_t *symbol)
{
	for (size_t i = 0; i < count; i++)
	{
		uint32_t   *state = &decoder->state[i % decoder->lanes];
		rans_slot	slot = slots[(size_t) table[i] << RANS_BITS | (*state & (RANS_SLOTS - 1))];

		symbol[i] = (uint8_t) slot;
		*state = decode_one(*state, slot);
		if (*state < RANS_LOW)
		{
			if (decoder->word == decoder->end)
			{
				decoder->failed = true;
				*state |= RANS_LOW;
				continue;
			}
			*state = *state << 16 | load16(decoder->word);
			decoder->word += 2;
		}
	}
}

/* As many steps as the stream has words for, whatever the symbols. */
static void
decode_full_steps(rans_decoder *decoder, const rans_slot *slots,
				  const uint8_t *table, size_t steps, uint8_t *symbol)
{
	if (decoder->lanes != RANS_MAX_LANES)
		decode_steps(decoder, decoder->lanes, slots, table, steps, symbol);
#ifdef SPARSE_HAVE_AVX2
	else if (decoder->simd >= SPARSE_SIMD_AVX512)
		rans_decode_steps_avx512(decoder, slots, table, steps, symbol);
	else if (decoder->simd >= SPARSE_SIMD_AVX2)
		rans_decode_steps_avx2(decoder, slots, table, steps, symbol);
#endif
	else
		decode_steps(decoder, RANS_MAX_LANES, slots, table, steps, symbol);
}

void
rans_decode(rans_decoder *decoder, const rans_slot *slots,
			const uint8_t *table, size_t count, uint8_t *symbol)
{
	const size_t lanes = decoder->lanes;

	while (count >= lanes)
	{
		size_t		left = (size_t) (decoder->end - decoder->word);
		size_t		safe = left < RANS_WORD_SLACK ? 0 : (left - RANS_WORD_SLACK) / (2 * lanes);
		size_t		steps = count / lanes < safe ? count / lanes : safe;

		if (steps == 0)
			break;
		decode_full_steps(decoder, slots, table, steps, symbol);
		table += steps * lanes;
		symbol += steps * lanes;
		count -= steps * lanes;
	}
	decode_carefully(decoder, slots, table, count, symbol);
}

bool
rans_decode_done(const rans_decoder *decoder)
{
	bool		done = !decoder->failed && decoder->word == decoder->end;

	for (unsigned lane = 0; lane < decoder->lanes; lane++)
		done &= decoder->state[lane] == RANS_LOW;
	return done;
}
