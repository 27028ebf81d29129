/*
 * recipes.h: the core's searches for recipes (recipes/recipes.h), over an import and its parents.
 */
#ifndef SPARSE_MODEL_RECIPES_H
#define SPARSE_MODEL_RECIPES_H

#include "import.h"
#include "recipes/recipes.h"
#include "store/predict.h"

/* The tensors of so many parents, to be looked through; in that context. */
extern kin_index *import_kin_index(MemoryContext context, int parents);

/* An object of an import as the core sees it, and what it may be predicted from. */
typedef struct ImportObject
{
	const Import *import;
	const PlanObject *object;
} ImportObject;

typedef struct ImportShell
{
	ImportObject at;
	ObjectSource objects;
	sparse_source source;
	sparse_environment environment;
	sparse_allocator allocator;
	sparse_subject subject;
} ImportShell;

/* spec may be NULL where nothing is read. */
extern void import_shell(ImportShell *shell, const Import *import, ObjectReader *reader, const PlanObject *object,
						 const ObjectSpec *spec);

/* Whether the object may be predicted from another of the same version, which must be stored before it. */
extern bool import_wants_siblings(const Import *import, const PlanObject *object);

/*
 * What the object may be predicted from: candidates and recipes go to spec, which says all else. Within SPI_connect, in
 * a context of the object's. May store factors.
 */
extern void import_propose(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec);

#endif
