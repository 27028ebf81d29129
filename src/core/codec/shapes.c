/*
 * shapes.c: the fixed tables as coders use them, made once a codec.
 */
#include "codec.h"
#include "fraction.h"
#include "price.h"

/* The frequencies of a fixed table, whose shape the codec's tables hold; in `own` where they are none of these. */
static const uint16_t *
frequencies_of(const sparse_codec *codec, unsigned which, unsigned table, uint16_t *own)
{
	if (which < WITH_FRACTION)
		return codec->tables.frequency[table];
	if (table >= FRACTION_TABLES)
		return codec->tables.frequency[table - FRACTION_TABLES + FRACTION_CONTEXTS];
	fraction_frequencies(table, own);
	return own;
}

/* Where a codec keeps them. */
static unsigned
place_of(unsigned which)
{
	return which < WITH_FRACTION ? which : FAMILY_SHAPES + which - WITH_FRACTION;
}

static unsigned
count_of(unsigned which)
{
	return which < WITH_FRACTION ? FAMILY_CONTEXTS : FRACTION_ALL_TABLES;
}

sparse_status
shape_slots(sparse_codec *codec, unsigned which, const rans_slot **slots)
{
	buffer	   *b = &codec->shape_slots[place_of(which)];

	if (b->size == 0)
	{
		uint16_t	own[RANS_SYMBOLS];

		SPARSE_TRY(buffer_reserve(codec, b, ((size_t) count_of(which) * RANS_SLOTS + RANS_SLOT_SLACK) * sizeof(rans_slot)));
		family_load(which % WITH_FRACTION, &codec->tables);
		for (unsigned t = 0; t < count_of(which); t++)
			rans_decode_table(frequencies_of(codec, which, t, own), (rans_slot *) (void *) b->bytes + (size_t) t * RANS_SLOTS);
	}
	*slots = (const rans_slot *) (const void *) b->bytes;
	return SPARSE_OK;
}

sparse_status
encoder_in(const sparse_codec *codec, buffer *b, unsigned contexts, rans_encoder *encoder)
{
	const size_t entries = (size_t) contexts * RANS_SYMBOLS;

	SPARSE_TRY(buffer_reserve(codec, b, entries * (sizeof(rans_symbol) + sizeof(rans_packed))));
	encoder->symbol = (rans_symbol *) (void *) b->bytes;
	encoder->packed = (rans_packed *) (void *) (encoder->symbol + entries);
	encoder->simd = codec->simd;
	return SPARSE_OK;
}

sparse_status
shape_encoder(sparse_codec *codec, unsigned which, rans_encoder *encoder)
{
	buffer	   *b = &codec->shape_symbols[place_of(which)];
	uint16_t	own[RANS_SYMBOLS];
	bool		made = b->size > 0;

	SPARSE_TRY(encoder_in(codec, b, count_of(which), encoder));
	if (made)
		return SPARSE_OK;
	family_load(which % WITH_FRACTION, &codec->tables);
	for (unsigned t = 0; t < count_of(which); t++)
		rans_encode_table(frequencies_of(codec, which, t, own), t, encoder);
	return SPARSE_OK;
}

/* The largest token of each context; all below it have a place in its table, too. */
static void
find_most_tokens(const tables *t, uint8_t *most)
{
	for (unsigned c = 0; c < FAMILY_CONTEXTS; c++)
	{
		most[c] = 0;
		for (unsigned token = 1; token < FAMILY_ESCAPE && t->frequency[c][token]; token++)
			most[c] = (uint8_t) token;
	}
}

sparse_status
shape_prices(sparse_codec *codec, unsigned shape, const uint16_t **price)
{
	buffer	   *b = &codec->shape_prices[shape];

	if (b->size == 0)
	{
		SPARSE_TRY(buffer_reserve(codec, b, PRICE_ENTRIES * sizeof(uint16_t)));
		family_load(shape, &codec->tables);
		find_most_tokens(&codec->tables, codec->most_token[shape]);
		price_tokens(&codec->tables, (uint16_t *) (void *) b->bytes);
	}
	*price = (const uint16_t *) (const void *) b->bytes;
	return SPARSE_OK;
}
