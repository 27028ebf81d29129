/*
 * recipe.h: how the whole of an object is computed from others.
 *
 * A delta names ranges of its parents and a formula (codec/formula.h); a recipe says the
 * same of an object, of which it serves every chunk. It is not stored: each delta
 * says all that its decoding needs.
 */
#ifndef SPARSE_STORE_RECIPE_H
#define SPARSE_STORE_RECIPE_H

#include "postgres.h"

#include "codec/delta.h"
#include "store/store.h"

/*
 * A source is read along with the content: for every `per` elements of content from
 * `begin` on, `count` elements of it, the first of them at `first`. per 0: all of
 * it serves every element.
 */
typedef struct RecipeSource
{
	int64		object;
	uint64		begin;			/* predictor "parent": the elements of content that it predicts */
	uint64		end;			/* 0: all of them */
	uint64		first;
	uint64		per;
	uint64		count;
	sparse_dtype dtype;			/* as which it is read: equal bytes are one object, whatever tensors make of them */
	bool		made;			/* worked out of the content and the other sources, for this */

	/* filled in by recipe_consider */
	uint64		elements;
	int32		depth;
} RecipeSource;

typedef struct Recipe
{
	sparse_predictor predictor; /* "parent": the sources, one after another */
	sparse_formula formula;		/* places of the first element are filled in for each chunk */
	uint64		unit;			/* a chunk must begin and end at multiples of so many elements, or at the end */
	int			sources;
	RecipeSource source[SPARSE_MAX_REFS];
} Recipe;

/*
 * Whether an object can be computed so: its sources are there, written, shallow enough and long enough for all of
 * the content; the formula fits them; and, with chunks of chunk_bytes, never too much of them is
 * needed at once, nor too many chunks decoded for one. Gives the depth of the deepest.
 */
extern bool recipe_consider(ObjectReader *reader, const ObjectSpec *spec, uint64 chunk_bytes,
							Recipe *recipe, int32 *depth);

/* The references and the formula of a chunk, whose place is in elements; the number of references. */
extern int	recipe_references(const Recipe *recipe, uint64 first, uint64 count,
							  sparse_ref ref[SPARSE_MAX_REFS], sparse_formula *formula);

/* Bytes that the references of any chunk of `count` elements add up to, at most. */
extern uint64 recipe_most_bytes(const Recipe *recipe, uint64 count);

#endif
