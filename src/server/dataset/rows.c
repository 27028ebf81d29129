/*
 * rows.c: the rows of a version: sparse_rows_as, sparse_rows, sparse_checkout, sparse_row,
 * and the listings sparse_splits and sparse_columns.
 *
 * Rows are made one at a time, in order. Only the columns that are asked for are
 * read, and of them only the chunks that hold the rows.
 */
#include "postgres.h"
#include "compat.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "model/answer.h"
#include "model/import.h"

#include "dataset.h"
#include "json.h"
#include "pack.h"

PG_FUNCTION_INFO_V1(dataset_rows_as);
PG_FUNCTION_INFO_V1(dataset_rows);
PG_FUNCTION_INFO_V1(dataset_checkout);
PG_FUNCTION_INFO_V1(dataset_row);
PG_FUNCTION_INFO_V1(dataset_splits);
PG_FUNCTION_INFO_V1(dataset_columns);

/* How sparse_rows() shows values. */
typedef enum RowForm
{
	ROW_VALUE,					/* as jsonb */
	ROW_TEXT,					/* the same, whatever became of the types */
	ROW_RAW						/* the bytes that are stored */
} RowForm;

typedef struct RowReader
{
	Split	   *split;
	ObjectReader *objects;
	int			columns;
	int		   *column;			/* numbers of those that are read */
	ColumnReader **reader;
	TupleDesc	row_type;		/* of the rows that are made; NULL: jsonb */
	int		   *from;			/* of each attribute of row_type, which of `reader`; -1: dropped */
	Datum	   *value;
	bool	   *null;
	RowForm		form;			/* of jsonb */
	int64		next;
	int64		end;
} RowReader;

/* Opens readers of the columns whose numbers are in `column`, whose values are checked where rows are made of them. */
static void
open_columns(RowReader *rows, MemoryContext context, bool read_only)
{
	rows->objects = object_reader_create(context, read_only);
	rows->reader = palloc(Max(rows->columns, 1) * sizeof(ColumnReader *));
	for (int i = 0; i < rows->columns; i++)
	{
		TypeCoder  *coder = rows->form == ROW_VALUE ? split_coder(rows->split, rows->column[i])
			: split_coder_stored(rows->split, rows->column[i]);

		if (rows->row_type == NULL)
			type_uncheck(coder);
		rows->reader[i] = column_open(context, rows->objects, rows->split, rows->column[i], read_only);
	}
}

/* The rows from `first` on, as many as wanted and there are. */
static void
set_range(RowReader *rows, FunctionCallInfo fcinfo, int first_argument)
{
	int64		first = PG_ARGISNULL(first_argument) ? 0 : PG_GETARG_INT64(first_argument);
	int64		count = PG_ARGISNULL(first_argument + 1) ? PG_INT64_MAX : PG_GETARG_INT64(first_argument + 1);

	if (first < 0 || count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("first and rows must not be negative")));
	rows->next = Min(first, rows->split->rows);
	rows->end = count > rows->split->rows - rows->next ? rows->split->rows : rows->next + count;
}

static char *
split_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static void
open_split(RowReader *rows, FunctionCallInfo fcinfo, int version_argument)
{
	StoreVersion version;

	version_from_argument(fcinfo, version_argument, false, &version);
	rows->split = split_open(&version, split_argument(fcinfo, version_argument + 1));
}

/* ---- as a row type ---- */

/* The column that an attribute is: of its name and type. */
static int
column_of_attribute(RowReader *rows, Form_pg_attribute attribute)
{
	Split	   *split = rows->split;
	int			number = split_find_column(split, NameStr(attribute->attname));
	const TypeCoder *coder;

	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("version \"%s@%d\" has no column \"%s\"",
						split->version.name, split->version.revision, NameStr(attribute->attname)),
				 errhint("Columns are found by name: sparse_columns() lists them.")));
	coder = split_coder(split, number);
	if (coder->type != attribute->atttypid || (attribute->atttypmod >= 0 && attribute->atttypmod != coder->typmod))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of version \"%s@%d\" has type %s, not %s",
						NameStr(attribute->attname), split->version.name, split->version.revision,
						split->column[number].type,
						format_type_with_typemod(attribute->atttypid, attribute->atttypmod))));
	return number;
}

static void
map_row_type(RowReader *rows, TupleDesc row_type)
{
	rows->row_type = row_type;
	rows->column = palloc(Max(row_type->natts, 1) * sizeof(int));
	rows->from = palloc(Max(row_type->natts, 1) * sizeof(int));
	rows->value = palloc0(Max(row_type->natts, 1) * sizeof(Datum));
	rows->null = palloc(Max(row_type->natts, 1) * sizeof(bool));
	for (int i = 0; i < row_type->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row_type, i);

		rows->from[i] = attribute->attisdropped ? -1 : rows->columns;
		if (!attribute->attisdropped)
			rows->column[rows->columns++] = column_of_attribute(rows, attribute);
	}
}

/* Makes the values of a row. */
static void
make_row(RowReader *rows, int64 row)
{
	for (int i = 0; i < rows->row_type->natts; i++)
	{
		rows->null[i] = true;
		if (rows->from[i] >= 0)
			rows->value[i] = column_value(rows->reader[rows->from[i]], row, &rows->null[i]);
	}
}

static RowReader *
begin_rows_as(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	RowReader  *rows = palloc0(sizeof(RowReader));
	TupleDesc	row_type;
	TypeFuncClass class = get_call_result_type(fcinfo, NULL, &row_type);

	if (class != TYPEFUNC_COMPOSITE && class != TYPEFUNC_COMPOSITE_DOMAIN)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("rowtype must be a row type"),
				 errhint("Give a null of the type of a table: null::my_table.")));
	open_split(rows, fcinfo, 1);
	map_row_type(rows, BlessTupleDesc(CreateTupleDescCopy(row_type)));
	open_columns(rows, context, true);
	set_range(rows, fcinfo, 3);
	MemoryContextSwitchTo(previous);
	return rows;
}

Datum
dataset_rows_as(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	RowReader  *rows;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = begin_rows_as(fcinfo, call->multi_call_memory_ctx);
	}
	call = SRF_PERCALL_SETUP();
	rows = call->user_fctx;
	if (rows->next >= rows->end)
		SRF_RETURN_DONE(call);
	make_row(rows, rows->next++);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(rows->row_type, rows->value, rows->null)));
}

/* ---- as jsonb ---- */

static void
choose_columns(RowReader *rows, FunctionCallInfo fcinfo, int argument)
{
	char	  **name;
	int			names = import_text_elements(fcinfo, argument, "columns", &name);

	rows->columns = PG_ARGISNULL(argument) ? rows->split->columns : names;
	rows->column = palloc(Max(rows->columns, 1) * sizeof(int));
	for (int i = 0; i < rows->columns; i++)
	{
		rows->column[i] = PG_ARGISNULL(argument) ? i : split_find_column(rows->split, name[i]);
		if (rows->column[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("version \"%s@%d\" has no column \"%s\"", rows->split->version.name,
							rows->split->version.revision, name[i])));
	}
}

static RowForm
form_argument(FunctionCallInfo fcinfo, int argument)
{
	char	   *form = PG_ARGISNULL(argument) ? "value" : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	if (strcmp(form, "value") == 0)
		return ROW_VALUE;
	if (strcmp(form, "text") == 0)
		return ROW_TEXT;
	if (strcmp(form, "raw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("form \"%s\" is unknown", form),
				 errhint("Forms are value, text and raw.")));
	return ROW_RAW;
}

static RowReader *
begin_rows(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	RowReader  *rows = palloc0(sizeof(RowReader));

	rows->form = form_argument(fcinfo, 5);
	open_split(rows, fcinfo, 0);
	choose_columns(rows, fcinfo, 2);
	open_columns(rows, context, true);
	set_range(rows, fcinfo, 3);
	MemoryContextSwitchTo(previous);
	return rows;
}

Datum
dataset_rows(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	RowReader  *rows;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = begin_rows(fcinfo, call->multi_call_memory_ctx);
	}
	call = SRF_PERCALL_SETUP();
	rows = call->user_fctx;
	if (rows->next >= rows->end)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, PointerGetDatum(json_row(rows->reader, rows->split, rows->column, rows->columns,
												   rows->next++, rows->form == ROW_RAW)));
}

/* ---- one row ---- */

/* The bytes of the values that a key is given as. */
static StringInfoData *
key_bytes(Split *split, int keys, char **key)
{
	StringInfoData *bytes = palloc(Max(keys, 1) * sizeof(StringInfoData));

	if (split->keys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version \"%s@%d\" has no key", split->version.name, split->version.revision),
				 errhint("Name one when committing: key => array['id'].")));
	if (keys != split->keys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key has %d columns, but %d values were given", split->keys, keys)));
	for (int i = 0; i < keys; i++)
	{
		TypeCoder  *coder = split_coder(split, split->key[i]);
		Oid			input;
		Oid			argument;

		/* as its base type: a domain's checks are its owner's */
		getTypeInputInfo(coder->base, &input, &argument);
		initStringInfo(&bytes[i]);
		value_pack(coder, OidInputFunctionCall(input, key[i], argument, coder->base_typmod), &bytes[i]);
	}
	return bytes;
}

static bool
row_has_key(RowReader *keys, const StringInfoData *key, int64 row)
{
	for (int i = 0; i < keys->columns; i++)
	{
		const char *bytes;
		size_t		length;

		if (!column_bytes(keys->reader[i], row, &bytes, &length) || length != (size_t) key[i].len ||
			memcmp(bytes, key[i].data, length) != 0)
			return false;
	}
	return true;
}

/* The row with a key; -1: none. */
static int64
find_row(Split *split, StringInfoData *key)
{
	RowReader	keys = {.split = split, .columns = split->keys};
	int64		found = -1;

	keys.column = palloc(split->keys * sizeof(int));
	for (int i = 0; i < split->keys; i++)
		keys.column[i] = split->key[i];
	open_columns(&keys, CurrentMemoryContext, true);
	for (int64 row = 0; found < 0 && row < split->rows; row++)
		if (row_has_key(&keys, key, row))
			found = row;
	object_reader_free(keys.objects);
	return found;
}

/* sparse_row(version, variadic key): null where no split has it. */
Datum
dataset_row(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	char	  **name;
	int			names;
	char	  **key;
	int			keys = import_text_elements(fcinfo, 1, "key", &key);

	version_from_argument(fcinfo, 0, false, &version);
	dataset_check(&version);
	names = split_names(version.id, &name);
	for (int i = 0; i < names; i++)
	{
		RowReader	rows = {.split = split_open(&version, name[i])};
		int64		row = find_row(rows.split, key_bytes(rows.split, keys, key));

		if (row < 0)
			continue;
		rows.columns = rows.split->columns;
		rows.column = palloc(Max(rows.columns, 1) * sizeof(int));
		for (int j = 0; j < rows.columns; j++)
			rows.column[j] = j;
		open_columns(&rows, CurrentMemoryContext, true);
		PG_RETURN_POINTER(json_row(rows.reader, rows.split, rows.column, rows.columns, row, false));
	}
	PG_RETURN_NULL();
}

/* ---- as a table ---- */

/*
 * Values of a domain are checked as they are made: by functions of its owner, with the
 * rights of whoever checks out. He says whom he trusts by naming a row type of his own.
 */
static void
check_trusted(Split *split)
{
	for (int i = 0; i < split->columns; i++)
		if (!type_is_trusted(split_coder(split, i)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("type %s of column \"%s\" belongs to another user", split->column[i].type, split->column[i].name),
					 errdetail("Its functions would run with your rights."),
					 errhint("Make a table of those columns, and insert from sparse_rows_as(null::that_table, ...).")));
}

static const char *
table_name(const RangeVar *name)
{
	if (name->catalogname != NULL)
		return psprintf("%s.%s", quote_identifier(name->catalogname),
						quote_qualified_identifier(name->schemaname, name->relname));
	return quote_qualified_identifier(name->schemaname, name->relname);
}

/* Of types as they are found, not of texts as they are stored: it runs with the caller's rights. */
static char *
table_definition(Split *split, const char *table)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "create table %s (", table);
	for (int i = 0; i < split->columns; i++)
	{
		const TypeCoder *coder = split_coder(split, i);

		appendStringInfo(&sql, "%s%s %s", i > 0 ? ", " : "",
						 quote_identifier(split->column[i].name), type_name(coder->type, coder->typmod));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* The table just made; nothing may hang on it that would have to see its rows. */
static Relation
open_made_table(RangeVar *name, const Split *split)
{
	Relation	table = table_openrv(name, RowExclusiveLock);

	if (table->rd_rel->relkind != RELKIND_RELATION || table->rd_att->natts != split->columns ||
		table->rd_rel->relhastriggers || table->rd_rel->relhasrules || table->rd_rel->relhasindex ||
		table->rd_rel->relrowsecurity || table->rd_rel->relowner != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not what was made", name->relname),
				 errdetail("An event trigger has changed it.")));
	return table;
}

static void
fill_table(Relation table, RowReader *rows)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	BulkInsertState bulk = GetBulkInsertState();
	CommandId	command = GetCurrentCommandId(true);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	for (; rows->next < rows->end; rows->next++)
	{
		CHECK_FOR_INTERRUPTS();
		make_row(rows, rows->next);
		ExecClearTuple(slot);
		memcpy(slot->tts_values, rows->value, rows->row_type->natts * sizeof(Datum));
		memcpy(slot->tts_isnull, rows->null, rows->row_type->natts * sizeof(bool));
		ExecStoreVirtualTuple(slot);
		table_tuple_insert(table, slot, command, TABLE_INSERT_SKIP_FSM, bulk);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(previous);
	ExecDropSingleTupleTableSlot(slot);
	FreeBulkInsertState(bulk);
	table_finish_bulk_insert(table, TABLE_INSERT_SKIP_FSM);
	MemoryContextDelete(context);
}

Datum
dataset_checkout(PG_FUNCTION_ARGS)
{
	RowReader	rows = {0};
	StoreVersion version;
	RangeVar   *name;
	Relation	table;
	int			nest;

	import_check_given(fcinfo, 1, "target_table");
	name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(1)));
	/* one snapshot of this moment for all of it: a collection in between takes nothing away */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	nest = closed_path_enter();
	version_from_argument(fcinfo, 0, false, &version);
	closed_path_leave(nest);
	rows.split = split_open(&version, split_argument(fcinfo, 2));
	check_trusted(rows.split);
	answer_connect();
	if (SPI_execute(table_definition(rows.split, table_name(name)), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make a table");
	answer_finish();
	table = open_made_table(name, rows.split);
	map_row_type(&rows, RelationGetDescr(table));
	open_columns(&rows, CurrentMemoryContext, true);
	rows.end = rows.split->rows;
	fill_table(table, &rows);
	PopActiveSnapshot();
	table_close(table, NoLock);
	object_reader_free(rows.objects);
	PG_RETURN_INT64(rows.end);
}

/* ---- listings ---- */

static StoreQuery splits_query = {
	.sql = "select s.name, s.rows,"
	"       (select count(*)::integer from sparse.column c where c.version = s.version and c.split = s.ordinal),"
	"       array(select c.name from unnest(s.key) with ordinality k (ordinal, at)"
	"             join sparse.column c on c.version = s.version and c.split = s.ordinal and c.ordinal = k.ordinal"
	"             order by k.at),"
	"       (select coalesce(sum(c.bytes), 0)::bigint from sparse.column c where c.version = s.version and c.split = s.ordinal)"
	"  from sparse.split s where s.version = $1 order by s.ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 5, .column = {TEXTOID, INT8OID, INT4OID, TEXTARRAYOID, INT8OID}};

static StoreQuery columns_query = {
	.sql = "select s.name, (c.ordinal + 1)::integer, c.name, c.type, c.bytes, c.sha256,"
	"       coalesce(k.chunks, 0)::integer, coalesce(k.stored_bytes, 0)::bigint"
	"  from sparse.split s"
	"  join sparse.column c on c.version = s.version and c.split = s.ordinal"
	"  left join lateral ("
	"       select count(*) as chunks, sum(o.stored_bytes) as stored_bytes"
	"         from (select unnest(h.object) as object from sparse.column_chunk h"
	"                where h.version = c.version and h.split = c.split and h.ordinal = c.ordinal) h"
	"         join sparse.object o on o.id = h.object) k on true"
	" where s.version = $1 order by s.ordinal, c.ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 8, .column = {TEXTOID, INT4OID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT4OID, INT8OID}};

static Datum
list(FunctionCallInfo fcinfo, StoreQuery *query)
{
	StoreVersion version;
	StoreAccess access;
	SPITupleTable *rows;
	Answer		answer;
	Datum		argument;
	uint64		count;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &version);
	dataset_check(&version);
	argument = Int64GetDatum(version.id);
	store_enter(&access);
	answer_connect();
	count = query_run(query, &argument, NULL, true, &rows);
	for (uint64 i = 0; i < count; i++)
		answer_add_row(&answer, rows, i, 0);
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}

Datum
dataset_splits(PG_FUNCTION_ARGS)
{
	return list(fcinfo, &splits_query);
}

Datum
dataset_columns(PG_FUNCTION_ARGS)
{
	return list(fcinfo, &columns_query);
}
