/*
 * conn.h: connections to the server, as users of psql expect them.
 *
 * libpq does the work: options, connection strings, environment, service files,
 * .pgpass and SSL mean what they mean everywhere. The schema of the extension is
 * looked up once, and every name in a query is written with it: in the SQL given
 * to these functions "@." stands for that schema and its dot. A server whose deltas
 * have another format than this program's is refused before anything is asked.
 *
 * All failures end the program: no connection by STATUS_NO_SERVER, what the server
 * refused by STATUS_REFUSED, with its message, and its hint or detail.
 */
#ifndef SPARSE_CLIENT_CONN_H
#define SPARSE_CLIENT_CONN_H

#include <stdbool.h>

#include <libpq-fe.h>

typedef struct conn_options
{
	const char *host;			/* NULL: libpq decides, here and below */
	const char *port;
	const char *user;
	const char *database;		/* a name or a connection string */
	bool		never_ask;		/* for a password */
	bool		always_ask;
} conn_options;

typedef struct conn
{
	PGconn	   *pg;
	char	   *schema;			/* quoted */
	const char *effort;			/* sparse.effort, of every transaction; NULL: as it is */
} conn;

/* What a lost connection means for the command at hand: the hint of such errors. NULL: nothing. */
extern const char *conn_resume_hint;

/* Keep the server's notices to oneself; its warnings are shown. */
extern bool conn_quiet;

extern void conn_open(conn *c, const conn_options *options);

/* Another connection with the same parameters. */
extern void conn_open_like(conn *c, const conn *first);

extern void conn_close(conn *c);

/*
 * No session keeps anything that a statement needs: each has its settings in its own
 * transaction, so that a pooler may lie in between, and give the session to others after
 * it. conn_query and its kin see to that. Who sends statements by libpq itself, in its
 * pipeline mode, sends them between these two; the first has an answer too.
 */
extern void conn_begin(conn *c);
extern void conn_end(conn *c);

/* The SQL with the schema in place of "@.". The caller frees it. */
extern char *conn_sql(const conn *c, const char *sql);

/* Runs a query with parameters in text form; so is the answer. */
extern PGresult *conn_query(conn *c, const char *sql, int count, const char *const *value);

/* conn_query, repeated when it met another transaction: for what is safe to repeat. */
extern PGresult *conn_query_again(conn *c, const char *sql, int count, const char *const *value);

/* The same, but leaves it to the caller to look at what came of it. */
extern PGresult *conn_try_again(conn *c, const char *sql, int count, const char *const *value);

/* Streaming, the answer in binary form: it comes from conn_next_row, row by row, until NULL. */
extern void conn_start(conn *c, const char *sql, int count, const char *const *value);
extern PGresult *conn_next_row(conn *c);

/* Whether the server has a function of that name in the extension's schema. */
extern bool conn_has_function(conn *c, const char *name);

/* Whether it has one of that name and those arguments, "name(type, ...)", which the user may call. */
extern bool conn_may_call(conn *c, const char *function);

/* Ends the program with what the server said in `result`, or with why there is none. */
__attribute__((noreturn))
extern void conn_fail(const conn *c, const PGresult *result);

/* Whether two transactions were in each other's way, and the one at hand is to be repeated. */
extern bool conn_must_repeat(const PGresult *result);

/* Whether what the server read was damaged, or not what it was said to be. */
extern bool conn_found_damage(const PGresult *result);

/* From now on an interrupt (Ctrl-C) cancels what the server does for this connection, and prints `words`;
 * a second one ends the program at once. */
extern void conn_on_interrupt(const conn *c, const char *words);

#endif
