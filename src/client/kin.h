/*
 * kin.h: local files as the core's source of tensors: a child, and the parents that predict it.
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
	const model *const *parent;
	int			parents;
	bool	   *done;			/* of the child's parts: which may predict others; NULL: all */
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
	int			owner;			/* 0: the child; from 1: a parent */
	uint32_t	part;			/* of the file */
	uint64_t	first;			/* byte of the file */
	uint64_t	bytes;
} kin_place;

/* The codec is the caller's; files stay open as long as these. */
extern void kin_open(kin_files *k, const model *child, const model *const *parent, int parents, sparse_codec *codec);
extern void kin_close(kin_files *k);

extern uint32_t kin_parts(const model *m);

/* Whether a part may be predicted from others of the child, which must come before it. */
extern bool kin_wants_siblings(kin_files *k, uint32_t part);

/* Describes a part, and names what may predict it as it is; kin_part is large. */
extern void kin_turn_to(kin_files *k, uint32_t number, kin_part *part);

/* The same, and chooses what predicts it. Failures end the program. */
extern void kin_choose(kin_files *k, uint32_t number, kin_part *part);

extern void kin_locate(const kin_files *k, int64_t object, kin_place *place);

/* Codes a chunk of the part whose content is given: room for kin_most_bytes in `predicted`. The delta is the codec's. */
extern uint64_t kin_most_bytes(const kin_part *part);
extern void kin_encode(const kin_part *part, uint64_t first, uint64_t bytes, const void *content, void *predicted,
					   const uint8_t **delta, size_t *delta_bytes);

#endif
