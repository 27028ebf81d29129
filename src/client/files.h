/*
 * files.h: the files that commands read, and the one they write.
 *
 * Sources are read by position and must not change meanwhile. The output is
 * written under a temporary name in its own directory, synced, and renamed into
 * place only when it is complete and known to be right; whichever way the program
 * ends before that, by an error or by a signal, nothing is left of it.
 *
 * All failures end the program (see client.h).
 */
#ifndef SPARSE_CLIENT_FILES_H
#define SPARSE_CLIENT_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/stat.h>

#include "deltafile.h"
#include "progress.h"

/* ---- SHA-256 ---- */

typedef struct sha256 sha256;

extern sha256 *sha256_create(void);
extern void sha256_add(sha256 *sum, const void *bytes, size_t length);

/* Leaves the digest and releases the sum. */
extern void sha256_finish(sha256 *sum, uint8_t digest[SHA256_BYTES]);

/* 64 hexadecimal digits and a zero. */
extern void sha256_text(const uint8_t digest[SHA256_BYTES], char text[2 * SHA256_BYTES + 1]);

/* ---- sources ---- */

typedef struct source
{
	const char *path;
	int			fd;
	uint64_t	bytes;
	struct stat identity;
	const uint8_t *view;		/* see source_map; NULL: none */
} source;

/* Opens a regular file; nothing else is waited for or read. */
extern void source_open(source *file, const char *path);

/* Reads exactly those bytes. */
extern void source_read(const source *file, uint64_t first, void *bytes, size_t length);

/*
 * Maps all of the file at `view`: its bytes can be read there without being copied. A
 * file that becomes shorter meanwhile ends the program, with a message. Where mapping
 * is not possible there is no view.
 */
extern void source_map(source *file);

/* Those bytes: in the view, or read into `buffer`. */
extern const uint8_t *source_get(const source *file, uint64_t first, size_t length, uint8_t *buffer);

extern void source_close(source *file);

/* Whether the file is still as it was when it was opened. */
extern bool source_is_unchanged(const source *file);

/* Fails unless the file is still as it was when it was opened. */
extern void source_check_unchanged(const source *file);

/* Reads all of it; draws its own progress. */
extern void source_sha256(const source *file, bool quiet, uint8_t digest[SHA256_BYTES]);

/* Lets this process have as many files open as it may. */
extern void open_many_files(void);

/* ---- the output ---- */

#define MAX_SOURCES (1 + DELTAFILE_MAX_BASES)

/*
 * Creates the one output of the program. It may not be one of the sources, at most
 * MAX_SOURCES, which stay open until output_commit.
 */
extern void output_create(const char *path, const source *const *sources, int count);

extern void output_write(const void *bytes, size_t length);

/* Writes at a place of its own, and reads what was written: for what does not come in order. */
extern void output_write_at(uint64_t first, const void *bytes, size_t length);
extern void output_read(uint64_t first, void *bytes, size_t length);

/* The bytes written so far. */
extern uint64_t output_bytes(void);

/* A rename is safe on disk once its directory is. */
extern void sync_directory_of(const char *path);

/* Makes sure that no source has changed since it was opened, syncs the output and gives it its name. */
extern void output_commit(void);

#endif
