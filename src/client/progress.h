/*
 * progress.h: a bar on standard error, when that is a terminal.
 *
 *      compressing  [==========          ]  52%  1.1 of 2.1 GB  310 MB/s
 *
 * Silent otherwise, so that logs and pipes stay clean.
 */
#ifndef SPARSE_CLIENT_PROGRESS_H
#define SPARSE_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress
{
	const char *what;
	uint64_t	total;
	uint64_t	done;
	double		started;		/* seconds */
	double		drawn;
	bool		shown;			/* anything at all */
} progress;

/* Seconds of a clock that only goes forward. */
extern double now(void);

/* quiet: never draw. */
extern void progress_begin(progress *bar, const char *what, uint64_t total, bool quiet);

extern void progress_add(progress *bar, uint64_t bytes);

/* Wipes the bar. */
extern void progress_end(progress *bar);

#endif
