/*
 * bytes.h: little-endian loads and stores, and a cursor that never over-reads.
 *
 * Everything stored is little-endian. memcpy is the only access to unaligned
 * memory; on little-endian machines a compiler makes one instruction of it. A
 * cursor refuses, once and for all, whatever lies beyond its end: parse with it,
 * test cursor_ok() after a group of reads.
 */
#ifndef SPARSE_CODEC_BYTES_H
#define SPARSE_CODEC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sparse is for little-endian machines, and this one is not: its deltas would be read and written wrongly"
#endif
#if UINTPTR_MAX < UINT64_MAX
#error "sparse is for machines of 64 bits, and this one has fewer: models are larger than its addresses"
#endif

#define SPARSE_DEFINE_ACCESS(bits) \
	static inline uint##bits##_t load##bits(const void *from) \
	{ \
		uint##bits##_t value; \
		memcpy(&value, from, sizeof(value)); \
		return value; \
	} \
	static inline void store##bits(void *to, uint##bits##_t value) \
	{ \
		memcpy(to, &value, sizeof(value)); \
	}

SPARSE_DEFINE_ACCESS(16)
SPARSE_DEFINE_ACCESS(32)
SPARSE_DEFINE_ACCESS(64)

typedef struct cursor
{
	const uint8_t *at;
	const uint8_t *end;
	bool		failed;
} cursor;

static inline cursor
cursor_over(const void *bytes, size_t length)
{
	const uint8_t *start = (const uint8_t *) bytes;

	return (cursor) {start, start + length, false};
}

static inline bool
cursor_ok(const cursor *c)
{
	return !c->failed;
}

static inline size_t
cursor_left(const cursor *c)
{
	return (size_t) (c->end - c->at);
}

/* The next `length` bytes, or NULL when there are fewer. */
static inline const uint8_t *
cursor_take(cursor *c, size_t length)
{
	const uint8_t *start = c->at;

	if (c->failed || cursor_left(c) < length)
	{
		c->failed = true;
		return NULL;
	}
	c->at += length;
	return start;
}

static inline uint8_t
cursor_u8(cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? *p : 0;
}

static inline uint32_t
cursor_u32(cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);

	return p ? load32(p) : 0;
}

/* Sections of a payload are a 32-bit length, then that many bytes. */
static inline cursor
cursor_section(cursor *c)
{
	uint32_t	length = cursor_u32(c);
	const uint8_t *p = cursor_take(c, length);

	return p ? cursor_over(p, length) : (cursor) {NULL, NULL, true};
}

#endif
