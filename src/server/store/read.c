/*
 * read.c: reading objects: from ranges of bytes to chunks, from chunks to the
 * chunks of their parents, and back.
 *
 *      object_read -> read_range -> decode_chunk -> gather -> read_range -> ...
 *
 * A chunk's delta names ranges of its object's parents; each is read in the same
 * way, one level down. Depth falls at every level, so it ends.
 *
 * Memory: a level keeps its prediction (and where the parent's grid is another,
 * one decoded chunk of it) while the levels below work. The delta itself is
 * fetched in two steps: the tuple with a pointer to the value, of which the header
 * is read first, and the rest only once the prediction is there. So a chain of
 * eight levels of 1 MiB chunks holds about 16 MiB beside the cache.
 *
 * Chunks that were wanted in part, or as a dictionary, which the next chunk looks
 * at too, are remembered within sparse.cache_size; other chunks wanted as a whole
 * go straight to their target, since a scan does not come back.
 *
 * Nothing stored is trusted: grids, depths, references and lengths are checked
 * before they are used, and what a delta decodes to is checked by the codec.
 */
#include "postgres.h"
#include "compat.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "sdelta/glue.h"
#include "store/place.h"
#include "store/query.h"
#include "store/reader.h"
#include "store/store.h"

/* Rows of objects that a reader remembers before it forgets them all. */
#define KNOWN_OBJECTS_MAX 4096

/* Larger predictions are not kept for the next one. */
#define SPARE_MAX ((uint64) 4 * 1024 * 1024)

/* Chunks of objects on other servers that are fetched in one statement, and of how many objects they are kept. */
#define RUN_CHUNKS 16
#define RUN_BYTES ((uint64) 2 * 1024 * 1024)
#define RUNS 8

/* More parents than any predictor refers to: a row with more is corrupt. */
#define PARENTS_MAX 1024

typedef struct ObjectParent
{
	int16		ordinal;
	int64		parent;
	bool		made;
} ObjectParent;

typedef struct KnownObject
{
	int64		object;			/* the key */
	ObjectInfo	info;
	int			parents;
	ObjectParent *parent;		/* by ordinal */
} KnownObject;

typedef struct ChunkKey
{
	int64		object;
	int64		seq;
} ChunkKey;

typedef struct CachedChunk
{
	ChunkKey	key;
	dlist_node	use;
	uint64		bytes;
	char	   *content;
} CachedChunk;

/* Chunks of an object that were fetched together, from `first` on; value[0] belongs to that. */
typedef struct ChunkRun
{
	int64		object;
	int32		first;
	int			count;
	Datum		value[RUN_CHUNKS];
} ChunkRun;

struct ObjectReader
{
	/* fixed for its life */
	MemoryContext context;
	bool		read_only;
	sparse_codec *codec;

	/* of a prediction that was used, for the next one: fresh pages would be faulted in for each */
	char	   *spare;
	uint64		spare_bytes;

	/* what it remembers */
	MemoryContext known_context;
	HTAB	   *known;
	HTAB	   *cached;
	dlist_head	uses;			/* most recent first */
	uint64		cached_bytes;
	MemoryContext run_context[RUNS];
	ChunkRun   *run[RUNS];
	int			oldest_run;

	/* what errors name */
	char	   *version;
	char	   *file;
	char	   *tensor;
};

/* ---- life ---- */

static void
forget_objects(ObjectReader *reader)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(KnownObject)};

	MemoryContextReset(reader->known_context);
	control.hcxt = reader->known_context;
	reader->known = hash_create("sparse objects", 64, &control,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

ObjectReader *
object_reader_create(MemoryContext parent, bool read_only)
{
	MemoryContext context = AllocSetContextCreate(parent, "sparse object reader",
												  ALLOCSET_DEFAULT_SIZES);
	ObjectReader *reader = MemoryContextAllocZero(context, sizeof(ObjectReader));
	HASHCTL		control = {.keysize = sizeof(ChunkKey), .entrysize = sizeof(CachedChunk)};

	reader->context = context;
	reader->read_only = read_only;
	reader->codec = sparse_codec_in_context(context);
	reader->known_context = AllocSetContextCreate(context, "sparse objects",
												  ALLOCSET_DEFAULT_SIZES);
	forget_objects(reader);
	control.hcxt = context;
	reader->cached = hash_create("sparse chunks", 64, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&reader->uses);
	return reader;
}

void
object_reader_free(ObjectReader *reader)
{
	MemoryContextDelete(reader->context);
}

sparse_codec *
object_reader_codec(ObjectReader *reader)
{
	return reader->codec;
}

/* ---- errors ---- */

static void
replace_string(ObjectReader *reader, char **target, const char *value)
{
	if (*target != NULL)
		pfree(*target);
	*target = value == NULL ? NULL : MemoryContextStrdup(reader->context, value);
}

void
object_reader_context(ObjectReader *reader, const char *version, const char *file, const char *tensor)
{
	replace_string(reader, &reader->version, version);
	replace_string(reader, &reader->file, file);
	replace_string(reader, &reader->tensor, tensor);
}

static void
name_context(void *arg)
{
	ObjectReader *reader = arg;
	StringInfoData name;

	if (reader->version == NULL && reader->file == NULL && reader->tensor == NULL)
		return;
	initStringInfo(&name);
	if (reader->version != NULL)
		appendStringInfo(&name, " version %s", reader->version);
	if (reader->file != NULL)
		appendStringInfo(&name, "%s file \"%s\"", name.len > 0 ? "," : "", reader->file);
	if (reader->tensor != NULL)
		appendStringInfo(&name, "%s tensor \"%s\"", name.len > 0 ? "," : "", reader->tensor);
	errcontext("reading%s", name.data);
}

pg_noreturn static void
object_corrupt(const ObjectInfo *object, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("object " INT64_FORMAT " is corrupt", object->id),
			 errdetail_internal("%s", problem)));
	pg_unreachable();
}

pg_noreturn static void
chunk_corrupt(int64 object, int32 seq, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("chunk %d of object " INT64_FORMAT " is corrupt", seq, object),
			 errdetail_internal("%s", problem)));
	pg_unreachable();
}

/* The codec's verdict on stored bytes: whatever is wrong with them is corruption. */
static void
check_chunk(sparse_status status, int64 object, int32 seq)
{
	if (status == SPARSE_NO_MEMORY || status == SPARSE_NEWER_VERSION || status == SPARSE_GIVEN_UP)
		sparse_report(status, "read a chunk");
	if (status == SPARSE_WRONG_PREDICTION)
		chunk_corrupt(object, seq, "The content of its parents is not what it was made against.");
	if (status != SPARSE_OK)
		chunk_corrupt(object, seq, psprintf("The reason: %s.", sparse_status_text(status)));
}

/* ---- rows of objects ---- */

static StoreQuery object_row = {
	/* (a staged one's chunks are bound to what it is said to become) */
	.sql = "select dtype, bytes, stored_bytes, chunk_bytes, split_bytes, depth, "
		"coalesce(sha256, (select s.sha256 from sparse.staged s where s.object operator(pg_catalog.=) $1)), place "
		"from sparse.object where id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	.columns = 8, .column = {TEXTOID, INT8OID, INT8OID, INT4OID, INT8OID, INT4OID, BYTEAOID, INT2OID}
};

static StoreQuery parent_rows = {
	.sql = "select ordinal, parent, made from sparse.object_parent where object operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	.columns = 3, .column = {INT2OID, INT8OID, BOOLOID}
};

static sparse_dtype
dtype_of_row(const ObjectInfo *object, Datum name)
{
	char	   *word = TextDatumGetCString(name);
	sparse_dtype dtype;

	if (!sparse_dtype_find(word, strlen(word), &dtype))
		object_corrupt(object, psprintf("Its dtype \"%s\" is unknown.", word));
	pfree(word);
	return dtype;
}

/* What the object's chunks call the whole that they are pieces of. */
static uint64
whole_of_row(const ObjectInfo *object, Datum sha256)
{
	bytea	   *value = DatumGetByteaPP(sha256);

	if (VARSIZE_ANY_EXHDR(value) != SPARSE_SHA256_BYTES)
		object_corrupt(object, "Its SHA-256 is none.");
	return sparse_whole((const uint8 *) VARDATA_ANY(value));
}

/* Reads an object's row; false when there is none. */
static bool
fetch_object(ObjectReader *reader, int64 object, ObjectInfo *info)
{
	Datum		value = Int64GetDatum(object);
	SPITupleTable *rows;

	if (query_run(&object_row, &value, NULL, reader->read_only, &rows) == 0)
	{
		SPI_freetuptable(rows);
		return false;
	}
	memset(info, 0, sizeof(*info));
	info->id = object;
	info->dtype = dtype_of_row(info, row_datum(rows, 0, 1));
	info->bytes = row_int64(rows, 0, 2);
	info->stored_bytes = row_int64(rows, 0, 3);
	info->grid.content_bytes = info->bytes;
	info->grid.chunk_bytes = row_int32(rows, 0, 4);
	info->grid.split_bytes = row_int64(rows, 0, 5);
	info->depth = row_int32(rows, 0, 6);
	info->whole = whole_of_row(info, row_datum(rows, 0, 7));
	info->place = DatumGetInt16(row_datum(rows, 0, 8));
	SPI_freetuptable(rows);
	if (info->bytes > PG_INT64_MAX || info->grid.chunk_bytes > PG_INT32_MAX ||
		info->depth < 0 || !sparse_grid_valid(&info->grid) ||
		sparse_grid_chunks(&info->grid) > PG_INT32_MAX)
		object_corrupt(info, "Its sizes contradict each other.");
	return true;
}

/* Reads which objects an object is predicted from. */
static void
fetch_parents(ObjectReader *reader, KnownObject *known)
{
	Datum		value = Int64GetDatum(known->info.id);
	SPITupleTable *rows;
	uint64		count = query_run(&parent_rows, &value, NULL, reader->read_only, &rows);

	if (count > PARENTS_MAX)
		object_corrupt(&known->info, "It has too many parents.");
	known->parent = MemoryContextAlloc(reader->known_context,
									   Max(count, 1) * sizeof(ObjectParent));
	for (uint64 i = 0; i < count; i++)
	{
		known->parent[i].ordinal = DatumGetInt16(row_datum(rows, i, 1));
		known->parent[i].parent = row_int64(rows, i, 2);
		known->parent[i].made = DatumGetBool(row_datum(rows, i, 3));
	}
	known->parents = count;
	SPI_freetuptable(rows);
}

/* An object's row and parents, remembered until the next call; NULL when there is none. */
static KnownObject *
know_object(ObjectReader *reader, int64 object)
{
	KnownObject *known = hash_search(reader->known, &object, HASH_FIND, NULL);
	KnownObject fresh = {.object = object};

	if (known != NULL)
		return known;
	if (hash_get_num_entries(reader->known) >= KNOWN_OBJECTS_MAX)
		forget_objects(reader);
	if (!fetch_object(reader, object, &fresh.info))
		return NULL;
	if (fresh.info.depth > 0)
		fetch_parents(reader, &fresh);
	known = hash_search(reader->known, &object, HASH_ENTER, NULL);
	*known = fresh;
	return known;
}

bool
object_info(ObjectReader *reader, int64 object, ObjectInfo *info)
{
	KnownObject *known = know_object(reader, object);

	if (known != NULL)
		*info = known->info;
	return known != NULL;
}

bool
object_parent(ObjectReader *reader, int64 object, int ordinal, int64 *parent)
{
	KnownObject *known = know_object(reader, object);

	for (int i = 0; known != NULL && i < known->parents; i++)
		if (known->parent[i].ordinal == ordinal)
		{
			*parent = known->parent[i].parent;
			return true;
		}
	return false;
}

bool
object_parent_is_made(ObjectReader *reader, int64 object, int ordinal)
{
	KnownObject *known = know_object(reader, object);

	for (int i = 0; known != NULL && i < known->parents; i++)
		if (known->parent[i].ordinal == ordinal)
			return known->parent[i].made;
	return false;
}

int
object_decodes(ObjectReader *reader, int64 object, int most)
{
	KnownObject *known = most > 1 ? know_object(reader, object) : NULL;
	int			parents = known == NULL ? 0 : known->parents;
	int64		parent[SPARSE_MAX_REFS];
	int			decoded = 1;

	/* (what is known may be forgotten by the next look-up) */
	parents = Min(parents, SPARSE_MAX_REFS);
	for (int i = 0; i < parents; i++)
		parent[i] = known->parent[i].parent;
	for (int i = 0; i < parents && decoded < most; i++)
		decoded += object_decodes(reader, parent[i], most - decoded);
	return decoded;
}

void
object_forget(ObjectReader *reader, int64 object)
{
	hash_search(reader->known, &object, HASH_REMOVE, NULL);
	for (int i = 0; i < RUNS; i++)
		if (reader->run[i] != NULL && reader->run[i]->object == object)
			reader->run[i]->count = 0;
}

/* ---- decoded chunks that are remembered ---- */

static void
evict(ObjectReader *reader, CachedChunk *chunk)
{
	dlist_delete(&chunk->use);
	reader->cached_bytes -= chunk->bytes;
	pfree(chunk->content);
	hash_search(reader->cached, &chunk->key, HASH_REMOVE, NULL);
}

/* The content of a chunk, if it is remembered. */
static const char *
recall(ObjectReader *reader, const ChunkKey *key, uint64 bytes)
{
	CachedChunk *chunk = hash_search(reader->cached, key, HASH_FIND, NULL);

	if (chunk == NULL || chunk->bytes != bytes)
		return NULL;
	dlist_move_head(&reader->uses, &chunk->use);
	return chunk->content;
}

/*
 * Hands content over to the cache, which may release it, or other content, at the
 * next call.
 */
static void
remember(ObjectReader *reader, const ChunkKey *key, uint64 bytes, char *content)
{
	uint64		limit = (uint64) sparse_cache_size * 1024;
	CachedChunk *chunk;
	bool		found;

	while (reader->cached_bytes + bytes > limit && !dlist_is_empty(&reader->uses))
		evict(reader, dlist_tail_element(CachedChunk, use, &reader->uses));
	chunk = hash_search(reader->cached, key, HASH_ENTER, &found);
	if (found)
	{
		dlist_delete(&chunk->use);
		reader->cached_bytes -= chunk->bytes;
		pfree(chunk->content);
	}
	chunk->bytes = bytes;
	chunk->content = content;
	dlist_push_head(&reader->uses, &chunk->use);
	reader->cached_bytes += bytes;
}

/* ---- chunks ---- */

static StoreQuery chunk_row = {
	.sql = "select delta, place, object, seq from %s where object operator(pg_catalog.=) $1 and seq operator(pg_catalog.=) $2",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 4, .column = {BYTEAOID, INT2OID, INT8OID, INT4OID}
};

static StoreQuery chunk_rows = {
	.sql = "select delta, place, object, seq from %s where object operator(pg_catalog.=) $1 "
		"and seq operator(pg_catalog.>=) $2 and seq operator(pg_catalog.<) $3 order by seq",
	.args = 3, .arg = {INT8OID, INT4OID, INT4OID},
	.columns = 4, .column = {BYTEAOID, INT2OID, INT8OID, INT4OID}
};

pg_noreturn static void
chunk_is_missing(const ObjectInfo *object, int32 seq)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("chunk %d of object " INT64_FORMAT " is missing", seq, object->id),
			 place_is_far(object->place)
			 ? errhint("It lies in place \"%s\". If this transaction first read from there before the object was stored, run it again.",
					   place_name(object->place)) : 0));
	pg_unreachable();
}

static void
check_is_chunk(const ObjectInfo *object, int32 seq, SPITupleTable *rows, int row)
{
	if (DatumGetInt16(row_datum(rows, row, 2)) != object->place || row_int64(rows, row, 3) != object->id ||
		row_int32(rows, row, 4) != seq)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("chunk %d of object " INT64_FORMAT " was looked for, another was found", seq, object->id),
				 errhint("Run \"reindex table sparse.chunk\".")));
}

/* ---- chunks on other servers, many in a statement ---- */

/* The run that holds the chunk, or NULL; *follows: the chunk is the next one of a run. */
static const ChunkRun *
find_run(const ObjectReader *reader, int64 object, int32 seq, bool *follows)
{
	*follows = false;
	for (int i = 0; i < RUNS; i++)
	{
		const ChunkRun *run = reader->run[i];

		if (run == NULL || run->object != object)
			continue;
		if (seq >= run->first && seq < run->first + run->count)
			return run;
		*follows = seq == run->first + run->count;
	}
	return NULL;
}

/* Memory for a run, in place of one of the same object or of the oldest. */
static ChunkRun *
begin_run(ObjectReader *reader, int64 object)
{
	int			at = 0;

	while (at < RUNS && (reader->run[at] == NULL || reader->run[at]->object != object))
		at++;
	if (at == RUNS)
	{
		at = reader->oldest_run;
		reader->oldest_run = (at + 1) % RUNS;
	}
	reader->run[at] = NULL;
	if (reader->run_context[at] == NULL)
		reader->run_context[at] = AllocSetContextCreate(reader->context, "sparse run of chunks", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(reader->run_context[at]);
	return reader->run[at] = MemoryContextAllocZero(reader->run_context[at], sizeof(ChunkRun));
}

/* From its start, and where it goes on, an object is taken to be read to its end. */
static int32
run_length(const ObjectInfo *object, int32 seq, bool follows)
{
	if (seq > 0 && !follows)
		return 1;
	return (int32) Min(RUN_CHUNKS, Max(RUN_BYTES / object->grid.chunk_bytes, 1));
}

static Datum
fetch_far_chunk(ObjectReader *reader, const ObjectInfo *object, int32 seq)
{
	bool		follows;
	const ChunkRun *found = find_run(reader, object->id, seq, &follows);
	ChunkRun   *run;
	Datum		value[3] = {Int64GetDatum(object->id), Int32GetDatum(seq)};
	SPITupleTable *rows;
	uint64		count;
	MemoryContext caller;

	if (found != NULL)
		return datumCopy(found->value[seq - found->first], false, -1);
	value[2] = Int32GetDatum((int32) Min((int64) seq + run_length(object, seq, follows), PG_INT32_MAX));
	count = query_run_at(&chunk_rows, object->place, value, NULL, reader->read_only, &rows);
	if (count == 0 || row_int32(rows, 0, 4) != seq)
		chunk_is_missing(object, seq);
	run = begin_run(reader, object->id);
	caller = CurrentMemoryContext;
	for (uint64 i = 0; i < Min(count, RUN_CHUNKS) && row_int32(rows, i, 4) == seq + (int32) i; i++)
	{
		check_is_chunk(object, seq + (int32) i, rows, (int) i);
		MemoryContextSwitchTo(GetMemoryChunkContext(run));
		run->value[i] = datumCopy(row_datum(rows, i, 1), false, -1);
		MemoryContextSwitchTo(caller);
		run->count++;
	}
	run->object = object->id;
	run->first = seq;
	SPI_freetuptable(rows);
	return datumCopy(run->value[0], false, -1);
}

/*
 * The value of a chunk as it stands in its row: where it is toasted, a pointer to
 * it. An index that leads to the row of another chunk, whose content would pass its
 * own checksum, is found here and nowhere else.
 */
static Datum
fetch_chunk(ObjectReader *reader, const ObjectInfo *object, int32 seq)
{
	Datum		value[2] = {Int64GetDatum(object->id), Int32GetDatum(seq)};
	SPITupleTable *rows;
	Datum		delta;

	if (place_is_far(object->place))
		return fetch_far_chunk(reader, object, seq);
	if (query_run_at(&chunk_row, object->place, value, NULL, reader->read_only, &rows) == 0)
		chunk_is_missing(object, seq);
	check_is_chunk(object, seq, rows, 0);
	delta = datumCopy(row_datum(rows, 0, 1), false, -1);
	SPI_freetuptable(rows);
	return delta;
}

/* Reads the header of a stored delta without the rest of it. */
static void
read_header(Datum stored, int64 object, int32 seq, sparse_delta_info *info)
{
	size_t		total = toast_raw_datum_size(stored) - VARHDRSZ;
	struct varlena *prefix = PG_DETOAST_DATUM_SLICE(stored, 0, SPARSE_DELTA_PREFIX);

	check_chunk(sparse_delta_read(VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix), total, info),
				object, seq);
	if ((void *) prefix != DatumGetPointer(stored))
		pfree(prefix);
}

void
chunk_fetch(ObjectReader *reader, const ObjectInfo *object, int32 seq,
			StoredChunk *chunk)
{
	uint64		first;
	uint64		bytes;

	chunk->value = fetch_chunk(reader, object, seq);
	read_header(chunk->value, object->id, seq, &chunk->info);
	if (!sparse_grid_chunk(&object->grid, seq, &first, &bytes) ||
		chunk->info.content_bytes != bytes)
		chunk_corrupt(object->id, seq, "Its content is not as long as the grid of its object says.");
	if (chunk->info.whole != object->whole || chunk->info.piece != (uint32) seq)
		chunk_corrupt(object->id, seq, psprintf("It is chunk %u of %s object.", chunk->info.piece,
												chunk->info.whole == object->whole ? "this" : "another"));
}

static void read_range(ObjectReader *reader, const KnownObject *known,
					   uint64 first, uint64 bytes, char *target, bool keep);

/* The parent that a reference of a chunk names, after checking that it holds the range. */
static KnownObject *
parent_of_reference(ObjectReader *reader, const ObjectInfo *child, int32 seq,
					const sparse_ref *ref)
{
	uint64		element_bytes = sparse_dtype_get(ref->dtype)->bytes;
	int64		id;
	KnownObject *parent;
	uint64		elements;

	if (!object_parent(reader, child->id, ref->parent, &id))
		chunk_corrupt(child->id, seq, psprintf("It refers to parent %d, which its object does not have.",
											   ref->parent));
	parent = know_object(reader, id);
	if (parent == NULL)
		chunk_corrupt(child->id, seq, psprintf("Its parent " INT64_FORMAT " does not exist.", id));
	if (parent->info.depth >= child->depth)
		object_corrupt(child, psprintf("Its parent " INT64_FORMAT " is not less deep than itself.", id));
	elements = parent->info.bytes / element_bytes;
	if (ref->first > elements || ref->count > elements - ref->first)
		chunk_corrupt(child->id, seq, psprintf("It refers to elements past the end of its parent "
											   INT64_FORMAT ".", id));
	return parent;
}

/* Whether the neighbours of a chunk refer to the same chunks of a parent: dictionaries, factors, scales. */
static bool
is_shared(const sparse_delta_info *info, int ref)
{
	switch (info->predictor)
	{
		case SPARSE_PREDICT_BYTES:
			return true;
		case SPARSE_PREDICT_LOW_RANK:
		case SPARSE_PREDICT_QUANTISED:
		case SPARSE_PREDICT_DEQUANTISED:
			return ref > 0;
		case SPARSE_PREDICT_SUM:
			/* (bases are floats, factors integers) */
			return sparse_dtype_get(info->ref[ref].dtype)->exponent_bits == 0;
		default:
			return false;
	}
}

/* Memory for a prediction of that many bytes; give_back takes it. */
static char *
borrow(ObjectReader *reader, uint64 bytes)
{
	char	   *memory = reader->spare;

	if (memory == NULL || reader->spare_bytes < bytes)
		return MemoryContextAlloc(reader->context, Max(bytes, 1));
	reader->spare = NULL;
	return memory;
}

static void
give_back(ObjectReader *reader, char *memory, uint64 bytes)
{
	if (bytes > SPARE_MAX || (reader->spare != NULL && reader->spare_bytes >= bytes))
	{
		pfree(memory);
		return;
	}
	if (reader->spare != NULL)
		pfree(reader->spare);
	reader->spare = memory;
	reader->spare_bytes = bytes;
}

/*
 * The prediction of a chunk: the ranges that it refers to, one after the other.
 * NULL when it has none.
 */
static char *
gather(ObjectReader *reader, const ObjectInfo *child, int32 seq,
	   const sparse_delta_info *info)
{
	char	   *prediction;
	char	   *at;

	if (info->refs == 0)
		return NULL;
	if (info->prediction_bytes > SPARSE_MAX_PREDICTION)
		chunk_corrupt(child->id, seq, "Its prediction is larger than the format allows.");
	at = prediction = borrow(reader, info->prediction_bytes);
	for (int i = 0; i < info->refs; i++)
	{
		const sparse_ref *ref = &info->ref[i];
		KnownObject *parent = parent_of_reference(reader, child, seq, ref);
		uint64		element_bytes = sparse_dtype_get(ref->dtype)->bytes;

		read_range(reader, parent, ref->first * element_bytes,
				   ref->count * element_bytes, at, is_shared(info, i));
		at += ref->count * element_bytes;
	}
	return prediction;
}

/* Decodes a chunk that was fetched into `target`, and releases it. */
static void
decode_chunk(ObjectReader *reader, const ObjectInfo *object, int32 seq,
			 StoredChunk *fetched, char *target)
{
	StoredChunk chunk = *fetched;
	char	   *prediction;
	struct varlena *delta;

	prediction = gather(reader, object, seq, &chunk.info);
	delta = PG_DETOAST_DATUM_PACKED(chunk.value);
	check_chunk(sparse_delta_apply(reader->codec,
								   VARDATA_ANY(delta), VARSIZE_ANY_EXHDR(delta),
								   prediction, chunk.info.prediction_bytes,
								   target, chunk.info.content_bytes),
				object->id, seq);
	if ((void *) delta != DatumGetPointer(chunk.value))
		pfree(delta);
	pfree(DatumGetPointer(chunk.value));
	if (prediction != NULL)
		give_back(reader, prediction, chunk.info.prediction_bytes);
}

static void
fetch_and_decode(ObjectReader *reader, const ObjectInfo *object, int32 seq, char *target)
{
	StoredChunk chunk;

	chunk_fetch(reader, object, seq, &chunk);
	decode_chunk(reader, object, seq, &chunk, target);
}

/* ---- ranges ---- */

/*
 * Copies `bytes` bytes of a chunk from byte `skip` of its content on. Where that
 * is all of it and need not be kept, decodes it in place; else by way of the cache.
 */
static void
read_chunk(ObjectReader *reader, const ObjectInfo *object, int32 seq,
		   uint64 length, uint64 skip, uint64 bytes, char *target, bool keep)
{
	ChunkKey	key = {object->id, seq};
	const char *known = recall(reader, &key, length);
	char	   *content;

	if (known != NULL)
	{
		memcpy(target, known + skip, bytes);
		return;
	}
	if (bytes == length && !keep)
	{
		fetch_and_decode(reader, object, seq, target);
		return;
	}
	content = MemoryContextAlloc(reader->context, length);
	fetch_and_decode(reader, object, seq, content);
	memcpy(target, content + skip, bytes);
	if (length <= (uint64) sparse_cache_size * 1024)
		remember(reader, &key, length, content);
	else
		pfree(content);
}

/* The range must lie within the object. */
static void
read_range(ObjectReader *reader, const KnownObject *known,
		   uint64 first, uint64 bytes, char *target, bool keep)
{
	ObjectInfo	object = known->info;
	uint64		end = first + bytes;

	check_stack_depth();
	for (uint64 seq = sparse_grid_seq(&object.grid, first); first < end; seq++)
	{
		uint64		chunk_first;
		uint64		length;
		uint64		part;

		CHECK_FOR_INTERRUPTS();
		if (!sparse_grid_chunk(&object.grid, seq, &chunk_first, &length) ||
			length > SPARSE_MAX_CONTENT)
			object_corrupt(&object, "Its chunks are larger than the format allows.");
		part = Min(end, chunk_first + length) - first;
		read_chunk(reader, &object, seq, length, first - chunk_first, part, target, keep);
		target += part;
		first += part;
	}
}

void
chunk_read(ObjectReader *reader, const ObjectInfo *object, int32 seq,
		   char *target, sparse_delta_info *info)
{
	ErrorContextCallback context = {error_context_stack, name_context, reader};
	ObjectInfo	copy = *object;
	StoredChunk chunk;

	error_context_stack = &context;
	chunk_fetch(reader, &copy, seq, &chunk);
	*info = chunk.info;
	decode_chunk(reader, &copy, seq, &chunk, target);
	error_context_stack = context.previous;
}

void
object_read(ObjectReader *reader, int64 object,
			uint64 first, uint64 bytes, char *target)
{
	object_read_keep(reader, object, first, bytes, target, false);
}

void
object_read_keep(ObjectReader *reader, int64 object,
				 uint64 first, uint64 bytes, char *target, bool keep)
{
	ErrorContextCallback context = {error_context_stack, name_context, reader};
	KnownObject *known;

	error_context_stack = &context;
	known = know_object(reader, object);
	if (known == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("object " INT64_FORMAT " is missing", object)));
	if (first > known->info.bytes || bytes > known->info.bytes - first)
		object_corrupt(&known->info,
					   psprintf("Bytes " UINT64_FORMAT " to " UINT64_FORMAT " were wanted; it has " UINT64_FORMAT ".",
								first, first + bytes, known->info.bytes));
	read_range(reader, known, first, bytes, target, keep);
	error_context_stack = context.previous;
}
