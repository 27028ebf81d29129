/*
 * push.h: what the parts of pg_sparse push share: a version on its way to the
 * server.
 */
#ifndef SPARSE_CLIENT_PUSH_H
#define SPARSE_CLIENT_PUSH_H

#include "card.h"
#include "have.h"
#include "local.h"
#include "push_kin.h"
#include "remote.h"

/* A chunk that the server wants. */
typedef struct push_chunk
{
	const local_file *file;
	const sparse_tensor *tensor;	/* NULL: of a file without tensors */
	uint32_t	seq;
	uint64_t	file_offset;
	uint64_t	bytes;
	bool		wanted;
	bool		predicted;		/* as the server says, by this: */
	wire_range	prediction;
} push_chunk;

/* Chunks that go together: one, or all of a tensor, which is looked for in its parents. */
typedef struct push_unit
{
	unsigned long first;
	unsigned long count;
	bool		searched;
	bool		late;			/* what predicts it may be others of its file */
} push_unit;

typedef struct push
{
	local_version local;
	model_card	card;
	haves		haves;
	char		id[24];
	push_kin	kin;			/* what may predict its tensors */
	push_chunk *chunk;
	unsigned long chunks;
	push_unit  *unit;			/* the late ones last */
	unsigned long units;
	uint64_t	bytes;			/* of the content of all */
	uint64_t	sent;			/* bytes of deltas */
	bool		existed;		/* the same content was there, under that name */
} push;

/* What to make of a model. */
typedef struct push_request
{
	const char *path;
	folder_enter enters;		/* which folders below belong to it; NULL: all */
	void	   *enter_state;
	const patterns *files;		/* which of its files; NULL: all */
	const char *name;
	name_list	parents;
	const char **role;			/* of each parent; NULL: finetune */
	bool		also_declared;	/* what the model's own files name is a parent though others are given */
	name_list	haves;
	const char *metadata;		/* NULL: {} */
	const char *message;		/* or NULL */
	bool		no_parent;
	bool		as_bytes;
	bool		quiet;
	int			jobs;
} push_request;

/* Names one more parent; both texts must outlive the request. */
extern void push_add_parent(push_request *r, const char *reference, const char *role);

/* Stores it, and leaves its id and what it took; push_close releases the rest. */
extern void push_model(push *p, conn *c, const push_request *request);
extern void push_close(push *p);

/* Asks which chunks are wanted, and makes units of them. */
extern void push_layout(push *p, conn *c);

/* Makes and sends them, on that many connections. */
extern void push_send(push *p, conn *c, int jobs, bool quiet);

#endif
