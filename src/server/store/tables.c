/*
 * tables.c: which tables each layer brings (see tables.h).
 */
#include "store/tables.h"

#include "lib/stringinfo.h"

#define LAYERS 8

/* "object" leads: its owner is the store's. */
static const StoreTable own_tables[] = {
	{.name = "object"},
	{.name = "object_parent", .objects = "parent"},
	{.name = "chunk"},
	{.name = "place"},
	{.name = "store"},
	{.name = "family"},
	{.name = "version"},
	{.name = "parent"},
	{.name = "parent_history", .by_update = true},
	{.name = "found_parent", .of_version = true, .by_update = true},
	{.name = "tag"},
	{.name = "upload", .of_version = true},
	{.name = "forgotten", .by_update = true},
	{.name = "staged", .of_version = true, .objects = "object"},
	{.name = "staged", .objects = "source"},
};

static struct
{
	const StoreTable *table;
	int			count;
}			layer[LAYERS] = {{own_tables, lengthof(own_tables)}};

static int	layers = 1;

void
store_tables_add(const StoreTable *table, int count)
{
	if (layers == LAYERS)
		elog(ERROR, "more than %d layers bring tables", LAYERS);
	layer[layers].table = table;
	layer[layers++].count = count;
}

int
store_table_count(void)
{
	int			count = 0;

	for (int i = 0; i < layers; i++)
		count += layer[i].count;
	return count;
}

const StoreTable *
store_table(int number)
{
	int			i = 0;

	for (; number >= layer[i].count; i++)
		number -= layer[i].count;
	return &layer[i].table[number];
}

/* Of arrays: one object is looked for in each, and for all objects they are laid out once. */
static void
add_need(StringInfo sql, const StoreTable *table, const char *id, bool all)
{
	if (!table->many)
		appendStringInfo(sql, "not exists (select from sparse.%s t where t.%s operator(pg_catalog.=) %s)",
						 table->name, table->objects, id);
	else if (all)
		appendStringInfo(sql, "not exists (select from (select pg_catalog.unnest(t.%s) as id from sparse.%s t) t"
						 " where t.id operator(pg_catalog.=) %s)", table->objects, table->name, id);
	else
		appendStringInfo(sql, "not exists (select from sparse.%s t where %s operator(pg_catalog.=) any (t.%s))",
						 table->name, id, table->objects);
}

char *
nothing_needs(const char *id, bool all)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < store_table_count(); i++)
	{
		const StoreTable *table = store_table(i);

		if (table->objects == NULL)
			continue;
		if (sql.len > 0)
			appendStringInfoString(&sql, " and ");
		add_need(&sql, table, id, all);
	}
	return sql.data;
}
