/*
 * answer.h: more ways to take a value out of a row of an answer, beside those of
 * store/query.h, and the connection that queries need.
 */
#ifndef SPARSE_MODEL_ANSWER_H
#define SPARSE_MODEL_ANSWER_H

#include "postgres.h"
#include "compat.h"

#include "store/query.h"
#include "store/store.h"

/* SPI_connect and SPI_finish, checked. */
extern void answer_connect(void);
extern void answer_finish(void);

extern bool row_is_null(const SPITupleTable *rows, uint64 row, int column);

/* A text, copied into `context`. */
extern char *row_text(MemoryContext context, const SPITupleTable *rows, uint64 row, int column);

/* A bytea that must have 32 bytes. */
extern void row_sha256(const SPITupleTable *rows, uint64 row, int column,
					   uint8 sha256[SPARSE_SHA256_BYTES]);

/* An array of `type` from `count` values. */
extern Datum array_datum(Oid type, Datum *value, int count);

extern Datum sha256_datum(const uint8 sha256[SPARSE_SHA256_BYTES]);

#endif
