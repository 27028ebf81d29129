/*
 * shapes.c: the fixed tables as coders use them, made once a codec.
 */
#include "codec.h"
#include "price.h"

static void
make_slots(const tables *t, rans_slot *slots)
{
	for (unsigned c = 0; c < FAMILY_CONTEXTS; c++)
		rans_decode_table(t->frequency[c], slots + (size_t) c * RANS_SLOTS);
}

sparse_status
shape_slots(sparse_codec *codec, unsigned shape, const rans_slot **slots)
{
	buffer	   *b = &codec->shape_slots[shape];

	if (b->size == 0)
	{
		SPARSE_TRY(buffer_reserve(codec, b, (FAMILY_CONTEXTS * RANS_SLOTS + RANS_SLOT_SLACK) * sizeof(rans_slot)));
		family_load(shape, &codec->tables);
		make_slots(&codec->tables, (rans_slot *) (void *) b->bytes);
	}
	*slots = (const rans_slot *) (const void *) b->bytes;
	return SPARSE_OK;
}

sparse_status
encoder_in(const sparse_codec *codec, buffer *b, rans_encoder *encoder)
{
	const size_t entries = TABLES_CONTEXTS * RANS_SYMBOLS;

	SPARSE_TRY(buffer_reserve(codec, b, entries * (sizeof(rans_symbol) + sizeof(rans_packed))));
	encoder->symbol = (rans_symbol *) (void *) b->bytes;
	encoder->packed = (rans_packed *) (void *) (encoder->symbol + entries);
	encoder->simd = codec->simd;
	return SPARSE_OK;
}

sparse_status
shape_encoder(sparse_codec *codec, unsigned shape, rans_encoder *encoder)
{
	buffer	   *b = &codec->shape_symbols[shape];
	bool		made = b->size > 0;

	SPARSE_TRY(encoder_in(codec, b, encoder));
	if (made)
		return SPARSE_OK;
	family_load(shape, &codec->tables);
	for (unsigned c = 0; c < FAMILY_CONTEXTS; c++)
		rans_encode_table(codec->tables.frequency[c], c, encoder);
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
