/*
 * partial.h: a file that arrives in pieces, in any order, over several runs of the
 * program.
 *
 * What has arrived lies in ".pg_sparse-DIGITS.part" beside the file that it is to
 * become, the digits being the beginning of the SHA-256 of its name; beside it
 * ".pg_sparse-DIGITS.journal" says which ranges of it, with the XXH3 of each. The
 * journal is a text:
 *
 *      pg_sparse 0 SHA-256 BYTES           of the whole file
 *      FIRST LENGTH XXH3                   a line for each range written
 *
 * It is believed in nothing: a later run reads every range and compares, so that
 * neither a crash of the machine nor a torn line can do harm. The file gets its name
 * only when the caller has checked all of it.
 */
#ifndef SPARSE_CLIENT_PARTIAL_H
#define SPARSE_CLIENT_PARTIAL_H

#include "files.h"

typedef struct interval
{
	uint64_t	first;
	uint64_t	end;
} interval;

typedef struct partial
{
	source		file;			/* what has arrived; its path is the part's */
	char	   *path;			/* that it will have */
	char	   *part;
	char	   *journal_path;
	int			journal;
	interval   *done;			/* of earlier runs: in order, apart from each other */
	unsigned long count;
} partial;

/* Opens or begins it, alone: another program that has it open is an error. */
extern void partial_open(partial *p, const char *path, uint64_t bytes, const uint8_t sha256[SHA256_BYTES]);

/* Writes a range whose XXH3 that is. May be called by several threads. */
extern void partial_put(partial *p, uint64_t first, const void *bytes, size_t length, uint64_t xxh3);

/* Syncs the file, which stays open, and so locked, until it has its name. */
extern void partial_seal(partial *p);

/* Gives the sealed file its name. */
extern void partial_publish(partial *p);

/* Leaves nothing of it on disk; what is open stays so, for threads may be writing: the caller ends the program. */
extern void partial_discard(const partial *p);

#endif
