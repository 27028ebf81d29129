/*
 * walk.c: walks folders, and reads indexes for the files that they name (see walk.h).
 */
#include "walk.h"

#include <stdio.h>
#include <string.h>

#include "index.h"
#include "path.h"

/* A folder that is being walked, and those that it lies in. */
typedef struct folder
{
	const struct folder *above;
	const char *place;
	const char *path;			/* within the version; "" for the root */
	uint64_t	device;
	uint64_t	inode;
	int			depth;
	struct walk *walk;
} folder;

typedef struct walk
{
	const sparse_file_system *files;
	const sparse_allocator *allocator;
	sparse_complaint *complaint;
	sparse_status status;
	uint32_t	taken;			/* files */
	uint32_t	entered;		/* folders */
} walk;

static void
refuse_if_many(walk *w, uint32_t count, const char *what, const char *place)
{
	if (count > SPARSE_MAX_FILES)
	{
		(void) sparse_complain(w->complaint->message, sizeof w->complaint->message,
							   "too many %s, at \"%s\": a version holds at most %d files", what, place, SPARSE_MAX_FILES);
		w->status = SPARSE_TOO_LARGE;
	}
}

static void
take_file(walk *w, const char *place, const char *path, uint64_t bytes)
{
	refuse_if_many(w, ++w->taken, "files", place);
	if (w->status == SPARSE_OK && !sparse_path_is_safe(path))
		w->status = SPARSE_REFUSE(w->complaint, "Rename it; or, where an interrupted pull has left it, go on with that.",
								  "\"%s\" has no path that a file of a version may have", place);
	if (w->status == SPARSE_OK)
		w->files->take(w->files->state, place, path, bytes);
}

/* first, second and third as one text of the allocator's. NULL: no memory, and the status says so. */
static char *
join(walk *w, const char *first, const char *second, const char *third)
{
	size_t		bytes = strlen(first) + strlen(second) + strlen(third) + 1;
	char	   *text = w->allocator->allocate(w->allocator->state, bytes);

	if (text == NULL)
		w->status = SPARSE_NO_MEMORY;
	else
		snprintf(text, bytes, "%s%s%s", first, second, third);
	return text;
}

static void
drop(const walk *w, char *text)
{
	if (text)
		w->allocator->release(w->allocator->state, text);
}

/* ---- folders ---- */

static bool
is_above(const folder *f, const sparse_place *place)
{
	for (; f; f = f->above)
		if (f->device == place->device && f->inode == place->inode)
			return true;
	return false;
}

/* Folders that tools leave everywhere, of which nobody expects that they are stored. */
static bool
belongs_to_tools(const char *name)
{
	static const char *const names[] = {".git", ".cache", ".huggingface"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void walk_folder(walk *w, const folder *above, const char *place, const char *path, const sparse_place *found);

static void
meet_folder(walk *w, const folder *above, const char *name, const char *place, const char *path, const sparse_place *found)
{
	const sparse_file_system *files = w->files;

	if (name[0] == '.')
	{
		if (!belongs_to_tools(name))
			files->pass(files->state, place);
	}
	else if (is_above(above, found))
		w->status = SPARSE_REFUSE(w->complaint, "Take the link away.", "link \"%s\" leads to a folder that it lies in", place);
	else if (files->enters == NULL || files->enters(files->state, place, path))
		walk_folder(w, above, place, path, found);
}

static void
meet(void *state, const char *name)
{
	const folder *f = state;
	walk	   *w = f->walk;
	sparse_place found;
	char	   *place = NULL;
	char	   *path = NULL;

	if (w->status == SPARSE_OK)
		place = join(w, f->place, "/", name);
	if (w->status == SPARSE_OK)
		path = join(w, f->path, f->path[0] ? "/" : "", name);
	if (w->status == SPARSE_OK)
	{
		w->files->look(w->files->state, place, &found);
		if (found.kind == SPARSE_PLACE_FILE)
			take_file(w, place, path, found.bytes);
		else if (found.kind == SPARSE_PLACE_FOLDER)
			meet_folder(w, f, name, place, path, &found);
		else
			w->status = SPARSE_REFUSE(w->complaint, "Take it away: a version holds files.", "\"%s\" is not a regular file", place);
	}
	drop(w, path);
	drop(w, place);
}

static void
walk_folder(walk *w, const folder *above, const char *place, const char *path, const sparse_place *found)
{
	folder		f = {.above = above, .place = place, .path = path, .device = found->device, .inode = found->inode,
	.depth = above ? above->depth + 1 : 0, .walk = w};

	refuse_if_many(w, ++w->entered, "folders", place);
	if (f.depth > SPARSE_WALK_DEPTH)
		w->status = SPARSE_REFUSE(w->complaint, NULL, "\"%s\" lies too deep", place);
	if (w->status == SPARSE_OK)
		w->files->list(w->files->state, place, meet, &f);
}

/* ---- an index ---- */

/* The shards of an index called `name` that lies in `folder` (its path up to the last slash). */
static void
take_shards(walk *w, const sparse_index *index, const char *folder, const char *name)
{
	for (uint32_t i = 0; i < index->entries && w->status == SPARSE_OK; i++)
	{
		const char *shard;
		char	   *place;
		sparse_place found;

		/* tensors of one shard stand together; and the index itself is taken already */
		if ((i > 0 && strcmp(index->entry[i - 1].shard, index->entry[i].shard) == 0) ||
			strcmp(index->entry[i].shard, name) == 0)
			continue;
		shard = w->files->native(w->files->state, index->entry[i].shard);
		place = join(w, folder, shard, "");
		if (place == NULL)
			return;
		w->files->look(w->files->state, place, &found);
		if (found.kind == SPARSE_PLACE_FILE)
			take_file(w, place, shard, found.bytes);
		else
			w->status = SPARSE_REFUSE(w->complaint, NULL, "\"%s\" is not a regular file", place);
		drop(w, place);
	}
}

static void
walk_index(walk *w, const char *path, const char *folder, char *text, uint64_t bytes)
{
	sparse_index index;

	w->files->read(w->files->state, path, text, bytes);
	w->status = sparse_index_read(w->allocator, path, text, (size_t) bytes, &index, w->complaint);
	if (w->status != SPARSE_OK)
		return;
	if (index.entries == 0)
		w->status = SPARSE_REFUSE(w->complaint, "It has no \"weight_map\" of tensors and their files.",
								  "index \"%s\" names no shards", path);
	else
	{
		take_file(w, path, sparse_path_base(path), bytes);
		take_shards(w, &index, folder, sparse_path_base(path));
	}
	sparse_index_free(w->allocator, &index);
}

static void
meet_index(walk *w, const char *path, uint64_t bytes)
{
	char	   *text;
	char	   *folder;

	if (bytes > SPARSE_INDEX_MAX_BYTES)
	{
		w->status = SPARSE_REFUSE(w->complaint, NULL, "index \"%s\" is too large: it has %llu bytes, at most %llu are read", path,
								  (unsigned long long) bytes, (unsigned long long) SPARSE_INDEX_MAX_BYTES);
		return;
	}
	text = w->allocator->allocate(w->allocator->state, (size_t) bytes + 1);
	folder = join(w, path, "", "");
	if (text == NULL || folder == NULL)
		w->status = SPARSE_NO_MEMORY;
	else
	{
		folder[sparse_path_base(folder) - folder] = '\0';
		walk_index(w, path, folder, text, bytes);
	}
	drop(w, folder);
	drop(w, text);
}

/* ---- the path ---- */

sparse_status
sparse_walk(const sparse_file_system *files, const sparse_allocator *allocator, const char *path, sparse_complaint *complaint)
{
	walk		w = {.files = files, .allocator = allocator, .complaint = complaint};
	sparse_place found;

	*complaint = (sparse_complaint) {0};
	files->look(files->state, path, &found);
	if (found.kind == SPARSE_PLACE_FOLDER)
		walk_folder(&w, NULL, path, "", &found);
	else if (found.kind != SPARSE_PLACE_FILE)
		w.status = SPARSE_REFUSE(complaint, NULL, "\"%s\" is not a regular file", path);
	else if (sparse_path_is_index(path))
		meet_index(&w, path, found.bytes);
	else
		take_file(&w, path, sparse_path_base(path), found.bytes);
	if (w.status == SPARSE_OK && w.taken == 0)
		w.status = SPARSE_REFUSE(complaint, NULL, "folder \"%s\" holds no files", path);
	return w.status;
}
