/*
 * verify.c: pg_sparse verify: all versions, or one, read by the server and checked.
 *
 * Models and datasets, one version a statement. Of a dataset, "file" is the split and
 * "tensor" the column.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "remote.h"

/* Types of the columns, by which table.c aligns them. */
enum
{
	TYPE_INT8 = 20, TYPE_INT4 = 23, TYPE_TEXT = 25
};

/* The problems found so far, as a table. */
static PGresult *
no_problems(const conn *c)
{
	static char *const name[] = {"version", "name", "file", "tensor", "chunk", "problem"};
	PGresult   *table = PQmakeEmptyPGresult(c->pg, PGRES_TUPLES_OK);
	PGresAttDesc column[6] = {{0}};

	for (int i = 0; i < 6; i++)
	{
		column[i].name = name[i];
		column[i].typid = i == 0 ? TYPE_INT8 : i == 4 ? TYPE_INT4 : TYPE_TEXT;
		column[i].typlen = -1;
	}
	if (table == NULL || !PQsetResultAttrs(table, 6, column))
		fail(STATUS_FAILED, NULL, "out of memory");
	return table;
}

static void
add_cell(PGresult *table, int row, int column, const char *value)
{
	char	   *copy = value == NULL ? NULL : format_text("%s", value);

	if (!PQsetvalue(table, row, column, copy, copy == NULL ? -1 : (int) strlen(copy)))
		fail(STATUS_FAILED, NULL, "out of memory");
	free(copy);
}

/* A row of the versions, and a row of the problems of one, or what kept it from being looked at. */
static void
add_problem(PGresult *table, const PGresult *versions, int version, const PGresult *problems, int problem, const char *error)
{
	int			row = PQntuples(table);

	add_cell(table, row, 0, PQgetvalue(versions, version, 0));
	add_cell(table, row, 1, PQgetvalue(versions, version, 1));
	for (int i = 0; i < 4; i++)
		add_cell(table, row, 2 + i, error != NULL ? i == 3 ? error : NULL :
				 PQgetisnull(problems, problem, i) ? NULL : PQgetvalue(problems, problem, i));
}

/* Whether an error says that the server, or somebody, ended the work, rather than that the version is damaged. */
static bool
ends_verification(const conn *c, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return PQstatus(c->pg) != CONNECTION_OK || state == NULL || strncmp(state, "57", 2) == 0 || strncmp(state, "53", 2) == 0;
}

static bool
is_ready(conn *c, const char *const *id)
{
	PGresult   *result = conn_query(c, "select from sparse.version where id = $1::bigint and state = 'ready'", 1, id);
	bool		ready = PQntuples(result) > 0;

	PQclear(result);
	return ready;
}

/* Adds the problems of one version. One that is gone by now has none. */
static void
verify_version(conn *c, const PGresult *versions, int version, PGresult *table)
{
	const char *const id[] = {PQgetvalue(versions, version, 0)};
	bool		dataset = strcmp(PQgetvalue(versions, version, 2), "dataset") == 0;
	PGresult   *result = conn_try_again(c, dataset ?
										"select split, column_name, null, problem from @.sparse_verify_rows($1::bigint)" :
										"select file, tensor, chunk, problem from @.sparse_verify($1::bigint)", 1, id);
	char	   *error;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		if (ends_verification(c, result))
			conn_fail(c, result);
		error = format_text("%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		if (is_ready(c, id))
			add_problem(table, versions, version, NULL, 0, error);
		free(error);
	}
	else
		for (int i = 0; i < PQntuples(result); i++)
			add_problem(table, versions, version, result, i, NULL);
	PQclear(result);
}

/* One version after the other: what is wrong with one keeps none behind it from being looked at. */
void
verify_run(conn *c, const remote *r)
{
	const char *const value[] = {r->argument[0]};
	PGresult   *versions;
	PGresult   *table = no_problems(c);
	int			problems;

	conn_on_interrupt(c, NULL);
	versions = conn_query(c, "select v.id, v.name || '@' || v.revision, v.kind from sparse.version v"
						  " where v.state = 'ready' and ($1::text is null or v.id = @.sparse_version_id($1::text))"
						  " order by v.id", 1, value);
	if (r->arguments > 0 && PQntuples(versions) == 0)
		fail(STATUS_FAILED, NULL, "version \"%s\" is not ready", r->argument[0]);
	for (int i = 0; i < PQntuples(versions); i++)
		verify_version(c, versions, i, table);
	PQclear(versions);
	problems = PQntuples(table);
	if (problems > 0 || r->format != TABLE_ALIGNED)
		table_print(table, r->format);
	else if (!r->quiet)
		printf("no problems\n");
	PQclear(table);
	if (problems > 0)
		fail(STATUS_DAMAGED, "Restore what is named from a backup, or push those versions again under another name.",
			 "%d problem%s found", problems, problems == 1 ? "" : "s");
}
