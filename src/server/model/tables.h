/*
 * tables.h: tells the store of the tables of models.
 */
#ifndef SPARSE_MODEL_TABLES_H
#define SPARSE_MODEL_TABLES_H

/* Once, when the module is loaded. */
extern void model_add_tables(void);

#endif
