/*
 * progress.h: a bar on standard error, when that is a terminal.
 *
 *      compressing  [==========          ]  52%  1.1 of 2.1 GB  310 MB/s  0:03 left
 *
 * On one line, however narrow the terminal. Silent otherwise, so that logs and pipes stay clean; unless progress was asked for:
 * then a line now and again.
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
	uint64_t	before;			/* of them, done when it began: they say nothing of the rate */
	double		started;		/* seconds */
	double		drawn;
	bool		shown;			/* anything at all */
	bool		is_terminal;
} progress;

/* Shows progress wherever standard error leads. */
extern void progress_ask(void);

/* Seconds of a clock that only goes forward. */
extern double now(void);

/* quiet: never draw. */
extern void progress_begin(progress *bar, const char *what, uint64_t total, bool quiet);

extern void progress_add(progress *bar, uint64_t bytes);

/* progress_add, up to that many bytes in all. */
extern void progress_reach(progress *bar, uint64_t done);

/* So many of the bytes were done before. */
extern void progress_skip(progress *bar, uint64_t bytes);

/* Wipes the bar. */
extern void progress_end(progress *bar);

/* Makes way for a message, if a bar is drawn. */
extern void progress_wipe(void);

#endif
