/*
 * kin.h: local files as the core's source of tensors: a child, and the parents that predict it.
 *
 * A parent is one file, or several that kin_join puts together: the shards of a model.
 *
 * The parts of a file are numbered: 0 is its header, or all of a file without tensors; then come its tensors,
 * then the gaps between them. What
 * predicts a part is chosen by the core as an import chooses it; the factors that it found for that part
 * are kept until the next one.
 */
#ifndef SPARSE_CLIENT_KIN_H
#define SPARSE_CLIENT_KIN_H

#include "codec/grid.h"
#include "model.h"
#include "recipes/factors.h"
#include "recipes/prediction.h"
#include "recipes/recipes.h"

typedef struct kin_files
{
	const model *child;
	const model *const *file;	/* of the parents */
	int			files;
	const int  *parent_of;		/* of each; NULL: it is one for itself */
	int			parents;
	bool	   *done;			/* of the child's parts: which may predict others; NULL: all */
	const int32_t *const *depth;	/* of the chains that the tensors of each file end; NULL: 0 */
	int32_t		max_depth;		/* what is as deep predicts nothing; 0: there is no limit */
	uint64_t	chunk_bytes;	/* of the part that is chosen for; 0: as compress cuts it */
	int			effort;			/* of environments (recipes/environment.h) */
	sparse_codec *codec;
	kin_index  *index;
	sparse_source source;		/* of objects in files */
	sparse_factors factors;		/* and of those that were found for the part at hand */
} kin_files;

/* A part, and what predicts it. */
typedef struct kin_part
{
	const char *label;
	uint64_t	first;			/* byte of the child */
	sparse_grid grid;
	sparse_prediction prediction;

	/* what it was chosen by, for coding */
	kin_files  *files;
	sparse_environment environment;
	sparse_subject subject;
	sparse_coder coder;
	sparse_proposals proposals;
} kin_part;

/* Where an object of a prediction that is no factor lies. */
typedef struct kin_place
{
	int			owner;			/* 0: the child; from 1: a file of a parent */
	uint32_t	part;			/* of the file */
	uint64_t	first;			/* byte of the file */
	uint64_t	bytes;
} kin_place;

/* The codec is the caller's; files stay open as long as these. */
extern void kin_open(kin_files *k, const model *child, const model *const *file, int files, sparse_codec *codec);
extern void kin_close(kin_files *k);

/* Says which parent each file belongs to, of so many, each of which has one. */
extern void kin_join(kin_files *k, const int *parent_of, int parents);

extern uint32_t kin_parts(const model *m);

/* Whether a part may be predicted from others of the child, which must come before it. */
extern bool kin_wants_siblings(kin_files *k, uint32_t part);

/* Describes a part, and names what may predict it as it is; kin_part is large. */
extern void kin_turn_to(kin_files *k, uint32_t number, kin_part *part);

/* The same, and chooses what predicts it. Failures end the program. */
extern void kin_choose(kin_files *k, uint32_t number, kin_part *part);

/* Then: chooses among what predicts it as it is. */
extern void kin_choose_as_it_is(kin_files *k, kin_part *part);

extern void kin_locate(const kin_files *k, int64_t object, kin_place *place);

/* Codes a chunk of the part whose content is given: room for kin_most_bytes in `predicted`. The delta is the codec's. */
extern uint64_t kin_most_bytes(const kin_part *part);
extern void kin_encode(const kin_part *part, uint64_t first, uint64_t bytes, const void *content, void *predicted,
					   const uint8_t **delta, size_t *delta_bytes);

#endif
