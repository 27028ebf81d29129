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
#include "files.h"
#include "plan/walk.h"

typedef struct walking
{
	folder_visit visit;
	folder_enter enters;
	void	   *state;
} walking;

bool
folder_is(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

void
folder_check(sparse_status status, const sparse_complaint *complaint)
{
	if (status == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "out of memory");
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, complaint->hint, "%s", complaint->message);
}

/* ---- the file system, as plan/walk.h wants it ---- */

static void
look(void *state, const char *path, sparse_place *place)
{
	struct stat status;
	struct stat link;

	(void) state;
	if (stat(path, &status) != 0)
	{
		int			reason = errno;
		bool		is_link = lstat(path, &link) == 0 && S_ISLNK(link.st_mode);

		errno = reason;
		fail_file(is_link ? "follow the link" : "look at", path);
	}
	*place = (sparse_place) {
		.kind = S_ISREG(status.st_mode) ? SPARSE_PLACE_FILE : S_ISDIR(status.st_mode) ? SPARSE_PLACE_FOLDER : SPARSE_PLACE_OTHER,
		.bytes = (uint64_t) status.st_size,
		.device = (uint64_t) status.st_dev,
		.inode = (uint64_t) status.st_ino
	};
}

static void
list(void *state, const char *folder, sparse_take_name take, void *take_state)
{
	struct dirent **entry;
	int			count = scandir(folder, &entry, NULL, alphasort);

	(void) state;
	if (count < 0)
		fail_file("read the folder", folder);
	for (int i = 0; i < count; i++)
	{
		const char *name = entry[i]->d_name;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			take(take_state, name);
		free(entry[i]);
	}
	free(entry);
}

static void
read_text(void *state, const char *path, void *text, uint64_t bytes)
{
	source		file;

	(void) state;
	source_open(&file, path);
	source_read(&file, 0, text, (size_t) bytes);
	source_close(&file);
}

static const char *
native(void *state, const char *name)
{
	(void) state;
	return name;
}

static bool
enter(void *state, const char *place, const char *path)
{
	const walking *w = state;

	(void) path;
	return w->enters == NULL || w->enters(w->state, place);
}

static void
take(void *state, const char *place, const char *path, uint64_t bytes)
{
	const walking *w = state;

	(void) bytes;
	w->visit(w->state, place, path);
}

static void
pass(void *state, const char *place)
{
	(void) state;
	warn("folder \"%s\" is left out: its name begins with a dot", place);
}

void
folder_walk(const char *path, folder_visit visit, folder_enter enters, void *state)
{
	walking		w = {visit, enters, state};
	const sparse_file_system files = {
		.state = &w,
		.look = look,
		.list = list,
		.read = read_text,
		.native = native,
		.enters = enter,
		.take = take,
		.pass = pass
	};
	sparse_complaint complaint;

	folder_check(sparse_walk(&files, &sparse_malloc, path, &complaint), &complaint);
}

/* ---- what is written ---- */

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
