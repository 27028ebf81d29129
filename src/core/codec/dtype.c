/*
 * dtype.c: the table of element types.
 */
#include "dtype.h"

#include <string.h>

static const sparse_dtype_info dtypes[SPARSE_DTYPES] = {
	[SPARSE_BYTES] = {"BYTES", 1, 0, 0},
	[SPARSE_BOOL] = {"BOOL", 1, 0, 0},
	[SPARSE_U8] = {"U8", 1, 0, 0},
	[SPARSE_I8] = {"I8", 1, 0, 0},
	[SPARSE_U16] = {"U16", 2, 0, 0},
	[SPARSE_I16] = {"I16", 2, 0, 0},
	[SPARSE_U32] = {"U32", 4, 0, 0},
	[SPARSE_I32] = {"I32", 4, 0, 0},
	[SPARSE_U64] = {"U64", 8, 0, 0},
	[SPARSE_I64] = {"I64", 8, 0, 0},
	[SPARSE_F8_E4M3] = {"F8_E4M3", 1, 4, 3},
	[SPARSE_F8_E5M2] = {"F8_E5M2", 1, 5, 2},
	[SPARSE_F16] = {"F16", 2, 5, 10},
	[SPARSE_BF16] = {"BF16", 2, 8, 7},
	[SPARSE_F32] = {"F32", 4, 8, 23},
	[SPARSE_F64] = {"F64", 8, 11, 52},
};

const sparse_dtype_info *
sparse_dtype_get(sparse_dtype dtype)
{
	return &dtypes[dtype];
}

bool
sparse_dtype_find(const char *name, size_t len, sparse_dtype *dtype)
{
	for (int i = 0; i < SPARSE_DTYPES; i++)
		if (strlen(dtypes[i].name) == len && memcmp(dtypes[i].name, name, len) == 0)
		{
			*dtype = (sparse_dtype) i;
			return true;
		}
	return false;
}

/* Dtypes of the format that are kept as bytes. */
static const struct
{
	const char *name;
	unsigned	bits;
}			kept_as_bytes[] = {
	{"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"C64", 64}
};

unsigned
sparse_dtype_bits(const char *name, size_t len)
{
	sparse_dtype dtype;

	/* "BYTES" is our word, not the format's */
	if (sparse_dtype_find(name, len, &dtype))
		return dtype == SPARSE_BYTES ? 0 : 8u * dtypes[dtype].bytes;
	for (size_t i = 0; i < sizeof kept_as_bytes / sizeof kept_as_bytes[0]; i++)
		if (strlen(kept_as_bytes[i].name) == len && memcmp(kept_as_bytes[i].name, name, len) == 0)
			return kept_as_bytes[i].bits;
	return 0;
}
