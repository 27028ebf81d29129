/*
 * fmdelta.h: FM-Delta (Ning et al., NeurIPS 2024), a peer of pg_sparse bench.
 *
 * Floats are mapped to the integers that order them. Of the difference to the
 * parent's integer, sign and bit length are one symbol of an adaptive model,
 * coded by a 32-bit range coder; the bits below the leading one follow as they
 * are. One model serves a whole tensor. Written from the paper and the behaviour
 * of its authors' program, whose coder is that of fpzip (Lindstrom and Isenburg,
 * 2006): symbols, model, rescaling and coder are the same, so that the sizes are.
 */
#ifndef SPARSE_CLIENT_FMDELTA_H
#define SPARSE_CLIENT_FMDELTA_H

#include <stddef.h>
#include <stdint.h>

/*
 * Encodes `count` floats of 2, 4 or 8 bytes. Returns the bytes written, or 0 when
 * they do not fit in `room`.
 */
extern size_t fmdelta_encode(const uint8_t *content, const uint8_t *prediction, size_t count,
							 unsigned element_bytes, uint8_t *out, size_t room);

extern void fmdelta_decode(const uint8_t *in, size_t bytes, const uint8_t *prediction,
						   uint8_t *content, size_t count, unsigned element_bytes);

#endif
