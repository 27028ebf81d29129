/*
 * bits.h: a stream of bit fields, least significant bit first.
 *
 * Fields are addressed by bit position rather than consumed from a buffer, so
 * that a vector path can read many at once: their positions are a prefix sum of
 * their widths. A field has at most 57 bits, so one unaligned 64-bit load holds it;
 * a writer may touch 8 bytes past the last bit.
 */
#ifndef SPARSE_CODEC_BITS_H
#define SPARSE_CODEC_BITS_H

#include "bytes.h"

typedef struct bit_writer
{
	uint8_t    *bytes;			/* 8 more than the bits need */
	uint64_t	position;		/* in bits */
} bit_writer;

/* value must be below 2^width; width at most 57. */
static inline void
bits_put(bit_writer *w, uint64_t value, unsigned width)
{
	uint8_t    *at = w->bytes + (w->position >> 3);
	unsigned	shift = w->position & 7;
	uint64_t	kept = *at & ((1u << shift) - 1);

	store64(at, kept | value << shift);
	w->position += width;
}

/* A writer that keeps its last, unfinished byte in a register: for many fields, of at most 56 bits. */
typedef struct fast_writer
{
	uint8_t    *at;
	uint64_t	bits;			/* fewer than 8, which belong to *at */
	unsigned	filled;
} fast_writer;

static inline fast_writer
fast_begin(const bit_writer *w)
{
	uint8_t    *at = w->bytes + (w->position >> 3);
	unsigned	filled = w->position & 7;

	return (fast_writer) {at, *at & ((1u << filled) - 1), filled};
}

static inline void
fast_put(fast_writer *w, uint64_t value, unsigned width)
{
	unsigned	whole;

	w->bits |= value << w->filled;
	w->filled += width;
	store64(w->at, w->bits);
	whole = w->filled >> 3;
	w->at += whole;
	w->bits >>= 8 * whole;
	w->filled &= 7;
}

static inline void
fast_end(const fast_writer *f, bit_writer *w)
{
	w->position = (uint64_t) (f->at - w->bytes) * 8 + f->filled;
}

static inline size_t
bits_written(const bit_writer *w)
{
	return (size_t) ((w->position + 7) >> 3);
}

/* Reads where 8 bytes from the field's first byte on can be loaded. */
static inline uint64_t
bits_get_fast(const uint8_t *bytes, uint64_t position, unsigned width)
{
	return load64(bytes + (position >> 3)) >> (position & 7) & ((UINT64_C(1) << width) - 1);
}

/* Reads from a stream of `length` bytes; what lies past its end is zero. */
static inline uint64_t
bits_get(const uint8_t *bytes, size_t length, uint64_t position, unsigned width)
{
	uint8_t		window[8] = {0};
	uint64_t	first = position >> 3;

	if (first < length)
		memcpy(window, bytes + first, length - first < 8 ? (size_t) (length - first) : 8);
	return load64(window) >> (position & 7) & ((UINT64_C(1) << width) - 1);
}

/* A stream that is read from front to back. */
typedef struct bit_reader
{
	const uint8_t *bytes;
	size_t		length;			/* in bytes */
	uint64_t	position;		/* in bits */
} bit_reader;

/* The next field, of at most 57 bits. Past the end it is zero: see bits_ok. */
static inline uint64_t
bits_take(bit_reader *r, unsigned width)
{
	uint64_t	value;

	if ((r->position >> 3) + 8 <= r->length)
		value = bits_get_fast(r->bytes, r->position, width);
	else
		value = bits_get(r->bytes, r->length, r->position, width);
	r->position += width;
	return value;
}

/* Whether nothing was taken past the end. */
static inline bool
bits_ok(const bit_reader *r)
{
	return r->position <= 8 * (uint64_t) r->length;
}

/* Whether `bits` more bits can be taken by bits_get_fast. */
static inline bool
bits_ahead(const bit_reader *r, uint64_t bits)
{
	return ((r->position + bits) >> 3) + 8 <= r->length;
}

/* Whether the stream ends with the byte that the last bit taken is in, and what is left of it is zero. */
static inline bool
bits_done(const bit_reader *r)
{
	return (r->position + 7) / 8 == r->length
		&& (r->position % 8 == 0 || r->bytes[r->length - 1] >> (r->position % 8) == 0);
}

#endif
