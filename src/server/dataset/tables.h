/*
 * tables.h: tells the store of the tables of datasets.
 */
#ifndef SPARSE_DATASET_TABLES_H
#define SPARSE_DATASET_TABLES_H

/* Once, when the module is loaded. */
extern void dataset_add_tables(void);

#endif
