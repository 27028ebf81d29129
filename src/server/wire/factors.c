/*
 * factors.c: what deltas refer to, and what of it is sent first (see factors.h).
 *
 * A plan says of each object whether it is to be sent, and whether as it is stored or, because what it is
 * predicted from in turn is not to be had, coded alone. It is made from the first and the last chunk of a range,
 * for the ranges that chunks refer to move along with them. What is then sent is found by going down
 * from the chunk at hand: the first thing that is missing, all of whose own references are there.
 */
#include "factors.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "find.h"
#include "sdelta/glue.h"
#include "store/reader.h"

#define MAX_RANGES 64			/* of one column "refs": as docs/wire.md has it */
#define MAX_FACTORS 64			/* objects that are sent for one part */

/* An object that deltas refer to. */
typedef struct Source
{
	int64		object;
	bool		held;
	HavePlace	where;			/* if held */
	bool		asked;			/* whether the caller can read it somewhere */
	bool		readable;

	/* of those that are to be sent */
	bool		chosen;
	bool		alone;			/* coded anew, against nothing */
	ObjectInfo	info;
	uint64		low;			/* chunks [low, high) */
	uint64		high;
} Source;

typedef struct PieceKey
{
	int64		object;
	uint64		seq;
} PieceKey;

/* A chunk that was sent. */
typedef struct Piece
{
	PieceKey	key;
	uint64		at;
} Piece;

struct Factors
{
	ObjectReader *reader;
	const Have *have;
	uint64		most;			/* bytes of content that may be sent */
	uint64		sent;

	/* of the part at hand */
	MemoryContext context;
	HTAB	   *sources;
	HTAB	   *pieces;
	uint64		length;			/* of the tape */
	int64		chosen[MAX_FACTORS];
	int			count;
	StoreAccess *access;		/* while a plan is made */
};

/* Ranges of what the client holds, being collected. */
typedef struct Ranges
{
	int			count;
	Datum		value[MAX_RANGES * 4];
} Ranges;

Factors *
factors_create(MemoryContext context, ObjectReader *reader, const Have *have, uint64 most_bytes)
{
	Factors    *factors = MemoryContextAllocZero(context, sizeof(Factors));

	factors->reader = reader;
	factors->have = have;
	factors->most = most_bytes;
	factors->context = AllocSetContextCreate(context, "sparse factors", ALLOCSET_SMALL_SIZES);
	return factors;
}

void
factors_begin(Factors *factors)
{
	HASHCTL		sources = {.keysize = sizeof(int64), .entrysize = sizeof(Source), .hcxt = factors->context};
	HASHCTL		pieces = {.keysize = sizeof(PieceKey), .entrysize = sizeof(Piece), .hcxt = factors->context};

	MemoryContextReset(factors->context);
	factors->sources = hash_create("sparse sources", 16, &sources, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	factors->pieces = hash_create("sparse pieces", 16, &pieces, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	factors->length = 0;
	factors->count = 0;
}

/* ---- what a reference names ---- */

/* What a reference of an object's chunk names; NULL: no parent of it. */
static Source *
source_of(Factors *factors, const ObjectInfo *object, const sparse_ref *ref)
{
	int64		id;
	bool		found;
	Source	   *source;

	if (!object_parent(factors->reader, object->id, ref->parent, &id))
		return NULL;
	source = hash_search(factors->sources, &id, HASH_ENTER, &found);
	if (!found)
	{
		memset(source, 0, sizeof(*source));
		source->object = id;
		source->held = have_object(factors->have, id, &source->where);
	}
	return source;
}

/* The bytes that a reference names of an object; false where it has no such bytes. */
static bool
range_of(const ObjectInfo *object, const sparse_ref *ref, uint64 *first, uint64 *bytes)
{
	uint64		unit = sparse_dtype_get(ref->dtype)->bytes;
	uint64		elements = object->bytes / unit;

	if (ref->first > elements || ref->count > elements - ref->first)
		return false;
	*first = ref->first * unit;
	*bytes = ref->count * unit;
	return true;
}

/* The chunks [low, high) that hold a range of bytes, which is not empty. */
static void
chunks_of(const ObjectInfo *object, uint64 first, uint64 bytes, uint64 *low, uint64 *high)
{
	*low = sparse_grid_seq(&object->grid, first);
	*high = sparse_grid_seq(&object->grid, first + bytes - 1) + 1;
}

/* ---- what is to be sent ---- */

/* Asks as the caller. */
static bool
is_readable(Factors *factors, Source *source)
{
	if (!source->asked)
	{
		store_leave(factors->access);
		source->readable = find_object_readable(source->object);
		store_enter(factors->access);
		source->asked = true;
	}
	return source->readable;
}

/* Whether the client holds what a reference names, or may be sent it; others: also what is not made for the object. */
static bool
is_to_be_had(Factors *factors, const ObjectInfo *object, const sparse_ref *ref, bool others)
{
	Source	   *source = source_of(factors, object, ref);
	uint64		first;
	uint64		bytes;

	if (source == NULL)
		return false;
	if (source->held)
		return true;
	if (!object_info(factors->reader, source->object, &source->info) ||
		source->info.depth >= object->depth || !range_of(&source->info, ref, &first, &bytes))
		return false;
	return object_parent_is_made(factors->reader, object->id, ref->parent) ||
		(others && is_readable(factors, source));
}

static bool plan_chunks(Factors *factors, const ObjectInfo *object, uint64 low, uint64 high, bool others);

/* Adds what a reference names to the plan, and what that needs. False: there is too much of it. */
static bool
plan_reference(Factors *factors, const ObjectInfo *object, const sparse_ref *ref)
{
	Source	   *source = source_of(factors, object, ref);
	uint64		first;
	uint64		bytes;
	uint64		low;
	uint64		high;

	if (source->held || !range_of(&source->info, ref, &first, &bytes) || bytes == 0)
		return true;
	chunks_of(&source->info, first, bytes, &low, &high);
	if (source->chosen && low >= source->low && high <= source->high)
		return true;
	if (!source->chosen && factors->count == MAX_FACTORS)
		return false;
	if (!source->chosen)
		factors->chosen[factors->count++] = source->object;
	source->low = source->chosen ? Min(low, source->low) : low;
	source->high = source->chosen ? Max(high, source->high) : high;
	source->chosen = true;
	if (!source->alone)
		source->alone = !plan_chunks(factors, &source->info, source->low, source->high, false);
	return true;
}

/* Plans what the first and the last of chunks [low, high) refer to. False, and nothing is planned: not all can be had. */
static bool
plan_chunks(Factors *factors, const ObjectInfo *object, uint64 low, uint64 high, bool others)
{
	StoredChunk end[2];

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < 2; i++)
	{
		chunk_fetch(factors->reader, object, (int32) (i == 0 ? low : high - 1), &end[i]);
		pfree(DatumGetPointer(end[i].value));
		for (int r = 0; r < end[i].info.refs; r++)
			if (!is_to_be_had(factors, object, &end[i].info.ref[r], others))
				return false;
	}
	for (int i = 0; i < 2; i++)
		for (int r = 0; r < end[i].info.refs; r++)
			if (!plan_reference(factors, object, &end[i].info.ref[r]))
				return false;
	return true;
}

/* ---- a chunk that is coded alone ---- */

/* Decodes a chunk and codes it against nothing; the delta is the codec's. */
static void
code_alone(Factors *factors, const Source *source, uint64 seq, uint64 bytes, const uint8_t **delta, size_t *length)
{
	char	   *content = palloc(Max(bytes, 1));
	sparse_delta_info info;
	sparse_status status;

	chunk_read(factors->reader, &source->info, (int32) seq, content, &info);
	status = sparse_delta_encode(object_reader_codec(factors->reader), content, bytes, source->info.dtype,
								 NULL, 0, NULL, 0, delta, length);
	if (status != SPARSE_OK)
		sparse_report(status, "encode a chunk");
	pfree(content);
}

/* ---- what it costs ---- */

/* Where chunk `seq` begins, or the content ends. */
static uint64
chunk_begin(const ObjectInfo *object, uint64 seq)
{
	uint64		first;
	uint64		bytes;

	return sparse_grid_chunk(&object->grid, seq, &first, &bytes) ? first : object->bytes;
}

/* What the deltas of a source come to, about; and its content. */
static uint64
source_cost(Factors *factors, const Source *source, uint64 *content)
{
	double		part;
	const uint8_t *delta;
	size_t		length;

	*content = chunk_begin(&source->info, source->high) - chunk_begin(&source->info, source->low);
	if (source->alone)
	{
		uint64		bytes = chunk_begin(&source->info, source->low + 1) - chunk_begin(&source->info, source->low);

		code_alone(factors, source, source->low, bytes, &delta, &length);
		part = (double) length * *content / bytes;
	}
	else
		part = (double) source->info.stored_bytes * (source->high - source->low) / sparse_grid_chunks(&source->info.grid);
	return (uint64) part;
}

bool
factors_plan(Factors *factors, StoreAccess *access, const ObjectInfo *object,
			 uint64 low, uint64 high, uint64 *bytes)
{
	uint64		all = factors->sent;
	bool		possible;

	*bytes = 0;
	factors->access = access;
	possible = factors->most > 0 && plan_chunks(factors, object, low, high, true);
	factors->access = NULL;
	for (int i = 0; possible && i < factors->count; i++)
	{
		const Source *source = hash_search(factors->sources, &factors->chosen[i], HASH_FIND, NULL);
		uint64		content;

		*bytes += source_cost(factors, source, &content);
		all += content;
	}
	return possible && all <= factors->most;
}

/* ---- references ---- */

/* Adds a range; false where there are too many. What goes on where the last one ended, on the tape, is one with it. */
static bool
add_range(Ranges *ranges, int64 element, int64 file, uint64 first, uint64 bytes)
{
	Datum	   *next = &ranges->value[4 * ranges->count];

	if (element == 0 && ranges->count > 0 && DatumGetInt64(next[-4]) == 0 &&
		DatumGetInt64(next[-2]) + DatumGetInt64(next[-1]) == (int64) first)
	{
		next[-1] = Int64GetDatum(DatumGetInt64(next[-1]) + (int64) bytes);
		return true;
	}
	if (ranges->count == MAX_RANGES)
		return false;
	next[0] = Int64GetDatum(element);
	next[1] = Int64GetDatum(file);
	next[2] = Int64GetDatum((int64) first);
	next[3] = Int64GetDatum((int64) bytes);
	ranges->count++;
	return true;
}

static const Piece *
find_piece(const Factors *factors, int64 object, uint64 seq)
{
	PieceKey	key = {object, seq};

	return hash_search(factors->pieces, &key, HASH_FIND, NULL);
}

/* Adds where a range of an object that was sent lies on the tape; false: some of it was not. */
static bool
add_pieces(const Factors *factors, const Source *source, const sparse_ref *ref, Ranges *ranges)
{
	uint64		first;
	uint64		bytes;
	uint64		low;
	uint64		high;

	if (!source->chosen || !range_of(&source->info, ref, &first, &bytes))
		return false;
	if (bytes == 0)
		return true;
	chunks_of(&source->info, first, bytes, &low, &high);
	for (uint64 seq = low; seq < high; seq++)
	{
		const Piece *piece = find_piece(factors, source->object, seq);
		uint64		begin = chunk_begin(&source->info, seq);
		uint64		from = Max(begin, first);
		uint64		to = Min(chunk_begin(&source->info, seq + 1), first + bytes);

		if (piece == NULL || !add_range(ranges, 0, 0, piece->at + (from - begin), to - from))
			return false;
	}
	return true;
}

static bool
add_reference(Factors *factors, const ObjectInfo *object, const sparse_ref *ref, Ranges *ranges)
{
	const Source *source = source_of(factors, object, ref);
	uint64		unit = sparse_dtype_get(ref->dtype)->bytes;

	if (source == NULL)
		return false;
	if (!source->held)
		return add_pieces(factors, source, ref, ranges);
	return add_range(ranges, source->where.element, source->where.file,
					 source->where.first + ref->first * unit, ref->count * unit);
}

bool
factors_refs(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info, Datum *refs)
{
	Ranges		ranges = {0};
	int			dimension[2] = {0, 4};
	int			lower[2] = {1, 1};

	*refs = (Datum) 0;
	for (int i = 0; i < info->refs; i++)
		if (!add_reference(factors, object, &info->ref[i], &ranges))
			return false;
	dimension[0] = ranges.count;
	if (ranges.count > 0)
		*refs = PointerGetDatum(construct_md_array(ranges.value, NULL, 2, dimension, lower, INT8OID,
												   sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return true;
}

/* ---- sending ---- */

struct varlena *
delta_value(MemoryContext result, const void *bytes, size_t length)
{
	struct varlena *delta = MemoryContextAlloc(result, VARHDRSZ + length);

	SET_VARSIZE(delta, VARHDRSZ + length);
	memcpy(VARDATA(delta), bytes, length);
	return delta;
}

/* The first chunk of a factor that has to be sent. */
typedef struct Missing
{
	const Source *source;
	uint64		seq;
	StoredChunk stored;
	bool		alone;
} Missing;

static FactorsAnswer find_missing(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info,
								  Missing *missing);

/* That chunk, or one that has to be there before it. */
static void
find_before(Factors *factors, const Source *source, uint64 seq, Missing *missing)
{
	Missing		this = {.source = source, .seq = seq, .alone = source->alone};
	FactorsAnswer answer = FACTORS_READY;

	check_stack_depth();
	chunk_fetch(factors->reader, &source->info, (int32) seq, &this.stored);
	if (!source->alone)
		answer = find_missing(factors, &source->info, &this.stored.info, missing);
	if (answer == FACTORS_FIRST)
		return;
	this.alone |= answer == FACTORS_IMPOSSIBLE;
	*missing = this;
}

/* What has to be sent before a chunk. */
static FactorsAnswer
find_missing(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info, Missing *missing)
{
	for (int i = 0; i < info->refs; i++)
	{
		const Source *source = source_of(factors, object, &info->ref[i]);
		uint64		first;
		uint64		bytes;
		uint64		low;
		uint64		high;

		if (source == NULL || (!source->held && !source->chosen))
			return FACTORS_IMPOSSIBLE;
		if (source->held)
			continue;
		if (!range_of(&source->info, &info->ref[i], &first, &bytes))
			return FACTORS_IMPOSSIBLE;
		if (bytes == 0)
			continue;
		chunks_of(&source->info, first, bytes, &low, &high);
		while (low < high && find_piece(factors, source->object, low) != NULL)
			low++;
		if (low < high)
		{
			find_before(factors, source, low, missing);
			return FACTORS_FIRST;
		}
	}
	return FACTORS_READY;
}

static void
add_piece(Factors *factors, const Missing *missing, uint64 bytes)
{
	PieceKey	key = {missing->source->object, missing->seq};
	Piece	   *piece = hash_search(factors->pieces, &key, HASH_ENTER, NULL);

	piece->at = factors->length;
	factors->length += bytes;
	factors->sent += bytes;
}

static void
take_alone(Factors *factors, const Missing *missing, MemoryContext result, FactorChunk *chunk)
{
	const uint8_t *delta;
	size_t		length;

	code_alone(factors, missing->source, missing->seq, chunk->bytes, &delta, &length);
	chunk->delta = delta_value(result, delta, length);
	sparse_delta_bind((uint8 *) VARDATA(chunk->delta), missing->source->info.whole, (uint32) missing->seq);
}

static bool
take_stored(Factors *factors, const Missing *missing, MemoryContext result, FactorChunk *chunk)
{
	struct varlena *delta;

	if (!factors_refs(factors, &missing->source->info, &missing->stored.info, &chunk->refs))
		return false;
	delta = PG_DETOAST_DATUM_PACKED(missing->stored.value);
	chunk->delta = delta_value(result, VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta));
	return true;
}

FactorsAnswer
factors_next(Factors *factors, const ObjectInfo *object, const sparse_delta_info *info,
			 MemoryContext result, FactorChunk *chunk)
{
	Missing		missing;
	FactorsAnswer answer = find_missing(factors, object, info, &missing);

	if (answer != FACTORS_FIRST)
		return answer;
	memset(chunk, 0, sizeof(*chunk));
	chunk->at = factors->length;
	chunk->bytes = missing.stored.info.content_bytes;
	chunk->content_hash = missing.stored.info.content_hash;
	if (chunk->bytes > factors->most - factors->sent)
		return FACTORS_IMPOSSIBLE;
	if (missing.alone || !take_stored(factors, &missing, result, chunk))
		take_alone(factors, &missing, result, chunk);
	add_piece(factors, &missing, chunk->bytes);
	return FACTORS_FIRST;
}
