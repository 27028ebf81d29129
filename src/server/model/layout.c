/*
 * layout.c: of what a stored version's files are made (see layout.h).
 */
#include "layout.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"

#define PARTS_A_BATCH 512

/* ---- files ---- */

#define FILE_COLUMNS \
	"select f.ordinal, f.path, f.format, f.bytes, f.sha256," \
	"       f.object, f.object_bytes, f.checksum" \
	"  from sparse.file f"
#define FILE_RESULT .columns = 8, \
	.column = {INT4OID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT8OID, INT8OID, BYTEAOID}

static StoreQuery files_query = {
	.sql = FILE_COLUMNS
	" where f.version = $1"
	" order by f.ordinal",
	.args = 1, .arg = {INT8OID},
	FILE_RESULT};

/* Two are enough to know that it is not the only one. */
static StoreQuery two_files_query = {
	.sql = FILE_COLUMNS
	" where f.version = $1"
	" limit 2",
	.args = 1, .arg = {INT8OID},
	FILE_RESULT};

static StoreQuery file_query = {
	.sql = FILE_COLUMNS
	" where f.version = $1 and f.path = $2",
	.args = 2, .arg = {INT8OID, TEXTOID},
	FILE_RESULT};

static void
fill_file(MemoryContext context, const SPITupleTable *rows, uint64 row, VersionFile *file)
{
	file->ordinal = row_int32(rows, row, 1);
	file->path = row_text(context, rows, row, 2);
	file->kind = sparse_file_kind_named(row_text(CurrentMemoryContext, rows, row, 3));
	file->bytes = (uint64) row_int64(rows, row, 4);
	row_sha256(rows, row, 5, file->sha256);
	file->object = row_int64(rows, row, 6);
	file->object_bytes = (uint64) row_int64(rows, row, 7);
	file->summed = !row_is_null(rows, row, 8);
	if (file->summed)
		row_checksum(rows, row, 8, file->checksum);
}

void
version_check_model(const StoreVersion *version, const char *hint)
{
	if (version->kind == 'd')
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("version \"%s@%d\" is a dataset", version->name, version->revision),
				errhint("%s", hint));
}

int
version_files(MemoryContext context, int64 version, VersionFile **file)
{
	Datum		argument = Int64GetDatum(version);
	SPITupleTable *rows;
	uint64		count = query_run(&files_query, &argument, NULL, true, &rows);

	*file = MemoryContextAllocZero(context, Max(count, 1) * sizeof(VersionFile));
	for (uint64 i = 0; i < count; i++)
		fill_file(context, rows, i, &(*file)[i]);
	SPI_freetuptable(rows);
	return (int) count;
}

VersionFile *
version_only_file(MemoryContext context, const StoreVersion *version)
{
	VersionFile *file = MemoryContextAllocZero(context, sizeof(VersionFile));
	Datum		argument = Int64GetDatum(version->id);
	SPITupleTable *rows;
	uint64		count;

	version_check_model(version, TAKE_ROWS);
	count = query_run(&two_files_query, &argument, NULL, true, &rows);
	if (count != 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("version \"%s@%d\" has %s files", version->name, version->revision,
					   count == 0 ? "no" : "several"),
				errhint("Ask sparse_files() for their paths and sparse_reconstruct_file() for each, or sparse_export() for all."));
	fill_file(context, rows, 0, file);
	SPI_freetuptable(rows);
	return file;
}

VersionFile *
version_file(MemoryContext context, const StoreVersion *version, const char *path)
{
	VersionFile *file = MemoryContextAllocZero(context, sizeof(VersionFile));
	SPITupleTable *rows;
	Datum		argument[2];

	version_check_model(version, TAKE_ROWS);
	argument[0] = Int64GetDatum(version->id);
	argument[1] = CStringGetTextDatum(path);
	if (query_run(&file_query, argument, NULL, true, &rows) == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FILE),
				errmsg("version \"%s@%d\" has no file \"%s\"",
					   version->name, version->revision, path),
				errhint("sparse_files() lists the files of a version."));
	fill_file(context, rows, 0, file);
	SPI_freetuptable(rows);
	return file;
}

const char *
version_label(MemoryContext context, const StoreVersion *version)
{
	char	   *label = psprintf("%s@%d", version->name, version->revision);

	return MemoryContextStrdup(context, label);
}

/* ---- parts ---- */

static StoreQuery parts_query = {
	.sql = "select t.ordinal, t.name, t.object, t.first_byte, t.bytes"
	"  from sparse.tensor t"
	" where t.version = $1 and t.file = $2 and t.ordinal >= $3 and t.first_byte + t.bytes >= $4"
	" order by t.ordinal"
	" limit $5",
	.args = 5, .arg = {INT8OID, INT4OID, INT4OID, INT8OID, INT8OID},
	.columns = 5, .column = {INT4OID, TEXTOID, INT8OID, INT8OID, INT8OID}};

struct PartReader
{
	int64		version;
	const VersionFile *file;
	uint64		from;			/* parts that end before are not read, */
	uint64		skip;			/* or not returned */
	bool		own_object_done;
	bool		started;		/* a part was returned */
	uint64		expected;		/* then: where the next one must begin */
	uint64		literal;		/* bytes of it that were returned, where it lies in pieces */
	int32		next_ordinal;
	MemoryContext context;		/* of the batch */
	int			count;			/* of parts in the batch */
	int			next;
	FilePart	batch[PARTS_A_BATCH];
};

static bool
may_lie_in_pieces(const VersionFile *file)
{
	return file->kind != SPARSE_FILE_BYTES && file->kind != SPARSE_FILE_SAFETENSORS;
}

bool
part_is_piece(const VersionFile *file, const FilePart *part)
{
	return part->tensor == NULL && part->bytes != file->object_bytes;
}

PartReader *
parts_open(MemoryContext context, int64 version, const VersionFile *file, uint64 from)
{
	PartReader *parts = MemoryContextAllocZero(context, sizeof(PartReader));

	parts->version = version;
	parts->file = file;
	parts->own_object_done = from > file->object_bytes;
	/* how much of a literal lies before a byte is known by its tensors alone: their reader begins with the first */
	parts->skip = may_lie_in_pieces(file) ? from : 0;
	parts->from = may_lie_in_pieces(file) ? 0 : from;
	parts->context = AllocSetContextCreate(context, "sparse parts", ALLOCSET_SMALL_SIZES);
	return parts;
}

static void
bad_layout(const PartReader *parts)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("the tensors of file \"%s\" do not make up the file", parts->file->path));
}

static void
fill_part(PartReader *parts, const SPITupleTable *rows, uint64 row)
{
	FilePart   *part = &parts->batch[row];

	parts->next_ordinal = row_int32(rows, row, 1) + 1;
	part->tensor = row_text(parts->context, rows, row, 2);
	part->object = row_int64(rows, row, 3);
	part->within = 0;
	part->first = (uint64) row_int64(rows, row, 4);
	part->bytes = (uint64) row_int64(rows, row, 5);
}

static void
next_batch(PartReader *parts)
{
	SPITupleTable *rows;
	Datum		argument[5];

	argument[0] = Int64GetDatum(parts->version);
	argument[1] = Int32GetDatum(parts->file->ordinal);
	argument[2] = Int32GetDatum(parts->next_ordinal);
	argument[3] = Int64GetDatum((int64) parts->from);
	argument[4] = Int64GetDatum(PARTS_A_BATCH);
	MemoryContextReset(parts->context);
	parts->next = 0;
	parts->count = (int) query_run(&parts_query, argument, NULL, true, &rows);
	for (int i = 0; i < parts->count; i++)
		fill_part(parts, rows, i);
	SPI_freetuptable(rows);
}

/*
 * Parts follow each other without gaps; the first one of a reader that begins in
 * the middle holds that byte.
 */
static void
check_position(PartReader *parts, const FilePart *part)
{
	bool		fits = parts->started ? part->first == parts->expected : part->first <= parts->from;

	if (!fits || part->first > parts->file->bytes
		|| part->bytes > parts->file->bytes - part->first)
		bad_layout(parts);
	parts->started = true;
	parts->expected = part->first + part->bytes;
}

static void
check_end(const PartReader *parts)
{
	if (parts->from < parts->file->bytes
		&& (!parts->started || parts->expected != parts->file->bytes))
		bad_layout(parts);
}

/* Makes sure that there is a tensor in the batch; false after the last. */
static bool
have_tensor(PartReader *parts)
{
	if (parts->next == parts->count && (parts->count > 0 || !parts->started))
		next_batch(parts);
	return parts->next < parts->count;
}

/* What lies between the tensors up to byte `end` of the file is the next piece of the literal. */
static void
take_piece(PartReader *parts, uint64 end, FilePart *part)
{
	*part = (FilePart) {
		.object = parts->file->object, .within = parts->literal, .first = parts->expected, .bytes = end - parts->expected
	};
	parts->literal += part->bytes;
	if (parts->literal > parts->file->object_bytes)
		bad_layout(parts);
}

/* The next part of a file whose literal may lie in pieces. */
static bool
next_with_pieces(PartReader *parts, FilePart *part)
{
	bool		tensor = have_tensor(parts);
	uint64		end = tensor ? parts->batch[parts->next].first : parts->file->bytes;

	if (end > parts->expected)
		take_piece(parts, end, part);
	else if (tensor)
		*part = parts->batch[parts->next++];
	else
	{
		if (parts->literal != parts->file->object_bytes)
			bad_layout(parts);
		return false;
	}
	parts->started = true;
	if (part->first != parts->expected || part->first > parts->file->bytes || part->bytes > parts->file->bytes - part->first)
		bad_layout(parts);
	parts->expected = part->first + part->bytes;
	return true;
}

bool
parts_next(PartReader *parts, FilePart *part)
{
	if (may_lie_in_pieces(parts->file))
	{
		bool		found;

		do
			found = next_with_pieces(parts, part);
		while (found && part->first + part->bytes < parts->skip);
		return found;
	}
	if (!parts->own_object_done)
	{
		parts->own_object_done = true;
		part->tensor = NULL;
		part->object = parts->file->object;
		part->within = 0;
		part->first = 0;
		part->bytes = parts->file->object_bytes;
	}
	else
	{
		if (parts->next == parts->count)
			next_batch(parts);
		if (parts->count == 0)
		{
			check_end(parts);
			return false;
		}
		*part = parts->batch[parts->next++];
	}
	check_position(parts, part);
	return true;
}

/* What an error about a part names, in the words of an ObjectReader. */
typedef struct PartPlace
{
	const char *label;
	const char *file;
	const char *tensor;
} PartPlace;

static void
name_part(void *arg)
{
	const PartPlace *place = arg;

	if (place->tensor == NULL)
		errcontext("reading version %s, file \"%s\"", place->label, place->file);
	else
		errcontext("reading version %s, file \"%s\", tensor \"%s\"",
				   place->label, place->file, place->tensor);
}

void
part_object(ObjectReader *reader, const char *label, const VersionFile *file,
			const FilePart *part, ObjectInfo *info)
{
	PartPlace	place = {label, file->path, part->tensor};
	uint64		bytes = part->tensor == NULL ? file->object_bytes : part->bytes;
	ErrorContextCallback context = {error_context_stack, name_part, &place};

	error_context_stack = &context;
	if (!object_info(reader, part->object, info))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is missing", part->object));
	if (info->bytes != bytes)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is corrupt", part->object),
				errdetail("It has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT ".",
						  info->bytes, bytes));
	error_context_stack = context.previous;
}
