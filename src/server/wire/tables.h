/*
 * tables.h: tells the store of the tables of uploads.
 */
#ifndef SPARSE_WIRE_TABLES_H
#define SPARSE_WIRE_TABLES_H

/* Once, when the module is loaded. */
extern void wire_add_tables(void);

#endif
