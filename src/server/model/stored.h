/*
 * stored.h: a version that is stored, as an import would see it.
 *
 * The searches of recipes.h are written for what is being imported. For them, a stored
 * version is an import whose objects have ids, and whose contents the store has.
 */
#ifndef SPARSE_MODEL_STORED_H
#define SPARSE_MODEL_STORED_H

#include "import.h"

/*
 * Plan and parents of a version, in `context`, as the store's owner, within SPI_connect,
 * under a snapshot. Parents are those that are ready.
 */
extern Import *stored_import(const StoreVersion *version, MemoryContext context);

/* The same as if it had that one parent. */
extern Import *stored_import_from(const StoreVersion *version, const StoreVersion *parent, MemoryContext context);

/* The parents alone, into an import whose version is known. */
extern void stored_load_parents(Import *import, MemoryContext context);

/* Whether it has any. */
extern bool stored_has_parents(const StoreVersion *version);

/*
 * Later, in a transaction that keeps collections away: leaves out parents that are no longer
 * ready. False when the version itself is not.
 */
extern bool stored_import_renew(Import *import);

/* The files and tensors of a version, likewise. */
extern ImportPlan *stored_plan(const StoreVersion *version, MemoryContext context);

/* Its objects that have content, each once, those that others of it predict after those; in `context`. */
extern const PlanObject **stored_objects(const Import *import, MemoryContext context, uint64 *count);

/* What an import would propose to predict one of its objects from. spec: all but that. */
extern void stored_propose(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec);

#endif
