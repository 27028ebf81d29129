/*
 * adopt.c: pg_sparse adopt.
 */
#include "client.h"
#include "remote.h"

void
adopt_run(conn *c, const remote *r)
{
	(void) c;
	(void) r;
	fail(STATUS_USAGE, NULL, "not yet");
}
