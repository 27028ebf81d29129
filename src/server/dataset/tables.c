/*
 * tables.c: the tables of datasets, as the store asks for them (store/tables.h); tables.sql makes them.
 */
#include "dataset/tables.h"

#include "store/tables.h"

static const StoreTable tables[] = {
	{.name = "split", .of_version = true},
	{.name = "column", .of_version = true},
	{.name = "column_chunk", .of_version = true, .objects = "object", .many = true},
};

void
dataset_add_tables(void)
{
	store_tables_add(tables, lengthof(tables));
}
