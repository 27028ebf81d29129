/*
 * tables.h: tells the store of the tables of lineage.
 */
#ifndef SPARSE_LINEAGE_TABLES_H
#define SPARSE_LINEAGE_TABLES_H

/* Once, when the module is loaded. */
extern void lineage_add_tables(void);

#endif
