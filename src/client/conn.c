/*
 * conn.c: opens connections and runs queries (see conn.h).
 */
#include "conn.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <fcntl.h>

#include "client.h"
#include "codec/delta.h"

#define MAX_PASSWORD 1024
#define MAX_TRIES 10			/* of a transaction that meets others */

const char *conn_resume_hint;
bool		conn_quiet;

/* Of the handler at the end of this file. */
static PGcancel *to_cancel;
static const char *interrupt_words;
static volatile sig_atomic_t interrupted;

/* ---- words for failures ---- */

/* The first line of a message, without what libpq puts before it. The caller frees it. */
static char *
first_line(const char *message)
{
	static const char *const prefixes[] = {"ERROR:  ", "FATAL:  ", "error: "};
	char	   *line;

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (strncmp(message, prefixes[i], strlen(prefixes[i])) == 0)
			message += strlen(prefixes[i]);
	line = format_text("%s", message);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Text of several lines on one. */
static char *
on_one_line(const char *text)
{
	char	   *line = text ? format_text("%s", text) : NULL;

	for (char *at = line; at && *at; at++)
		if ((unsigned char) *at < 0x20)
			*at = ' ';
	return line;
}

static bool
is_class(const char *code, const char *prefix)
{
	return code != NULL && strncmp(code, prefix, strlen(prefix)) == 0;
}

/* A server that shuts down says so with an error before the connection breaks. */
static bool
connection_is_lost(const conn *c, const char *code)
{
	return PQstatus(c->pg) == CONNECTION_BAD || is_class(code, "57P") || is_class(code, "08");
}

void
conn_fail(const conn *c, const PGresult *result)
{
	const char *code = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *hint = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;
	const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
	char	   *message = primary ? on_one_line(primary) : first_line(PQerrorMessage(c->pg));

	while (interrupted)
		pause();				/* the handler, in another thread, ends the program */
	if (connection_is_lost(c, code))
		fail(STATUS_NO_SERVER, conn_resume_hint, "the connection to the server broke: %s", message);
	if (is_class(code, "57014"))
		fail(STATUS_REFUSED, conn_resume_hint, "%s", message);
	if (is_class(code, "42883"))
		hint = "The server's sparse may be older than this pg_sparse: alter extension sparse update.";
	if (is_class(code, "26000") || is_class(code, "08P01"))
		hint = "A pooler in between must keep a transaction, from its first statement to its last, on one connection.";
	if (is_class(code, "XX001"))
		fail(STATUS_DAMAGED, on_one_line(hint ? hint : detail), "%s", message);
	fail(STATUS_REFUSED, on_one_line(hint ? hint : detail), "%s", message);
}

bool
conn_must_repeat(const PGresult *result)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return is_class(code, "40001") || is_class(code, "40P01");
}

bool
conn_found_damage(const PGresult *result)
{
	return is_class(PQresultErrorField(result, PG_DIAG_SQLSTATE), "XX001");
}

/* ---- opening ---- */

/* Reads a password from the terminal, unseen. False where there is none. */
static bool
ask_password(char password[MAX_PASSWORD])
{
	int			terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios before;
	struct termios silent;
	ssize_t		got;

	if (terminal < 0 || tcgetattr(terminal, &before) != 0)
		return false;
	silent = before;
	silent.c_lflag &= ~(tcflag_t) ECHO;
	tcsetattr(terminal, TCSAFLUSH, &silent);
	got = write(terminal, "Password: ", 10) < 0 ? -1 : read(terminal, password, MAX_PASSWORD - 1);
	tcsetattr(terminal, TCSAFLUSH, &before);
	(void) !write(terminal, "\n", 1);
	close(terminal);
	if (got <= 0)
		return false;
	password[got] = '\0';
	password[strcspn(password, "\n")] = '\0';
	return true;
}

static PGconn *
connect_with(const conn_options *o, const char *password)
{
	const char *keyword[] = {
		"host", "port", "user", "password", "dbname", "fallback_application_name", "client_encoding", NULL
	};
	const char *value[] = {
		o->host, o->port, o->user, password, o->database, "pg_sparse", "UTF8", NULL
	};
	PGconn	   *pg = PQconnectdbParams(keyword, value, 1);

	if (pg == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	return pg;
}

static void
check_connected(PGconn *pg)
{
	char	   *message;

	if (PQstatus(pg) == CONNECTION_OK)
		return;
	message = on_one_line(PQerrorMessage(pg));
	for (size_t end = strlen(message); end > 0 && message[end - 1] == ' '; end--)
		message[end - 1] = '\0';
	fail(STATUS_NO_SERVER, strstr(message, "unsupported startup parameter") ?
		 "A pooler in between takes no settings of a session: unset PGOPTIONS, and \"options\" in the connection string." :
		 "Name the server as for psql: -h, -p, -U, -d, a connection string, or PGHOST and its kin.",
		 "%s", message);
}

/* ---- transactions ---- */

/*
 * Behind a pooler the next transaction may meet another session, and the session another
 * client: whatever a statement needs is said anew in its own transaction. A pipeline makes
 * one round trip of it.
 */
static void
enter_pipeline(conn *c)
{
	if (!PQenterPipelineMode(c->pg))
		conn_fail(c, NULL);
}

void
conn_begin(conn *c)
{
	/* so that nobody's operators or functions come before PostgreSQL's own, and times come in one form */
	static const char settings[] = "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
		" pg_catalog.set_config('datestyle', 'ISO', true)";
	static const char with_effort[] = "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
		" pg_catalog.set_config('datestyle', 'ISO', true), pg_catalog.set_config('sparse.effort', $1, true)";
	const char *const value[] = {c->effort};

	if (!PQsendQueryParams(c->pg, c->effort ? with_effort : settings, c->effort != NULL, NULL, value, NULL, NULL, 0))
		conn_fail(c, NULL);
}

void
conn_end(conn *c)
{
	if (!PQpipelineSync(c->pg))
		conn_fail(c, NULL);
}

static void
send_statement(conn *c, const char *sql, int count, const char *const *value, int format)
{
	conn_begin(c);
	if (!PQsendQueryParams(c->pg, sql, count, NULL, value, NULL, NULL, format))
		conn_fail(c, NULL);
	conn_end(c);
}

/* Passes over what became of conn_begin. */
static void
skip_begin(conn *c)
{
	PGresult   *result = PQgetResult(c->pg);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	PQclear(result);
	result = PQgetResult(c->pg);
	if (result != NULL)
		conn_fail(c, result);
}

/* Up to the end of the transaction: its error, if it has one that `result` does not have, takes the result's place. */
static PGresult *
finish_statement(conn *c, PGresult *result)
{
	for (;;)
	{
		PGresult   *next = PQgetResult(c->pg);
		ExecStatusType status = PQresultStatus(next);

		if (next == NULL && PQstatus(c->pg) != CONNECTION_BAD)
			continue;
		if (next != NULL && status == PGRES_FATAL_ERROR && PQresultStatus(result) != PGRES_FATAL_ERROR)
		{
			PQclear(result);
			result = next;
			continue;
		}
		PQclear(next);
		if (next == NULL || status == PGRES_PIPELINE_SYNC)
			return result;
	}
}

static PGresult *
run(conn *c, const char *sql, int count, const char *const *value)
{
	send_statement(c, sql, count, value, 0);
	skip_begin(c);
	return finish_statement(c, PQgetResult(c->pg));
}

/* The schema that the extension is in, which is there, and has a store. */
static void
look_up_extension(conn *c)
{
	PGresult   *result = run(c, "select quote_ident(n.nspname), exists (select from pg_class t join pg_namespace s on s.oid = t.relnamespace"
							 " where s.nspname = 'sparse' and t.relname = 'version') from pg_extension e"
							 " join pg_namespace n on n.oid = e.extnamespace where e.extname = 'sparse'", 0, NULL);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	if (PQntuples(result) == 0)
		fail(STATUS_REFUSED, "There: create extension sparse; select sparse_create_store();",
			 "database \"%s\" has no extension sparse", PQdb(c->pg));
	c->schema = format_text("%s", PQgetvalue(result, 0, 0));
	if (PQgetvalue(result, 0, 1)[0] != 't')
		fail(STATUS_REFUSED, "There, as who is to own it: select sparse_create_store();", "database \"%s\" has no store yet", PQdb(c->pg));
	PQclear(result);
}

static void
check_format(conn *c)
{
	PGresult   *result;
	int			format;

	if (!conn_has_function(c, "sparse_format"))
		fail(STATUS_OTHER_FORMAT, "On the server: install the newer sparse, then alter extension sparse update.",
			 "the server's sparse is too old for this pg_sparse: it has no sparse_format()");
	result = conn_query(c, "select @.sparse_format()", 0, NULL);
	format = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	if (format > SPARSE_FORMAT)
		fail(STATUS_OTHER_FORMAT, "Use a pg_sparse of the version of the server's sparse.",
			 "the server's deltas have format %d, this pg_sparse knows format %d", format, SPARSE_FORMAT);
}

/* What the server has to say beside its answers. */
static void
on_notice(void *state, const PGresult *notice)
{
	char	   *text = on_one_line(PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	(void) state;
	if (text && severity && strcmp(severity, "NOTICE") == 0)
	{
		if (!conn_quiet)
			note("%s", text);
	}
	else if (text)
		warn("%s", text);
	free(text);
}

void
conn_open(conn *c, const conn_options *o)
{
	char		password[MAX_PASSWORD];

	*c = (conn) {0};
	if (o->always_ask && ask_password(password))
		c->pg = connect_with(o, password);
	else
		c->pg = connect_with(o, NULL);
	if (PQstatus(c->pg) != CONNECTION_OK && PQconnectionNeedsPassword(c->pg) &&
		!o->never_ask && ask_password(password))
	{
		PQfinish(c->pg);
		c->pg = connect_with(o, password);
	}
	explicit_bzero(password, sizeof password);
	check_connected(c->pg);
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	enter_pipeline(c);
	look_up_extension(c);
	check_format(c);
}

/* Whether a parameter of a connection may be given to a new one. */
static bool
is_given(const PQconninfoOption *parameter)
{
	return parameter->val != NULL && parameter->val[0] != '\0';
}

void
conn_open_like(conn *c, const conn *first)
{
	PQconninfoOption *parameters = PQconninfo(first->pg);
	const char *keyword[100];
	const char *value[100];
	int			count = 0;

	if (parameters == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	for (PQconninfoOption *at = parameters; at->keyword && count < 99; at++)
		if (is_given(at))
		{
			keyword[count] = at->keyword;
			value[count++] = at->val;
		}
	keyword[count] = NULL;
	value[count] = NULL;
	*c = (conn) {.pg = PQconnectdbParams(keyword, value, 0), .schema = format_text("%s", first->schema), .effort = first->effort};
	PQconninfoFree(parameters);
	check_connected(c->pg);
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	enter_pipeline(c);
}

void
conn_close(conn *c)
{
	PQfinish(c->pg);
	free(c->schema);
	*c = (conn) {0};
}

/* ---- queries ---- */

char *
conn_sql(const conn *c, const char *sql)
{
	size_t		schema = strlen(c->schema);
	size_t		places = 0;
	char	   *text;
	char	   *to;

	for (const char *at = sql; (at = strstr(at, "@.")) != NULL; at += 2)
		places++;
	text = to = allocate(strlen(sql) + places * schema + 1);
	while (*sql)
		if (sql[0] == '@' && sql[1] == '.')
		{
			memcpy(to, c->schema, schema);
			to += schema;
			sql++;
		}
		else
			*to++ = *sql++;
	*to = '\0';
	return text;
}

PGresult *
conn_query(conn *c, const char *sql, int count, const char *const *value)
{
	char	   *text = conn_sql(c, sql);
	PGresult   *result = run(c, text, count, value);

	free(text);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	return result;
}

PGresult *
conn_try_again(conn *c, const char *sql, int count, const char *const *value)
{
	char	   *text = conn_sql(c, sql);
	PGresult   *result;

	for (int tries = 0;; tries++)
	{
		result = run(c, text, count, value);
		if (tries == MAX_TRIES || !conn_must_repeat(result))
			break;
		PQclear(result);
	}
	free(text);
	return result;
}

PGresult *
conn_query_again(conn *c, const char *sql, int count, const char *const *value)
{
	PGresult   *result = conn_try_again(c, sql, count, value);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	return result;
}

void
conn_start(conn *c, const char *sql, int count, const char *const *value)
{
	char	   *text = conn_sql(c, sql);

	send_statement(c, text, count, value, 1);
	skip_begin(c);
	if (!PQsetSingleRowMode(c->pg))
		conn_fail(c, NULL);
	free(text);
}

PGresult *
conn_next_row(conn *c)
{
	PGresult   *result = PQgetResult(c->pg);

	if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
		return result;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		result = finish_statement(c, result);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	PQclear(result);
	return NULL;
}

bool
conn_has_function(conn *c, const char *name)
{
	const char *const value[] = {c->schema, name};
	PGresult   *result = conn_query(c, "select exists (select from pg_proc"
									" where pronamespace = $1::regnamespace and proname = $2)", 2, value);
	bool		found = strcmp(PQgetvalue(result, 0, 0), "t") == 0;

	PQclear(result);
	return found;
}

bool
conn_may_call(conn *c, const char *function)
{
	const char *const value[] = {c->schema, function};
	PGresult   *result = conn_query(c, "select coalesce(has_function_privilege(to_regprocedure($1 || '.' || $2), 'execute'), false)",
									2, value);
	bool		may = strcmp(PQgetvalue(result, 0, 0), "t") == 0;

	PQclear(result);
	return may;
}

/* ---- interrupts ---- */

static void
on_interrupt(int number)
{
	char		error[256];

	interrupted = 1;
	if (interrupt_words)
		(void) !write(STDERR_FILENO, interrupt_words, strlen(interrupt_words));
	if (to_cancel)
		PQcancel(to_cancel, error, sizeof error);	/* may be called in a handler */
	signal(number, SIG_DFL);
	raise(number);
}

void
conn_on_interrupt(const conn *c, const char *words)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	/* a server that is not reached keeps the handler waiting: the second signal ends the program */
	struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND | SA_NODEFER};
	struct sigaction before;

	to_cancel = PQgetCancel(c->pg);
	interrupt_words = words;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}
