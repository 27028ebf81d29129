/*
 * whole.c: whether the files of an upload are whole, before it is made ready:
 * plan/check.h, over the rows of an open version.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "model/answer.h"
#include "model/plan.h"
#include "plan/check.h"
#include "sdelta/glue.h"
#include "whole.h"

typedef struct Whole
{
	const Upload *upload;
	const VersionFile *file;	/* in order of path */
	int			files;
	ObjectReader *reader;
} Whole;

static const char *
path_of(void *state, uint32_t file)
{
	return ((const Whole *) state)->file[file].path;
}

static uint64_t
bytes_of(void *state, uint32_t file)
{
	CHECK_FOR_INTERRUPTS();
	return ((const Whole *) state)->file[file].bytes;
}

/* Parts make the file without gaps: layout.c has seen to it. */
static void
read_file(void *state, uint32_t number, void *content, uint64_t bytes)
{
	const Whole *whole = state;
	const VersionFile *file = &whole->file[number];
	PartReader *parts = parts_open(CurrentMemoryContext, whole->upload->version.id, file, 0);
	FilePart	part;

	while (parts_next(parts, &part))
	{
		ObjectInfo	info;

		CHECK_FOR_INTERRUPTS();
		object_reader_context(whole->reader, whole->upload->label, file->path, part.tensor);
		part_object(whole->reader, whole->upload->label, file, &part, &info);
		if (part.first > bytes || part.bytes > bytes - part.first)
			elog(ERROR, "parts of file \"%s\" reach past its end", file->path);
		object_read(whole->reader, part.object, part.within, part.bytes, (char *) content + part.first);
	}
}

static int
compare_paths(const void *path, const void *file)
{
	return strcmp(path, ((const VersionFile *) file)->path);
}

static StoreQuery tensor_query = {
	.sql = "select t.ordinal from sparse.tensor t where t.version = $1 and t.file = $2 and t.name = $3",
	.args = 3, .arg = {INT8OID, INT4OID, TEXTOID},
	.columns = 1, .column = {INT4OID}};

static sparse_finding
find_tensor(void *state, const char *path, const char *tensor)
{
	const Whole *whole = state;
	const VersionFile *file = bsearch(path, whole->file, (size_t) whole->files, sizeof(VersionFile), compare_paths);
	SPITupleTable *rows;
	Datum		argument[3];
	bool		found;

	CHECK_FOR_INTERRUPTS();
	if (file == NULL)
		return SPARSE_FOUND_NO_FILE;
	if (!sparse_file_names_all(file->kind))
		return SPARSE_FOUND_BYTES;
	argument[0] = Int64GetDatum(whole->upload->version.id);
	argument[1] = Int32GetDatum(file->ordinal);
	argument[2] = CStringGetTextDatum(plan_native_name(NULL, tensor));
	found = query_run(&tensor_query, argument, NULL, true, &rows) > 0;
	SPI_freetuptable(rows);
	pfree(DatumGetPointer(argument[2]));
	return found ? SPARSE_FOUND_TENSOR : SPARSE_FOUND_NO_TENSOR;
}

void
upload_check_whole(const Upload *upload, const VersionFile *file, int files, ObjectReader *reader)
{
	Whole		whole = {upload, file, files, reader};
	const sparse_made_version version = {
		.state = &whole,
		.files = (uint32_t) files,
		.path = path_of,
		.bytes = bytes_of,
		.read = read_file,
		.find = find_tensor,
		.native = plan_native_name,
		.tell = plan_tell_index
	};
	sparse_allocator allocator;
	sparse_complaint complaint;

	answer_connect();
	sparse_allocator_init(&allocator, CurrentMemoryContext);
	plan_check_status(sparse_check_pointers(&version, &complaint), &complaint);
	plan_check_status(sparse_check_indexes(&version, &allocator, &complaint), &complaint);
	answer_finish();
}
