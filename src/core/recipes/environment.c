/*
 * environment.c: memory that goes as a whole, and errors that unwind to its owner (see environment.h).
 */
#include "environment.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Before each block; what follows it is aligned for anything. */
struct workspace_block
{
	workspace_block *next;
	workspace_block *previous;
	_Alignas(max_align_t) char content[];
};

static void *
take_block(void *state, size_t bytes)
{
	workspace  *work = state;
	workspace_block *block = bytes > SIZE_MAX - sizeof(workspace_block) ? NULL
		: work->parent->allocate(work->parent->state, sizeof(workspace_block) + bytes);

	if (block == NULL)
		return NULL;
	block->next = work->blocks;
	block->previous = NULL;
	if (work->blocks != NULL)
		work->blocks->previous = block;
	work->blocks = block;
	return block->content;
}

static void
release_block(void *state, void *content)
{
	workspace  *work = state;
	workspace_block *block;

	if (content == NULL)
		return;
	block = (workspace_block *) ((char *) content - offsetof(workspace_block, content));
	if (block->previous != NULL)
		block->previous->next = block->next;
	else
		work->blocks = block->next;
	if (block->next != NULL)
		block->next->previous = block->previous;
	work->parent->release(work->parent->state, block);
}

void
workspace_init(workspace *work, const sparse_environment *environment)
{
	*work = (workspace) {
		.environment = environment,
		.parent = environment->allocator != NULL ? environment->allocator : &sparse_malloc,
		.allocator = {take_block, release_block, work}
	};
}

void
workspace_end(workspace *work)
{
	while (work->blocks != NULL)
		release_block(work, work->blocks->content);
}

sparse_status
workspace_run(workspace *work, void (*body) (void *argument), void *argument)
{
	work->status = SPARSE_OK;
	if (setjmp(work->out) == 0)
		body(argument);
	return work->status;
}

void
workspace_check(workspace *work, sparse_status status)
{
	if (status == SPARSE_OK)
		return;
	work->status = status;
	longjmp(work->out, 1);
}

void *
workspace_allocate(workspace *work, size_t bytes)
{
	void	   *block = take_block(work, bytes);

	workspace_check(work, block == NULL ? SPARSE_NO_MEMORY : SPARSE_OK);
	return block;
}

void *
workspace_zeroed(workspace *work, size_t bytes)
{
	return memset(workspace_allocate(work, bytes), 0, bytes);
}

void
workspace_release(workspace *work, void *block)
{
	release_block(work, block);
}

char *
workspace_beginning(workspace *work, const char *text, size_t length)
{
	char	   *copy = workspace_allocate(work, length + 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *
workspace_text(workspace *work, const char *text)
{
	return workspace_beginning(work, text, strlen(text));
}

char *
workspace_format(workspace *work, const char *format,...)
{
	va_list		arguments;
	int			length;
	char	   *text;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	text = workspace_allocate(work, (size_t) length + 1);
	va_start(arguments, format);
	vsnprintf(text, (size_t) length + 1, format, arguments);
	va_end(arguments);
	return text;
}

void
workspace_pause(workspace *work)
{
	const sparse_environment *environment = work->environment;

	if (environment->interrupted != NULL && environment->interrupted(environment->state))
		workspace_check(work, SPARSE_INTERRUPTED);
}
