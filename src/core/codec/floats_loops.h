/*
 * floats_loops.h: the float coder's inner loops, for one instruction set.
 *
 * Included by floats_portable.c, floats_avx2.c and floats_avx512.c, which define LOOPS, the name of
 * the table of loops, and LOOPS_BMI2 where its instructions may be used.
 */
#include "floats.h"

/* 1 + half octaves of the block's mean magnitude below the largest exponent. */
static uint8_t
block_scale(const int16_t *below, size_t count)
{
	uint32_t	sum = 0;

	/* 128 elements of at most 2^24 each */
	for (size_t i = 0; i < count; i++)
		sum += below[i] < 24 ? UINT32_C(1) << 24 >> below[i] : 1;
	return (uint8_t) (2 * 24 + 1 - half_octaves(sum / (uint32_t) count));
}

/*
 * Fields of `width` bits, at most 8, eight in a word of as many bytes as they have bits.
 * The arrays' ends are rounded up to eight fields; `bytes` has eight bytes more.
 */
static void
pack_fields(uint8_t *field, size_t count, unsigned width, uint8_t *bytes)
{
	memset(field + count, 0, 8);
	for (size_t i = 0; i < count; i += 8, bytes += width)
	{
		uint64_t	word = 0;

#ifdef LOOPS_BMI2
		word = _pext_u64(load64(field + i), UINT64_C(0x0101010101010101) * ((1u << width) - 1));
#else
		for (unsigned k = 0; k < 8; k++)
			word |= (uint64_t) field[i + k] << (k * width);
#endif
		store64(bytes, word);
	}
}

static void
unpack_fields(const uint8_t *bytes, size_t count, unsigned width, uint8_t *field)
{
	for (size_t i = 0; i < count; i += 8, bytes += width)
	{
		const uint64_t word = load64(bytes);

#ifdef LOOPS_BMI2
		store64(field + i, _pdep_u64(word, UINT64_C(0x0101010101010101) * ((1u << width) - 1)));
#else
		for (unsigned k = 0; k < 8; k++)
			field[i + k] = (uint8_t) (word >> (k * width) & ((1u << width) - 1));
#endif
	}
}

#define WIDTH 8
#include "floats_width.h"
#define WIDTH 16
#include "floats_width.h"
#define WIDTH 32
#include "floats_width.h"
#define WIDTH 64
#include "floats_width.h"

const float_loops LOOPS[4] = {
	{survey8, encode8, restore8},
	{survey16, encode16, restore16},
	{survey32, encode32, restore32},
	{survey64, encode64, restore64},
};
