/*
 * keyed.h: rows of several versions, sorted together by key, to be compared.
 *
 * Of each row its key, a SHA-256 of the columns compared, and its number go into a
 * sort that spills to disk; so memory is bounded whatever the versions hold.
 */
#ifndef SPARSE_DATASET_KEYED_H
#define SPARSE_DATASET_KEYED_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/tuplesort.h"

#include "alike.h"
#include "dataset.h"

#define KEYED_SIDES 3

typedef struct KeyedSide
{
	Split	   *split;
	ColumnReader **reader;		/* of all columns; NULL where it is not opened */
} KeyedSide;

typedef struct Keyed
{
	int			sides;
	KeyedSide	side[KEYED_SIDES];
	ObjectReader *objects;		/* one for all, so that what sides share is decoded and remembered once */
	bool		by_type;		/* columns of one type only */
	int			columns;		/* compared */
	int		   *column[KEYED_SIDES];	/* numbers of columns, for each side; -1: it has none */
	Alike	   *alike;			/* of each column compared */
	int			keys;			/* 0: whole rows are compared */
	int		   *key;			/* which of the columns compared */
	StringInfoData common;		/* of the value at hand */
	MemoryContext scratch;
	Tuplesortstate *sort;
	bytea	   *next;			/* taken out of it too early */
	Sha256	   *sum;
} Keyed;

/* All rows of one key: of each side how many there are, and the first. */
typedef struct KeyedGroup
{
	int64		count[KEYED_SIDES];
	int64		row[KEYED_SIDES];
	uint8		sum[KEYED_SIDES][SPARSE_SHA256_BYTES];
} KeyedGroup;

/*
 * Prepares the comparison of splits, in the current context, of whose columns `key` are the key. by_type: by the
 * columns that all have with the same type. Otherwise two sides, by all columns: those of one name are compared by
 * what their types have in common, and a column that is not there is null.
 */
extern Keyed *keyed_create(Split **split, int sides, bool by_type, int keys, char **key);

/* Adds rows of a side. */
extern void keyed_add(Keyed *keyed, int side, int64 first_row, int64 rows);

/* After all were added. */
extern void keyed_sort(Keyed *keyed);

/*
 * The next key. With a key, more than one row of a side is an error; without,
 * `others` is told of each row of the group beyond the first.
 */
extern bool keyed_next(Keyed *keyed, KeyedGroup *group, void (*others) (void *state, int side, int64 row), void *state);

extern int64 keyed_chunks_read(const Keyed *keyed);
extern void keyed_end(Keyed *keyed);

/* by_type: the values of a row of a side, of the columns compared; valid until the next call. */
extern void keyed_values(Keyed *keyed, int side, int64 row, Datum *value, bool *null);

/* A row of a side as jsonb, all columns of it, or those of the key. */
extern Jsonb *keyed_row(Keyed *keyed, int side, int64 row);
extern Jsonb *keyed_key(Keyed *keyed, int side, int64 row);

#endif
