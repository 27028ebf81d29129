/*
 * options.h: the command line that compress and reconstruct have in common: a
 * base (or none), other parents, a file, and an output.
 */
#ifndef SPARSE_CLIENT_OPTIONS_H
#define SPARSE_CLIENT_OPTIONS_H

#include <stdbool.h>

#define OPTIONS_MAX_PARENTS 16	/* as many as a delta file has bases */

typedef struct options
{
	const char *parent[OPTIONS_MAX_PARENTS];	/* the base first, if there is one */
	unsigned	parents;
	const char *file;
	const char *output;
	bool		quiet;
} options;

/*
 * Parses the arguments of the command argv[0]. `file` and `output` are the words
 * for the operand and the output in messages; print_help is called for --help.
 */
extern void options_parse(options *o, int argc, char **argv, const char *file,
						  const char *output, void (*print_help) (void));

#endif
