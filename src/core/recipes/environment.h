/*
 * environment.h: what the recipes ask of their shell beside tensors, and the memory that they work in.
 *
 * A workspace owns all memory of one piece of work: what fails half-way leaves nothing behind. Within it, errors unwind
 * the stack up to workspace_run, which returns a status; so the searches read as lists of what they look
 * for. Callbacks of the shell may unwind the stack further (ereport does): then the shell's
 * allocator must own the memory, as one over a memory context does.
 */
#ifndef SPARSE_RECIPES_ENVIRONMENT_H
#define SPARSE_RECIPES_ENVIRONMENT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "codec/memory.h"
#include "codec/status.h"

typedef struct sparse_environment
{
	const sparse_allocator *allocator;	/* NULL: malloc */
	bool		(*interrupted)(void *state);	/* asked now and then; true: give up with SPARSE_INTERRUPTED. NULL: never */
	void	   *state;
	int			effort;			/* how much is searched for what predicts a tensor, 1 to 3; 0: 2 */
} sparse_environment;

typedef struct workspace_block workspace_block;

typedef struct workspace
{
	const sparse_environment *environment;
	const sparse_allocator *parent;
	sparse_allocator allocator; /* over the workspace, for those who take one */
	workspace_block *blocks;
	jmp_buf		out;
	sparse_status status;
} workspace;

extern void workspace_init(workspace *work, const sparse_environment *environment);

/* Releases all memory that was taken of it. */
extern void workspace_end(workspace *work);

/* Calls body(argument); what it raises is returned. Not to be nested in one workspace. */
extern sparse_status workspace_run(workspace *work, void (*body) (void *argument), void *argument);

/* Within workspace_run. Memory, or SPARSE_NO_MEMORY is raised; a block may be released early. */
extern void *workspace_allocate(workspace *work, size_t bytes);
extern void *workspace_zeroed(workspace *work, size_t bytes);
extern void workspace_release(workspace *work, void *block);

/* A copy of a text, of its beginning, or a formatted one. */
extern char *workspace_text(workspace *work, const char *text);
extern char *workspace_beginning(workspace *work, const char *text, size_t length);
__attribute__((format(printf, 2, 3)))
extern char *workspace_format(workspace *work, const char *format, ...);

/* Raises anything but SPARSE_OK. */
extern void workspace_check(workspace *work, sparse_status status);

/* Raises SPARSE_INTERRUPTED when the shell says so. */
extern void workspace_pause(workspace *work);

#endif
