/*
 * recipes.h: the core's searches for recipes (recipes/recipes.h), over an import and its parents.
 */
#ifndef SPARSE_MODEL_RECIPES_H
#define SPARSE_MODEL_RECIPES_H

#include "import.h"

/* The tensors of so many parents, to be looked through; in that context. */
extern struct kin_index *import_kin_index(MemoryContext context, int parents);

/* Whether the object may be predicted from another of the same version, which must be stored before it. */
extern bool import_wants_siblings(const Import *import, const PlanObject *object);

/*
 * What the object may be predicted from: candidates and recipes go to spec, which says all else. Within SPI_connect, in
 * a context of the object's. May store factors.
 */
extern void import_propose(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec);

#endif
