/*
 * list.c: the commands that ask and show: ls, log, ancestry, find-parent, show, diff, tree, savings.
 * Each is a query or two, read as the caller, and a table.
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

/* All of an answer. */
static void
print_query(conn *c, const remote *r, const char *sql, int count, const char *const *value)
{
	PGresult   *result = conn_query(c, sql, count, value);

	table_print(result, r->format);
	PQclear(result);
}

/* What was asked for of so many, where one more was asked for than is shown: says that there are more. */
static void
print_page(conn *c, const remote *r, const char *sql, int count, const char *const *value, const char *limit)
{
	PGresult   *result = conn_query(c, sql, count, value);
	const int	most = limit ? atoi(limit) : PQntuples(result);

	table_print_first(result, r->format, most);
	if (PQntuples(result) > most && !r->quiet)
		note("there are more: -n N shows N of them");
	PQclear(result);
}

/* How many lines are shown; NULL: all. */
static const char *
lines_of(const remote *r)
{
	return r->count ? r->count : r->format == TABLE_ALIGNED ? LOG_LINES : NULL;
}

/*
 * The query with the tags of a version v in the place of "%tags": who may not read tags sees none. The caller frees it.
 */
static char *
with_tags(conn *c, const char *sql)
{
	static const char tags[] = "(select string_agg(t.tag, ' ' order by t.tag) from sparse.tag t where t.version = v.id)";
	const char *at = strstr(sql, "%tags");
	PGresult   *result = conn_query(c, "select has_table_privilege('sparse.tag', 'select')", 0, NULL);
	bool		may = PQgetvalue(result, 0, 0)[0] == 't';

	PQclear(result);
	return format_text("%.*s%s%s", (int) (at - sql), sql, may ? tags : "null::text", at + strlen("%tags"));
}

/* ---- ls ---- */

/* Of each name the newest revision that is ready, with the tags of all; names by a pattern of the shell. */
static const char ls_names[] =
"select v.name, v.revision, v.kind,"
"  (select string_agg(t.tag || case when o.id = v.id then '' else '@' || o.revision end, ' ' order by t.tag)"
"     from sparse.tag t join sparse.version o on o.id = t.version where t.name = v.name) as tags,"
"  v.raw_bytes as size_bytes, v.stored_bytes, v.created_at"
" from (select distinct on (name) * from sparse.version"
"        where state = 'ready' and ($1::text is null or name like $1) and ($2::text is null or kind = $2)"
"        order by name, revision desc) v"
" where ($3::text is null or exists (select from sparse.tag t where t.name = v.name and t.tag = $3))"
"   and ($4::text is null or v.metadata @> $4::jsonb)"
" order by v.name limit $5::bigint + 1";

void
ls_run(conn *c, const remote *r)
{
	char	   *like = r->arguments > 0 ? like_pattern(r->argument[0]) : NULL;
	const char *const value[] = {like, r->kind, r->tag, r->metadata, r->count};

	print_page(c, r, ls_names, 5, value, r->count);
	free(like);
}

/* ---- log ---- */

/* The name in a reference, without revision or tag; NULL: it is an id. The caller frees it. */
static char *
name_in(const char *reference)
{
	if (reference[strspn(reference, "0123456789")] == '\0')
		return NULL;
	return format_text("%.*s", (int) strcspn(reference, "@"), reference);
}

static const char log_versions[] =
"select " VERSION_COLUMNS ","
" %tags as tags, v.message from sparse.version v"
" where v.state <> 'open'"
"   and ($1::text is null or v.name = coalesce($2::text, (select o.name from sparse.version o where o.id::text = $1)))"
" order by v.id desc limit $3::bigint + 1";

void
log_run(conn *c, const remote *r)
{
	char	   *name = r->arguments > 0 ? name_in(r->argument[0]) : NULL;
	const char *limit = lines_of(r);
	const char *const value[] = {r->argument[0], name, limit};
	char	   *sql;

	/* an error where there is none of that name */
	if (r->arguments > 0)
		free(id_of(c, r->argument[0]));
	sql = with_tags(c, log_versions);
	print_page(c, r, sql, 3, value, limit);
	free(sql);
	free(name);
}

/* ---- ancestry ---- */

void
ancestry_run(conn *c, const remote *r)
{
	char	   *id = id_of(c, r->argument[0]);
	const char *const value[] = {id, r->count};

	print_page(c, r, "select l.distance, l.role, " VERSION_COLUMNS ", v.message"
			   " from (select 0 as distance, null::text as role, $1::bigint as version"
			   " union all select distance, role, version from @.sparse_lineage($1::bigint)) l"
			   " join sparse.version v on v.id = l.version order by l.distance, v.id desc limit $2::bigint + 1", 2, value, r->count);
	free(id);
}

/* ---- find-parent ---- */

void
find_parent_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0], or_default(r->count, "10")};

	print_query(c, r, "select version, name || '@' || revision as name, estimated_bytes, matched_tensors"
				" from @.sparse_find_parent($1::text, $2::integer)", 2, value);
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
"select v.id as version, v.name, v.revision, v.kind, v.state,"
" %tags as tags, v.exact, v.created_at, v.created_by, v.message, v.metadata, v.files, v.tensors, v.raw_bytes, v.stored_bytes,"
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
	char	   *sql = with_tags(c, show_version);
	PGresult   *result = conn_query(c, sql, 1, &id);

	free(sql);
	if (PQntuples(result) == 0)
		fail(STATUS_REFUSED, "pg_sparse ls lists the names.", "there is no version \"%s\"", r->argument[0]);
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

#define DIFF_CONTENTS \
"with a as (select 'tensor' as what, name, dtype || ' ' || array_to_string(shape, ' x ') as type, bytes, sha256" \
"             from @.sparse_tensors($1::text)" \
"           union all select 'file', path, null, bytes, sha256 from @.sparse_files($1::text) where format = 'bytes')," \
" b as (select 'tensor' as what, name, dtype || ' ' || array_to_string(shape, ' x ') as type, bytes, sha256" \
"         from @.sparse_tensors($2::text)" \
"       union all select 'file', path, null, bytes, sha256 from @.sparse_files($2::text) where format = 'bytes')" \
" select what, name, case when a.bytes is null then 'added' when b.bytes is null then 'removed'" \
"                         when a.type is distinct from b.type then 'retyped' else 'changed' end as change," \
"        a.type as old_type, b.type as new_type, a.bytes as old_bytes, b.bytes as new_bytes" \
"   from a full join b using (what, name)" \
"  where a.sha256 is distinct from b.sha256 or a.type is distinct from b.type"

static const char diff_contents[] = DIFF_CONTENTS "  order by what desc, name";

static const char diff_counts[] =
"select what, change, count(*), sum(old_bytes)::bigint as old_bytes, sum(new_bytes)::bigint as new_bytes"
" from (" DIFF_CONTENTS ") d group by what, change order by what desc, change";

static const char diff_stat[] =
"select count(*) filter (where op = 'added') as added, count(*) filter (where op = 'removed') as removed,"
" count(*) filter (where op = 'changed') as changed from @.sparse_row_diff($1::text, $2::text, $3::text)";

static bool
is_dataset(conn *c, const char *reference)
{
	PGresult   *result = conn_query(c, "select kind = 'dataset' from sparse.version where id = @.sparse_version_id($1::text)", 1, &reference);
	bool		dataset = PQntuples(result) > 0 && PQgetvalue(result, 0, 0)[0] == 't';

	PQclear(result);
	return dataset;
}

void
diff_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0], r->argument[1], r->split};

	if (is_dataset(c, r->argument[0]))
		print_query(c, r, r->stat ? diff_stat : "select * from @.sparse_row_diff($1::text, $2::text, $3::text)", 3, value);
	else if (r->stat)
		print_query(c, r, diff_counts, 2, value);
	else
		print_query(c, r, r->all ? "select * from @.sparse_compare($1::text, $2::text)" : diff_contents, 2, value);
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

/* ---- savings ---- */

/* Of one version, for people: what matters of the view's row. */
static const char savings_card[] =
"select name || '@' || revision as name, state, raw_file_bytes, zstd_file_bytes, stored_bytes,"
" saved_against_raw_files as saved_bytes, round(100 * saved_against_raw_files::numeric / nullif(raw_file_bytes, 0), 1) || ' %' as saved,"
" (select string_agg(e.key || ' ' || (e.value ->> 'objects'), ', ' order by (e.value ->> 'content_bytes')::numeric desc)"
"    from jsonb_each(by_predictor) e) as tensors_stored_as,"
" stored_cost_per_month, saved_against_raw_files_per_month as saved_per_month"
" from sparse.savings where version = @.sparse_version_id($1::text)";

static void
print_card(conn *c, const remote *r)
{
	PGresult   *result = conn_query(c, savings_card, 1, r->argument);

	if (PQntuples(result) == 0)
		fail(STATUS_REFUSED, NULL, "nothing is stored for \"%s\"", r->argument[0]);
	table_print_record(result, 0, r->format);
	PQclear(result);
}

void
savings_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0]};

	if (r->format == TABLE_ALIGNED && r->arguments > 0)
		print_card(c, r);
	else if (r->format != TABLE_ALIGNED)
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
