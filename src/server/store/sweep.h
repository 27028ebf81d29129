/*
 * sweep.h: chunks on other servers that nothing needs (sweep.c).
 */
#ifndef SPARSE_STORE_SWEEP_H
#define SPARSE_STORE_SWEEP_H

#include "postgres.h"

/* What sparse_collect() removed. */
typedef struct Collected
{
	int64		versions;
	int64		objects;
	int64		chunks;
	int64		bytes;
} Collected;

/*
 * Under the lock that keeps writers away, as the store's owner, within SPI_connect: removes from each place on
 * another server what was noted in sparse.forgotten more than the interval ago and no snapshot can want any more, and the
 * chunks of no object, which a failure left there. Adds to what was removed. A place that is down is passed over with a warning.
 */
extern void sweep_places(Datum older_than, Collected *collected);

#endif
