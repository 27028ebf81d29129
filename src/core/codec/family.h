/*
 * family.h: fixed coding tables, so that a chunk need not describe its own.
 *
 * What a token is likely to be given the expected change of its element varies
 * little from model to model: three shapes of distribution, each a table for every
 * expected change, code real fine-tunes within half a per cent of tables of their
 * own, which would take more than that to describe, and much longer to read.
 * Which shape is the best is said once a chunk. The numbers are in family_tables.h.
 */
#ifndef SPARSE_CODEC_FAMILY_H
#define SPARSE_CODEC_FAMILY_H

#include "tables.h"

#define FAMILY_SHAPES 3
#define FAMILY_OCTAVE 4			/* contexts an octave of expected change */
#define FAMILY_LOWEST (-10 * FAMILY_OCTAVE)	/* context 0: an expected change of 2^-10 units in the last place */
#define FAMILY_TOP 60			/* from the octave of this context on, low bits are raw */
#define FAMILY_CONTEXTS 88
#define FAMILY_ESCAPE 255		/* the token of all differences that have no token in a context */

/* The tables of a shape: a table for each of FAMILY_CONTEXTS contexts. */
extern void family_load(unsigned shape, tables *t);

#endif
