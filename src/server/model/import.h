/*
 * import.h: one import on its way from a plan to a ready version.
 *
 * All of it is one transaction: an error leaves nothing behind. The order of
 * locks is the name's, then the store's, then objects in order of SHA-256.
 */
#ifndef SPARSE_MODEL_IMPORT_H
#define SPARSE_MODEL_IMPORT_H

#include "postgres.h"
#include "fmgr.h"

#include "plan.h"
#include "recipes/recipes.h"
#include "store/store.h"

#define MAX_CANDIDATES SPARSE_MAX_CANDIDATES	/* that an ObjectSpec has room for */

#define MAX_NEIGHBOURS 6

typedef struct ImportParent
{
	StoreVersion version;
	const char *role;
	const char *source;			/* as in sparse.parent; NULL: named */
	bool		found;			/* by its sketch: it is no ancestor. The last one alone may be */
	int64		estimated_bytes;	/* then */
} ImportParent;

/* Beyond the values of sparse.find_parents: look by sketches although parents are named. */
#define IMPORT_FIND_ASKED (SPARSE_FIND_ALL + 1)

typedef struct Import
{
	ImportPlan *plan;
	const char *name;
	bool		dataset;		/* what becomes of it is a dataset, not a model */
	bool		approximate;	/* it is not exact */
	Datum		metadata;		/* jsonb */
	int			parents;
	ImportParent *parent;
	int			find;			/* which parents are taken that nobody named: SPARSE_FIND_..., IMPORT_FIND_ASKED */
	int			neighbours;		/* versions near the parents, that the caller may read (near.c) */
	int64		neighbour[MAX_NEIGHBOURS];

	int64		version;		/* ids, once they are known */
	int32		revision;
	int64		family;
	int16		place;
	bool		mixes;			/* exact versions with approximations under one name: refused */

	struct kin_index *kin;		/* recipes/renamed.c: the parents' tensors by shape; NULL: they are not looked through */

	int32		new_objects;	/* counters of what was written */
	int64		new_bytes;
	int64		stored_bytes;
} Import;

/* ---- import.c: the steps that an import and sparse_begin share, in this order ---- */

/* Arguments: one that must not be null; the elements of a text[] (none when it is null); jsonb. */
extern void import_check_given(FunctionCallInfo fcinfo, int argument, const char *name);
extern int	import_text_elements(FunctionCallInfo fcinfo, int argument, const char *name, char ***element);
extern Datum import_metadata_argument(FunctionCallInfo fcinfo, int argument);

/*
 * Whether the caller may insert a version at all, asked before the work begins and
 * before a lock is taken that others would wait for. Policies are asked later, by
 * the insert itself.
 */
extern void import_check_may_insert(void);

/* Refuse callers who may not read files of the server; `action` completes "permission denied to %s files of the server". */
extern void import_check_may_read_files(const char *action);

/* ---- parents.c ---- */

/*
 * Parents and roles (arguments 2 and 3), read as the caller: he must be able to read what he names.
 * Which others are taken is what sparse.find_parents says.
 */
extern void import_resolve_parents(FunctionCallInfo fcinfo, Import *import);

/*
 * Under the name's lock: the newest revision of the name that the caller can read becomes one more parent;
 * where there is none at all, what a sketch finds (of a plan whose files can be read) is to predict it.
 */
extern void import_take_previous(Import *import);
extern void import_find_parent(Import *import);

/* The same by the sketch of a version that is stored; the import must hold its family. */
struct Sketch;
extern void import_find_parent_by(Import *import, const struct Sketch *sketch, bool read_only);

/* With the ids of all objects: one that was found but is of no use is none; said is what is used. */
extern void import_check_found(Import *import);

/* Writes the parents. As the store's owner, within SPI_connect, like the one before. */
extern void import_insert_parents(const Import *import);

/* The content is there: of what was named, what `version` does not have yet becomes its parent too. */
extern void import_add_parents(const Import *import, int64 version);

/* ---- import.c, again ---- */

/*
 * One import of a name at a time, until the end of the transaction. Whoever wrote
 * nothing takes his lock back: who finds content that exists need not be allowed to
 * insert it, and shall keep nobody from the name.
 */
extern void import_lock_name(const char *name);
extern void import_unlock_name(const char *name);

/* The version of that name and content which the caller can see; 0: there is none. */
extern int64 import_find_same(const Import *import, bool with_active_snapshot);

/*
 * A transaction that keeps one snapshot may not see what others imported under the
 * name before it got the lock: an error then.
 */
extern void import_check_snapshot(const char *name);

/* Holds the parents; family, id and revision, and where new objects are to lie (import_assign, as the store's owner). */
extern void import_prepare(Import *import);

/*
 * near.c: the parents' own parents and, with all effort, what else was made of the parents: as far as the caller may read them.
 */
extern void import_find_neighbours(Import *import);

/* The same of a version that is stored, as the store's owner, within SPI_connect: only where no row is kept from anybody. */
extern void import_find_open_neighbours(Import *import);

/* Of a version made in haste, with parents: it is to be looked through by night. Likewise. */
extern void import_note_unoptimized(int64 version);

/* candidates.c: objects of the parents that `object` may be predicted from; their number. */
extern int	import_candidates(const Import *import, const PlanObject *object,
							  int64 candidate[MAX_CANDIDATES]);

/* contents.c: stores the plan's objects, fills in their ids and the counters. */
extern void import_contents(Import *import);

/* contents.c: all objects of a plan, in the order of their SHA-256s. */
extern PlanObject **plan_sorted_objects(const ImportPlan *plan, uint64 *count);

/*
 * rows.c: family, id and revision; the version's row, as the caller; then the rows of a version
 * whose objects are known; and what makes it ready.
 */
extern void import_assign(Import *import);
extern void import_insert_version(const Import *import);
extern void import_rows(const Import *import);
extern void import_make_ready(const Import *import);

#endif
