/*
 * adopt_find.c: finds the models in a tree of folders (see adopt.h).
 *
 * A model is a folder with safetensors, GGUF or PyTorch files, an index of such, or a model_index.json in it.
 * Where a file of its own says so (config.json and its kin), all that lies below belongs to
 * it, as the parts of a pipeline do; folders below a mere collection of files are models of
 * their own. checkpoint-* of a run always are, with all that lies below them. A folder that
 * holds weights in another form alone is taken too: the push refuses it by name, or stores it
 * as bytes. Links are followed; what cannot be looked at is said and counted.
 */
#include "adopt.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "client.h"
#include "files.h"
#include "folder.h"
#include "plan/format.h"
#include "plan/path.h"

#define MAX_DEPTH 100

/* A folder that is being looked through, and those that it lies in. */
typedef struct level
{
	const struct level *above;
	const char *place;
	struct stat status;
	int			depth;
	/* what is in it */
	bool		has_model;		/* safetensors files, or what stands for them */
	bool		is_whole;		/* what is below belongs to it */
	bool		has_others;		/* weights in another form */
	char	  **folder;			/* paths */
	unsigned long folders;
} level;

/* ---- what is in a folder ---- */

static bool
is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof (names) / sizeof (names)[0])

static bool
holds_other_weights(const char *name)
{
	static const char *const endings[] = {".bin", ".pt", ".pth", ".ckpt", ".ggml", ".h5", ".msgpack", ".onnx"};
	const char *ending = strrchr(name, '.');

	return ending && IS_ONE_OF(ending, endings);
}

static void
take_file(level *l, const char *name)
{
	static const char *const wholes[] = {"config.json", "model_index.json", "modules.json", "adapter_config.json"};
	bool		index = strstr(name, ".safetensors.index.") && sparse_path_is_index(name);

	l->has_model |= sparse_file_kind_of_path(name) != SPARSE_FILE_BYTES || index || strcmp(name, "model_index.json") == 0;
	l->is_whole |= index || IS_ONE_OF(name, wholes);
	l->has_others |= holds_other_weights(name);
}

/* checkpoint-500, checkpoint_2 and the like. */
static bool
is_checkpoint(const char *path)
{
	const char *name = sparse_path_base(path);

	return strncasecmp(name, "checkpoint", 10) == 0 && (name[10] == '-' || name[10] == '_') && name[11] != '\0';
}

static bool
lies_in_itself(const level *l)
{
	for (const level *above = l->above; above; above = above->above)
		if (above->status.st_dev == l->status.st_dev && above->status.st_ino == l->status.st_ino)
			return true;
	return false;
}

static void
unseen(adoption *a, const char *place, const char *why)
{
	warn("\"%s\" is passed over: %s", place, why);
	a->unseen++;
}

static void
take_entry(adoption *a, level *l, const char *name)
{
	char	   *path = format_text("%s/%s", l->place, name);
	struct stat status;

	if (stat(path, &status) != 0)
		unseen(a, path, strerror(errno));
	else if (S_ISREG(status.st_mode))
		take_file(l, name);
	else if (S_ISDIR(status.st_mode) && name[0] != '.')
	{
		l->folder = array_grow(l->folder, l->folders, sizeof *l->folder);
		l->folder[l->folders++] = path;
		return;
	}
	free(path);
}

/* False: there is nothing to see. */
static bool
open_level(adoption *a, level *l, const level *above, const char *place)
{
	struct dirent **entry;
	int			count;

	*l = (level) {.above = above, .place = place, .depth = above ? above->depth + 1 : 0};
	if (stat(place, &l->status) != 0 || (count = scandir(place, &entry, NULL, alphasort)) < 0)
	{
		unseen(a, place, strerror(errno));
		return false;
	}
	for (int i = 0; i < count; i++)
	{
		if (strcmp(entry[i]->d_name, ".") != 0 && strcmp(entry[i]->d_name, "..") != 0 && l->depth <= MAX_DEPTH && !lies_in_itself(l))
			take_entry(a, l, entry[i]->d_name);
		free(entry[i]);
	}
	free(entry);
	if (lies_in_itself(l))
		unseen(a, place, "it is a link to a folder that it lies in");
	if (l->depth > MAX_DEPTH)
		unseen(a, place, "it lies too deep");
	return true;
}

static void
close_level(level *l)
{
	for (unsigned long i = 0; i < l->folders; i++)
		free(l->folder[i]);
	free(l->folder);
}

/* Whether a model lies in a folder, or anywhere below. */
static bool
has_model_below(adoption *a, const level *above, const char *place)
{
	level		l;
	bool		found;

	if (!open_level(a, &l, above, place))
		return false;
	found = l.has_model || l.has_others;
	for (unsigned long i = 0; i < l.folders && !found; i++)
		found = has_model_below(a, &l, l.folder[i]);
	close_level(&l);
	return found;
}

/* ---- models ---- */

static void
add_model(adoption *a, const char *place, const struct stat *status, const char *run, unsigned long long step)
{
	a->model = array_grow(a->model, a->count, sizeof *a->model);
	a->model[a->count++] = (adoptee) {
		.place = format_text("%s", place),
		.run = run ? format_text("%s", run) : NULL,
		.step = step,
		.changed = status->st_mtim
	};
}

/* The last number of a name: checkpoint-500's step. */
static unsigned long long
step_of(const char *path)
{
	const char *end = path + strlen(path);
	const char *at = end;

	while (at > path && isdigit((unsigned char) at[-1]))
		at--;
	return at < end ? strtoull(at, NULL, 10) : 0;
}

static unsigned long
add_checkpoints(adoption *a, const level *l)
{
	unsigned long found = 0;

	for (unsigned long i = 0; i < l->folders; i++)
		if (is_checkpoint(l->folder[i]) && has_model_below(a, l, l->folder[i]))
		{
			struct stat status;

			if (stat(l->folder[i], &status) != 0)
				continue;
			add_model(a, l->folder[i], &status, l->place, step_of(l->folder[i]));
			found++;
		}
	return found;
}

static void
find_models(adoption *a, const level *above, const char *place)
{
	unsigned long before = a->count;
	unsigned long checkpoints;
	level		l;

	if (!open_level(a, &l, above, place))
		return;
	checkpoints = add_checkpoints(a, &l);
	for (unsigned long i = 0; i < l.folders && !(l.has_model && l.is_whole); i++)
		if (!is_checkpoint(l.folder[i]))
			find_models(a, &l, l.folder[i]);
	if (l.has_model || (l.has_others && a->count == before))
		add_model(a, place, &l.status, checkpoints > 0 ? place : NULL, ~0ULL);
	else if (l.has_others)
		warn("\"%s\" holds weights that are in no safetensors, GGUF or PyTorch file: they are left out", place);
	close_level(&l);
}

/* ---- names ---- */

/* ORG/NAME and what lies below the snapshot, from "models--ORG--NAME/snapshots/COMMIT..."; NULL where it is none. */
static char *
name_in_cache(const char *path, const char **commit)
{
	static const char mark[] = "/models--";
	static const char folder[] = "/snapshots/";
	const char *at = NULL;
	const char *snapshot;
	char	   *name;
	char	   *dashes;

	for (const char *next = strstr(path, mark); next; next = strstr(next + 1, mark))
		at = next;
	snapshot = at ? strstr(at, folder) : NULL;
	if (snapshot == NULL || strchr(at + 1, '/') != snapshot)
		return NULL;
	at += sizeof mark - 1;
	*commit = snapshot + sizeof folder - 1;
	name = format_text("%.*s%s", (int) (snapshot - at), at, *commit + strcspn(*commit, "/"));
	dashes = strstr(name, "--");
	if (dashes && dashes - name < snapshot - at)
	{
		*dashes = '/';
		memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
	}
	return name;
}

/* Whether refs/main of the cache that a snapshot lies in names its commit. */
static bool
is_main(const char *path, const char *commit)
{
	char	   *ref = format_text("%.*s../refs/main", (int) (commit - path), path);
	char		text[65] = "";
	FILE	   *file = fopen(ref, "re");

	free(ref);
	if (file == NULL)
		return false;
	if (fgets(text, sizeof text, file) == NULL)
		text[0] = '\0';
	fclose(file);
	text[strcspn(text, "\r\n")] = '\0';
	return strlen(text) == strcspn(commit, "/") && strncmp(text, commit, strlen(text)) == 0;
}

/* A commit of the cache is hexadecimal digits. */
static bool
is_commit(const char *text)
{
	size_t		length = strcspn(text, "/");

	return length > 0 && strspn(text, "0123456789abcdefABCDEF") == length;
}

static void
name_model(adoptee *model, const char *root)
{
	size_t		length = strcmp(root, "/") == 0 ? 0 : strlen(root);
	const char *commit;

	model->name = name_in_cache(model->place, &commit);
	if (model->name && is_commit(commit))
	{
		model->commit = format_text("%.*s", (int) strcspn(commit, "/"), commit);
		model->is_main = is_main(model->place, commit);
		return;
	}
	free(model->name);
	if (strlen(model->place) > length)
		model->name = format_text("%s", model->place + length + 1);
	else
		model->name = format_text("%s", length > 0 ? sparse_path_base(root) : "model");
}

/* ---- order ---- */

static int
compare_times(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? (a->tv_sec > b->tv_sec) - (a->tv_sec < b->tv_sec)
		: (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

/* By name or run; within it snapshots by age, that of refs/main last, and checkpoints by step. */
static int
compare_models(const void *a, const void *b)
{
	const adoptee *x = a;
	const adoptee *y = b;
	int			order;

	if (x->run && y->run && strcmp(x->run, y->run) == 0)
		order = (x->step > y->step) - (x->step < y->step);
	else if (x->commit && y->commit && strcmp(x->name, y->name) == 0)
	{
		order = x->is_main - y->is_main;
		order = order ? order : compare_times(&x->changed, &y->changed);
	}
	else
		order = strcmp(x->run ? x->run : x->commit ? x->name : x->place, y->run ? y->run : y->commit ? y->name : y->place);
	return order ? order : strcmp(x->place, y->place);
}

/* The absolute path, without links and dots, that a folder has wherever it is named from. */
static char *
real_folder(const char *path)
{
	char	   *real = realpath(path, NULL);

	if (real == NULL || !folder_is(real))
		fail(STATUS_FAILED, "Give the folder that the models lie in.", "\"%s\" is not a folder", path);
	return real;
}

static bool
is_in(const char *path, const char *folder)
{
	size_t		length = strlen(folder);

	return strcmp(folder, "/") == 0 ||
		(strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

/* Where names begin: a model itself has one below the folder that it lies in. */
static char *
default_root(const adoption *a, const char *top)
{
	bool		is_model = false;
	char	   *root;

	for (unsigned long i = 0; i < a->count; i++)
		is_model |= strcmp(a->model[i].place, top) == 0;
	root = is_model ? format_text("%.*s", (int) (sparse_path_base(top) - top) - 1, top) : format_text("%s", top);
	if (root[0] != '\0')
		return root;
	free(root);
	return format_text("/");
}

void
adopt_find(adoption *a, const char *folder, const char *root)
{
	char	   *top = real_folder(folder);
	char	   *below = root ? real_folder(root) : NULL;

	if (below && !is_in(top, below))
		fail(STATUS_USAGE, NULL, "\"%s\" does not lie below the root, \"%s\"", folder, root);
	find_models(a, NULL, top);
	if (a->count == 0)
		fail(STATUS_FAILED, NULL, "no folder in \"%s\" holds .safetensors files", folder);
	if (below == NULL)
		below = default_root(a, top);
	for (unsigned long i = 0; i < a->count; i++)
		name_model(&a->model[i], below);
	qsort(a->model, a->count, sizeof *a->model, compare_models);
	free(below);
	free(top);
}

bool
adopt_enters(void *state, const char *path)
{
	const adoptee *model = state;
	const adoption *all = model->all;

	for (unsigned long i = 0; i < all->count; i++)
		if (strcmp(all->model[i].place, path) == 0)
			return false;
	return true;
}
