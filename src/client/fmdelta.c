/*
 * fmdelta.c: FM-Delta's coder (see fmdelta.h).
 *
 * The model is quasi-static: counts grow by a fixed increment, cumulative
 * frequencies of 16 bits are renewed when that adds up to 2^16, at intervals that
 * double from (symbols / 16) | 2 to 1024 symbols. The range coder avoids carries by
 * cutting its range short where a carry could still come.
 */
#include "fmdelta.h"

#include <stdbool.h>
#include <string.h>

#define MAX_SYMBOLS (2 * 64 + 1)	/* a bit length of either sign, and no difference */
#define MODEL_BITS 16
#define MODEL_INTERVAL 1024
#define SEARCH_BITS 7			/* of a frequency, to begin the search for its symbol at */

typedef struct symbol_model
{
	uint32_t	symbols;
	uint32_t	interval;		/* symbols between two renewals */
	uint32_t	left;			/* symbols until the increment changes or the next renewal */
	uint32_t	more;			/* symbols after that, with an increment larger by 1 */
	uint32_t	increment;
	uint32_t	count[MAX_SYMBOLS];
	uint32_t	below[MAX_SYMBOLS + 1]; /* cumulative frequencies */
	uint32_t	search[(1 << SEARCH_BITS) + 1];
	bool		searches;		/* keep `search` up to date: for a decoder */
} symbol_model;

/* ---- the model ---- */

/* For each leading part of a frequency, the last symbol that begins at or before it. */
static void
build_search(symbol_model *m)
{
	uint32_t	last = 1 << SEARCH_BITS;

	for (uint32_t s = m->symbols; s-- > 0;)
	{
		uint32_t	first = m->below[s] >> (MODEL_BITS - SEARCH_BITS);

		for (uint32_t i = first; i <= last; i++)
			m->search[i] = s;
		last = first;
	}
}

/* Takes the counts over as frequencies and halves them. */
static void
renew(symbol_model *m)
{
	uint32_t	below = 1 << MODEL_BITS;
	uint32_t	missing = 1 << MODEL_BITS;

	if (m->interval != MODEL_INTERVAL)
		m->interval = 2 * m->interval < MODEL_INTERVAL ? 2 * m->interval : MODEL_INTERVAL;
	for (uint32_t s = m->symbols; s-- > 0;)
	{
		below -= m->count[s];
		m->below[s] = below;
		m->count[s] = m->count[s] >> 1 | 1;
		missing -= m->count[s];
	}
	m->increment = missing / m->interval;
	m->more = missing % m->interval;
	m->left = m->interval - m->more;
	if (m->searches)
		build_search(m);
}

static void
model_begin(symbol_model *m, unsigned width, bool searches)
{
	uint32_t	even;
	uint32_t	rest;

	m->symbols = 2 * width + 1;
	m->searches = searches;
	m->interval = m->symbols >> 4 | 2;
	m->below[m->symbols] = 1 << MODEL_BITS;
	even = (1 << MODEL_BITS) / m->symbols;
	rest = (1 << MODEL_BITS) % m->symbols;
	for (uint32_t s = 0; s < m->symbols; s++)
		m->count[s] = even + (s < rest);
	renew(m);
}

static void
model_learn(symbol_model *m, uint32_t symbol)
{
	if (m->left == 0)
	{
		if (m->more > 0)
		{
			m->left = m->more;
			m->more = 0;
			m->increment++;
		}
		else
			renew(m);
	}
	m->left--;
	m->count[symbol] += m->increment;
}

static uint32_t
model_find_symbol(const symbol_model *m, uint32_t frequency)
{
	uint32_t	i = frequency >> (MODEL_BITS - SEARCH_BITS);
	uint32_t	low = m->search[i];
	uint32_t	high = m->search[i + 1] + 1;

	while (low + 1 < high)
	{
		uint32_t	middle = (low + high) / 2;

		if (frequency < m->below[middle])
			high = middle;
		else
			low = middle;
	}
	return low;
}

/* ---- the range coder ---- */

typedef struct encoder
{
	uint32_t	low;
	uint32_t	range;
	uint8_t    *at;
	uint8_t    *end;
	bool		overflow;
} encoder;

typedef struct decoder
{
	uint32_t	low;
	uint32_t	range;
	uint32_t	code;
	const uint8_t *at;
	const uint8_t *end;
} decoder;

static inline void
put(encoder *e, int bytes)
{
	for (; bytes > 0; bytes--)
	{
		if (e->at < e->end)
			*e->at++ = (uint8_t) (e->low >> 24);
		else
			e->overflow = true;
		e->low <<= 8;
	}
}

static inline void
get(decoder *d, int bytes)
{
	for (; bytes > 0; bytes--)
	{
		d->code = d->code << 8 | (d->at < d->end ? *d->at++ : 0);
		d->low <<= 8;
	}
}

/* Narrows the range to [first, first + size) of 2^bits. */
static inline void
encode_range(encoder *e, uint32_t first, uint32_t size, unsigned bits)
{
	e->range >>= bits;
	e->low += e->range * first;
	e->range *= size;
	while (((e->low ^ (e->low + e->range)) >> 24) == 0)
	{
		put(e, 1);
		e->range <<= 8;
	}
	if (e->range >> 16 == 0)
	{
		put(e, 2);
		e->range = -e->low;
	}
}

static inline void
settle(decoder *d, uint32_t first, uint32_t size)
{
	d->low += d->range * first;
	d->range *= size;
	while (((d->low ^ (d->low + d->range)) >> 24) == 0)
	{
		get(d, 1);
		d->range <<= 8;
	}
	if (d->range >> 16 == 0)
	{
		get(d, 2);
		d->range = -d->low;
	}
}

static inline void
encode_symbol(encoder *e, symbol_model *m, uint32_t symbol)
{
	encode_range(e, m->below[symbol], m->below[symbol + 1] - m->below[symbol], MODEL_BITS);
	model_learn(m, symbol);
}

static inline uint32_t
decode_symbol(decoder *d, symbol_model *m)
{
	uint32_t	symbol;

	d->range >>= MODEL_BITS;
	/* Hostile bytes are no concern here, but must not lead out of the table. */
	symbol = model_find_symbol(m, (d->code - d->low) / d->range & ((1 << MODEL_BITS) - 1));
	settle(d, m->below[symbol], m->below[symbol + 1] - m->below[symbol]);
	model_learn(m, symbol);
	return symbol;
}

/* Plain bits, 16 at a time, the lowest first. */
static inline void
encode_bits(encoder *e, uint64_t value, unsigned bits)
{
	for (; bits > 16; bits -= 16, value >>= 16)
		encode_range(e, value & 0xFFFF, 1, 16);
	encode_range(e, (uint32_t) value, 1, bits);
}

static inline uint64_t
decode_part(decoder *d, unsigned bits)
{
	uint32_t	part;

	d->range >>= bits;
	part = (d->code - d->low) / d->range;
	settle(d, part, 1);
	return part;
}

static inline uint64_t
decode_bits(decoder *d, unsigned bits)
{
	uint64_t	value = 0;
	unsigned	done = 0;

	for (; bits - done > 16; done += 16)
		value |= decode_part(d, 16) << done;
	return value | decode_part(d, bits - done) << done;
}

/* ---- elements ---- */

static inline uint64_t
load(const uint8_t *bytes, size_t i, unsigned element_bytes)
{
	uint64_t	x = 0;

	memcpy(&x, bytes + i * element_bytes, element_bytes);
	return x;
}

/* A float's bits as the integer that orders it; the mask has all of its bits. */
static inline uint64_t
order(uint64_t x, uint64_t sign, uint64_t mask)
{
	return x & sign ? ~x & mask : x | sign;
}

static inline uint64_t
disorder(uint64_t x, uint64_t sign, uint64_t mask)
{
	return x & sign ? x & ~sign : ~x & mask;
}

static inline __attribute__((always_inline)) void
encode_elements(encoder *e, symbol_model *m, const uint8_t *content, const uint8_t *prediction,
				size_t count, unsigned element_bytes)
{
	unsigned	width = 8 * element_bytes;
	uint64_t	sign = UINT64_C(1) << (width - 1);
	uint64_t	mask = sign | (sign - 1);

	model_begin(m, width, false);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t	from = order(load(prediction, i, element_bytes), sign, mask);
		uint64_t	to = order(load(content, i, element_bytes), sign, mask);
		uint64_t	change = to > from ? to - from : from - to;
		unsigned	below;

		if (change == 0)
		{
			encode_symbol(e, m, width);
			continue;
		}
		below = 63 - (unsigned) __builtin_clzll(change);
		encode_symbol(e, m, to > from ? width + 1 + below : width - 1 - below);
		encode_bits(e, change - (UINT64_C(1) << below), below);
	}
}

static inline __attribute__((always_inline)) void
decode_elements(decoder *d, symbol_model *m, const uint8_t *prediction, uint8_t *content,
				size_t count, unsigned element_bytes)
{
	unsigned	width = 8 * element_bytes;
	uint64_t	sign = UINT64_C(1) << (width - 1);
	uint64_t	mask = sign | (sign - 1);

	model_begin(m, width, true);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t	x = order(load(prediction, i, element_bytes), sign, mask);
		uint32_t	symbol = decode_symbol(d, m);

		if (symbol != width)
		{
			bool		up = symbol > width;
			unsigned	below = up ? symbol - width - 1 : width - 1 - symbol;
			uint64_t	change = (UINT64_C(1) << below) + decode_bits(d, below);

			x = up ? x + change : x - change;
		}
		x = disorder(x & mask, sign, mask);
		memcpy(content + i * element_bytes, &x, element_bytes);
	}
}

size_t
fmdelta_encode(const uint8_t *content, const uint8_t *prediction, size_t count,
			   unsigned element_bytes, uint8_t *out, size_t room)
{
	encoder		e = {.range = UINT32_MAX, .at = out, .end = out + room};
	symbol_model m;

	if (element_bytes == 2)
		encode_elements(&e, &m, content, prediction, count, 2);
	else if (element_bytes == 4)
		encode_elements(&e, &m, content, prediction, count, 4);
	else
		encode_elements(&e, &m, content, prediction, count, 8);
	put(&e, 4);
	return e.overflow ? 0 : (size_t) (e.at - out);
}

void
fmdelta_decode(const uint8_t *in, size_t bytes, const uint8_t *prediction,
			   uint8_t *content, size_t count, unsigned element_bytes)
{
	decoder		d = {.range = UINT32_MAX, .at = in, .end = in + bytes};
	symbol_model m;

	get(&d, 4);
	if (element_bytes == 2)
		decode_elements(&d, &m, prediction, content, count, 2);
	else if (element_bytes == 4)
		decode_elements(&d, &m, prediction, content, count, 4);
	else
		decode_elements(&d, &m, prediction, content, count, 8);
}
