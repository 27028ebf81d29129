/*
 * rangecoder.h: an adaptive binary range coder for side information.
 *
 * Describes what is small but irregular (coding tables, class maps): every
 * decision has its own adaptive probability, so nothing but the numbers
 * themselves is transmitted. Some 10 ns a decision, hence not for elements.
 * The carry-propagating 32-bit coder follows G. N. N. Martin, "Range encoding"
 * (1979), with byte-wise renormalisation; probabilities adapt by 1/16.
 */
#ifndef SPARSE_CODEC_RANGECODER_H
#define SPARSE_CODEC_RANGECODER_H

#include "bytes.h"

#define RC_BITS 12				/* precision of a probability */
#define RC_RATE 4				/* an adaptive probability moves by 1/2^RC_RATE */
#define RC_EVEN ((uint16_t) (1 << (RC_BITS - 1)))

typedef uint16_t rc_bit;		/* probability of a zero, in 1/2^RC_BITS */

typedef struct rc_encoder
{
	uint8_t    *at;
	uint8_t    *end;
	uint64_t	low;
	uint32_t	range;
	uint32_t	pending;		/* 0xff bytes held back, behind `cache` */
	uint8_t		cache;
	bool		started;
	bool		overflow;		/* the buffer was too small */
} rc_encoder;

static inline rc_encoder
rc_encode_begin(uint8_t *buffer, size_t size)
{
	return (rc_encoder) {buffer, buffer + size, 0, UINT32_MAX, 0, 0, false, false};
}

static inline void
rc_emit(rc_encoder *e, uint8_t byte)
{
	if (e->at < e->end)
		*e->at++ = byte;
	else
		e->overflow = true;
}

static inline void
rc_shift(rc_encoder *e)
{
	if (e->low < UINT32_C(0xff000000) || e->low > UINT32_MAX)
	{
		uint8_t		carry = (uint8_t) (e->low >> 32);

		if (e->started)
			rc_emit(e, (uint8_t) (e->cache + carry));
		e->started = true;
		for (; e->pending > 0; e->pending--)
			rc_emit(e, (uint8_t) (0xff + carry));
		e->cache = (uint8_t) (e->low >> 24);
	}
	else
		e->pending++;
	e->low = (e->low & 0x00ffffff) << 8;
}

static inline void
rc_encode_bit(rc_encoder *e, rc_bit *p, unsigned bit)
{
	uint32_t	bound = (e->range >> RC_BITS) * *p;

	if (bit)
	{
		e->low += bound;
		e->range -= bound;
		*p -= *p >> RC_RATE;
	}
	else
	{
		e->range = bound;
		*p += ((1 << RC_BITS) - *p) >> RC_RATE;
	}
	while (e->range < (UINT32_C(1) << 24))
	{
		e->range <<= 8;
		rc_shift(e);
	}
}

/* Returns one past the last byte written. */
static inline uint8_t *
rc_encode_end(rc_encoder *e)
{
	for (int i = 0; i < 5; i++)
		rc_shift(e);
	return e->at;
}

typedef struct rc_decoder
{
	cursor		in;
	uint32_t	range;
	uint32_t	code;
} rc_decoder;

static inline rc_decoder
rc_decode_begin(cursor in)
{
	rc_decoder	d = {in, UINT32_MAX, 0};

	for (int i = 0; i < 4; i++)
		d.code = d.code << 8 | cursor_u8(&d.in);
	return d;
}

static inline unsigned
rc_decode_bit(rc_decoder *d, rc_bit *p)
{
	uint32_t	bound = (d->range >> RC_BITS) * *p;
	unsigned	bit = d->code >= bound;

	if (bit)
	{
		d->code -= bound;
		d->range -= bound;
		*p -= *p >> RC_RATE;
	}
	else
	{
		d->range = bound;
		*p += ((1 << RC_BITS) - *p) >> RC_RATE;
	}
	while (d->range < (UINT32_C(1) << 24))
	{
		d->range <<= 8;
		d->code = d->code << 8 | cursor_u8(&d->in);
	}
	return bit;
}

/*
 * Unsigned numbers: unary up to RC_UNARY with a probability for each position,
 * then an Elias-gamma escape at even odds. One rc_number a context.
 */
#define RC_UNARY 20
typedef struct rc_number
{
	rc_bit		more[RC_UNARY];
} rc_number;

static inline void
rc_number_init(rc_number *n)
{
	for (int i = 0; i < RC_UNARY; i++)
		n->more[i] = RC_EVEN;
}

static inline void
rc_encode_number(rc_encoder *e, rc_number *n, uint32_t value)
{
	rc_bit		even = RC_EVEN;
	int			octave;

	for (uint32_t i = 0; i < RC_UNARY; i++)
	{
		rc_encode_bit(e, &n->more[i], value > i);
		if (value <= i)
			return;
	}
	value -= RC_UNARY - 1;		/* at least 1 */
	octave = 31 - __builtin_clz(value);
	for (int i = 0; i < octave; i++, even = RC_EVEN)
		rc_encode_bit(e, &even, 1);
	rc_encode_bit(e, &even, 0);
	for (int i = octave - 1; i >= 0; i--)
	{
		even = RC_EVEN;
		rc_encode_bit(e, &even, value >> i & 1);
	}
}

static inline uint32_t
rc_decode_number(rc_decoder *d, rc_number *n)
{
	rc_bit		even = RC_EVEN;
	uint32_t	value = 1;
	int			octave = 0;

	for (uint32_t i = 0; i < RC_UNARY; i++)
		if (!rc_decode_bit(d, &n->more[i]))
			return i;
	while (octave < 24 && rc_decode_bit(d, &even))
	{
		even = RC_EVEN;
		octave++;
	}
	for (; octave > 0; octave--)
	{
		even = RC_EVEN;
		value = value << 1 | rc_decode_bit(d, &even);
	}
	return value + RC_UNARY - 1;
}

#endif
