/*
 * have.c: what content a client says that it holds (see have.h).
 */
#include "have.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "find.h"
#include "model/answer.h"
#include "model/import.h"

#define MAX_ELEMENTS 1000

/* Of an object that occurs very often in what the client holds, so many places are looked at. */
#define PLACES_MAX 1000

#define SHA256_PREFIX "sha256:"

typedef struct HaveElement
{
	int64		version;		/* 0: nothing that the caller can read */
	int32		file;			/* -1: all files */
} HaveElement;

struct Have
{
	int			elements;
	HaveElement *element;
	int			versions;		/* distinct ones */
	int64	   *version;
	Datum		array;			/* of them, int8[] */
};

/* ---- which versions and files are meant ---- */

static void
resolve_file(const char *digits, bool read_only, HaveElement *element)
{
	uint8		sha256[SPARSE_SHA256_BYTES];

	if (!find_parse_sha256(digits, strlen(digits), sha256))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid SHA-256 in have: \"%s\"", digits),
				errdetail("After \"%s\" come 64 hexadecimal digits.", SHA256_PREFIX));
	if (!find_file(sha256, read_only, &element->version, &element->file))
		element->version = 0;
}

static void
resolve(const char *reference, bool read_only, HaveElement *element)
{
	StoreVersion version;

	if (strncmp(reference, SHA256_PREFIX, strlen(SHA256_PREFIX)) == 0)
	{
		resolve_file(reference + strlen(SHA256_PREFIX), read_only, element);
		return;
	}
	version_from_text(reference, false, &version);
	element->version = version.id;
	element->file = -1;
}

static void
list_versions(Have *have)
{
	Datum	   *value = palloc(Max(have->elements, 1) * sizeof(Datum));

	have->version = palloc(Max(have->elements, 1) * sizeof(int64));
	for (int i = 0; i < have->elements; i++)
	{
		bool		listed = have->element[i].version == 0;

		for (int j = 0; j < have->versions && !listed; j++)
			listed = have->version[j] == have->element[i].version;
		if (listed)
			continue;
		value[have->versions] = Int64GetDatum(have->element[i].version);
		have->version[have->versions++] = have->element[i].version;
	}
	have->array = array_datum(INT8OID, value, have->versions);
}

Have *
have_of_argument(FunctionCallInfo fcinfo, int argument, bool read_only)
{
	Have	   *have = palloc0(sizeof(Have));
	char	  **reference;

	have->elements = import_text_elements(fcinfo, argument, "have", &reference);
	if (have->elements > MAX_ELEMENTS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many elements in have: %d", have->elements),
				errdetail("At most %d are looked at.", MAX_ELEMENTS));
	have->element = palloc0(Max(have->elements, 1) * sizeof(HaveElement));
	for (int i = 0; i < have->elements; i++)
		resolve(reference[i], read_only, &have->element[i]);
	list_versions(have);
	return have;
}

Have *
have_of_argument_now(FunctionCallInfo fcinfo, int argument)
{
	Have	   *have;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	have = have_of_argument(fcinfo, argument, true);
	PopActiveSnapshot();
	return have;
}

int
have_versions(const Have *have, const int64 **version)
{
	*version = have->version;
	return have->versions;
}

/* ---- where an object lies in them ---- */

/* The first element that holds a file of a version; false: none. */
static bool
find_element(const Have *have, int64 version, int32 file, HavePlace *where)
{
	for (int i = 0; i < have->elements; i++)
	{
		const HaveElement *element = &have->element[i];

		if (element->version != version || (element->file >= 0 && element->file != file))
			continue;
		where->element = i + 1;
		where->file = element->file >= 0 ? 0 : file;
		return true;
	}
	return false;
}

/* Of rows (version, file, first byte), the one in the first element; the row's number, -1: none. */
static int
first_element(const Have *have, const SPITupleTable *rows, uint64 count, HavePlace *where)
{
	int			best = -1;

	for (uint64 i = 0; i < count; i++)
	{
		HavePlace	place = {0};

		if (!find_element(have, row_int64(rows, i, 1), row_int32(rows, i, 2), &place) ||
			(best >= 0 && where->element <= place.element))
			continue;
		place.first = (uint64) row_int64(rows, i, 3);
		*where = place;
		best = (int) i;
	}
	return best;
}

/* A file's own object is where the file begins, unless it is a literal in pieces: that one is not looked for. */
#define LIES_AT_ZERO(f) \
	"(" f ".format in ('safetensors', 'bytes')" \
	"     or " f ".object_bytes = coalesce((select t.first_byte from sparse.tensor t" \
	"                                       where t.version = " f ".version and t.file = " f ".ordinal" \
	"                                       order by t.ordinal limit 1), " f ".object_bytes))"

static StoreQuery object_query = {
	.sql = "(select t.version, t.file, t.first_byte from sparse.tensor t"
	"   where t.object = $1 and t.version = any ($2) limit $3)"
	" union all (select f.version, f.ordinal, 0::bigint from sparse.file f"
	"   where f.object = $1 and f.version = any ($2) and " LIES_AT_ZERO("f") " limit $3)",
	.args = 3, .arg = {INT8OID, INT8ARRAYOID, INT8OID},
	.columns = 3, .column = {INT8OID, INT4OID, INT8OID}};

bool
have_object(const Have *have, int64 object, HavePlace *where)
{
	Datum		argument[3] = {Int64GetDatum(object), have->array, Int64GetDatum(PLACES_MAX)};
	SPITupleTable *rows;
	uint64		count;
	bool		found;

	if (have->versions == 0)
		return false;
	count = query_run(&object_query, argument, NULL, true, &rows);
	found = first_element(have, rows, count, where) >= 0;
	SPI_freetuptable(rows);
	return found;
}

/* ---- what a client names in them ---- */

static StoreQuery named_query = {
	.sql = "select t.object from sparse.tensor t where t.version = $1 and t.file = $2 and t.ordinal = $3",
	.args = 3, .arg = {INT8OID, INT4OID, INT4OID},
	.columns = 1, .column = {INT8OID}};

bool
version_tensor(int64 version, int64 file, int64 tensor, int64 *object)
{
	Datum		argument[3] = {Int64GetDatum(version), Int32GetDatum((int32) file), Int32GetDatum((int32) tensor)};
	SPITupleTable *rows;
	bool		found;

	if (file < 0 || file > PG_INT32_MAX || tensor < 0 || tensor > PG_INT32_MAX)
		return false;
	found = query_run(&named_query, argument, NULL, false, &rows) > 0;
	if (found)
		*object = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return found;
}

bool
have_tensor(const Have *have, int64 element, int64 file, int64 tensor, int64 *object)
{
	const HaveElement *of;

	if (element < 1 || element > have->elements)
		return false;
	of = &have->element[element - 1];
	if (of->version == 0 || (of->file >= 0 && file != 0))
		return false;
	return version_tensor(of->version, of->file >= 0 ? of->file : file, tensor, object);
}

/* By what the files are: the client's may be known from another version than the parent. */
static StoreQuery parents_query = {
	.sql = "select not exists (select from sparse.parent p join sparse.file f on f.version = p.parent"
	"  where p.child = $1 and f.format = 'safetensors' and not exists ("
	"    select from unnest($2, $3) e (version, file) join sparse.file h on h.version = e.version"
	"    where (e.file < 0 or h.ordinal = e.file) and h.sha256 = f.sha256))",
	.args = 3, .arg = {INT8OID, INT8ARRAYOID, INT4ARRAYOID},
	.columns = 1, .column = {BOOLOID}};

bool
have_parents(const Have *have, int64 version)
{
	Datum	   *versions = palloc(Max(have->elements, 1) * sizeof(Datum));
	Datum	   *files = palloc(Max(have->elements, 1) * sizeof(Datum));
	Datum		argument[3] = {Int64GetDatum(version)};
	SPITupleTable *rows;
	bool		all;

	for (int i = 0; i < have->elements; i++)
	{
		versions[i] = Int64GetDatum(have->element[i].version);
		files[i] = Int32GetDatum(have->element[i].file);
	}
	argument[1] = array_datum(INT8OID, versions, have->elements);
	argument[2] = array_datum(INT4OID, files, have->elements);
	query_run(&parents_query, argument, NULL, false, &rows);
	all = DatumGetBool(row_datum(rows, 0, 1));
	SPI_freetuptable(rows);
	return all;
}

/* ---- and what lies there in its place ---- */

static StoreQuery tensor_query = {
	.sql = "select h.version, h.file, h.first_byte, h.object"
	"  from (select * from sparse.tensor n where n.version = $1 and n.name = $3 offset 0) t"
	"  join sparse.tensor h on h.name = $3 and h.version = any ($4) and h.dtype = t.dtype"
	"   and cardinality(h.shape) = cardinality(t.shape) and h.shape[2:] = t.shape[2:] and h.bytes > 0"
	" where t.file = $2"
	" limit $5",
	.args = 5, .arg = {INT8OID, INT4OID, TEXTOID, INT8ARRAYOID, INT8OID},
	.columns = 4, .column = {INT8OID, INT4OID, INT8OID, INT8OID}};

static StoreQuery file_query = {
	.sql = "select h.version, h.ordinal, 0::bigint, h.object"
	"  from sparse.file f"
	"  join sparse.file h on h.format = f.format and h.object_bytes > 0 and " LIES_AT_ZERO("h")
	" where f.version = $1 and f.ordinal = $2 and h.version = any ($3)"
	"   and (h.path = f.path"
	"        or 1 = (select count(*) from sparse.file o where o.version = h.version and o.format = f.format)"
	"       and 1 = (select count(*) from sparse.file o where o.version = f.version and o.format = f.format))"
	" limit $4",
	.args = 4, .arg = {INT8OID, INT4OID, INT8ARRAYOID, INT8OID},
	.columns = 4, .column = {INT8OID, INT4OID, INT8OID, INT8OID}};

static uint64
kin_rows(const Have *have, int64 version, const VersionFile *file, const FilePart *part,
		 SPITupleTable **rows)
{
	Datum		argument[5] = {Int64GetDatum(version), Int32GetDatum(file->ordinal)};

	if (part->tensor == NULL)
	{
		argument[2] = have->array;
		argument[3] = Int64GetDatum(PLACES_MAX);
		return query_run(&file_query, argument, NULL, true, rows);
	}
	argument[2] = CStringGetTextDatum(part->tensor);
	argument[3] = have->array;
	argument[4] = Int64GetDatum(PLACES_MAX);
	return query_run(&tensor_query, argument, NULL, true, rows);
}

bool
have_kin(const Have *have, int64 version, const VersionFile *file, const FilePart *part,
		 int64 *object, HavePlace *where)
{
	SPITupleTable *rows;
	uint64		count;
	int			row;

	if (have->versions == 0)
		return false;
	count = kin_rows(have, version, file, part, &rows);
	row = first_element(have, rows, count, where);
	if (row >= 0)
		*object = row_int64(rows, row, 4);
	SPI_freetuptable(rows);
	return row >= 0;
}

Datum
have_refs(const HavePlace *where, uint64 first, uint64 bytes)
{
	Datum		value[4] = {Int64GetDatum(where->element), Int64GetDatum(where->file),
	Int64GetDatum((int64) (where->first + first)), Int64GetDatum((int64) bytes)};
	int			dimension[2] = {1, 4};
	int			lower[2] = {1, 1};
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(INT8OID, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(value, NULL, 2, dimension, lower, INT8OID,
											  length, by_value, align));
}
