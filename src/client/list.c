/*
 * list.c: the commands that ask and show: log, show, diff, tree, tag, savings,
 * rm, gc. Each is a query or two, read as the caller, and a table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "remote.h"

#define LOG_LINES "30"

/* What describes a version v in a line. */
#define VERSION_COLUMNS "v.id as version, v.name || '@' || v.revision as name, v.state, v.exact, v.raw_bytes, v.stored_bytes," \
	" v.created_at, v.created_by"

static const char *
or_default(const char *value, const char *otherwise)
{
	return value ? value : otherwise;
}

/* The id of a version, dropped ones included. The caller frees it. */
static char *
id_of(conn *c, const char *reference)
{
	PGresult   *result = conn_query(c, "select @.sparse_version_id($1::text)", 1, &reference);
	char	   *id = format_text("%s", PQgetvalue(result, 0, 0));

	PQclear(result);
	return id;
}

static void
print_query(conn *c, const remote *r, const char *sql, int count, const char *const *value)
{
	PGresult   *result = conn_query(c, sql, count, value);

	table_print(result, r->format);
	PQclear(result);
}

/* ---- log ---- */

static void
log_all(conn *c, const remote *r)
{
	const char *const value[] = {or_default(r->count, r->format == TABLE_ALIGNED ? LOG_LINES : NULL)};

	print_query(c, r, "select " VERSION_COLUMNS ", v.message from sparse.version v"
				" where v.state <> 'open' order by v.id desc limit $1::bigint", 1, value);
}

void
log_run(conn *c, const remote *r)
{
	char	   *id;

	if (r->arguments == 0)
	{
		log_all(c, r);
		return;
	}
	id = id_of(c, r->argument[0]);
	{
		const char *const value[] = {id, r->count};

		print_query(c, r, "select l.distance, l.role, " VERSION_COLUMNS ", v.message"
					" from (select 0 as distance, null::text as role, $1::bigint as version"
					" union all select distance, role, version from @.sparse_lineage($1::bigint)) l"
					" join sparse.version v on v.id = l.version order by l.distance, v.id desc limit $2::bigint", 2, value);
	}
	free(id);
}

/* ---- show ---- */

/* A part of what show prints: a table under a heading, or a key of its object. */
static void
show_part(conn *c, const remote *r, const char *name, const char *sql, const char *id)
{
	PGresult   *result = conn_query(c, sql, 1, &id);

	if (r->format == TABLE_JSON)
	{
		printf(",\n\"%s\": ", name);
		table_print_json(result);
	}
	else if (PQntuples(result) > 0)
	{
		table_print_heading(name);
		table_print(result, r->format);
	}
	PQclear(result);
}

static const char show_version[] =
"select v.id as version, v.name, v.revision, v.kind, v.state, v.exact, v.created_at, v.created_by, v.message,"
" v.metadata, v.files, v.tensors, v.raw_bytes, v.stored_bytes,"
" round(v.stored_bytes / nullif(v.raw_bytes, 0)::numeric, 4) as fraction, encode(v.content_sha256, 'hex') as content_sha256"
" from sparse.version v where v.id = $1::bigint";

static const char show_parents[] =
"select p.role, v.id as version, v.name || '@' || v.revision as name, v.state, v.exact"
" from sparse.parent p join sparse.version v on v.id = p.parent where p.child = $1::bigint order by p.ordinal";

/* Not what it was made from, as far as anybody said. */
static const char show_found[] =
"select v.id as version, v.name || '@' || v.revision as name, v.state, f.estimated_bytes, f.found_at"
" from sparse.found_parent f join sparse.version v on v.id = f.parent where f.version = $1::bigint";

static const char show_files[] =
"select path, format, bytes, tensors, encode(sha256, 'hex') as sha256 from @.sparse_files($1::bigint) order by ordinal";

static const char show_tensors[] =
"select file, name, dtype, array_to_string(shape, ' x ') as shape, predictor, depth, chunks, bytes, stored_bytes,"
" encode(sha256, 'hex') as sha256 from @.sparse_tensors($1::bigint)";

static void
show_record(conn *c, const remote *r, const char *id)
{
	PGresult   *result = conn_query(c, show_version, 1, &id);

	if (PQntuples(result) == 0)
		fail(STATUS_REFUSED, "pg_sparse log lists the versions.", "there is no version \"%s\"", r->argument[0]);
	if (r->format == TABLE_JSON)
		fputs("{\"version\": ", stdout);
	if (r->format == TABLE_JSON)
		table_print_json(result);
	else
		table_print_record(result, 0, r->format);
	PQclear(result);
}

void
show_run(conn *c, const remote *r)
{
	char	   *id = id_of(c, r->argument[0]);
	const char *const value[] = {id};

	if (r->format == TABLE_CSV)
		print_query(c, r, r->all ? show_tensors : show_files, 1, value);
	else
	{
		show_record(c, r, id);
		show_part(c, r, "parents", show_parents, id);
		show_part(c, r, "found_parents", show_found, id);
		show_part(c, r, "files", show_files, id);
		if (r->all)
			show_part(c, r, "tensors", show_tensors, id);
		fputs(r->format == TABLE_JSON ? "}\n" : "", stdout);
	}
	free(id);
}

/* ---- diff ---- */

static const char diff_contents[] =
"with a as (select 'tensor' as what, name, dtype || ' ' || array_to_string(shape, ' x ') as type, bytes, sha256"
"             from @.sparse_tensors($1::text)"
"           union all select 'file', path, null, bytes, sha256 from @.sparse_files($1::text) where format = 'bytes'),"
" b as (select 'tensor' as what, name, dtype || ' ' || array_to_string(shape, ' x ') as type, bytes, sha256"
"         from @.sparse_tensors($2::text)"
"       union all select 'file', path, null, bytes, sha256 from @.sparse_files($2::text) where format = 'bytes')"
" select what, name, case when a.bytes is null then 'added' when b.bytes is null then 'removed'"
"                         when a.type is distinct from b.type then 'retyped' else 'changed' end as change,"
"        a.type as old_type, b.type as new_type, a.bytes as old_bytes, b.bytes as new_bytes"
"   from a full join b using (what, name)"
"  where a.sha256 is distinct from b.sha256 or a.type is distinct from b.type"
"  order by what desc, name";

void
diff_run(conn *c, const remote *r)
{
	if (r->all)
		print_query(c, r, "select * from @.sparse_compare($1::text, $2::text)", 2, r->argument);
	else
		print_query(c, r, diff_contents, 2, r->argument);
}

/* ---- tree ---- */

/* Text of several lines. */
static void
print_text(const char *text)
{
	while (*text)
	{
		size_t		length = strcspn(text, "\n");
		char	   *line = format_text("%.*s", (int) length, text);

		print_safely(line);
		putchar('\n');
		free(line);
		text += length + (text[length] == '\n');
	}
}

void
tree_run(conn *c, const remote *r)
{
	PGresult   *result;

	if (r->format != TABLE_ALIGNED)
	{
		print_query(c, r, "select * from @.sparse_family($1::text)", 1, r->argument);
		return;
	}
	result = conn_query(c, "select @.sparse_graph($1::text, 'tree')", 1, r->argument);
	print_text(PQgetvalue(result, 0, 0));
	PQclear(result);
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
	print_query(c, r, "select t.tag, t.version, v.name || '@' || v.revision as name"
				" from sparse.version o join sparse.version v on v.name = o.name join sparse.tag t on t.version = v.id"
				" where o.id = @.sparse_version_id($1::text) order by t.tag", 1, r->argument);
}

void
tag_run(conn *c, const remote *r)
{
	PGresult   *result;

	if (r->arguments == 1 && !r->delete)
	{
		list_tags(c, r);
		return;
	}
	if (r->arguments == 1)
		fail_usage("tag", "--delete needs the NAME of the tag");
	if (r->delete)
	{
		char	   *name = name_in(r->argument[0]);
		const char *const value[] = {name, r->argument[1]};

		result = conn_query(c, "select @.sparse_untag($1::text, $2::text)", 2, value);
		free(name);
	}
	else
		result = conn_query(c, "select @.sparse_tag($1::text, $2::text)", 2, r->argument);
	PQclear(result);
}

/* ---- savings ---- */

#define SAVINGS_COLUMNS "raw_file_bytes, whole_file_dedup_bytes, stored_bytes, saved_against_raw_files"

void
savings_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0]};

	if (r->format != TABLE_ALIGNED || r->arguments > 0)
		print_query(c, r, "select * from sparse.savings where $1::text is null or version = @.sparse_version_id($1::text)"
					" order by version", 1, value);
	else
		print_query(c, r, "select name, raw_file_bytes, whole_file_dedup_bytes, stored_bytes, fraction"
					" from (select version, name || '@' || revision as name, raw_file_bytes, whole_file_dedup_bytes, stored_bytes,"
					"              fraction_of_raw_files as fraction from sparse.savings"
					"       union all select null, 'all', sum(raw_file_bytes), sum(whole_file_dedup_bytes), sum(stored_bytes),"
					"              round(sum(stored_bytes) / nullif(sum(raw_file_bytes), 0), 4) from sparse.savings) s"
					" order by version nulls last", 0, NULL);
}

/* ---- care ---- */

void
rm_run(conn *c, const remote *r)
{
	char	   *id = id_of(c, r->argument[0]);
	const char *const value[] = {id};
	PGresult   *result = conn_query(c, "select @.sparse_drop($1::bigint)", 1, value);

	PQclear(result);
	if (!r->quiet)
		printf("dropped version %s; pg_sparse gc gives its space back\n", id);
	free(id);
}

void
gc_run(conn *c, const remote *r)
{
	const char *const value[] = {or_default(r->older_than, "1 day")};
	PGresult   *result;

	conn_on_interrupt(c, NULL);
	result = conn_query(c, "select * from @.sparse_collect($1::interval)", 1, value);
	table_print_record(result, 0, r->format);
	PQclear(result);
}
