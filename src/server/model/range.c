/*
 * range.c: sparse_read, any range of a file's bytes, as an HTTP range request wants
 * it: a range that reaches past the end of the file is cut off there. Only the
 * chunks that hold the range are read.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "answer.h"
#include "layout.h"

PG_FUNCTION_INFO_V1(model_read);

typedef struct ByteRange
{
	uint64		first;
	uint64		bytes;
} ByteRange;

static ByteRange
clipped_range(const VersionFile *file, int64 first, int64 bytes)
{
	ByteRange	range;

	if (first < 0 || bytes < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("byte_offset and length must not be negative"));
	range.first = Min((uint64) first, file->bytes);
	range.bytes = Min((uint64) bytes, file->bytes - range.first);
	return range;
}

/* The bytes of `part` that lie in the range, to their place in `target`, which holds the range. */
static void
read_part(ObjectReader *reader, const char *label, const VersionFile *file,
		  const FilePart *part, ByteRange range, char *target)
{
	uint64		from = Max(part->first, range.first);
	uint64		to = Min(part->first + part->bytes, range.first + range.bytes);
	ObjectInfo	info;

	if (from >= to)
		return;
	part_object(reader, label, file, part, &info);
	object_read(reader, part->object, part->within + (from - part->first), to - from,
				target + (from - range.first));
}

static void
read_range(const StoreVersion *version, const VersionFile *file, ByteRange range, char *target)
{
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, true);
	PartReader *parts = parts_open(CurrentMemoryContext, version->id, file, range.first);
	const char *label = version_label(CurrentMemoryContext, version);
	FilePart	part;

	while (parts_next(parts, &part) && part.first < range.first + range.bytes)
	{
		CHECK_FOR_INTERRUPTS();
		object_reader_context(reader, label, file->path, part.tensor);
		read_part(reader, label, file, &part, range, target);
	}
	object_reader_free(reader);
}

static bytea *
take_range(const StoreVersion *version, const char *path, int64 first, int64 bytes,
		   MemoryContext result)
{
	VersionFile *file = version_file(CurrentMemoryContext, version, path);
	ByteRange	range = clipped_range(file, first, bytes);
	bytea	   *value = answer_bytes(result, range.bytes, "the range",
									 "Ask for shorter ranges, or use sparse_reconstruct_file().");

	if (range.bytes > 0)
		read_range(version, file, range, VARDATA(value));
	return value;
}

Datum
model_read(PG_FUNCTION_ARGS)
{
	MemoryContext result = CurrentMemoryContext;
	StoreVersion version;
	StoreAccess access;
	bytea	   *value;

	version_from_argument(fcinfo, 0, false, &version);
	store_enter(&access);
	answer_connect();
	value = take_range(&version, text_to_cstring(PG_GETARG_TEXT_PP(1)),
					   PG_GETARG_INT64(2), PG_GETARG_INT64(3), result);
	answer_finish();
	store_leave(&access);
	PG_RETURN_BYTEA_P(value);
}
