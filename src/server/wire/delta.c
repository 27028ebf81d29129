/*
 * delta.c: sparse_delta and sparse_delta_factors, a version as what a client needs that holds something already.
 *
 * Value-per-call, so that rows stream where the function stands in a target list; between
 * the calls there is nothing but memory, as in sparse_reconstruct. Each chunk is one of
 *
 *   same      the client holds the object
 *   stored    the delta as it stands, if it needs nothing, or what the client holds
 *   recoded   decoded here, and coded against what the client holds in its place, or nothing,
 *             if the stored one is of no use to the client, or much longer: parents that it
 *             lacks would cost more bytes than they save
 *
 * sparse_delta_factors also has a third way for a delta that needs what the client lacks: to send that first
 * (factors.h), where it costs less. Which way a part goes is settled at its first such chunk.
 *
 * The SHA-256 of what is sent is not computed here: the receiver does that.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "factors.h"
#include "have.h"
#include "model/answer.h"
#include "model/layout.h"
#include "sdelta/glue.h"

PG_FUNCTION_INFO_V1(wire_delta);
PG_FUNCTION_INFO_V1(wire_delta_factors);

#define DELTA_COLUMNS 9

/* Deltas that need nothing and are shorter than this part of their content are sent as they are. */
#define WORTH_RECODING 8

/* Factors are sent where they and the deltas come to less than this part of what coding anew takes. */
#define WORTH_FACTORS .9

/* A client takes so many bytes of factors, and four times the bytes that it asked for: as docs/wire.md has it. */
#define MOST_FACTORS ((uint64) 64 * 1024 * 1024)

/* Arguments. */
enum
{
	ARG_VERSION, ARG_HAVE, ARG_PATH, ARG_FIRST, ARG_LENGTH
};

/* What becomes of the chunks of a part that need what the client lacks. */
typedef enum PartWay
{
	WAY_UNSETTLED, WAY_FACTORS, WAY_ANEW
} PartWay;

typedef struct DeltaStream
{
	/* fixed */
	MemoryContext context;
	StoreVersion version;
	const char *label;
	TupleDesc	row_type;
	Have	   *have;
	ObjectReader *reader;
	Factors    *factors;
	sparse_codec *codec;
	VersionFile *file;
	int			files;
	uint64		from;			/* bytes of the only file that are wanted */
	uint64		to;

	/* where it is */
	int			at;				/* file */
	StoreAccess *access;		/* of the call */
	PartReader *parts;			/* NULL: of the next file */
	FilePart	part;
	uint64		seq;			/* chunk that comes next */
	uint64		chunks;

	/* of the part at hand, found out when first asked */
	ObjectInfo	object;
	sparse_grid grid;			/* its chunks; of a piece of it, what the piece is sent in */
	bool		piece;
	bool		same;
	HavePlace	where;			/* the object itself */
	PartWay		way;
	bool		kin_asked;
	bool		kin_found;
	HavePlace	kin;
	ObjectInfo	kin_object;
} DeltaStream;

/* A row on its way. */
typedef struct DeltaRow
{
	const char *encoding;
	uint64		place;			/* in the file; of a factor on the tape */
	uint64		bytes;
	struct varlena *delta;		/* NULL: same */
	Datum		refs;			/* 0: none */
	uint64		content_hash;
} DeltaRow;

/* ---- opening ---- */

/* The range of arguments first_byte and length; without a path it must be all. */
static void
take_range(FunctionCallInfo fcinfo, DeltaStream *stream)
{
	int64		first = PG_ARGISNULL(ARG_FIRST) ? 0 : PG_GETARG_INT64(ARG_FIRST);
	int64		length = PG_ARGISNULL(ARG_LENGTH) ? PG_INT64_MAX : PG_GETARG_INT64(ARG_LENGTH);

	if (first < 0 || length < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("first_byte and length must not be negative"));
	if (PG_ARGISNULL(ARG_PATH) && (first > 0 || !PG_ARGISNULL(ARG_LENGTH)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a range of bytes needs the path of a file"),
				errhint("Give \"path\" with \"first_byte\" and \"length\"."));
	stream->from = (uint64) first;
	stream->to = (uint64) first + (uint64) length;
}

static void
take_files(FunctionCallInfo fcinfo, DeltaStream *stream)
{
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	MemoryContextSwitchTo(stream->context);
	stream->files = stream->from < stream->to ? 1 : 0;
	if (PG_ARGISNULL(ARG_PATH))
		stream->files = version_files(stream->context, stream->version.id, &stream->file);
	else
		stream->file = version_file(stream->context, &stream->version,
									text_to_cstring(PG_GETARG_TEXT_PP(ARG_PATH)));
	answer_finish();
	store_leave(&access);
	MemoryContextSwitchTo(stream->context);
}

/* The bytes that are wanted. */
static uint64
bytes_wanted(const DeltaStream *stream)
{
	uint64		bytes = 0;

	for (int i = 0; i < stream->files; i++)
		bytes += Min(stream->to, stream->file[i].bytes) - Min(stream->from, stream->file[i].bytes);
	return bytes;
}

static DeltaStream *
open_stream(FunctionCallInfo fcinfo, MemoryContext context, bool factors)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	DeltaStream *stream = palloc0(sizeof(DeltaStream));

	stream->context = context;
	version_from_argument(fcinfo, ARG_VERSION, false, &stream->version);
	version_check_model(&stream->version, TAKE_ROWS);
	take_range(fcinfo, stream);
	stream->have = have_of_argument(fcinfo, ARG_HAVE, true);
	take_files(fcinfo, stream);
	stream->label = version_label(context, &stream->version);
	stream->reader = object_reader_create(context, true);
	stream->factors = factors_create(context, stream->reader, stream->have,
									 factors ? MOST_FACTORS + 4 * bytes_wanted(stream) : 0);
	stream->codec = sparse_codec_in_context(context);
	if (get_call_result_type(fcinfo, NULL, &stream->row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	stream->row_type = BlessTupleDesc(stream->row_type);
	MemoryContextSwitchTo(previous);
	return stream;
}

/* ---- moving on ---- */

static const VersionFile *
file_at_hand(const DeltaStream *stream)
{
	return &stream->file[stream->at];
}

/* Goes to the first chunk of the part that is wanted. */
static void
begin_part(DeltaStream *stream)
{
	const VersionFile *file = file_at_hand(stream);
	const FilePart *part = &stream->part;

	object_reader_context(stream->reader, stream->label, file->path, part->tensor);
	part_object(stream->reader, stream->label, file, part, &stream->object);
	stream->piece = part_is_piece(file, part);
	stream->grid = stream->piece ? (sparse_grid) {part->bytes, 0, SPARSE_CHUNK_TARGET} : stream->object.grid;
	stream->chunks = sparse_grid_chunks(&stream->grid);
	stream->seq = stream->from > part->first ?
		sparse_grid_seq(&stream->grid, stream->from - part->first) : 0;
	stream->way = WAY_UNSETTLED;
	stream->kin_asked = false;
	factors_begin(stream->factors);
	stream->same = !stream->piece && have_object(stream->have, stream->object.id, &stream->where);
}

/* The next part of the file at hand; false at its end. */
static bool
next_part(DeltaStream *stream)
{
	const VersionFile *file = file_at_hand(stream);
	MemoryContext previous = MemoryContextSwitchTo(stream->context);

	if (stream->parts == NULL)
		stream->parts = parts_open(stream->context, stream->version.id, file, stream->from);
	MemoryContextSwitchTo(previous);
	return parts_next(stream->parts, &stream->part);
}

/* Makes sure that there is a chunk to come: its place in its object. False: that was all. */
static bool
next_chunk(DeltaStream *stream, uint64 *first, uint64 *bytes)
{
	while (stream->at < stream->files)
	{
		CHECK_FOR_INTERRUPTS();
		if (stream->parts != NULL && stream->seq < stream->chunks &&
			sparse_grid_chunk(&stream->grid, stream->seq, first, bytes))
		{
			if (stream->part.first + *first < stream->to)
				return true;
			stream->at = stream->files;
		}
		else if (next_part(stream))
			begin_part(stream);
		else
		{
			stream->at++;
			stream->parts = NULL;
			stream->seq = stream->chunks = 0;
		}
	}
	return false;
}

/* ---- a chunk that is coded anew ---- */

/* What the client holds in place of the object; false: nothing of use. */
static bool
find_kin(DeltaStream *stream)
{
	const VersionFile *file = file_at_hand(stream);
	int64		object;

	if (!stream->kin_asked)
		stream->kin_found = have_kin(stream->have, stream->version.id, file, &stream->part, &object, &stream->kin) &&
			object_info(stream->reader, object, &stream->kin_object) &&
			stream->kin_object.dtype == stream->object.dtype;
	stream->kin_asked = true;
	return stream->kin_found;
}

/* What predicts a chunk of what the client holds; NULL: nothing. */
static char *
read_prediction(DeltaStream *stream, uint64 first, uint64 bytes, sparse_ref *ref, Datum *refs)
{
	uint64		unit;
	char	   *prediction;

	*refs = (Datum) 0;
	if (!find_kin(stream) ||
		!object_predicts(&stream->kin_object, &stream->object, first, bytes, ref))
		return NULL;
	unit = sparse_dtype_get(ref->dtype)->bytes;
	prediction = palloc(ref->count * unit);
	object_read(stream->reader, stream->kin_object.id,
				ref->first * unit, ref->count * unit, prediction);
	*refs = have_refs(&stream->kin, ref->first * unit, ref->count * unit);
	return prediction;
}

/*
 * Decodes a chunk and codes it anew, in `result`. False, and nothing is made, where that has
 * not less than `below` bytes.
 */
static bool
recode(DeltaStream *stream, MemoryContext result, uint64 first, uint64 bytes, uint64 below, DeltaRow *row)
{
	char	   *content = palloc(Max(bytes, 1));
	sparse_ref	ref = {0};
	Datum		refs;
	char	   *prediction;
	sparse_delta_info info;
	const uint8_t *delta;
	size_t		length;
	sparse_status status;

	chunk_read(stream->reader, &stream->object, (int32) stream->seq,
			   content, &info);
	prediction = read_prediction(stream, first, bytes, &ref, &refs);
	status = sparse_delta_encode(stream->codec, content, bytes, stream->object.dtype,
								 &ref, prediction != NULL ? 1 : 0, prediction,
								 ref.count * sparse_dtype_get(stream->object.dtype)->bytes,
								 &delta, &length);
	if (status == SPARSE_OK)
		status = sparse_delta_read(delta, length, length, &info);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	if (length >= below)
		return false;
	row->delta = delta_value(result, delta, length);
	sparse_delta_bind((uint8 *) VARDATA(row->delta), stream->object.whole, (uint32) stream->seq);
	row->refs = info.refs > 0 ? refs : (Datum) 0;
	return true;
}

/* ---- a chunk that needs what the client lacks ---- */

/* The chunks of the part from the one at hand on that are wanted: their number and bytes. */
static uint64
chunks_to_come(const DeltaStream *stream, uint64 *bytes)
{
	uint64		to = Min(stream->to - stream->part.first, stream->part.bytes);
	uint64		last = sparse_grid_seq(&stream->object.grid, to - 1);
	uint64		first;
	uint64		length;

	*bytes = 0;
	if (sparse_grid_chunk(&stream->object.grid, last, &first, &length))
		*bytes = first + length;
	if (sparse_grid_chunk(&stream->object.grid, stream->seq, &first, &length))
		*bytes -= first;
	return last + 1 - stream->seq;
}

/*
 * Settles how the part goes on. Where that takes a look at what the chunk at hand would be, coded anew, and that
 * is the way, the row is made.
 */
static PartWay
settle_way(DeltaStream *stream, MemoryContext result, uint64 first, uint64 bytes, DeltaRow *row)
{
	uint64		all;
	uint64		chunks = chunks_to_come(stream, &all);
	uint64		cost;

	if (!factors_plan(stream->factors, stream->access, &stream->object, stream->seq, stream->seq + chunks, &cost))
		return WAY_ANEW;
	cost += (uint64) ((double) stream->object.stored_bytes * chunks / stream->chunks);
	if (cost <= all / WORTH_RECODING)
		return WAY_FACTORS;
	if (cost >= all)
		return WAY_ANEW;
	recode(stream, result, first, bytes, PG_UINT64_MAX, row);
	if (cost >= WORTH_FACTORS * all / bytes * (VARSIZE(row->delta) - VARHDRSZ))
		return WAY_ANEW;
	pfree(row->delta);
	row->delta = NULL;
	row->refs = (Datum) 0;
	return WAY_FACTORS;
}

/* True: what the chunk needs is there, or the row is what comes before it. */
static bool
take_factors(DeltaStream *stream, MemoryContext result, const StoredChunk *chunk, DeltaRow *row)
{
	FactorChunk factor;

	switch (factors_next(stream->factors, &stream->object, &chunk->info, result, &factor))
	{
		case FACTORS_READY:
			return factors_refs(stream->factors, &stream->object, &chunk->info, &row->refs);
		case FACTORS_FIRST:
			*row = (DeltaRow) {"factor", factor.at, factor.bytes, factor.delta, factor.refs, factor.content_hash};
			return true;
		case FACTORS_IMPOSSIBLE:
			break;
	}
	return false;
}

/* ---- rows ---- */

/* Whether a delta that needs nothing may be much longer than one against what the client holds. */
static bool
is_worth_recoding(DeltaStream *stream, const sparse_delta_info *info)
{
	return info->refs == 0 && info->delta_bytes > info->content_bytes / WORTH_RECODING &&
		find_kin(stream);
}

/* The row as a delta; the stored one, unless it is of no use, or a new one is shorter. */
static void
take_delta(DeltaStream *stream, MemoryContext result, const StoredChunk *chunk, uint64 first, uint64 bytes,
		   DeltaRow *row)
{
	bool		usable = factors_refs(stream->factors, &stream->object, &chunk->info, &row->refs);
	struct varlena *delta;

	if (!usable && stream->way == WAY_UNSETTLED)
		stream->way = settle_way(stream, result, first, bytes, row);
	if (!usable && stream->way == WAY_FACTORS)
		usable = take_factors(stream, result, chunk, row);
	if (row->delta != NULL)
		return;
	if (!usable)
		stream->way = WAY_ANEW;
	if ((!usable || is_worth_recoding(stream, &chunk->info)) &&
		recode(stream, result, first, bytes, usable ? chunk->info.delta_bytes : PG_UINT64_MAX, row))
		return;
	delta = PG_DETOAST_DATUM_PACKED(chunk->value);
	row->delta = delta_value(result, VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta));
}

/* Of a piece of a literal, which is small, the bytes coded by themselves. */
static void
take_piece(DeltaStream *stream, MemoryContext result, uint64 first, uint64 bytes, DeltaRow *row)
{
	char	   *content = palloc(Max(bytes, 1));
	sparse_delta_info info;
	const uint8_t *delta;
	size_t		length;
	sparse_status status;

	object_read(stream->reader, stream->object.id, stream->part.within + first, bytes, content);
	status = sparse_delta_encode(stream->codec, content, bytes, SPARSE_BYTES, NULL, 0, NULL, 0, &delta, &length);
	if (status == SPARSE_OK)
		status = sparse_delta_read(delta, length, length, &info);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	*row = (DeltaRow) {
		.encoding = "delta", .place = stream->part.first + first, .bytes = bytes,
		.delta = delta_value(result, delta, length), .content_hash = info.content_hash
	};
}

/* The chunk at hand, or what has to come before it. */
static void
take_chunk(DeltaStream *stream, MemoryContext result, uint64 first, uint64 bytes, DeltaRow *row)
{
	StoredChunk chunk;

	if (stream->piece)
	{
		take_piece(stream, result, first, bytes, row);
		return;
	}

	chunk_fetch(stream->reader, &stream->object, (int32) stream->seq, &chunk);
	*row = (DeltaRow) {
		.encoding = stream->same ? "same" : "delta", .place = stream->part.first + first, .bytes = bytes,
		.content_hash = chunk.info.content_hash
	};
	if (stream->same)
		row->refs = have_refs(&stream->where, first, bytes);
	else
		take_delta(stream, result, &chunk, first, bytes, row);
}

static Datum
row_datum_of(DeltaStream *stream, const DeltaRow *row)
{
	Datum		value[DELTA_COLUMNS];
	bool		null[DELTA_COLUMNS] = {false};

	value[0] = CStringGetTextDatum(file_at_hand(stream)->path);
	null[1] = stream->part.tensor == NULL;
	value[1] = null[1] ? (Datum) 0 : CStringGetTextDatum(stream->part.tensor);
	value[2] = Int32GetDatum((int32) stream->seq);
	value[3] = Int64GetDatum((int64) row->place);
	value[4] = Int64GetDatum((int64) row->bytes);
	value[5] = CStringGetTextDatum(row->encoding);
	null[6] = row->refs == (Datum) 0;
	value[6] = row->refs;
	null[7] = row->delta == NULL;
	value[7] = PointerGetDatum(row->delta);
	value[8] = Int64GetDatum((int64) row->content_hash);
	return HeapTupleGetDatum(heap_form_tuple(stream->row_type, value, null));
}

/* The next row, in the caller's context; false after the last. */
static bool
next_row(DeltaStream *stream, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	StoreAccess access;
	DeltaRow	row;
	uint64		first;
	uint64		bytes;
	bool		found;

	store_enter(&access);
	stream->access = &access;
	answer_connect();
	found = next_chunk(stream, &first, &bytes);
	if (found)
	{
		MemoryContext spi;

		take_chunk(stream, context, first, bytes, &row);
		spi = MemoryContextSwitchTo(context);
		*result = row_datum_of(stream, &row);
		MemoryContextSwitchTo(spi);
		if (row.delta != NULL)
			pfree(row.delta);
		if (strcmp(row.encoding, "factor") != 0)
			stream->seq++;
	}
	answer_finish();
	store_leave(&access);
	return found;
}

static Datum
answer_delta(FunctionCallInfo fcinfo, bool factors)
{
	FuncCallContext *call;
	Datum		row;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = open_stream(fcinfo, call->multi_call_memory_ctx, factors);
	}
	call = SRF_PERCALL_SETUP();
	if (next_row(call->user_fctx, &row))
		SRF_RETURN_NEXT(call, row);
	SRF_RETURN_DONE(call);
}

/* sparse_delta(version, have, path, first_byte, length) */
Datum
wire_delta(PG_FUNCTION_ARGS)
{
	return answer_delta(fcinfo, false);
}

/* sparse_delta_factors(version, have, path, first_byte, length) */
Datum
wire_delta_factors(PG_FUNCTION_ARGS)
{
	return answer_delta(fcinfo, true);
}
