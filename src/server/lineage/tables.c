/*
 * tables.c: the tables of lineage, as the store asks for them (store/tables.h); tables.sql makes them.
 */
#include "lineage/tables.h"

#include "store/tables.h"

static const StoreTable tables[] = {
	{.name = "tag_history"},
};

void
lineage_add_tables(void)
{
	store_tables_add(tables, lengthof(tables));
}
