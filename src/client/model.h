/*
 * model.h: a source and what it is made of: tensors and what lies around them (plan/format.h),
 * or just bytes.
 */
#ifndef SPARSE_CLIENT_MODEL_H
#define SPARSE_CLIENT_MODEL_H

#include "codec/message.h"
#include "files.h"
#include "plan/format.h"

typedef struct model
{
	source		file;
	sparse_file_kind kind;
	sparse_layout header;		/* when it has tensors */
	const sparse_tensor **by_name;
} model;

/*
 * Opens a file. What is of no format, or malformed, is bytes; if its name says that it
 * ought to be of one, or it is a Git-LFS pointer, a warning says so.
 */
extern void model_open(model *m, const char *path);

/* The same without a word. False: it is bytes, for the reason left in `error`. */
extern bool model_open_any(model *m, const char *path, char error[SPARSE_MESSAGE]);

/* The tensor of that name, or NULL. */
extern const sparse_tensor *model_find(const model *m, const char *name);

/* The kind that a file is by its first bytes, else by its name: if it is sound. */
extern sparse_file_kind model_claims(const model *m);

/* Bytes of the literal. */
extern void model_read_literal(const model *m, uint64_t first, void *target, size_t bytes);

extern void model_close(model *m);

#endif
