/*
 * test_fields.c: quantised blocks are taken apart and put together again, recognised, and coded field
 * by field; what is damaged is refused.
 */
#include "codec/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 64
#define BLOCKS 400

static int	tests;
static int	failures;
static uint64_t state = 88172645463325252u;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static uint32_t
random_bits(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 20);
}

/* Any bytes at all, with scales as weights have them. */
static void
make_blocks(const block_structure *s, size_t blocks, uint8_t *content)
{
	for (size_t i = 0; i < blocks * s->bytes; i++)
		content[i] = (uint8_t) random_bits();
	for (size_t i = 0; i < blocks; i++)
		for (unsigned h = 0; h < s->halves; h++)
			store16(content + i * s->bytes + s->half_at[h], (uint16_t) (0x1c00 + random_bits() % 0x0c00));
}

/* A child: some scales are a little larger, some codes others. */
static void
change_blocks(const block_structure *s, size_t blocks, uint8_t *content)
{
	uint8_t    *planes = malloc(fields_plane_bytes(s, blocks));
	uint8_t    *code = planes + fields_plane_bytes(s, blocks) - blocks * s->codes;

	fields_split(s, content, blocks, planes);
	for (size_t i = 0; i < blocks; i += 3)
		planes[2 * i] ^= 1;
	for (size_t i = 0; i < blocks * s->codes; i += 7)
		code[i] ^= 1;
	fields_join(s, planes, blocks, content);
	free(planes);
}

static bool
comes_back(const block_structure *s)
{
	const size_t bytes = BLOCKS * s->bytes;
	uint8_t    *content = malloc(bytes);
	uint8_t    *again = malloc(bytes);
	uint8_t    *planes = malloc(fields_plane_bytes(s, BLOCKS));
	bool		good;

	for (size_t i = 0; i < bytes; i++)
		content[i] = (uint8_t) random_bits();
	memset(again, 0xaa, bytes);
	fields_split(s, content, BLOCKS, planes);
	fields_join(s, planes, BLOCKS, again);
	good = memcmp(content, again, bytes) == 0;
	free(content);
	free(again);
	free(planes);
	return good;
}

static bool
applies_everywhere(const uint8_t *delta, size_t delta_bytes, const uint8_t *parent, size_t bytes, const uint8_t *content)
{
	bool		good = true;

	for (int level = 0; level <= (int) sparse_simd_best(); level++)
	{
		sparse_codec *codec = sparse_codec_create(NULL);
		uint8_t    *again = malloc(bytes);

		sparse_codec_restrict(codec, (sparse_simd) level);
		good &= sparse_delta_apply(codec, delta, delta_bytes, parent, parent != NULL ? bytes : 0, again, bytes) == SPARSE_OK &&
			memcmp(again, content, bytes) == 0;
		free(again);
		sparse_codec_free(codec);
	}
	return good;
}

/* Every cut, and one bit of each byte: refused, or the content after all. */
static bool
damage_is_harmless(const uint8_t *delta, size_t delta_bytes, const uint8_t *parent, size_t bytes, const uint8_t *content)
{
	sparse_codec *codec = sparse_codec_create(NULL);
	uint8_t    *again = malloc(bytes);
	uint8_t    *damaged = malloc(delta_bytes);
	bool		good = true;

	for (size_t i = 0; i < delta_bytes; i += 1 + delta_bytes / 400)
	{
		uint8_t    *cut = malloc(i + 1);

		memcpy(cut, delta, i);
		good &= sparse_delta_apply(codec, cut, i, parent, bytes, again, bytes) != SPARSE_OK;
		free(cut);
		memcpy(damaged, delta, delta_bytes);
		damaged[i] ^= (uint8_t) (1u << i % 8);
		good &= sparse_delta_apply(codec, damaged, delta_bytes, parent, bytes, again, bytes) != SPARSE_OK ||
			memcmp(again, content, bytes) == 0;
	}
	free(damaged);
	free(again);
	sparse_codec_free(codec);
	return good;
}

typedef struct verdict
{
	bool		coded;			/* field by field */
	bool		small;
	bool		exact;
	bool		harmless;
	bool		alone;			/* exact without a parent */
} verdict;

static verdict
judge(const block_structure *s)
{
	const size_t bytes = BLOCKS * s->bytes;
	const sparse_ref ref = {0, SPARSE_BYTES, 0, bytes};
	uint8_t    *parent = malloc(bytes);
	uint8_t    *content = malloc(bytes);
	sparse_codec *codec = sparse_codec_create(NULL);
	verdict		v = {0};
	const uint8_t *delta;
	size_t		length;
	sparse_delta_info info;

	make_blocks(s, BLOCKS, parent);
	memcpy(content, parent, bytes);
	change_blocks(s, BLOCKS, content);
	if (sparse_delta_encode(codec, content, bytes, SPARSE_BYTES, &ref, 1, parent, bytes, &delta, &length) == SPARSE_OK &&
		sparse_delta_read(delta, length, length, &info) == SPARSE_OK)
	{
		v.coded = info.predictor == SPARSE_PREDICT_PARENT && info.coding == SPARSE_CODE_FIELDS && info.version == 2;
		v.small = length < bytes * 2 / 5;
		v.exact = applies_everywhere(delta, length, parent, bytes, content);
		v.harmless = damage_is_harmless(delta, length, parent, bytes, content);
	}
	v.alone = sparse_delta_encode(codec, content, bytes, SPARSE_BYTES, NULL, 0, NULL, 0, &delta, &length) == SPARSE_OK &&
		length <= sparse_delta_bound(bytes) && applies_everywhere(delta, length, NULL, bytes, content);
	sparse_codec_free(codec);
	free(parent);
	free(content);
	return v;
}

/* Long content too, of which a sample is looked at: not for a type whose blocks lie in those of another. */
static bool
is_recognised(const block_structure *s)
{
	bool		good = true;

	for (size_t blocks = 500; blocks < 5000; blocks = blocks * 6 / 5 / 16 * 16)
	{
		uint8_t    *content = malloc(blocks * s->bytes);
		const block_structure *found;

		make_blocks(s, blocks, content);
		found = fields_recognise(content, blocks * s->bytes);
		good &= found == s || (found != NULL && found->bytes == s->bytes && found->codes == s->codes);
		free(content);
	}
	return good;
}

/* Halves that are no numbers, zero scales and the largest ones move no code out of its range. */
static bool
odd_scales_are_coded(const block_structure *s)
{
	static const uint16_t odd[] = {0x7c00, 0xfc00, 0x7e01, 0x0000, 0x8000, 0x7bff, 0xfbff, 0x0001};
	const size_t bytes = BLOCKS * s->bytes;
	uint8_t    *parent = malloc(bytes);
	uint8_t    *content = malloc(bytes);
	uint8_t    *payload = malloc(2 * bytes + 1000);
	uint8_t    *again = malloc(bytes);
	output		out = {payload, payload + 2 * bytes + 1000, false};
	sparse_codec *codec = sparse_codec_create(NULL);
	bool		good;

	make_blocks(s, BLOCKS, parent);
	make_blocks(s, BLOCKS, content);
	for (size_t i = 0; i < BLOCKS; i++)
		for (unsigned h = 0; h < s->halves; h++)
		{
			store16(parent + i * s->bytes + s->half_at[h], odd[i % 8]);
			store16(content + i * s->bytes + s->half_at[h], odd[i / 8 % 8]);
		}
	good = fields_encode(codec, s, content, parent, bytes, &out) == SPARSE_OK && !out.full &&
		fields_decode(codec, cursor_over(payload, (size_t) (out.at - payload)), parent, again, bytes) == SPARSE_OK &&
		memcmp(again, content, bytes) == 0;
	sparse_codec_free(codec);
	free(parent);
	free(content);
	free(payload);
	free(again);
	return good;
}

/* Where codes move with their scales, a child whose scales alone are others has its parent's values. */
static bool
scales_move_codes(void)
{
	const block_structure *s = fields_structure(8);
	uint8_t		block[2 * 34];
	uint8_t		planes[2 * 34 + 8];
	uint8_t		parent[2 * 34 + 8];

	memset(block, 0, sizeof block);
	store16(block, 0x3c00);		/* 1 */
	store16(block + 34, 0x3c00);
	block[2] = 40;
	block[3] = (uint8_t) -40;
	block[36] = 100;
	fields_split(s, block, 2, parent);
	store16(block, 0x4000);		/* 2 */
	store16(block + 34, 0x3800);	/* a half */
	fields_split(s, block, 2, planes);
	fields_predict_codes(s, planes, 2, parent);
	return parent[4] == 128 + 20 && parent[5] == 128 - 20 && parent[4 + 32] == 255 && parent[4 + 1 + 32] == 128;
}

static bool
foreign_payloads_are_refused(void)
{
	sparse_codec *codec = sparse_codec_create(NULL);
	uint8_t		content[36];
	static const uint8_t unknown[] = {99};
	static const uint8_t wide[] = {2, 3, 0, 0, 0, 0, 1, 2, 33, 0, 0, 0, 0,
	255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	bool		good = fields_decode(codec, cursor_over(unknown, 1), NULL, content, 36) == SPARSE_CORRUPT &&
		fields_decode(codec, cursor_over(unknown, 0), NULL, content, 36) == SPARSE_CORRUPT &&
		fields_decode(codec, cursor_over(wide, sizeof wide), NULL, content, 18) == SPARSE_CORRUPT &&
		fields_decode(codec, cursor_over(wide, sizeof wide), NULL, content, 17) == SPARSE_CORRUPT;

	sparse_codec_free(codec);
	return good;
}

/* ---- packed words ---- */

#define WORDS 20000

/* Codes of a width in the middle of their range, as quantised weights have them. */
static void
make_words(unsigned width, uint32_t *word)
{
	for (size_t i = 0; i < WORDS; i++)
	{
		word[i] = 0;
		for (unsigned at = 0; at < 32; at += width)
			word[i] |= (((random_bits() >> 3 & ((1u << width) - 1)) + (random_bits() & ((1u << width) - 1))) / 2) << at;
	}
}

/* One code in thirty is the next, or the one before. */
static void
change_words(unsigned width, uint32_t *word)
{
	const uint32_t most = (1u << width) - 1;

	for (size_t i = 0; i < WORDS; i++)
		for (unsigned at = 0; at < 32; at += width)
		{
			uint32_t	code = word[i] >> at & most;

			if (random_bits() % 30 != 0)
				continue;
			code = code == 0 ? 1 : code == most || random_bits() % 2 == 0 ? code - 1 : code + 1;
			word[i] = (word[i] & ~(most << at)) | code << at;
		}
}

static verdict
judge_words(unsigned width, sparse_dtype dtype)
{
	const size_t bytes = WORDS * 4;
	const sparse_ref ref = {0, dtype, 0, bytes / sparse_dtype_get(dtype)->bytes};
	uint32_t   *parent = malloc(bytes);
	uint32_t   *content = malloc(bytes);
	sparse_codec *codec = sparse_codec_create(NULL);
	verdict		v = {0};
	const uint8_t *delta;
	size_t		length;
	sparse_delta_info info;

	make_words(width, parent);
	memcpy(content, parent, bytes);
	change_words(width, content);
	if (sparse_delta_encode(codec, content, bytes, dtype, &ref, 1, parent, bytes, &delta, &length) == SPARSE_OK &&
		sparse_delta_read(delta, length, length, &info) == SPARSE_OK)
	{
		/* (differences of bytes have two codes in them, and may do as well) */
		v.coded = (info.coding == SPARSE_CODE_FIELDS && info.version == 2) || (dtype == SPARSE_U8 && width > 2);
		v.small = length < bytes * 9 / 24 / width;
		v.exact = applies_everywhere(delta, length, (uint8_t *) parent, bytes, (uint8_t *) content);
		v.harmless = damage_is_harmless(delta, length, (uint8_t *) parent, bytes, (uint8_t *) content);
	}
	v.alone = sparse_delta_encode(codec, content, bytes, dtype, NULL, 0, NULL, 0, &delta, &length) == SPARSE_OK &&
		length <= sparse_delta_bound(bytes) && applies_everywhere(delta, length, NULL, bytes, (uint8_t *) content);
	if (!v.coded || !v.small || !v.exact || !v.harmless || !v.alone)
		printf("# width %u, %s: %d %d %d %d %d\n", width, sparse_dtype_get(dtype)->name, v.coded, v.small, v.exact, v.harmless, v.alone);
	sparse_codec_free(codec);
	free(parent);
	free(content);
	return v;
}

static void
test_words(void)
{
	static const sparse_dtype dtypes[] = {SPARSE_I32, SPARSE_U32, SPARSE_U8};
	verdict		all = {true, true, true, true, true};
	bool		back = true;

	for (unsigned width = 2; width <= 8; width *= 2)
	{
		back &= comes_back(fields_structure(FIELDS_PACKED + width));
		for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
		{
			const verdict v = judge_words(width, dtypes[i]);

			all = (verdict) {all.coded && v.coded, all.small && v.small, all.exact && v.exact, all.harmless && v.harmless, all.alone && v.alone};
		}
	}
	ok(back, "any words come back from their codes");
	ok(all.coded, "codes packed into words or bytes are recognised, and coded one by one against the parent's");
	ok(all.small, "... which takes little of them");
	ok(all.exact, "... and they come back by every set of instructions");
	ok(all.harmless, "... and what is cut or damaged is refused");
	ok(all.alone, "packed words alone come back, and take no more than themselves");
}

int
main(void)
{
	bool		back = true;
	bool		odd = true;
	bool		recognised = true;
	verdict		all = {true, true, true, true, true};

	for (unsigned number = 0; number < NUMBERS; number++)
	{
		const block_structure *s = fields_structure(number);
		verdict		v;

		if (s == NULL)
			continue;
		back &= comes_back(s);
		odd &= odd_scales_are_coded(s);
		recognised &= is_recognised(s);
		v = judge(s);
		if (!v.coded || !v.small || !v.exact || !v.harmless || !v.alone)
			printf("# structure %u: %d %d %d %d %d\n", number, v.coded, v.small, v.exact, v.harmless, v.alone);
		all.coded &= v.coded;
		all.small &= v.small;
		all.exact &= v.exact;
		all.harmless &= v.harmless;
		all.alone &= v.alone;
	}
	ok(back, "any bytes come back from their planes, in every structure");
	ok(odd, "scales that are no numbers, zero or the largest are coded");
	ok(recognised, "content of any length is recognised");
	ok(all.coded, "blocks are recognised, and coded field by field against their parent");
	ok(all.small, "... which takes little of them");
	ok(all.exact, "... and comes back by every set of instructions");
	ok(all.harmless, "... and what is cut or damaged is refused");
	ok(all.alone, "blocks alone come back, and take no more than themselves");
	ok(scales_move_codes(), "codes are predicted as the child's scales would have them");
	ok(foreign_payloads_are_refused(), "unknown structures, broken blocks and codes too wide are refused");
	test_words();
	printf("1..%d\n", tests);
	return failures > 0;
}
