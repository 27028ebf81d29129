/*
 * approximate.c: sparse_approximate: a version of its own that is nearly another one.
 *
 * It has the same files, headers and tensors, is read like any model, says exact = false, and its first parent, in the
 * role "approximation", is the exact version. All is one transaction under the name's lock, as an import is; the
 * tensors are approximate_tensor.c's. What each is off by stands in sparse.approximation.
 */
#include "postgres.h"
#include "compat.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "answer.h"
#include "approximate.h"
#include "layout.h"

PG_FUNCTION_INFO_V1(model_approximate);

#define ROLE "approximation"
#define MOST_RANK 256			/* of the format */
#define MOST_BASES 8
#define TENSORS_A_BATCH 1000

typedef struct Run
{
	Approximation approximation;
	StoreVersion exact;
	int			bases;			/* parents of the exact version that the caller can read */
	int64		base[MOST_BASES];
	VersionFile *file;			/* of the exact version */
	TensorErrors **errors;		/* of each file's tensors */
	int64		approximated;	/* tensors */

	/* of the file at hand */
	char	   *literal;
	uint64		literal_summed;	/* so much of it is in the file's sum, */
	uint64		summed;			/* and of the file */
} Run;

/* ---- arguments ---- */

static const char *const method_names[] = {
	[APPROXIMATE_SVD] = "svd",
	[APPROXIMATE_INT8] = "int8",
	[APPROXIMATE_BIT1] = "bit1"
};

static void
read_method(FunctionCallInfo fcinfo, Approximation *approximation)
{
	const char *name;

	import_check_given(fcinfo, 1, "method");
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	for (size_t i = 0; i < lengthof(method_names); i++)
		if (strcmp(name, method_names[i]) == 0)
		{
			approximation->method = (ApproximateMethod) i;
			approximation->method_name = method_names[i];
			return;
		}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("there is no method \"%s\" of approximation", name),
			errhint("Methods are svd, int8 and bit1."));
}

static void
read_limits(FunctionCallInfo fcinfo, Approximation *approximation)
{
	approximation->rank = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	approximation->max_error = PG_ARGISNULL(3) ? INFINITY : PG_GETARG_FLOAT8(3);
	if (!PG_ARGISNULL(2) && (approximation->rank < 1 || approximation->rank > MOST_RANK))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a rank is from 1 to %d, not %d", MOST_RANK, approximation->rank));
	if (!PG_ARGISNULL(3) && !(approximation->max_error > 0 && isfinite(approximation->max_error)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_error must be above 0 and finite"));
	if (approximation->method != APPROXIMATE_SVD && !PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("method \"%s\" has no rank", approximation->method_name));
	if (approximation->method == APPROXIMATE_SVD && PG_ARGISNULL(2) && PG_ARGISNULL(3))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("method \"svd\" needs a rank or max_error"));
}

/* What was asked for: by this the same is found again. */
static Datum
request(const Run *run)
{
	const Approximation *a = &run->approximation;
	char	   *rank = a->rank > 0 ? psprintf("%d", a->rank) : "null";
	char	   *error = isfinite(a->max_error) ? psprintf("%.17g", a->max_error) : "null";

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf(
		"{\"approximation\": {\"of\": " INT64_FORMAT ", \"method\": \"%s\", \"rank\": %s, \"max_error\": %s}}",
		run->exact.id, a->method_name, rank, error)));
}

/* ---- the exact version, and what it was made from ---- */

static StoreQuery is_exact_query = {
	.sql = "select v.exact from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BOOLOID}};

/* Not the revision before, whose weights may be the same: only what changed would be approximated. */
static StoreQuery parents_query = {
	.sql = "select p.parent"
	"  from sparse.parent p"
	"  join sparse.version v on v.id = p.parent"
	" where p.child = $1 and p.source <> 'previous' and v.kind = 'model'"
	" order by p.ordinal"
	" limit $2",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID}};

static bool
find_parents(Run *run)
{
	Datum		argument[2] = {Int64GetDatum(run->exact.id), Int64GetDatum(MOST_BASES)};
	StoreAccess access;
	SPITupleTable *rows;
	bool		exact;

	store_enter(&access);
	answer_connect();
	exact = query_run(&is_exact_query, argument, NULL, false, &rows) > 0 && DatumGetBool(row_datum(rows, 0, 1));
	run->bases = (int) query_run(&parents_query, argument, NULL, false, &rows);
	for (int i = 0; i < run->bases; i++)
		run->base[i] = row_int64(rows, i, 1);
	answer_finish();
	store_leave(&access);
	return exact;
}

/* Of an approximation the caller could learn what it is computed from: only what he can read is used. */
static void
leave_readable(Run *run)
{
	bool		readable[MOST_BASES] = {false};
	int			count = 0;

	versions_readable(run->base, run->bases, false, readable);
	for (int i = 0; i < run->bases; i++)
		if (readable[i])
			run->base[count++] = run->base[i];
	run->bases = count;
}

static void
resolve(FunctionCallInfo fcinfo, Run *run)
{
	version_from_argument_now(fcinfo, 0, false, &run->exact);
	if (run->exact.kind != 'm')
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("version \"%s@%d\" is not a model", run->exact.name, run->exact.revision));
	if (!find_parents(run))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("version \"%s@%d\" is an approximation itself", run->exact.name, run->exact.revision),
				errhint("Approximate the exact version that it was made from."));
	if (run->bases > 0)
		leave_readable(run);
}

/* The exact version's, by which policies may go, with the request. */
static StoreQuery metadata_query = {
	.sql = "select case when jsonb_typeof(v.metadata) = 'object' then v.metadata || $2 else $2 end"
	"  from sparse.version v"
	" where v.id = $1",
	.args = 2, .arg = {INT8OID, JSONBOID},
	.columns = 1, .column = {JSONBOID}};

/* In the memory context of the call. */
static Datum
metadata(const Run *run)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		argument[2] = {Int64GetDatum(run->exact.id), request(run)};
	Datum		value = argument[1];
	StoreAccess access;
	SPITupleTable *rows;

	store_enter(&access);
	answer_connect();
	if (query_run(&metadata_query, argument, NULL, false, &rows) > 0)
	{
		MemoryContext previous = MemoryContextSwitchTo(caller);

		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(row_datum(rows, 0, 1)));
		MemoryContextSwitchTo(previous);
	}
	answer_finish();
	store_leave(&access);
	return value;
}

static StoreQuery same_query = {
	.sql = "select v.id"
	"  from sparse.version v"
	" where v.name = $1 and v.state = 'ready' and not v.exact and v.metadata -> 'approximation' = $2 -> 'approximation'"
	" order by v.revision desc"
	" limit 1",
	.args = 2, .arg = {TEXTOID, JSONBOID},
	.columns = 1, .column = {INT8OID}};

/* The same approximation under that name, which the caller can see; 0: there is none. */
static int64
find_same(const Import *import)
{
	Datum		argument[2] = {CStringGetTextDatum(import->name), import->metadata};
	StoreAccess access;
	SPITupleTable *rows;
	int64		version = 0;

	enter_versions(&access);
	answer_connect();
	if (query_run(&same_query, argument, NULL, false, &rows) > 0)
		version = row_int64(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	return version;
}

/* ---- files: those of the exact version ---- */

static char *
read_header(Run *run, const VersionFile *file)
{
	char	   *header = palloc_extended(Max(file->object_bytes, 1), MCXT_ALLOC_HUGE);

	object_read(run->approximation.reader, file->object, 0, file->object_bytes, header);
	return header;
}

static void
plan_file(Run *run, int number)
{
	const VersionFile *exact = &run->file[number];
	ImportPlan *plan = run->approximation.import.plan;
	PlanFile   *file = plan_add_file(plan, exact->path, exact->bytes, NULL);

	file->kind = exact->kind;
	file->object.file = number;
	file->object.dtype = SPARSE_BYTES;
	file->object.bytes = exact->object_bytes;
	file->object.id = exact->object;
	memcpy(file->sha256, exact->sha256, SPARSE_SHA256_BYTES);
	memcpy(file->checksum, exact->checksum, SPARSE_CHECKSUM_BYTES);
	file->summed = exact->summed;
}

/* Begins the file's sum with its header, and lists its tensors. */
static void
begin_file(Run *run, int number)
{
	PlanFile   *file = &run->approximation.import.plan->file[number];
	char	   *header = read_header(run, &run->file[number]);

	plan_layout_of_literal(file, number, header, run->file[number].object_bytes);
	sha256_reset(run->approximation.file_sum);
	checksum_reset(run->approximation.file_checksum);
	run->literal = header;
	run->literal_summed = run->summed = 0;
	run->errors[number] = MemoryContextAllocExtended(CurrentMemoryContext,
													 Max(file->tensors, 1) * sizeof(TensorErrors), MCXT_ALLOC_HUGE);
}

static StoreQuery tensors_query = {
	.sql = "select t.object,"
	"       (select b.object"
	"          from sparse.tensor b"
	"         where b.version = any ($5) and b.name = t.name and b.dtype = t.dtype and b.shape = t.shape"
	"           and b.bytes = t.bytes"
	"         order by array_position($5, b.version), b.file"
	"         limit 1)"
	"  from sparse.tensor t"
	" where t.version = $1 and t.file = $2 and t.ordinal >= $3"
	" order by t.ordinal"
	" limit $4",
	.args = 5, .arg = {INT8OID, INT4OID, INT4OID, INT8OID, INT8ARRAYOID},
	.columns = 2, .column = {INT8OID, INT8OID}};

/* Adds what of the literal lies before byte `end` of the file to its sum. */
static void
sum_literal(Run *run, uint64 end)
{
	uint64		bytes = end - run->summed;

	sha256_add(run->approximation.file_sum, run->literal + run->literal_summed, bytes);
	checksum_add(run->approximation.file_checksum, run->literal + run->literal_summed, bytes);
	run->literal_summed += bytes;
	run->summed = end;
}

static void
store_tensor(Run *run, PlanTensor *tensor, const ExactTensor *exact, TensorErrors *errors)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse approximation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	CHECK_FOR_INTERRUPTS();
	sum_literal(run, tensor->object.first);
	run->summed += tensor->object.bytes;
	answer_connect();
	object_reader_context(run->approximation.reader, run->exact.name,
						  run->approximation.import.plan->file[tensor->object.file].path, tensor->name);
	tensor->object.id = approximate_tensor(&run->approximation, exact, errors);
	answer_finish();
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	run->approximated += !errors->exact;
}

/* Tensors from `first` on; how many they were. */
static uint32
store_batch(Run *run, int number, uint32 first)
{
	PlanFile   *file = &run->approximation.import.plan->file[number];
	Datum		base[MOST_BASES];
	Datum		argument[5] = {
		Int64GetDatum(run->exact.id), Int32GetDatum(run->file[number].ordinal), Int32GetDatum((int32) first),
		Int64GetDatum(TENSORS_A_BATCH)
	};
	SPITupleTable *rows;
	uint64		count;

	for (int i = 0; i < run->bases; i++)
		base[i] = Int64GetDatum(run->base[i]);
	argument[4] = array_datum(INT8OID, base, run->bases);
	count = query_run(&tensors_query, argument, NULL, false, &rows);
	if (count != Min(TENSORS_A_BATCH, file->tensors - first))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("version \"%s@%d\" does not have the tensors of its headers", run->exact.name, run->exact.revision));
	for (uint64 i = 0; i < count; i++)
	{
		PlanTensor *tensor = &file->tensor[first + i];
		ExactTensor exact = {
			.tensor = tensor, .object = row_int64(rows, i, 1), .base = row_is_null(rows, i, 2) ? 0 : row_int64(rows, i, 2)
		};

		store_tensor(run, tensor, &exact, &run->errors[number][first + i]);
	}
	SPI_freetuptable(rows);
	return (uint32) count;
}

static void
store_file(Run *run, int number)
{
	PlanFile   *file = &run->approximation.import.plan->file[number];

	if (file->kind == SPARSE_FILE_BYTES)
		return;
	begin_file(run, number);
	for (uint32 done = 0; done < file->tensors;)
		done += store_batch(run, number, done);
	sum_literal(run, file->bytes);
	pfree(run->literal);
	sha256_finish(run->approximation.file_sum, file->sha256);
	checksum_finish(run->approximation.file_checksum, file->sha256, file->checksum);
	file->summed = true;
}

/* ---- the errors of each tensor ---- */

static StoreQuery insert_errors = {
	.sql = "insert into sparse.approximation (version, file, ordinal, tensor, method, rank, max_abs, relative_l2, max_ulp)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	.args = 9, .arg = {INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID, INT4OID, FLOAT8OID, FLOAT8OID, INT8OID}};

static void
insert_tensor_errors(const Run *run, int file, uint32 ordinal)
{
	const Approximation *a = &run->approximation;
	const TensorErrors *errors = &run->errors[file][ordinal];
	Datum		argument[9] = {
		Int64GetDatum(a->import.version), Int32GetDatum(file), Int32GetDatum((int32) ordinal),
		CStringGetTextDatum(a->import.plan->file[file].tensor[ordinal].name),
		CStringGetTextDatum(errors->exact ? "exact" : a->method_name),
		Int32GetDatum(errors->rank), Float8GetDatum(errors->max_abs), Float8GetDatum(errors->relative_l2),
		Int64GetDatum(errors->max_ulp)
	};
	char		null[9] = {' ', ' ', ' ', ' ', ' ', errors->rank > 0 ? ' ' : 'n', ' ', ' ', ' '};

	CHECK_FOR_INTERRUPTS();
	query_run(&insert_errors, argument, null, false, NULL);
}

static void
insert_all_errors(const Run *run)
{
	const ImportPlan *plan = run->approximation.import.plan;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse errors", ALLOCSET_SMALL_SIZES);

	for (int i = 0; i < plan->files; i++)
		for (uint32 t = 0; t < plan->file[i].tensors; t++)
		{
			MemoryContext previous = MemoryContextSwitchTo(context);

			insert_tensor_errors(run, i, t);
			MemoryContextSwitchTo(previous);
			MemoryContextReset(context);
		}
	MemoryContextDelete(context);
}

/* ---- the version ---- */

static void
store_version(Run *run)
{
	Approximation *a = &run->approximation;
	Import	   *import = &a->import;
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	import->plan = plan_create();
	a->reader = object_reader_create(CurrentMemoryContext, false);
	object_reader_context(a->reader, run->exact.name, NULL, NULL);
	a->file_sum = sha256_create(CurrentMemoryContext);
	a->object_sum = sha256_create(CurrentMemoryContext);
	a->file_checksum = checksum_create(CurrentMemoryContext);
	for (int i = 0, files = version_files(CurrentMemoryContext, run->exact.id, &run->file); i < files; i++)
		plan_file(run, i);
	run->errors = palloc0(Max(import->plan->files, 1) * sizeof(TensorErrors *));
	for (int i = 0; i < import->plan->files; i++)
		store_file(run, i);
	object_reader_free(a->reader);
	if (run->approximated == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("version \"%s@%d\" has nothing that %s could approximate", run->exact.name, run->exact.revision,
					   a->method_name),
				errdetail("Its tensors are no matrices of finite floats, are those of its parent, or would not become smaller."));
	plan_identity(import->plan, a->file_sum);
	import_rows(import);
	insert_all_errors(run);
	import_make_ready(import);
	answer_finish();
	store_leave(&access);
}

static void
set_import(FunctionCallInfo fcinfo, Run *run)
{
	Import	   *import = &run->approximation.import;

	import->name = PG_ARGISNULL(4) ? psprintf("%s-%s", run->exact.name, run->approximation.method_name)
		: text_to_cstring(PG_GETARG_TEXT_PP(4));
	version_check_name(import->name);
	import->approximate = true;
	import->parents = 1;
	import->parent = palloc0(sizeof(ImportParent));
	import->parent[0].version = run->exact;
	import->parent[0].role = ROLE;
	import->metadata = metadata(run);
}

/* sparse_approximate(version, method, rank, max_error, name) */
Datum
model_approximate(PG_FUNCTION_ARGS)
{
	Run			run = {0};
	Import	   *import = &run.approximation.import;
	int64		same;

	read_method(fcinfo, &run.approximation);
	read_limits(fcinfo, &run.approximation);
	import_check_may_insert();
	resolve(fcinfo, &run);
	set_import(fcinfo, &run);
	import_lock_name(import->name);
	same = find_same(import);
	if (same != 0)
	{
		import_unlock_name(import->name);
		PG_RETURN_INT64(same);
	}
	import_check_snapshot(import->name);
	import_prepare(import);
	import_insert_version(import);
	store_version(&run);
	PG_RETURN_INT64(import->version);
}
