/*
 * dataset.h: what a dataset version is made of, and how one is read and stored.
 *
 * A version has splits, a split has columns, a column is a run of chunks, each an
 * object of the store. Columns of a split have the same number of rows, but not
 * the same chunks.
 */
#ifndef SPARSE_DATASET_DATASET_H
#define SPARSE_DATASET_DATASET_H

#include "postgres.h"
#include "compat.h"

#include "model/hash.h"
#include "store/store.h"

#include "codec/rowmap.h"

#include "chunk.h"
#include "type.h"

#define DEFAULT_SPLIT "default"
#define CHUNKS_A_ROW 128		/* of sparse.column_chunk */

/*
 * Functions that run a user's query, or make a table for him, see his search path;
 * their own queries run between these two.
 */
extern int	closed_path_enter(void);
extern void closed_path_leave(int nest);

/* ---- identity.c: of a version's content, its splits in their order ---- */

typedef struct Identity Identity;

/* as_it_is: of texts as a database without an encoding of its own has kept them. */
extern Identity *identity_begin(MemoryContext context, bool as_it_is);
extern void identity_add_split(Identity *identity, const char *name, int64 rows, int columns);
extern void identity_add_column(Identity *identity, const char *name, const char *type, const char *structure,
								const uint8 sha256[SPARSE_SHA256_BYTES]);
extern void identity_add_key(Identity *identity, int keys, const int16 *key);
extern void identity_finish(Identity *identity, uint8 digest[SPARSE_SHA256_BYTES]);

/* ---- layout.c: the rows of sparse.split, column and column_chunk ---- */

/*
 * Columns may be stored in another order than that of the rows: then all columns of a split have one map
 * (codec/rowmap.h), an object, which stands in a row of sparse.column_chunk of its own, behind all chunks: with this for
 * the first row, and the number of stored rows for its rows.
 */
#define MAP_ROW (INT64CONST(1) << 62)
#define MAP_ROW_TEXT "4611686018427387904"

/* Rows that a split with a map has at most; and stored ones, and those of its parent. */
#define MAP_MOST ((int64) 1 << 21)

typedef struct RowMap
{
	int64		object;			/* 0: none was read yet */
	sparse_rowmap_head head;
	uint32	   *row;			/* of each row which stored row it is */
} RowMap;

typedef struct SplitColumn
{
	int16		ordinal;
	char	   *name;
	char	   *type;
	char	   *structure;
	int64		bytes;
	uint8		sha256[SPARSE_SHA256_BYTES];
	int64		map;			/* 0: its chunks have the rows in their order */
	int64		stored_rows;	/* that its chunks have */
	TypeCoder  *coder;			/* NULL until it is asked for */
} SplitColumn;

typedef struct Split
{
	StoreVersion version;
	int16		ordinal;
	char	   *name;
	int64		rows;
	int			columns;
	SplitColumn *column;
	int			keys;
	int16	   *key;			/* numbers of columns */
	RowMap	   *map;			/* of its columns, once one was read through it */
} Split;

/* Refuses a version of a model. */
extern void dataset_check(const StoreVersion *version);

/*
 * A split of a version with its columns, in the current context: the one of that
 * name, or where name is NULL the only one, or the one named "default".
 */
extern Split *split_open(const StoreVersion *version, const char *name);

/* All splits as they are, in their order, with their columns, in `context`; their number. Within store_enter and SPI_connect. */
extern int	splits_read(MemoryContext context, const StoreVersion *version, Split ***split);

/* The names of all splits of a version; their number. */
extern int	split_names(int64 version, char ***name);

/* The number of the column of that name; -1: none. */
extern int	split_find_column(const Split *split, const char *name);

/* The coder of a column, which must be made of what it was when the version was stored. */
extern TypeCoder *split_coder(Split *split, int column);

/* Another coder of a column, of which nothing was asked yet: to show its values whatever became of the type. */
extern TypeCoder *split_coder_stored(Split *split, int column);

typedef struct ChunkEntry
{
	int64		first_row;
	int32		rows;
	bool		plain;
	int64		object;
} ChunkEntry;

/*
 * The chunks of one row of sparse.column_chunk: that which holds row `first_row` of the column. Their number,
 * at most CHUNKS_A_ROW. Within store_enter and SPI_connect.
 */
extern int	split_chunks(int64 version, int16 split, int16 column, int64 first_row, bool read_only, ChunkEntry *entry);

/*
 * Those of the next row of sparse.column_chunk whose first row is above `behind`; their number, 0 at the end. *first_row
 * is known even where the row is corrupt, which is an error. Within store_enter and SPI_connect.
 */
extern int	split_next_chunks(const Split *split, int16 column, int64 behind, int64 *first_row, ChunkEntry *entry);

/*
 * Reads the map of a column that has one, and checks that it is of the split; the split remembers it. Within store_enter
 * and SPI_connect.
 */
extern const RowMap *split_map(ObjectReader *objects, const Split *split, const SplitColumn *column);

/* ---- column.c: the values of a column, in order ---- */

typedef struct ColumnReader ColumnReader;

/* In `context`; `coder` may be NULL where only bytes are asked for. Readers of several columns share an ObjectReader. */
extern ColumnReader *column_open(MemoryContext context, ObjectReader *objects, const Split *split, int column,
								 bool read_only);

/* The bytes of the value of a row, valid until the next call; false: it is null. Rows in ascending order are cheapest. */
extern bool column_bytes(ColumnReader *reader, int64 row, const char **bytes, size_t *length);

/* The value itself, valid until the next call for a row of another chunk. */
extern Datum column_value(ColumnReader *reader, int64 row, bool *null);

/* The map that the column is read through; NULL: its chunks have the rows in their order. */
extern const RowMap *column_map(ColumnReader *reader);

/* Chunks decoded so far. */
extern int64 column_chunks_read(const ColumnReader *reader);

#endif
