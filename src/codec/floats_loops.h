/*
 * floats_loops.h: the float coder's inner loops, for one instruction set.
 *
 * Included by floats_portable.c and floats_avx2.c, which define LOOPS, the name of
 * the table of loops.
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
