/*
 * folder.c: walks and makes folders (see folder.h).
 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"

#define MAX_DEPTH 100			/* of folders in folders */

const char *
folder_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool
folder_is(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* 'f' for a file or a link to one, 'd' for a folder, '?' for what is passed over. */
static char
kind_of(const char *path)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		fail_file("look at", path);
	if (S_ISDIR(status.st_mode))
		return 'd';
	if (S_ISLNK(status.st_mode) && stat(path, &status) != 0)
		fail_file("follow the link", path);
	return S_ISREG(status.st_mode) ? 'f' : '?';
}

static void
walk(const char *folder, const char *prefix, int depth, folder_visit visit, void *state)
{
	struct dirent **entry;
	int			count = scandir(folder, &entry, NULL, alphasort);

	if (count < 0)
		fail_file("read the folder", folder);
	if (depth > MAX_DEPTH)
		fail(STATUS_FAILED, NULL, "\"%s\" lies too deep", folder);
	for (int i = 0; i < count; i++)
	{
		const char *name = entry[i]->d_name;
		char	   *path = format_text("%s/%s", folder, name);
		char	   *relative = format_text("%s%s%s", prefix, prefix[0] ? "/" : "", name);
		char		kind = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? '?' : kind_of(path);

		if (kind == 'f')
			visit(state, path, relative);
		else if (kind == 'd' && name[0] != '.')
			walk(path, relative, depth + 1, visit, state);
		free(path);
		free(relative);
		free(entry[i]);
	}
	free(entry);
}

void
folder_walk(const char *path, folder_visit visit, void *state)
{
	if (folder_is(path))
		walk(path, "", 0, visit, state);
	else
		visit(state, path, folder_base_name(path));
}

bool
folder_path_is_safe(const char *path)
{
	for (;;)
	{
		size_t		length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') || (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[length] == '\0')
			return true;
		path += length + 1;
	}
}

void
folder_make_for(const char *path)
{
	char	   *copy = format_text("%s", path);

	for (char *at = copy + 1; at[-1] && *at; at++)
		if (*at == '/')
		{
			*at = '\0';
			if (mkdir(copy, 0777) != 0 && errno != EEXIST)
				fail_file("create the folder", copy);
			*at = '/';
		}
	free(copy);
}
