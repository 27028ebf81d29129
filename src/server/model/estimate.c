/*
 * estimate.c: what a version would take against other parents, or a file before it is stored: the core's
 * estimate (recipes/estimate.h) of what an import would make of it.
 *
 * A file is read as the caller, by pg_read_binary_file(); versions are found as the caller, and read as
 * the store's owner. Nothing is written.
 */
#include "postgres.h"
#include "compat.h"

#include <sys/stat.h>

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "answer.h"
#include "recipes.h"
#include "recipes/estimate.h"
#include "sdelta/glue.h"
#include "store/reader.h"
#include "stored.h"

PG_FUNCTION_INFO_V1(model_estimate_sample);

/* Objects of the version at hand have numbers of their own: from this on. */
#define OWN ((int64) 1 << 62)

/* A tensor that is its parent's in so many blocks is taken for the same. */
#define BLOCK ((uint64) 4096)
#define BLOCKS 8

typedef struct Estimate
{
	Import		import;
	StoreVersion version;		/* id 0: a file, */
	const char *path;			/* of the server */
	StoreAccess access;
	ObjectReader *reader;
	uint64		count;			/* objects of the plan */
	const PlanObject **object;
	int64	   *stored;			/* their ids, of a version */
	uint64		at;
	ObjectSpec	spec;
	ImportShell shell;
} Estimate;

/* ---- what is estimated ---- */

static StoreQuery read_query = {
	.sql = "select pg_catalog.pg_read_binary_file($1, $2, $3)",
	.args = 3, .arg = {TEXTOID, INT8OID, INT8OID},
	.columns = 1, .column = {BYTEAOID}};

/* As the caller, whose rights decide. */
static void
read_file(Estimate *estimate, uint64 first, uint64 bytes, char *target)
{
	Datum		argument[3] = {CStringGetTextDatum(estimate->path), Int64GetDatum((int64) first), Int64GetDatum((int64) bytes)};
	SPITupleTable *rows;
	bytea	   *read;

	query_run(&read_query, argument, NULL, false, &rows);
	read = DatumGetByteaPP(row_datum(rows, 0, 1));
	if (VARSIZE_ANY_EXHDR(read) != bytes)
		ereport(ERROR,
				errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("file \"%s\" is not a safetensors file", estimate->path),
				errdetail("It ends before byte " UINT64_FORMAT ".", first + bytes));
	memcpy(target, VARDATA_ANY(read), bytes);
	SPI_freetuptable(rows);
}

/* Of an object of the file, in the midst of what is done as the store's owner. */
static void
read_as_caller(Estimate *estimate, const PlanObject *object, uint64 first, uint64 bytes, char *target)
{
	store_leave(&estimate->access);
	while (bytes > 0)
	{
		sparse_span span = plan_span(&estimate->import.plan->file[0], object, first);
		uint64		length = Min(span.bytes, bytes);

		read_file(estimate, span.first, length, target);
		first += length;
		bytes -= length;
		target += length;
	}
	store_enter(&estimate->access);
}

static void
read_object(Estimate *estimate, uint64 number, uint64 first, uint64 bytes, char *target)
{
	if (estimate->version.id != 0)
	{
		object_read(estimate->reader, estimate->stored[number], first, bytes, target);
		return;
	}
	read_as_caller(estimate, estimate->object[number], first, bytes, target);
}

static void
read_at_hand(void *state, uint64 first, uint64 bytes, char *target)
{
	Estimate   *estimate = state;

	read_object(estimate, estimate->at, first, bytes, target);
}

static void
read_content(void *state, uint64_t first, uint64_t bytes, void *target)
{
	for (uint64 done = 0; done < bytes; done += PIECE_BYTES)
		read_file(state, first + done, Min(PIECE_BYTES, bytes - done), (char *) target + done);
}

/* The plan of a file of the server, read as the caller. */
static ImportPlan *
plan_of_file(Estimate *estimate)
{
	ImportPlan *plan = plan_create();
	const char *slash = strrchr(estimate->path, '/');
	const char *within;
	char		first[SPARSE_FORMAT_FIRST];
	sparse_content content = {estimate, 0, read_content};
	struct stat status;
	PlanFile   *file;

	read_file(estimate, 0, 8, first);
	if (stat(estimate->path, &status) != 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", estimate->path));
	file = plan_add_file(plan, slash == NULL ? estimate->path : slash + 1, (uint64) status.st_size, NULL);
	within = file->path;
	file->path = estimate->path;	/* for errors */
	content.bytes = file->bytes;
	read_file(estimate, 0, Min(file->bytes, sizeof(first)), first);
	file->kind = plan_kind(file, first);
	if (file->kind == SPARSE_FILE_BYTES)
		file->kind = SPARSE_FILE_SAFETENSORS;	/* why it is none is said by the parser */
	file->object.dtype = SPARSE_BYTES;
	plan_layout(file, 0, &content);
	file->path = within;
	return plan;
}

static void
number_object(Estimate *estimate, PlanObject *object)
{
	estimate->stored[estimate->count] = object->id;
	object->id = OWN + (int64) estimate->count;
	estimate->object[estimate->count++] = object;
}

static void
number_objects(Estimate *estimate)
{
	ImportPlan *plan = estimate->import.plan;
	const Size	most = plan->files + plan_tensors(plan) + 1;

	estimate->object = palloc_extended(most * sizeof(PlanObject *), MCXT_ALLOC_HUGE);
	estimate->stored = palloc_extended(most * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int i = 0; i < plan->files; i++)
	{
		PlanFile   *file = &plan->file[i];

		number_object(estimate, &file->object);
		for (uint32 t = 0; t < file->tensors; t++)
			number_object(estimate, &file->tensor[t].object);
	}
}

/* ---- the core's shell ---- */

static Estimate *
estimate_of(void *state)
{
	return (Estimate *) ((char *) ((ObjectSource *) state)->above - offsetof(Estimate, shell.at));
}

static sparse_status
read_source(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep)
{
	Estimate   *estimate = estimate_of(state);

	if (object < OWN)
		object_read_keep(estimate->reader, object, first, bytes, target, keep);
	else
		read_object(estimate, (uint64) (object - OWN), first, bytes, target);
	return SPARSE_OK;
}

static bool
inspect_source(void *state, int64_t object, int most, sparse_kin_info *info)
{
	Estimate   *estimate = estimate_of(state);
	ObjectSource *objects = &estimate->shell.objects;
	sparse_source below;

	if (object >= OWN)
	{
		const PlanObject *own = estimate->object[object - OWN];

		*info = (sparse_kin_info) {.dtype = own->dtype, .bytes = own->bytes, .decodes = 1};
		return own->bytes > 0;
	}
	object_source(objects, &below);
	return below.inspect(objects, object, most, info);
}

static void
describe(Estimate *estimate, uint64 number)
{
	const PlanObject *object = estimate->object[number];

	estimate->at = number;
	estimate->spec = (ObjectSpec) {
		.dtype = object->dtype, .bytes = object->bytes, .row_bytes = object->row_bytes,
		.source = read_at_hand, .source_state = estimate
	};
	import_shell(&estimate->shell, &estimate->import, estimate->reader, object, &estimate->spec);
	estimate->shell.source.inspect = inspect_source;
	estimate->shell.source.read = read_source;
	estimate->spec.candidates = import_candidates(&estimate->import, object, estimate->spec.candidate);
}

/* (Candidates that are too deep give way to their ancestors, as in an import.) */
static void
turn_to(void *state, uint64_t number, sparse_subject *subject, sparse_proposals *proposals)
{
	Estimate   *estimate = state;

	describe(estimate, number);
	*subject = estimate->shell.subject;
	for (int i = 0; i < estimate->spec.candidates; i++)
	{
		sparse_prediction prediction;

		if (prediction_consider(estimate->reader, &estimate->spec, estimate->spec.candidate[i], &prediction))
			proposals->candidate[proposals->candidates++] = prediction.object;
	}
}

/* ---- what a parent has takes nothing ---- */

static bool
is_equal(Estimate *estimate, int64 candidate, uint64 first, uint64 bytes)
{
	char		own[BLOCK];
	char		other[BLOCK];

	read_object(estimate, estimate->at, first, bytes, own);
	object_read_keep(estimate->reader, candidate, first, bytes, other, true);
	return memcmp(own, other, bytes) == 0;
}

static bool
seems_same(Estimate *estimate, int64 candidate)
{
	const uint64 bytes = estimate->spec.bytes;
	const uint64 block = Min(BLOCK, bytes);
	ObjectInfo	info;

	if (!object_info(estimate->reader, candidate, &info) || info.bytes != bytes)
		return false;
	for (int i = 0; i < BLOCKS; i++)
		if (!is_equal(estimate, candidate, (bytes - block) / (BLOCKS - 1) * i, block))
			return false;
	return true;
}

static bool
is_known(Estimate *estimate, uint64 number)
{
	bool		known = false;

	describe(estimate, number);
	for (int i = 0; i < estimate->spec.candidates && !known && estimate->spec.bytes > 0; i++)
		known = seems_same(estimate, estimate->spec.candidate[i]);
	return known;
}

static sparse_estimate_part *
list_parts(Estimate *estimate)
{
	sparse_estimate_part *part = palloc_extended(Max(estimate->count, 1) * sizeof(sparse_estimate_part), MCXT_ALLOC_HUGE);

	for (uint64 i = 0; i < estimate->count; i++)
	{
		const PlanObject *object = estimate->object[i];

		CHECK_FOR_INTERRUPTS();
		part[i] = (sparse_estimate_part) {
			.name = object->tensor != NULL ? object->tensor->name : estimate->import.plan->file[object->file].path,
			.bytes = object->bytes, .known = is_known(estimate, i)
		};
	}
	return part;
}

/* ---- the function ---- */

/* Those that are models. */
static void
take_parents(Estimate *estimate, ArrayType *array)
{
	Import	   *import = &estimate->import;
	Datum	   *value;
	bool	   *null;
	int			count;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &value, &null, &count);
	import->parent = palloc0(Max(count, 1) * sizeof(ImportParent));
	for (int i = 0; i < count; i++)
	{
		ImportParent *parent = &import->parent[import->parents];

		if (null[i])
			continue;
		version_from_id(DatumGetInt64(value[i]), false, &parent->version);
		import->parents += parent->version.kind == 'm';
	}
}

static void
run(Estimate *estimate, uint64 sample_bytes, sparse_estimated *estimated)
{
	MemoryContext context = CurrentMemoryContext;
	sparse_estimate_shell shell;
	sparse_estimate_part *part;
	sparse_status status;

	estimate->import.version = estimate->version.id;
	import_find_neighbours(&estimate->import);
	answer_connect();
	MemoryContextSwitchTo(context);
	if (estimate->version.id == 0)
		estimate->import.plan = plan_of_file(estimate);
	store_enter(&estimate->access);
	if (estimate->version.id != 0)
		estimate->import.plan = stored_plan(&estimate->version, context);
	MemoryContextSwitchTo(context);
	estimate->reader = object_reader_create(context, true);
	estimate->import.kin = import_kin_index(context, estimate->import.parents);
	number_objects(estimate);
	part = list_parts(estimate);
	shell = (sparse_estimate_shell) {
		.environment = &estimate->shell.environment, .source = &estimate->shell.source,
		.codec = object_reader_codec(estimate->reader), .index = estimate->import.kin, .turn_to = turn_to, .state = estimate
	};
	status = sparse_estimate(&shell, part, estimate->count, sample_bytes, estimated);
	if (status != SPARSE_OK)
		sparse_report(status, "estimate");
	object_reader_free(estimate->reader);
	store_leave(&estimate->access);
	answer_finish();
}

/* sparse_estimate_sample(version, path, parents, sample_bytes) */
Datum
model_estimate_sample(PG_FUNCTION_ARGS)
{
	int64		sample = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	Estimate   *estimate = palloc0(sizeof(Estimate));
	sparse_estimated estimated;
	Answer		answer;
	Datum		value[4];
	bool		null[4] = {false};
	uint64		raw;

	if (sample < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a sample has 1 byte or more"));
	import_check_given(fcinfo, 2, "parents");
	if (PG_ARGISNULL(0))
	{
		import_check_given(fcinfo, 1, "path");
		estimate->path = text_to_cstring(PG_GETARG_TEXT_PP(1));
	}
	else
	{
		version_from_id(PG_GETARG_INT64(0), false, &estimate->version);
		version_check_model(&estimate->version, LIST_COLUMNS);
	}
	take_parents(estimate, PG_GETARG_ARRAYTYPE_P(2));
	answer_begin(fcinfo, &answer);
	run(estimate, (uint64) sample, &estimated);
	raw = plan_bytes(estimate->import.plan);
	value[0] = Int64GetDatum((int64) raw);
	value[1] = Int64GetDatum((int64) estimated.coded);
	value[2] = Int64GetDatum((int64) (estimated.bytes + 0.5));
	null[3] = raw == 0;
	value[3] = raw == 0 ? (Datum) 0 : DirectFunctionCall2(numeric_round,
														 DirectFunctionCall1(float8_numeric, Float8GetDatum(estimated.bytes / raw)),
														 Int32GetDatum(4));
	answer_add(&answer, value, null);
	return (Datum) 0;
}
