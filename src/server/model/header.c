/*
 * header.c: whether the rows of a stored file's tensors say what its header says
 * (see header.h).
 */
#include "header.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "answer.h"
#include "plan.h"

#define TENSORS_A_BATCH 512

static StoreQuery rows_query = {
	.sql = "select t.ordinal, t.name, t.dtype, t.shape::text, t.first_byte, t.bytes"
	"  from sparse.tensor t"
	" where t.version = $1 and t.file = $2 and t.ordinal >= $3"
	" order by t.ordinal"
	" limit $4",
	.args = 4, .arg = {INT8OID, INT4OID, INT4OID, INT8OID},
	.columns = 6, .column = {INT4OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID}};

typedef struct Comparison
{
	int64		version;
	const VersionFile *file;
	PlanFile	declared;		/* what the header says */
	uint32		next;			/* the tensor whose row is to come */
	HeaderProblem problem;
	void	   *state;
} Comparison;

/* A tensor as a row or a header has it. */
typedef struct Described
{
	const char *name;
	const char *dtype;
	const char *shape;
	uint64		first;
	uint64		bytes;
} Described;

static Described
described_by_header(const PlanTensor *tensor)
{
	return (Described) {tensor->name, tensor->dtype, plan_shape_text(tensor),
		tensor->object.first, tensor->object.bytes};
}

static Described
described_by_row(const SPITupleTable *rows, uint64 row)
{
	return (Described) {row_text(CurrentMemoryContext, rows, row, 2),
		row_text(CurrentMemoryContext, rows, row, 3),
		row_text(CurrentMemoryContext, rows, row, 4),
		(uint64) row_int64(rows, row, 5), (uint64) row_int64(rows, row, 6)};
}

static bool
are_equal(const Described *a, const Described *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->dtype, b->dtype) == 0
		&& strcmp(a->shape, b->shape) == 0 && a->first == b->first && a->bytes == b->bytes;
}

static const char *
description(const Described *tensor)
{
	return psprintf("\"%s\" %s %s, " UINT64_FORMAT " bytes from byte " UINT64_FORMAT " on",
					tensor->name, tensor->dtype, tensor->shape, tensor->bytes, tensor->first);
}

/* The tensors of the header before `ordinal` have no row. */
static void
report_missing(Comparison *comparison, uint32 ordinal)
{
	for (; comparison->next < ordinal; comparison->next++)
	{
		CHECK_FOR_INTERRUPTS();
		comparison->problem(comparison->state, comparison->declared.tensor[comparison->next].name,
							"the header has this tensor, but there is no row for it");
	}
}

static void
compare_row(Comparison *comparison, const SPITupleTable *rows, uint64 row)
{
	uint32		ordinal = (uint32) row_int32(rows, row, 1);
	Described	stored = described_by_row(rows, row);
	Described	declared;

	report_missing(comparison, Min(ordinal, comparison->declared.tensors));
	if (ordinal >= comparison->declared.tensors)
	{
		comparison->problem(comparison->state, stored.name, "the header has no such tensor");
		return;
	}
	declared = described_by_header(&comparison->declared.tensor[ordinal]);
	comparison->next = ordinal + 1;
	if (!are_equal(&stored, &declared))
		comparison->problem(comparison->state, stored.name,
							psprintf("the row says %s; the header %s",
									 description(&stored), description(&declared)));
}

/* Compares the rows from `*ordinal` on, which moves behind the last of them; their number. */
static uint64
compare_batch(Comparison *comparison, int32 *ordinal)
{
	Datum		argument[4] = {Int64GetDatum(comparison->version),
		Int32GetDatum(comparison->file->ordinal), Int32GetDatum(*ordinal),
	Int64GetDatum(TENSORS_A_BATCH)};
	SPITupleTable *rows;
	uint64		count = query_run(&rows_query, argument, NULL, true, &rows);

	for (uint64 i = 0; i < count; i++)
	{
		compare_row(comparison, rows, i);
		*ordinal = row_int32(rows, i, 1) + 1;
	}
	SPI_freetuptable(rows);
	return count;
}

void
header_compare(int64 version, const VersionFile *file, const char *header,
			   HeaderProblem problem, void *state)
{
	Comparison	comparison = {.version = version, .file = file, .problem = problem, .state = state};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse comparison",
												  ALLOCSET_DEFAULT_SIZES);
	int32		ordinal = 0;
	uint64		count;

	comparison.declared.path = file->path;
	comparison.declared.kind = file->kind;
	comparison.declared.bytes = file->bytes;
	plan_layout_of_literal(&comparison.declared, file->ordinal, header, file->object_bytes);
	do
	{
		MemoryContext previous = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		count = compare_batch(&comparison, &ordinal);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(context);
	} while (count == TENSORS_A_BATCH);
	report_missing(&comparison, comparison.declared.tensors);
	MemoryContextDelete(context);
}
