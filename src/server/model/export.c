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
#include "source.h"
#include "stream.h"

#ifndef ROLE_PG_WRITE_SERVER_FILES
#define ROLE_PG_WRITE_SERVER_FILES DEFAULT_ROLE_WRITE_SERVER_FILES
#endif

PG_FUNCTION_INFO_V1(model_export);

/* What COPY TO and its like give others: reading, no writing. */
#define EXPORT_UMASK (S_IWGRP | S_IWOTH)

/* ---- the file system ---- */

static int
create_file(const char *path)
{
	mode_t		previous = umask(EXPORT_UMASK);
	int			fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, 0666);
	int			saved = errno;

	umask(previous);
	errno = saved;
	if (fd < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create file \"%s\": %m", path));
	return fd;
}

/* Makes the folder unless it is there. */
static void
make_folder(const char *path)
{
	mode_t		previous = umask(EXPORT_UMASK);
	int			result = mkdir(path, 0777);
	int			saved = errno;

	umask(previous);
	errno = saved;
	if (result != 0 && errno != EEXIST)
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

static void
write_stream(FileStream *stream, int fd, const char *path)
{
	bytea	   *piece;

	while ((piece = file_stream_next(stream)) != NULL)
		write_all(fd, path, VARDATA(piece), VARSIZE(piece) - VARHDRSZ);
	flush_and_close(fd, path);
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
	char	   *temporary = temporary_beside(path);
	FileStream *stream = file_stream_open(context, version, file);
	int			fd = create_file(temporary);

	PG_TRY();
	{
		write_stream(stream, fd, temporary);
		(void) durable_rename(temporary, path, ERROR);
	}
	PG_CATCH();
	{
		(void) unlink(temporary);
		PG_RE_THROW();
	}
	PG_END_TRY();
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
		make_folders_of(path, file[i].path);
		export_file(version, &file[i], psprintf("%s/%s", path, file[i].path));
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
