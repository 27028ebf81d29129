/*
 * tables.h: tells the store of the tables of care.
 */
#ifndef SPARSE_CARE_TABLES_H
#define SPARSE_CARE_TABLES_H

/* Once, when the module is loaded. */
extern void care_add_tables(void);

#endif
