/*
 * store.h: content-addressed objects and their chunks, and who may touch them.
 *
 * An object is a run of bytes, known by its SHA-256, cut into chunks by a grid
 * (codec/grid.h) and stored as deltas against other objects.
 * This layer resolves versions as the caller, and reads and writes objects as
 * the store's owner; nothing else in the extension switches users.
 *
 * All functions report through ereport. Every query runs on a saved plan, holds
 * no portal between calls, names its tables "sparse.x", and relies on the calling
 * SQL function's own "set search_path = pg_catalog, pg_temp".
 */
#ifndef SPARSE_STORE_STORE_H
#define SPARSE_STORE_STORE_H

#include "postgres.h"
#include "compat.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/palloc.h"

#include "codec/delta.h"
#include "codec/grid.h"
#include "recipes/recipes.h"
#include "store/guard.h"

#define SPARSE_SHA256_BYTES 32
#define SPARSE_CHECKSUM_BYTES 16

/* settings (settings.c); defined once, when the module is loaded */
extern void store_define_settings(void);
extern int	sparse_chunk_size;		/* kilobytes of content per chunk */
extern int	sparse_max_chain_depth;
extern int	sparse_cache_size;		/* kilobytes of decoded content to remember */
extern int	sparse_effort;			/* 1 to 3: how much is done to find what predicts a tensor */
extern char *sparse_message;		/* of a new version; "": none */
extern int	sparse_find_parents;	/* which parents of a new version are taken that nobody named: */
#define SPARSE_FIND_OFF 0
#define SPARSE_FIND_PREVIOUS 1	/* the revision before of its name */
#define SPARSE_FIND_ALL 2		/* or, where it has no parent at all, what its sketch finds */
extern bool sparse_verify_writes;	/* decode each delta before it is stored */
extern bool sparse_notify;		/* tell listeners */
extern bool sparse_map_rows;	/* of datasets: look for rows in the parent */
extern bool sparse_optimize_commits;	/* look for the best predictions of what was uploaded */

/* ---- the store and its owner (access.c) ---- */

/* Become the store's owner, and the caller again (guard.h); what may be between, and how an error there ends, is said there. */
extern void store_enter(StoreAccess *access);
extern void store_leave(const StoreAccess *access);

/*
 * Become the owner of a store that may be of an older format, or without its triggers: for sparse_update_store()
 * alone. Refused to those who are not the owner.
 */
extern void store_enter_to_update(StoreAccess *access);

/*
 * The owner of the store; an error where there is none, or where schema "sparse"
 * holds something else. Whoever reads tables of the store as the caller asks this first.
 */
extern Oid	store_owner(void);

/* The format of the tables that this version knows; sparse_create_store() writes it into sparse.store. */
#define STORE_FORMAT 1

/* The table sparse.<name>. */
extern Oid	store_relation(const char *name);

/* Refuse callers who do not have the rights of the store's owner; `action` completes "must be owner of the store to %s". */
extern void store_check_owner(const char *action);

/* ---- versions, read as the caller (version.c) ---- */

typedef struct StoreVersion
{
	int64		id;
	char	   *name;
	int32		revision;
	int64		family;
	char		state;			/* 'o'pen, 'r'eady, 'd'ropped */
	char		kind;			/* 'm'odel, 'd'ataset */
} StoreVersion;

/*
 * The version that argument `arg` of the calling function names: a bigint id, or
 * text ('7', 'org/name', 'org/name@3', 'org/name@production'). Read as the caller under row-level
 * security, with the snapshot of the query. A version that is missing, hidden or
 * (unless any_state) not ready is an error. Palloc'd in the current context.
 */
extern void version_from_argument(FunctionCallInfo fcinfo, int arg, bool any_state, StoreVersion *version);
extern void version_from_argument_now(FunctionCallInfo fcinfo, int arg, bool any_state, StoreVersion *version);
extern void version_from_text(const char *reference, bool any_state, StoreVersion *version);
extern void version_from_id(int64 id, bool any_state, StoreVersion *version);

/* The same; false, and no error, where the caller cannot read it. read_only: with the snapshot of the query. */
extern bool version_find(int64 id, bool read_only, StoreVersion *version);

/*
 * Of a few versions, which are ready and the caller can read. read_only: with the
 * snapshot of the query. Not within store_enter.
 */
extern void versions_readable(const int64 *id, int count, bool read_only, bool *readable);

/*
 * Become whoever queries sparse.version and its like for the caller: himself, or
 * for a superuser the store's owner. Back by store_leave.
 */
extern void enter_versions(StoreAccess *access);

/* Refuse a name that no version may have: empty, too long, digits only, with "@" or control characters. */
extern void version_check_name(const char *name);

/* Refuse a tag that no version may bear: empty, too long, digits only, with "@" or control characters. */
extern void version_check_tag(const char *tag);

/*
 * The version that bears a tag of a name, read as the store's owner within
 * SPI_connect; 0: none. Tell nobody who cannot see that version.
 */
extern int64 version_tagged(const char *name, const char *tag, bool read_only);

/*
 * Whether a function was fired, for each row, as a trigger of sparse.version: anybody may hang it
 * on a table of his own, whose rows say what he likes.
 */
extern bool fired_by_version(FunctionCallInfo fcinfo, bool before);

/*
 * Keeps collections away until the transaction ends (store_lock_for_writing), and refuses to go on
 * (40001) where one has taken away a version that was resolved before.
 */
extern void versions_hold(const int64 *id, int count);

/* The id in a row of sparse.version; 0 where it has none. */
extern int64 version_row_id(HeapTuple tuple, TupleDesc columns);

/*
 * Insert the open version `id` as the caller (whose insert policies decide), and
 * change a version's state as the caller. The guard trigger lets only these through.
 */
extern void version_insert(int64 id, const char *kind, bool exact, const char *name, int32 revision, int64 family,
						   const char *message, Datum metadata_jsonb);
extern void version_drop(int64 id);
extern void version_undrop(int64 id);

/* Give a version another name and revision; false where row-level security does not let the caller. */
extern bool version_rename(int64 id, const char *name, int32 revision);

/* Note, as the caller, what zstd would make of a version's files. */
extern void version_measured(int64 id, int64 zstd_bytes);

/* ---- lineage (edge.c) ---- */

/* Writes a parent of a version that is being made; `source` as in sparse.parent. As the store's owner, within SPI_connect. */
extern void edge_insert(int64 child, int ordinal, int64 parent, const char *role, const char *source);

/*
 * Says of a ready version that it was made from another, both of which the caller can see: true where
 * that is new. Where he may not, or it would be a circle, that is said at `level` (ERROR, WARNING).
 */
extern bool edge_add(const StoreVersion *child, const StoreVersion *parent, const char *role, int level);

/* ---- telling others (notify.c) ---- */

/*
 * Tells those who listen on channel "sparse", at commit: {"event": ..., "version": ...},
 * with "before" where it is not 0. Ids only, for everybody may listen.
 */
extern void store_notify(const char *event, int64 version, int64 before);

/* ---- reading objects (read.c); inside store_enter and SPI_connect ---- */

typedef struct ObjectReader ObjectReader;

/*
 * A reader with its codec and a bounded memory of decoded chunks, in a child of
 * `parent`. read_only: see the snapshot of the calling query (STABLE functions),
 * otherwise also the transaction's own writes.
 */
extern ObjectReader *object_reader_create(MemoryContext parent, bool read_only);
extern void object_reader_free(ObjectReader *reader);

/* Copy `bytes` bytes of the object from byte `first` on to `target`; decodes only the chunks that cover them. */
extern void object_read(ObjectReader *reader, int64 object,
						uint64 first, uint64 bytes, char *target);

typedef struct ObjectInfo
{
	int64		id;
	int16		place;			/* of its chunks */
	sparse_dtype dtype;
	uint64		bytes;
	uint64		stored_bytes;
	sparse_grid grid;
	int32		depth;
	uint64		whole;			/* what its chunks say that they are pieces of */
} ObjectInfo;

/* The first bytes of a SHA-256, as sparse_delta_bind takes them. */
static inline uint64
sparse_whole(const uint8 *sha256)
{
	uint64		whole;

	memcpy(&whole, sha256, sizeof(whole));
	return whole;
}

/* False when there is no such object. */
extern bool object_info(ObjectReader *reader, int64 object, ObjectInfo *info);

/* How many chunks are decoded to decode one of the object, itself included, if none is remembered: at most `most`. */
extern int	object_decodes(ObjectReader *reader, int64 object, int most);

/*
 * What errors raised below should name: set before reading for a version's file
 * and tensor (any may be NULL); appears as errcontext.
 */
extern void object_reader_context(ObjectReader *reader, const char *version, const char *file, const char *tensor);

/* A chunk as it is stored. */
typedef struct StoredChunk
{
	Datum		value;			/* palloc'd: the delta, or a pointer to it (detoast) */
	sparse_delta_info info;
} StoredChunk;

/* Fetches chunk `seq` of an object, after checking by its header that it is that one. */
extern void chunk_fetch(ObjectReader *reader, const ObjectInfo *object, int32 seq,
						StoredChunk *chunk);

/* The same, decoded into `target`; `info` is what the chunk's header says. */
extern void chunk_read(ObjectReader *reader, const ObjectInfo *object, int32 seq,
					   char *target, sparse_delta_info *info);

/* The object that parent `ordinal` of an object is; false when there is none. */
extern bool object_parent(ObjectReader *reader, int64 object, int ordinal, int64 *parent);

/* Whether that parent was worked out of the object, for it alone: who may read the object may have it. */
extern bool object_parent_is_made(ObjectReader *reader, int64 object, int ordinal);

/* ---- how an object predicts another (predict.c) ---- */

/*
 * The part of `parent` that predicts `bytes` bytes of `child` from `first` on, as a
 * reference to parent 0; false where there is none. Their dtypes must be equal.
 */
extern bool object_predicts(const ObjectInfo *parent, const ObjectInfo *child,
							uint64 first, uint64 bytes, sparse_ref *ref);

/* ---- writing objects (write.c); inside store_enter and SPI_connect ---- */

/* Where the content of a new object comes from. */
typedef void (*ContentSource) (void *state, uint64 first, uint64 bytes, char *target);

typedef struct ObjectSpec
{
	int16		place;			/* where its chunks are to lie, unless the content is known already */
	const uint8 *sha256;		/* of the content, computed by the caller */
	sparse_dtype dtype;
	uint64		bytes;
	uint64		row_bytes;		/* chunks end at multiples of it where they can; 0: anywhere */
	ContentSource source;
	void	   *source_state;
	int64		candidate[SPARSE_MAX_CANDIDATES];	/* objects to predict it from */
	int			candidates;
	sparse_recipe *recipe;		/* ways to compute it from objects (recipes/recipe.h) */
	int			recipes;
	bool		searched;		/* their factors were stored for this object just now: those not used are removed */
	int64		version;		/* that brings it */
	uint64		chunk_bytes;	/* of its grid; 0: as sparse.chunk_size says */
	int			max_depth;		/* of the chain that it ends; 0: as sparse.max_chain_depth says */
} ObjectSpec;

typedef struct ObjectResult
{
	int64		id;
	bool		existed;		/* nothing was written */
	uint64		stored_bytes;
	int32		chunks;
} ObjectResult;

/*
 * Stores an object, or finds it by its SHA-256. An import that stores several
 * must come in the order of the SHA-256s, so that two transactions with one import
 * each can wait for, but never deadlock, each other. Among the
 * candidates the cheapest on a sample is taken; one that would make the chain
 * deeper than sparse.max_chain_depth is replaced by its own parent.
 */
extern void object_write(ObjectReader *reader, const ObjectSpec *spec, ObjectResult *result);

/*
 * The two halves of it. First the rows of all objects are found or reserved, in the order of
 * the SHA-256s; then content is written to those that did not exist (spec->source and what
 * may predict it count only now), in any order: so that one may be predicted from another.
 */
/* What object_write_content would take of spec's candidates and recipes for the object `id`: only that stays in spec. */
extern void object_choose(ObjectReader *reader, ObjectSpec *spec, int64 id);

extern void object_reserve(const ObjectSpec *spec, ObjectResult *result);
extern void object_write_content(ObjectReader *reader, const ObjectSpec *spec, int64 id,
								 ObjectResult *result);

/* ---- objects of one chunk with several parents (write_bytes.c); inside store_enter and SPI_connect ---- */

/* Ranges of other objects, in bytes, that together predict a content. */
typedef struct ReferenceSet
{
	int			count;
	struct
	{
		int64		object;
		uint64		first;
		uint64		bytes;
	}			ref[SPARSE_MAX_REFS];
} ReferenceSet;

/*
 * Finds the object of spec's content, or makes its row, to be filled by object_write_whole: false then. The content
 * must fit one chunk. Several must come in the order of their SHA-256s, see object_write.
 */
extern bool object_reserve_whole(const ObjectSpec *spec, ObjectResult *result);

/*
 * Writes the content of an object that was reserved, as one chunk, by that of the sets of references which makes it
 * smallest, or by none. Parents at depth most_depth or deeper are not used.
 */
extern void object_write_whole(ObjectReader *reader, const ObjectSpec *spec, const char *content,
							   const ReferenceSet *set, int sets, int most_depth, int zstd_level,
							   ObjectResult *result);

/* ---- objects whose content comes by and by (stage.c); inside store_enter and SPI_connect ---- */

/*
 * Makes the rows of an object of the open version `version`, whose content is to
 * come (spec->source is not used). It is predicted from the first candidate that
 * can; nothing finds it by its SHA-256 before it is published. Gives its id.
 */
extern int64 object_stage(ObjectReader *reader, const ObjectSpec *spec, int64 version);

typedef struct StagedObject
{
	ObjectInfo	info;
	int64		parent;			/* what its chunks are stored against; 0: nothing */
	int64		source;			/* what deltas that are written to it may refer to; 0: nothing */
	bool		declared;		/* its chunks refer to what a client has named: staged_declare */
} StagedObject;

/* False when the object is none, or not staged (any more). */
extern bool staged_find(ObjectReader *reader, int64 object, StagedObject *staged);

/*
 * Stores chunk `seq`, from its content or from a delta that somebody sent, in place of
 * what was there. A delta is checked by its header; its payload need not be sound.
 */
extern void staged_write(ObjectReader *reader, const StagedObject *staged, int32 seq,
						 const char *content, uint64 bytes);
extern void staged_write_delta(ObjectReader *reader, const StagedObject *staged, int32 seq,
							   struct varlena *delta);

/*
 * What a client's deltas of a staged object refer to. A parent of 0 is the one that was worked out for the object and has
 * that number already.
 */
typedef struct StagedParents
{
	int			count;
	struct
	{
		int64		object;
		bool		made;
	}			parent[SPARSE_MAX_REFS];
} StagedParents;

/*
 * From now on the object is predicted from these; where it was from others, its chunks are gone. False, and nothing is
 * changed: it cannot be. The reader must not be a read-only one; what it knows of the object is forgotten.
 */
extern bool staged_declare(ObjectReader *reader, StagedObject *staged, const StagedParents *parents);

/* Stores deltas that refer to what was declared, after a look at their headers. */
extern void staged_write_declared(ObjectReader *reader, const StagedObject *staged, int count, const int32 *seq,
								  struct varlena *const *delta);

/* Which chunks of a staged object are there; starts zeroed. */
#define STAGED_CHUNKS 1000

typedef struct StagedChunks
{
	bool		begun;
	bool		more;			/* behind those at hand */
	int			next;
	int			count;
	int32		seq[STAGED_CHUNKS];
} StagedChunks;

/* Whether chunk `seq` is; to be asked in ascending order. */
extern bool staged_has_chunk(const StagedObject *staged, StagedChunks *chunks, int32 seq);

/* What was seen of a staged object when all of it was read. */
typedef struct StagedFigures
{
	uint64		stored_bytes;
	bool		used[SPARSE_PREDICTORS];
	uint32		parents_used;	/* a bit for each, by its number */
} StagedFigures;

/*
 * Makes a staged object, all of whose content was read and has this SHA-256, one like
 * all others; or, where that content is there already, removes it and gives the other's id.
 * Several must come in the order of the SHA-256s.
 */
extern void staged_publish(ObjectReader *reader, const StagedObject *staged, const uint8 *sha256,
						   const StagedFigures *figures, ObjectResult *result);

/* Removes all staged objects of a version, after what refers to them; their number. */
extern uint64 staged_remove_all(int64 version);

/* Keep sparse_collect() away until the transaction ends: before the first object_write. */
extern void store_lock_for_writing(void);

#endif
