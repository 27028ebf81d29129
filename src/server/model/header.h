/*
 * header.h: whether the rows of a stored file's tensors say what its header says.
 *
 * Readers go by the rows and give back the bytes of the header, so the two must
 * agree; the SHA-256 of the file tells nothing of the rows' names, dtypes and shapes.
 */
#ifndef SPARSE_MODEL_HEADER_H
#define SPARSE_MODEL_HEADER_H

#include "postgres.h"

#include "layout.h"

/* `tensor` as the row calls it, or where there is no row, the header. */
typedef void (*HeaderProblem) (void *state, const char *tensor, const char *problem);

/*
 * Compares them, and calls `problem` for each difference. `header`: the bytes of the
 * file's own object; one that is no header is an error. As the store's owner,
 * within SPI_connect.
 */
extern void header_compare(int64 version, const VersionFile *file, const char *header,
						   HeaderProblem problem, void *state);

#endif
