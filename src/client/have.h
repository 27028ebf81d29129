/*
 * have.h: the local files that a version may be predicted from.
 *
 * They are known to the server by their SHA-256, whatever they are called; what no
 * version there holds is no help and is left out. In the words of docs/wire.md these
 * are the elements of `have`, each one file.
 */
#ifndef SPARSE_CLIENT_HAVE_H
#define SPARSE_CLIENT_HAVE_H

#include "conn.h"
#include "hashing.h"
#include "model.h"
#include "remote.h"
#include "tape.h"
#include "wire.h"

typedef struct have_file
{
	char	   *path;
	model		content;
	uint8_t		sha256[SHA256_BYTES];
	char		version[24];	/* the newest that holds it; empty: none */
} have_file;

typedef struct haves
{
	have_file  *file;
	unsigned long count;
	char	   *array;			/* as a text[], those that the server knows */
} haves;

/* Opens the files, and those in the folders, and notes their SHA-256 among the jobs. */
extern void haves_open(haves *h, const name_list *paths, hash_jobs *jobs);

/* After hashing: finds a version that holds each. */
extern void haves_find(haves *h, conn *c);

/* The same, and keeps only those for which there is one; warns of models for which there is none. */
extern void haves_ask(haves *h, conn *c);

/*
 * The bytes that the references name, of the files and of the tape (NULL: there is none), joined: in the view of a
 * file, or in *buffer, which grows as it must. NULL, with *problem, when they name what is not there.
 */
extern const uint8_t *haves_get(const haves *h, const tape *t, const wire_refs *refs, wire_buffer *buffer,
								const char **problem);

/*
 * The same range as elements of the tensor (or of the file without tensors) that it
 * lies in, of elements of that dtype. False when it lies in none.
 */
extern bool haves_locate(const haves *h, const wire_range *range, sparse_dtype dtype, sparse_ref *ref);

extern void haves_close(haves *h);

#endif
