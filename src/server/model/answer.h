/*
 * answer.h: more ways to take a value out of a row of an answer, beside those of
 * store/query.h, and the connection that queries need.
 */
#ifndef SPARSE_MODEL_ANSWER_H
#define SPARSE_MODEL_ANSWER_H

#include "postgres.h"
#include "compat.h"

#include "fmgr.h"
#include "utils/tuplestore.h"

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
extern void row_checksum(const SPITupleTable *rows, uint64 row, int column,
						 uint8 checksum[SPARSE_CHECKSUM_BYTES]);

/* The answer of a set-returning function that gives it as a whole: its rows, and where to put them. */
typedef struct Answer
{
	Tuplestorestate *rows;
	TupleDesc	columns;
} Answer;

extern void answer_begin(FunctionCallInfo fcinfo, Answer *answer);

/* Adds the row, without its first `skip` columns, which must be the columns of the answer. */
extern void answer_add_row(Answer *answer, const SPITupleTable *rows, uint64 row, int skip);

extern void answer_add(Answer *answer, const Datum *value, const bool *null);

/* Room for a bytea of `bytes` bytes; more than a value can hold is an error with `hint`. */
extern bytea *answer_bytes(MemoryContext context, uint64 bytes, const char *what, const char *hint);

/* An array of `type` from `count` values. */
extern Datum array_datum(Oid type, Datum *value, int count);

extern Datum sha256_datum(const uint8 sha256[SPARSE_SHA256_BYTES]);
extern Datum checksum_datum(const uint8 checksum[SPARSE_CHECKSUM_BYTES]);

#endif
