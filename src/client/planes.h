/*
 * planes.h: elements as byte planes, for the peer codecs of pg_sparse bench.
 *
 * Plane b holds byte b of every element, the lowest first:
 *
 *      e0 e1 e2 ...  ->  e0.0 e1.0 e2.0 ... | e0.1 e1.1 e2.1 ... | ...
 *
 * The loops are vectorised, with AVX2 where the machine has it, so that a peer
 * loses no time here that its authors' implementation would not.
 */
#ifndef SPARSE_CLIENT_PLANES_H
#define SPARSE_CLIENT_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * `count` elements of 1, 2, 4 or 8 bytes, XORed with those at `prediction`
 * unless that is NULL, then rotated left by `rotation` bits (which brings the
 * exponent of a bf16 or fp32 to a byte of its own), into planes.
 */
extern void planes_split(const uint8_t *content, const uint8_t *prediction, uint8_t *planes,
						 size_t count, unsigned element_bytes, unsigned rotation);

/* The reverse. */
extern void planes_join(const uint8_t *planes, const uint8_t *prediction, uint8_t *content,
						size_t count, unsigned element_bytes, unsigned rotation);

#endif
