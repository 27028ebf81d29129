/*
 * model.h: a source and what it is made of: the tensors of a safetensors file, or
 * just bytes.
 */
#ifndef SPARSE_CLIENT_MODEL_H
#define SPARSE_CLIENT_MODEL_H

#include "codec/message.h"
#include "codec/safetensors.h"
#include "files.h"

typedef struct model
{
	source		file;
	deltafile_kind kind;
	sparse_layout header;	/* when it is a safetensors file */
	const sparse_tensor **by_name;
} model;

/*
 * Opens a file. What cannot be parsed as safetensors is bytes; if its name says that it
 * ought to be one, or it is a Git-LFS pointer, a warning says so.
 */
extern void model_open(model *m, const char *path);

/* The same without a word. False: it is bytes, for the reason left in `error`. */
extern bool model_open_any(model *m, const char *path, char error[SPARSE_MESSAGE]);

/* The tensor of that name, or NULL. */
extern const sparse_tensor *model_find(const model *m, const char *name);

extern void model_close(model *m);

#endif
