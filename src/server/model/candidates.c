/*
 * candidates.c: what a new object may be predicted from.
 *
 * For a tensor: the tensors of the same name in the parents, in the order of the
 * parents, if they have the same dtype and differ at most in the number of rows;
 * within a parent the file of the same path comes first. For a header or any
 * other file: the parent's file of the same path, or, where both versions have
 * one file of its format only (safetensors, GGUF), that one. Which of them is taken, and whether any,
 * is decided by the store on a sample.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "answer.h"
#include "import.h"

/* By its name first, and nothing else: a plan made for small tables would look through all of a file. */
static StoreQuery tensor_query = {
	.sql = "select t.object"
	"  from (select * from sparse.tensor n where n.version = $1 and n.name = $2 offset 0) t"
	"  join sparse.file f on f.version = $1 and f.ordinal = t.file"
	" where t.dtype = $3"
	"   and cardinality(t.shape) = $4 and t.shape[2:] = $5 and t.bytes > 0"
	" order by f.path <> $6, t.file"
	" limit 1",
	.args = 6, .arg = {INT8OID, TEXTOID, TEXTOID, INT4OID, INT8ARRAYOID, TEXTOID},
	.columns = 1, .column = {INT8OID}};

static StoreQuery file_query = {
	.sql = "select f.object"
	"  from sparse.file f"
	" where f.version = $1 and f.format = $2 and f.object_bytes > 0"
	"   and (f.path = $3"
	"        or $4 and 1 = (select count(*) from sparse.file o"
	"                       where o.version = $1 and o.format = $2))"
	" order by f.path <> $3, f.ordinal"
	" limit 1",
	.args = 4, .arg = {INT8OID, TEXTOID, TEXTOID, BOOLOID},
	.columns = 1, .column = {INT8OID}};

/* All dimensions but the first. */
static Datum
trailing_dimensions(const PlanTensor *tensor)
{
	Datum		value[64];
	int			count = 0;

	for (uint32 i = 1; i < tensor->rank && count < (int) lengthof(value); i++)
		value[count++] = Int64GetDatum((int64) tensor->shape[i]);
	return array_datum(INT8OID, value, count);
}

static uint64
find_tensor(const Import *import, int64 parent, const PlanObject *object, SPITupleTable **rows)
{
	const PlanTensor *tensor = object->tensor;
	Datum		argument[6];

	argument[0] = Int64GetDatum(parent);
	argument[1] = CStringGetTextDatum(tensor->name);
	argument[2] = CStringGetTextDatum(tensor->dtype);
	argument[3] = Int32GetDatum((int32) tensor->rank);
	argument[4] = trailing_dimensions(tensor);
	argument[5] = CStringGetTextDatum(import->plan->file[object->file].path);
	return query_run(&tensor_query, argument, NULL, false, rows);
}

static bool
is_only_of_its_kind(const ImportPlan *plan, const PlanFile *file)
{
	int			count = 0;

	for (int i = 0; i < plan->files && count < 2; i++)
		count += plan->file[i].kind == file->kind;
	return file->kind != SPARSE_FILE_BYTES && count == 1;
}

static uint64
find_file(const Import *import, int64 parent, const PlanObject *object, SPITupleTable **rows)
{
	const PlanFile *file = &import->plan->file[object->file];
	Datum		argument[4];

	argument[0] = Int64GetDatum(parent);
	argument[1] = CStringGetTextDatum(sparse_file_kind_name(file->kind));
	argument[2] = CStringGetTextDatum(file->path);
	argument[3] = BoolGetDatum(is_only_of_its_kind(import->plan, file));
	return query_run(&file_query, argument, NULL, false, rows);
}

static bool
is_among(int64 id, const int64 *candidate, int count)
{
	for (int i = 0; i < count; i++)
		if (candidate[i] == id)
			return true;
	return false;
}

int
import_candidates(const Import *import, const PlanObject *object,
				  int64 candidate[MAX_CANDIDATES])
{
	int			count = 0;

	if (object->bytes == 0)
		return 0;
	for (int i = 0; i < import->parents && count < MAX_CANDIDATES; i++)
	{
		int64		parent = import->parent[i].version.id;
		SPITupleTable *rows;
		uint64		found = object->tensor != NULL ? find_tensor(import, parent, object, &rows)
			: find_file(import, parent, object, &rows);

		if (found > 0)
		{
			int64		id = row_int64(rows, 0, 1);

			if (!is_among(id, candidate, count))
				candidate[count++] = id;
		}
		SPI_freetuptable(rows);
	}
	return count;
}
