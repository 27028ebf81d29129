/*
 * rows.c: datasets from a shell: commit, checkout, merge.
 *
 * Files of rows are read and written by the server's COPY, so that nobody else parses CSV: what comes in goes to a
 * temporary table of text; types are inferred there, over all rows, and only where each value comes back as the
 * same characters; then sparse_commit_rows() makes a version of it. All of it is one transaction, at whose end the
 * table is gone, so that a pooler may lie in between.
 *
 *   .csv            with a head; a field without anything, and without quotes, is null
 *   .jsonl, .ndjson an object a line: columns in the order in which their keys come first; a key that is missing is null
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "client.h"
#include "files.h"
#include "remote.h"
#include "wire.h"

#define PIECE 65536
#define MAX_COLUMNS 1600		/* of a table of PostgreSQL */

/* A line as one field: what separates and quotes is in no JSON. */
#define LINES "(format csv, delimiter E'\\x01', quote E'\\x02', encoding 'UTF8')"

/* The column that says in which order rows came: no file has one of this name. */
#define ORDER "\"\001\""

typedef enum rows_form
{
	ROWS_CSV, ROWS_LINES
} rows_form;

typedef struct column
{
	char	   *name;
	char	   *type;			/* as SQL writes it */
} column;

typedef struct columns
{
	column	   *of;
	unsigned long count;
} columns;

static rows_form
form_of(const char *path, const char *command)
{
	static const char *const lines[] = {".jsonl", ".ndjson"};
	const char *end = strrchr(path, '.');

	if (strcmp(path, "-") == 0 || (end && strcasecmp(end, ".csv") == 0))
		return ROWS_CSV;
	if (end && (strcasecmp(end, lines[0]) == 0 || strcasecmp(end, lines[1]) == 0))
		return ROWS_LINES;
	if (end && strcasecmp(end, ".parquet") == 0)
		fail(STATUS_FAILED, "DuckDB makes one of it: copy 'FILE.parquet' to 'FILE.csv' (header).", "\"%s\" is a Parquet file, and pg_sparse reads CSV and JSON lines", path);
	fail_usage(command, "\"%s\" is neither .csv nor .jsonl", path);
}

/* ---- statements of one transaction ---- */

/* Runs one; "@." in it as for conn_query. */
static PGresult *
ask(conn *c, const char *sql, int count, const char *const *value)
{
	char	   *text = conn_sql(c, sql);
	PGresult   *result = PQexecParams(c->pg, text, count, NULL, value, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	free(text);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_IN && status != PGRES_COPY_OUT)
		conn_fail(c, result);
	return result;
}

static void
run(conn *c, const char *sql)
{
	PQclear(ask(c, sql, 0, NULL));
}

/* From here to end_rows statements are of one session, one by one: COPY is not for pipelines. */
static void
begin_rows(conn *c)
{
	if (!PQexitPipelineMode(c->pg))
		conn_fail(c, NULL);
	run(c, "begin");
	run(c, "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
		" pg_catalog.set_config('datestyle', 'ISO', true), pg_catalog.set_config('synchronize_seqscans', 'off', true)");
}

static void
end_rows(conn *c, const char *how)
{
	run(c, how);
	if (!PQenterPipelineMode(c->pg))
		conn_fail(c, NULL);
}

/* printf's, run. */
__attribute__((format(printf, 2, 3)))
static PGresult *
ask_format(conn *c, const char *format, ...)
{
	va_list		args;
	char	   *sql;
	PGresult   *result;

	va_start(args, format);
	if (vasprintf(&sql, format, args) < 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	va_end(args);
	result = ask(c, sql, 0, NULL);
	free(sql);
	return result;
}

/* A name as SQL writes it, or a literal. The caller frees it by PQfreemem. */
static char *
quoted(conn *c, const char *text, bool name)
{
	char	   *q = name ? PQescapeIdentifier(c->pg, text, strlen(text)) : PQescapeLiteral(c->pg, text, strlen(text));

	if (q == NULL)
		fail(STATUS_USAGE, NULL, "\"%s\" cannot be sent: %s", text, PQerrorMessage(c->pg));
	return q;
}

/* More text at the end of some. */
static void
append(char **text, const char *more)
{
	char	   *longer = format_text("%s%s", *text ? *text : "", more);

	free(*text);
	*text = longer;
}

/* ---- the file, into a temporary table ---- */

static void
add_column(columns *all, const char *name)
{
	if (all->count == MAX_COLUMNS)
		fail(STATUS_FAILED, NULL, "the file has more than %d columns", MAX_COLUMNS);
	all->of = array_grow(all->of, all->count, sizeof *all->of);
	all->of[all->count++] = (column) {.name = format_text("%s", name)};
}

/* The line, or the lines where quotes hold line ends, that the stream begins with. The caller frees it. */
static char *
first_record(FILE *stream, const char *path)
{
	char	   *record = NULL;
	unsigned long length = 0;
	bool		quotes = false;
	int			byte;

	while ((byte = getc(stream)) != EOF)
	{
		record = array_grow(record, length, 1);
		record[length++] = (char) byte;
		quotes ^= byte == '"';
		if (byte == '\n' && !quotes)
			break;
	}
	if (ferror(stream))
		fail_file("read", path);
	if (length == 0)
		fail(STATUS_FAILED, "The first line of a CSV file names its columns.", "\"%s\" is empty", path);
	record = array_grow(record, length, 1);
	record[length] = '\0';
	return record;
}

/* Takes a field off the record, without its quotes; what follows it. */
static char *
take_field(char *from, char *field)
{
	bool		quotes = false;

	for (; *from && (quotes || !strchr(",\r\n", *from)); from++)
		if (*from != '"')
			*field++ = *from;
		else if (quotes && from[1] == '"')
			*field++ = *from++;
		else
			quotes = !quotes;
	*field = '\0';
	return from;
}

static void
read_head(FILE *stream, const char *path, columns *all)
{
	static const char mark[] = "\xEF\xBB\xBF";	/* of UTF-8, with which some programs begin */
	char	   *record = first_record(stream, path);
	char	   *from = record + (strncmp(record, mark, strlen(mark)) == 0 ? strlen(mark) : 0);
	char	   *field = allocate(strlen(record) + 1);

	for (;; from++)
	{
		from = take_field(from, field);
		if (field[0] == '\0')
			fail(STATUS_FAILED, "The first line of a CSV file names its columns.", "column %lu of \"%s\" has no name", all->count + 1, path);
		add_column(all, field);
		if (*from != ',')
			break;
	}
	free(field);
	free(record);
}

static void
copy_in(conn *c, const char *sql, FILE *stream, const char *path)
{
	char		piece[PIECE];
	size_t		bytes;
	PGresult   *result = ask(c, sql, 0, NULL);

	PQclear(result);
	while ((bytes = fread(piece, 1, sizeof piece, stream)) > 0)
		if (PQputCopyData(c->pg, piece, (int) bytes) != 1)
			conn_fail(c, NULL);
	if (ferror(stream))
		fail_file("read", path);
	if (PQputCopyEnd(c->pg, NULL) != 1)
		conn_fail(c, NULL);
	while ((result = PQgetResult(c->pg)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			conn_fail(c, result);
		PQclear(result);
	}
}

/* A list of the columns' names, each followed by `after`. The caller frees it. */
static char *
list_of(conn *c, const columns *all, const char *after)
{
	char	   *list = NULL;

	for (unsigned long i = 0; i < all->count; i++)
	{
		char	   *name = quoted(c, all->of[i].name, true);

		append(&list, i > 0 ? ", " : "");
		append(&list, name);
		append(&list, after);
		PQfreemem(name);
	}
	return list;
}

static void
read_csv(conn *c, FILE *stream, const char *path, columns *all)
{
	char	   *list;
	char	   *sql;

	read_head(stream, path, all);
	list = list_of(c, all, " text");
	PQclear(ask_format(c, "create temporary table rows_read (" ORDER " bigint generated always as identity, %s) on commit drop", list));
	free(list);
	list = list_of(c, all, "");
	sql = format_text("copy pg_temp.rows_read (%s) from stdin (format csv, encoding 'UTF8')", list);
	copy_in(c, sql, stream, path);
	free(sql);
	free(list);
}

static void
read_lines(conn *c, FILE *stream, const char *path, columns *all)
{
	PGresult   *result;

	run(c, "create temporary table rows_read (" ORDER " bigint generated always as identity, \"\002\" json) on commit drop");
	copy_in(c, "copy pg_temp.rows_read (\"\002\") from stdin " LINES, stream, path);
	result = ask(c, "select e.key, count(*) > count(distinct r." ORDER ") from pg_temp.rows_read r,"
				 " pg_catalog.json_each(r.\"\002\") with ordinality e (key, value, n)"
				 " group by e.key order by min(r." ORDER "), min(e.n)", 0, NULL);
	for (int i = 0; i < PQntuples(result); i++)
	{
		if (PQgetvalue(result, i, 1)[0] == 't')
			fail(STATUS_FAILED, NULL, "an object of \"%s\" has the key \"%s\" twice", path, PQgetvalue(result, i, 0));
		add_column(all, PQgetvalue(result, i, 0));
	}
	if (all->count == 0)
		fail(STATUS_FAILED, NULL, "\"%s\" has no columns", path);
	PQclear(result);
}

/* ---- types ---- */

/* What all values of a column are, as text: only what comes back as the same characters. */
static const char text_type[] =
"select case when count(v) = 0 then 'text'"
" when bool_and(v in ('true', 'false')) then 'boolean'"
" when bool_and(v ~ '^(0|-?[1-9][0-9]{0,17})$') then 'bigint'"
" when bool_and(length(v) < 300 and v ~ '^(0(\\.0+)?|-?[1-9][0-9]*(\\.[0-9]+)?|-?0\\.[0-9]*[1-9][0-9]*)$') then 'numeric'"
" when bool_and(v ~ '^[0-9]{3}[1-9]-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))$') then 'date'"
" when bool_and(v ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') then 'uuid'"
" else 'text' end from (select %s as v from pg_temp.rows_read) r";

/* What all values of a key are. */
static const char json_type[] =
"select case when count(v) = 0 or bool_and(t = 'string') then 'text'"
" when bool_and(t = 'boolean') then 'boolean'"
" when bool_and(t = 'number' and v::text ~ '^(0|-?[1-9][0-9]{0,17})$') then 'bigint'"
" when bool_and(t = 'number' and length(v::text) < 300 and v::text ~ '^(0(\\.0+)?|-?[1-9][0-9]*(\\.[0-9]+)?|-?0\\.[0-9]*[1-9][0-9]*)$') then 'numeric'"
" else 'json' end from (select v, pg_catalog.json_typeof(v) as t from (select nullif((\"\002\" -> %s)::text, 'null')::json as v from pg_temp.rows_read) j) r";

static void
infer_types(conn *c, rows_form form, columns *all)
{
	for (unsigned long i = 0; i < all->count; i++)
	{
		char	   *name = quoted(c, all->of[i].name, form == ROWS_CSV);
		char	   *head = NULL;
		const char *sql = form == ROWS_CSV ? text_type : json_type;
		const char *at = strstr(sql, "%s");
		PGresult   *result;

		head = format_text("%.*s%s%s", (int) (at - sql), sql, name, at + 2);
		result = ask(c, head, 0, NULL);
		all->of[i].type = format_text("%s", PQgetvalue(result, 0, 0));
		PQclear(result);
		free(head);
		PQfreemem(name);
	}
}

/* --type COLUMN=TYPE, which goes before what was inferred. The type is the server's to read. */
static void
take_types(const name_list *types, columns *all)
{
	for (unsigned long t = 0; t < types->count; t++)
	{
		const char *equals = strrchr(types->name[t], '=');
		bool		found = false;

		if (equals == NULL || equals[1] == '\0')
			fail_usage("commit", "--type takes COLUMN=TYPE, not \"%s\"", types->name[t]);
		for (unsigned long i = 0; i < all->count; i++)
			if (strlen(all->of[i].name) == (size_t) (equals - types->name[t]) &&
				strncmp(all->of[i].name, types->name[t], (size_t) (equals - types->name[t])) == 0)
			{
				free(all->of[i].type);
				all->of[i].type = format_text("%s", equals + 1);
				found = true;
			}
		if (!found)
			fail_usage("commit", "the file has no column \"%.*s\"", (int) (equals - types->name[t]), types->name[t]);
	}
}

/* As PostgreSQL calls it, or an error: the words of a user are no part of a statement before that. */
static void
resolve_types(conn *c, columns *all)
{
	for (unsigned long i = 0; i < all->count; i++)
	{
		const char *value[] = {all->of[i].type};
		PGresult   *result = ask(c, "select pg_catalog.format_type(t::pg_catalog.regtype, null) from (select $1::text) x (t)", 1, value);

		free(all->of[i].type);
		all->of[i].type = format_text("%s", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
}

static void
tell_types(const columns *all)
{
	char	   *text = NULL;

	for (unsigned long i = 0; i < all->count; i++)
	{
		char	   *one = format_text("%s%s %s", i > 0 ? ", " : "", all->of[i].name, all->of[i].type);

		append(&text, one);
		free(one);
	}
	note("columns: %s", text);
	free(text);
}

/* ---- commit ---- */

/* The query whose rows are the file's. The caller frees it. */
static char *
query_of(conn *c, rows_form form, const columns *all)
{
	char	   *sql = format_text("select ");

	for (unsigned long i = 0; i < all->count; i++)
	{
		char	   *name = quoted(c, all->of[i].name, true);
		char	   *key = quoted(c, all->of[i].name, false);
		const char *type = all->of[i].type;
		bool		nested = strcmp(type, "json") == 0 || strcmp(type, "jsonb") == 0;
		char	   *one = form == ROWS_CSV ? format_text("%s%s::%s as %s", i > 0 ? ", " : "", name, type, name)
			: nested ? format_text("%snullif((\"\002\" -> %s)::text, 'null')::%s as %s", i > 0 ? ", " : "", key, type, name)
			: format_text("%s(\"\002\" ->> %s)::%s as %s", i > 0 ? ", " : "", key, type, name);

		append(&sql, one);
		free(one);
		PQfreemem(name);
		PQfreemem(key);
	}
	/* (an empty line is none) */
	append(&sql, form == ROWS_CSV ? " from pg_temp.rows_read order by " ORDER
		   : " from pg_temp.rows_read where \"\002\" is not null order by " ORDER);
	return sql;
}

static FILE *
open_rows(const char *path)
{
	FILE	   *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");

	if (stream == NULL)
		fail_file("open", path);
	return stream;
}

static void
print_version(conn *c, const remote *r, const char *id)
{
	PGresult   *result = conn_query(c, "select v.id as version, v.name || '@' || v.revision as name, s.rows, v.raw_bytes, v.stored_bytes"
									" from sparse.version v, (select sum(p.rows) as rows from sparse.split p where p.version = $1::bigint) s"
									" where v.id = $1::bigint", 1, &id);

	if (PQntuples(result) == 0)
		printf("version  %s\n", id);
	else if (!r->quiet || r->format != TABLE_ALIGNED)
		table_print_record(result, 0, r->format);
	PQclear(result);
}

/* The version that a query in the midst of rows made. The caller frees it. */
static char *
store_rows(conn *c, const remote *r, rows_form form, const columns *all)
{
	char	   *query = query_of(c, form, all);
	char	   *key = r->keys.count > 0 ? wire_text_array(r->keys.name, r->keys.count) : NULL;
	const char *const value[] = {
		r->argument[0], query, r->parents.count > 0 ? r->parents.name[0] : NULL, key, r->metadata ? r->metadata : "{}",
		r->message ? r->message : ""
	};
	PGresult   *result = ask(c, "select @.sparse_commit_rows($1::text, $2::text, $3::text, $4::text[], $5::jsonb)"
							 " from (select pg_catalog.set_config('sparse.message', $6::text, true)) s", 6, value);
	char	   *id = format_text("%s", PQgetvalue(result, 0, 0));

	PQclear(result);
	free(query);
	free(key);
	return id;
}

void
commit_run(conn *c, const remote *r)
{
	const char *path = r->argument[1];
	rows_form	form = form_of(path, "commit");
	FILE	   *stream = open_rows(path);
	columns		all = {0};
	char	   *id;

	if (r->parents.count > 1)
		fail_usage("commit", "a dataset is committed from one parent; merge has two");
	conn_on_interrupt(c, "Nothing was stored.");
	begin_rows(c);
	if (form == ROWS_CSV)
		read_csv(c, stream, path, &all);
	else
		read_lines(c, stream, path, &all);
	infer_types(c, form, &all);
	take_types(&r->types, &all);
	resolve_types(c, &all);
	if (!r->quiet)
		tell_types(&all);
	id = store_rows(c, r, form, &all);
	end_rows(c, "commit");
	if (stream != stdin)
		fclose(stream);
	print_version(c, r, id);
	free(id);
}

/* ---- checkout ---- */

static void
write_row(const char *bytes, size_t length, bool to_file)
{
	if (to_file)
		output_write(bytes, length);
	else if (fwrite(bytes, 1, length, stdout) != length)
		fail(STATUS_FAILED, NULL, "could not write to standard output");
}

static void
copy_out(conn *c, const char *sql, bool to_file)
{
	char	   *bytes;
	int			length;
	PGresult   *result = ask(c, sql, 0, NULL);

	PQclear(result);
	while ((length = PQgetCopyData(c->pg, &bytes, 0)) > 0)
	{
		write_row(bytes, (size_t) length, to_file);
		PQfreemem(bytes);
	}
	if (length == -2)
		conn_fail(c, NULL);
	while ((result = PQgetResult(c->pg)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			conn_fail(c, result);
		PQclear(result);
	}
}

/* All columns, as a file has them: COPY would write t and f. The caller frees it. */
static char *
columns_out(conn *c)
{
	PGresult   *result = ask(c, "select quote_ident(attname) || case when atttypid = 'bool'::regtype then '::text' else '' end"
							 " from pg_attribute where attrelid = 'pg_temp.rows_out'::regclass and attnum > 0 order by attnum", 0, NULL);
	char	   *list = NULL;

	for (int i = 0; i < PQntuples(result); i++)
	{
		append(&list, i > 0 ? ", " : "");
		append(&list, PQgetvalue(result, i, 0));
	}
	PQclear(result);
	return list;
}

static void
copy_csv(conn *c, bool to_file)
{
	char	   *list = columns_out(c);
	char	   *sql = format_text("copy (select %s from pg_temp.rows_out) to stdout (format csv, header, encoding 'UTF8')", list ? list : "");

	copy_out(c, sql, to_file);
	free(sql);
	free(list);
}

/* The table is made in a transaction that is taken back: a checkout leaves nothing on the server. */
void
checkout_run(conn *c, const remote *r)
{
	rows_form	form = form_of(r->output, "checkout");
	bool		to_file = strcmp(r->output, "-") != 0;
	const char *const value[] = {r->argument[0], r->split};

	conn_on_interrupt(c, NULL);
	if (to_file)
		output_create(r->output, NULL, 0);
	begin_rows(c);
	PQclear(ask(c, "select @.sparse_checkout($1::text, 'pg_temp.rows_out', $2::text)", 2, value));
	if (form == ROWS_CSV)
		copy_csv(c, to_file);
	else
		copy_out(c, "copy (select pg_catalog.row_to_json(r) from pg_temp.rows_out r) to stdout " LINES, to_file);
	end_rows(c, "rollback");
	if (to_file)
		output_commit();
}

/* ---- merge ---- */

void
merge_run(conn *c, const remote *r)
{
	const char *const value[] = {
		r->argument[0], r->argument[1], r->argument[2], r->on_conflict ? r->on_conflict : "fail",
		r->metadata ? r->metadata : "{}", r->message ? r->message : ""
	};
	PGresult   *result;

	conn_on_interrupt(c, "Nothing was stored.");
	result = conn_query(c, "select @.sparse_merge_rows($1::text, $2::text, $3::text, $4::text, null, $5::jsonb)"
						" from (select pg_catalog.set_config('sparse.message', $6::text, true)) s", 6, value);
	print_version(c, r, PQgetvalue(result, 0, 0));
	PQclear(result);
}
