/*
 * fields_code.c: the coder for quantised blocks, field by field (fields.h).
 *
 *      u8 structure | a section for each plane: u8 how, then its bytes
 *
 * The planes are the halves (one or two), the small scales where there are some, and the codes. Each
 * is coded against the parent's; the codes against those of the parent as the child's scales would
 * have them, so scales come first. Without a parent each is coded by itself.
 */
#include "codec.h"
#include "fields.h"

enum
{
	HOW_RAW = 0, HOW_RESIDUAL = 1, HOW_FLOAT = 2
};

#define SECTION_HEAD 5			/* bytes: length, how */

/* Content taken apart, or being put together. */
typedef struct taken
{
	sparse_codec *codec;
	const block_structure *s;
	size_t		blocks;
	uint8_t    *planes;
	uint8_t    *parent;			/* NULL: nothing predicts it */
} taken;

/* A plane: a kind of field of all blocks. */
typedef struct plane
{
	size_t		first;			/* byte of the planes */
	size_t		elements;
	sparse_dtype dtype;
} plane;

static unsigned
count_planes(const block_structure *s)
{
	return s->halves + (s->smalls > 0) + 1u;
}

static plane
plane_of(const taken *t, unsigned number)
{
	const block_structure *s = t->s;
	const size_t smalls = t->blocks * 2 * s->halves;

	if (number < s->halves)
		return (plane) {number * t->blocks * 2, t->blocks, SPARSE_F16};
	if (number + 1 < count_planes(s))
		return (plane) {smalls, t->blocks * s->smalls, SPARSE_U8};
	return (plane) {smalls + t->blocks * s->smalls, t->blocks * s->codes, SPARSE_U8};
}

/* Memory for content of that structure, which the parent's is split into; false: it is none of whole blocks, or too long. */
static sparse_status
take_apart(sparse_codec *codec, const block_structure *s, const void *prediction, size_t bytes, taken *t)
{
	const size_t planes = fields_plane_bytes(s, bytes / s->bytes);

	*t = (taken) {.codec = codec, .s = s, .blocks = bytes / s->bytes};
	/* (the prediction may be the codec's own: it is computed where there is a formula) */
	SPARSE_TRY(buffer_reserve(codec, &codec->planes, prediction == NULL ? planes : 2 * planes));
	t->planes = codec->planes.bytes;
	if (prediction == NULL)
		return SPARSE_OK;
	t->parent = t->planes + planes;
	fields_split(s, prediction, t->blocks, t->parent);
	return SPARSE_OK;
}

/* Whether the plane is the one of codes, which comes last: with the scales the parent's can be told. */
static void
predict(const taken *t, unsigned number)
{
	if (t->parent != NULL && number + 1 == count_planes(t->s))
		fields_predict_codes(t->s, t->planes, t->blocks, t->parent);
}

/* ---- encoding ---- */

static sparse_status
encode_plane(const taken *t, const plane *p, uint8_t *how, output *out)
{
	const uint8_t *prediction = t->parent != NULL ? t->parent + p->first : NULL;

	*how = prediction == NULL && p->dtype == SPARSE_F16 ? HOW_FLOAT : HOW_RESIDUAL;
	if (*how == HOW_FLOAT)
		return floats_encode(t->codec, t->planes + p->first, p->elements, p->dtype, out);
	return residual_encode(t->codec, t->planes + p->first, prediction, NULL, p->elements, p->dtype, false, out);
}

/* Codes a plane, or leaves it as it is where that is shorter. */
static sparse_status
put_plane(const taken *t, const plane *p, output *out)
{
	const size_t bytes = p->elements * sparse_dtype_get(p->dtype)->bytes;
	uint8_t    *begin = out->at;
	uint8_t		head[SECTION_HEAD] = {0};
	output		limited;

	output_put(out, head, sizeof head);
	if (out->full)
		return SPARSE_OK;
	limited = (output) {out->at, (size_t) (out->end - out->at) < bytes ? out->end : out->at + bytes, false};
	SPARSE_TRY(encode_plane(t, p, &head[4], &limited));
	if (limited.full)
	{
		head[4] = HOW_RAW;
		output_put(out, t->planes + p->first, bytes);
	}
	else
		out->at = limited.at;
	if (out->full)
		return SPARSE_OK;
	store32(head, (uint32_t) (out->at - begin - 4));
	memcpy(begin, head, sizeof head);
	return SPARSE_OK;
}

sparse_status
fields_encode(sparse_codec *codec, const block_structure *s, const void *content, const void *prediction, size_t bytes,
			  output *out)
{
	taken		t;

	SPARSE_TRY(take_apart(codec, s, prediction, bytes, &t));
	fields_split(s, content, t.blocks, t.planes);
	output_put(out, &s->number, 1);
	for (unsigned i = 0; i < count_planes(s) && !out->full; i++)
	{
		const plane p = plane_of(&t, i);

		predict(&t, i);
		SPARSE_TRY(put_plane(&t, &p, out));
	}
	return SPARSE_OK;
}

/* ---- decoding ---- */

static sparse_status
take_plane(const taken *t, const plane *p, cursor section)
{
	const size_t bytes = p->elements * sparse_dtype_get(p->dtype)->bytes;
	const uint8_t how = cursor_u8(&section);

	SPARSE_CHECK(cursor_ok(&section) && how <= HOW_FLOAT);
	if (how == HOW_RAW)
	{
		SPARSE_CHECK(cursor_left(&section) == bytes);
		memcpy(t->planes + p->first, section.at, bytes);
		return SPARSE_OK;
	}
	if (how == HOW_RESIDUAL)
		return residual_decode(t->codec, section, t->parent != NULL ? t->parent + p->first : NULL, NULL, p->elements, p->dtype,
							   t->planes + p->first);
	SPARSE_CHECK(p->dtype == SPARSE_F16);
	return floats_decode(t->codec, section, p->elements, p->dtype, t->planes + p->first);
}

/* Codes of more bits than a code has would not come back. */
static bool
codes_fit(const taken *t)
{
	const block_structure *s = t->s;
	const plane codes = plane_of(t, count_planes(s) - 1);
	const plane smalls = plane_of(t, s->halves);
	uint8_t		code = 0;
	uint8_t		small = 0;

	for (size_t i = 0; i < codes.elements; i++)
		code |= t->planes[codes.first + i];
	for (size_t i = 0; s->smalls > 0 && i < smalls.elements; i++)
		small |= t->planes[smalls.first + i];
	return code >> s->code_bits == 0 && small >> s->small_bits == 0;
}

sparse_status
fields_decode(sparse_codec *codec, cursor payload, const void *prediction, void *content, size_t bytes)
{
	const block_structure *s = fields_structure(cursor_u8(&payload));
	taken		t;

	SPARSE_CHECK(cursor_ok(&payload) && s != NULL && bytes % s->bytes == 0 && bytes <= FIELDS_MOST_CONTENT);
	SPARSE_TRY(take_apart(codec, s, prediction, bytes, &t));
	for (unsigned i = 0; i < count_planes(s); i++)
	{
		const plane p = plane_of(&t, i);
		const cursor section = cursor_section(&payload);

		SPARSE_CHECK(cursor_ok(&payload));
		predict(&t, i);
		SPARSE_TRY(take_plane(&t, &p, section));
	}
	SPARSE_CHECK(cursor_left(&payload) == 0 && codes_fit(&t));
	fields_join(s, t.planes, t.blocks, content);
	return SPARSE_OK;
}
