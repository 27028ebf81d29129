/*
 * export.c: sparse_export, from the store into files of the server.
 *
 * A file is written under a temporary name beside its place, flushed, and renamed
 * into place only after the SHA-256 of what was read was found right (stream.c):
 * under its own name there is never half a file, nor a wrong one.
 */
#include "postgres.h"
#include "compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "plan.h"
#include "store/encoding.h"
#include "source.h"
#include "stream.h"

#ifndef ROLE_PG_WRITE_SERVER_FILES
#define ROLE_PG_WRITE_SERVER_FILES DEFAULT_ROLE_WRITE_SERVER_FILES
#endif

PG_FUNCTION_INFO_V1(model_export);

/* What COPY TO and its like give others: reading, no writing. */
#define EXPORT_FILE_MODE (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
#define EXPORT_FOLDER_MODE (S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH)

/* ---- the file system ---- */

static int
create_file(const char *path, bool *created)
{
	int			fd = OpenTransientFile(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY);

	*created = fd >= 0;
	/* not by umask(), which an error would leave changed */
	if (fd < 0 || fchmod(fd, EXPORT_FILE_MODE) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create file \"%s\": %m", path));
	return fd;
}

/* Makes the folder unless it is there. */
static void
make_folder(const char *path)
{
	int			result = mkdir(path, S_IRWXU);

	if (result == 0)
		result = chmod(path, EXPORT_FOLDER_MODE);
	else if (errno == EEXIST)
		result = 0;
	if (result != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create directory \"%s\": %m", path));
}

static void
check_folder_is_empty(const char *path)
{
	DIR		   *directory = AllocateDir(path);
	struct dirent *entry;

	while ((entry = ReadDir(directory, path)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ereport(ERROR,
					errcode(ERRCODE_DUPLICATE_FILE),
					errmsg("directory \"%s\" is not empty", path),
					errhint("A version of several files is exported into a directory that is empty or does not exist."));
	FreeDir(directory);
}

/* The folders that a file within `folder` lies in. */
static void
make_folders_of(const char *folder, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
		make_folder(psprintf("%s/%.*s", folder, (int) (slash - path), path));
}

static void
write_all(int fd, const char *path, const char *data, size_t bytes)
{
	while (bytes > 0)
	{
		ssize_t		written = write(fd, data, bytes);

		CHECK_FOR_INTERRUPTS();
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			/* write() may say nothing about a full disk */
			if (written == 0)
				errno = ENOSPC;
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not write file \"%s\": %m", path));
		}
		data += written;
		bytes -= (size_t) written;
	}
}

static void
flush_and_close(int fd, const char *path)
{
	if (pg_fsync(fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not fsync file \"%s\": %m", path));
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not close file \"%s\": %m", path));
}

/* ---- one file ---- */

typedef struct FileExport
{
	FileStream *stream;
	const char *path;
	const char *temporary;
	bool		created;		/* the temporary file is ours */
} FileExport;

static void
write_file(void *argument)
{
	FileExport *export = argument;
	int			fd = create_file(export->temporary, &export->created);
	bytea	   *piece;

	while ((piece = file_stream_next(export->stream)) != NULL)
		write_all(fd, export->temporary, VARDATA(piece), VARSIZE(piece) - VARHDRSZ);
	flush_and_close(fd, export->temporary);
	(void) durable_rename(export->temporary, export->path, ERROR);
}

static void
remove_file(void *argument)
{
	const FileExport *export = argument;

	if (export->created)
		(void) unlink(export->temporary);
}

/*
 * A name in the same folder, short whatever the file's own, which may have as many bytes
 * as a name can; random, for one that a crash has left is nobody's to remove.
 */
static char *
temporary_beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	uint64		random;

	if (!pg_strong_random(&random, sizeof(random)))
		elog(ERROR, "could not get a random number");
	return psprintf("%.*s/.sparse-%016llx.tmp", (int) (slash - path), path, (unsigned long long) random);
}

/* Writes the file to `path`, which is absolute, or leaves nothing. */
static void
export_file(const StoreVersion *version, const VersionFile *file, const char *path)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse export",
												  ALLOCSET_DEFAULT_SIZES);
	FileExport	export = {
		.stream = file_stream_open(context, version, file),
		.path = path,
		.temporary = temporary_beside(path)
	};

	guarded_or_undone(write_file, remove_file, &export);
	MemoryContextDelete(context);
}

/* ---- a version ---- */

/* Paths were checked when they were stored; but what a table says is not trusted here. */
static void
check_paths(const VersionFile *file, int files)
{
	for (int i = 0; i < files; i++)
		if (!path_is_safe(file[i].path))
			ereport(ERROR,
					errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("invalid path of a stored file: \"%s\"", file[i].path));
}

static void
export_single(const StoreVersion *version, const VersionFile *file, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" exists and is not a regular file", path),
				errhint("The version has one file, which is written to that path."));
	export_file(version, file, path);
}

static void
export_folder(const StoreVersion *version, const VersionFile *file, int files, const char *path)
{
	make_folder(path);
	check_folder_is_empty(path);
	for (int i = 0; i < files; i++)
	{
		const char *name = name_to_disk(file[i].path);

		make_folders_of(path, name);
		export_file(version, &file[i], psprintf("%s/%s", path, name));
	}
}

static uint64
export_version(const StoreVersion *version, const char *path)
{
	VersionFile *file;
	int			files = version_files(CurrentMemoryContext, version->id, &file);
	uint64		bytes = 0;

	check_paths(file, files);
	if (files == 1 && strchr(file[0].path, '/') == NULL)
		export_single(version, &file[0], path);
	else
		export_folder(version, file, files, path);
	for (int i = 0; i < files; i++)
		bytes += file[i].bytes;
	return bytes;
}

Datum
model_export(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	const char *path;
	uint64		bytes;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to export to files of the server"),
				errdetail("Only roles with privileges of the \"%s\" role may export to them.",
						  "pg_write_server_files"),
				errhint("Anyone may take the content itself from sparse_reconstruct()."));
	path = server_path(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, TAKE_ROWS);
	store_enter(&access);
	answer_connect();
	bytes = export_version(&version, path);
	answer_finish();
	store_leave(&access);
	PG_RETURN_INT64((int64) bytes);
}
