/*
 * verify.c: sparse_verify, which reads a version as any reader would and reports
 * what is wrong with it, a row per problem, without stopping at the first.
 *
 * Each chunk is read in a subtransaction: whatever corruption makes reading it
 * fail, in a delta, in a parent of it or in the server's own pages, becomes a row,
 * and the next chunk is tried. Errors that say nothing about the data (a
 * cancelled query, no memory) end the function as usual. Only where every chunk of
 * an object, or of a file, could be read are their SHA-256 compared. Of a safetensors
 * file the header is parsed again and compared with the rows of its tensors (header.c).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "answer.h"
#include "codec/safetensors.h"
#include "hash.h"
#include "header.h"
#include "layout.h"
#include "plan.h"

PG_FUNCTION_INFO_V1(model_verify);

typedef struct Verifier
{
	Answer		answer;
	MemoryContext context;		/* of a file's work */
	ObjectReader *reader;
	Sha256	   *file_sum;
	Sha256	   *object_sum;
	Checksum   *file_checksum;
	char	   *buffer;			/* grows to the largest chunk */
	uint64		buffer_bytes;

	const char *label;			/* of the version */
	const VersionFile *file;	/* NULL: the version as such */
	const char *tensor;			/* NULL: the file's own object */
	uint64		problems;		/* of this file so far */
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

/* ---- attempts that may fail ---- */

/* After an error a reader may be left with something half done. */
static void
renew_reader(Verifier *verifier)
{
	if (verifier->reader != NULL)
		object_reader_free(verifier->reader);
	verifier->reader = object_reader_create(verifier->context, true);
	object_reader_context(verifier->reader, verifier->label, verifier->file->path,
						  verifier->tensor);
}

/* Whether an error is about the data; whatever it is, its subtransaction has ended. */
static bool
is_of_data(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR)
		|| error->sqlerrcode == ERRCODE_INVALID_BINARY_REPRESENTATION;	/* what was a header is none */
}

typedef struct Attempt
{
	Verifier   *verifier;
	void		(*what) (Verifier *verifier, void *argument);
	void	   *argument;
} Attempt;

static void
run_attempt(void *argument)
{
	const Attempt *attempt = argument;

	attempt->what(attempt->verifier, attempt->argument);
}

/* Does it in a subtransaction. What went wrong with the data; NULL when nothing did. */
static const char *
attempt(Verifier *verifier, void (*what) (Verifier *verifier, void *argument), void *argument)
{
	Attempt		attempt = {verifier, what, argument};
	const ErrorData *error = guarded_attempt(run_attempt, &attempt, is_of_data);

	if (error == NULL)
		return NULL;
	renew_reader(verifier);
	return error->detail == NULL ? error->message
		: psprintf("%s. %s", error->message, error->detail);
}

typedef struct InfoAttempt
{
	int64		object;
	bool		found;
	ObjectInfo	info;
} InfoAttempt;

static void
try_info(Verifier *verifier, void *argument)
{
	InfoAttempt *wanted = argument;

	wanted->found = object_info(verifier->reader, verifier->file->place,
								wanted->object, &wanted->info);
}

typedef struct ReadAttempt
{
	int64		object;
	uint64		first;
	uint64		bytes;
} ReadAttempt;

static void
try_read(Verifier *verifier, void *argument)
{
	ReadAttempt *range = argument;

	object_read(verifier->reader, verifier->file->place, range->object,
				range->first, range->bytes, verifier->buffer);
}

/* ---- one object ---- */

static void
make_room(Verifier *verifier, uint64 bytes)
{
	if (bytes <= verifier->buffer_bytes)
		return;
	verifier->buffer = repalloc_huge(verifier->buffer, bytes);
	verifier->buffer_bytes = bytes;
}

/* Reads a chunk and adds it to the sums; a problem is reported. */
static void
verify_chunk(Verifier *verifier, const ObjectInfo *object, uint64 seq)
{
	ReadAttempt range = {.object = object->id};
	const char *problem;

	if (!sparse_grid_chunk(&object->grid, seq, &range.first, &range.bytes)
		|| range.bytes > SPARSE_MAX_CONTENT)
	{
		report(verifier, (int) seq, "the chunk is larger than the format allows");
		return;
	}
	make_room(verifier, range.bytes);
	problem = attempt(verifier, try_read, &range);
	if (problem != NULL)
	{
		report(verifier, (int) seq, problem);
		return;
	}
	sha256_add(verifier->object_sum, verifier->buffer, range.bytes);
	sha256_add(verifier->file_sum, verifier->buffer, range.bytes);
	checksum_add(verifier->file_checksum, verifier->buffer, range.bytes);
}

static StoreQuery sha256_query = {
	.sql = "select o.sha256 from sparse.object o where o.place = $1 and o.id = $2",
	.args = 2, .arg = {INT2OID, INT8OID},
	.columns = 1, .column = {BYTEAOID}};

static void
compare_object(Verifier *verifier, int64 object)
{
	Datum		argument[2] = {Int16GetDatum(verifier->file->place), Int64GetDatum(object)};
	uint8		computed[SPARSE_SHA256_BYTES];
	uint8		stored[SPARSE_SHA256_BYTES];
	SPITupleTable *rows;

	sha256_finish(verifier->object_sum, computed);
	if (query_run(&sha256_query, argument, NULL, true, &rows) == 0)
		report(verifier, -1, "the object is missing");
	else
	{
		row_sha256(rows, 0, 1, stored);
		if (memcmp(stored, computed, SPARSE_SHA256_BYTES) != 0)
			report(verifier, -1, psprintf("the content's SHA-256 is %s, but %s was stored",
										  sha256_text(computed), sha256_text(stored)));
	}
	SPI_freetuptable(rows);
}

static void
verify_object(Verifier *verifier, const ObjectInfo *object)
{
	uint64		before = verifier->problems;
	uint64		chunks = sparse_grid_chunks(&object->grid);

	sha256_reset(verifier->object_sum);
	for (uint64 seq = 0; seq < chunks; seq++)
	{
		CHECK_FOR_INTERRUPTS();
		verify_chunk(verifier, object, seq);
	}
	if (verifier->problems == before)
		compare_object(verifier, object->id);
}

static void
verify_part(Verifier *verifier, const FilePart *part)
{
	InfoAttempt wanted = {.object = part->object};
	const char *problem;

	verifier->tensor = part->tensor;
	object_reader_context(verifier->reader, verifier->label, verifier->file->path, part->tensor);
	problem = attempt(verifier, try_info, &wanted);
	if (problem != NULL)
		report(verifier, -1, problem);
	else if (!wanted.found)
		report(verifier, -1, psprintf("object " INT64_FORMAT " is missing", part->object));
	else if (wanted.info.bytes != part->bytes)
		report(verifier, -1, psprintf("object " INT64_FORMAT " has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT,
									  part->object, wanted.info.bytes, part->bytes));
	else
		verify_object(verifier, &wanted.info);
}

/* ---- a file, a version ---- */

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
try_part(Verifier *verifier, void *argument)
{
	PartAttempt *next = argument;

	(void) verifier;
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
try_header(Verifier *verifier, void *argument)
{
	const VersionFile *file = verifier->file;
	char	   *header = palloc(file->object_bytes);

	object_read(verifier->reader, file->place, file->object, 0, file->object_bytes, header);
	header_compare(*(int64 *) argument, file, header, report_of_header, verifier);
}

/* What the file's own object, found whole, says of its tensors must be what their rows say. */
static void
verify_header(Verifier *verifier, int64 version)
{
	const char *problem = "the header is larger than the format allows";

	if (!verifier->file->safetensors)
		return;
	if (verifier->file->object_bytes <= SPARSE_SAFETENSORS_MAX_HEADER + 8)
		problem = attempt(verifier, try_header, &version);
	if (problem != NULL)
		report(verifier, -1, problem);
}

static void
verify_file(Verifier *verifier, int64 version)
{
	PartAttempt next = {.parts = parts_open(verifier->context, version, verifier->file, 0)};
	bool		header_is_whole = false;
	const char *problem;

	sha256_reset(verifier->file_sum);
	checksum_reset(verifier->file_checksum);
	verifier->problems = 0;
	while ((problem = attempt(verifier, try_part, &next)) == NULL && next.found)
	{
		verify_part(verifier, &next.part);
		if (next.part.tensor == NULL)
			header_is_whole = verifier->problems == 0;
	}
	verifier->tensor = NULL;
	if (problem != NULL)
		report(verifier, -1, problem);
	compare_file(verifier);
	if (header_is_whole)
		verify_header(verifier, version);
}

static StoreQuery identity_query = {
	.sql = "select v.content_sha256 from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BYTEAOID}};

/* The list of files must be the one that the version was made with. */
static void
verify_identity(Verifier *verifier, int64 version, const VersionFile *file, int files)
{
	Datum		argument = Int64GetDatum(version);
	uint8		computed[SPARSE_SHA256_BYTES];
	uint8		stored[SPARSE_SHA256_BYTES];
	SPITupleTable *rows;

	sha256_reset(verifier->file_sum);
	for (int i = 0; i < files; i++)
		identity_add_file(verifier->file_sum, file[i].path, file[i].bytes, file[i].sha256);
	sha256_finish(verifier->file_sum, computed);
	if (query_run(&identity_query, &argument, NULL, true, &rows) != 1)
		elog(ERROR, "version " INT64_FORMAT " is missing", version);
	row_sha256(rows, 0, 1, stored);
	SPI_freetuptable(rows);
	if (memcmp(stored, computed, SPARSE_SHA256_BYTES) != 0)
		report(verifier, -1, "the version's files, or their SHA-256, are not those that were stored");
}

static void
verify_files(Verifier *verifier, const StoreVersion *version)
{
	VersionFile *file;
	int			files = version_files(CurrentMemoryContext, version->id, &file);

	verify_identity(verifier, version->id, file, files);
	for (int i = 0; i < files; i++)
	{
		MemoryContext previous;

		verifier->context = AllocSetContextCreate(CurrentMemoryContext, "sparse verify",
												  ALLOCSET_DEFAULT_SIZES);
		previous = MemoryContextSwitchTo(verifier->context);
		verifier->file = &file[i];
		verifier->reader = NULL;
		renew_reader(verifier);
		verify_file(verifier, version->id);
		MemoryContextSwitchTo(previous);
		MemoryContextDelete(verifier->context);
	}
}

Datum
model_verify(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	Verifier	verifier = {0};

	answer_begin(fcinfo, &verifier.answer);
	version_from_argument(fcinfo, 0, false, &version);
	version_check_model(&version, "Use sparse_verify_rows().");
	store_enter(&access);
	answer_connect();
	verifier.label = version_label(CurrentMemoryContext, &version);
	verifier.file_sum = sha256_create(CurrentMemoryContext);
	verifier.object_sum = sha256_create(CurrentMemoryContext);
	verifier.file_checksum = checksum_create(CurrentMemoryContext);
	verifier.buffer_bytes = PIECE_BYTES;
	verifier.buffer = palloc(verifier.buffer_bytes);
	verify_files(&verifier, &version);
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}
