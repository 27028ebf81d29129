/*
 * search.h: what the searches for recipes share. Private to this folder.
 *
 * A search looks at samples of a tensor and of its kin in the parents, and proposes
 * recipes; they are judged on samples of their own (prediction.h), so a wrong guess costs only time.
 */
#ifndef SPARSE_RECIPES_SEARCH_H
#define SPARSE_RECIPES_SEARCH_H

#include "recipes.h"

#define MIN SPARSE_MIN
#define MAX SPARSE_MAX
#define LENGTH SPARSE_LENGTH

#define MAX_KIN 8
#define MAX_NAMES 20			/* under which tools know one tensor */

typedef struct recipe_search
{
	workspace  *work;
	const sparse_source *source;
	const sparse_subject *subject;
	sparse_codec *codec;
	kin_index  *index;			/* NULL: the parents' tensors are not looked through */
	sparse_proposals *out;
	sparse_kin	self;			/* the tensor at hand: its dtype and shape */
	uint64_t	elements;
	uint64_t	columns;		/* elements of a row; all, for a vector */
	bool		is_float;
	int			effort;			/* 1: only what costs next to nothing, 2: what a sample says that it pays, 3: everything */
	int			kin;			/* tensors of its name or content in the parents, of any dtype and shape */
	sparse_kin	of_name[MAX_KIN];
	int			near;			/* the same of the parents' neighbours */
	sparse_kin	near_by[MAX_KIN];
	uint8_t    *held;			/* the tensor's bytes, while a search reads them again and again; or NULL */
	sparse_recipe scratch;
} recipe_search;

/* A new recipe to be filled in; a scratch one where there is no more room. */
extern sparse_recipe *recipes_add(recipe_search *search, sparse_predictor predictor);

/* Adds a source that is read element by element. */
extern void recipe_add_elements(sparse_recipe *recipe, const sparse_kin *kin);

/* Adds a source of `count` elements of a dtype for every `per` elements of content (0: always those). */
extern void recipe_add_source(sparse_recipe *recipe, int64_t object, sparse_dtype dtype, uint64_t per, uint64_t count);

/* Bytes of the tensor at hand, and of a kin; or `count` elements from element `first` on, as reals. */
extern void hold_content(recipe_search *search);	/* unless they are many */
extern void read_content(const recipe_search *search, uint64_t first, uint64_t bytes, void *target);
extern void read_kin(const recipe_search *search, const sparse_kin *kin, uint64_t first, uint64_t bytes, void *target);
extern void sample_content(const recipe_search *search, uint64_t first, uint64_t count, float *x);
extern void sample_kin(const recipe_search *search, const sparse_kin *kin, uint64_t first, uint64_t count, float *x);

/* A tensor of a parent by the first of several names that it has. */
extern bool recipes_find(const recipe_search *search, int parent, char *const *name, int names, sparse_kin *found);

extern bool kin_is_float(const sparse_kin *kin);

/* The names by which tools know the same tensor: with and without their prefixes. */
extern int	recipes_names(const recipe_search *search, const char *name, char **names, int room);

/* Whether a name ends so; then what stands before. */
extern char *without_suffix(const recipe_search *search, const char *name, const char *suffix);

/*
 * What a parent has of the tensor under another name, or in pieces: kin, or recipes. And whether one of its name
 * begins like it.
 */
extern void search_renamed(recipe_search *search, int parent);
extern bool kin_is_alike(recipe_search *search, const sparse_kin *kin);

/*
 * Whether the tensor goes on from where `base` came from: then the kin beside it, which may be further down the line, and the weight of
 * base less that kin. What it takes is compared on a sample, by what the codec makes of it.
 */
extern bool find_direction(const recipe_search *search, const sparse_kin *base, const sparse_kin **from, double *weight);

/* The searches. */
extern void search_permuted(recipe_search *search);
extern void search_blend(recipe_search *search);
extern void search_pruned(recipe_search *search);
extern void search_scaled(recipe_search *search);
extern void search_adapter(recipe_search *search);
extern void search_lowrank(recipe_search *search);

#endif
