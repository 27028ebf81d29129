/*
 * pull.h: what the parts of pg_sparse pull share: the files to get, and the pieces
 * in which they are asked for.
 */
#ifndef SPARSE_CLIENT_PULL_H
#define SPARSE_CLIENT_PULL_H

#include <stdatomic.h>

#include "have.h"
#include "partial.h"
#include "remote.h"

/* A tensor, as far as it says where chunks begin. */
typedef struct pull_cut
{
	uint64_t	first;			/* byte of the file */
	uint64_t	chunk_bytes;	/* of a chunk, as the server most likely cuts it */
} pull_cut;

typedef struct pull_file
{
	char	   *path;			/* within the version */
	char	   *place;			/* where it goes */
	uint64_t	bytes;
	uint8_t		sha256[SHA256_BYTES];
	pull_cut   *cut;			/* in order */
	unsigned long cuts;
	bool		present;		/* it is there already, and right */
	partial		part;
	unsigned long first_piece;
	unsigned long pieces;
} pull_file;

/* A range that one query asks for, or one that is there (reached is then its end). */
typedef struct pull_piece
{
	pull_file  *file;
	uint64_t	first;
	uint64_t	end;
	uint64_t	reached;		/* written up to here; guarded by the puller's lock */
} pull_piece;

typedef struct pull_version
{
	char		id[24];
	pull_file  *file;			/* in order of path, each once */
	unsigned long count;
	uint64_t	bytes;
	bool		alone;			/* the version has one file, and no more */
	const patterns *taken;		/* which files are meant; NULL: all */
	bool		factors;		/* the server can send what chunks need before them */
	uint64_t	wanted;			/* bytes of content that were not there when the pull began */
	_Atomic uint64_t sent;		/* bytes that came for them */
} pull_version;

/* Looks up the version and those of its files that are meant (NULL: all); refuses paths that lead elsewhere. */
extern void pull_version_open(pull_version *v, conn *c, const char *reference, const patterns *files);

/* A number of a listing, at most `most`; else the listing is malformed, and the program ends. */
extern uint64_t pull_get_number(const PGresult *result, int row, int column, uint64_t most);

/* Learns where chunks begin. */
extern void pull_version_cuts(pull_version *v, conn *c);

extern void pull_version_close(pull_version *v);

/*
 * A place to cut [at, end) of a file about `wanted` bytes behind `at`: before a tensor if one begins near enough,
 * or else between two chunks. What lies across is sent twice: a chunk, or what the chunks of a tensor need.
 */
extern uint64_t pull_next_cut(const pull_file *file, uint64_t at, uint64_t end, uint64_t wanted);

/* Whole files to standard output, or some tensors as a safetensors file of their own. */
extern void pull_stream(conn *c, pull_version *v, const haves *h);
extern void pull_tensors(conn *c, pull_version *v, const haves *h, const remote *r);

#endif
