/*
 * lanes.c: starts and joins lanes (see lanes.h).
 */
#include "lanes.h"

#include <signal.h>
#include <stdlib.h>

#include "client.h"

static void *
run(void *state)
{
	lane	   *l = state;

	if (l->conn == NULL)
	{
		conn_open_like(&l->own, l->like);
		l->conn = &l->own;
	}
	l->codec = sparse_codec_create(NULL);
	if (l->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	l->work(l);
	sparse_codec_free(l->codec);
	return NULL;
}

void
lanes_start(lanes *l, conn *first, int count, void (*work) (lane *), void *state)
{
	sigset_t	all;
	sigset_t	before;

	*l = (lanes) {allocate((unsigned long) count * sizeof *l->lane), count};
	client_has_threads = true;
	/* signals come to the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (int i = 0; i < count; i++)
	{
		l->lane[i] = (lane) {.conn = i == 0 ? first : NULL, .state = state, .like = first, .work = work};
		if (pthread_create(&l->lane[i].thread, NULL, run, &l->lane[i]) != 0)
			fail(STATUS_FAILED, NULL, "could not start a thread");
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
lanes_wait(lanes *l)
{
	for (int i = 0; i < l->count; i++)
	{
		pthread_join(l->lane[i].thread, NULL);
		if (i > 0)
			conn_close(&l->lane[i].own);
	}
	client_has_threads = false;
	free(l->lane);
}
