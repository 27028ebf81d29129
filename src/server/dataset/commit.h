/*
 * commit.h: a dataset version on its way from rows to ready.
 */
#ifndef SPARSE_DATASET_COMMIT_H
#define SPARSE_DATASET_COMMIT_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/tuplesort.h"

#include "model/import.h"

#include "dataset.h"
#include "pending.h"

typedef struct NewColumn
{
	const char *name;
	TypeCoder  *coder;
	char	   *type;
	char	   *structure;
	ChunkBuilder *builder;
	PendingColumn pending;
	int64		inherited;		/* chunks of the parent that come before those */
	ChunkEntry *chunk;			/* them */
	Sha256	   *sum;			/* over all values */
	uint8		sha256[SPARSE_SHA256_BYTES];
	int64		bytes;
	StringInfoData value;		/* bytes of the value at hand */
} NewColumn;

typedef struct NewSplit
{
	const char *name;
	int64		rows;
	int			columns;
	NewColumn  *column;
	int			keys;
	int16	   *key;
	Tuplesortstate *sort;		/* of keys, to find those that stand twice */
	uint64	   *hash;			/* of each row; NULL: they are too many */
	int64		hash_room;
	PendingColumn map;			/* of no or one chunk: where the rows stand in the columns (commit_map.c) */
	int64		parent_map;		/* object of the parent's; 0: it has none */
	int64		stored_rows;	/* of the columns; with a map */
	int64		near;			/* a stored row of the parent beside which the first new row stands */
} NewSplit;

typedef struct Commit
{
	Import		import;			/* name, parents, ids */
	MemoryContext context;
	MemoryContext row_context;	/* emptied after each row */
	Pending    *pending;
	uint64		seed;			/* of the hashes of rows: nobody knows it before */
	int			splits;
	NewSplit   *split;
} Commit;

/* ---- commit.c: the steps ---- */

/* Parents are resolved as the caller; all have that role. */
extern Commit *commit_begin(const char *name, char *const *parent, int parents, const char *role, Datum metadata);

/* With all splits at their ends: the version of that name which has this content, new or not. */
extern int64 commit_end(Commit *commit);

/* ---- commit_rows.c: rows to chunks ---- */

/* Readies a split for rows of that type; `key` are names of columns. */
extern void commit_begin_split(Commit *commit, NewSplit *split, const char *name, TupleDesc columns, int keys, char **key);
extern void commit_row(Commit *commit, NewSplit *split, const Datum *value, const bool *null);

/* The last chunks, sums, and the check of the key. */
extern void commit_end_split(Commit *commit, NewSplit *split);

/* Reads the rows of a query of the user's, as the user, into a split. */
extern void commit_query(Commit *commit, NewSplit *split, const char *name, const char *query, int keys, char **key);

/* ---- commit_map.c: rows that stand in the parent ---- */

/* Adds a value to the hash of a row; NULL bytes: null. */
extern uint64 commit_hash_add(const Commit *commit, uint64 hash, const char *bytes, size_t length);

/*
 * Finds the rows of a split in its parent, and where that is cheaper makes of its chunks a map and those of the
 * new rows, which stand behind the parent's.
 */
extern void commit_map_rows(Commit *commit, NewSplit *split, Split *parent);

/* Reads a split with a map from the store, by now there, and compares it with the rows that came. */
extern void commit_check_map(const Commit *commit, int number);

static inline bool
commit_is_mapped(const NewSplit *split)
{
	return split->map.chunks > 0;
}

/* ---- commit_store.c: chunks to the store ---- */

/* Stores what is new, as the store's owner, and makes the version ready. */
extern void commit_store(Commit *commit);

/* Bytes of all values. */
extern int64 commit_raw_bytes(const Commit *commit);

#endif
