/*
 * import.h: one import on its way from a plan to a ready version.
 *
 * All of it is one transaction: an error leaves nothing behind. The order of
 * locks is the name's, then the store's, then objects in order of SHA-256.
 */
#ifndef SPARSE_MODEL_IMPORT_H
#define SPARSE_MODEL_IMPORT_H

#include "postgres.h"

#include "plan.h"
#include "store/store.h"

#define MAX_CANDIDATES 8		/* that an ObjectSpec has room for */

typedef struct ImportParent
{
	StoreVersion version;
	const char *role;
} ImportParent;

typedef struct Import
{
	ImportPlan *plan;
	const char *name;
	Datum		metadata;		/* jsonb */
	int			parents;
	ImportParent *parent;

	int64		version;		/* ids, once they are known */
	int32		revision;
	int64		family;
	int16		place;

	int32		new_objects;	/* counters of what was written */
	int64		new_bytes;
	int64		stored_bytes;
} Import;

/*
 * import.c: one writer of a name at a time, until the end of the transaction, unless
 * it takes its lock back: who finds content that exists need not be allowed to
 * insert it, and shall keep nobody from the name.
 */
extern void import_lock_name(const char *name);
extern void import_unlock_name(const char *name);

/* candidates.c: objects of the parents that `object` may be predicted from; their number. */
extern int	import_candidates(const Import *import, const PlanObject *object,
							  int64 candidate[MAX_CANDIDATES]);

/* contents.c: stores the plan's objects, fills in their ids and the counters. */
extern void import_contents(Import *import);

/* rows.c: family, id and revision; then the rows of a version whose objects are stored. */
extern void import_assign(Import *import);
extern void import_rows(const Import *import);

#endif
