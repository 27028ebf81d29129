/*
 * pointer.c: recognises Git-LFS pointers (see pointer.h).
 */
#include "pointer.h"

#include <string.h>

/* Of the specification, and of its predecessors, which git-lfs still reads. */
static const char *const beginnings[] = {
	"version https://git-lfs.github.com/spec/",
	"version https://hawser.github.com/spec/",
	"version http://git-media.io/v/"
};

/* Whether a line of the text begins like that. */
static bool
has_line(const char *text, size_t bytes, const char *beginning)
{
	const char *end = text + bytes;
	size_t		length = strlen(beginning);

	while (text < end)
	{
		const char *newline = memchr(text, '\n', (size_t) (end - text));

		if ((size_t) (end - text) >= length && memcmp(text, beginning, length) == 0)
			return true;
		if (newline == NULL)
			return false;
		text = newline + 1;
	}
	return false;
}

bool
sparse_is_pointer(const void *text, size_t bytes)
{
	bool		begins = false;

	if (bytes < SPARSE_POINTER_LEAST || bytes >= SPARSE_POINTER_BYTES)
		return false;
	for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
		begins |= memcmp(text, beginnings[i], strlen(beginnings[i])) == 0;
	return begins && has_line(text, bytes, "oid sha256:") && has_line(text, bytes, "size ");
}
