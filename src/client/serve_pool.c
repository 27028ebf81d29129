/*
 * serve_pool.c: lends connections (see serve_pool.h).
 */
#include "serve_pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define PATIENCE 20				/* seconds to wait for a connection */

struct pool
{
	const conn *first;
	pthread_mutex_t lock;
	pthread_cond_t given_back;
	PGconn	  **idle;
	int			idles;
	int			lent;
	int			most;
};

pool *
pool_new(const conn *first, int most)
{
	pool	   *p = allocate(sizeof *p);

	*p = (pool) {.first = first, .most = most, .idle = allocate((unsigned long) most * sizeof *p->idle)};
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->given_back, NULL);
	return p;
}

/* Of notices nobody would hear. */
static void
ignore_notice(void *state, const PGresult *notice)
{
	(void) state;
	(void) notice;
}

/* Whether the server has closed an idle connection, or has anything to say on it. */
static bool
has_died(PGconn *pg)
{
	struct pollfd socket = {.fd = PQsocket(pg), .events = POLLIN};

	return PQstatus(pg) != CONNECTION_OK || PQtransactionStatus(pg) != PQTRANS_IDLE || poll(&socket, 1, 0) != 0;
}

/* A connection with the first one's parameters, or NULL. */
static PGconn *
open_connection(const pool *p)
{
	PQconninfoOption *parameters = PQconninfo(p->first->pg);
	const char *keyword[100];
	const char *value[100];
	int			count = 0;
	PGconn	   *pg;

	if (parameters == NULL)
		return NULL;
	for (PQconninfoOption *at = parameters; at->keyword && count < 98; at++)
		if (at->val != NULL && at->val[0] != '\0' && strcmp(at->keyword, "connect_timeout") != 0)
		{
			keyword[count] = at->keyword;
			value[count++] = at->val;
		}
	keyword[count] = "connect_timeout";
	value[count++] = "10";
	keyword[count] = NULL;
	value[count] = NULL;
	pg = PQconnectdbParams(keyword, value, 0);
	PQconninfoFree(parameters);
	PQsetNoticeReceiver(pg, ignore_notice, NULL);
	if (PQstatus(pg) == CONNECTION_OK && PQenterPipelineMode(pg))
		return pg;
	PQfinish(pg);
	return NULL;
}

/* The right to use a connection, and one if any is idle. */
static bool
take(pool *p, PGconn **pg)
{
	struct timespec until;
	bool		granted;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	pthread_mutex_lock(&p->lock);
	while (p->lent == p->most && pthread_cond_timedwait(&p->given_back, &p->lock, &until) != ETIMEDOUT)
		;
	granted = p->lent < p->most;
	*pg = NULL;
	if (granted)
	{
		p->lent++;
		if (p->idles > 0)
			*pg = p->idle[--p->idles];
	}
	pthread_mutex_unlock(&p->lock);
	return granted;
}

static void
give_back(pool *p, PGconn *pg)
{
	bool		alive = pg != NULL && !has_died(pg);

	if (pg != NULL && !alive)
		PQfinish(pg);
	pthread_mutex_lock(&p->lock);
	p->lent--;
	if (alive)
		p->idle[p->idles++] = pg;
	pthread_cond_signal(&p->given_back);
	pthread_mutex_unlock(&p->lock);
}

/* Up to the end of the transaction. What is given back is the statement's answer, or whatever error there was. */
static PGresult *
hear(PGconn *pg, int statements)
{
	PGresult   *answer = NULL;
	int			heard = 0;

	for (;;)
	{
		PGresult   *next = PQgetResult(pg);
		ExecStatusType status = PQresultStatus(next);

		if (next == NULL)
		{
			/* between two statements */
			if (PQstatus(pg) != CONNECTION_OK)
				break;
			continue;
		}
		if (status == PGRES_PIPELINE_SYNC)
		{
			PQclear(next);
			return answer;
		}
		heard++;
		if (status == PGRES_PIPELINE_ABORTED || (answer != NULL && PQresultStatus(answer) == PGRES_FATAL_ERROR) ||
			(status != PGRES_FATAL_ERROR && heard < statements))
		{
			PQclear(next);
			continue;
		}
		PQclear(answer);
		answer = next;
	}
	PQclear(answer);
	return NULL;
}

/* The settings, the role and the statement in one round trip: one transaction, by the protocol. */
static PGresult *
run_as(PGconn *pg, const char *role, bool writes, const char *sql, int count, const char *const *value, bool binary)
{
	static const char settings[] = "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
		" pg_catalog.set_config('datestyle', 'ISO', true), pg_catalog.set_config('timezone', 'UTC', true),"
		" pg_catalog.set_config('transaction_read_only', $1, true),"
		" case when $2::text is null then null else pg_catalog.set_config('role', $2::text, true) end";
	const char *const of_transaction[] = {writes ? "off" : "on", role};

	if (!PQsendQueryParams(pg, settings, 2, NULL, of_transaction, NULL, NULL, 0) ||
		!PQsendQueryParams(pg, sql, count, NULL, value, NULL, NULL, binary) ||
		!PQpipelineSync(pg))
		return NULL;
	return hear(pg, 2);
}

PGresult *
pool_ask(pool *p, const char *role, bool writes, const char *sql, int count, const char *const *value, bool binary)
{
	PGresult   *answer = NULL;
	PGconn	   *pg;
	char	   *text;

	if (!take(p, &pg))
		return NULL;
	if (pg != NULL && has_died(pg))
	{
		PQfinish(pg);
		pg = NULL;
	}
	if (pg == NULL)
		pg = open_connection(p);
	if (pg != NULL)
	{
		text = conn_sql(p->first, sql);
		answer = run_as(pg, role, writes, text, count, value, binary);
		free(text);
	}
	give_back(p, pg);
	return answer;
}

void
pool_count(pool *p, int *open, int *lent)
{
	pthread_mutex_lock(&p->lock);
	*open = p->idles + p->lent;
	*lent = p->lent;
	pthread_mutex_unlock(&p->lock);
}
