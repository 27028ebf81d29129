/*
 * patterns.h: which files of a version are meant, by patterns of the shell on their paths.
 *
 * "*" stands for any characters, "/" among them, so that "*.json" means those of all folders.
 */
#ifndef SPARSE_CLIENT_PATTERNS_H
#define SPARSE_CLIENT_PATTERNS_H

#include <stdbool.h>

/* What was named several times. */
typedef struct name_list
{
	const char **name;
	unsigned long count;
} name_list;

typedef struct patterns
{
	name_list	includes;		/* none: all */
	name_list	excludes;
} patterns;

/* NULL: of all paths. */
extern bool patterns_take(const patterns *p, const char *path);

/* A pattern of the shell (*, ?) as one of SQL's `like`. The caller frees it. */
extern char *like_pattern(const char *shell);

#endif
