/*
 * folder.c: which files a path on the server means.
 *
 *      model.safetensors               that file
 *      model.safetensors.index.json    itself, and the shards that its weight_map names
 *      a folder                        every regular file below it
 *
 * Links to regular files are followed, for the folders of model hubs are full of
 * them; links to folders are not, and folders whose names begin with a dot are
 * passed over. Nothing that an index names may lie outside of its folder.
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>

#include "catalog/pg_type_d.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "codec/safetensors.h"
#include "answer.h"
#include "plan.h"
#include "store/encoding.h"

#define MAX_INDEX_BYTES SPARSE_SAFETENSORS_MAX_HEADER

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static void
check_count(int files, const char *path)
{
	if (files > PLAN_MAX_FILES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many files in \"%s\"", path),
				errdetail("A version holds at most %d files.", PLAN_MAX_FILES));
}

/* ---- a folder ---- */

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
		check_count(list_length(names), folder);
	}
	FreeDir(directory);
	return names;
}

static struct stat
status_of(const char *path)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", path));
	/* A link that leads nowhere is an error: a file would be missing from the version. */
	if (S_ISLNK(status.st_mode))
	{
		if (stat(path, &status) != 0)
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not follow link \"%s\": %m", path));
		if (S_ISDIR(status.st_mode))
			status.st_mode = 0;
	}
	return status;
}

static void
plan_add_source(ImportPlan *plan, const char *path, Source *source)
{
	plan_add_file(plan, path, source_bytes(source), source);
}

static void
add_file(ImportPlan *plan, const char *relative, const char *folder, const char *path)
{
	check_count(plan->files + 1, folder);
	plan_add_source(plan, relative, source_of_file(&plan->open_file, path));
}

/* `prefix` is the folder's path within the version: empty, or ending in a slash. */
static void
add_folder(ImportPlan *plan, const char *folder, const char *prefix)
{
	ListCell   *cell;

	check_stack_depth();
	foreach(cell, entries_of(folder))
	{
		const char *name = lfirst(cell);
		char	   *path = psprintf("%s/%s", folder, name);
		char	   *relative = psprintf("%s%s", prefix, name_from_disk(name));
		struct stat status = status_of(path);

		if (S_ISREG(status.st_mode))
			add_file(plan, relative, folder, path);
		else if (!S_ISDIR(status.st_mode))
			ereport(NOTICE,
					errmsg("skipping \"%s\": not a regular file", path));
		else if (name[0] != '.')
			add_folder(plan, path, psprintf("%s/", relative));
	}
}

/* ---- an index ---- */

static char *
read_text(Source *source)
{
	uint64		bytes = source_bytes(source);
	char	   *text;

	if (bytes > MAX_INDEX_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("index \"%s\" is too large", source_name(source)),
				errdetail("It has %llu bytes; at most %llu are read.",
						  (unsigned long long) bytes, (unsigned long long) MAX_INDEX_BYTES));
	text = palloc(bytes + 1);
	source_read(source, 0, bytes, text);
	text[bytes] = '\0';
	if (memchr(text, '\0', bytes) != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("index \"%s\" is not JSON", source_name(source)));
	return pg_any_to_server(text, (int) bytes, PG_UTF8);
}

/* The distinct shards that the index's weight_map names, as char * in the current context. */
static List *
shards_of(Source *index)
{
	static StoreQuery query = {
		.sql = "select distinct value from jsonb_each_text(($1::jsonb) -> 'weight_map')",
		.args = 1, .arg = {TEXTOID},
		.columns = 1, .column = {TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum		argument = PointerGetDatum(cstring_to_text(read_text(index)));
	List	   *shards = NIL;
	SPITupleTable *rows;
	uint64		count;

	answer_connect();
	count = query_run(&query, &argument, NULL, true, &rows);
	for (uint64 i = 0; i < count; i++)
	{
		char	   *shard = row_is_null(rows, i, 1) ? NULL : row_text(context, rows, i, 1);
		MemoryContext previous = MemoryContextSwitchTo(context);

		shards = lappend(shards, shard);
		MemoryContextSwitchTo(previous);
	}
	answer_finish();
	return shards;
}

static void
add_shard(ImportPlan *plan, const char *index, const char *folder, const char *shard)
{
	if (shard == NULL || !path_is_safe(shard))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("index \"%s\" names an invalid shard: \"%s\"",
					   index, shard == NULL ? "null" : shard),
				errdetail("Shards lie in the folder of their index, or below it."));
	add_file(plan, shard, folder, psprintf("%s/%s", folder, name_to_disk(shard)));
}

static void
add_index(ImportPlan *plan, const char *path)
{
	Source	   *index = source_of_file(&plan->open_file, path);
	char	   *folder = pnstrdup(path, base_name(path) - path);
	List	   *shards = shards_of(index);
	ListCell   *cell;

	if (shards == NIL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("index \"%s\" names no shards", path),
				errdetail("It has no \"weight_map\" of tensors and their files."));
	plan_add_source(plan, base_name(path), index);
	foreach(cell, shards)
		add_shard(plan, path, folder, lfirst(cell));
}

/* ---- what kind of path it is ---- */

ImportPlan *
plan_of_path(const char *path)
{
	ImportPlan *plan = plan_create();
	char	   *canonical = server_path(path);
	struct stat status;

	if (stat(canonical, &status) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", canonical));
	if (S_ISDIR(status.st_mode))
		add_folder(plan, canonical, "");
	else if (has_suffix(canonical, ".safetensors"))
		plan_add_source(plan, base_name(canonical), source_of_file(&plan->open_file, canonical));
	else if (has_suffix(canonical, ".index.json"))
		add_index(plan, canonical);
	else
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cannot import \"%s\"", canonical),
				errdetail("It is neither a .safetensors file, nor an .index.json file, nor a folder."));
	if (plan->files == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("folder \"%s\" holds no files", canonical));
	return plan;
}
