/*
 * stream.c: block scales and element tokens, as a payload carries them.
 *
 *      section model:  range coder: table of the scales, and of the tokens where these are described
 *      section scales: rANS, one symbol a block
 *      section tokens: rANS, one symbol an element of every block with a scale
 *
 * A block's scale is 0 (nothing in it is coded) or 1 to 255. Its symbol is 0, or
 * 1 + the folded difference, modulo 255, to the last scale that was not 0.
 */
#include "codec.h"

/* Part of the format: how many lanes a stream of `count` symbols has. */
static unsigned
lanes_for(size_t count)
{
	return count >= 16384 ? RANS_MAX_LANES : count >= 512 ? 4 : 1;
}

static unsigned
fold(int difference)
{
	return difference < 0 ? (unsigned) (-2 * difference - 1) : (unsigned) (2 * difference);
}

static int
unfold(unsigned folded)
{
	return folded & 1 ? -(int) (folded / 2) - 1 : (int) (folded / 2);
}

static void
scales_to_symbols(const uint8_t *scale, size_t blocks, uint8_t *symbol)
{
	int			last = 1;

	for (size_t b = 0; b < blocks; b++)
	{
		int			difference = scale[b] - last;

		symbol[b] = 0;
		if (scale[b] == 0)
			continue;
		if (difference > 127)
			difference -= 255;
		else if (difference < -127)
			difference += 255;
		symbol[b] = (uint8_t) (1 + fold(difference));
		last = scale[b];
	}
}

/* In place. */
static void
symbols_to_scales(uint8_t *scale, size_t blocks)
{
	int			last = 1;

	for (size_t b = 0; b < blocks; b++)
	{
		if (scale[b] == 0)
			continue;
		last += unfold(scale[b] - 1u);
		if (last > 255)
			last -= 255;
		else if (last < 1)
			last += 255;
		scale[b] = (uint8_t) last;
	}
}

static void
encode_tables(const tables *t, const rans_encoder *encoder)
{
	for (unsigned g = 0; g < t->count; g++)
		rans_encode_table(t->frequency[g], g, encoder);
}

/* Replaces each token's context by its table. */
static void
contexts_to_tables(const uint8_t *of_context, uint8_t *table, size_t count)
{
	for (size_t i = 0; i < count; i++)
		table[i] = of_context[table[i]];
}

#define MODEL_BYTES 65536

/* The scales' table, described, and their symbols in `symbol`. */
static void
write_scale_table(sparse_codec *codec, size_t blocks, uint8_t *symbol, tables *t, rc_encoder *e)
{
	scales_to_symbols(codec->scale.bytes, blocks, symbol);
	memset(codec->odd[0], 0, sizeof(codec->odd[0]));
	for (size_t b = 0; b < blocks; b++)
		codec->odd[0][symbol[b]]++;
	tables_build(t, codec->odd, 1);
	tables_write(t, 1, e);
}

sparse_status
token_stream_write(sparse_codec *codec, output *out, size_t blocks, size_t tokens, unsigned which, unsigned contexts)
{
	uint8_t    *symbol;
	uint8_t    *zero;
	uint8_t    *scratch;
	uint8_t    *model;
	tables	   *t = &codec->tables;
	rans_encoder encoder;
	rc_encoder	e;
	size_t		most = tokens > blocks ? tokens : blocks;

	SPARSE_TRY(buffer_reserve(codec, &codec->wide,
							  MODEL_BYTES + 2 * blocks + rans_bound(most, RANS_MAX_LANES)));
	model = codec->wide.bytes;
	symbol = model + MODEL_BYTES;
	zero = symbol + blocks;
	scratch = zero + blocks;
	SPARSE_TRY(encoder_in(codec, &codec->symbols, TABLES_CONTEXTS, &encoder));

	e = rc_encode_begin(model, MODEL_BYTES);
	write_scale_table(codec, blocks, symbol, t, &e);
	encode_tables(t, &encoder);
	memset(zero, 0, blocks);
	blocks = rans_encode(&encoder, symbol, zero, blocks, lanes_for(blocks), scratch);
	if (which == TABLES_DESCRIBED)
	{
		tables_build(t, codec->histogram, contexts);
		tables_write(t, contexts, &e);
	}
	output_section(out, model, (size_t) (rc_encode_end(&e) - model));
	out->full |= e.overflow;
	output_section(out, scratch, blocks);

	if (which == TABLES_DESCRIBED)
	{
		encode_tables(t, &encoder);
		contexts_to_tables(t->of_context, codec->table.bytes, tokens);
	}
	else
		SPARSE_TRY(shape_encoder(codec, which, &encoder));
	output_section(out, scratch,
				   rans_encode(&encoder, codec->token.bytes, codec->table.bytes, tokens,
							   lanes_for(tokens), scratch));
	return SPARSE_OK;
}

static void
decode_tables(const tables *t, rans_slot *slots)
{
	for (unsigned g = 0; g < t->count; g++)
		rans_decode_table(t->frequency[g], slots + (size_t) g * RANS_SLOTS);
}

static sparse_status
read_scales(sparse_codec *codec, cursor in, const tables *t, rans_slot *slots, size_t blocks)
{
	rans_decoder decoder;
	uint8_t    *zero;

	SPARSE_TRY(buffer_reserve(codec, &codec->scale, 2 * blocks));
	zero = codec->scale.bytes + blocks;
	memset(zero, 0, blocks);
	decode_tables(t, slots);
	SPARSE_TRY(rans_decode_begin(&decoder, in, lanes_for(blocks), codec->simd));
	rans_decode(&decoder, slots, zero, blocks, codec->scale.bytes);
	SPARSE_CHECK(rans_decode_done(&decoder));
	symbols_to_scales(codec->scale.bytes, blocks);
	return SPARSE_OK;
}

static size_t
count_tokens(const uint8_t *scale, size_t blocks, size_t elements)
{
	size_t		tokens = 0;

	for (size_t b = 0; b < blocks; b++)
		if (scale[b] != 0)
			tokens += b + 1 < blocks ? BLOCK : elements - b * BLOCK;
	return tokens;
}

sparse_status
token_stream_open(sparse_codec *codec, cursor *in, size_t elements, unsigned which, unsigned contexts, token_stream *s)
{
	size_t		blocks = (elements + BLOCK - 1) / BLOCK;
	cursor		model = cursor_section(in);
	cursor		scales = cursor_section(in);
	cursor		tokens = cursor_section(in);
	rans_slot  *slots;
	rc_decoder	d;

	if (!cursor_ok(in))
		return SPARSE_TRUNCATED;
	SPARSE_CHECK(cursor_left(in) == 0);
	SPARSE_TRY(buffer_reserve(codec, &codec->slots,
							  ((which == TABLES_DESCRIBED ? contexts : 1) * RANS_SLOTS + RANS_SLOT_SLACK)
							  * sizeof(rans_slot)));
	slots = (rans_slot *) (void *) codec->slots.bytes;
	d = rc_decode_begin(model);
	SPARSE_TRY(tables_read(&codec->tables, 1, &d));
	SPARSE_TRY(read_scales(codec, scales, &codec->tables, slots, blocks));
	s->scale = codec->scale.bytes;
	s->slots = slots;
	s->of_context = NULL;
	if (which == TABLES_DESCRIBED)
	{
		SPARSE_TRY(tables_read(&codec->tables, contexts, &d));
		decode_tables(&codec->tables, slots);
		s->of_context = codec->tables.of_context;
	}
	else
		SPARSE_TRY(shape_slots(codec, which, &s->slots));
	SPARSE_CHECK(cursor_left(&d.in) == 0);
	return rans_decode_begin(&s->decoder, tokens,
							 lanes_for(count_tokens(s->scale, blocks, elements)), codec->simd);
}
