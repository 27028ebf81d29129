/*
 * answer.c: values out of answers and into arguments (see answer.h).
 */
#include "answer.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

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

void
row_sha256(const SPITupleTable *rows, uint64 row, int column,
		   uint8 sha256[SPARSE_SHA256_BYTES])
{
	bytea	   *value = DatumGetByteaPP(row_datum(rows, row, column));

	if (VARSIZE_ANY_EXHDR(value) != SPARSE_SHA256_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("unexpected length of column \"%s\" of a table of the store",
						NameStr(TupleDescAttr(rows->tupdesc, column - 1)->attname))));
	memcpy(sha256, VARDATA_ANY(value), SPARSE_SHA256_BYTES);
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

Datum
sha256_datum(const uint8 sha256[SPARSE_SHA256_BYTES])
{
	bytea	   *value = palloc(VARHDRSZ + SPARSE_SHA256_BYTES);

	SET_VARSIZE(value, VARHDRSZ + SPARSE_SHA256_BYTES);
	memcpy(VARDATA(value), sha256, SPARSE_SHA256_BYTES);
	return PointerGetDatum(value);
}
