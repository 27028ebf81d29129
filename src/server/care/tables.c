/*
 * tables.c: the tables of care, as the store asks for them (store/tables.h); tables.sql makes them.
 */
#include "care/tables.h"

#include "store/tables.h"

static const StoreTable tables[] = {
	{.name = "expiry"},
};

void
care_add_tables(void)
{
	store_tables_add(tables, lengthof(tables));
}
