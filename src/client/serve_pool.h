/*
 * serve_pool.h: the hub's connections to the database: so many at most, each lent for one
 * statement.
 *
 * A statement runs in a transaction of its own, as the role given: the role ends with the
 * transaction, so nothing of one request is left to the next. Unlike conn.h nothing here
 * ends the program: the hub outlives the database, and connects again when it is back.
 */
#ifndef SPARSE_CLIENT_SERVE_POOL_H
#define SPARSE_CLIENT_SERVE_POOL_H

#include "conn.h"

typedef struct pool pool;

/* Connections like `first`, up to `most` of them, opened when they are needed. */
extern pool *pool_new(const conn *first, int most);

/*
 * Runs a statement, in a read-only transaction unless it `writes` ("@." stands for the extension's schema, parameters are text) as `role`, or
 * as the hub's own user where it is NULL. The answer, which the caller clears, may be an error of
 * the server; NULL: there is no connection, or none became free in time. What was not
 * sent because a connection had died meanwhile is sent on a new one, never anything twice.
 */
extern PGresult *pool_ask(pool *p, const char *role, bool writes, const char *sql, int count, const char *const *value, bool binary);

/* How many are open, and how many of them lent, for who watches. */
extern void pool_count(pool *p, int *open, int *lent);

#endif
