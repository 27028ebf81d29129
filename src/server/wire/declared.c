/*
 * declared.c: what the deltas of a tensor refer to, as a client says it (see declared.h).
 *
 * Nothing is named by a hash, by which one could ask what the store holds: what is named lies in versions that the
 * caller can read, in the one that he uploads, or comes along. Factors are decoded here, so that their SHA-256 is
 * known, and coded as for an import.
 */
#include "declared.h"

#include "access/detoast.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "model/answer.h"
#include "model/hash.h"
#include "model/source.h"
#include "sdelta/glue.h"
#include "store/reader.h"
#include "store/write.h"

/* ---- arguments ---- */

/* The elements of an array of sdelta (of no dimension: none), none of which may be null. */
static int
deltas_of(Datum array, const char *name, struct varlena ***delta)
{
	ArrayType  *of = DatumGetArrayTypeP(array);
	Datum	   *value;
	bool	   *null;
	int			count;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(ARR_ELEMTYPE(of), &length, &by_value, &align);
	deconstruct_array(of, ARR_ELEMTYPE(of), length, by_value, align, &value, &null, &count);
	*delta = palloc(Max(count, 1) * sizeof(struct varlena *));
	for (int i = 0; i < count; i++)
	{
		if (null[i])
			ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not hold nulls", name));
		(*delta)[i] = PG_DETOAST_DATUM_PACKED(value[i]);
	}
	return count;
}

static int
numbers_of(Datum array, Oid type, int width, char align, const char *name, Datum **value)
{
	bool	   *null;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(array), type, width, true, align, value, &null, &count);
	for (int i = 0; i < count; i++)
		if (null[i])
			ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not hold nulls", name));
	return count;
}

void
wire_deltas_of_arguments(FunctionCallInfo fcinfo, int seq, int delta, WireDeltas *deltas)
{
	Datum	   *number;
	int			count;

	memset(deltas, 0, sizeof(*deltas));
	deltas->count = deltas_of(PG_GETARG_DATUM(delta), "delta", &deltas->delta);
	count = numbers_of(PG_GETARG_DATUM(seq), INT4OID, sizeof(int32), TYPALIGN_INT, "seq", &number);
	if (count != deltas->count)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%d deltas are given for %d chunks", deltas->count, count));
	deltas->seq = palloc(Max(count, 1) * sizeof(int32));
	for (int i = 0; i < count; i++)
		deltas->seq[i] = DatumGetInt32(number[i]);
}

void
wire_parents_of_arguments(FunctionCallInfo fcinfo, int have, int parents, int factors, WireDeltas *deltas)
{
	Datum	   *number;
	int			count;

	deltas->declares = !PG_ARGISNULL(parents);
	if (!deltas->declares)
		return;
	count = numbers_of(PG_GETARG_DATUM(parents), INT8OID, sizeof(int64), TYPALIGN_DOUBLE, "parents", &number);
	if (count % 3 != 0 || count / 3 > SPARSE_MAX_REFS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("parents must be at most %d rows of three numbers", SPARSE_MAX_REFS),
				errdetail("It holds %d numbers.", count),
				errhint("Each row names an element of have (0: the factors, -1: this version), a file and a tensor."));
	deltas->parents = count / 3;
	for (int i = 0; i < deltas->parents; i++)
		deltas->parent[i] = (WireParent) {
			DatumGetInt64(number[3 * i]), DatumGetInt64(number[3 * i + 1]), DatumGetInt64(number[3 * i + 2])
		};
	deltas->have = have_of_argument_now(fcinfo, have);
	if (!PG_ARGISNULL(factors))
		deltas->factors = deltas_of(PG_GETARG_DATUM(factors), "factors", &deltas->factor);
}

uint64
wire_deltas_bytes(const WireDeltas *deltas)
{
	uint64		bytes = 0;

	for (int i = 0; i < deltas->count; i++)
		bytes += VARSIZE_ANY_EXHDR(deltas->delta[i]);
	for (int i = 0; i < deltas->factors; i++)
		bytes += VARSIZE_ANY_EXHDR(deltas->factor[i]);
	return bytes;
}

/* ---- factors ---- */

/* One that came along: some deltas, joined. */
typedef struct Factor
{
	sparse_dtype dtype;
	uint64		bytes;
	char	   *content;
	uint8		sha256[SPARSE_SHA256_BYTES];
} Factor;

pg_noreturn static void
bad_factor(int64 number, const char *problem)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("factor " INT64_FORMAT " cannot be used", number),
			errdetail_internal("%s", problem));
	pg_unreachable();
}

static void
read_factor_header(const WireDeltas *deltas, int64 number, sparse_delta_info *info)
{
	struct varlena *delta = deltas->factor[number];
	sparse_status status = sparse_delta_read(VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta), VARSIZE_ANY_EXHDR(delta), info);

	if (status != SPARSE_OK)
		sparse_report(status, "read a factor");
	if (info->refs > 0)
		bad_factor(number, "It refers to something.");
}

/* Bytes of the factor that a row names; what holds it is checked to fit memory before any is taken. */
static void
measure_factor(const WireDeltas *deltas, const WireParent *row, Factor *factor)
{
	if (row->file < 0 || row->tensor < 1 || row->file >= deltas->factors || row->tensor > deltas->factors - row->file)
		bad_factor(row->file, psprintf("There are %d.", deltas->factors));
	for (int64 i = row->file; i < row->file + row->tensor; i++)
	{
		sparse_delta_info info;

		read_factor_header(deltas, i, &info);
		if (i > row->file && info.dtype != factor->dtype)
			bad_factor(i, "It is of another dtype than that which it belongs to.");
		factor->dtype = info.dtype;
		factor->bytes += info.content_bytes;
		if (factor->bytes > SPARSE_MAX_PREDICTION)
			bad_factor(row->file, psprintf("It has more than %zu bytes.", (size_t) SPARSE_MAX_PREDICTION));
	}
	if (factor->bytes == 0)
		bad_factor(row->file, "It is empty.");
}

static void
decode_factor(const WireDeltas *deltas, const WireParent *row, ObjectReader *reader, Factor *factor)
{
	Sha256	   *sum = sha256_create(CurrentMemoryContext);
	uint64		at = 0;

	factor->content = palloc(factor->bytes);
	for (int64 i = row->file; i < row->file + row->tensor; i++)
	{
		struct varlena *delta = deltas->factor[i];
		sparse_delta_info info;
		sparse_status status;

		CHECK_FOR_INTERRUPTS();
		read_factor_header(deltas, i, &info);
		status = sparse_delta_apply(object_reader_codec(reader), VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta), NULL, 0,
									factor->content + at, info.content_bytes);
		if (status != SPARSE_OK)
			sparse_report(status, "decode a factor");
		sha256_add(sum, factor->content + at, info.content_bytes);
		at += info.content_bytes;
	}
	sha256_finish(sum, factor->sha256);
}

static void
read_factor(void *state, uint64 first, uint64 bytes, char *target)
{
	memcpy(target, (const char *) state + first, bytes);
}

static int64
store_factor(const Factor *factor, int64 version, ObjectReader *reader, const StagedObject *staged)
{
	ObjectSpec	spec = {
		.place = staged->info.place, .sha256 = factor->sha256, .dtype = factor->dtype, .bytes = factor->bytes,
		.source = read_factor, .source_state = factor->content, .version = version
	};
	ObjectResult result;

	object_write(reader, &spec, &result);
	return result.id;
}

/* ---- all of it ---- */

static bool
find_parent(const WireDeltas *deltas, int64 version, const WireParent *row, int64 *object)
{
	if (row->element == -1)
		return version_tensor(version, row->file, row->tensor, object);
	return have_tensor(deltas->have, row->element, row->file, row->tensor, object);
}

static void
resolve_parent(const WireDeltas *deltas, int64 version, ObjectReader *reader, const StagedObject *staged,
			   const WireParent *row, int64 *object)
{
	Factor		factor = {0};

	if (row->element == 0)
	{
		measure_factor(deltas, row, &factor);
		decode_factor(deltas, row, reader, &factor);
		*object = store_factor(&factor, version, reader, staged);
		pfree(factor.content);
	}
	else if (!find_parent(deltas, version, row, object))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("there is no tensor " INT64_FORMAT " of file " INT64_FORMAT " of element " INT64_FORMAT,
					   row->tensor, row->file, row->element),
				errhint("Tensors are counted from 0 in the order of their bytes, files in that of their paths, elements of have from 1."));
}

bool
wire_declare(const WireDeltas *deltas, int64 version, ObjectReader *reader, StagedObject *staged)
{
	StagedParents parents = {.count = deltas->parents};

	for (int i = 0; i < deltas->parents; i++)
	{
		const WireParent *row = &deltas->parent[i];

		parents.parent[i].made = row->element == 0;
		if (row->element != 0 || deltas->factors > 0)
			resolve_parent(deltas, version, reader, staged, row, &parents.parent[i].object);
	}
	if (staged_declare(reader, staged, &parents))
		return true;
	for (int i = 0; i < parents.count; i++)
		if (parents.parent[i].made && parents.parent[i].object != 0)
			object_remove_factor(parents.parent[i].object);
	return false;
}
