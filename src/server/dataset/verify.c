/*
 * verify.c: sparse_verify_rows: reads all of a dataset version and says what is wrong, a row
 * for each problem, without ending at one (model/check.h).
 *
 * What stands in tables is compared with what was stored: names, types, keys, numbers of rows and the SHA-256 of
 * every column with the identity of the version, which is computed anew; chunks with the rows that they should
 * hold; each chunk with its own SHA-256; the values with that of their column. And values must be such that they can be
 * read here: of a type that is still what it was, in text that the database can express.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "model/check.h"
#include "model/layout.h"

#include "dataset.h"

PG_FUNCTION_INFO_V1(dataset_verify);

typedef struct Verifier
{
	Answer		answer;
	StoreVersion version;
	const char *label;
	Split	   *split;			/* at hand; NULL: the version as such */

	/* the column at hand */
	SplitColumn *column;		/* NULL: the split as such */
	int			number;
	bool		live;			/* its type is what it was */
	ObjectCheck *objects;
	Sha256	   *sum;			/* over all values so far */
	int64		bytes;			/* of those */
	bool		whole;			/* all of it could be read so far */
	int64		next_row;		/* behind the chunks so far */

	/* the chunk at hand */
	const ChunkEntry *entry;	/* NULL: the column as such */
	MemoryContext context;
	char	   *content;
	uint64		length;
	uint64		room;
	ChunkReader reader;
} Verifier;

static void
report(Verifier *verifier, const char *problem)
{
	Datum		value[3] = {0};
	bool		null[3] = {verifier->split == NULL, verifier->column == NULL, false};
	const ChunkEntry *entry = verifier->entry;

	if (verifier->split != NULL)
		value[0] = CStringGetTextDatum(verifier->split->name);
	if (verifier->column != NULL)
		value[1] = CStringGetTextDatum(verifier->column->name);
	if (entry != NULL)
		problem = psprintf("rows " INT64_FORMAT " to " INT64_FORMAT ": %s",
						   entry->first_row + 1, entry->first_row + entry->rows, problem);
	value[2] = CStringGetTextDatum(problem);
	answer_add(&verifier->answer, value, null);
}

/* What keeps the column from being read as a whole. */
static void
report_unread(Verifier *verifier, const char *problem)
{
	report(verifier, problem);
	verifier->whole = false;
}

/* ---- a chunk ---- */

static void
keep_content(void *state, const char *bytes, uint64 length)
{
	Verifier   *verifier = state;

	if (length > verifier->room - verifier->length)
	{
		verifier->room = Max(2 * verifier->room, verifier->length + length);
		verifier->content = repalloc_huge(verifier->content, verifier->room);
	}
	memcpy(verifier->content + verifier->length, bytes, length);
	verifier->length += length;
}

static void
report_of_object(void *state, int chunk, const char *problem)
{
	report(state, chunk > 0 ? psprintf("piece %d: %s", chunk, problem) : problem);
}

static void
add_value(Verifier *verifier, bool there, const char *bytes, size_t length)
{
	uint32		head = there ? (uint32) length : PG_UINT32_MAX;
	uint8		little_endian[4] = {(uint8) head, (uint8) (head >> 8), (uint8) (head >> 16), (uint8) (head >> 24)};

	sha256_add(verifier->sum, little_endian, 4);
	sha256_add(verifier->sum, bytes, there ? length : 0);
	verifier->bytes += there ? (int64) length : 0;
}

/* Takes the chunk apart, and adds its values to the sum. */
static void
try_sum(void *argument)
{
	Verifier   *verifier = argument;
	MemoryContext previous = MemoryContextSwitchTo(verifier->context);

	chunk_open(&verifier->reader, verifier->column->coder, verifier->entry->plain,
			   verifier->content, verifier->length, verifier->entry->rows);
	MemoryContextSwitchTo(previous);
	/* what a map picks from it is added when all chunks are known */
	for (int32 row = 0; row < verifier->reader.rows && verifier->column->map == 0; row++)
	{
		const char *bytes = "";
		size_t		length = 0;
		bool		there = chunk_value(&verifier->reader, row, &bytes, &length);

		if ((row & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		add_value(verifier, there, bytes, length);
	}
}

/* All rows, through the map. */
static void
try_mapped(void *argument)
{
	Verifier   *verifier = argument;
	ObjectReader *objects = object_reader_create(verifier->context, true);
	ColumnReader *reader = column_open(verifier->context, objects, verifier->split, verifier->number, true);

	for (int64 row = 0; row < verifier->split->rows; row++)
	{
		const char *bytes = "";
		size_t		length = 0;
		bool		there = column_bytes(reader, row, &bytes, &length);

		CHECK_FOR_INTERRUPTS();
		add_value(verifier, there, bytes, length);
	}
	object_reader_free(objects);
}

/* Each value that the chunk has, once; words are values whatever they are. */
static void
try_values(void *argument)
{
	Verifier   *verifier = argument;

	for (int32 i = 0; verifier->reader.word == 0 && i < verifier->reader.values; i++)
	{
		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		value_check(verifier->column->coder, verifier->reader.start[i], verifier->reader.length[i]);
	}
}

/* Reads the content of an object; true: it is what was stored. */
static bool
read_content(Verifier *verifier, int64 object)
{
	int			nest = closed_path_enter();
	StoreAccess access;
	bool		good;

	store_enter(&access);
	answer_connect();
	verifier->length = 0;
	good = object_check(verifier->objects, object, CHECK_ANY_BYTES);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	return good;
}

static void
verify_chunk(Verifier *verifier)
{
	const char *problem;

	if (!read_content(verifier, verifier->entry->object))
	{
		verifier->whole = false;
		return;
	}
	problem = check_attempt(try_sum, verifier);
	if (problem != NULL)
		report_unread(verifier, problem);
	else if (verifier->live && (problem = check_attempt(try_values, verifier)) != NULL)
		report(verifier, problem);
	MemoryContextReset(verifier->context);
}

/* ---- a column ---- */

typedef struct ChunksAttempt
{
	const Verifier *verifier;
	int64		behind;			/* first row of the chunks before; -1: none */
	int64		first_row;
	int			count;
	ChunkEntry	entry[CHUNKS_A_ROW];
} ChunksAttempt;

static void
try_chunks(void *argument)
{
	ChunksAttempt *next = argument;
	int			nest = closed_path_enter();
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	next->count = split_next_chunks(next->verifier->split, next->verifier->column->ordinal, next->behind,
									&next->first_row, next->entry);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
}

static void
report_rows(Verifier *verifier, int64 first, int64 end)
{
	report_unread(verifier, psprintf("there is no chunk for rows " INT64_FORMAT " to " INT64_FORMAT, first + 1, end));
}

/* Where the chunks at hand begin must be where those before end. */
static void
verify_first_row(Verifier *verifier, int64 first_row)
{
	if (first_row > verifier->next_row)
		report_rows(verifier, verifier->next_row, first_row);
	else if (first_row < verifier->next_row)
		report_unread(verifier, psprintf("row " INT64_FORMAT " is in more than one chunk", first_row + 1));
	verifier->next_row = first_row;
}

static void
verify_chunks(Verifier *verifier)
{
	ChunksAttempt *next = palloc0(sizeof(ChunksAttempt));

	next->verifier = verifier;
	next->behind = next->first_row = -1;
	verifier->next_row = 0;
	for (;;)
	{
		const char *problem = check_attempt(try_chunks, next);

		CHECK_FOR_INTERRUPTS();
		if (problem != NULL)
			report_unread(verifier, problem);
		if ((problem == NULL && next->count == 0) || next->first_row == next->behind)
			break;
		next->behind = next->first_row;
		if (problem != NULL)
			continue;
		verify_first_row(verifier, next->first_row);
		for (int i = 0; i < next->count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			verifier->entry = &next->entry[i];
			verify_chunk(verifier);
			verifier->next_row = verifier->entry->first_row + verifier->entry->rows;
		}
		verifier->entry = NULL;
	}
	pfree(next);
	if (verifier->next_row < verifier->column->stored_rows)
		report_rows(verifier, verifier->next_row, verifier->column->stored_rows);
	else if (verifier->next_row > verifier->column->stored_rows)
		report_unread(verifier, psprintf("its chunks have " INT64_FORMAT " rows, the %s has " INT64_FORMAT,
										 verifier->next_row, verifier->column->map == 0 ? "split" : "map",
										 verifier->column->stored_rows));
}

static void
verify_map(Verifier *verifier)
{
	const char *problem;

	if (!read_content(verifier, verifier->column->map))
		verifier->whole = false;
	if (!verifier->whole)
		return;
	problem = check_attempt(try_mapped, verifier);
	if (problem != NULL)
		report_unread(verifier, problem);
	MemoryContextReset(verifier->context);
}

static void
compare_column(Verifier *verifier)
{
	uint8		sha256[SPARSE_SHA256_BYTES];

	sha256_finish(verifier->sum, sha256);
	if (!verifier->whole)
		return;
	if (memcmp(sha256, verifier->column->sha256, SPARSE_SHA256_BYTES) != 0)
		report(verifier, psprintf("its values have SHA-256 %s, but %s was stored",
								  sha256_text(sha256), sha256_text(verifier->column->sha256)));
	if (verifier->bytes != verifier->column->bytes)
		report(verifier, psprintf("its values have " INT64_FORMAT " bytes, but " INT64_FORMAT " were stored",
								  verifier->bytes, verifier->column->bytes));
}

typedef struct CoderAttempt
{
	Verifier   *verifier;
	MemoryContext context;
	TypeCoder  *(*coder) (Split *split, int column);
} CoderAttempt;

static void
try_coder(void *argument)
{
	CoderAttempt *attempt = argument;

	MemoryContextSwitchTo(attempt->context);
	type_uncheck(attempt->coder(attempt->verifier->split, attempt->verifier->number));
}

/* Finds out how to take values apart: by the type, or by what it was. False: in no way. */
static bool
find_coder(Verifier *verifier)
{
	CoderAttempt attempt = {verifier, CurrentMemoryContext, split_coder};
	const char *problem = check_attempt(try_coder, &attempt);

	verifier->live = problem == NULL;
	if (problem == NULL)
		return true;
	report(verifier, problem);
	attempt.coder = split_coder_stored;
	problem = check_attempt(try_coder, &attempt);
	if (problem != NULL)
		report(verifier, problem);
	return problem == NULL;
}

static void
open_column(Verifier *verifier)
{
	verifier->objects = object_check_create();
	verifier->objects->state = verifier;
	verifier->objects->content = keep_content;
	verifier->objects->problem = report_of_object;
	verifier->objects->version = verifier->label;
	verifier->objects->file = NULL;
	verifier->objects->tensor = verifier->column->name;
	verifier->sum = sha256_create(CurrentMemoryContext);
	verifier->context = AllocSetContextCreate(CurrentMemoryContext, "sparse chunk", ALLOCSET_DEFAULT_SIZES);
	verifier->room = CHUNK_AVERAGE;
	verifier->content = palloc(verifier->room);
	verifier->bytes = 0;
	verifier->whole = true;
}

static void
verify_column(Verifier *verifier, int number)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse verify", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	verifier->number = number;
	verifier->column = &verifier->split->column[number];
	if (verifier->column->ordinal != number)
		report(verifier, psprintf("it is number %d of the columns, but stands at %d", verifier->column->ordinal, number));
	open_column(verifier);
	if (find_coder(verifier))
	{
		verify_chunks(verifier);
		if (verifier->column->map != 0)
			verify_map(verifier);
		compare_column(verifier);
	}
	object_check_free(verifier->objects);
	verifier->column = NULL;
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

/* ---- a version ---- */

static StoreQuery version_query = {
	.sql = "select v.content_sha256, v.raw_bytes,"
	"       (select count(*) from sparse.column c where c.version = v.id and not exists ("
	"         select from sparse.split s where s.version = c.version and s.ordinal = c.split)),"
	"       (select count(*) from sparse.column_chunk h where h.version = v.id and not exists ("
	"         select from sparse.column c where c.version = h.version and c.split = h.split and c.ordinal = h.ordinal))"
	"  from sparse.version v where v.id = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 4, .column = {BYTEAOID, INT8OID, INT8OID, INT8OID}};

/* A version of a dataset, as its rows say. */
typedef struct Stored
{
	const StoreVersion *version;
	MemoryContext context;		/* of the splits */
	int			splits;
	Split	  **split;
	uint8		content_sha256[SPARSE_SHA256_BYTES];
	int64		raw_bytes;
	int64		stray_columns;
	int64		stray_chunks;
} Stored;

static void
try_version(void *argument)
{
	Stored	   *stored = argument;
	Datum		value = Int64GetDatum(stored->version->id);
	int			nest = closed_path_enter();
	StoreAccess access;
	SPITupleTable *rows;

	store_enter(&access);
	answer_connect();
	if (query_run(&version_query, &value, NULL, true, &rows) != 1)
		elog(ERROR, "version " INT64_FORMAT " is missing", stored->version->id);
	row_sha256(rows, 0, 1, stored->content_sha256);
	stored->raw_bytes = row_int64(rows, 0, 2);
	stored->stray_columns = row_int64(rows, 0, 3);
	stored->stray_chunks = row_int64(rows, 0, 4);
	stored->splits = splits_read(stored->context, stored->version, &stored->split);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
}

static bool
has_identity(const Stored *stored, bool as_it_is)
{
	Identity   *identity = identity_begin(CurrentMemoryContext, as_it_is);
	uint8		computed[SPARSE_SHA256_BYTES];

	for (int s = 0; s < stored->splits; s++)
	{
		const Split *split = stored->split[s];

		identity_add_split(identity, split->name, split->rows, split->columns);
		for (int c = 0; c < split->columns; c++)
			identity_add_column(identity, split->column[c].name, split->column[c].type, split->column[c].structure,
								split->column[c].sha256);
		identity_add_key(identity, split->keys, split->key);
	}
	identity_finish(identity, computed);
	return memcmp(stored->content_sha256, computed, SPARSE_SHA256_BYTES) == 0;
}

static void
report_stray(Verifier *verifier, int64 count, const char *what)
{
	if (count > 0)
		report(verifier, psprintf(INT64_FORMAT " %s", count, what));
}

static void
verify_version(Verifier *verifier, const Stored *stored)
{
	int64		bytes = 0;

	for (int s = 0; s < stored->splits; s++)
		for (int c = 0; c < stored->split[s]->columns; c++)
			bytes += stored->split[s]->column[c].bytes;
	if (!has_identity(stored, false) && !has_identity(stored, true))
		report(verifier, "the version's splits, columns or keys, or the SHA-256 of their values, are not those that were stored");
	if (bytes != stored->raw_bytes)
		report(verifier, psprintf("the version has " INT64_FORMAT " bytes, but its columns have " INT64_FORMAT,
								  stored->raw_bytes, bytes));
	report_stray(verifier, stored->stray_columns, "columns belong to no split");
	report_stray(verifier, stored->stray_chunks, "rows of chunks belong to no column");
}

static void
verify_split(Verifier *verifier, Split *split, int number)
{
	verifier->split = split;
	if (split->ordinal != number)
		report(verifier, psprintf("it is number %d of the splits, but stands at %d", split->ordinal, number));
	for (int c = 0; c < split->columns; c++)
		verify_column(verifier, c);
	verifier->split = NULL;
}

Datum
dataset_verify(PG_FUNCTION_ARGS)
{
	Verifier	verifier = {0};
	Stored		stored = {.version = &verifier.version, .context = CurrentMemoryContext};
	const char *problem;

	answer_begin(fcinfo, &verifier.answer);
	version_from_argument(fcinfo, 0, false, &verifier.version);
	dataset_check(&verifier.version);
	verifier.label = version_label(CurrentMemoryContext, &verifier.version);
	problem = check_attempt(try_version, &stored);
	if (problem != NULL)
	{
		report(&verifier, problem);
		return (Datum) 0;
	}
	verify_version(&verifier, &stored);
	for (int s = 0; s < stored.splits; s++)
		verify_split(&verifier, stored.split[s], s);
	return (Datum) 0;
}
