/*
 * source.c: where the bytes of a file to be imported come from (see source.h).
 *
 * A file is opened by its path whenever another one was read in between. That it
 * still has the same bytes is not known here: the import compares checksums.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "source.h"

struct Source
{
	const char *name;
	uint64		bytes;
	const char *data;			/* NULL: a file */
	OpenFile   *open_file;
};

char *
server_path(const char *path)
{
	char	   *canonical = pstrdup(path);

	canonicalize_path(canonical);
	if (!is_absolute_path(canonical))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("path must be absolute: \"%s\"", path),
				errhint("Files of the server are named from its root directory on."));
	return canonical;
}

Source *
source_of_bytes(const char *data, uint64 bytes)
{
	Source	   *source = palloc0(sizeof(Source));

	source->name = "data";
	source->bytes = bytes;
	source->data = data;
	return source;
}

Source *
source_of_file(OpenFile *open_file, const char *path)
{
	Source	   *source = palloc0(sizeof(Source));
	struct stat status;

	if (stat(path, &status) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", path));
	if (!S_ISREG(status.st_mode))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a regular file", path));
	source->name = pstrdup(path);
	source->bytes = (uint64) status.st_size;
	source->open_file = open_file;
	return source;
}

uint64
source_bytes(const Source *source)
{
	return source->bytes;
}

const char *
source_name(const Source *source)
{
	return source->name;
}

void
source_has_changed(const Source *source)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_IN_USE),
			errmsg("file \"%s\" changed while it was imported", source->name),
			errhint("Import it again when nothing writes to it."));
}

void
open_file_close(OpenFile *open_file)
{
	if (open_file->source != NULL)
		CloseTransientFile(open_file->fd);
	open_file->source = NULL;
}

static void
make_open(const Source *source)
{
	OpenFile   *open_file = source->open_file;

	if (open_file->source == source)
		return;
	open_file_close(open_file);
	open_file->fd = OpenTransientFile(source->name, O_RDONLY | PG_BINARY);
	if (open_file->fd < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open file \"%s\": %m", source->name));
	open_file->source = source;
}

static void
read_from_file(const Source *source, uint64 first, uint64 bytes, char *target)
{
	make_open(source);
	while (bytes > 0)
	{
		ssize_t		got = pg_pread(source->open_file->fd, target,
								   Min(bytes, PIECE_BYTES), (off_t) first);

		if (got < 0 && errno == EINTR)
			got = 0;
		else if (got < 0)
			ereport(ERROR,
					errcode_for_file_access(),
					errmsg("could not read file \"%s\": %m", source->name));
		else if (got == 0)
			source_has_changed(source);
		first += (uint64) got;
		bytes -= (uint64) got;
		target += got;
		CHECK_FOR_INTERRUPTS();
	}
}

void
source_read(Source *source, uint64 first, uint64 bytes, char *target)
{
	if (first > source->bytes || bytes > source->bytes - first)
		elog(ERROR, "read of %llu bytes at %llu past the end of \"%s\"",
			 (unsigned long long) bytes, (unsigned long long) first, source->name);
	if (source->data != NULL)
		memcpy(target, source->data + first, bytes);
	else
		read_from_file(source, first, bytes, target);
}
