/*
 * planes.c: splits elements into byte planes and joins them (see planes.h).
 *
 * One pair of loops for each width, written once for all of them and compiled
 * twice, portably and for AVX2.
 */
#include "planes.h"

#include <string.h>

#include "codec/simd.h"

/* The server's build flags stop short of the vectoriser; clang needs no more. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define TURN(type, x, left) ((type) ((x) << ((left) & (8 * sizeof(type) - 1)) | (x) >> (-(left) & (8 * sizeof(type) - 1))))

#define LOOPS(name, type, attribute) \
attribute static void \
split_##name(const uint8_t *restrict content, const uint8_t *restrict prediction, \
			 uint8_t *restrict planes, size_t count, unsigned rotation) \
{ \
	for (size_t i = 0; i < count; i++) \
	{ \
		type		x; \
		type		p = 0; \
		\
		memcpy(&x, content + i * sizeof x, sizeof x); \
		if (prediction) \
			memcpy(&p, prediction + i * sizeof p, sizeof p); \
		x ^= p; \
		x = TURN(type, x, rotation); \
		for (size_t b = 0; b < sizeof x; b++) \
			planes[b * count + i] = (uint8_t) (x >> (8 * b)); \
	} \
} \
\
attribute static void \
join_##name(const uint8_t *restrict planes, const uint8_t *restrict prediction, \
			uint8_t *restrict content, size_t count, unsigned rotation) \
{ \
	for (size_t i = 0; i < count; i++) \
	{ \
		type		x = 0; \
		type		p = 0; \
		\
		for (size_t b = 0; b < sizeof x; b++) \
			x |= (type) ((type) planes[b * count + i] << (8 * b)); \
		if (prediction) \
			memcpy(&p, prediction + i * sizeof p, sizeof p); \
		x = TURN(type, x, -rotation); \
		x ^= p; \
		memcpy(content + i * sizeof x, &x, sizeof x); \
	} \
}

typedef void (*plane_loop) (const uint8_t *restrict from, const uint8_t *restrict prediction,
							uint8_t *restrict to, size_t count, unsigned rotation);

LOOPS(u8, uint8_t,)
LOOPS(u16, uint16_t,)
LOOPS(u32, uint32_t,)
LOOPS(u64, uint64_t,)

#ifdef SPARSE_HAVE_AVX2
LOOPS(u8_avx2, uint8_t, TARGET_AVX2)
LOOPS(u16_avx2, uint16_t, TARGET_AVX2)
LOOPS(u32_avx2, uint32_t, TARGET_AVX2)
LOOPS(u64_avx2, uint64_t, TARGET_AVX2)
#endif

/* By the logarithm of the element's bytes. */
static plane_loop
loop_for(unsigned element_bytes, bool splits)
{
	static const plane_loop portable[2][4] = {
		{join_u8, join_u16, join_u32, join_u64}, {split_u8, split_u16, split_u32, split_u64}
	};
#ifdef SPARSE_HAVE_AVX2
	static const plane_loop avx2[2][4] = {
		{join_u8_avx2, join_u16_avx2, join_u32_avx2, join_u64_avx2},
		{split_u8_avx2, split_u16_avx2, split_u32_avx2, split_u64_avx2}
	};

	if (sparse_simd_best() >= SPARSE_SIMD_AVX2)
		return avx2[splits][__builtin_ctz(element_bytes)];
#endif
	return portable[splits][__builtin_ctz(element_bytes)];
}

void
planes_split(const uint8_t *content, const uint8_t *prediction, uint8_t *planes,
			 size_t count, unsigned element_bytes, unsigned rotation)
{
	loop_for(element_bytes, true) (content, prediction, planes, count, rotation);
}

void
planes_join(const uint8_t *planes, const uint8_t *prediction, uint8_t *content,
			size_t count, unsigned element_bytes, unsigned rotation)
{
	loop_for(element_bytes, false) (planes, prediction, content, count, rotation);
}
