/*
 * components.h: the leading components of a change, by subspace iteration.
 *
 * Thin matrices Y and Z with Y = D Z and Z = D^T Y in turn, made orthonormal in between; the eigenvectors of
 * the small Z^T Z then turn them into singular vectors (Halko, Martinsson, Tropp, "Finding structure with
 * randomness", SIAM Review 53, 2011). D, the difference of child and parent, is read by blocks of rows, each twice an
 * iteration. Thin matrices are stored by component: every loop runs along memory.
 */
#ifndef SPARSE_FIT_COMPONENTS_H
#define SPARSE_FIT_COMPONENTS_H

#include <stdbool.h>

#include "fit/dense.h"
#include "fit/intervals.h"
#include "fit/lowrank.h"

typedef struct components components;

struct components
{
	const sparse_allocator *allocator;
	const dense_loops *loops;
	fit_read	read;
	fit_pause	pause;
	void	   *state;
	uint64_t	rows;
	uint64_t	columns;
	unsigned	width;			/* components looked for */
	double		squares;		/* of D's elements, since the last pass over them */
	float	   *y;				/* width x rows: orthonormal */
	float	   *z;				/* width x columns: D^T y */
	float	   *child;			/* a block of rows: becomes that of D */
	float	   *parent;
	double	   *turn;			/* width x width: eigenvectors of z z^T, in rows */
	double	   *value;			/* its eigenvalues, the largest first: the squares of the singular values */
	double	   *gram;
	intervals  *intervals;		/* while they are refined; else NULL */
	float	   *model;			/* of a few rows */
	float	   *sum;			/* where z is collected anew */
};

/* Bytes of memory that they take, but for the blocks that are read. */
extern double components_memory(uint64_t rows, uint64_t columns, unsigned width);

/*
 * Looks for `width` components, at most as many as there are rows and columns. What is not finite in D counts as 0.
 * SPARSE_NO_MEMORY is the only error. Released by components_free in either case.
 */
extern sparse_status components_find(components *c, const sparse_allocator *allocator, fit_read read, fit_pause pause,
									 void *state, uint64_t rows, uint64_t columns, unsigned width, int iterations);

/*
 * The same in one reading of D, and little worse: components_sample takes the leading right vectors of a few rows, for which
 * components_can_sample says whether they can be had; components_complete goes on from there. In between, components_share tells how much of the
 * squares of some other rows of D these vectors hold; of noise they hold width / columns.
 */
extern bool components_can_sample(uint64_t rows, uint64_t columns);
extern sparse_status components_sample(components *c, const sparse_allocator *allocator, fit_read read, fit_pause pause,
									   void *state, uint64_t rows, uint64_t columns, unsigned width);
extern double components_share(const components *c, const float *d, uint64_t rows);
extern sparse_status components_complete(components *c);

/*
 * Fits the first `width` of them anew, `sweeps` times, to guesses of what the changes were before they were rounded to the
 * dtype. Their number is then that. Afterwards c->squares less all of c->value is what they are thought to miss. SPARSE_NO_MEMORY is the only error.
 */
extern sparse_status components_refine(components *c, unsigned width, sparse_dtype dtype, int sweeps);

extern void components_free(components *c);

/* Component `number` of the left side (unit length), `rows` floats, and of the right, as long as its singular value. */
extern void components_left(const components *c, unsigned number, float *to);
extern void components_right(const components *c, unsigned number, float *to);

/* Rows of the change [first, first + rows) in c->child, as many as components_block gives at most; c->parent has the parent's. */
extern uint64_t components_block(const components *c);
extern void components_read(const components *c, uint64_t first, uint64_t rows);

#endif
