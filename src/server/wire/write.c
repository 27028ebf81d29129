/*
 * write.c: sparse_write and sparse_write_delta: a chunk of an open version, as its content
 * or as a delta.
 *
 * Each call stands for itself: it finds the version, shares its lock until the end of the
 * transaction, finds the chunk's object, and stores the chunk there (store/stage.c).
 */
#include "postgres.h"
#include "compat.h"

#include "access/detoast.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "model/answer.h"
#include "model/import.h"
#include "quota.h"
#include "upload.h"

PG_FUNCTION_INFO_V1(wire_write);
PG_FUNCTION_INFO_V1(wire_write_delta);

/* Arguments of both functions. */
enum
{
	ARG_VERSION, ARG_TENSOR, ARG_SEQ, ARG_BYTES, ARG_PATH
};

/* ---- which object is meant ---- */

/* By its name first, and nothing else: a plan made for small tables would look through all of a file. */
static StoreQuery tensor_query = {
	.sql = "select t.object, f.path"
	"  from (select * from sparse.tensor n where n.version = $1 and n.name = $2 offset 0) t"
	"  join sparse.file f on f.version = $1 and f.ordinal = t.file"
	" where $3 is null or f.path = $3"
	" limit 2",
	.args = 3, .arg = {INT8OID, TEXTOID, TEXTOID},
	.columns = 2, .column = {INT8OID, TEXTOID}};

static StoreQuery file_query = {
	.sql = "select f.object, f.path"
	"  from sparse.file f"
	" where f.version = $1 and f.format = 'bytes' and ($2 is null or f.path = $2)"
	" limit 2",
	.args = 2, .arg = {INT8OID, TEXTOID},
	.columns = 2, .column = {INT8OID, TEXTOID}};

typedef struct Target
{
	Upload		upload;
	const char *tensor;			/* NULL: a file without tensors */
	const char *path;			/* NULL: the only one that fits */
	int32		seq;
	int64		object;
} Target;

static const char *
wanted_text(const Target *target)
{
	if (target->tensor != NULL && target->path != NULL)
		return psprintf("file \"%s\" with a tensor \"%s\"", target->path, target->tensor);
	if (target->tensor != NULL)
		return psprintf("tensor \"%s\"", target->tensor);
	if (target->path != NULL)
		return psprintf("file \"%s\" without tensors", target->path);
	return "file without tensors";
}

static void
check_found_once(const Target *target, uint64 found)
{
	if (found == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("version \"%s\" has no %s", target->upload.label, wanted_text(target)),
				errhint("sparse_layout() lists what it has."));
	if (found > 1)
		ereport(ERROR,
				errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				errmsg("version \"%s\" has more than one %s", target->upload.label, wanted_text(target)),
				errhint("Say which by \"path\"."));
}

static void
find_object(Target *target)
{
	bool		tensor = target->tensor != NULL;
	Datum		argument[3] = {Int64GetDatum(target->upload.version.id)};
	char		null[4] = "   ";
	SPITupleTable *rows;
	int			path = tensor ? 2 : 1;

	if (tensor)
		argument[1] = CStringGetTextDatum(target->tensor);
	if (target->path != NULL)
		argument[path] = CStringGetTextDatum(target->path);
	else
		null[path] = 'n';
	check_found_once(target, query_run(tensor ? &tensor_query : &file_query, argument, null, true, &rows));
	target->object = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
}

/* ---- writing it ---- */

/* What an error names. */
static void
name_chunk(void *arg)
{
	const Target *target = arg;

	errcontext("chunk %d of %s, version " INT64_FORMAT, target->seq, wanted_text(target),
			   target->upload.version.id);
}

/* `content` or `delta`. Of what is here already, nothing is kept. */
static void
store_chunk(Target *target, bytea *content, struct varlena *delta)
{
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, true);
	StagedObject staged;

	find_object(target);
	if (staged_find(reader, target->object, &staged))
	{
		quota_check_chunk(target->upload.version.id,
						  content != NULL ? VARSIZE_ANY_EXHDR(content) : toast_raw_datum_size(PointerGetDatum(delta)));
		if (content != NULL)
			staged_write(reader, &staged, target->seq, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
		else
			staged_write_delta(reader, &staged, target->seq, delta);
	}
	object_reader_free(reader);
}

static void
write_chunk(Target *target, bytea *content, struct varlena *delta)
{
	ErrorContextCallback context = {error_context_stack, name_chunk, target};
	StoreAccess access;

	error_context_stack = &context;
	if (upload_lock(&target->upload, UPLOAD_SHARED))
	{
		upload_push_snapshot();
		store_enter(&access);
		answer_connect();
		store_chunk(target, content, delta);
		answer_finish();
		store_leave(&access);
		PopActiveSnapshot();
	}
	error_context_stack = context.previous;
}

/* False: the version is ready, and there is nothing to do. */
static bool
find_target(FunctionCallInfo fcinfo, Target *target)
{
	memset(target, 0, sizeof(*target));
	import_check_given(fcinfo, ARG_SEQ, "seq");
	if (!PG_ARGISNULL(ARG_TENSOR))
		target->tensor = text_to_cstring(PG_GETARG_TEXT_PP(ARG_TENSOR));
	if (!PG_ARGISNULL(ARG_PATH))
		target->path = text_to_cstring(PG_GETARG_TEXT_PP(ARG_PATH));
	target->seq = PG_GETARG_INT32(ARG_SEQ);
	upload_of_argument(fcinfo, ARG_VERSION, "write to", false, &target->upload);
	return target->upload.under_way;
}

/* sparse_write(version, tensor, seq, content, path) */
Datum
wire_write(PG_FUNCTION_ARGS)
{
	Target		target;

	import_check_given(fcinfo, ARG_BYTES, "content");
	if (find_target(fcinfo, &target))
		write_chunk(&target, PG_GETARG_BYTEA_PP(ARG_BYTES), NULL);
	PG_RETURN_VOID();
}

/* sparse_write_delta(version, tensor, seq, delta, path) */
Datum
wire_write_delta(PG_FUNCTION_ARGS)
{
	Target		target;

	import_check_given(fcinfo, ARG_BYTES, "delta");
	if (find_target(fcinfo, &target))
		write_chunk(&target, NULL, PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_BYTES)));
	PG_RETURN_VOID();
}
