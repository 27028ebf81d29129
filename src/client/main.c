/*
 * main.c: pg_sparse, the command line: dispatch to the commands, and the words
 * on standard error.
 *
 * The commands here need no server: they are the codec on files.
 */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deltafile.h"

typedef struct command
{
	const char *name;
	void		(*run) (int argc, char **argv);
	const char *summary;
} command;

static const command commands[] = {
	{"compress", compress_main, "write CHILD as a delta file against BASE"},
	{"reconstruct", reconstruct_main, "give a child back from its base and its delta file"},
	{"info", info_main, "say what a delta file holds"},
	{"estimate", estimate_main, "estimate from a sample what CHILD takes against BASE"},
	{"bench", bench_main, "measure sizes and speeds beside other codecs"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

__attribute__((format(printf, 2, 0)))
static void
say(const char *kind, const char *format, va_list args)
{
	fprintf(stderr, "pg_sparse: %s: ", kind);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void
fail(int status, const char *hint, const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say("error", format, args);
	va_end(args);
	if (hint)
		fprintf(stderr, "hint: %s\n", hint);
	exit(status);
}

void
warn(const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say("warning", format, args);
	va_end(args);
}

void
fail_file(const char *verb, const char *path)
{
	int			code = errno;
	const char *hint = NULL;

	if (code == ENOSPC)
		hint = "Free some space, or write to another file system.";
	else if (code == ENOENT)
		hint = "Check the path.";
	fail(STATUS_FAILED, hint, "could not %s \"%s\": %s", verb, path, strerror(code));
}

void
finish(void)
{
	if (ferror(stdout) || fflush(stdout) != 0)
		fail(STATUS_FAILED, NULL, "could not write to standard output");
	exit(STATUS_OK);
}

void *
allocate(unsigned long bytes)
{
	void	   *block = malloc(bytes ? bytes : 1);

	if (block == NULL)
		fail(STATUS_FAILED, NULL, "out of memory (%lu bytes)", bytes);
	return block;
}

void
fail_usage(const char *command, const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say("error", format, args);
	va_end(args);
	fprintf(stderr, "hint: Try \"pg_sparse %s%s--help\".\n", command, command[0] ? " " : "");
	exit(STATUS_USAGE);
}

static void
print_help(void)
{
	printf("pg_sparse keeps models and datasets at the price of what changed.\n\n"
		   "Usage:\n  pg_sparse COMMAND [OPTION]... ARGUMENT...\n\nCommands:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions:\n"
		   "  -h, --help     this help; after a command, that command's\n"
		   "  -V, --version  the version\n\n"
		   "Exit codes:\n"
		   "  0  done\n"
		   "  1  a file could not be read or written, or memory ran out\n"
		   "  2  the command line is wrong\n"
		   "  3  the base is not the one that the delta file was made against, or there is none\n"
		   "  4  the delta file is damaged, or its result is not the child\n");
}

/* Runs the command, or ends the program. */
static void
run(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (name == NULL)
		fail_usage("", "no command given");
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
	{
		print_help();
		return;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
	{
		printf("pg_sparse, delta format %d, delta file format %d\n", SPARSE_FORMAT, DELTAFILE_VERSION);
		return;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
		{
			commands[i].run(argc - 1, argv + 1);
			return;
		}
	fail_usage("", "there is no command \"%s\"", name);
}

int
main(int argc, char **argv)
{
	/* A write that the system refuses fails, and is told; it does not kill. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	run(argc, argv);
	finish();
}
