/*
 * tables.c: the tables of models, as the store asks for them (store/tables.h); tables.sql makes them.
 */
#include "model/tables.h"

#include "store/tables.h"

static const StoreTable tables[] = {
	{.name = "file", .of_version = true, .objects = "object"},
	{.name = "tensor", .of_version = true, .objects = "object"},
	{.name = "approximation", .of_version = true},
	{.name = "sketch", .of_version = true},
	{.name = "unoptimized", .of_version = true},
};

void
model_add_tables(void)
{
	store_tables_add(tables, lengthof(tables));
}
