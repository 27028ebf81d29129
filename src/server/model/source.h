/*
 * source.h: where the bytes of a file to be imported come from: a file of the
 * server, or a bytea.
 */
#ifndef SPARSE_MODEL_SOURCE_H
#define SPARSE_MODEL_SOURCE_H

#include "postgres.h"
#include "compat.h"

#define PIECE_BYTES ((uint64) 1 << 20)	/* what is read, hashed or returned at a time */

typedef struct Source Source;

/* A path of the server as a user gives it, canonical. It must be absolute, as COPY demands. */
extern char *server_path(const char *path);

/*
 * Of the sources that were opened with one OpenFile, one file at a time is open:
 * a folder may hold more files than a backend may open. Starts zeroed.
 */
typedef struct OpenFile
{
	const Source *source;		/* NULL: none is open */
	int			fd;
} OpenFile;

/* Must be a regular file, or a link to one. */
extern Source *source_of_file(OpenFile *open_file, const char *path);

/* `data` must outlive the source. */
extern Source *source_of_bytes(const char *data, uint64 bytes);

extern uint64 source_bytes(const Source *source);

/* What errors call it. */
extern const char *source_name(const Source *source);

/* Copies `bytes` bytes from byte `first` on to `target`. A file that has become shorter is an error. */
extern void source_read(Source *source, uint64 first, uint64 bytes, char *target);

/* The error for a file that is not any more what it was when the import began. */
pg_noreturn extern void source_has_changed(const Source *source);

extern void open_file_close(OpenFile *open_file);

#endif
