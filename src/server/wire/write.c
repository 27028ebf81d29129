/*
 * write.c: sparse_write and sparse_write_delta: a chunk of an open version, as its content
 * or as a delta; sparse_write_deltas: deltas of a tensor, and what they refer to (declared.c).
 *
 * Each call stands for itself: it finds the version, shares its lock until the end of the
 * transaction, finds the chunk's object, and stores the chunk there (store/stage.c).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "declared.h"
#include "model/answer.h"
#include "model/import.h"
#include "quota.h"
#include "upload.h"

PG_FUNCTION_INFO_V1(wire_write);
PG_FUNCTION_INFO_V1(wire_write_delta);
PG_FUNCTION_INFO_V1(wire_write_deltas);

/* Arguments of the functions; the last three of wire_write_deltas alone. */
enum
{
	ARG_VERSION, ARG_TENSOR, ARG_SEQ, ARG_BYTES, ARG_PATH, ARG_HAVE, ARG_PARENTS, ARG_FACTORS
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

/* What is to be written: of the first chunk alone its content, or deltas. */
typedef struct Written
{
	bytea	   *content;
	WireDeltas *deltas;			/* NULL: the content */
	bool		done;			/* nothing is in the way of it */
} Written;

/* What an error names. */
static void
name_chunk(void *arg)
{
	const Target *target = arg;

	errcontext("chunk %d of %s, version " INT64_FORMAT, target->seq, wanted_text(target),
			   target->upload.version.id);
}

/* By what the layout names. */
static void
store_laid_out(Target *target, ObjectReader *reader, const StagedObject *staged, const WireDeltas *deltas)
{
	for (int i = 0; i < deltas->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		target->seq = deltas->seq[i];
		staged_write_delta(reader, staged, deltas->seq[i], deltas->delta[i]);
	}
}

static uint64
bytes_of(const Written *written)
{
	return written->deltas == NULL ? VARSIZE_ANY_EXHDR(written->content) : wire_deltas_bytes(written->deltas);
}

/* Of what is here already, nothing is kept. */
static void
store_written(Target *target, Written *written)
{
	bool		declares = written->deltas != NULL && written->deltas->declares;
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, !declares);
	StagedObject staged;

	find_object(target);
	if (staged_find(reader, target->object, &staged))
	{
		quota_check_chunk(target->upload.version.id, bytes_of(written));
		if (declares)
			written->done = wire_declare(written->deltas, target->upload.version.id, reader, &staged);
		if (declares && written->done)
			staged_write_declared(reader, &staged, written->deltas->count, written->deltas->seq, written->deltas->delta);
		else if (!declares && written->deltas != NULL)
			store_laid_out(target, reader, &staged, written->deltas);
		else if (!declares)
			staged_write(reader, &staged, target->seq, VARDATA_ANY(written->content), VARSIZE_ANY_EXHDR(written->content));
	}
	object_reader_free(reader);
}

static void
write_chunks(Target *target, Written *written)
{
	ErrorContextCallback context = {error_context_stack, name_chunk, target};
	StoreAccess access;

	written->done = true;
	error_context_stack = &context;
	if (upload_lock(&target->upload, UPLOAD_SHARED))
	{
		upload_push_snapshot();
		store_enter(&access);
		answer_connect();
		store_written(target, written);
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
	if (!PG_ARGISNULL(ARG_TENSOR))
		target->tensor = text_to_cstring(PG_GETARG_TEXT_PP(ARG_TENSOR));
	if (!PG_ARGISNULL(ARG_PATH))
		target->path = text_to_cstring(PG_GETARG_TEXT_PP(ARG_PATH));
	upload_of_argument(fcinfo, ARG_VERSION, "write to", false, &target->upload);
	return target->upload.under_way;
}

/* sparse_write(version, tensor, seq, content, path) */
Datum
wire_write(PG_FUNCTION_ARGS)
{
	Target		target;
	Written		written = {0};

	import_check_given(fcinfo, ARG_BYTES, "content");
	import_check_given(fcinfo, ARG_SEQ, "seq");
	if (find_target(fcinfo, &target))
	{
		target.seq = PG_GETARG_INT32(ARG_SEQ);
		written.content = PG_GETARG_BYTEA_PP(ARG_BYTES);
		write_chunks(&target, &written);
	}
	PG_RETURN_VOID();
}

/* sparse_write_delta(version, tensor, seq, delta, path) */
Datum
wire_write_delta(PG_FUNCTION_ARGS)
{
	Target		target;

	import_check_given(fcinfo, ARG_BYTES, "delta");
	import_check_given(fcinfo, ARG_SEQ, "seq");
	if (find_target(fcinfo, &target))
	{
		int32		seq = PG_GETARG_INT32(ARG_SEQ);
		struct varlena *delta = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_BYTES));
		WireDeltas	deltas = {.count = 1, .seq = &seq, .delta = &delta};

		target.seq = seq;
		write_chunks(&target, &(Written) {.deltas = &deltas});
	}
	PG_RETURN_VOID();
}

/* sparse_write_deltas(version, tensor, seq, delta, path, have, parents, factors) */
Datum
wire_write_deltas(PG_FUNCTION_ARGS)
{
	Target		target;
	WireDeltas	deltas;
	Written		written = {.deltas = &deltas};

	import_check_given(fcinfo, ARG_BYTES, "delta");
	import_check_given(fcinfo, ARG_SEQ, "seq");
	if (!find_target(fcinfo, &target))
		PG_RETURN_BOOL(true);
	wire_deltas_of_arguments(fcinfo, ARG_SEQ, ARG_BYTES, &deltas);
	wire_parents_of_arguments(fcinfo, ARG_HAVE, ARG_PARENTS, ARG_FACTORS, &deltas);
	if (deltas.declares && target.tensor == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("only the deltas of a tensor have parents that are named"),
				errhint("sparse_layout() says what may predict a file without tensors."));
	target.seq = deltas.count > 0 ? deltas.seq[0] : 0;
	write_chunks(&target, &written);
	PG_RETURN_BOOL(written.done);
}
