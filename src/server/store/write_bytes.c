/*
 * write_bytes.c: objects of one chunk, predicted from ranges of several others.
 *
 * What write.c does for tensors and files, which lie where their parent's lie, does
 * not serve pieces of columns, whose likes may be anywhere: their writer says where. Of
 * several answers the one is kept that makes the smallest delta.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "sdelta/glue.h"
#include "store/place.h"
#include "store/query.h"
#include "store/reader.h"
#include "store/store.h"
#include "store/write.h"

static StoreQuery finish_object = {
	.sql = "update sparse.object set stored_bytes = $2, predictor = $3, depth = $4 "
		"where id operator(pg_catalog.=) $1",
	.args = 4, .arg = {INT8OID, INT8OID, TEXTOID, INT4OID}
};

static StoreQuery insert_chunk = {
	.sql = "insert into %s (place, object, seq, delta) values ($1, $2, 0, $3)",
	.args = 3, .arg = {INT2OID, INT8OID, BYTEAOID}
};

/* References with the parents that they are to, each once. */
typedef struct Resolved
{
	int			refs;
	sparse_ref	ref[SPARSE_MAX_REFS];
	uint64		bytes;
	int			parents;
	int64		parent[SPARSE_MAX_REFS];
	int32		parent_depth[SPARSE_MAX_REFS];
	int32		depth;			/* of an object that has them */
} Resolved;

bool
object_reserve_whole(const ObjectSpec *spec, ObjectResult *result)
{
	memset(result, 0, sizeof(*result));
	if (spec->bytes > SPARSE_MAX_CONTENT)
		elog(ERROR, "content of " UINT64_FORMAT " bytes does not fit one chunk", spec->bytes);
	object_check_spec(spec);
	return object_find_or_reserve(spec, Max(spec->bytes, 1), result);
}

static int
ordinal_of(Resolved *resolved, const ObjectInfo *info)
{
	for (int i = 0; i < resolved->parents; i++)
		if (resolved->parent[i] == info->id)
			return i;
	resolved->parent[resolved->parents] = info->id;
	resolved->parent_depth[resolved->parents] = info->depth;
	resolved->depth = Max(resolved->depth, info->depth + 1);
	return resolved->parents++;
}

/* False where the set cannot be used. */
static bool
resolve(ObjectReader *reader, const ObjectSpec *spec, int64 id, const ReferenceSet *set, int most_depth,
		Resolved *resolved)
{
	uint64		element = sparse_dtype_get(spec->dtype)->bytes;

	memset(resolved, 0, sizeof(*resolved));
	for (int i = 0; i < set->count; i++)
	{
		ObjectInfo	info;
		uint64		first = set->ref[i].first;
		uint64		bytes = set->ref[i].bytes;

		if (set->ref[i].object == id || !object_info(reader, set->ref[i].object, &info) ||
			info.depth >= most_depth)
			return false;
		if (first % element != 0 || first > info.bytes || bytes > info.bytes - first)
			elog(ERROR, "a reference to bytes that object " INT64_FORMAT " does not have", info.id);
		bytes -= bytes % element;
		resolved->ref[resolved->refs++] = (sparse_ref) {
			.parent = (uint16_t) ordinal_of(resolved, &info), .dtype = spec->dtype,
			.first = first / element, .count = bytes / element
		};
		resolved->bytes += bytes;
	}
	return resolved->refs > 0 && resolved->bytes > 0 && resolved->bytes <= SPARSE_MAX_PREDICTION;
}

static char *
read_prediction(ObjectReader *reader, const ObjectSpec *spec, const Resolved *resolved)
{
	uint64		element = sparse_dtype_get(spec->dtype)->bytes;
	char	   *prediction = palloc(Max(resolved->bytes, 1));
	char	   *at = prediction;

	for (int i = 0; i < resolved->refs; i++)
	{
		const sparse_ref *ref = &resolved->ref[i];

		object_read_keep(reader, resolved->parent[ref->parent], ref->first * element,
						 ref->count * element, at, true);
		at += ref->count * element;
	}
	return prediction;
}

/* A delta of the content as a value of its own. */
static struct varlena *
encode(ObjectReader *reader, const ObjectSpec *spec, const char *content, const Resolved *resolved,
	   const char *prediction, int zstd_level)
{
	sparse_codec *codec = object_reader_codec(reader);
	const uint8_t *delta;
	size_t		bytes;
	struct varlena *value;
	sparse_status status;

	sparse_codec_level(codec, zstd_level);
	status = sparse_delta_encode(codec, content, spec->bytes, spec->dtype,
								 resolved->refs > 0 ? resolved->ref : NULL, resolved->refs,
								 resolved->refs > 0 ? prediction : NULL, resolved->bytes, &delta, &bytes);
	sparse_codec_level(codec, 0);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	value = palloc(VARHDRSZ + bytes);
	SET_VARSIZE(value, VARHDRSZ + bytes);
	memcpy(VARDATA(value), delta, bytes);
	sparse_delta_bind((uint8 *) VARDATA(value), sparse_whole(spec->sha256), 0);
	return value;
}

/* A delta that does not give its content back must not be stored. */
static void
verify(ObjectReader *reader, const ObjectSpec *spec, const char *content, const struct varlena *delta,
	   const sparse_delta_info *info, const char *prediction)
{
	char	   *check = palloc(Max(spec->bytes, 1));
	sparse_status status;

	status = sparse_delta_apply(object_reader_codec(reader), VARDATA(delta), VARSIZE(delta) - VARHDRSZ,
								info->refs > 0 ? prediction : NULL, info->prediction_bytes, check, spec->bytes);
	if (status != SPARSE_OK || memcmp(check, content, spec->bytes) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a delta does not decode to the content that it was made of"),
				 errdetail("Nothing was stored. Codec: %s.", sparse_status_text(status)),
				 errhint("This is a bug of the extension \"sparse\".")));
	pfree(check);
}

static void
store(ObjectReader *reader, const ObjectSpec *spec, int64 id, struct varlena *delta,
	  const sparse_delta_info *info, const Resolved *resolved)
{
	int32		depth = info->refs > 0 ? resolved->depth : 0;
	Datum		chunk[3] = {Int16GetDatum(spec->place), Int64GetDatum(id), PointerGetDatum(delta)};
	Datum		figures[4] = {
		Int64GetDatum(id), Int64GetDatum(VARSIZE(delta) - VARHDRSZ),
		CStringGetTextDatum(sparse_predictor_name(info->predictor)), Int32GetDatum(depth)
	};

	if (spec->bytes > 0)
		query_run_at(&insert_chunk, spec->place, chunk, NULL, false, NULL);
	query_run(&finish_object, figures, NULL, false, NULL);
	for (int i = 0; info->refs > 0 && i < resolved->parents; i++)
		object_insert_edge(id, depth, i, resolved->parent[i], resolved->parent_depth[i], false);
	object_forget(reader, id);
}

void
object_write_whole(ObjectReader *reader, const ObjectSpec *spec, const char *content,
				   const ReferenceSet *set, int sets, int most_depth, int zstd_level,
				   ObjectResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "sparse object writer", ALLOCSET_DEFAULT_SIZES);
	Resolved	best = {0};
	char	   *prediction = NULL;
	struct varlena *delta = NULL;
	sparse_delta_info info;

	MemoryContextSwitchTo(context);
	for (int i = 0; i < sets; i++)
	{
		Resolved	resolved;
		char	   *bytes;
		struct varlena *other;

		CHECK_FOR_INTERRUPTS();
		if (!resolve(reader, spec, result->id, &set[i], most_depth, &resolved))
			continue;
		bytes = read_prediction(reader, spec, &resolved);
		other = encode(reader, spec, content, &resolved, bytes, zstd_level);
		if (delta == NULL || VARSIZE(other) < VARSIZE(delta))
		{
			delta = other;
			prediction = bytes;
			best = resolved;
		}
	}
	if (delta == NULL)
		delta = encode(reader, spec, content, &best, NULL, zstd_level);
	if (sparse_delta_read(VARDATA(delta), VARSIZE(delta) - VARHDRSZ, VARSIZE(delta) - VARHDRSZ, &info) != SPARSE_OK)
		elog(ERROR, "could not read a delta just made");
	if (sparse_verify_writes)
		verify(reader, spec, content, delta, &info, prediction);
	store(reader, spec, result->id, delta, &info, &best);
	result->stored_bytes = spec->bytes > 0 ? VARSIZE(delta) - VARHDRSZ : 0;
	result->chunks = spec->bytes > 0 ? 1 : 0;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
