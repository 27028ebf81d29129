/*
 * tables.h: which tables each layer brings, what they hold of a version, and which objects they need.
 *
 * The layers say so when the module is loaded (server/module.c), lowest first. What must know all tables, the
 * check that they have one owner and the collection of what nothing needs, asks here.
 */
#ifndef SPARSE_STORE_TABLES_H
#define SPARSE_STORE_TABLES_H

#include "postgres.h"

typedef struct StoreTable
{
	const char *name;			/* in schema "sparse", and no word that must be quoted */
	bool		of_version;		/* it has a column "version": the rows end when that version is collected, or given up */
	const char *objects;		/* its column that names an object, or NULL */
	bool		many;			/* that column holds an array of them */
} StoreTable;

/* The array is kept, not copied. */
extern void store_tables_add(const StoreTable *table, int count);

extern int	store_table_count(void);
extern const StoreTable *store_table(int number);	/* from 0 on: the store's own come first */

/*
 * A condition in SQL that nothing in any table needs the object `id`, an expression; in the current
 * memory context. `all`: it is asked for every object of the store, and not for one.
 */
extern char *nothing_needs(const char *id, bool all);

#endif
