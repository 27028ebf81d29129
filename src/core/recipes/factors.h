/*
 * factors.h: a source whose factors stay in memory: for shells that do not store them, or not yet.
 */
#ifndef SPARSE_RECIPES_FACTORS_H
#define SPARSE_RECIPES_FACTORS_H

#include "codec/memory.h"
#include "source.h"

typedef struct sparse_factor
{
	uint8_t    *content;
	sparse_dtype dtype;
	uint64_t	bytes;
	struct sparse_factor *next;
} sparse_factor;

/* Factors have the numbers -1, -2, ...; all other objects are those of the source below. */
typedef struct sparse_factors
{
	sparse_source source;		/* to be used in place of the one below */
	const sparse_source *below;
	const sparse_allocator *allocator;
	sparse_factor *first;		/* the last one that was found */
	int64_t		count;
} sparse_factors;

/* allocator may be NULL: malloc. Both must live as long. */
extern void sparse_factors_init(sparse_factors *factors, const sparse_source *below, const sparse_allocator *allocator);

/* The factor of a number; NULL: it is an object of the source below. */
extern const sparse_factor *sparse_factors_get(const sparse_factors *factors, int64_t object);

extern void sparse_factors_forget(sparse_factors *factors);

#endif
