/*
 * lanes.h: the same work on several connections at once, each with a thread and a
 * codec of its own.
 *
 * The first lane works on the connection that the command has already; the others
 * open theirs. A failure in any ends the program (see client_has_threads).
 */
#ifndef SPARSE_CLIENT_LANES_H
#define SPARSE_CLIENT_LANES_H

#include <pthread.h>

#include "codec/delta.h"
#include "conn.h"

typedef struct lane
{
	conn	   *conn;
	sparse_codec *codec;
	void	   *state;			/* what they all share */
	/* lanes.c's own */
	conn		own;
	const conn *like;
	pthread_t	thread;
	void		(*work) (struct lane *);
} lane;

typedef struct lanes
{
	lane	   *lane;
	int			count;
} lanes;

extern void lanes_start(lanes *l, conn *first, int count, void (*work) (lane *), void *state);

/* Waits for all, and closes what they opened. */
extern void lanes_wait(lanes *l);

#endif
