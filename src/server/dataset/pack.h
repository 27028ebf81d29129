/*
 * pack.h: numbers and runs of bytes, put into a buffer and taken out again.
 *
 * What is taken out was stored by somebody: every length is compared with what is
 * left before it is used, and the first that does not fit raises data_corrupted.
 */
#ifndef SPARSE_DATASET_PACK_H
#define SPARSE_DATASET_PACK_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* A number in groups of seven bits, the lowest first; a set high bit says that more follow. */
static inline void
pack_number(StringInfo out, uint64 value)
{
	char		byte[10];
	int			length = 0;

	for (; value > 127; value >>= 7)
		byte[length++] = (char) (value | 128);
	byte[length++] = (char) value;
	appendBinaryStringInfo(out, byte, length);
}

/* A signed one: 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
static inline void
pack_signed(StringInfo out, int64 value)
{
	pack_number(out, ((uint64) value << 1) ^ (uint64) (value >> 63));
}

/* Bytes that are being taken out. */
typedef struct Unpack
{
	const char *at;
	const char *end;
} Unpack;

pg_noreturn static inline void
unpack_failed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a chunk of a dataset is corrupt"),
			 errdetail("Its values do not fit into its bytes.")));
	pg_unreachable();
}

static inline size_t
unpack_left(const Unpack *in)
{
	return in->end - in->at;
}

static inline const char *
unpack_bytes(Unpack *in, uint64 length)
{
	const char *bytes = in->at;

	if (length > unpack_left(in))
		unpack_failed();
	in->at += length;
	return bytes;
}

static inline uint64
unpack_number(Unpack *in)
{
	uint64		value = 0;

	for (int shift = 0;; shift += 7)
	{
		uint8		byte = *(const uint8 *) unpack_bytes(in, 1);

		if (shift > 63 || (shift == 63 && byte > 1))
			unpack_failed();
		value |= (uint64) (byte & 127) << shift;
		if (byte < 128)
			return value;
	}
}

static inline int64
unpack_signed(Unpack *in)
{
	uint64		value = unpack_number(in);

	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

#endif
