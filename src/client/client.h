/*
 * client.h: what the commands of pg_sparse share: exit codes and words on
 * standard error.
 *
 * A command does its work or calls fail(), which prints one line and a hint and
 * ends the program; unfinished output is removed on the way out, whichever way
 * that is (see files.h).
 */
#ifndef SPARSE_CLIENT_CLIENT_H
#define SPARSE_CLIENT_CLIENT_H

#include <stdbool.h>

/* Exit codes: part of the command line's contract. */
enum
{
	STATUS_OK = 0,
	STATUS_FAILED = 1,			/* a file or the memory: the system said no */
	STATUS_USAGE = 2,			/* the command line is wrong */
	STATUS_WRONG_BASE = 3,		/* not the base that the delta was made against */
	STATUS_DAMAGED = 4,			/* what was read or received is damaged, or is not what was promised */
	STATUS_NO_SERVER = 5,		/* no connection, or it broke */
	STATUS_REFUSED = 6,			/* the server refused a command */
	STATUS_OTHER_FORMAT = 7		/* server and client, or a delta file and the client, do not fit each other */
};

/*
 * Where to set while threads run: a failure then ends the program at once, for what
 * exit() would take down is in use.
 */
extern volatile bool client_has_threads;

/* Prints "pg_sparse: error: ..." and, unless NULL, "hint: ...", and exits. */
__attribute__((noreturn, format(printf, 3, 4)))
extern void fail(int status, const char *hint, const char *format, ...);

/* Prints "pg_sparse: warning: ...". */
__attribute__((format(printf, 1, 2)))
extern void warn(const char *format, ...);

/* Prints a line as it is, but for what could steer a terminal. */
__attribute__((format(printf, 1, 2)))
extern void note(const char *format, ...);

/* fail(STATUS_FAILED) with errno's words: "could not VERB "PATH": ...". */
__attribute__((noreturn))
extern void fail_file(const char *verb, const char *path);

/* malloc that fails the program. */
extern void *allocate(unsigned long bytes);

/* An array of `count` elements, grown so that it has room for one more. NULL for the first time. */
extern void *array_grow(void *array, unsigned long count, unsigned long element_bytes);

/* A string made like printf's, which the caller owns. */
__attribute__((format(printf, 1, 2)))
extern char *format_text(const char *format, ...);

/* A wrong command line: points to the command's --help. */
__attribute__((noreturn, format(printf, 2, 3)))
extern void fail_usage(const char *command, const char *format, ...);

/* Ends the program well, unless what was printed could not be written. */
__attribute__((noreturn))
extern void finish(void);

/* The commands: each takes its own arguments, argv[0] being its name. */
extern void compress_main(int argc, char **argv);
extern void reconstruct_main(int argc, char **argv);
extern void info_main(int argc, char **argv);
extern void estimate_main(int argc, char **argv);
extern void bench_main(int argc, char **argv);

#endif
