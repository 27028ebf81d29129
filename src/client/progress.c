/*
 * progress.c: draws the bar, at most ten times a second (see progress.h).
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 30
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

/* " 1:05 left", from what was done so far; nothing while that says little. */
static void
print_time_left(const progress *bar, double seconds)
{
	double		left;

	if (seconds < FIRST_GUESS || bar->done == 0)
		return;
	left = seconds * (double) (bar->total - bar->done) / (double) bar->done;
	if (left < 360000)
		fprintf(stderr, "  %d:%02d left", (int) left / 60, (int) left % 60);
}

static void
draw(progress *bar)
{
	char		cells[WIDTH + 1];
	double		share = bar->total ? (double) bar->done / (double) bar->total : 1;
	double		seconds = bar->drawn - bar->started;
	uint64_t	rate = seconds > 0 ? (uint64_t) ((double) bar->done / seconds) : 0;
	const char *unit_name;
	const char *rate_name;
	double		unit = unit_of(bar->total, &unit_name);
	double		rate_unit = unit_of(rate, &rate_name);

	memset(cells, ' ', WIDTH);
	memset(cells, '=', (size_t) (share * WIDTH));
	cells[WIDTH] = '\0';
	fprintf(stderr, "%s%-12s [%s] %3d%%  %.1f of %.1f %s  %.0f %s/s", bar->is_terminal ? "\r" : "",
			bar->what, cells, (int) (share * 100), (double) bar->done / unit, (double) bar->total / unit,
			unit_name, (double) rate / rate_unit, rate_name);
	print_time_left(bar, seconds);
	fputs(bar->is_terminal ? " \033[K" : "\n", stderr);
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
