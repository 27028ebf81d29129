/*
 * estimate.h: what a version will take, from a sample of it.
 *
 * Its parts (tensors, headers, other files) that are called the same but for numbers are of one kind, since kinds
 * change by different amounts: each gets its share of the sample, one chunk at least. A chunk is coded by the
 * prediction that is chosen for its part. What is no larger than the sample is coded throughout.
 */
#ifndef SPARSE_RECIPES_ESTIMATE_H
#define SPARSE_RECIPES_ESTIMATE_H

#include "prediction.h"
#include "recipes.h"

typedef struct sparse_estimate_part
{
	const char *name;
	uint64_t	bytes;
	bool		known;			/* its cost is: it is left out */
} sparse_estimate_part;

typedef struct sparse_estimate_shell
{
	const sparse_environment *environment;
	const sparse_source *source;	/* stores nothing: factors stay in memory */
	sparse_codec *codec;
	kin_index  *index;

	/* Turns to a part: describes it and gives what may predict it as it is. */
	void		(*turn_to)(void *state, uint64_t part, sparse_subject *subject, sparse_proposals *proposals);
	void	   *state;
} sparse_estimate_shell;

typedef struct sparse_estimated
{
	double		bytes;			/* of deltas, of what was not known */
	double		chunks;			/* of those, and of factors: about so many */
	double		factors;
	uint64_t	coded;			/* bytes of content */
} sparse_estimated;

extern sparse_status sparse_estimate(const sparse_estimate_shell *shell, const sparse_estimate_part *part, uint64_t parts,
									 uint64_t sample_bytes, sparse_estimated *estimated);

#endif
