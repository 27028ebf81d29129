/*
 * prediction.h: what a tensor or a file is predicted from: the one choice that every road makes.
 *
 * Three ways: by elements, from the same place of a parent of the same dtype, as far as both
 * reach; by bytes, for content without elements, from what lies around the same place; or
 * computed, by a recipe. Whatever is proposed is judged by what a few samples take, coded by it.
 */
#ifndef SPARSE_RECIPES_PREDICTION_H
#define SPARSE_RECIPES_PREDICTION_H

#include "environment.h"
#include "recipes.h"

/* By bytes: chunks of the parent before the place of a chunk, and from it on. */
#define PREDICTION_BEFORE 1
#define PREDICTION_AFTER 3

typedef struct sparse_prediction
{
	int64_t		object;			/* 0: nothing */
	int32_t		depth;			/* of the chain that the deepest of its sources ends */
	uint64_t	bytes;			/* of the object */
	uint64_t	shared;			/* bytes of content from the start on that it predicts */
	bool		by_elements;
	const sparse_recipe *recipe;	/* not NULL: it is computed (object is then the first source) */
} sparse_prediction;

/* Whether an object as it is predicts the subject, and how. */
extern bool prediction_plain(const sparse_subject *subject, int64_t object, const sparse_kin_info *info,
							 sparse_prediction *prediction);

/* The part of the object that predicts `bytes` bytes of content from `first` on, if there is one. */
extern sparse_ref prediction_reference(const sparse_prediction *prediction, sparse_dtype dtype,
									   uint64_t chunk_bytes, uint64_t first, uint64_t bytes);

/* What codes chunks of a subject. */
typedef struct sparse_coder
{
	const sparse_environment *environment;
	const sparse_source *source;
	const sparse_subject *subject;
	sparse_codec *codec;
} sparse_coder;

/*
 * Picks what codes a few samples in the fewest bytes among the plain predictions and the recipes that can be used; the
 * only one without a look. With neither, or no content, it is nothing.
 */
extern sparse_status prediction_among(const sparse_coder *coder, const sparse_prediction *plain, int plains,
									  sparse_recipe *recipe, int recipes, sparse_prediction *best);

/* The same of proposals, whose candidates predict as they are. */
extern sparse_status prediction_choose(const sparse_coder *coder, sparse_proposals *proposals, sparse_prediction *best);

/* Bytes that the references of any chunk add up to, at most. */
extern uint64_t prediction_most_bytes(const sparse_prediction *prediction, const sparse_subject *subject);

/*
 * Encodes `bytes` bytes of content that start at `first`, and leaves what the delta refers to in `predicted`, which has
 * room for prediction_most_bytes. The delta is the codec's, valid until its next call.
 */
extern sparse_status prediction_encode(const sparse_coder *coder, const sparse_prediction *prediction,
									   uint64_t first, uint64_t bytes, const void *content, void *predicted,
									   const uint8_t **delta, size_t *delta_bytes);

#endif
