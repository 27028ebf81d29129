/*
 * progress.c: draws the bar, at most ten times a second (see progress.h).
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 30				/* of the bar, where there is room */
#define NAME_COLUMNS 12
#define USUAL_COLUMNS 80
#define LINE_BYTES 256
#define INTERVAL 0.1			/* seconds between drawings */
#define LINE_INTERVAL 2.0		/* and between lines, where there is no terminal */
#define FIRST_GUESS 1.0			/* seconds, before which the time left is not guessed */

static bool asked;
static volatile bool drawn;

double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* The unit in which a number of bytes is read best, and its name. */
static double
unit_of(uint64_t bytes, const char **name)
{
	static const char *const names[] = {"B", "kB", "MB", "GB", "TB"};
	double		unit = 1;
	int			i = 0;

	for (; i < 4 && (double) bytes >= 1000 * unit; i++)
		unit *= 1000;
	*name = names[i];
	return unit;
}

/* Columns of the terminal; as many as it takes where that is not known. */
static int
columns(const progress *bar)
{
	struct winsize size;

	if (!bar->is_terminal)
		return LINE_BYTES;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS;
}

/* "  1:05 left", from what was done so far; nothing while that says little. */
static void
put_time_left(const progress *bar, double seconds, char *text, size_t room)
{
	uint64_t	done = bar->done - bar->before;
	double		left = done > 0 ? seconds * (double) (bar->total - bar->done) / (double) done : 0;

	text[0] = '\0';
	if (seconds >= FIRST_GUESS && done > 0 && left < 360000)
		snprintf(text, room, "  %d:%02d left", (int) left / 60, (int) left % 60);
}

/* "  52%  1.1 of 2.1 GB  310 MB/s  0:03 left" */
static void
put_figures(const progress *bar, char *text, size_t room)
{
	double		seconds = bar->drawn - bar->started;
	uint64_t	rate = seconds > 0 ? (uint64_t) ((double) (bar->done - bar->before) / seconds) : 0;
	const char *unit_name;
	const char *rate_name;
	double		unit = unit_of(bar->total, &unit_name);
	double		rate_unit = unit_of(rate, &rate_name);
	char		left[32];

	put_time_left(bar, seconds, left, sizeof left);
	snprintf(text, room, "%3d%%  %.1f of %.1f %s  %.0f %s/s%s",
			 (int) (bar->total ? (double) bar->done / (double) bar->total * 100 : 100),
			 (double) bar->done / unit, (double) bar->total / unit, unit_name, (double) rate / rate_unit, rate_name, left);
}

/* A line that wraps cannot be drawn over: what does not fit is left out, the cells first. */
static void
draw(progress *bar)
{
	char		figures[LINE_BYTES / 2];
	char		line[LINE_BYTES];
	int			room = columns(bar) - 1;
	int			cells;

	put_figures(bar, figures, sizeof figures);
	cells = room - (int) strlen(figures) - NAME_COLUMNS - 5;
	cells = cells > WIDTH ? WIDTH : cells < 0 ? 0 : cells;
	snprintf(line, sizeof line, "%-*s %s%-*.*s%s %s", NAME_COLUMNS, bar->what, cells ? "[" : "", cells,
			 bar->total ? (int) ((double) bar->done / (double) bar->total * cells) : cells, "==============================",
			 cells ? "]" : "", figures);
	if (room >= 0 && (size_t) room < strlen(line))
		line[room] = '\0';
	fprintf(stderr, bar->is_terminal ? "\r%s\033[K" : "%s\n", line);
	fflush(stderr);
	drawn = bar->is_terminal;
}

void
progress_ask(void)
{
	asked = true;
}

void
progress_begin(progress *bar, const char *what, uint64_t total, bool quiet)
{
	*bar = (progress) {.what = what, .total = total, .started = now()};
	bar->drawn = bar->started;
	bar->is_terminal = isatty(STDERR_FILENO);
	bar->shown = !quiet && (bar->is_terminal || asked);
}

void
progress_add(progress *bar, uint64_t bytes)
{
	progress_reach(bar, bar->done + bytes);
}

void
progress_reach(progress *bar, uint64_t done)
{
	bar->done = done < bar->total ? done : bar->total;
	if (!bar->shown || now() - bar->drawn < (bar->is_terminal ? INTERVAL : LINE_INTERVAL))
		return;
	bar->drawn = now();
	draw(bar);
}

void
progress_skip(progress *bar, uint64_t bytes)
{
	bar->before += bytes;
}

void
progress_end(progress *bar)
{
	if (bar->shown && bar->is_terminal)
		fputs("\r\033[K", stderr);
	drawn = false;
}

void
progress_wipe(void)
{
	if (drawn)
		fputs("\r\033[K", stderr);
	drawn = false;
}
