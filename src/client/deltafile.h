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

#define DELTAFILE_VERSION 1
#define DELTAFILE_HEAD 72
#define DELTAFILE_PART 48		/* before the label */
#define DELTAFILE_END 56
#define DELTAFILE_MAX_CHUNK ((uint64_t) 4 << 20)		/* content bytes of a chunk */
#define DELTAFILE_MAX_PREDICTION ((uint64_t) 8 << 20)	/* bytes that its references add up to */
#define DELTAFILE_MAX_LABEL 65535
#define DELTAFILE_DELTA_OVERHEAD SPARSE_DELTA_HEAD
#define SHA256_BYTES 32

typedef enum deltafile_kind
{
	DELTAFILE_BYTES = 0,
	DELTAFILE_SAFETENSORS = 1
} deltafile_kind;

typedef struct deltafile_head
{
	deltafile_kind kind;
	bool		has_base;
	uint64_t	child_bytes;
	uint64_t	base_bytes;
	uint8_t		base_sha256[SHA256_BYTES];
} deltafile_head;

typedef struct deltafile_part
{
	bool		is_tensor;
	const char *label;			/* zero-terminated */
	sparse_grid grid;
	uint64_t	base_first;		/* bytes of the base that are parent 0 */
	uint64_t	base_bytes;
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

/* The bytes of a name that fit a label, up to a character's end. */
extern size_t deltafile_label_bytes(const char *name);

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
