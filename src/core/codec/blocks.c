/*
 * blocks.c: the table of ggml's tensor types.
 */
#include "blocks.h"

#include <string.h>

static const sparse_block_type types[] = {
	{0, "F32", 1, 4, SPARSE_F32},
	{1, "F16", 1, 2, SPARSE_F16},
	{2, "Q4_0", 32, 18, SPARSE_BYTES},
	{3, "Q4_1", 32, 20, SPARSE_BYTES},
	{6, "Q5_0", 32, 22, SPARSE_BYTES},
	{7, "Q5_1", 32, 24, SPARSE_BYTES},
	{8, "Q8_0", 32, 34, SPARSE_BYTES},
	{9, "Q8_1", 32, 36, SPARSE_BYTES},
	{10, "Q2_K", 256, 84, SPARSE_BYTES},
	{11, "Q3_K", 256, 110, SPARSE_BYTES},
	{12, "Q4_K", 256, 144, SPARSE_BYTES},
	{13, "Q5_K", 256, 176, SPARSE_BYTES},
	{14, "Q6_K", 256, 210, SPARSE_BYTES},
	{15, "Q8_K", 256, 292, SPARSE_BYTES},
	{16, "IQ2_XXS", 256, 66, SPARSE_BYTES},
	{17, "IQ2_XS", 256, 74, SPARSE_BYTES},
	{18, "IQ3_XXS", 256, 98, SPARSE_BYTES},
	{19, "IQ1_S", 256, 50, SPARSE_BYTES},
	{20, "IQ4_NL", 32, 18, SPARSE_BYTES},
	{21, "IQ3_S", 256, 110, SPARSE_BYTES},
	{22, "IQ2_S", 256, 82, SPARSE_BYTES},
	{23, "IQ4_XS", 256, 136, SPARSE_BYTES},
	{24, "I8", 1, 1, SPARSE_I8},
	{25, "I16", 1, 2, SPARSE_I16},
	{26, "I32", 1, 4, SPARSE_I32},
	{27, "I64", 1, 8, SPARSE_I64},
	{28, "F64", 1, 8, SPARSE_F64},
	{29, "IQ1_M", 256, 56, SPARSE_BYTES},
	{30, "BF16", 1, 2, SPARSE_BF16},
	{34, "TQ1_0", 256, 54, SPARSE_BYTES},
	{35, "TQ2_0", 256, 66, SPARSE_BYTES},
	{39, "MXFP4", 32, 17, SPARSE_BYTES},
	{40, "NVFP4", 64, 36, SPARSE_BYTES},
	{41, "Q1_0", 128, 18, SPARSE_BYTES},
	{42, "Q2_0", 64, 18, SPARSE_BYTES},
};

#define TYPES (sizeof types / sizeof types[0])

const sparse_block_type *
sparse_block_numbered(uint32_t number)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].number == number)
			return &types[i];
	return NULL;
}

const sparse_block_type *
sparse_block_named(const char *name)
{
	for (size_t i = 0; i < TYPES; i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}
