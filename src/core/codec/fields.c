/*
 * fields.c: the structures of ggml's blocks (see fields.h).
 *
 * Written after the structs of ggml-common.h. All arithmetic is in integers, so that a
 * prediction is the same everywhere.
 */
#include "fields.h"

#include <math.h>
#include <string.h>

#include "bytes.h"

/* ---- codes ---- */

/* Of nibbles of 16 bytes: the low ones are the first 16 elements. */
static void
take_nibbles(const uint8_t *from, uint8_t code[32])
{
	for (int i = 0; i < 16; i++)
	{
		code[i] = from[i] & 15;
		code[16 + i] = from[i] >> 4;
	}
}

static void
put_nibbles(const uint8_t code[32], uint8_t *to)
{
	for (int i = 0; i < 16; i++)
		to[i] = (uint8_t) (code[i] | code[16 + i] << 4);
}

/* Bit i of a little-endian number of 32 is the fifth bit of element i. */
static void
take_fifth_bits(const uint8_t *from, uint8_t code[32])
{
	for (int i = 0; i < 32; i++)
		code[i] |= (uint8_t) ((from[i / 8] >> i % 8 & 1) << 4);
}

static void
put_fifth_bits(const uint8_t code[32], uint8_t *to)
{
	memset(to, 0, 4);
	for (int i = 0; i < 32; i++)
		to[i / 8] |= (uint8_t) ((code[i] >> 4) << i % 8);
}

static void
put_low_nibbles(const uint8_t code[32], uint8_t *to)
{
	for (int i = 0; i < 16; i++)
		to[i] = (uint8_t) ((code[i] & 15) | (code[16 + i] & 15) << 4);
}

static void
unpack_4_0(const uint8_t *block, block_fields *f)
{
	take_nibbles(block + 2, f->code);
}

static void
pack_4_0(const block_fields *f, uint8_t *block)
{
	put_nibbles(f->code, block + 2);
}

static void
unpack_4_1(const uint8_t *block, block_fields *f)
{
	take_nibbles(block + 4, f->code);
}

static void
pack_4_1(const block_fields *f, uint8_t *block)
{
	put_nibbles(f->code, block + 4);
}

static void
unpack_5_0(const uint8_t *block, block_fields *f)
{
	take_nibbles(block + 6, f->code);
	take_fifth_bits(block + 2, f->code);
}

static void
pack_5_0(const block_fields *f, uint8_t *block)
{
	put_low_nibbles(f->code, block + 6);
	put_fifth_bits(f->code, block + 2);
}

static void
unpack_5_1(const uint8_t *block, block_fields *f)
{
	take_nibbles(block + 8, f->code);
	take_fifth_bits(block + 4, f->code);
}

static void
pack_5_1(const block_fields *f, uint8_t *block)
{
	put_low_nibbles(f->code, block + 8);
	put_fifth_bits(f->code, block + 4);
}

/* Signed codes, above 0: their order is kept. */
static void
unpack_8_0(const uint8_t *block, block_fields *f)
{
	for (int i = 0; i < 32; i++)
		f->code[i] = block[2 + i] ^ 0x80;
}

static void
pack_8_0(const block_fields *f, uint8_t *block)
{
	for (int i = 0; i < 32; i++)
		block[2 + i] = f->code[i] ^ 0x80;
}

/* ---- codes of 256 ---- */

/* Two bits of each, in 64 bytes: four elements of 128, 32 apart, in a byte. */
static void
take_pairs(const uint8_t *from, uint8_t code[256])
{
	for (int i = 0; i < 256; i++)
		code[i] = from[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

static void
put_pairs(const uint8_t code[256], uint8_t *to)
{
	memset(to, 0, 64);
	for (int i = 0; i < 256; i++)
		to[i / 128 * 32 + i % 32] |= (uint8_t) ((code[i] & 3) << i % 128 / 32 * 2);
}

/* Four bits of each, in 128 bytes: two elements of 64, 32 apart, in a byte. */
static void
take_quads(const uint8_t *from, uint8_t code[256])
{
	for (int i = 0; i < 256; i++)
		code[i] = from[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
}

static void
put_quads(const uint8_t code[256], uint8_t *to)
{
	memset(to, 0, 128);
	for (int i = 0; i < 256; i++)
		to[i / 64 * 32 + i % 32] |= (uint8_t) ((code[i] & 15) << i % 64 / 32 * 4);
}

/* Eight numbers of 6 bits, and eight more, in 12 bytes. */
static void
take_sixes(const uint8_t *from, uint8_t small[16])
{
	for (int i = 0; i < 4; i++)
	{
		small[i] = from[i] & 63;
		small[8 + i] = from[4 + i] & 63;
		small[4 + i] = (uint8_t) ((from[8 + i] & 15) | from[i] >> 6 << 4);
		small[12 + i] = (uint8_t) (from[8 + i] >> 4 | from[4 + i] >> 6 << 4);
	}
}

static void
put_sixes(const uint8_t small[16], uint8_t *to)
{
	for (int i = 0; i < 4; i++)
	{
		to[i] = (uint8_t) (small[i] | small[4 + i] >> 4 << 6);
		to[4 + i] = (uint8_t) (small[8 + i] | small[12 + i] >> 4 << 6);
		to[8 + i] = (uint8_t) ((small[4 + i] & 15) | small[12 + i] << 4);
	}
}

static void
unpack_2_k(const uint8_t *block, block_fields *f)
{
	for (int i = 0; i < 16; i++)
	{
		f->small[i] = block[i] & 15;
		f->small[16 + i] = block[i] >> 4;
	}
	take_pairs(block + 16, f->code);
}

static void
pack_2_k(const block_fields *f, uint8_t *block)
{
	for (int i = 0; i < 16; i++)
		block[i] = (uint8_t) (f->small[i] | f->small[16 + i] << 4);
	put_pairs(f->code, block + 16);
}

static void
unpack_3_k(const uint8_t *block, block_fields *f)
{
	const uint8_t *scales = block + 96;

	take_pairs(block + 32, f->code);
	for (int i = 0; i < 256; i++)
		f->code[i] |= (uint8_t) ((block[i % 32] >> i / 32 & 1) << 2);
	for (int i = 0; i < 16; i++)
		f->small[i] = (uint8_t) ((scales[i % 8] >> i / 8 * 4 & 15) | (scales[8 + i % 4] >> i / 4 * 2 & 3) << 4);
}

static void
pack_3_k(const block_fields *f, uint8_t *block)
{
	uint8_t    *scales = block + 96;

	put_pairs(f->code, block + 32);
	memset(block, 0, 32);
	for (int i = 0; i < 256; i++)
		block[i % 32] |= (uint8_t) (f->code[i] >> 2 << i / 32);
	memset(scales, 0, 12);
	for (int i = 0; i < 16; i++)
	{
		scales[i % 8] |= (uint8_t) ((f->small[i] & 15) << i / 8 * 4);
		scales[8 + i % 4] |= (uint8_t) (f->small[i] >> 4 << i / 4 * 2);
	}
}

static void
unpack_4_k(const uint8_t *block, block_fields *f)
{
	take_sixes(block + 4, f->small);
	take_quads(block + 16, f->code);
}

static void
pack_4_k(const block_fields *f, uint8_t *block)
{
	put_sixes(f->small, block + 4);
	put_quads(f->code, block + 16);
}

static void
unpack_5_k(const uint8_t *block, block_fields *f)
{
	take_sixes(block + 4, f->small);
	take_quads(block + 48, f->code);
	for (int i = 0; i < 256; i++)
		f->code[i] |= (uint8_t) ((block[16 + i % 32] >> i / 32 & 1) << 4);
}

static void
pack_5_k(const block_fields *f, uint8_t *block)
{
	put_sixes(f->small, block + 4);
	put_quads(f->code, block + 48);
	memset(block + 16, 0, 32);
	for (int i = 0; i < 256; i++)
		block[16 + i % 32] |= (uint8_t) (f->code[i] >> 4 << i / 32);
}

/* Of 128 elements: the low nibbles in 64 bytes, the high two bits in 32. */
static void
unpack_6_k(const uint8_t *block, block_fields *f)
{
	for (int i = 0; i < 256; i++)
	{
		int			half = i / 128;
		int			within = i % 128;
		int			low = block[half * 64 + within % 64] >> within / 64 * 4 & 15;
		int			high = block[128 + half * 32 + within % 32] >> within / 32 * 2 & 3;

		f->code[i] = (uint8_t) (low | high << 4);
	}
	for (int i = 0; i < 16; i++)
		f->small[i] = block[192 + i] ^ 0x80;
}

static void
pack_6_k(const block_fields *f, uint8_t *block)
{
	memset(block, 0, 192);
	for (int i = 0; i < 256; i++)
	{
		int			half = i / 128;
		int			within = i % 128;

		block[half * 64 + within % 64] |= (uint8_t) ((f->code[i] & 15) << within / 64 * 4);
		block[128 + half * 32 + within % 32] |= (uint8_t) (f->code[i] >> 4 << within / 32 * 2);
	}
	for (int i = 0; i < 16; i++)
		block[192 + i] = f->small[i] ^ 0x80;
}

static void
unpack_4_xs(const uint8_t *block, block_fields *f)
{
	for (int i = 0; i < 8; i++)
	{
		f->small[i] = (uint8_t) ((block[4 + i / 2] >> i % 2 * 4 & 15) | (load16(block + 2) >> 2 * i & 3) << 4);
		take_nibbles(block + 8 + 16 * i, f->code + 32 * i);
	}
}

static void
pack_4_xs(const block_fields *f, uint8_t *block)
{
	uint32_t	high = 0;

	memset(block + 4, 0, 4);
	for (int i = 0; i < 8; i++)
	{
		block[4 + i / 2] |= (uint8_t) ((f->small[i] & 15) << i % 2 * 4);
		high |= (uint32_t) (f->small[i] >> 4) << 2 * i;
		put_nibbles(f->code + 32 * i, block + 8 + 16 * i);
	}
	store16(block + 2, (uint16_t) high);
}

/* ---- packed words ---- */

static void
take_word(const uint8_t *word, unsigned width, uint8_t *code)
{
	const uint32_t bits = load32(word);

	for (unsigned i = 0; i < 32 / width; i++)
		code[i] = (uint8_t) (bits >> i * width & ((1u << width) - 1));
}

static void
put_word(const uint8_t *code, unsigned width, uint8_t *word)
{
	uint32_t	bits = 0;

	for (unsigned i = 0; i < 32 / width; i++)
		bits |= (uint32_t) code[i] << i * width;
	store32(word, bits);
}

#define DEFINE_WORD(width) \
	static void \
	unpack_word_##width(const uint8_t *block, block_fields *f) \
	{ \
		take_word(block, width, f->code); \
	} \
	static void \
	pack_word_##width(const block_fields *f, uint8_t *block) \
	{ \
		put_word(f->code, width, block); \
	}

DEFINE_WORD(2)
DEFINE_WORD(4)
DEFINE_WORD(8)

/* ---- lines ---- */

static void
line_8(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	(void) small;
	(void) group;
	*a = half[0];
	*b = -8 * half[0];
}

static void
line_16(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	(void) small;
	(void) group;
	*a = half[0];
	*b = -16 * half[0];
}

static void
line_128(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	(void) small;
	(void) group;
	*a = half[0];
	*b = -128 * half[0];
}

static void
line_minimum(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	(void) small;
	(void) group;
	*a = half[0];
	*b = half[1];
}

static void
line_2_k(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	*a = half[0] * small[group];
	*b = -half[1] * small[16 + group];
}

static void
line_3_k(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	*a = half[0] * (small[group] - 32);
	*b = -4 * *a;
}

static void
line_4_k(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	*a = half[0] * small[group];
	*b = -half[1] * small[8 + group];
}

static void
line_6_k(const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b)
{
	*a = half[0] * (small[group] - 128);
	*b = -32 * *a;
}

/* ---- the table ---- */

static const block_structure structures[] = {
	{2, 18, 1, {0}, 0, 0, 32, 4, 1, unpack_4_0, pack_4_0, line_8},	/* Q4_0 */
	{3, 20, 2, {0, 2}, 0, 0, 32, 4, 1, unpack_4_1, pack_4_1, line_minimum},	/* Q4_1 */
	{6, 22, 1, {0}, 0, 0, 32, 5, 1, unpack_5_0, pack_5_0, line_16},	/* Q5_0 */
	{7, 24, 2, {0, 2}, 0, 0, 32, 5, 1, unpack_5_1, pack_5_1, line_minimum},	/* Q5_1 */
	{8, 34, 1, {0}, 0, 0, 32, 8, 1, unpack_8_0, pack_8_0, line_128},	/* Q8_0 */
	{10, 84, 2, {80, 82}, 32, 4, 256, 2, 16, unpack_2_k, pack_2_k, line_2_k},	/* Q2_K */
	{11, 110, 1, {108}, 16, 6, 256, 3, 16, unpack_3_k, pack_3_k, line_3_k},	/* Q3_K */
	{12, 144, 2, {0, 2}, 16, 6, 256, 4, 8, unpack_4_k, pack_4_k, line_4_k},	/* Q4_K */
	{13, 176, 2, {0, 2}, 16, 6, 256, 5, 8, unpack_5_k, pack_5_k, line_4_k},	/* Q5_K */
	{14, 210, 1, {208}, 16, 8, 256, 6, 16, unpack_6_k, pack_6_k, line_6_k},	/* Q6_K */
	{20, 18, 1, {0}, 0, 0, 32, 4, 0, unpack_4_0, pack_4_0, NULL},	/* IQ4_NL */
	{23, 136, 1, {0}, 8, 6, 256, 4, 0, unpack_4_xs, pack_4_xs, NULL},	/* IQ4_XS */
	{FIELDS_PACKED + 2, 4, 0, {0}, 0, 0, 16, 2, 0, unpack_word_2, pack_word_2, NULL},
	{FIELDS_PACKED + 4, 4, 0, {0}, 0, 0, 8, 4, 0, unpack_word_4, pack_word_4, NULL},
	{FIELDS_PACKED + 8, 4, 0, {0}, 0, 0, 4, 8, 0, unpack_word_8, pack_word_8, NULL},
};

#define STRUCTURES (sizeof structures / sizeof structures[0])

const block_structure *
fields_structure(unsigned number)
{
	for (size_t i = 0; i < STRUCTURES; i++)
		if (structures[i].number == number)
			return &structures[i];
	return NULL;
}

/* ---- planes ---- */

size_t
fields_plane_bytes(const block_structure *s, size_t blocks)
{
	return blocks * (2u * s->halves + s->smalls + s->codes);
}

/* Where the smalls, and then the codes, of all blocks begin. */
static size_t
smalls_at(const block_structure *s, size_t blocks)
{
	return blocks * 2 * s->halves;
}

static size_t
codes_at(const block_structure *s, size_t blocks)
{
	return smalls_at(s, blocks) + blocks * s->smalls;
}

void
fields_split(const block_structure *s, const uint8_t *content, size_t blocks, uint8_t *planes)
{
	uint8_t    *small = planes + smalls_at(s, blocks);
	uint8_t    *code = planes + codes_at(s, blocks);
	block_fields f;

	for (size_t i = 0; i < blocks; i++, content += s->bytes, small += s->smalls, code += s->codes)
	{
		s->unpack(content, &f);
		for (unsigned h = 0; h < s->halves; h++)
			memcpy(planes + (h * blocks + i) * 2, content + s->half_at[h], 2);
		memcpy(small, f.small, s->smalls);
		memcpy(code, f.code, s->codes);
	}
}

void
fields_join(const block_structure *s, const uint8_t *planes, size_t blocks, uint8_t *content)
{
	const uint8_t *small = planes + smalls_at(s, blocks);
	const uint8_t *code = planes + codes_at(s, blocks);
	block_fields f;

	for (size_t i = 0; i < blocks; i++, content += s->bytes, small += s->smalls, code += s->codes)
	{
		memcpy(f.small, small, s->smalls);
		memcpy(f.code, code, s->codes);
		s->pack(&f, content);
		for (unsigned h = 0; h < s->halves; h++)
			memcpy(content + s->half_at[h], planes + (h * blocks + i) * 2, 2);
	}
}

/* ---- predicting codes ---- */

/* A half in units of 2^-24; false: it is no number. */
static bool
units_of_half(uint16_t half, int64_t *units)
{
	const int	exponent = half >> 10 & 31;
	const int64_t mantissa = half & 1023;

	if (exponent == 31)
		return false;
	*units = exponent == 0 ? mantissa : (mantissa | 1024) << (exponent - 1);
	if (half & 0x8000)
		*units = -*units;
	return true;
}

static bool
take_halves(const block_structure *s, const uint8_t *planes, size_t blocks, size_t block, int64_t half[2])
{
	bool		good = true;

	half[1] = 0;
	for (unsigned h = 0; h < s->halves; h++)
		good &= units_of_half(load16(planes + (h * blocks + block) * 2), &half[h]);
	return good;
}

static int64_t
floor_divide(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

/* The code nearest to the value a * code + b, on the line of the other. */
static uint8_t
moved_code(uint8_t code, int64_t a, int64_t b, int64_t to_a, int64_t to_b, int most)
{
	const int64_t moved = floor_divide(2 * (a * code + b - to_b) + to_a, 2 * to_a);

	return (uint8_t) (moved < 0 ? 0 : moved > most ? most : moved);
}

static void
move_group(uint8_t *code, unsigned count, int64_t a, int64_t b, int64_t to_a, int64_t to_b, int most)
{
	if (to_a == 0 || (a == to_a && b == to_b))
		return;
	for (unsigned i = 0; i < count; i++)
		code[i] = moved_code(code[i], a, b, to_a, to_b, most);
}

void
fields_predict_codes(const block_structure *s, const uint8_t *planes, size_t blocks, uint8_t *parent)
{
	const size_t smalls = smalls_at(s, blocks);
	const unsigned count = s->groups > 0 ? s->codes / s->groups : 0;
	uint8_t    *code = parent + codes_at(s, blocks);

	for (size_t i = 0; i < blocks; i++, code += s->codes)
	{
		int64_t		half[2];
		int64_t		own[2];

		if (!take_halves(s, parent, blocks, i, half) || !take_halves(s, planes, blocks, i, own))
			continue;
		for (unsigned g = 0; g < s->groups; g++)
		{
			int64_t		a;
			int64_t		b;
			int64_t		to_a;
			int64_t		to_b;

			s->line(half, parent + smalls + i * s->smalls, g, &a, &b);
			s->line(own, planes + smalls + i * s->smalls, g, &to_a, &to_b);
			move_group(code + g * count, count, a, b, to_a, to_b, (1 << s->code_bits) - 1);
		}
	}
}

/* ---- which structure it is ---- */

#define SAMPLED ((size_t) 512)	/* blocks */
#define LEAST_BLOCKS 16
#define SCATTER ((size_t) 2654435761u)	/* equal steps would see blocks of one type where those of another lie */

/* How alike the bytes at that place of blocks are: the share of pairs that are equal, of bytes without a pattern 1/256. */
static double
likeness(const uint8_t *content, size_t blocks, size_t stride, size_t at)
{
	uint32_t	count[256] = {0};
	const size_t sampled = blocks < SAMPLED ? blocks : SAMPLED;
	double		pairs = 0;

	for (size_t i = 0; i < sampled; i++)
		count[content[(sampled < blocks ? i * SCATTER % blocks : i) * stride + at]]++;
	for (int i = 0; i < 256; i++)
		pairs += (double) count[i] * count[i];
	return pairs / ((double) sampled * (double) sampled);
}

/* The least likeness of the upper bytes of the scales: sign, exponent and two bits of the mantissa. */
static double
likeness_of_scales(const block_structure *s, const uint8_t *content, size_t blocks)
{
	double		least = 1;

	for (unsigned h = 0; h < s->halves; h++)
	{
		double		found = likeness(content, blocks, s->bytes, s->half_at[h] + 1u);

		least = found < least ? found : least;
	}
	return least;
}

const block_structure *
fields_recognise(const uint8_t *content, size_t bytes)
{
	const block_structure *best = NULL;
	double		most = .015;	/* of bytes without a pattern .006, with those that are compared with themselves; of scales .02 to .3 */

	for (size_t i = 0; i < STRUCTURES; i++)
	{
		const block_structure *s = &structures[i];
		double		found;

		if (s->halves == 0 || bytes % s->bytes != 0 || bytes / s->bytes < LEAST_BLOCKS)
			continue;
		found = likeness_of_scales(s, content, bytes / s->bytes);
		/* where small blocks lie, those of a multiple of their length lie, too: these come later, and must be clearly better */
		if (found > most)
		{
			most = found * 3 / 2;
			best = s;
		}
	}
	return best;
}

/* ---- which width it is ---- */

#define SAMPLED_WORDS ((size_t) 4096)

/* Bits that a sample of words takes, by the entropy of their codes of a width, each less that of the prediction. */
static double
bits_of_width(const uint8_t *content, const uint8_t *prediction, size_t words, unsigned width)
{
	uint32_t	count[256] = {0};
	const size_t sampled = words < SAMPLED_WORDS ? words : SAMPLED_WORDS;
	const uint32_t all = (uint32_t) (sampled * (32 / width));
	double		bits = 0;

	for (size_t i = 0; i < sampled; i++)
	{
		const size_t at = (sampled < words ? i * SCATTER % words : i) * 4;
		uint8_t		code[16];
		uint8_t		other[16] = {0};

		take_word(content + at, width, code);
		if (prediction != NULL)
			take_word(prediction + at, width, other);
		for (unsigned k = 0; k < 32 / width; k++)
			count[(code[k] - other[k]) & ((1 << width) - 1)]++;
	}
	for (unsigned i = 0; i < 1u << width; i++)
		if (count[i] > 0)
			bits -= count[i] * log2((double) count[i] / all);
	return bits;
}

/*
 * Codes of four bits are what is packed nearly always. Pairs of them never take more bits than two, and halves seldom less than
 * one: that others are packed is taken from a clear difference, or from none where there should be one.
 */
const block_structure *
fields_recognise_packed(const uint8_t *content, const uint8_t *prediction, size_t bytes)
{
	const size_t words = bytes / 4;
	double		four;

	if (words < LEAST_BLOCKS || bytes % 4 != 0)
		return NULL;
	four = bits_of_width(content, prediction, words, 4);
	if (bits_of_width(content, prediction, words, 2) < 1.02 * four)
		return fields_structure(FIELDS_PACKED + 2);
	if (bits_of_width(content, prediction, words, 8) < .9 * four)
		return fields_structure(FIELDS_PACKED + 8);
	return fields_structure(FIELDS_PACKED + 4);
}
