/*
 * recipes.h: proposals of predictions: from what, and how, a tensor might be computed.
 */
#ifndef SPARSE_RECIPES_RECIPES_H
#define SPARSE_RECIPES_RECIPES_H

#include "environment.h"
#include "recipe.h"

#define SPARSE_MAX_RECIPES 64
#define SPARSE_MAX_CANDIDATES 8

/* Objects that predict the tensor as they are, and recipes that compute it. */
typedef struct sparse_proposals
{
	int			candidates;
	int64_t		candidate[SPARSE_MAX_CANDIDATES];
	int			recipes;
	sparse_recipe recipe[SPARSE_MAX_RECIPES];
} sparse_proposals;

/* The tensors of so many parents, to be looked through; filled in as they are needed. NULL: no memory. */
typedef struct kin_index kin_index;

extern kin_index *kin_index_create(const sparse_allocator *allocator, int parents);
extern void kin_index_free(kin_index *index);

/*
 * Adds what all searches find to the proposals. index may be NULL: then what parents have under other names is
 * not looked for.
 */
extern sparse_status recipes_propose(const sparse_environment *environment, const sparse_source *source,
									 const sparse_subject *subject, sparse_codec *codec, kin_index *index,
									 sparse_proposals *proposals);

/* Whether the tensor may be predicted from another of its file, which must come before it. */
extern sparse_status recipes_want_siblings(const sparse_environment *environment, const sparse_source *source,
										   const sparse_subject *subject, bool *want);

#endif
