/*
 * tables.h: the coding tables of a stream of tokens, and their description.
 *
 * A stream's tokens are counted by context, in up to TABLES_CONTEXTS contexts
 * whose neighbours are alike. Neighbours that cost less together than apart (a
 * table takes bytes to describe) share one table. Frequencies are rounded to
 * four significant bits, so that a table is a few bits a symbol; they are scaled
 * to RANS_SLOTS by integer arithmetic, so that every machine derives the same tables from the same description.
 */
#ifndef SPARSE_CODEC_TABLES_H
#define SPARSE_CODEC_TABLES_H

#include "rangecoder.h"
#include "rans.h"

#define TABLES_CONTEXTS 88		/* the most contexts of any stream */

typedef struct tables
{
	unsigned	count;			/* of tables, 1 to TABLES_CONTEXTS */
	uint8_t		of_context[128];	/* by context, and room for vectors: which table a context uses; never decreases */
	uint8_t		code[TABLES_CONTEXTS][RANS_SYMBOLS];	/* rounded weights, as described */
	uint16_t	frequency[TABLES_CONTEXTS][RANS_SYMBOLS];	/* derived from them */
} tables;

/* How often each token came in each context. */
typedef uint32_t tables_histogram[TABLES_CONTEXTS][RANS_SYMBOLS];

/* The frequencies that 256 codes stand for; false when every code is 0. */
extern bool tables_frequencies(const uint8_t *code, uint16_t *frequency);

/*
 * What tokens of these counts, below `symbols`, each `times` over, would take in a table of their own
 * for each context, in 1/65536 bit; descriptions included, but without sharing.
 */
extern uint64_t tables_cost(uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts, unsigned symbols, unsigned times);

/* Destroys the histogram. */
extern void tables_build(tables *t, uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts);

extern void tables_write(const tables *t, unsigned contexts, rc_encoder *e);
extern sparse_status tables_read(tables *t, unsigned contexts, rc_decoder *d);

/* log2 of a positive number, in 1/65536. */
extern uint32_t fixed_log2(uint32_t value);

#endif
