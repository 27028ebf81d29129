/*
 * recipe.h: how the whole of a tensor is computed from others.
 *
 * A delta names ranges of its parents and a formula (codec/formula.h); a recipe says the
 * same of a tensor, of which it serves every chunk. It is not stored: each delta
 * says all that its decoding needs.
 */
#ifndef SPARSE_RECIPES_RECIPE_H
#define SPARSE_RECIPES_RECIPE_H

#include "codec/delta.h"
#include "source.h"

/*
 * A chunk of a blend needs one of each of its parents, those need theirs: with every
 * generation of merges the number multiplies. What would take more than this is not predicted so.
 */
#define RECIPE_MOST_DECODED 40

/*
 * A source is read along with the content: for every `per` elements of content from
 * `begin` on, `count` elements of it, the first of them at `first`. per 0: all of
 * it serves every element.
 */
typedef struct sparse_recipe_source
{
	int64_t		object;
	uint64_t	begin;			/* predictor "parent": the elements of content that it predicts */
	uint64_t	end;			/* 0: all of them */
	uint64_t	first;
	uint64_t	per;
	uint64_t	count;
	sparse_dtype dtype;			/* as which it is read: equal bytes are one object, whatever tensors make of them */
	bool		made;			/* worked out of the content and the other sources, for this */

	/* filled in by recipe_consider */
	uint64_t	elements;
	int32_t		depth;
} sparse_recipe_source;

typedef struct sparse_recipe
{
	sparse_predictor predictor; /* "parent": the sources, one after another */
	sparse_formula formula;		/* places of the first element are filled in for each chunk */
	bool		weighed;		/* samples showed that it takes fewer bytes than its first source as it is */
	uint64_t	unit;			/* a chunk must begin and end at multiples of so many elements, or at the end */
	int			sources;
	sparse_recipe_source source[SPARSE_MAX_REFS];
} sparse_recipe;

/*
 * Whether a tensor can be computed so: its sources are there, shallow enough and long enough for all of
 * the content; the formula fits them; and, with the subject's chunks, never too much of them is
 * needed at once, nor too many chunks decoded for one. Gives the depth of the deepest.
 */
extern bool recipe_consider(const sparse_source *source, const sparse_subject *subject, sparse_recipe *recipe,
							int32_t *depth);

/* The references and the formula of a chunk, whose place is in elements; the number of references. */
extern unsigned recipe_references(const sparse_recipe *recipe, uint64_t first, uint64_t count,
								  sparse_ref ref[SPARSE_MAX_REFS], sparse_formula *formula);

/* Bytes that the references of any chunk of `count` elements add up to, at most. */
extern uint64_t recipe_most_bytes(const sparse_recipe *recipe, uint64_t count);

#endif
