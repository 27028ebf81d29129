/*
 * main.c: pg_sparse, the command line: dispatch to the commands, and the words
 * on standard error.
 *
 * Some commands need no server: they are the codec on files. The others are those
 * of remote.c.
 */
#include "client.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deltafile.h"
#include "progress.h"
#include "remote.h"

volatile bool client_has_threads;

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
	char	   *text;

	if (vasprintf(&text, format, args) < 0)
		return;
	/* names come from files and servers: nothing of them may steer a terminal */
	make_safe(text);
	fprintf(stderr, "%s%s\n", kind, text);
	free(text);
}

__attribute__((format(printf, 2, 3)))
static void
say_more(const char *kind, const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say(kind, format, args);
	va_end(args);
}

/* Of several threads that fail for the same reason, one says so. */
static void
be_first(void)
{
	static atomic_flag failing = ATOMIC_FLAG_INIT;

	while (client_has_threads && atomic_flag_test_and_set(&failing))
		pause();
}

__attribute__((noreturn))
static void
quit(int status)
{
	if (client_has_threads)
		_exit(status);
	exit(status);
}

void
fail(int status, const char *hint, const char *format, ...)
{
	va_list		args;

	be_first();
	progress_wipe();
	va_start(args, format);
	say("pg_sparse: error: ", format, args);
	va_end(args);
	if (hint)
		say_more("hint: ", "%s", hint);
	quit(status);
}

void
warn(const char *format, ...)
{
	va_list		args;

	progress_wipe();
	va_start(args, format);
	say("pg_sparse: warning: ", format, args);
	va_end(args);
}

void
note(const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say("", format, args);
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

void *
array_grow(void *array, unsigned long count, unsigned long element_bytes)
{
	/* the sizes 8, 16, 32 ...: at each of them the array is full */
	if (count != 0 && (count < 8 || (count & (count - 1)) != 0))
		return array;
	array = realloc(array, (count == 0 ? 8 : 2 * count) * element_bytes);
	if (array == NULL)
		fail(STATUS_FAILED, NULL, "out of memory (%lu bytes)", 2 * count * element_bytes);
	return array;
}

char *
format_text(const char *format, ...)
{
	va_list		args;
	char	   *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	va_end(args);
	return text;
}

void
fail_usage(const char *command, const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	say("pg_sparse: error: ", format, args);
	va_end(args);
	fprintf(stderr, "hint: Try \"pg_sparse %s%s--help\".\n", command, command[0] ? " " : "");
	exit(STATUS_USAGE);
}

static void
print_help(void)
{
	printf("pg_sparse keeps models and datasets at the price of what changed.\n\n"
		   "Usage:\n  pg_sparse COMMAND [OPTION]... ARGUMENT...\n\nOn files, without a server:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	printf("\nWith a server (-h, -p, -U, -d and the environment as for psql):\n");
	for (unsigned i = 0; i < remote_command_count; i++)
		printf("  %-12s %s\n", remote_commands[i].name, remote_commands[i].summary);
	printf("\nOptions:\n"
		   "  -h, --help     this help\n"
		   "  COMMAND --help what a command does, and its options (with a server -h is the host, as for psql)\n"
		   "  -V, --version  the version\n\n"
		   "Exit codes:\n"
		   "  0  done\n"
		   "  1  a file could not be read or written, or memory ran out\n"
		   "  2  the command line is wrong\n"
		   "  3  the base is not the one that the delta file was made against, or there is none\n"
		   "  4  what was read or received is damaged, or its result is not what was promised\n"
		   "  5  there is no connection to the server, or it broke\n"
		   "  6  the server refused a command\n"
		   "  7  the server's sparse and this program do not fit each other\n");
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
		printf("pg_sparse %s (delta format %d, delta file format %d)\n", SPARSE_EXTVERSION, SPARSE_FORMAT, DELTAFILE_VERSION);
		return;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
		{
			commands[i].run(argc - 1, argv + 1);
			return;
		}
	for (unsigned i = 0; i < remote_command_count; i++)
		if (strcmp(name, remote_commands[i].name) == 0)
		{
			remote_main(&remote_commands[i], argc - 1, argv + 1);
			return;
		}
	fail_usage("", "there is no command \"%s\"", name);
}

int
main(int argc, char **argv)
{
	/* A write that the system refuses fails, and is told; it does not kill. */
	/* the widths of characters; nothing else depends on where one is */
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	run(argc, argv);
	finish();
}
