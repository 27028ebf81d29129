/*
 * find.c: which versions that the caller can read have some content (see find.h), and
 * sparse_find_file.
 */
#include "find.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "model/answer.h"

PG_FUNCTION_INFO_V1(wire_find_file);

#define FILES_A_BATCH 200

/* Of content in very many versions, the newest so many are looked at. */
#define VERSIONS_OF_OBJECT 64

/* Versions found readable that are tried first. */
#define READABLE_MAX 256

static int
digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

bool
find_parse_sha256(const char *text, size_t length, uint8 sha256[SPARSE_SHA256_BYTES])
{
	if (length != 2 * SPARSE_SHA256_BYTES)
		return false;
	for (int i = 0; i < SPARSE_SHA256_BYTES; i++)
	{
		int			high = digit_value(text[2 * i]);
		int			low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		sha256[i] = (uint8) (high << 4 | low);
	}
	return true;
}

/* ---- files ---- */

static StoreQuery files_query = {
	.sql = "select f.version, f.ordinal, f.path, f.bytes from sparse.file f"
	" where f.sha256 = $1 and (f.version, f.ordinal) < ($2, $3)"
	" order by f.version desc, f.ordinal desc limit $4",
	.args = 4, .arg = {BYTEAOID, INT8OID, INT4OID, INT8OID},
	.columns = 4, .column = {INT8OID, INT4OID, TEXTOID, INT8OID}};

/* Some files with the SHA-256, before (version, ordinal) in the order from the newest on. */
typedef struct FileBatch
{
	int			count;
	int64		version[FILES_A_BATCH];
	int32		ordinal[FILES_A_BATCH];
	char	   *path[FILES_A_BATCH];
	int64		bytes[FILES_A_BATCH];
	bool		readable[FILES_A_BATCH];
} FileBatch;

static void
read_batch(FileBatch *batch, Datum sha256, int64 version, int32 ordinal, bool read_only)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		argument[4] = {sha256, Int64GetDatum(version), Int32GetDatum(ordinal),
	Int64GetDatum(FILES_A_BATCH)};
	StoreAccess access;
	SPITupleTable *rows;

	store_enter(&access);
	answer_connect();
	batch->count = (int) query_run(&files_query, argument, NULL, read_only, &rows);
	for (int i = 0; i < batch->count; i++)
	{
		batch->version[i] = row_int64(rows, i, 1);
		batch->ordinal[i] = row_int32(rows, i, 2);
		batch->path[i] = row_text(context, rows, i, 3);
		batch->bytes[i] = row_int64(rows, i, 4);
	}
	answer_finish();
	store_leave(&access);
	versions_readable(batch->version, batch->count, read_only, batch->readable);
}

/* Called for each file that the caller can read; true: that is enough. */
typedef bool (*FileFound) (void *state, const FileBatch *batch, int number);

static void
each_file(const uint8 *sha256, bool read_only, FileFound found, void *state)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse files",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FileBatch  *batch = MemoryContextAlloc(previous, sizeof(FileBatch));
	int64		version = PG_INT64_MAX;
	int32		ordinal = 0;
	bool		enough = false;

	do
	{
		CHECK_FOR_INTERRUPTS();
		read_batch(batch, sha256_datum(sha256), version, ordinal, read_only);
		for (int i = 0; i < batch->count && !enough; i++)
		{
			version = batch->version[i];
			ordinal = batch->ordinal[i];
			if (batch->readable[i])
				enough = found(state, batch, i);
		}
		MemoryContextReset(context);
	} while (!enough && batch->count == FILES_A_BATCH);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	pfree(batch);
}

typedef struct FirstFile
{
	bool		found;
	int64		version;
	int32		file;
} FirstFile;

static bool
take_first(void *state, const FileBatch *batch, int number)
{
	FirstFile  *first = state;

	first->found = true;
	first->version = batch->version[number];
	first->file = batch->ordinal[number];
	return true;
}

bool
find_file(const uint8 *sha256, bool read_only, int64 *version, int32 *file)
{
	FirstFile	first = {0};

	each_file(sha256, read_only, take_first, &first);
	*version = first.version;
	*file = first.file;
	return first.found;
}

static bool
add_to_answer(void *state, const FileBatch *batch, int number)
{
	Datum		value[3] = {Int64GetDatum(batch->version[number]),
		CStringGetTextDatum(batch->path[number]), Int64GetDatum(batch->bytes[number])};
	bool		null[3] = {false};

	answer_add(state, value, null);
	return false;
}

/* sparse_find_file(sha256) */
Datum
wire_find_file(PG_FUNCTION_ARGS)
{
	bytea	   *sha256 = PG_GETARG_BYTEA_PP(0);
	Answer		answer;

	if (VARSIZE_ANY_EXHDR(sha256) != SPARSE_SHA256_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a SHA-256 has %d bytes", SPARSE_SHA256_BYTES),
				errdetail("%d bytes were given.", (int) VARSIZE_ANY_EXHDR(sha256)),
				errhint("Of hexadecimal digits, decode(..., 'hex') makes bytes."));
	answer_begin(fcinfo, &answer);
	each_file((const uint8 *) VARDATA_ANY(sha256), true, add_to_answer, &answer);
	return (Datum) 0;
}

/* ---- objects ---- */

typedef struct KnownVersion
{
	int64		version;
	bool		readable;
} KnownVersion;

struct Known
{
	MemoryContext context;
	HTAB	   *versions;		/* whose readability was asked */
	int			count;
	Datum		readable[READABLE_MAX];
};

static void
add_readable(Known *known, int64 version)
{
	if (known->count < READABLE_MAX)
		known->readable[known->count++] = Int64GetDatum(version);
}

Known *
known_create(const int64 *readable, int count)
{
	Known	   *known = palloc0(sizeof(Known));
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(KnownVersion)};

	known->context = CurrentMemoryContext;
	control.hcxt = CurrentMemoryContext;
	known->versions = hash_create("sparse readable versions", 256, &control,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
		add_readable(known, readable[i]);
	return known;
}

static StoreQuery object_query = {
	.sql = "select o.id,"
	"       exists (select from sparse.tensor t where t.object = o.id and t.version = any ($3))"
	"       or exists (select from sparse.file f where f.object = o.id and f.version = any ($3))"
	"  from sparse.object o"
	" where o.sha256 = $1 and o.bytes = $2",
	.args = 3, .arg = {BYTEAOID, INT8OID, INT8ARRAYOID},
	.columns = 2, .column = {INT8OID, BOOLOID}};

static StoreQuery versions_query = {
	.sql = "(select t.version from sparse.tensor t where t.object = $1"
	"   order by t.version desc limit $2)"
	" union (select f.version from sparse.file f where f.object = $1"
	"   order by f.version desc limit $2)",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 1, .column = {INT8OID}};

/* The object of that content, whoever may read it; 0: none. *readable: found in one of the versions tried first. */
static int64
look_up(Known *known, const uint8 *sha256, uint64 bytes, bool *readable)
{
	Datum		argument[3] = {sha256_datum(sha256), Int64GetDatum((int64) bytes),
	array_datum(INT8OID, known->readable, known->count)};
	StoreAccess access;
	SPITupleTable *rows;
	int64		object = 0;

	*readable = false;
	store_enter(&access);
	answer_connect();
	if (query_run(&object_query, argument, NULL, false, &rows) > 0)
	{
		object = row_int64(rows, 0, 1);
		*readable = DatumGetBool(row_datum(rows, 0, 2));
	}
	answer_finish();
	store_leave(&access);
	return object;
}

/* The newest versions that the object occurs in. */
static int
versions_of(int64 object, bool read_only, int64 version[2 * VERSIONS_OF_OBJECT])
{
	Datum		argument[2] = {Int64GetDatum(object), Int64GetDatum(VERSIONS_OF_OBJECT)};
	StoreAccess access;
	SPITupleTable *rows;
	int			count;

	store_enter(&access);
	answer_connect();
	count = (int) query_run(&versions_query, argument, NULL, read_only, &rows);
	for (int i = 0; i < count; i++)
		version[i] = row_int64(rows, i, 1);
	answer_finish();
	store_leave(&access);
	return count;
}

bool
find_object_readable(int64 object)
{
	int64		version[2 * VERSIONS_OF_OBJECT];
	bool		readable[2 * VERSIONS_OF_OBJECT];
	int			count = versions_of(object, true, version);
	bool		any = false;

	versions_readable(version, count, true, readable);
	for (int i = 0; i < count; i++)
		any |= readable[i];
	return any;
}

/* Remembers which of these the caller can read; whether he can read any. */
static bool
any_readable(Known *known, const int64 *version, int count)
{
	int64		unknown[2 * VERSIONS_OF_OBJECT];
	bool		readable[2 * VERSIONS_OF_OBJECT];
	int			unknowns = 0;
	bool		any = false;

	for (int i = 0; i < count; i++)
	{
		KnownVersion *entry = hash_search(known->versions, &version[i], HASH_FIND, NULL);

		if (entry == NULL)
			unknown[unknowns++] = version[i];
		else
			any |= entry->readable;
	}
	if (any || unknowns == 0)
		return any;
	versions_readable(unknown, unknowns, false, readable);
	for (int i = 0; i < unknowns; i++)
	{
		KnownVersion *entry = hash_search(known->versions, &unknown[i], HASH_ENTER, NULL);

		entry->readable = readable[i];
		any |= readable[i];
		if (readable[i])
			add_readable(known, unknown[i]);
	}
	return any;
}

int64
known_object(Known *known, const uint8 *sha256, uint64 bytes)
{
	int64		version[2 * VERSIONS_OF_OBJECT];
	bool		readable;
	int64		object = look_up(known, sha256, bytes, &readable);

	if (object == 0 || readable)
		return object;
	return any_readable(known, version, versions_of(object, false, version)) ? object : 0;
}
