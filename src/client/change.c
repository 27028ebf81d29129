/*
 * change.c: the commands that change what is said of versions, or take them away: tag, rename, parents, rm,
 * undrop, gc. Each is a statement or two, run as the caller.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "remote.h"
#include "wire.h"

static void
run_statement(conn *c, const char *sql, int count, const char *const *value)
{
	PQclear(conn_query(c, sql, count, value));
}

/* ---- tag ---- */

/* The name in a reference, without revision or tag. The caller frees it. */
static char *
name_in(const char *reference)
{
	return format_text("%.*s", (int) strcspn(reference, "@"), reference);
}

static void
list_tags(conn *c, const remote *r)
{
	PGresult   *result = conn_query(c, "select t.tag, t.version, v.name || '@' || v.revision as name"
									" from sparse.version o join sparse.version v on v.name = o.name join sparse.tag t on t.version = v.id"
									" where o.id = @.sparse_version_id($1::text) order by t.tag", 1, r->argument);

	table_print(result, r->format);
	PQclear(result);
}

void
tag_run(conn *c, const remote *r)
{
	if (r->arguments == 1 && !r->delete)
		list_tags(c, r);
	else if (r->arguments == 1)
		fail_usage("tag", "--delete needs the NAME of the tag");
	else if (r->delete)
	{
		char	   *name = name_in(r->argument[0]);
		const char *const value[] = {name, r->argument[1]};

		run_statement(c, "select @.sparse_untag($1::text, $2::text)", 2, value);
		free(name);
	}
	else
		run_statement(c, "select @.sparse_tag($1::text, $2::text)", 2, r->argument);
}

/* ---- rename ---- */

void
rename_run(conn *c, const remote *r)
{
	PGresult   *result = conn_query(c, "select @.sparse_rename($1::text, $2::text)", 2, r->argument);

	if (!r->quiet)
		printf("revisions renamed: %s\n", PQgetvalue(result, 0, 0));
	PQclear(result);
}

/* ---- parents ---- */

static void
list_parents(conn *c, const remote *r)
{
	PGresult   *result = conn_query(c, "select p.role, p.source, v.id as version, v.name || '@' || v.revision as name, v.state"
									" from sparse.parent p join sparse.version v on v.id = p.parent"
									" where p.child = @.sparse_version_id($1::text) order by p.ordinal", 1, r->argument);

	table_print(result, r->format);
	PQclear(result);
}

void
parents_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0], r->argument[1], r->role};

	if (r->arguments == 1 && !r->delete)
		list_parents(c, r);
	else if (r->arguments == 1)
		fail_usage("parents", "--delete needs the PARENT that it is not made from");
	else if (r->delete)
		run_statement(c, "select @.sparse_remove_parent($1::text, $2::text, $3::text)", 3, value);
	else
		run_statement(c, "select @.sparse_add_parent($1::text, $2::text, $3::text)", 3, value);
}

/* ---- rm, undrop ---- */

/* All of them, or none: in one transaction. */
static void
for_all(conn *c, const remote *r, const char *sql)
{
	char	   *list = wire_text_array(r->argument, (unsigned long) r->arguments);
	const char *const value[] = {list};
	PGresult   *result = conn_query(c, sql, 1, value);

	for (int i = 0; i < PQntuples(result) && !r->quiet; i++)
	{
		print_safely(PQgetvalue(result, i, 0));
		putchar('\n');
	}
	PQclear(result);
	free(list);
}

void
rm_run(conn *c, const remote *r)
{
	for_all(c, r, "select 'dropped version ' || d.id || '; pg_sparse gc gives its space back'"
			" from (select v.id, @.sparse_drop(v.id) as done"
			"         from (select distinct @.sparse_version_id(u.reference) as id from unnest($1::text[]) u (reference) offset 0) v offset 0) d"
			" where (d.done is null) is not null");
}

/* (The newest revision of a name is the newest that is ready: what was dropped is named by its id or revision.) */
void
undrop_run(conn *c, const remote *r)
{
	for_all(c, r, "select 'version ' || d.id || ' is there again'"
			" from (select v.id, @.sparse_undrop(v.id) as done"
			"         from (select distinct @.sparse_version_id(u.reference) as id from unnest($1::text[]) u (reference) offset 0) v offset 0) d"
			" where (d.done is null) is not null");
}

/* ---- gc ---- */

void
gc_run(conn *c, const remote *r)
{
	const char *const value[] = {r->older_than ? r->older_than : "1 day"};
	PGresult   *result;

	conn_on_interrupt(c, NULL);
	result = conn_query(c, "select * from @.sparse_collect($1::interval)", 1, value);
	table_print_record(result, 0, r->format);
	PQclear(result);
}
