/*
 * check.c: attempts, and objects that are read to be checked (see check.h).
 */
#include "check.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "answer.h"
#include "store/guard.h"
#include "source.h"

/* ---- attempts ---- */

/* Unless it is the session, the server or another transaction that failed, rather than what was read. */
static bool
is_of_data(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category != ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) &&
		category != ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) &&
		category != ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) &&
		error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
}

const char *
check_attempt(void (*what) (void *argument), void *argument)
{
	const ErrorData *error = guarded_attempt(what, argument, is_of_data);

	if (error == NULL)
		return NULL;
	return error->detail == NULL ? error->message : psprintf("%s. %s", error->message, error->detail);
}

/* ---- objects ---- */

ObjectCheck *
object_check_create(void)
{
	ObjectCheck *check = palloc0(sizeof(ObjectCheck));

	check->context = CurrentMemoryContext;
	check->sum = sha256_create(check->context);
	check->buffer_bytes = PIECE_BYTES;
	check->buffer = palloc(check->buffer_bytes);
	return check;
}

static void
close_reader(ObjectCheck *check)
{
	if (check->reader != NULL)
		object_reader_free(check->reader);
	check->reader = NULL;
}

void
object_check_free(ObjectCheck *check)
{
	close_reader(check);
	pfree(check->buffer);
	pfree(check);
}

ObjectReader *
object_check_reader(ObjectCheck *check)
{
	if (check->reader == NULL)
		check->reader = object_reader_create(check->context, true);
	object_reader_context(check->reader, check->version, check->file, check->tensor);
	return check->reader;
}

/* After an error a reader may be left with something half done. */
static const char *
attempt(ObjectCheck *check, void (*what) (void *argument), void *argument)
{
	const char *problem;

	(void) object_check_reader(check);
	problem = check_attempt(what, argument);
	if (problem != NULL)
		close_reader(check);
	return problem;
}

typedef struct ObjectAttempt
{
	ObjectCheck *check;
	int64		object;

	/* found */
	bool		there;
	ObjectInfo	info;
	uint8		sha256[SPARSE_SHA256_BYTES];

	/* to be read */
	uint64		first;
	uint64		bytes;
} ObjectAttempt;

static StoreQuery sha256_query = {
	.sql = "select o.sha256 from sparse.object o where o.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BYTEAOID}};

static void
find_object(void *argument)
{
	ObjectAttempt *try = argument;
	Datum		value[1] = {Int64GetDatum(try->object)};
	SPITupleTable *rows;

	try->there = object_info(try->check->reader, try->object, &try->info) &&
		query_run(&sha256_query, value, NULL, true, &rows) == 1;
	if (!try->there)
		return;
	row_sha256(rows, 0, 1, try->sha256);
	SPI_freetuptable(rows);
}

static void
read_range(void *argument)
{
	ObjectAttempt *try = argument;

	object_read(try->check->reader, try->object, try->first, try->bytes, try->check->buffer);
}

static void
make_room(ObjectCheck *check, uint64 bytes)
{
	if (bytes <= check->buffer_bytes)
		return;
	check->buffer = repalloc_huge(check->buffer, bytes);
	check->buffer_bytes = bytes;
}

/* Reads a chunk and hands it on; what is wrong with it. */
static const char *
check_chunk(ObjectCheck *check, ObjectAttempt *try, uint64 seq)
{
	const char *problem;

	if (!sparse_grid_chunk(&try->info.grid, seq, &try->first, &try->bytes) || try->bytes > SPARSE_MAX_CONTENT)
		return "the chunk is larger than the format allows";
	make_room(check, try->bytes);
	problem = attempt(check, read_range, try);
	if (problem != NULL)
		return problem;
	sha256_add(check->sum, check->buffer, try->bytes);
	check->content(check->state, check->buffer, try->bytes);
	return NULL;
}

static bool
check_content(ObjectCheck *check, ObjectAttempt *try)
{
	uint64		chunks = sparse_grid_chunks(&try->info.grid);
	uint8		computed[SPARSE_SHA256_BYTES];
	bool		good = true;

	sha256_reset(check->sum);
	for (uint64 seq = 0; seq < chunks; seq++)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		problem = check_chunk(check, try, seq);
		if (problem != NULL)
			check->problem(check->state, (int) seq, problem);
		good &= problem == NULL;
	}
	sha256_finish(check->sum, computed);
	if (good && memcmp(try->sha256, computed, SPARSE_SHA256_BYTES) != 0)
		check->problem(check->state, -1, psprintf("the content's SHA-256 is %s, but %s was stored",
												  sha256_text(computed), sha256_text(try->sha256)));
	return good;
}

bool
object_check(ObjectCheck *check, int64 object, uint64 bytes)
{
	ObjectAttempt try = {.check = check, .object = object};
	const char *problem = attempt(check, find_object, &try);

	if (problem == NULL && !try.there)
		problem = psprintf("object " INT64_FORMAT " is missing", object);
	else if (problem == NULL && bytes != CHECK_ANY_BYTES && try.info.bytes != bytes)
		problem = psprintf("object " INT64_FORMAT " has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT,
						   object, try.info.bytes, bytes);
	if (problem == NULL)
		return check_content(check, &try);
	check->problem(check->state, -1, problem);
	return false;
}
