/*
 * verify.c: sparse_verify_rows: reads all of a dataset version, and says what is wrong.
 *
 * Every chunk is checked by its own checksum when it is decoded, every column by the
 * SHA-256 that its values had when they were stored.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "dataset.h"

PG_FUNCTION_INFO_V1(dataset_verify);

static void
sum_column(Split *split, int column, uint8 *sha256)
{
	ObjectReader *objects = object_reader_create(CurrentMemoryContext, true);
	ColumnReader *reader;
	Sha256	   *sum = sha256_create(CurrentMemoryContext);

	reader = column_open(CurrentMemoryContext, objects, split, column, true);
	for (int64 row = 0; row < split->rows; row++)
	{
		const char *bytes = "";
		size_t		length = 0;
		bool		there = column_bytes(reader, row, &bytes, &length);
		uint32		head = there ? (uint32) length : PG_UINT32_MAX;
		uint8		little_endian[4] = {(uint8) head, (uint8) (head >> 8), (uint8) (head >> 16), (uint8) (head >> 24)};

		sha256_add(sum, little_endian, 4);
		sha256_add(sum, bytes, there ? length : 0);
	}
	sha256_finish(sum, sha256);
	object_reader_free(objects);
}

static void
report(Answer *answer, const Split *split, int column, const char *problem)
{
	Datum		value[3] = {
		CStringGetTextDatum(split->name), CStringGetTextDatum(split->column[column].name), CStringGetTextDatum(problem)
	};
	bool		null[3] = {false};

	answer_add(answer, value, null);
}

static bool
is_of_data(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_DATA_CORRUPTED || error->sqlerrcode == ERRCODE_INDEX_CORRUPTED;
}

typedef struct ColumnAttempt
{
	Split	   *split;
	int			column;
	uint8		sha256[SPARSE_SHA256_BYTES];
} ColumnAttempt;

static void
try_column(void *argument)
{
	ColumnAttempt *attempt = argument;

	sum_column(attempt->split, attempt->column, attempt->sha256);
}

static const char *
problem_of(Split *split, int column)
{
	ColumnAttempt attempt = {.split = split, .column = column};
	const ErrorData *error;

	(void) split_coder(split, column);
	error = guarded_attempt(try_column, &attempt, is_of_data);
	if (error != NULL)
		return error->detail == NULL ? error->message : psprintf("%s: %s", error->message, error->detail);
	if (memcmp(attempt.sha256, split->column[column].sha256, SPARSE_SHA256_BYTES) != 0)
		return "its values have another SHA-256 than those that were stored";
	return NULL;
}

Datum
dataset_verify(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	Answer		answer;
	char	  **name;
	int			names;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &version);
	dataset_check(&version);
	names = split_names(version.id, &name);
	for (int i = 0; i < names; i++)
	{
		Split	   *split = split_open(&version, name[i]);

		for (int c = 0; c < split->columns; c++)
		{
			const char *problem = problem_of(split, c);

			if (problem != NULL)
				report(&answer, split, c, problem);
		}
	}
	return (Datum) 0;
}
