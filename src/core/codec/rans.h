/*
 * rans.h: static range asymmetric numeral systems over bytes, many lanes at once.
 *
 * Symbol i belongs to lane i mod lanes; each lane is a coder of its own with a
 * 32-bit state, renormalised by 16-bit words that all lanes take from one
 * stream, in the order in which a decoder needs them. So a vector unit decodes
 * 64 symbols a step: gathers from the tables, multiplications, and the words that
 * ran out are expanded from the stream. (Fewer lanes leave it waiting for gathers.) Every symbol has a context,
 * the number of the table that codes it, known to the decoder beforehand.
 *
 * J. Duda, "Asymmetric numeral systems" (2013); F. Giesen, "Interleaved entropy
 * coders" (2014).
 *
 * The stream: lanes x u32 states, then u16 words.
 */
#ifndef SPARSE_CODEC_RANS_H
#define SPARSE_CODEC_RANS_H

#include "bytes.h"
#include "simd.h"
#include "status.h"

#define RANS_BITS 11			/* precision of a probability: 12 gain 0.1%, and take tables of twice the size */
#define RANS_SLOTS (1 << RANS_BITS)
#define RANS_LOW (UINT32_C(1) << 16)	/* smallest normalised state */
#define RANS_MAX_LANES 64
#define RANS_SYMBOLS 256

/* What a decoder needs for a slot: symbol, frequency << 8, slot - start << 20. */
typedef uint32_t rans_slot;

/* What an encoder needs for a symbol: division by its frequency as a multiplication. */
typedef struct rans_symbol
{
	uint64_t	reciprocal;		/* ceil(2^43 / frequency) */
	uint32_t	limit;			/* a state from here on gives off a word first */
	uint16_t	start;			/* sum of the frequencies of lower symbols */
	uint16_t	frequency;
} rans_symbol;

/* The same in four bytes, for vectors, which divide: frequency, start << 16. */
typedef uint32_t rans_packed;

#define RANS_WORD_SLACK 32		/* bytes that a vector's words may reach beyond those it takes or gives */

/* The encoding tables of a stream, RANS_SYMBOLS entries a table. */
typedef struct rans_encoder
{
	rans_symbol *symbol;
	rans_packed *packed;
	sparse_simd simd;
} rans_encoder;

/*
 * frequency[RANS_SYMBOLS] must add up to RANS_SLOTS and be below RANS_SLOTS each.
 */
extern void rans_encode_table(const uint16_t *frequency, unsigned table, const rans_encoder *encoder);

/* Writes RANS_SLOTS slots, and up to RANS_SLOT_SLACK more that mean nothing. */
#define RANS_SLOT_SLACK 8
extern void rans_decode_table(const uint16_t *frequency, rans_slot *slot);

/* Bytes that `count` symbols in `lanes` lanes can take at the most. */
extern size_t rans_bound(size_t count, unsigned lanes);

/*
 * Encodes `count` symbols; symbol i uses table[i] of the encoder. `out` has
 * rans_bound bytes; returns the bytes written, at the start of `out`.
 */
extern size_t rans_encode(const rans_encoder *encoder, const uint8_t *symbol, const uint8_t *table,
						  size_t count, unsigned lanes, uint8_t *out);

/*
 * The vector path: `count` symbols, a multiple of RANS_MAX_LANES, from the last to
 * the first, words downwards from `word`, below which RANS_WORD_SLACK bytes may be
 * overwritten in vain. Returns the lowest word (rans_avx2.c, rans_avx512.c).
 */
extern uint8_t *rans_encode_steps_avx2(uint32_t *state, const rans_packed *packed, const uint8_t *symbol,
									   const uint8_t *table, size_t count, uint8_t *word);
extern uint8_t *rans_encode_steps_avx512(uint32_t *state, const rans_packed *packed, const uint8_t *symbol,
										 const uint8_t *table, size_t count, uint8_t *word);

/* A decoder in the middle of its stream. */
typedef struct rans_decoder
{
	uint32_t	state[RANS_MAX_LANES];
	const uint8_t *word;		/* the next one */
	const uint8_t *end;
	unsigned	lanes;
	sparse_simd simd;
	bool		failed;			/* ran out of words */
	const uint8_t *ahead[2];	/* see rans_decode_ahead */
	size_t		ahead_step;
} rans_decoder;

/*
 * Memory that the caller will want soon, brought into the cache a little with every
 * step of the vector paths, which wait for their gathers: RANS_AHEAD bytes of each of two places
 * for RANS_MAX_LANES symbols. (All at once would have the gathers wait for it.) Addresses need not be valid.
 */
#define RANS_AHEAD 128
static inline void
rans_decode_ahead(rans_decoder *decoder, const void *first, const void *second)
{
	decoder->ahead[0] = first;
	decoder->ahead[1] = second;
	decoder->ahead_step = RANS_AHEAD;
}

static inline void
rans_touch_ahead(const rans_decoder *decoder, size_t step)
{
	for (int i = 0; i < 2; i++)
		for (size_t at = 0; at < RANS_AHEAD; at += 64)
			__builtin_prefetch((const void *) ((uintptr_t) decoder->ahead[i] + step * decoder->ahead_step + at));
}

/* lanes: 1 to RANS_MAX_LANES. */
extern sparse_status rans_decode_begin(rans_decoder *decoder, cursor stream, unsigned lanes,
									   sparse_simd simd);

/*
 * Decodes the next `count` symbols; all calls but the last take a multiple of
 * the lanes. Symbol i uses the slots at slots[table[i] * RANS_SLOTS].
 */
extern void rans_decode(rans_decoder *decoder, const rans_slot *slots,
						const uint8_t *table, size_t count, uint8_t *symbol);

/*
 * The vector paths of rans_decode: `steps` steps of RANS_MAX_LANES lanes, with at
 * least RANS_WORD_SLACK bytes more in the stream than the steps can take.
 */
extern void rans_decode_steps_avx2(rans_decoder *decoder, const rans_slot *slots,
								   const uint8_t *table, size_t steps, uint8_t *symbol);
extern void rans_decode_steps_avx512(rans_decoder *decoder, const rans_slot *slots,
									 const uint8_t *table, size_t steps, uint8_t *symbol);

/* True when the stream ended exactly as its encoder had begun it. */
extern bool rans_decode_done(const rans_decoder *decoder);

#endif
