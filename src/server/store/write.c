/*
 * write.c: storing objects.
 *
 *   1. The SHA-256 is looked up; what is stored already is locked and done with.
 *   2. The object's row is inserted: whoever stores the same content meanwhile
 *      waits for us at the unique index, and finds ours.
 *   3. Of the candidates, the one that predicts a few samples best is taken.
 *   4. The content is encoded chunk by chunk; each delta is decoded again, and
 *      stored.
 *   5. The row gets its figures, and its edge to the parent if any delta used it.
 *
 * What is taken of candidates and recipes is chosen by the core (recipes/prediction.h); where a parent reaches less far
 * than the content, the grid starts anew (split_bytes).
 *
 * Memory: a chunk of content, its prediction (by bytes: of up to four chunks), its
 * delta, the same as a value, and the check's copy of the content.
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

/* Attempts to find or insert a row that others keep taking away. */
#define ATTEMPTS 10

typedef struct Writer
{
	/* fixed for the object */
	ObjectReader *reader;
	const ObjectSpec *spec;
	int64		id;
	uint64		chunk_bytes;
	sparse_subject subject;
	ObjectSource objects;
	sparse_source source;
	sparse_environment environment;
	sparse_allocator allocator;
	sparse_coder coder;
	char	   *content;		/* of one chunk */
	char	   *check;			/* room for its decoded copy */

	/* known once the candidates were judged */
	sparse_prediction prediction;
	sparse_grid grid;

	/* grow as chunks are written */
	uint64		stored_bytes;
	bool		used[SPARSE_PREDICTORS];
	uint32		parents_used;	/* a bit for each */
} Writer;

/* ---- the object's row ---- */

static StoreQuery find_object = {
	.sql = "select id, bytes, stored_bytes, chunk_bytes, split_bytes from sparse.object "
		"where sha256 operator(pg_catalog.=) $1 for key share",
	.args = 1, .arg = {BYTEAOID},
	.columns = 5, .column = {INT8OID, INT8OID, INT8OID, INT4OID, INT8OID}
};

static StoreQuery reserve_object = {
	.sql = "insert into sparse.object (place, id, sha256, dtype, bytes, chunk_bytes, version) "
		"values ($1, pg_catalog.nextval('sparse.object_id_seq'), $2, $3, $4, $5, $6) "
		"on conflict (sha256) do nothing returning id",
	.args = 6, .arg = {INT2OID, BYTEAOID, TEXTOID, INT8OID, INT4OID, INT8OID},
	.columns = 1, .column = {INT8OID}
};

static StoreQuery finish_object = {
	.sql = "update sparse.object set stored_bytes = $2, split_bytes = $3, predictor = $4, depth = $5 "
		"where id operator(pg_catalog.=) $1",
	.args = 5, .arg = {INT8OID, INT8OID, INT8OID, TEXTOID, INT4OID}
};

static StoreQuery insert_edge = {
	.sql = "insert into sparse.object_parent (object, depth, ordinal, parent, parent_depth, made) "
		"values ($1, $2, $3, $4, $5, $6)",
	.args = 6, .arg = {INT8OID, INT4OID, INT2OID, INT8OID, INT4OID, BOOLOID}
};

static StoreQuery insert_chunk = {
	.sql = "insert into %s (place, object, seq, delta) values ($1, $2, $3, $4)",
	.args = 4, .arg = {INT2OID, INT8OID, INT4OID, BYTEAOID}
};

bytea *
object_sha256_value(const uint8 *sha256)
{
	bytea	   *value = palloc(VARHDRSZ + SPARSE_SHA256_BYTES);

	SET_VARSIZE(value, VARHDRSZ + SPARSE_SHA256_BYTES);
	memcpy(VARDATA(value), sha256, SPARSE_SHA256_BYTES);
	return value;
}

/*
 * Finds the object that has this content, and holds its row against deletion
 * until the transaction ends.
 */
static bool
find_existing(const ObjectSpec *spec, ObjectResult *result)
{
	Datum		value = PointerGetDatum(object_sha256_value(spec->sha256));
	SPITupleTable *rows;
	bool		found = query_run(&find_object, &value, NULL, false, &rows) > 0;

	if (found)
	{
		sparse_grid grid = {
			.content_bytes = row_int64(rows, 0, 2),
			.chunk_bytes = row_int32(rows, 0, 4),
			.split_bytes = row_int64(rows, 0, 5)
		};

		result->id = row_int64(rows, 0, 1);
		result->stored_bytes = row_int64(rows, 0, 3);
		if (grid.content_bytes != spec->bytes || !sparse_grid_valid(&grid))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("object " INT64_FORMAT " is corrupt", result->id),
					 errdetail("It has the SHA-256 of the content to be stored, but another length.")));
		result->chunks = sparse_grid_chunks(&grid);
		result->existed = true;
	}
	SPI_freetuptable(rows);
	return found;
}

/* Inserts the row of a new object; false when somebody else's is in the way. */
static bool
reserve(const ObjectSpec *spec, uint64 chunk_bytes, int64 *id)
{
	Datum		value[6] = {
		Int16GetDatum(spec->place),
		PointerGetDatum(object_sha256_value(spec->sha256)),
		CStringGetTextDatum(sparse_dtype_get(spec->dtype)->name),
		Int64GetDatum(spec->bytes),
		Int32GetDatum(chunk_bytes),
		Int64GetDatum(spec->version)
	};
	SPITupleTable *rows;
	bool		inserted = query_run(&reserve_object, value, NULL, false, &rows) > 0;

	if (inserted)
		*id = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return inserted;
}

/* True: the object is there. False: its row is ours and the content is to be written. */
bool
object_find_or_reserve(const ObjectSpec *spec, uint64 chunk_bytes, ObjectResult *result)
{
	for (int i = 0; i < ATTEMPTS; i++)
	{
		if (find_existing(spec, result))
			return true;
		if (reserve(spec, chunk_bytes, &result->id))
			return false;
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not store an object because of concurrent updates")));
}

/* ---- what predicts it ---- */

static bool
contains(const sparse_prediction *among, int count, int64 object)
{
	for (int i = 0; i < count; i++)
		if (among[i].object == object)
			return true;
	return false;
}

/* The candidates that can predict it; their number. */
static int
fitting_candidates(Writer *writer, sparse_prediction *fit)
{
	int			fits = 0;

	for (int i = 0; i < writer->spec->candidates; i++)
		if (prediction_consider(writer->reader, writer->spec, writer->spec->candidate[i], &fit[fits]) &&
			fit[fits].object != writer->id &&
			!contains(fit, fits, fit[fits].object))
			fits++;
	return fits;
}

/* Picks the candidate or recipe that is cheapest on samples. */
static void
choose_prediction(Writer *writer)
{
	const ObjectSpec *spec = writer->spec;
	sparse_prediction fit[lengthof(spec->candidate)] = {0};
	int			fits = spec->bytes > 0 ? fitting_candidates(writer, fit) : 0;
	sparse_status status = prediction_among(&writer->coder, fit, fits, spec->recipe, spec->recipes, &writer->prediction);

	if (status != SPARSE_OK)
		sparse_report(status, "encode a sample");
}

/* ---- chunks ---- */

/* A delta that does not give its content back must not be stored. */
static void
verify(Writer *writer, const void *delta, size_t delta_bytes,
	   const sparse_delta_info *info, const char *predicted, uint64 bytes)
{
	sparse_status status;

	status = sparse_delta_apply(writer->coder.codec, delta, delta_bytes,
								info->refs > 0 ? predicted : NULL, info->prediction_bytes,
								writer->check, bytes);
	if (status != SPARSE_OK || memcmp(writer->check, writer->content, bytes) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a delta does not decode to the content that it was made of"),
				 errdetail("Nothing was stored. Codec: %s.", sparse_status_text(status)),
				 errhint("This is a bug of the extension \"sparse\".")));
}

static void
store_chunk(const Writer *writer, int32 seq, struct varlena *delta)
{
	Datum		value[4] = {
		Int16GetDatum(writer->spec->place), Int64GetDatum(writer->id),
		Int32GetDatum(seq), PointerGetDatum(delta)
	};

	query_run_at(&insert_chunk, writer->spec->place, value, NULL, false, NULL);
}

static void
write_chunk(Writer *writer, int32 seq, uint64 first, uint64 bytes, char *predicted)
{
	const uint8_t *bytes_of_delta;
	size_t		delta_bytes;
	struct varlena *delta;
	sparse_delta_info info;
	sparse_status status;

	writer->spec->source(writer->spec->source_state, first, bytes, writer->content);
	status = prediction_encode(&writer->coder, &writer->prediction, first, bytes, writer->content, predicted,
							   &bytes_of_delta, &delta_bytes);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	delta = palloc(VARHDRSZ + delta_bytes);
	SET_VARSIZE(delta, VARHDRSZ + delta_bytes);
	memcpy(VARDATA(delta), bytes_of_delta, delta_bytes);
	sparse_delta_bind((uint8 *) VARDATA(delta), sparse_whole(writer->spec->sha256), (uint32) seq);

	status = sparse_delta_read(VARDATA(delta), delta_bytes, delta_bytes, &info);
	if (status != SPARSE_OK)
		sparse_report(status, "read a delta just made");
	if (sparse_verify_writes)
		verify(writer, VARDATA(delta), delta_bytes, &info, predicted, bytes);
	store_chunk(writer, seq, delta);
	pfree(delta);
	writer->used[info.predictor] = true;
	for (int i = 0; i < info.refs; i++)
		writer->parents_used |= 1u << info.ref[i].parent;
	writer->stored_bytes += delta_bytes;
}

static void
write_chunks(Writer *writer)
{
	char	   *predicted = palloc_extended(Max(prediction_most_bytes(&writer->prediction, &writer->subject), 1), MCXT_ALLOC_HUGE);
	uint64		chunks = sparse_grid_chunks(&writer->grid);
	uint64		first;
	uint64		bytes;

	for (uint64 seq = 0; seq < chunks; seq++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!sparse_grid_chunk(&writer->grid, seq, &first, &bytes))
			elog(ERROR, "grid has no chunk " UINT64_FORMAT, seq);
		write_chunk(writer, (int32) seq, first, bytes, predicted);
	}
	pfree(predicted);
}

/* ---- the object as a whole ---- */

const char *
object_predictor_name(const bool used[SPARSE_PREDICTORS])
{
	const char *word = NULL;
	bool		other_parent = false;

	for (int i = SPARSE_PREDICT_PARENT; i < SPARSE_PREDICTORS; i++)
		other_parent |= used[i];
	for (int i = 0; i < SPARSE_PREDICTORS; i++)
	{
		if (!used[i] || (i == SPARSE_PREDICT_SAME && other_parent))
			continue;
		if (word != NULL)
			return "mixed";
		word = sparse_predictor_name(i);
	}
	return word == NULL ? sparse_predictor_name(SPARSE_PREDICT_NONE) : word;
}

bool
object_parent_was_used(const bool used[SPARSE_PREDICTORS])
{
	for (int i = 0; i < SPARSE_PREDICTORS; i++)
		if (i != SPARSE_PREDICT_NONE && used[i])
			return true;
	return false;
}

void
object_insert_edge(int64 object, int32 depth, int ordinal, int64 parent, int32 parent_depth, bool made)
{
	Datum		value[6] = {
		Int64GetDatum(object), Int32GetDatum(depth),
		Int16GetDatum(ordinal), Int64GetDatum(parent), Int32GetDatum(parent_depth), BoolGetDatum(made)
	};

	query_run(&insert_edge, value, NULL, false, NULL);
}

/* The edges to those parents that a delta refers to. */
static void
insert_edges(const Writer *writer, int32 depth)
{
	const sparse_prediction *prediction = &writer->prediction;
	const sparse_recipe *recipe = prediction->recipe;

	if (recipe == NULL)
	{
		object_insert_edge(writer->id, depth, 0, prediction->object, prediction->depth, false);
		return;
	}
	for (int i = 0; i < recipe->sources; i++)
		if (writer->parents_used & (1u << i))
			object_insert_edge(writer->id, depth, i, recipe->source[i].object, recipe->source[i].depth,
							   recipe->source[i].made);
}

static bool
is_used(const sparse_recipe *recipe, uint32 used, int64 object)
{
	for (int i = 0; recipe != NULL && i < recipe->sources; i++)
		if ((used & (1u << i)) != 0 && recipe->source[i].object == object)
			return true;
	return false;
}

/* What was worked out for this object by any of its proposals, but for those sources of the chosen one that are used. */
static void
remove_unused_factors(const ObjectSpec *spec, const sparse_recipe *chosen, uint32 used)
{
	for (int n = 0; spec->searched && n < spec->recipes; n++)
		for (int i = 0; i < spec->recipe[n].sources; i++)
			if (spec->recipe[n].source[i].made && !is_used(chosen, used, spec->recipe[n].source[i].object))
				object_remove_factor(spec->recipe[n].source[i].object);
}

static void
finish(const Writer *writer)
{
	bool		predicted = object_parent_was_used(writer->used);
	int32		depth = predicted ? writer->prediction.depth + 1 : 0;
	Datum		figures[5] = {
		Int64GetDatum(writer->id),
		Int64GetDatum(writer->stored_bytes), Int64GetDatum(writer->grid.split_bytes),
		CStringGetTextDatum(object_predictor_name(writer->used)), Int32GetDatum(depth)
	};

	query_run(&finish_object, figures, NULL, false, NULL);
	if (predicted)
		insert_edges(writer, depth);
	remove_unused_factors(writer->spec, writer->prediction.recipe, writer->parents_used);
	object_forget(writer->reader, writer->id);
}

static void
prepare_coder(Writer *writer)
{
	const ObjectSpec *spec = writer->spec;

	subject_of_spec(spec, &writer->subject);
	writer->objects = (ObjectSource) {.reader = writer->reader, .spec = spec};
	object_source(&writer->objects, &writer->source);
	object_environment(&writer->environment, &writer->allocator, CurrentMemoryContext);
	writer->coder = (sparse_coder) {
		.environment = &writer->environment, .source = &writer->source, .subject = &writer->subject,
		.codec = object_reader_codec(writer->reader)
	};
}

static void
write_content(Writer *writer)
{
	const ObjectSpec *spec = writer->spec;
	uint64		room = Max(Min(writer->chunk_bytes, spec->bytes), 1);

	prepare_coder(writer);
	writer->content = palloc(room);
	writer->check = sparse_verify_writes ? palloc(room) : NULL;
	choose_prediction(writer);
	writer->grid.content_bytes = spec->bytes;
	writer->grid.chunk_bytes = writer->chunk_bytes;
	writer->grid.split_bytes = writer->prediction.shared < spec->bytes ? writer->prediction.shared : 0;
	write_chunks(writer);
	finish(writer);
}

void
object_check_spec(const ObjectSpec *spec)
{
	if (spec->bytes % sparse_dtype_get(spec->dtype)->bytes != 0)
		elog(ERROR, "content of " UINT64_FORMAT " bytes is not made of whole elements of %s",
			 spec->bytes, sparse_dtype_get(spec->dtype)->name);
	if (spec->candidates > (int) lengthof(spec->candidate))
		elog(ERROR, "too many candidates: %d", spec->candidates);
	/* a grid has at most one chunk more than this, at the split */
	if (spec->bytes / ((uint64) sparse_chunk_size * 512) >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("object of " UINT64_FORMAT " bytes has too many chunks", spec->bytes),
				 errhint("Raise \"sparse.chunk_size\".")));
}

uint64
object_chunk_bytes(const ObjectSpec *spec)
{
	if (spec->chunk_bytes > 0)
		return spec->chunk_bytes;
	return sparse_grid_chunk_bytes(spec->row_bytes, sparse_dtype_get(spec->dtype)->bytes,
								   (uint64) sparse_chunk_size * 1024);
}

void
object_write_content(ObjectReader *reader, const ObjectSpec *spec, int64 id, ObjectResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "sparse object writer",
												  ALLOCSET_DEFAULT_SIZES);
	Writer		writer = {
		.reader = reader, .spec = spec, .id = id,
		.chunk_bytes = object_chunk_bytes(spec)
	};

	MemoryContextSwitchTo(context);
	write_content(&writer);
	result->id = id;
	result->stored_bytes = writer.stored_bytes;
	result->chunks = sparse_grid_chunks(&writer.grid);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
object_choose(ObjectReader *reader, ObjectSpec *spec, int64 id)
{
	Writer		writer = {.reader = reader, .spec = spec, .id = id};

	prepare_coder(&writer);
	choose_prediction(&writer);
	spec->candidates = writer.prediction.recipe == NULL && writer.prediction.object != 0;
	spec->candidate[0] = writer.prediction.object;
	remove_unused_factors(spec, writer.prediction.recipe, PG_UINT32_MAX);
	spec->recipes = writer.prediction.recipe != NULL;
	if (spec->recipes > 0)
		spec->recipe = (sparse_recipe *) writer.prediction.recipe;
}

void
object_reserve(const ObjectSpec *spec, ObjectResult *result)
{
	object_check_spec(spec);
	memset(result, 0, sizeof(*result));
	(void) object_find_or_reserve(spec, object_chunk_bytes(spec), result);
}

void
object_write(ObjectReader *reader, const ObjectSpec *spec, ObjectResult *result)
{
	object_reserve(spec, result);
	if (!result->existed)
		object_write_content(reader, spec, result->id, result);
}
