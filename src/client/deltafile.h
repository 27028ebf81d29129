/*
 * deltafile.h: the delta file, written and read from front to back.
 *
 * docs/delta-file.md is the normative description. Reader and writer here know
 * records and their rules, nothing of files, bases or SHA-256: bytes come and go
 * through a callback, so that a fuzzer can drive them from memory. Memory is
 * bounded by one chunk's delta, whatever the file claims.
 */
#ifndef SPARSE_CLIENT_DELTAFILE_H
#define SPARSE_CLIENT_DELTAFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/delta.h"
#include "codec/grid.h"
#include "codec/message.h"

#define DELTAFILE_VERSION 2		/* of what is written; 1 is read, too */
#define DELTAFILE_MAX_BASES 16
#define DELTAFILE_HEAD(bases) ((size_t) 32 + 40 * (bases))	/* bytes; of format 1: with one base */
#define DELTAFILE_END ((size_t) 42)	/* bytes of the end, about */
#define DELTAFILE_MAX_HEAD DELTAFILE_HEAD(DELTAFILE_MAX_BASES)
#define DELTAFILE_MAX_NUMBER 10	/* bytes of a number */
#define DELTAFILE_MAX_CHUNK ((uint64_t) 4 << 20)		/* content bytes of a chunk */
#define DELTAFILE_MAX_LABEL 65535
#define DELTAFILE_DELTA_OVERHEAD SPARSE_DELTA_HEAD
#define SHA256_BYTES 32

/* (Numbered as sparse_file_kind.) */
typedef enum deltafile_kind
{
	DELTAFILE_BYTES = 0,
	DELTAFILE_SAFETENSORS = 1,
	DELTAFILE_GGUF = 2,
	DELTAFILE_PYTORCH = 3
} deltafile_kind;

typedef struct deltafile_base
{
	uint64_t	bytes;
	uint8_t		sha256[SHA256_BYTES];
} deltafile_base;

typedef struct deltafile_head
{
	int			version;
	deltafile_kind kind;
	uint64_t	child_bytes;
	unsigned	bases;
	deltafile_base base[DELTAFILE_MAX_BASES];
} deltafile_head;

typedef enum deltafile_part_kind
{
	DELTAFILE_PART_BYTES = 0,	/* of the child: a header, or all of it */
	DELTAFILE_PART_TENSOR = 1,
	DELTAFILE_PART_FACTOR = 2	/* of no place in the child: what parts behind it are computed from */
} deltafile_part_kind;

/* Bytes that references of a part's chunks count from: of a base, or of a part before it (number: the bases, then the parts). */
typedef struct deltafile_source
{
	uint64_t	number;
	bool		whole;			/* all of it */
	uint64_t	first;
	uint64_t	bytes;
} deltafile_source;

typedef struct deltafile_part
{
	deltafile_part_kind kind;
	const char *label;			/* zero-terminated */
	sparse_grid grid;
	uint64_t	place;			/* byte of the child where it begins; of a factor 0 */
	unsigned	sources;
	deltafile_source source[SPARSE_MAX_REFS];
} deltafile_part;

typedef struct deltafile_chunk
{
	uint64_t	first;			/* byte of the part's content */
	uint64_t	bytes;
	const uint8_t *delta;
	size_t		delta_bytes;
	sparse_delta_info info;		/* references checked against the part */
} deltafile_chunk;

typedef struct deltafile_end
{
	uint64_t	parts;
	uint8_t		child_sha256[SHA256_BYTES];
} deltafile_end;

/* ---- writing ---- */

/* Takes all the bytes or returns false. */
typedef bool (*deltafile_put) (void *state, const void *bytes, size_t length);

typedef struct deltafile_writer deltafile_writer;

/*
 * Writes the head. NULL when memory ran out; whether writing succeeded is said by
 * deltafile_finish, which is the last call. In between, for each part: the part,
 * then the deltas of its chunks in order.
 */
extern deltafile_writer *deltafile_create(deltafile_put put, void *state, const deltafile_head *head);
extern void deltafile_put_part(deltafile_writer *writer, const deltafile_part *part);
extern void deltafile_put_delta(deltafile_writer *writer, const void *delta, size_t bytes);

/* Writes the end. False if any write failed. */
extern bool deltafile_finish(deltafile_writer *writer, const uint8_t child_sha256[SHA256_BYTES]);

extern void deltafile_writer_free(deltafile_writer *writer);

/* ---- reading ---- */

/* Delivers up to `length` bytes; fewer only at the end of the file. */
typedef size_t (*deltafile_get) (void *state, void *bytes, size_t length);

typedef struct deltafile_reader deltafile_reader;

typedef enum deltafile_next
{
	DELTAFILE_FAILED,			/* deltafile_error() says why */
	DELTAFILE_IS_PART,
	DELTAFILE_IS_CHUNK,
	DELTAFILE_IS_END
} deltafile_next;

/* Reads and checks the head. NULL when memory ran out; otherwise ask deltafile_error(). */
extern deltafile_reader *deltafile_open(deltafile_get get, void *state);

/* NULL as long as nothing failed; otherwise one sentence. */
extern const char *deltafile_error(const deltafile_reader *reader);

/* The status behind deltafile_error(). */
extern sparse_status deltafile_status(const deltafile_reader *reader);

extern const deltafile_head *deltafile_get_head(const deltafile_reader *reader);

/*
 * Reads the next record: a part, then each of its chunks, and at last the end,
 * after which nothing may follow. What it delivers can be read through the
 * functions below until the next call.
 */
extern deltafile_next deltafile_read_next(deltafile_reader *reader);

extern const deltafile_part *deltafile_get_part(const deltafile_reader *reader);
extern const deltafile_chunk *deltafile_get_chunk(const deltafile_reader *reader);
extern const deltafile_end *deltafile_get_end(const deltafile_reader *reader);

extern void deltafile_reader_free(deltafile_reader *reader);

#endif
