/*
 * push_kin.h: what may predict the tensors of a version that is pushed: those local files that are files of its parents.
 *
 * With them the client looks for predictions as an import does (kin.h), and the server need not. Where a parent is not at hand
 * there is nothing of it here; the server's commit then looks itself.
 */
#ifndef SPARSE_CLIENT_PUSH_KIN_H
#define SPARSE_CLIENT_PUSH_KIN_H

#include "have.h"
#include "kin.h"
#include "local.h"

typedef struct push_kin
{
	const local_version *local;
	const haves *haves;
	int			parents;		/* of which there is something at hand */
	int			files;			/* of these: */
	const model **file;
	int		   *parent_of;
	unsigned long *element;		/* of haves, from 1 */
	int32_t   **depth;			/* of the chains of their tensors, in the store */
	bool	  **late;			/* of each local file, by part: what others of the file may predict; NULL: it has no tensors */
	bool	  **done;			/* ... and the opposite */
	int32_t		max_depth;		/* settings of the server */
	int			effort;
	uint32_t	delta_type;		/* number of the type sdelta */
} push_kin;

/* Asks the server about the parents of the version `id`, which it has begun: those that it names, else the ones given. */
extern void push_kin_open(push_kin *k, conn *c, const local_version *local, const haves *haves, const char *id,
						  const name_list *parents);
extern void push_kin_close(push_kin *k);

/* Whether there is any. */
extern bool push_kin_has(const push_kin *k);

/* Whether a tensor may be predicted from others of its file. */
extern bool push_kin_is_late(const push_kin *k, const local_file *file, const sparse_tensor *tensor);

/* What a lane looks for the tensors of a local file in. */
extern void push_kin_files(const push_kin *k, const local_file *file, sparse_codec *codec, kin_files *files);

/* What the server is to be told of a prediction, for sparse_write_deltas. */
typedef struct push_parents
{
	wire_array	number;			/* bigint[], rows of three */
	char	   *have;			/* text[], of what is named */
	wire_array	factor;			/* sdelta[]: what was worked out */
	size_t		factor_bytes;	/* of the deltas */
} push_parents;

/* Of the part that was chosen for; the codec is the lane's. Starts zeroed, and is used again and again. */
extern void push_kin_name(const push_kin *k, const local_file *file, const kin_part *part, sparse_codec *codec,
						  push_parents *parents);
extern void push_parents_release(push_parents *parents);

#endif
