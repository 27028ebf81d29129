/*
 * answer.c: values out of answers and into arguments (see answer.h).
 */
#include "answer.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

void
answer_connect(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

void
answer_finish(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not disconnect from SPI");
}

bool
row_is_null(const SPITupleTable *rows, uint64 row, int column)
{
	bool		null;

	(void) SPI_getbinval(rows->vals[row], rows->tupdesc, column, &null);
	return null;
}

char *
row_text(MemoryContext context, const SPITupleTable *rows, uint64 row, int column)
{
	char	   *value = TextDatumGetCString(row_datum(rows, row, column));
	char	   *copy = MemoryContextStrdup(context, value);

	pfree(value);
	return copy;
}

static void
row_bytes(const SPITupleTable *rows, uint64 row, int column, size_t bytes, uint8 *target)
{
	bytea	   *value = DatumGetByteaPP(row_datum(rows, row, column));

	if (VARSIZE_ANY_EXHDR(value) != bytes)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("unexpected length of column \"%s\" of a table of the store",
						NameStr(TupleDescAttr(rows->tupdesc, column - 1)->attname))));
	memcpy(target, VARDATA_ANY(value), bytes);
}

void
row_sha256(const SPITupleTable *rows, uint64 row, int column,
		   uint8 sha256[SPARSE_SHA256_BYTES])
{
	row_bytes(rows, row, column, SPARSE_SHA256_BYTES, sha256);
}

void
row_checksum(const SPITupleTable *rows, uint64 row, int column,
			 uint8 checksum[SPARSE_CHECKSUM_BYTES])
{
	row_bytes(rows, row, column, SPARSE_CHECKSUM_BYTES, checksum);
}

Datum
array_datum(Oid type, Datum *value, int count)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(value, count, type, length, by_value, align));
}

static Datum
bytes_datum(const uint8 *bytes, size_t length)
{
	bytea	   *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return PointerGetDatum(value);
}

Datum
sha256_datum(const uint8 sha256[SPARSE_SHA256_BYTES])
{
	return bytes_datum(sha256, SPARSE_SHA256_BYTES);
}

Datum
checksum_datum(const uint8 checksum[SPARSE_CHECKSUM_BYTES])
{
	return bytes_datum(checksum, SPARSE_CHECKSUM_BYTES);
}

void
answer_begin(FunctionCallInfo fcinfo, Answer *answer)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext previous;

	if (result == NULL || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("set-valued function called in context that cannot accept a set"));
	previous = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &answer->columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	answer->rows = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
										 false, work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = answer->rows;
	result->setDesc = answer->columns;
	MemoryContextSwitchTo(previous);
}

void
answer_add(Answer *answer, const Datum *value, const bool *null)
{
	tuplestore_putvalues(answer->rows, answer->columns,
						 unconstify(Datum *, value), unconstify(bool *, null));
}

void
answer_add_row(Answer *answer, const SPITupleTable *rows, uint64 row, int skip)
{
	Datum		value[QUERY_COLUMNS];
	bool		null[QUERY_COLUMNS];

	Assert(rows->tupdesc->natts - skip == answer->columns->natts);
	heap_deform_tuple(rows->vals[row], rows->tupdesc, value, null);
	answer_add(answer, value + skip, null + skip);
}

bytea *
answer_bytes(MemoryContext context, uint64 bytes, const char *what, const char *hint)
{
	bytea	   *value;

	if (bytes > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("%s is too large for one value", what),
				errdetail("It has " UINT64_FORMAT " bytes; a value holds at most " UINT64_FORMAT ".",
						  bytes, (uint64) (MaxAllocSize - VARHDRSZ)),
				errhint("%s", hint));
	value = MemoryContextAlloc(context, VARHDRSZ + bytes);
	SET_VARSIZE(value, VARHDRSZ + bytes);
	return value;
}
