/*
 * stream.h: a stored file, from its first byte to its last, in pieces.
 *
 * A stream lives in a memory context and keeps neither portal nor SPI connection
 * between its pieces, so that it can go on over savepoints and in the middle of a
 * query. All its functions as the store's owner, within SPI_connect.
 */
#ifndef SPARSE_MODEL_STREAM_H
#define SPARSE_MODEL_STREAM_H

#include "postgres.h"

#include "layout.h"

typedef struct FileStream FileStream;

/* `version` and `file` must outlive the stream; it is released with `context`. */
extern FileStream *file_stream_open(MemoryContext context, const StoreVersion *version,
							   const VersionFile *file);

/*
 * The next piece, about PIECE_BYTES of the file, valid until the next call; an empty file has one,
 * empty piece. NULL after the last one, once the checksum of all of them was found
 * to be the file's; if it is not: data_corrupted.
 */
extern bytea *file_stream_next(FileStream *stream);

#endif
