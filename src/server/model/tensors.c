/*
 * tensors.c: what a version is made of, and single tensors of it: sparse_files,
 * sparse_tensors, sparse_tensor, sparse_slice.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "codec/dtype.h"
#include "answer.h"
#include "layout.h"

PG_FUNCTION_INFO_V1(model_files);
PG_FUNCTION_INFO_V1(model_tensors);
PG_FUNCTION_INFO_V1(model_tensor);
PG_FUNCTION_INFO_V1(model_slice);

#define TENSORS_A_BATCH 1000

/* ---- listings ---- */

static StoreQuery files_query = {
	.sql = "select f.ordinal, f.path, f.format, f.bytes, f.sha256,"
	"       (select count(*)::integer from sparse.tensor t"
	"         where t.version = f.version and t.file = f.ordinal)"
	"  from sparse.file f"
	" where f.version = $1"
	" order by f.ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 6, .column = {INT4OID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT4OID}};

Datum
model_files(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	SPITupleTable *rows;
	Answer		answer;
	Datum		argument;
	uint64		count;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, LIST_COLUMNS);
	argument = Int64GetDatum(version.id);
	store_enter(&access);
	answer_connect();
	count = query_run(&files_query, &argument, NULL, true, &rows);
	for (uint64 i = 0; i < count; i++)
		answer_add_row(&answer, rows, i, 0);
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}

/* The number of chunks is what the grid of the object says: codec/grid.h. */
static StoreQuery tensors_query = {
	.sql = "select t.file, t.ordinal,"
	"       f.path, t.name, t.dtype, t.shape, t.first_byte, t.bytes,"
	"       o.sha256, o.predictor, o.depth,"
	"       ((o.split_bytes + o.chunk_bytes - 1) / o.chunk_bytes"
	"        + (o.bytes - o.split_bytes + o.chunk_bytes - 1) / o.chunk_bytes)::integer,"
	"       o.stored_bytes"
	"  from sparse.tensor t"
	"  join sparse.file f on f.version = t.version and f.ordinal = t.file"
	"  left join sparse.object o on o.id = t.object"
	" where t.version = $1 and (t.file, t.ordinal) > ($2, $3)"
	" order by t.file, t.ordinal"
	" limit $4",
	.args = 4, .arg = {INT8OID, INT4OID, INT4OID, INT8OID},
	.columns = 13, .column = {INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID, INT8OID,
	INT8OID, BYTEAOID, TEXTOID, INT4OID, INT4OID, INT8OID}};

/* Adds the tensors behind (file, ordinal), which move on to the last one added; their number. */
static uint64
add_tensors(Answer *answer, int64 version, int32 *file, int32 *ordinal)
{
	Datum		argument[4] = {Int64GetDatum(version), Int32GetDatum(*file),
	Int32GetDatum(*ordinal), Int64GetDatum(TENSORS_A_BATCH)};
	SPITupleTable *rows;
	uint64		count = query_run(&tensors_query, argument, NULL, true, &rows);

	for (uint64 i = 0; i < count; i++)
	{
		answer_add_row(answer, rows, i, 2);
		*file = row_int32(rows, i, 1);
		*ordinal = row_int32(rows, i, 2);
	}
	SPI_freetuptable(rows);
	return count;
}

Datum
model_tensors(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	Answer		answer;
	int32		file = -1;
	int32		ordinal = -1;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, LIST_COLUMNS);
	store_enter(&access);
	answer_connect();
	while (add_tensors(&answer, version.id, &file, &ordinal) == TENSORS_A_BATCH)
		CHECK_FOR_INTERRUPTS();
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}

/* ---- one tensor ---- */

typedef struct TensorRow
{
	VersionFile file;			/* its path */
	FilePart	part;			/* but for its place in the file */
	const char *dtype;
	bool		is_sized;		/* its bytes are what its shape says */
	int32		rank;
	uint64		rows;			/* the first dimension; 0 for a scalar */
} TensorRow;

static StoreQuery tensor_query = {
	.sql = "select f.path, cardinality(t.shape), coalesce(t.shape[1], 0), t.bytes, t.object, t.dtype, f.format"
	"  from sparse.tensor t"
	"  join sparse.file f on f.version = t.version and f.ordinal = t.file"
	" where t.version = $1 and t.name = $2"
	" order by t.file"
	" limit 2",
	.args = 2, .arg = {INT8OID, TEXTOID},
	.columns = 7, .column = {TEXTOID, INT4OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID}};

static void
check_found_once(const StoreVersion *version, const char *name, uint64 found)
{
	if (found == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("version \"%s@%d\" has no tensor \"%s\"",
					   version->name, version->revision, name),
				errhint("sparse_tensors() lists the tensors of a version."));
	if (found > 1)
		ereport(ERROR,
				errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				errmsg("several files of version \"%s@%d\" have a tensor \"%s\"",
					   version->name, version->revision, name),
				errhint("Take its place in one of the files from sparse_tensors(), and read it with sparse_read()."));
}

static void
find_tensor(const StoreVersion *version, const char *name, TensorRow *tensor)
{
	Datum		argument[2] = {Int64GetDatum(version->id), CStringGetTextDatum(name)};
	SPITupleTable *rows;
	uint64		found = query_run(&tensor_query, argument, NULL, true, &rows);

	check_found_once(version, name, found);
	memset(tensor, 0, sizeof(*tensor));
	tensor->file.path = row_text(CurrentMemoryContext, rows, 0, 1);
	tensor->part.tensor = name;
	tensor->rank = row_int32(rows, 0, 2);
	tensor->rows = (uint64) row_int64(rows, 0, 3);
	tensor->part.bytes = (uint64) row_int64(rows, 0, 4);
	tensor->part.object = row_int64(rows, 0, 5);
	tensor->dtype = row_text(CurrentMemoryContext, rows, 0, 6);
	/* a parser of safetensors takes unknown dtypes, and any bytes of such */
	tensor->is_sized = sparse_file_kind_named(row_text(CurrentMemoryContext, rows, 0, 7)) != SPARSE_FILE_SAFETENSORS ||
		sparse_dtype_bits(tensor->dtype, strlen(tensor->dtype)) != 0;
	SPI_freetuptable(rows);
}

static void
read_tensor(const StoreVersion *version, const TensorRow *tensor,
			uint64 first, uint64 bytes, char *target)
{
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, true);
	const char *label = version_label(CurrentMemoryContext, version);
	ObjectInfo	info;

	object_reader_context(reader, label, tensor->file.path, tensor->part.tensor);
	part_object(reader, label, &tensor->file, &tensor->part, &info);
	object_read(reader, tensor->part.object, first, bytes, target);
	object_reader_free(reader);
}

/* The bytes of a row of the tensor, after checking that it has these rows. */
static uint64
check_rows(const TensorRow *tensor, int64 first_row, int64 rows)
{
	if (!tensor->is_sized)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("rows of tensor \"%s\" are not known", tensor->part.tensor),
				errdetail("The safetensors format has no dtype \"%s\".", tensor->dtype),
				errhint("sparse_tensor() gives all of it."));
	if (tensor->rank == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("tensor \"%s\" is a scalar and has no rows", tensor->part.tensor));
	if (first_row < 0 || rows < 0
		|| (uint64) first_row > tensor->rows || (uint64) rows > tensor->rows - (uint64) first_row)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("rows out of range for tensor \"%s\"", tensor->part.tensor),
				errdetail(INT64_FORMAT " rows were wanted from row " INT64_FORMAT " on; it has " UINT64_FORMAT " rows.",
						  rows, first_row, tensor->rows));
	if (tensor->rows == 0)
		return 0;
	if (tensor->part.bytes % tensor->rows != 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("rows of tensor \"%s\" are no whole number of bytes", tensor->part.tensor));
	return tensor->part.bytes / tensor->rows;
}

static bytea *
take_tensor(const StoreVersion *version, const TensorRow *tensor, MemoryContext result)
{
	bytea	   *value = answer_bytes(result, tensor->part.bytes, psprintf("tensor \"%s\"", tensor->part.tensor),
									 "Read it in parts with sparse_slice().");

	read_tensor(version, tensor, 0, tensor->part.bytes, VARDATA(value));
	return value;
}

static bytea *
take_slice(const StoreVersion *version, const TensorRow *tensor,
		   int64 first_row, int64 rows, MemoryContext result)
{
	uint64		row_bytes = check_rows(tensor, first_row, rows);
	uint64		bytes = (uint64) rows * row_bytes;
	bytea	   *value = answer_bytes(result, bytes, psprintf("slice of tensor \"%s\"", tensor->part.tensor),
									 "Ask for fewer rows at a time.");

	read_tensor(version, tensor, (uint64) first_row * row_bytes, bytes, VARDATA(value));
	return value;
}

/* What sparse_tensor and sparse_slice give: all of a tensor, or the rows of their last two arguments. */
static bytea *
tensor_bytes(FunctionCallInfo fcinfo, bool slice)
{
	MemoryContext result = CurrentMemoryContext;
	StoreVersion version;
	StoreAccess access;
	TensorRow	tensor;
	bytea	   *value;

	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, TAKE_ROWS);
	store_enter(&access);
	answer_connect();
	find_tensor(&version, text_to_cstring(PG_GETARG_TEXT_PP(1)), &tensor);
	value = slice
		? take_slice(&version, &tensor, PG_GETARG_INT64(2), PG_GETARG_INT64(3), result)
		: take_tensor(&version, &tensor, result);
	answer_finish();
	store_leave(&access);
	return value;
}

Datum
model_tensor(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(tensor_bytes(fcinfo, false));
}

Datum
model_slice(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(tensor_bytes(fcinfo, true));
}
