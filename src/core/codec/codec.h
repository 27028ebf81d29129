/*
 * codec.h: what the coders share: the codec's scratch memory and their interface.
 *
 * Private to src/codec. A coder appends its payload to the codec's output
 * buffer, or decodes one; delta.c puts the header around it. Scratch grows to
 * what the largest chunk so far needed and is kept from call to call.
 */
#ifndef SPARSE_CODEC_CODEC_H
#define SPARSE_CODEC_CODEC_H

#include <zstd.h>
#include <zstd_errors.h>

#include "bytes.h"
#include "delta.h"
#include "family.h"
#include "fields.h"

#define BLOCK 128				/* elements that share a scale */

#define MOST_TOKEN_ROOM 128

#define FIXED_TABLES (2 * FAMILY_SHAPES)	/* a shape's alone, and with those by fraction (WITH_FRACTION) */

/* A reusable block of memory. */
typedef struct buffer
{
	uint8_t    *bytes;
	size_t		size;
} buffer;

struct sparse_codec
{
	sparse_allocator allocator;
	sparse_simd simd;
	int			zstd_level;		/* 0: what delta.c holds for fitting */
	ZSTD_CCtx  *compressor;
	ZSTD_DCtx  *decompressor;
	buffer		payload;		/* the best delta so far */
	buffer		other;			/* a candidate that may replace it */
	buffer		raw;			/* raw bits */
	buffer		token;			/* a byte an element */
	buffer		table;			/* a byte an element: its context, then its table */
	buffer		scale;			/* a byte a block */
	buffer		predicted;		/* what a formula predicts; or the fields of a parent */
	buffer		fraction;		/* a byte an element: how far that was from what it was rounded to (fraction.h) */
	buffer		mirrored;		/* content, as it is coded by its fraction */
	buffer		planes;			/* fields of blocks (fields_code.c) */
	buffer		wide;			/* planes, scratch of the stream, of a formula */
	buffer		slots;			/* decoding tables that a chunk describes */
	buffer		symbols;		/* encoding tables that a chunk describes: rans_symbol, then rans_packed */
	tables		tables;
	tables_histogram histogram;
	tables_histogram odd;		/* the histogram of every other element, while counting */
	/* of the fixed tables, made when first needed (shapes.c) */
	buffer		shape_slots[FIXED_TABLES];
	buffer		shape_symbols[FIXED_TABLES];
	buffer		shape_prices[FAMILY_SHAPES];
	uint8_t		most_token[FAMILY_SHAPES][MOST_TOKEN_ROOM];	/* of each context; and room for vectors */
};

/* Makes room for `size` bytes; what the buffer held is lost. */
extern sparse_status buffer_reserve(const sparse_codec *codec, buffer *b, size_t size);

/* Where a coder writes its payload: at most the room it was given. */
typedef struct output
{
	uint8_t    *at;
	uint8_t    *end;
	bool		full;			/* more was written than fits: the coder lost to raw */
} output;

static inline void
output_put(output *o, const void *bytes, size_t length)
{
	if (o->full || (size_t) (o->end - o->at) < length)
	{
		o->full = true;
		return;
	}
	if (length > 0)
		memcpy(o->at, bytes, length);
	o->at += length;
}

static inline void
output_section(output *o, const void *bytes, size_t length)
{
	uint8_t		prefix[4];

	store32(prefix, (uint32_t) length);
	output_put(o, prefix, sizeof(prefix));
	output_put(o, bytes, length);
}

/* The fixed tables of a shape as a decoder, an encoder and a chooser of scales want them (shapes.c). */
extern sparse_status shape_slots(sparse_codec *codec, unsigned shape, const rans_slot **slots);
extern sparse_status shape_encoder(sparse_codec *codec, unsigned shape, rans_encoder *encoder);
extern sparse_status shape_prices(sparse_codec *codec, unsigned shape, const uint16_t **price);

/* Encoding tables of `contexts` contexts, in a buffer. */
extern sparse_status encoder_in(const sparse_codec *codec, buffer *b, unsigned contexts, rans_encoder *encoder);

/* Which tables code the tokens of a stream: a shape of the family, or some that the chunk describes. */
#define TABLES_DESCRIBED FAMILY_SHAPES

/* Added to a shape: its tables follow those by fraction (fraction.h), whose numbers contexts then are. */
#define WITH_FRACTION (TABLES_DESCRIBED + 1)

/*
 * Block scales, and the tokens of an element stream: shared by the residual,
 * float and palette coders (stream.c). Scales, tokens and their contexts lie in the codec; `tokens`
 * counts the elements of blocks whose scale is not 0. Described tables are made
 * for the first `contexts` contexts of the codec's histogram.
 */
extern sparse_status token_stream_write(sparse_codec *codec, output *out, size_t blocks, size_t tokens,
										unsigned which, unsigned contexts);

typedef struct token_stream
{
	rans_decoder decoder;
	const rans_slot *slots;		/* of the tokens */
	const uint8_t *of_context;	/* context to table; NULL: they are the same */
	const uint8_t *scale;		/* of each block */
} token_stream;

/*
 * Reads scales and tables of a stream over `elements` elements from a payload's
 * remaining sections, of which nothing may be left over.
 */
extern sparse_status token_stream_open(sparse_codec *codec, cursor *in, size_t elements,
									   unsigned which, unsigned contexts, token_stream *s);

/*
 * The residual coder: content against a prediction of the same dtype and count
 * (or NULL: zeros). Elements are `dtype`'s. flat: the expected change is counted in units in the last place,
 * whatever the prediction's exponent. fraction: of the prediction, which then is a second context; or NULL.
 */
extern sparse_status residual_encode(sparse_codec *codec, const void *content, const void *prediction,
									 const uint8_t *fraction, size_t elements, sparse_dtype dtype, bool flat, output *out);
extern sparse_status residual_decode(sparse_codec *codec, cursor payload, const void *prediction,
									 const uint8_t *fraction, size_t elements, sparse_dtype dtype, void *content);

/* The coder for floats that nothing predicts. */
extern sparse_status floats_encode(sparse_codec *codec, const void *content,
								   size_t elements, sparse_dtype dtype, output *out);
extern sparse_status floats_decode(sparse_codec *codec, cursor payload,
								   size_t elements, sparse_dtype dtype, void *content);

/* The coder for content of few distinct values (palette.c); elements of more than a byte. */
extern sparse_status palette_encode(sparse_codec *codec, const void *content,
									size_t elements, sparse_dtype dtype, output *out);
extern sparse_status palette_decode(sparse_codec *codec, cursor payload,
									size_t elements, sparse_dtype dtype, void *content);

/* The coder for content that is its prediction with some elements zeroed (mask.c); floats. */
extern sparse_status mask_encode(sparse_codec *codec, const void *content, const void *prediction,
								 size_t elements, sparse_dtype dtype, output *out);
extern sparse_status mask_decode(sparse_codec *codec, cursor payload, const void *prediction,
								 size_t elements, sparse_dtype dtype, void *content);

/*
 * The coder for ggml's quantised blocks (fields_code.c): content of whole blocks, at most FIELDS_MOST_CONTENT, against a
 * prediction as long (or NULL).
 */
#define FIELDS_MOST_CONTENT (SPARSE_MAX_CONTENT / 4)	/* taken apart, two bits are a byte */

extern sparse_status fields_encode(sparse_codec *codec, const block_structure *s, const void *content, const void *prediction,
								   size_t bytes, output *out);
extern sparse_status fields_decode(sparse_codec *codec, cursor payload, const void *prediction, void *content, size_t bytes);

/* zstd over bytes with an optional prefix, and over byte planes (general.c). */
extern sparse_status zstd_encode(sparse_codec *codec, const void *content, size_t bytes,
								 const void *prefix, size_t prefix_bytes, int level, output *out);
extern sparse_status zstd_decode(sparse_codec *codec, cursor payload, const void *prefix, size_t prefix_bytes,
								 void *content, size_t bytes);
extern sparse_status planes_encode(sparse_codec *codec, const void *content, size_t bytes,
								   unsigned element_bytes, output *out);
extern sparse_status planes_decode(sparse_codec *codec, cursor payload, void *content, size_t bytes,
								   unsigned element_bytes);

/* log2 in half octaves, rounded down; value above 0. */
static inline int
half_octaves(uint64_t value)
{
	int			octave = 63 - __builtin_clzll(value);

	return 2 * octave + (value << (63 - octave) >= UINT64_C(0xB504F333F9DE6485));
}

#endif
