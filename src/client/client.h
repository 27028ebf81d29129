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
	STATUS_DAMAGED = 4			/* the delta file is damaged, or what it gives is not the child */
};

/* Prints "pg_sparse: error: ..." and, unless NULL, "hint: ...", and exits. */
__attribute__((noreturn, format(printf, 3, 4)))
extern void fail(int status, const char *hint, const char *format, ...);

/* Prints "pg_sparse: warning: ...". */
__attribute__((format(printf, 1, 2)))
extern void warn(const char *format, ...);

/* fail(STATUS_FAILED) with errno's words: "could not VERB "PATH": ...". */
__attribute__((noreturn))
extern void fail_file(const char *verb, const char *path);

/* malloc that fails the program. */
extern void *allocate(unsigned long bytes);

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
