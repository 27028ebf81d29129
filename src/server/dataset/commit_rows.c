/*
 * commit_rows.c: the rows of a new version, one after the other, into chunks.
 *
 * The query is the user's: it runs with his rights and his search path, in a
 * transaction that is read-only as long as it runs. In memory are one row, a
 * chunk of each column, and a list of the chunks that are done.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"

#include "model/answer.h"

#include "commit.h"
#include "pack.h"

/* ---- a split ---- */

static void
begin_column(Commit *commit, NewColumn *column, Form_pg_attribute attribute, size_t average)
{
	column->name = pstrdup(NameStr(attribute->attname));
	column->coder = type_coder(attribute->atttypid, attribute->atttypmod, column->name);
	type_check_lasting(column->coder, column->name);
	column->type = type_name(attribute->atttypid, attribute->atttypmod);
	column->structure = type_structure(column->coder);
	column->builder = chunk_builder_create(column->coder, average);
	column->sum = sha256_create(commit->context);
	initStringInfo(&column->value);
}

static void
check_column_names(const NewSplit *split)
{
	for (int i = 0; i < split->columns; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(split->column[i].name, split->column[j].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" occurs twice in the query", split->column[i].name),
						 errhint("Give each column a name of its own.")));
}

static void
find_key(NewSplit *split, int keys, char **key)
{
	split->keys = keys;
	split->key = palloc(Max(keys, 1) * sizeof(int16));
	for (int i = 0; i < keys; i++)
	{
		split->key[i] = -1;
		for (int j = 0; j < split->columns; j++)
			if (strcmp(split->column[j].name, key[i]) == 0)
				split->key[i] = (int16) j;
		if (split->key[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" does not exist", key[i])));
		for (int j = 0; j < i; j++)
			if (split->key[j] == split->key[i])
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("key column \"%s\" is named twice", key[i])));
	}
	if (keys > 0)
		split->sort = tuplesort_begin_datum(BYTEAOID, lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR)->lt_opr, InvalidOid, false, work_mem, NULL, 0);
}

void
commit_begin_split(Commit *commit, NewSplit *split, const char *name, TupleDesc columns, int keys, char **key)
{
	MemoryContext previous = MemoryContextSwitchTo(commit->context);
	int			nest = closed_path_enter();

	split->name = name;
	split->columns = columns->natts;
	split->column = palloc0(Max(columns->natts, 1) * sizeof(NewColumn));
	for (int i = 0; i < columns->natts; i++)
		begin_column(commit, &split->column[i], TupleDescAttr(columns, i), chunk_average(columns->natts));
	check_column_names(split);
	find_key(split, keys, key);
	closed_path_leave(nest);
	MemoryContextSwitchTo(previous);
}

/* ---- a row ---- */

static void
add_length(Sha256 *sum, uint32 length)
{
	uint8		little_endian[4] = {(uint8) length, (uint8) (length >> 8), (uint8) (length >> 16), (uint8) (length >> 24)};

	sha256_add(sum, little_endian, 4);
}

static void
finish_chunk(Commit *commit, NewColumn *column)
{
	ChunkContent content;

	if (chunk_finish(column->builder, &content))
		pending_add(commit->pending, &column->pending, &content, "", 0);
}

/* A long value, in a chunk of its own. */
static void
add_single(Commit *commit, NewColumn *column)
{
	ChunkContent head = {.rows = 1, .dtype = SPARSE_BYTES, .bytes = "S", .length = 1};

	finish_chunk(commit, column);
	pending_add(commit->pending, &column->pending, &head, column->value.data, column->value.len);
	/* what the next value takes is not worth a gigabyte */
	pfree(column->value.data);
	initStringInfo(&column->value);
}

static void
add_value(Commit *commit, NewColumn *column, bool null)
{
	const char *bytes = null ? NULL : column->value.data;
	size_t		length = null ? 0 : column->value.len;

	add_length(column->sum, null ? PG_UINT32_MAX : (uint32) length);
	sha256_add(column->sum, null ? "" : bytes, length);
	column->bytes += length;
	if (length > SINGLE_VALUE)
	{
		add_single(commit, column);
		return;
	}
	if (chunk_ends_before(column->builder, bytes, length))
		finish_chunk(commit, column);
	chunk_add(column->builder, bytes, length);
}

/* The columns of the key as one value. */
static void
add_key(Commit *commit, NewSplit *split, const bool *null)
{
	StringInfoData key;
	bytea	   *value;

	MemoryContextSwitchTo(commit->row_context);
	initStringInfo(&key);
	for (int i = 0; i < split->keys; i++)
	{
		const NewColumn *column = &split->column[split->key[i]];

		if (null[split->key[i]])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" is null in row " INT64_FORMAT " of the query", column->name, split->rows + 1)));
		pack_number(&key, column->value.len);
		appendBinaryStringInfo(&key, column->value.data, column->value.len);
	}
	value = palloc(VARHDRSZ + key.len);
	SET_VARSIZE(value, VARHDRSZ + key.len);
	memcpy(VARDATA(value), key.data, key.len);
	tuplesort_putdatum(split->sort, PointerGetDatum(value), false);
}

/* Keeps a hash of the row, as long as they are not too many. */
static void
add_hash(Commit *commit, NewSplit *split, const bool *null)
{
	uint64		hash = 0;

	if (split->rows == split->hash_room)
	{
		int64		room = Max(2 * split->hash_room, 1024);

		if (room > MAP_MOST && split->hash != NULL)
		{
			pfree(split->hash);
			split->hash = NULL;
		}
		else
			split->hash = split->hash == NULL ? palloc(room * sizeof(uint64)) : repalloc_huge(split->hash, room * sizeof(uint64));
		split->hash_room = room <= MAP_MOST ? room : PG_INT64_MAX;
	}
	if (split->hash == NULL)
		return;
	for (int i = 0; i < split->columns; i++)
		hash = commit_hash_add(commit, hash, null[i] ? NULL : split->column[i].value.data, split->column[i].value.len);
	split->hash[split->rows] = hash;
}

void
commit_row(Commit *commit, NewSplit *split, const Datum *value, const bool *null)
{
	MemoryContext previous = MemoryContextSwitchTo(commit->row_context);

	for (int i = 0; i < split->columns; i++)
	{
		resetStringInfo(&split->column[i].value);
		if (!null[i])
			value_pack(split->column[i].coder, value[i], &split->column[i].value);
	}
	if (split->keys > 0)
		add_key(commit, split, null);
	MemoryContextSwitchTo(commit->context);
	add_hash(commit, split, null);
	for (int i = 0; i < split->columns; i++)
		add_value(commit, &split->column[i], null[i]);
	split->rows++;
	MemoryContextReset(commit->row_context);
	MemoryContextSwitchTo(previous);
}

/* ---- the end ---- */

/* "(id, lang) = (7, de)" */
static char *
key_text(const NewSplit *split, const bytea *key)
{
	Unpack		in = {VARDATA_ANY(key), (const char *) VARDATA_ANY(key) + VARSIZE_ANY_EXHDR(key)};
	StringInfoData names;
	StringInfoData values;

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < split->keys; i++)
	{
		const NewColumn *column = &split->column[split->key[i]];
		uint64		length = unpack_number(&in);
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(column->coder->type, &output, &varlena);
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", column->name);
		appendStringInfo(&values, "%s%s", i > 0 ? ", " : "",
						 OidOutputFunctionCall(output, value_unpack(column->coder, unpack_bytes(&in, length), length)));
	}
	return psprintf("(%s)=(%s)", names.data, values.data);
}

static void
check_keys(Commit *commit, NewSplit *split)
{
	bytea	   *before = NULL;
	Datum		key;
	bool		null;

	tuplesort_performsort(split->sort);
	while (tuplesort_getdatum(split->sort, true, true, &key, &null, NULL))
	{
		bytea	   *this = DatumGetByteaPP(key);

		CHECK_FOR_INTERRUPTS();
		if (before != NULL && VARSIZE_ANY_EXHDR(before) == VARSIZE_ANY_EXHDR(this) &&
			memcmp(VARDATA_ANY(before), VARDATA_ANY(this), VARSIZE_ANY_EXHDR(this)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("duplicate key in the rows of \"%s\"", commit->import.name),
					 errdetail("Key %s occurs more than once.", key_text(split, this))));
		if (before != NULL)
			pfree(before);
		before = this;
	}
	tuplesort_end(split->sort);
	split->sort = NULL;
}

void
commit_end_split(Commit *commit, NewSplit *split)
{
	MemoryContext previous = MemoryContextSwitchTo(commit->context);

	if (split->keys > 0)
		check_keys(commit, split);
	for (int i = 0; i < split->columns; i++)
	{
		finish_chunk(commit, &split->column[i]);
		sha256_finish(split->column[i].sum, split->column[i].sha256);
	}
	MemoryContextSwitchTo(previous);
}

/* ---- a query ---- */

/* Where the executor sends rows. */
typedef struct RowReceiver
{
	DestReceiver receiver;
	Commit	   *commit;
	NewSplit   *split;
	ResourceOwner owner;		/* of what outlives the query: temporary files */
} RowReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *rows = (RowReceiver *) self;
	ResourceOwner of_query = CurrentResourceOwner;

	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(slot);
	CurrentResourceOwner = rows->owner;
	commit_row(rows->commit, rows->split, slot->tts_values, slot->tts_isnull);
	CurrentResourceOwner = of_query;
	return true;
}

static void
receive_begin(DestReceiver *self, int operation, TupleDesc columns)
{
	(void) self;
	(void) operation;
	(void) columns;
}

static void
receive_end(DestReceiver *self)
{
	(void) self;
}

static Portal
open_query(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);

	if (plan == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("could not prepare the query: %s", SPI_result_code_string(SPI_result))));
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("the query is not one that returns rows"),
				 errhint("Give one select, values or table command.")));
	return SPI_cursor_open(NULL, plan, NULL, NULL, false);
}

void
commit_query(Commit *commit, NewSplit *split, const char *name, const char *query, int keys, char **key)
{
	RowReceiver rows = {
		.receiver = {receive_row, receive_begin, receive_end, receive_end, DestNone},
		.commit = commit,
		.split = split,
		.owner = CurrentResourceOwner
	};
	bool		read_only = read_only_enter();
	int			nest = settings_enter(0);
	Portal		portal;

	answer_connect();
	portal = open_query(query);
	if (portal->tupDesc == NULL)
		elog(ERROR, "the query has no columns");
	commit_begin_split(commit, split, name, portal->tupDesc, keys, key);
	(void) PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &rows.receiver);
	SPI_cursor_close(portal);
	settings_leave(nest);
	read_only_leave(read_only);
	answer_finish();
	commit_end_split(commit, split);
}
