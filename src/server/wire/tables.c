/*
 * tables.c: the tables of uploads, as the store asks for them (store/tables.h); tables.sql makes them.
 */
#include "wire/tables.h"

#include "store/tables.h"

static const StoreTable tables[] = {
	{.name = "quota"},
};

void
wire_add_tables(void)
{
	store_tables_add(tables, lengthof(tables));
}
