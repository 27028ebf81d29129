/*
 * compare.c: sparse_compare: what changed between two versions, tensor by tensor.
 *
 * Tensors are paired by name; where several files of a version have one of that
 * name, in the order of the files' paths. Pairs of the same object are the same, and
 * nothing of them is read. Others are read chunk by chunk, b's beside a's, which
 * is remembered, since b is often coded against it: so neither is ever in memory as
 * a whole, and no chunk is decoded twice.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"
#include "model/layout.h"
#include "store/query.h"
#include "store/reader.h"
#include "values.h"

PG_FUNCTION_INFO_V1(lineage_compare);

#define NAMES_A_BATCH 500

/* ---- pairs of tensors ---- */

#define NAMES(version) \
	"(select t.name from sparse.tensor t" \
	"  where t.version = " version " and t.name >= $3 and (t.name > $3 or $4)" \
	"  order by t.name limit $5)"
#define TENSORS(version) \
	"select t.name, f.path, t.dtype, t.shape, t.bytes, t.object," \
	"       row_number() over (partition by t.name order by f.path, t.ordinal) as occurrence" \
	"  from sparse.tensor t" \
	"  join sparse.file f on f.version = t.version and f.ordinal = t.file" \
	" where t.version = " version " and t.name in (select n.name from names n)"

/* Those of the next $5 names behind $3; with $4, from $3 on. */
static StoreQuery pairs_query = {
	.sql = "with names as materialized ("
	"  select u.name from (" NAMES("$1") " union " NAMES("$2") ") u order by u.name limit $5),"
	" a as (" TENSORS("$1") "), b as (" TENSORS("$2") ")"
	" select coalesce(a.name, b.name), a.path, b.path, a.dtype, b.dtype, a.shape, b.shape,"
	"        a.bytes, b.bytes, a.object, b.object"
	"   from a full join b on b.name = a.name and b.occurrence = a.occurrence"
	"  order by 1, coalesce(a.occurrence, b.occurrence)",
	.args = 5, .arg = {INT8OID, INT8OID, TEXTOID, BOOLOID, INT8OID},
	.columns = 11, .column = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID, INT8ARRAYOID,
	INT8OID, INT8OID, INT8OID, INT8OID}};

/* A tensor of one of the two versions. */
typedef struct Side
{
	const char *version;		/* label */
	VersionFile file;			/* its path */
	FilePart	part;			/* but for its place in the file */
	bool		there;
	const char *dtype_name;
	sparse_dtype dtype;			/* SPARSE_BYTES where it is unknown */
	Datum		shape;
	int			rank;
	Datum	   *extent;			/* int8s */
	int64		elements;
} Side;

static void
take_shape(Side *side, Datum shape)
{
	side->shape = shape;
	deconstruct_array(DatumGetArrayTypeP(shape), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &side->extent, NULL, &side->rank);
	side->elements = 1;
	for (int i = 0; i < side->rank; i++)
		side->elements *= DatumGetInt64(side->extent[i]);
}

/* `side` 0: a, 1: b. */
static void
take_side(const SPITupleTable *rows, uint64 row, int number, const char *label, Side *side)
{
	memset(side, 0, sizeof(*side));
	side->version = label;
	side->there = !row_is_null(rows, row, 2 + number);
	if (!side->there)
		return;
	side->part.tensor = row_text(CurrentMemoryContext, rows, row, 1);
	side->file.path = row_text(CurrentMemoryContext, rows, row, 2 + number);
	side->dtype_name = row_text(CurrentMemoryContext, rows, row, 4 + number);
	if (!sparse_dtype_find(side->dtype_name, strlen(side->dtype_name), &side->dtype))
		side->dtype = SPARSE_BYTES;
	take_shape(side, row_datum(rows, row, 6 + number));
	side->part.bytes = (uint64) row_int64(rows, row, 8 + number);
	side->part.object = row_int64(rows, row, 10 + number);
}

/* ---- reading both ---- */

static bool
is_same_object(const Side *a, const Side *b)
{
	return a->part.object == b->part.object;
}

static bool
is_same_shape(const Side *a, const Side *b)
{
	if (a->rank != b->rank)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (DatumGetInt64(a->extent[i]) != DatumGetInt64(b->extent[i]))
			return false;
	return true;
}

/* The object of a side, which must have the bytes that its elements take. */
static void
open_side(ObjectReader *reader, const Side *side, ObjectInfo *info)
{
	object_reader_context(reader, side->version, side->file.path, side->part.tensor);
	part_object(reader, side->version, &side->file, &side->part, info);
	if (side->part.bytes != (uint64) side->elements * sparse_dtype_get(side->dtype)->bytes)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("tensor \"%s\" of version \"%s\" has not the bytes that its shape and dtype say",
					   side->part.tensor, side->version));
}

static void
read_side(ObjectReader *reader, const Side *side, int64 first, int64 count, bool keep, char *target)
{
	uint64		width = sparse_dtype_get(side->dtype)->bytes;

	object_reader_context(reader, side->version, side->file.path, side->part.tensor);
	object_read_keep(reader, side->part.object, first * width, count * width, target, keep);
}

/* Reads both, a chunk of b at a time. */
static void
measure(ObjectReader *reader, const Side *a, const Side *b, Distance *distance)
{
	size_t		width_a = sparse_dtype_get(a->dtype)->bytes;
	size_t		width_b = sparse_dtype_get(b->dtype)->bytes;
	ObjectInfo	info;
	int64		step;
	char	   *bytes_a;
	char	   *bytes_b;

	open_side(reader, a, &info);
	open_side(reader, b, &info);
	step = Max(info.grid.chunk_bytes, 64 * 1024) / Max(width_a, width_b);
	bytes_a = palloc(step * width_a);
	bytes_b = palloc(step * width_b);
	for (int64 first = 0; first < a->elements; first += step)
	{
		int64		count = Min(step, a->elements - first);

		CHECK_FOR_INTERRUPTS();
		read_side(reader, a, first, count, true, bytes_a);
		read_side(reader, b, first, count, false, bytes_b);
		distance_add(distance, a->dtype, bytes_a, b->dtype, bytes_b, count);
	}
	pfree(bytes_a);
	pfree(bytes_b);
}

/* ---- rows of the answer ---- */

enum
{
	COLUMN_TENSOR, COLUMN_STATE, COLUMN_A_FILE, COLUMN_B_FILE, COLUMN_A_DTYPE, COLUMN_B_DTYPE,
	COLUMN_A_SHAPE, COLUMN_B_SHAPE, COLUMN_ELEMENTS, COLUMN_CHANGED, COLUMN_LARGEST,
	COLUMN_LARGEST_RELATIVE, COLUMN_L2, COLUMN_COSINE, COLUMN_NOT_FINITE, COLUMNS
};

typedef struct Row
{
	Datum		value[COLUMNS];
	bool		null[COLUMNS];
} Row;

static void
put(Row *row, int column, Datum value)
{
	row->value[column] = value;
	row->null[column] = false;
}

static void
put_side(Row *row, const Side *side, int number)
{
	if (!side->there)
		return;
	put(row, COLUMN_TENSOR, CStringGetTextDatum(side->part.tensor));
	put(row, COLUMN_A_FILE + number, CStringGetTextDatum(side->file.path));
	put(row, COLUMN_A_DTYPE + number, CStringGetTextDatum(side->dtype_name));
	put(row, COLUMN_A_SHAPE + number, side->shape);
	put(row, COLUMN_ELEMENTS, Int64GetDatum(side->elements));
}

/* Nothing of it was read: that all of it is 0, where no change could be divided by it, is not known. */
static void
put_same(Row *row, const Side *side)
{
	put(row, COLUMN_CHANGED, Int64GetDatum(0));
	put(row, COLUMN_LARGEST, Float8GetDatum(0));
	put(row, COLUMN_L2, Float8GetDatum(0));
	if (side->elements == 0)
		return;
	put(row, COLUMN_LARGEST_RELATIVE, Float8GetDatum(0));
	put(row, COLUMN_COSINE, Float8GetDatum(1));
}

static void
put_distance(Row *row, const Distance *distance)
{
	double		cosine;

	put(row, COLUMN_CHANGED, Int64GetDatum((int64) distance->changed));
	put(row, COLUMN_NOT_FINITE, Int64GetDatum((int64) distance->not_finite));
	if (distance->not_finite == distance->elements)
		return;
	put(row, COLUMN_LARGEST, Float8GetDatum(distance->largest));
	if (distance->divisible)
		put(row, COLUMN_LARGEST_RELATIVE, Float8GetDatum(distance->largest_relative));
	put(row, COLUMN_L2, Float8GetDatum(distance_l2(distance)));
	if (distance_cosine(distance, &cosine))
		put(row, COLUMN_COSINE, Float8GetDatum(cosine));
}

/* What became of a tensor that both have; measures it where that takes reading. */
static const char *
compare_both(ObjectReader *reader, const Side *a, const Side *b, Row *row)
{
	bool		same_dtype = strcmp(a->dtype_name, b->dtype_name) == 0;
	Distance	distance = {0};

	if (!is_same_shape(a, b))
		return "other shape";
	if (same_dtype && is_same_object(a, b))
	{
		put_same(row, a);
		return "same";
	}
	if (values_known(a->dtype) && values_known(b->dtype))
	{
		measure(reader, a, b, &distance);
		put_distance(row, &distance);
	}
	if (!same_dtype)
		return "other dtype";
	/* equal contents in two places are two objects */
	return distance.elements > 0 && distance.changed == 0 ? "same" : "changed";
}

static void
add_pair(Answer *answer, ObjectReader *reader, const Side *a, const Side *b)
{
	Row			row;
	const char *state;

	memset(row.null, true, sizeof(row.null));
	put_side(&row, a, 0);
	put_side(&row, b, 1);
	state = !a->there ? "added" : !b->there ? "removed" : compare_both(reader, a, b, &row);
	put(&row, COLUMN_STATE, CStringGetTextDatum(state));
	answer_add(answer, row.value, row.null);
}

/* ---- the function ---- */

typedef struct Comparison
{
	int64		a;				/* versions */
	int64		b;
	const char *label_a;
	const char *label_b;
	ObjectReader *reader;
	char	   *last;			/* name of the last tensor compared; NULL: none yet */
	MemoryContext last_context;
} Comparison;

/* Adds the next tensors by name; false when there are no more. */
static bool
add_batch(Comparison *comparison, Answer *answer)
{
	Datum		argument[5] = {Int64GetDatum(comparison->a), Int64GetDatum(comparison->b),
	CStringGetTextDatum(comparison->last == NULL ? "" : comparison->last),
	BoolGetDatum(comparison->last == NULL), Int64GetDatum(NAMES_A_BATCH)};
	SPITupleTable *rows;
	uint64		count = query_run(&pairs_query, argument, NULL, true, &rows);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse comparison",
												  ALLOCSET_DEFAULT_SIZES);

	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext previous = MemoryContextSwitchTo(context);
		Side		a;
		Side		b;

		take_side(rows, i, 0, comparison->label_a, &a);
		take_side(rows, i, 1, comparison->label_b, &b);
		add_pair(answer, comparison->reader, &a, &b);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(context);
	}
	if (count > 0 && comparison->last != NULL)
		pfree(comparison->last);
	if (count > 0)
		comparison->last = row_text(comparison->last_context, rows, count - 1, 1);
	SPI_freetuptable(rows);
	MemoryContextDelete(context);
	return count > 0;
}

Datum
lineage_compare(PG_FUNCTION_ARGS)
{
	Comparison	comparison = {.last_context = CurrentMemoryContext};
	StoreVersion a;
	StoreVersion b;
	StoreAccess access;
	Answer		answer;

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &a);
	version_from_argument(fcinfo, 1, false, &b);
	version_check_model(&a, "Use sparse_row_diff().");
	version_check_model(&b, "Use sparse_row_diff().");
	comparison.a = a.id;
	comparison.b = b.id;
	comparison.label_a = version_label(CurrentMemoryContext, &a);
	comparison.label_b = version_label(CurrentMemoryContext, &b);
	store_enter(&access);
	answer_connect();
	comparison.reader = object_reader_create(CurrentMemoryContext, true);
	while (add_batch(&comparison, &answer))
		CHECK_FOR_INTERRUPTS();
	object_reader_free(comparison.reader);
	answer_finish();
	store_leave(&access);
	return (Datum) 0;
}
