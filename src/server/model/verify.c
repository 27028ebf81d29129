/*
 * verify.c: sparse_verify, which reads a version of a model and reports what is wrong
 * with it, a row per problem, without stopping at one (check.h).
 *
 * What stands in tables is compared with what was stored: the list of files with the identity of the
 * version, counters with the rows that they count, the rows of tensors with the header of their file,
 * parsed again (header.c). Only where every chunk of a file could be read is its SHA-256 compared.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "check.h"
#include "header.h"
#include "layout.h"
#include "plan.h"

PG_FUNCTION_INFO_V1(model_verify);

typedef struct Verifier
{
	Answer		answer;
	StoreVersion version;
	const char *label;			/* of the version */
	Sha256	   *file_sum;
	Checksum   *file_checksum;

	/* of the file at hand */
	const VersionFile *file;	/* NULL: the version as such */
	ObjectCheck *objects;
	const char *tensor;			/* NULL: the file's own object */
	char	   *literal;		/* that, where it lies in pieces; NULL: nothing of it was read yet */
	uint64		literal_bytes;	/* which were read */
	uint64		problems;		/* so far */
} Verifier;

/* chunk -1: the whole of it. */
static void
report(Verifier *verifier, int chunk, const char *problem)
{
	Datum		value[4];
	bool		null[4] = {verifier->file == NULL, verifier->tensor == NULL, chunk < 0, false};

	value[0] = verifier->file == NULL ? (Datum) 0 : CStringGetTextDatum(verifier->file->path);
	value[1] = verifier->tensor == NULL ? (Datum) 0 : CStringGetTextDatum(verifier->tensor);
	value[2] = Int32GetDatum(chunk);
	value[3] = CStringGetTextDatum(problem);
	answer_add(&verifier->answer, value, null);
	verifier->problems++;
}

/* ---- a file ---- */

static void
add_content(void *state, const char *bytes, uint64 length)
{
	Verifier   *verifier = state;

	sha256_add(verifier->file_sum, bytes, length);
	checksum_add(verifier->file_checksum, bytes, length);
}

static void
keep_literal(void *state, const char *bytes, uint64 length)
{
	Verifier   *verifier = state;

	memcpy(verifier->literal + verifier->literal_bytes, bytes, length);
	verifier->literal_bytes += length;
}

static void
report_of_object(void *state, int chunk, const char *problem)
{
	report(state, chunk, problem);
}

/* A piece of a literal, all of which is read with the first. */
static void
verify_piece(Verifier *verifier, const FilePart *part)
{
	const VersionFile *file = verifier->file;

	if (verifier->literal == NULL)
	{
		verifier->literal = palloc_extended(Max(file->object_bytes, 1), MCXT_ALLOC_HUGE);
		verifier->objects->content = keep_literal;
		(void) object_check(verifier->objects, part->object, file->object_bytes);
		verifier->objects->content = add_content;
	}
	if (verifier->literal_bytes == file->object_bytes)
		add_content(verifier, verifier->literal + part->within, part->bytes);
}

static void
verify_part(Verifier *verifier, const FilePart *part)
{
	verifier->tensor = part->tensor;
	verifier->objects->tensor = part->tensor;
	if (part_is_piece(verifier->file, part))
		verify_piece(verifier, part);
	else
		(void) object_check(verifier->objects, part->object, part->bytes);
}


static void
compare_file(Verifier *verifier)
{
	uint8		computed[SPARSE_SHA256_BYTES];
	uint8		checksum[SPARSE_CHECKSUM_BYTES];

	sha256_finish(verifier->file_sum, computed);
	checksum_finish(verifier->file_checksum, verifier->file->sha256, checksum);
	if (verifier->problems > 0)
		return;
	if (memcmp(verifier->file->sha256, computed, SPARSE_SHA256_BYTES) != 0)
		report(verifier, -1, psprintf("the file's SHA-256 is %s, but %s was stored",
									  sha256_text(computed), sha256_text(verifier->file->sha256)));
	else if (verifier->file->summed && memcmp(verifier->file->checksum, checksum, SPARSE_CHECKSUM_BYTES) != 0)
		report(verifier, -1, "the file's checksum is not that of its bytes and its SHA-256");
}

typedef struct PartAttempt
{
	PartReader *parts;
	FilePart	part;
	bool		found;
} PartAttempt;

static void
try_part(void *argument)
{
	PartAttempt *next = argument;

	next->found = parts_next(next->parts, &next->part);
}

static void
report_of_header(void *state, const char *tensor, const char *problem)
{
	Verifier   *verifier = state;

	verifier->tensor = tensor;
	report(verifier, -1, problem);
	verifier->tensor = NULL;
}

static void
try_header(void *argument)
{
	Verifier   *verifier = argument;
	const VersionFile *file = verifier->file;
	char	   *header = palloc(file->object_bytes);

	object_read(object_check_reader(verifier->objects), file->object, 0, file->object_bytes, header);
	header_compare(verifier->version.id, file, header, report_of_header, verifier);
}

/* What the file's own object, found whole, says of its tensors must be what their rows say. */
static void
verify_header(Verifier *verifier)
{
	const char *problem = "the header is larger than the format allows";

	if (verifier->file->kind == SPARSE_FILE_BYTES)
		return;
	if (verifier->file->object_bytes <= SPARSE_MAX_LITERAL)
	{
		(void) object_check_reader(verifier->objects);
		problem = check_attempt(try_header, verifier);
	}
	if (problem != NULL)
		report(verifier, -1, problem);
}

static void
verify_file(Verifier *verifier)
{
	PartAttempt next = {.parts = parts_open(CurrentMemoryContext, verifier->version.id, verifier->file, 0)};
	bool		header_is_whole = false;
	bool		has_tensors = false;
	const char *problem;

	sha256_reset(verifier->file_sum);
	checksum_reset(verifier->file_checksum);
	verifier->problems = 0;
	verifier->literal = NULL;
	verifier->literal_bytes = 0;
	while ((problem = check_attempt(try_part, &next)) == NULL && next.found)
	{
		verify_part(verifier, &next.part);
		has_tensors |= next.part.tensor != NULL;
		if (next.part.tensor == NULL && next.part.within == 0)
			header_is_whole = verifier->problems == 0;
	}
	verifier->tensor = NULL;
	if (problem != NULL)
		report(verifier, -1, problem);
	if (has_tensors && verifier->file->kind == SPARSE_FILE_BYTES)
		report(verifier, -1, "the file has tensors, but not the format of such");
	compare_file(verifier);
	if (header_is_whole)
		verify_header(verifier);
}

/* ---- a version ---- */

static StoreQuery version_query = {
	.sql = "select v.content_sha256, v.files, v.raw_bytes, v.tensors,"
	"       (select count(*) from sparse.tensor t where t.version = v.id)"
	"  from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 5, .column = {BYTEAOID, INT4OID, INT8OID, INT4OID, INT8OID}};

/* A version of a model, as its rows say. */
typedef struct Stored
{
	int64		version;
	MemoryContext context;		/* of the files */
	int			files;
	VersionFile *file;
	uint8		content_sha256[SPARSE_SHA256_BYTES];
	int32		files_counted;
	int64		bytes_counted;
	int32		tensors_counted;
	int64		tensors;
} Stored;

static void
try_version(void *argument)
{
	Stored	   *stored = argument;
	Datum		value = Int64GetDatum(stored->version);
	SPITupleTable *rows;

	if (query_run(&version_query, &value, NULL, true, &rows) != 1)
		elog(ERROR, "version " INT64_FORMAT " is missing", stored->version);
	row_sha256(rows, 0, 1, stored->content_sha256);
	stored->files_counted = row_int32(rows, 0, 2);
	stored->bytes_counted = row_int64(rows, 0, 3);
	stored->tensors_counted = row_int32(rows, 0, 4);
	stored->tensors = row_int64(rows, 0, 5);
	SPI_freetuptable(rows);
	stored->files = version_files(stored->context, stored->version, &stored->file);
}

static void
compare_identity(Verifier *verifier, const Stored *stored)
{
	uint8		computed[SPARSE_SHA256_BYTES];

	version_identity(verifier->file_sum, stored->file, stored->files, false, computed);
	if (memcmp(stored->content_sha256, computed, SPARSE_SHA256_BYTES) == 0)
		return;
	version_identity(verifier->file_sum, stored->file, stored->files, true, computed);
	if (memcmp(stored->content_sha256, computed, SPARSE_SHA256_BYTES) != 0)
		report(verifier, -1, "the version's files, or their SHA-256, are not those that were stored");
}

static void
compare_count(Verifier *verifier, const char *what, int64 counted, int64 there)
{
	if (counted != there)
		report(verifier, -1, psprintf("the version has " INT64_FORMAT " %s, but there are " INT64_FORMAT,
									  counted, what, there));
}

/* The list of files must be the one that the version was made with. */
static void
verify_version(Verifier *verifier, const Stored *stored)
{
	int64		bytes = 0;

	for (int i = 0; i < stored->files; i++)
		bytes += (int64) stored->file[i].bytes;
	compare_identity(verifier, stored);
	compare_count(verifier, "files", stored->files_counted, stored->files);
	compare_count(verifier, "tensors", stored->tensors_counted, stored->tensors);
	compare_count(verifier, "bytes", stored->bytes_counted, bytes);
}

static void
verify_files(Verifier *verifier)
{
	Stored		stored = {.version = verifier->version.id, .context = CurrentMemoryContext};
	const char *problem = check_attempt(try_version, &stored);

	if (problem != NULL)
	{
		report(verifier, -1, problem);
		return;
	}
	verify_version(verifier, &stored);
	for (int i = 0; i < stored.files; i++)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse verify", ALLOCSET_DEFAULT_SIZES);
		MemoryContext previous = MemoryContextSwitchTo(context);

		verifier->file = &stored.file[i];
		verifier->objects = object_check_create();
		verifier->objects->state = verifier;
		verifier->objects->content = add_content;
		verifier->objects->problem = report_of_object;
		verifier->objects->version = verifier->label;
		verifier->objects->file = verifier->file->path;
		verify_file(verifier);
		MemoryContextSwitchTo(previous);
		MemoryContextDelete(context);
	}
}

Datum
model_verify(PG_FUNCTION_ARGS)
{
	StoreAccess access;
	Verifier	verifier = {0};

	answer_begin(fcinfo, &verifier.answer);
	version_from_argument(fcinfo, 0, false, &verifier.version);
	version_check_model(&verifier.version, "Use sparse_verify_rows().");
	store_enter(&access);
	answer_connect();
	verifier.label = version_label(CurrentMemoryContext, &verifier.version);
	verifier.file_sum = sha256_create(CurrentMemoryContext);
	verifier.file_checksum = checksum_create(CurrentMemoryContext);
	verify_files(&verifier);
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}
