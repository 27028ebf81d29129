/*
 * path.c: what paths are allowed, and what they say (see path.h).
 */
#include "path.h"

#include <string.h>

static bool
is_part(const char *name)
{
	const char *digits = name + sizeof SPARSE_PART_PREFIX - 1;

	return strncmp(name, SPARSE_PART_PREFIX, sizeof SPARSE_PART_PREFIX - 1) == 0 &&
		strspn(digits, "0123456789abcdef") == SPARSE_PART_DIGITS &&
		(strcmp(digits + SPARSE_PART_DIGITS, SPARSE_PART) == 0 || strcmp(digits + SPARSE_PART_DIGITS, SPARSE_PART_JOURNAL) == 0);
}

bool
sparse_path_is_safe(const char *path)
{
	const char *component = path;

	if (strlen(path) >= SPARSE_PATH_BYTES)
		return false;
	for (const char *at = path;; at++)
	{
		if (*at != '\0' && *at != '/')
		{
			if ((unsigned char) *at < ' ')
				return false;
			continue;
		}
		if (at == component || (at - component == 1 && component[0] == '.') ||
			(at - component == 2 && component[0] == '.' && component[1] == '.'))
			return false;
		if (*at == '\0')
			return !is_part(component);
		component = at + 1;
	}
}

const char *
sparse_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool
sparse_path_ends(const char *path, const char *ending)
{
	size_t		length = strlen(path);
	size_t		wanted = strlen(ending);

	return length >= wanted && strcmp(path + length - wanted, ending) == 0;
}

bool
sparse_path_is_safetensors(const char *path)
{
	return sparse_path_ends(path, ".safetensors");
}

bool
sparse_path_is_index(const char *path)
{
	return strstr(sparse_path_base(path), ".index.") != NULL && sparse_path_ends(path, ".json");
}
