/*
 * tape.c: keeps what chunks need until they have come (see tape.h).
 */
#include "tape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "plan/path.h"

/* As docs/wire.md has it: so much, and so many times what was asked for. */
#define MOST_BYTES ((uint64_t) 64 << 20)
#define MOST_TIMES 4

/* The folder, with a dot behind it, which a hidden name can go on from. The caller frees it. */
static char *
folder_of(const tape *t)
{
	const char *folder = getenv("TMPDIR");

	if (t->beside != NULL)
		return format_text("%.*s.", (int) (sparse_path_base(t->beside) - t->beside), t->beside);
	return format_text("%s/.", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
}

/* For systems and file systems that make no file without a name: one whose name is taken away. */
static int
open_named(const char *folder)
{
	char	   *name = format_text("%spg_sparse-factors-XXXXXX", folder);
	int			fd = mkostemp(name, O_CLOEXEC);

	if (fd < 0 || unlink(name) != 0)
		fail_file("create", name);
	free(name);
	return fd;
}

static void
open_file(tape *t)
{
	char	   *folder = folder_of(t);

	t->fd = -1;
#ifdef O_TMPFILE
	t->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
	if (t->fd < 0)
		t->fd = open_named(folder);
	free(folder);
	t->opened = true;
}

void
tape_begin(tape *t, uint64_t wanted)
{
	t->length = 0;
	t->left = MOST_BYTES + (wanted < UINT64_MAX / 8 ? wanted : UINT64_MAX / 8) * MOST_TIMES;
}

void
tape_keep(tape *t, const void *bytes, size_t length)
{
	const char *at = bytes;

	if (!t->opened)
		open_file(t);
	while (length > 0)
	{
		ssize_t		written = pwrite(t->fd, at, length, (off_t) t->length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			fail_file("write", "a temporary file");
		at += written;
		t->length += (uint64_t) written;
		length -= (size_t) written;
	}
}

const char *
tape_put(tape *t, uint64_t first, const void *bytes, size_t length)
{
	if (first != 0 && first != t->length)
		return "what a chunk needs is out of order";
	if (length > t->left)
		return "the server sent more than chunks may need";
	t->left -= length;
	t->length = first;
	tape_keep(t, bytes, length);
	return NULL;
}

bool
tape_get(const tape *t, uint64_t first, void *bytes, size_t length)
{
	char	   *at = bytes;

	if (first > t->length || length > t->length - first)
		return false;
	while (length > 0)
	{
		ssize_t		got = pread(t->fd, at, length, (off_t) first);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fail_file("read", "a temporary file");
		at += got;
		first += (uint64_t) got;
		length -= (size_t) got;
	}
	return true;
}

void
tape_release(tape *t)
{
	if (t->opened)
		close(t->fd);
	*t = (tape) {0};
}
