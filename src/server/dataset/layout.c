/*
 * layout.c: rows of sparse.split, sparse.column and sparse.column_chunk, read (see dataset.h).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "dataset.h"

int
closed_path_enter(void)
{
	return settings_enter(CLOSED_PATH);
}

void
closed_path_leave(int nest)
{
	settings_leave(nest);
}

void
dataset_check(const StoreVersion *version)
{
	if (version->kind != 'd')
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("version " INT64_FORMAT " (\"%s@%d\") is a model, not a dataset",
						version->id, version->name, version->revision)));
}

/* ---- splits ---- */

static StoreQuery splits_query = {
	.sql = "select ordinal, name, rows, key from sparse.split where version = $1 order by ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 4, .column = {INT2OID, TEXTOID, INT8OID, INT2ARRAYOID}};

static StoreQuery columns_query = {
	.sql = "select c.ordinal, c.name, c.type, c.structure, c.bytes, c.sha256, m.rows[1], m.object[1] from sparse.column c"
	" left join sparse.column_chunk m on m.version = c.version and m.split = c.split and m.ordinal = c.ordinal"
	"       and m.first_row = " MAP_ROW_TEXT
	" where c.version = $1 and c.split = $2 order by c.ordinal",
	.args = 2, .arg = {INT8OID, INT2OID},
	.columns = 8, .column = {INT2OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT4OID, INT8OID}};

static void
read_key(Split *split, MemoryContext context, Datum key)
{
	Datum	   *element;
	bool	   *null;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(key), INT2OID, 2, true, TYPALIGN_SHORT, &element, &null, &count);
	split->key = MemoryContextAlloc(context, Max(count, 1) * sizeof(int16));
	split->keys = count;
	for (int i = 0; i < count; i++)
		split->key[i] = null[i] ? -1 : DatumGetInt16(element[i]);
}

static void
read_columns(Split *split, MemoryContext context)
{
	Datum		value[2] = {Int64GetDatum(split->version.id), Int16GetDatum(split->ordinal)};
	SPITupleTable *rows;
	uint64		count = query_run(&columns_query, value, NULL, true, &rows);
	bool		mapped = false;

	split->columns = (int) count;
	split->column = MemoryContextAllocZero(context, Max(count, 1) * sizeof(SplitColumn));
	for (uint64 i = 0; i < count; i++)
	{
		SplitColumn *column = &split->column[i];

		column->ordinal = DatumGetInt16(row_datum(rows, i, 1));
		column->name = row_text(context, rows, i, 2);
		column->type = row_text(context, rows, i, 3);
		column->structure = row_text(context, rows, i, 4);
		column->bytes = row_int64(rows, i, 5);
		row_sha256(rows, i, 6, column->sha256);
		column->map = row_is_null(rows, i, 8) ? 0 : row_int64(rows, i, 8);
		column->stored_rows = row_is_null(rows, i, 7) ? split->rows : DatumGetInt32(row_datum(rows, i, 7));
		mapped |= column->map != 0;
	}
	/* one that has lost its map must not be read without it */
	for (int i = 0; i < split->columns; i++)
		if (mapped && split->column[i].map == 0)
			split->column[i].map = -1;
}

/* Row `row` of the splits of a version, and its columns, as they are. */
static Split *
read_split(MemoryContext context, const StoreVersion *version, const SPITupleTable *rows, uint64 row)
{
	Split	   *split = MemoryContextAllocZero(context, sizeof(Split));

	split->version = *version;
	split->ordinal = DatumGetInt16(row_datum(rows, row, 1));
	split->name = row_text(context, rows, row, 2);
	split->rows = row_int64(rows, row, 3);
	split->map = MemoryContextAllocZero(context, sizeof(RowMap));
	read_key(split, context, row_datum(rows, row, 4));
	read_columns(split, context);
	return split;
}

static void
check_key(const Split *split)
{
	for (int i = 0; i < split->keys; i++)
		if (split->key[i] < 0 || split->key[i] >= split->columns)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the key of split \"%s\" of version " INT64_FORMAT " is corrupt",
							split->name, split->version.id)));
}

pg_noreturn static void
no_such_split(const StoreVersion *version, const char *name, const SPITupleTable *rows, uint64 count)
{
	StringInfoData names;

	initStringInfo(&names);
	for (uint64 i = 0; i < count; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", row_text(CurrentMemoryContext, rows, i, 2));
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("version \"%s@%d\" has several splits", version->name, version->revision),
				 errhint("Name one of them: %s.", names.data)));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("version \"%s@%d\" has no split \"%s\"", version->name, version->revision, name),
			 errhint("It has: %s.", names.data)));
	pg_unreachable();
}

/* The row of the split that is meant. */
static uint64
choose_split(const StoreVersion *version, const char *name, const SPITupleTable *rows, uint64 count)
{
	const char *wanted = name != NULL ? name : DEFAULT_SPLIT;

	if (name == NULL && count == 1)
		return 0;
	for (uint64 i = 0; i < count; i++)
		if (strcmp(row_text(CurrentMemoryContext, rows, i, 2), wanted) == 0)
			return i;
	no_such_split(version, name, rows, count);
}

Split *
split_open(const StoreVersion *version, const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	Split	   *split;
	Datum		value = Int64GetDatum(version->id);
	int			nest = closed_path_enter();
	StoreAccess access;
	SPITupleTable *rows;
	uint64		row;

	dataset_check(version);
	store_enter(&access);
	answer_connect();
	row = query_run(&splits_query, &value, NULL, true, &rows);
	row = choose_split(version, name, rows, row);
	split = read_split(context, version, rows, row);
	check_key(split);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	return split;
}

int
splits_read(MemoryContext context, const StoreVersion *version, Split ***split)
{
	Datum		value = Int64GetDatum(version->id);
	SPITupleTable *rows;
	uint64		count = query_run(&splits_query, &value, NULL, true, &rows);

	*split = MemoryContextAlloc(context, Max(count, 1) * sizeof(Split *));
	for (uint64 i = 0; i < count; i++)
		(*split)[i] = read_split(context, version, rows, i);
	SPI_freetuptable(rows);
	return (int) count;
}

int
split_names(int64 version, char ***name)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		value = Int64GetDatum(version);
	int			nest = closed_path_enter();
	StoreAccess access;
	SPITupleTable *rows;
	uint64		count;

	store_enter(&access);
	answer_connect();
	count = query_run(&splits_query, &value, NULL, true, &rows);
	*name = MemoryContextAlloc(context, Max(count, 1) * sizeof(char *));
	for (uint64 i = 0; i < count; i++)
		(*name)[i] = row_text(context, rows, i, 2);
	answer_finish();
	store_leave(&access);
	closed_path_leave(nest);
	return (int) count;
}

int
split_find_column(const Split *split, const char *name)
{
	for (int i = 0; i < split->columns; i++)
		if (strcmp(split->column[i].name, name) == 0)
			return i;
	return -1;
}

/* The type of a column: the one that was guarded, whatever its name is by now, or the one that has its name; false: none. */
static bool
find_type(const SplitColumn *column, Oid *type, int32 *typmod)
{
	Oid			guarded;
	bool		named = type_find(column->type, type, typmod);

	if (!type_guarded(column->type, named ? *type : InvalidOid, &guarded))
		return named;
	if (!named || *type != guarded)
		*typmod = -1;
	*type = guarded;
	return true;
}

TypeCoder *
split_coder(Split *split, int number)
{
	SplitColumn *column = &split->column[number];
	Oid			type;
	int32		typmod;
	int			nest;
	TypeCoder  *coder;
	char	   *structure;

	if (column->coder != NULL)
		return column->coder;
	nest = closed_path_enter();
	if (!find_type(column, &type, &typmod))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s of column \"%s\" does not exist", column->type, column->name),
				 errdetail("The dataset was stored when it did."),
				 errhint("sparse_rows(..., form => 'text') shows its values.")));
	coder = type_coder(type, typmod, column->name);
	structure = type_structure(coder);
	closed_path_leave(nest);
	if (strcmp(structure, column->structure) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type %s of column \"%s\" has changed since the dataset was stored",
						column->type, column->name),
				 errdetail("It was made of \"%s\", and is made of \"%s\".", column->structure, structure),
				 errhint("sparse_rows(..., form => 'text') shows its values.")));
	column->coder = coder;
	return coder;
}

TypeCoder *
split_coder_stored(Split *split, int number)
{
	SplitColumn *column = &split->column[number];
	TypeCoder  *coder = NULL;
	Oid			type;
	int32		typmod;
	int			nest;

	if (column->coder != NULL)
		return column->coder;
	nest = closed_path_enter();
	if (find_type(column, &type, &typmod))
		coder = type_coder(type, typmod, column->name);
	if (coder == NULL || strcmp(type_structure(coder), column->structure) != 0)
		coder = type_coder_stored(column->type, column->structure, column->name);
	closed_path_leave(nest);
	type_uncheck(coder);
	type_be_lenient(coder);
	column->coder = coder;
	return coder;
}

/* ---- chunks ---- */

static StoreQuery next_chunks_query = {
	.sql = "select first_row, rows, object from sparse.column_chunk"
	" where version = $1 and split = $2 and ordinal = $3 and first_row > $4 and first_row < " MAP_ROW_TEXT
	" order by first_row limit 1",
	.args = 4, .arg = {INT8OID, INT2OID, INT2OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT4ARRAYOID, INT8ARRAYOID}};

static StoreQuery chunks_query = {
	.sql = "select first_row, rows, object from sparse.column_chunk"
	" where version = $1 and split = $2 and ordinal = $3 and first_row <= $4"
	" order by first_row desc limit 1",
	.args = 4, .arg = {INT8OID, INT2OID, INT2OID, INT8OID},
	.columns = 3, .column = {INT8OID, INT4ARRAYOID, INT8ARRAYOID}};

pg_noreturn static void
chunks_corrupt(int64 version, int16 column)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the chunks of column %d of version " INT64_FORMAT " are corrupt", column, version)));
	pg_unreachable();
}

static int
read_chunks(int64 version, int16 column, const SPITupleTable *rows, ChunkEntry *entry)
{
	Datum	   *chunk_rows;
	Datum	   *object;
	bool	   *rows_null;
	bool	   *object_null;
	int			count;
	int			objects;
	int64		first = row_int64(rows, 0, 1);

	deconstruct_array(DatumGetArrayTypeP(row_datum(rows, 0, 2)), INT4OID, 4, true, TYPALIGN_INT,
					  &chunk_rows, &rows_null, &count);
	deconstruct_array(DatumGetArrayTypeP(row_datum(rows, 0, 3)), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &object, &object_null, &objects);
	if (count != objects || count < 1 || count > CHUNKS_A_ROW)
		chunks_corrupt(version, column);
	for (int i = 0; i < count; i++)
	{
		int32		signed_rows = DatumGetInt32(chunk_rows[i]);

		if (rows_null[i] || object_null[i] || signed_rows == 0 || signed_rows == PG_INT32_MIN)
			chunks_corrupt(version, column);
		entry[i].first_row = first;
		entry[i].rows = abs(signed_rows);
		entry[i].plain = signed_rows < 0;
		entry[i].object = DatumGetInt64(object[i]);
		first += entry[i].rows;
	}
	return count;
}

int
split_chunks(int64 version, int16 split, int16 column, int64 first_row, bool read_only, ChunkEntry *entry)
{
	Datum		value[4] = {Int64GetDatum(version), Int16GetDatum(split), Int16GetDatum(column), Int64GetDatum(first_row)};
	SPITupleTable *rows;
	int			count;

	if (query_run(&chunks_query, value, NULL, read_only, &rows) == 0)
		chunks_corrupt(version, column);
	count = read_chunks(version, column, rows, entry);
	SPI_freetuptable(rows);
	if (first_row < entry[0].first_row || first_row >= entry[count - 1].first_row + entry[count - 1].rows)
		chunks_corrupt(version, column);
	return count;
}

int
split_next_chunks(const Split *split, int16 column, int64 behind, int64 *first_row, ChunkEntry *entry)
{
	Datum		value[4] = {Int64GetDatum(split->version.id), Int16GetDatum(split->ordinal), Int16GetDatum(column),
	Int64GetDatum(behind)};
	SPITupleTable *rows;
	int			count = 0;

	if (query_run(&next_chunks_query, value, NULL, true, &rows) > 0)
	{
		*first_row = row_int64(rows, 0, 1);
		count = read_chunks(split->version.id, column, rows, entry);
	}
	SPI_freetuptable(rows);
	return count;
}

/* ---- maps ---- */

pg_noreturn static void
map_corrupt(const Split *split, int64 object)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the map of rows of split \"%s\" of version " INT64_FORMAT " is corrupt", split->name, split->version.id),
			 errdetail("It is object " INT64_FORMAT ".", object)));
	pg_unreachable();
}

static void
decode_map(const Split *split, const SplitColumn *column, const uint8 *content, uint64 bytes)
{
	RowMap	   *map = split->map;

	if (sparse_rowmap_read(content, bytes, &map->head) != SPARSE_OK || map->head.rows != (uint64) split->rows ||
		map->head.stored != (uint64) column->stored_rows || split->rows > MAP_MOST)
		map_corrupt(split, column->map);
	if (map->row == NULL)
		map->row = MemoryContextAllocHuge(GetMemoryChunkContext(map), Max(split->rows, 1) * sizeof(uint32));
	if (sparse_rowmap_numbers(content, &map->head, map->row) != SPARSE_OK)
		map_corrupt(split, column->map);
}

const RowMap *
split_map(ObjectReader *objects, const Split *split, const SplitColumn *column)
{
	ObjectInfo	info;
	char	   *content;

	if (split->map->object == column->map)
	{
		if (split->map->head.stored != (uint64) column->stored_rows)
			map_corrupt(split, column->map);
		return split->map;
	}
	if (split->map->object != 0 || !object_info(objects, column->map, &info) || info.bytes > SPARSE_MAX_CONTENT)
		map_corrupt(split, column->map);
	content = palloc_extended(info.bytes + 1, MCXT_ALLOC_HUGE);
	object_read(objects, column->map, 0, info.bytes, content);
	decode_map(split, column, (uint8 *) content, info.bytes);
	split->map->object = column->map;
	pfree(content);
	return split->map;
}
