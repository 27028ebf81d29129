/*
 * folder.c: which files a path on the server means: plan/walk.h, over the server's file
 * system.
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "plan/path.h"
#include "plan/walk.h"
#include "sdelta/glue.h"
#include "plan.h"
#include "store/encoding.h"

/* Whatever is said of a file quotes its name, so that must be text of this database. */
static void
check_name(const char *folder, const char *name)
{
	name = name_from_disk(name);
	if (!pg_verifymbstr(name, (int) strlen(name), true))
		ereport(ERROR,
				errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				errmsg("a name in folder \"%s\" is not valid in the encoding of the database, \"%s\"",
					   folder, GetDatabaseEncodingName()));
}

static List *
entries_of(const char *folder)
{
	DIR		   *directory = AllocateDir(folder);
	struct dirent *entry;
	List	   *names = NIL;

	while ((entry = ReadDir(directory, folder)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		check_name(folder, entry->d_name);
		names = lappend(names, pstrdup(entry->d_name));
		/* the walk refuses them: one more than it takes is enough to tell */
		if (list_length(names) > SPARSE_MAX_FILES)
			break;
	}
	FreeDir(directory);
	return names;
}

/* All names are known before the first is taken: no folder stays open, and each name can be quoted. */
static void
list_folder(void *state, const char *folder, sparse_take_name take, void *take_state)
{
	ListCell   *cell;

	(void) state;
	foreach(cell, entries_of(folder))
	{
		CHECK_FOR_INTERRUPTS();
		take(take_state, lfirst(cell));
	}
}

/* What cannot be looked at is an error: it would be missing from the version. */
static void
look_at(void *state, const char *path, sparse_place *place)
{
	struct stat status;

	(void) state;
	if (stat(path, &status) != 0)
	{
		bool		link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode);

		(void) stat(path, &status);	/* for its errno */
		ereport(ERROR,
				errcode_for_file_access(),
				link ? errmsg("could not follow link \"%s\": %m", path)
				: errmsg("could not stat file \"%s\": %m", path));
	}
	*place = (sparse_place) {
		.kind = S_ISREG(status.st_mode) ? SPARSE_PLACE_FILE : S_ISDIR(status.st_mode) ? SPARSE_PLACE_FOLDER : SPARSE_PLACE_OTHER,
		.bytes = (uint64) status.st_size,
		.device = (uint64) status.st_dev,
		.inode = (uint64) status.st_ino
	};
}

static void
read_text(void *state, const char *path, void *text, uint64_t bytes)
{
	ImportPlan *plan = state;
	Source	   *source = source_of_file(&plan->open_file, path);

	if (source_bytes(source) != bytes)
		source_has_changed(source);
	source_read(source, 0, bytes, text);
}

static void
take_file(void *state, const char *place, const char *path, uint64_t bytes)
{
	ImportPlan *plan = state;
	Source	   *source = source_of_file(&plan->open_file, place);

	(void) bytes;
	plan_add_file(plan, name_from_disk(path), source_bytes(source), source);
}

/* Names on disk are UTF-8, as those in an index. */
static const char *
name_on_disk(void *state, const char *utf8)
{
	(void) state;
	return utf8;
}

static void
pass_over(void *state, const char *place)
{
	(void) state;
	ereport(NOTICE,
			errmsg("skipping \"%s\": its name begins with a dot", place));
}

/* Whether a file says that it has tensors, by its name or by its content. */
static bool
has_tensors(ImportPlan *plan, const char *path)
{
	char		first[SPARSE_FORMAT_FIRST];
	Source	   *source;
	uint64		bytes;

	if (sparse_path_is_safetensors(path))
		return true;
	source = source_of_file(&plan->open_file, path);
	bytes = Min(source_bytes(source), sizeof(first));
	source_read(source, 0, bytes, first);
	return sparse_file_recognise(first, bytes, source_bytes(source)) != SPARSE_FILE_BYTES;
}

ImportPlan *
plan_of_path(const char *path)
{
	ImportPlan *plan = plan_create();
	sparse_file_system files = {
		.state = plan,
		.look = look_at,
		.list = list_folder,
		.read = read_text,
		.native = name_on_disk,
		.take = take_file,
		.pass = pass_over
	};
	char	   *canonical = server_path(path);
	sparse_allocator allocator;
	sparse_complaint complaint;
	sparse_place found;

	look_at(plan, canonical, &found);
	plan->asked = found.kind != SPARSE_PLACE_FOLDER && !sparse_path_is_index(canonical);
	if (plan->asked && !(found.kind == SPARSE_PLACE_FILE ? has_tensors(plan, canonical) : sparse_path_is_safetensors(canonical)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cannot import \"%s\"", canonical),
				errdetail("It is no safetensors, GGUF or PyTorch file, no .index.json file, and no folder."));
	sparse_allocator_init(&allocator, CurrentMemoryContext);
	plan_check_status(sparse_walk(&files, &allocator, canonical, &complaint), &complaint);
	return plan;
}
