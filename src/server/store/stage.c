/*
 * stage.c: objects of open versions, whose content comes chunk by chunk.
 *
 * A staged object is an object like all others, in the same tables, with two
 * differences: it has no SHA-256, so that nothing finds it, and it stands in
 * sparse.staged with the one that it is said to get. So its chunks are written once:
 * what was read back and found right is published by filling in one column of one row.
 *
 *   1. object_stage makes the rows: grid, depth and the edge to the parent are fixed
 *      then, and the edge keeps the parent.
 *   2. staged_write and staged_write_delta store chunks, each for itself, again and again.
 *   3. staged_publish gives it its SHA-256; or repeats what another transaction was first
 *      to publish.
 *
 * A delta may refer to the object's source, which is what the client was told that it
 * may have. That is the parent, unless the chain would become too long, or a client has named others
 * (stage_parents.c); the delta is then decoded, and its content coded against the parent.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "sdelta/glue.h"
#include "store/predict.h"
#include "store/place.h"
#include "store/query.h"
#include "store/reader.h"
#include "store/store.h"
#include "store/write.h"

/* ---- making one ---- */

static StoreQuery insert_object = {
	.sql = "insert into sparse.object (place, id, dtype, bytes, chunk_bytes, split_bytes, depth, version) "
		"values ($1, pg_catalog.nextval('sparse.object_id_seq'), $2, $3, $4, $5, $6, $7) returning id",
	.args = 7, .arg = {INT2OID, TEXTOID, INT8OID, INT4OID, INT8OID, INT4OID, INT8OID},
	.columns = 1, .column = {INT8OID}
};

static StoreQuery insert_staged = {
	.sql = "insert into sparse.staged (object, version, sha256, source) values ($1, $2, $3, $4)",
	.args = 4, .arg = {INT8OID, INT8OID, BYTEAOID, INT8OID}
};

/* The first candidate that can predict it, and that candidate itself; parent 0: none can. */
static sparse_prediction
first_prediction(ObjectReader *reader, const ObjectSpec *spec, int64 *source)
{
	sparse_prediction prediction;

	for (int i = 0; spec->bytes > 0 && i < spec->candidates; i++)
		if (prediction_consider(reader, spec, spec->candidate[i], &prediction))
		{
			*source = spec->candidate[i];
			return prediction;
		}
	*source = 0;
	return (sparse_prediction) {0};
}

static int64
insert_row(const ObjectSpec *spec, const sparse_prediction *prediction)
{
	bool		split = prediction->object != 0 && prediction->shared < spec->bytes;
	Datum		value[7] = {
		Int16GetDatum(spec->place),
		CStringGetTextDatum(sparse_dtype_get(spec->dtype)->name),
		Int64GetDatum(spec->bytes),
		Int32GetDatum(object_chunk_bytes(spec)),
		Int64GetDatum(split ? prediction->shared : 0),
		Int32GetDatum(prediction->object != 0 ? prediction->depth + 1 : 0),
		Int64GetDatum(spec->version)
	};
	SPITupleTable *rows;
	int64		id;

	if (query_run(&insert_object, value, NULL, false, &rows) != 1)
	{
		query_forget(&insert_object);
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("an object was not inserted"),
				 errdetail("A trigger or a rule of table sparse.object suppressed it.")));
	}
	id = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return id;
}

int64
object_stage(ObjectReader *reader, const ObjectSpec *spec, int64 version)
{
	int64		source;
	sparse_prediction prediction;
	Datum		value[4];
	int64		id;

	object_check_spec(spec);
	prediction = first_prediction(reader, spec, &source);
	id = insert_row(spec, &prediction);
	if (prediction.object != 0)
		object_insert_edge(id, prediction.depth + 1, 0, prediction.object, prediction.depth, false);
	value[0] = Int64GetDatum(id);
	value[1] = Int64GetDatum(version);
	value[2] = PointerGetDatum(object_sha256_value(spec->sha256));
	value[3] = Int64GetDatum(source);
	query_run(&insert_staged, value, source == 0 ? "   n" : NULL, false, NULL);
	return id;
}

/* ---- finding one ---- */

static StoreQuery find_staged = {
	.sql = "select coalesce(source, 0), declared from sparse.staged where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {INT8OID, BOOLOID}
};

bool
staged_find(ObjectReader *reader, int64 object, StagedObject *staged)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;
	bool		found = query_run(&find_staged, &value, NULL, true, &rows) > 0;

	memset(staged, 0, sizeof(*staged));
	if (found)
	{
		staged->source = row_int64(rows, 0, 1);
		staged->declared = DatumGetBool(row_datum(rows, 0, 2));
	}
	SPI_freetuptable(rows);
	if (!found || !object_info(reader, object, &staged->info))
		return false;
	if (staged->info.depth > 0 &&
		!object_parent(reader, object, 0, &staged->parent))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("object " INT64_FORMAT " is corrupt", object),
				 errdetail("It has a depth, but no parent.")));
	return true;
}

/* ---- chunks ---- */

static StoreQuery chunks_from = {
	.sql = "select seq from %s where object operator(pg_catalog.=) $1 "
		"and seq operator(pg_catalog.>=) $2 order by seq limit $3",
	.args = 3, .arg = {INT8OID, INT4OID, INT8OID},
	.columns = 1, .column = {INT4OID}
};

static void
next_chunks(const StagedObject *staged, StagedChunks *chunks, int32 from)
{
	Datum		value[3] = {Int64GetDatum(staged->info.id), Int32GetDatum(from), Int64GetDatum(STAGED_CHUNKS)};
	SPITupleTable *rows;

	chunks->next = 0;
	chunks->count = (int) query_run_at(&chunks_from, staged->info.place, value, NULL, true, &rows);
	chunks->more = chunks->count == STAGED_CHUNKS;
	for (int i = 0; i < chunks->count; i++)
		chunks->seq[i] = row_int32(rows, i, 1);
	SPI_freetuptable(rows);
}

bool
staged_has_chunk(const StagedObject *staged, StagedChunks *chunks, int32 seq)
{
	if (!chunks->begun)
		next_chunks(staged, chunks, seq);
	chunks->begun = true;
	for (;;)
	{
		while (chunks->next < chunks->count && chunks->seq[chunks->next] < seq)
			chunks->next++;
		if (chunks->next < chunks->count || !chunks->more)
			break;
		next_chunks(staged, chunks, seq);
	}
	return chunks->next < chunks->count && chunks->seq[chunks->next] == seq;
}

static StoreQuery insert_chunk = {
	.sql = "insert into %s (place, object, seq, delta) values ($1, $2, $3, $4) "
		"on conflict do nothing",
	.args = 4, .arg = {INT2OID, INT8OID, INT4OID, BYTEAOID}
};

static StoreQuery replace_chunk = {
	.sql = "update %s set delta = $3 where object operator(pg_catalog.=) $1 and seq operator(pg_catalog.=) $2",
	.args = 3, .arg = {INT8OID, INT4OID, BYTEAOID}
};

void
staged_put_chunk(const StagedObject *staged, int32 seq, struct varlena *delta)
{
	Datum		value[4] = {
		Int16GetDatum(staged->info.place), Int64GetDatum(staged->info.id),
		Int32GetDatum(seq), PointerGetDatum(delta)
	};

	if (query_run_at(&insert_chunk, staged->info.place, value, NULL, false, NULL) == 1 ||
		query_run_at(&replace_chunk, staged->info.place, &value[1], NULL, false, NULL) == 1)
		return;
	query_forget_at(&insert_chunk, staged->info.place);
	query_forget_at(&replace_chunk, staged->info.place);
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not store chunk %d because of concurrent updates", seq),
			 errhint("Send it again.")));
}

/* Where chunk `seq` lies in the content; there must be one. */
static void
locate_chunk(const StagedObject *staged, int32 seq, uint64 *first, uint64 *bytes)
{
	if (seq < 0 || !sparse_grid_chunk(&staged->info.grid, (uint64) seq, first, bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no chunk %d", seq),
				 errdetail("The content has " UINT64_FORMAT " chunks, counted from 0.",
						   sparse_grid_chunks(&staged->info.grid)),
				 errhint("sparse_layout() lists them.")));
}

/* Reads what `parent` predicts of a chunk; NULL, and no reference, where it predicts nothing. */
static char *
read_prediction(ObjectReader *reader, const StagedObject *staged, int64 parent,
				uint64 first, uint64 bytes, sparse_ref *ref)
{
	uint64		element_bytes = sparse_dtype_get(staged->info.dtype)->bytes;
	ObjectInfo	info;
	char	   *prediction;

	ref->count = 0;
	if (parent == 0 || !object_info(reader, parent, &info) || info.dtype != staged->info.dtype ||
		!object_predicts(&info, &staged->info, first, bytes, ref))
		return NULL;
	prediction = palloc(ref->count * element_bytes);
	object_read(reader, parent, ref->first * element_bytes,
				ref->count * element_bytes, prediction);
	return prediction;
}

/* A delta of the codec as a value, bound to its place. */
static struct varlena *
delta_value(const StagedObject *staged, int32 seq, const uint8_t *bytes, size_t length)
{
	struct varlena *delta = palloc(VARHDRSZ + length);

	SET_VARSIZE(delta, VARHDRSZ + length);
	memcpy(VARDATA(delta), bytes, length);
	sparse_delta_bind((uint8 *) VARDATA(delta), staged->info.whole, (uint32) seq);
	return delta;
}

/* Codes content against the parent. Stores `at_most`, if that is not longer. */
static void
write_content(ObjectReader *reader, const StagedObject *staged, int32 seq, uint64 first,
			  const char *content, uint64 bytes, struct varlena *at_most)
{
	sparse_ref	ref;
	char	   *prediction = read_prediction(reader, staged, staged->parent, first, bytes, &ref);
	size_t		predicted = ref.count * sparse_dtype_get(staged->info.dtype)->bytes;
	const uint8_t *delta;
	size_t		length;
	sparse_status status;

	status = sparse_delta_encode(object_reader_codec(reader), content, bytes, staged->info.dtype,
								 &ref, prediction != NULL ? 1 : 0, prediction, predicted,
								 &delta, &length);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	if (at_most != NULL && VARSIZE_ANY_EXHDR(at_most) <= length)
		staged_put_chunk(staged, seq, at_most);
	else
		staged_put_chunk(staged, seq, delta_value(staged, seq, delta, length));
}

void
staged_write(ObjectReader *reader, const StagedObject *staged, int32 seq,
			 const char *content, uint64 bytes)
{
	uint64		first;
	uint64		expected;

	locate_chunk(staged, seq, &first, &expected);
	if (bytes != expected)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chunk %d has another length", seq),
				 errdetail(UINT64_FORMAT " bytes were given; it has " UINT64_FORMAT ".", bytes, expected),
				 errhint("sparse_layout() lists the chunks.")));
	write_content(reader, staged, seq, first, content, bytes, NULL);
}

/* ---- deltas that somebody sent ---- */

pg_noreturn void
staged_refuse_delta(int32 seq, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the delta does not fit chunk %d", seq),
			 errdetail_internal("%s", problem),
			 errhint("sparse_layout() lists the chunks and what each may be predicted from.")));
	pg_unreachable();
}

/* What a delta says of itself must be what its place demands. */
static void
check_delta(const StagedObject *staged, int32 seq, uint64 bytes, const sparse_delta_info *info)
{
	if (info->dtype != staged->info.dtype)
		staged_refuse_delta(seq, psprintf("Its dtype is %s instead of %s.", sparse_dtype_get(info->dtype)->name,
								sparse_dtype_get(staged->info.dtype)->name));
	if (info->content_bytes != bytes)
		staged_refuse_delta(seq, psprintf("It holds " UINT64_FORMAT " bytes of content instead of " UINT64_FORMAT ".",
								info->content_bytes, bytes));
	if (info->whole != staged->info.whole || info->piece != (uint32) seq)
		staged_refuse_delta(seq, psprintf("It says that it is piece %u of %s content.", info->piece,
								info->whole == staged->info.whole ? "this" : "another"));
	/* what the codec writes is never longer than this */
	if (info->delta_bytes > sparse_delta_bound(bytes) + info->refs * SPARSE_DELTA_REF + info->parameter_bytes)
		staged_refuse_delta(seq, psprintf("It has " UINT64_FORMAT " bytes, more than its content could need.",
								info->delta_bytes));
}

void
staged_check_delta(const StagedObject *staged, int32 seq, struct varlena *delta, uint64 *first, sparse_delta_info *info)
{
	uint64		bytes;
	sparse_status status;

	locate_chunk(staged, seq, first, &bytes);
	status = sparse_delta_read(VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta), VARSIZE_ANY_EXHDR(delta), info);
	if (status != SPARSE_OK)
		sparse_report(status, "read the delta");
	check_delta(staged, seq, bytes, info);
}

/* The only reference of a delta must be the one that the layout named. */
static void
check_reference(ObjectReader *reader, const StagedObject *staged, int32 seq,
				uint64 first, uint64 bytes, const sparse_ref *ref)
{
	ObjectInfo	source;
	sparse_ref	allowed;

	if (staged->source == 0 ||
		!object_info(reader, staged->source, &source) ||
		!object_predicts(&source, &staged->info, first, bytes, &allowed))
		staged_refuse_delta(seq, "It has a reference, but the chunk has no prediction.");
	if (ref->parent != 0 || ref->dtype != allowed.dtype ||
		ref->first != allowed.first || ref->count != allowed.count)
		staged_refuse_delta(seq, psprintf("It refers to elements " UINT64_FORMAT " to " UINT64_FORMAT
								" of parent %u as %s instead of " UINT64_FORMAT " to " UINT64_FORMAT " of parent 0 as %s.",
								ref->first, ref->first + ref->count, ref->parent,
								sparse_dtype_get(ref->dtype)->name, allowed.first,
								allowed.first + allowed.count, sparse_dtype_get(allowed.dtype)->name));
}

/* Decodes a delta against the source and codes what comes out against the parent. */
static void
recode(ObjectReader *reader, const StagedObject *staged, int32 seq, uint64 first,
	   const sparse_delta_info *info, struct varlena *delta)
{
	sparse_ref	ref;
	char	   *prediction = NULL;
	char	   *content = palloc(Max(info->content_bytes, 1));
	sparse_status status;

	if (info->refs > 0)
		prediction = read_prediction(reader, staged, staged->source, first, info->content_bytes, &ref);
	status = sparse_delta_apply(object_reader_codec(reader), VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta),
								prediction, info->prediction_bytes, content, info->content_bytes);
	if (status != SPARSE_OK)
		sparse_report(status, psprintf("apply the delta of chunk %d", seq));
	if (prediction != NULL)
		pfree(prediction);
	write_content(reader, staged, seq, first, content, info->content_bytes,
				  info->refs > 0 ? NULL : delta);
}

void
staged_write_delta(ObjectReader *reader, const StagedObject *staged, int32 seq, struct varlena *delta)
{
	sparse_delta_info info;
	uint64		first;

	staged_check_delta(staged, seq, delta, &first, &info);
	if (info.refs > 1 || info.parameter_bytes > 0)
		staged_refuse_delta(seq, psprintf("It has %u references and %u bytes of a formula; at most one reference is allowed where none was named.",
										  info.refs, info.parameter_bytes));
	if (info.refs > 0)
		check_reference(reader, staged, seq, first, info.content_bytes, &info.ref[0]);
	if (info.refs > 0 ? staged->source != staged->parent : staged->parent != 0)
		recode(reader, staged, seq, first, &info, delta);
	else
		staged_put_chunk(staged, seq, delta);
}

/* ---- publishing ---- */

static StoreQuery delete_object = {
	.sql = "delete from sparse.object where id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID}
};

static StoreQuery place_of_object = {
	.sql = "select place from sparse.object where id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT2OID}
};

static StoreQuery delete_edges = {
	.sql = "delete from sparse.object_parent where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID}
};

static StoreQuery delete_staged = {
	.sql = "delete from sparse.staged where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID}
};

static StoreQuery publish_object = {
	.sql = "update sparse.object o set sha256 = $2, stored_bytes = $3, predictor = $4, "
		"depth = coalesce((select pg_catalog.max(p.parent_depth) from sparse.object_parent p "
		"  where p.object operator(pg_catalog.=) $1) operator(pg_catalog.+) 1, 0) "
		"where o.id operator(pg_catalog.=) $1 and o.sha256 is null",
	.args = 4, .arg = {INT8OID, BYTEAOID, INT8OID, TEXTOID}
};

static void
run_for_object(StoreQuery *query, int64 object)
{
	Datum		value = Int64GetDatum(object);

	query_run(query, &value, NULL, false, NULL);
}

int16
object_place(int64 object)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;
	int16		place;

	if (query_run(&place_of_object, &value, NULL, false, &rows) != 1)
		elog(ERROR, "object " INT64_FORMAT " is missing", object);
	place = DatumGetInt16(row_datum(rows, 0, 1));
	SPI_freetuptable(rows);
	return place;
}

void
object_remove_content(int64 object)
{
	chunks_remove(object, object_place(object));
	run_for_object(&delete_edges, object);
}

void
object_remove_row(int64 object)
{
	run_for_object(&delete_object, object);
}

/* With what was worked out for it. Nothing may be predicted from it any more. */
static void
remove_staged(int64 object)
{
	staged_keep_parents(object, 0);
	object_remove_content(object);
	run_for_object(&delete_staged, object);
	object_remove_row(object);
}

static void
fill_in(const StagedObject *staged, const uint8 *sha256, const StagedFigures *figures)
{
	Datum		value[4] = {
		Int64GetDatum(staged->info.id),
		PointerGetDatum(object_sha256_value(sha256)), Int64GetDatum(figures->stored_bytes),
		CStringGetTextDatum(object_predictor_name(figures->used))
	};

	staged_keep_parents(staged->info.id, figures->parents_used);
	if (query_run(&publish_object, value, NULL, false, NULL) != 1)
	{
		query_forget(&publish_object);
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not publish an object because of concurrent updates"),
				 errhint("Commit the version again.")));
	}
	run_for_object(&delete_staged, staged->info.id);
}

/*
 * Whoever is about to store the same content must be waited for, and whoever comes
 * later must wait for us. An insert does that without an error, an update of the staged
 * row would fail: so a row is inserted first, and makes way for the staged one.
 */
void
staged_publish(ObjectReader *reader, const StagedObject *staged, const uint8 *sha256,
			   const StagedFigures *figures, ObjectResult *result)
{
	ObjectSpec	spec = {
		.place = staged->info.place, .sha256 = sha256,
		.dtype = staged->info.dtype, .bytes = staged->info.bytes
	};

	memset(result, 0, sizeof(*result));
	if (object_find_or_reserve(&spec, staged->info.grid.chunk_bytes, result))
	{
		staged_replace_parent(staged->info.id, result->id);
		remove_staged(staged->info.id);
	}
	else
	{
		object_remove_row(result->id);
		fill_in(staged, sha256, figures);
		result->id = staged->info.id;
		result->stored_bytes = figures->stored_bytes;
		result->chunks = sparse_grid_chunks(&staged->info.grid);
	}
	object_forget(reader, staged->info.id);
}

static StoreQuery staged_of_version = {
	.sql = "select object from sparse.staged where version operator(pg_catalog.=) $1 limit 1000",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}
};

static StoreQuery delete_edges_among = {
	.sql = "delete from sparse.object_parent p using sparse.staged s, sparse.staged of "
		"where s.version operator(pg_catalog.=) $1 and p.object operator(pg_catalog.=) s.object "
		"and of.object operator(pg_catalog.=) p.parent",
	.args = 1, .arg = {INT8OID}
};

uint64
staged_remove_all(int64 version)
{
	Datum		value = Int64GetDatum(version);
	uint64		removed = 0;
	uint64		count;

	/* they may be predicted from each other */
	query_run(&delete_edges_among, &value, NULL, false, NULL);
	do
	{
		SPITupleTable *rows;

		count = query_run(&staged_of_version, &value, NULL, false, &rows);
		for (uint64 i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			remove_staged(row_int64(rows, i, 1));
		}
		SPI_freetuptable(rows);
		removed += count;
	} while (count > 0);
	return removed;
}
