/*
 * commit_store.c: the chunks of a new version into the store, and its rows.
 *
 * Objects are reserved in the order of their SHA-256, as every import does it, so that
 * two commits can wait for each other but not in a circle. Then they are written
 * column by column, each chunk predicted from those chunks of the parent's column that
 * it resembles (match.c), or from the rows that stand where it stands. Of a split whose rows stand
 * in the parent (commit_map.c) there is a map, and chunks of new rows alone.
 *
 * How hard zstd tries depends on how much there is to write: what is small is worth it.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/answer.h"

#include "commit.h"
#include "match.h"

/* Reading a chunk reads up to four others, and those again: such chains must be short. */
#define MOST_DEPTH Max(sparse_max_chain_depth / 2, 1)

/* Chunks of the parent's column at hand. */
typedef struct ParentColumn
{
	int64		chunks;
	ChunkEntry *chunk;
	Matcher    *matcher;		/* NULL until a chunk needs it */
	MemoryContext context;
} ParentColumn;

typedef struct Storing
{
	Commit	   *commit;
	ObjectReader *reader;
	MemoryContext context;		/* of a chunk */
	int			zstd_level;
} Storing;

static int
level_for(int64 bytes)
{
	return bytes <= (int64) 32 << 20 ? 19 : bytes <= (int64) 256 << 20 ? 12 : 6;
}

/* ---- reserving ---- */

static int
compare_chunks(const void *a, const void *b)
{
	return memcmp((*(PendingChunk *const *) a)->sha256, (*(PendingChunk *const *) b)->sha256, SPARSE_SHA256_BYTES);
}

static PendingChunk **
sorted_chunks(const Commit *commit, int64 *count)
{
	PendingChunk **chunk;
	int64		total = 0;

	for (int s = 0; s < commit->splits; s++)
		for (int c = 0; c < commit->split[s].columns; c++)
			total += commit->split[s].column[c].pending.chunks;
	for (int s = 0; s < commit->splits; s++)
		total += commit->split[s].map.chunks;
	chunk = palloc_extended(Max(total, 1) * sizeof(PendingChunk *), MCXT_ALLOC_HUGE);
	*count = 0;
	for (int s = 0; s < commit->splits; s++)
		for (int c = 0; c < commit->split[s].columns; c++)
			for (int i = 0; i < commit->split[s].column[c].pending.chunks; i++)
				chunk[(*count)++] = &commit->split[s].column[c].pending.chunk[i];
	for (int s = 0; s < commit->splits; s++)
		if (commit_is_mapped(&commit->split[s]))
			chunk[(*count)++] = &commit->split[s].map.chunk[0];
	qsort(chunk, total, sizeof(PendingChunk *), compare_chunks);
	return chunk;
}

static void
describe(const Storing *storing, const PendingChunk *chunk, ObjectSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->version = storing->commit->import.version;
	spec->place = storing->commit->import.place;
	spec->sha256 = chunk->sha256;
	spec->dtype = chunk->dtype;
	spec->bytes = chunk->bytes;
}

/* Longer ones are written by write.c, in several chunks. */
static bool
is_whole(const PendingChunk *chunk)
{
	return chunk->bytes <= (int64) SPARSE_MAX_CONTENT;
}

typedef struct ChunkSource
{
	Pending    *pending;
	const PendingChunk *chunk;
} ChunkSource;

static void
read_source(void *state, uint64 first, uint64 bytes, char *target)
{
	const ChunkSource *source = state;

	pending_read(source->pending, source->chunk, first, bytes, target);
}

static void
count_written(Storing *storing, const PendingChunk *chunk, const ObjectResult *result)
{
	storing->commit->import.new_objects++;
	storing->commit->import.new_bytes += chunk->bytes;
	storing->commit->import.stored_bytes += result->stored_bytes;
}

/* Finds the object of a chunk, or makes its row; of a long one the content as well. */
static void
reserve(Storing *storing, PendingChunk *chunk)
{
	ChunkSource		source = {storing->commit->pending, chunk};
	ObjectSpec	spec;
	ObjectResult result;

	describe(storing, chunk, &spec);
	spec.source = read_source;
	spec.source_state = &source;
	if (!is_whole(chunk) && chunk->at >= 0)
	{
		object_write(storing->reader, &spec, &result);
		if (!result.existed)
			count_written(storing, chunk, &result);
		chunk->fresh = false;
	}
	else
		chunk->fresh = !object_reserve_whole(&spec, &result);
	if (chunk->fresh && chunk->at < 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not store a chunk because of concurrent updates"),
				 errdetail("It was in the store when the query ran, and has been collected since."),
				 errhint("The transaction might succeed if retried.")));
	chunk->object = result.id;
}

static void
reserve_all(Storing *storing)
{
	int64		count;
	PendingChunk **chunk = sorted_chunks(storing->commit, &count);

	for (int64 i = 0; i < count; i++)
	{
		MemoryContext previous = MemoryContextSwitchTo(storing->context);

		CHECK_FOR_INTERRUPTS();
		answer_connect();
		reserve(storing, chunk[i]);
		answer_finish();
		MemoryContextSwitchTo(previous);
		MemoryContextReset(storing->context);
	}
	pfree(chunk);
}

/* ---- the parent's column ---- */

/* The column of that name; where there is none, one of that type which has no heir. */
static int
parent_column(const Split *parent, const NewSplit *split, const NewColumn *column)
{
	int			number = split_find_column(parent, column->name);

	for (int i = 0; number < 0 && i < parent->columns; i++)
	{
		bool		has_heir = strcmp(parent->column[i].type, column->type) != 0;

		for (int j = 0; j < split->columns && !has_heir; j++)
			has_heir = strcmp(split->column[j].name, parent->column[i].name) == 0;
		if (!has_heir)
			number = i;
	}
	return number;
}

static void
read_parent_column(ParentColumn *column, const Split *parent, int number)
{
	ChunkEntry	entry[CHUNKS_A_ROW];
	int64		room = CHUNKS_A_ROW;
	int			count;

	column->chunk = palloc(room * sizeof(ChunkEntry));
	for (int64 row = 0; row < parent->column[number].stored_rows; row = entry[count - 1].first_row + entry[count - 1].rows)
	{
		CHECK_FOR_INTERRUPTS();
		count = split_chunks(parent->version.id, parent->ordinal, parent->column[number].ordinal, row, false, entry);
		if (column->chunks + count > room)
			column->chunk = repalloc_huge(column->chunk, (room *= 2) * sizeof(ChunkEntry));
		memcpy(column->chunk + column->chunks, entry, count * sizeof(ChunkEntry));
		column->chunks += count;
	}
}

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

/*
 * Gets to know those chunks of the parent's column that this one has not; all of
 * them where it has all.
 */
static void
know_parent(Storing *storing, ParentColumn *parent, const NewColumn *column)
{
	MemoryContext previous = MemoryContextSwitchTo(parent->context);
	int			kept = column->pending.chunks;
	int64	   *own = palloc_extended(Max(kept, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	int64	   *object = palloc_extended(Max(parent->chunks, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	int			count = 0;

	for (int i = 0; i < kept; i++)
		own[i] = column->pending.chunk[i].object;
	qsort(own, kept, sizeof(int64), compare_ids);
	for (int64 i = 0; i < parent->chunks; i++)
		if (bsearch(&parent->chunk[i].object, own, kept, sizeof(int64), compare_ids) == NULL)
			object[count++] = parent->chunk[i].object;
	for (int64 i = 0; count == 0 && i < parent->chunks; i++)
		object[i] = parent->chunk[i].object;
	parent->matcher = matcher_create(storing->reader, object,
									 count > 0 ? count : (int) parent->chunks, MOST_DEPTH);
	pfree(own);
	pfree(object);
	MemoryContextSwitchTo(previous);
}

/* ---- predictions ---- */

/* Words of the rows that stand in the parent where those of the chunk stand; false: not all of them. */
static bool
same_rows(const ParentColumn *parent, const PendingChunk *chunk, int64 first_row, ReferenceSet *set)
{
	uint64		row_bytes = chunk->bytes / chunk->rows;
	int64		end = first_row + chunk->rows;

	if (chunk->dtype == SPARSE_BYTES || chunk->bytes % chunk->rows != 0)
		return false;
	set->count = 0;
	for (int64 i = 0; i < parent->chunks && first_row < end; i++)
	{
		const ChunkEntry *entry = &parent->chunk[i];
		int64		last = Min(end, entry->first_row + entry->rows);

		if (first_row >= last || first_row < entry->first_row)
			continue;
		if (set->count == SPARSE_MAX_REFS || entry->plain != chunk->plain)
			return false;
		set->ref[set->count].object = entry->object;
		set->ref[set->count].first = (first_row - entry->first_row) * row_bytes;
		set->ref[set->count].bytes = (last - first_row) * row_bytes;
		set->count++;
		first_row = last;
	}
	return first_row == end;
}

/* Rows of the parent are as long as those of the chunk: its objects have the bytes that are asked for. */
static bool
objects_fit(Storing *storing, const ReferenceSet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		ObjectInfo	info;

		if (!object_info(storing->reader, set->ref[i].object, &info) ||
			set->ref[i].first + set->ref[i].bytes > info.bytes)
			return false;
	}
	return true;
}

static void
whole_object(Storing *storing, int64 object, ReferenceSet *set)
{
	ObjectInfo	info;

	set->count = 0;
	if (!object_info(storing->reader, object, &info) || info.bytes == 0 || info.bytes > SPARSE_MAX_CONTENT)
		return;
	set->count = 1;
	set->ref[0].object = object;
	set->ref[0].first = 0;
	set->ref[0].bytes = info.bytes;
}

/* The parent's chunk beside which the new rows stand. */
static void
chunk_beside(Storing *storing, const ParentColumn *parent, int64 near, ReferenceSet *set)
{
	set->count = 0;
	for (int64 i = 0; i < parent->chunks; i++)
		if (near >= parent->chunk[i].first_row && near - parent->chunk[i].first_row < parent->chunk[i].rows)
			whole_object(storing, parent->chunk[i].object, set);
}

/* New rows that are worth a look at all of the parent's column. */
#define WORTH_MATCHING 16384

static void
write_chunk(Storing *storing, ParentColumn *parent, const NewSplit *split, const NewColumn *column, int number,
			int64 first_row)
{
	PendingChunk *chunk = &column->pending.chunk[number];
	char	   *content = palloc(Max(chunk->bytes, 1));
	ReferenceSet set[4];
	int			sets = 0;
	ObjectSpec	spec;
	ObjectResult result = {.id = chunk->object};
	bool		mapped = commit_is_mapped(split);

	describe(storing, chunk, &spec);
	pending_read(storing->commit->pending, chunk, 0, chunk->bytes, content);
	if (parent != NULL && mapped)
	{
		chunk_beside(storing, parent, split->near, &set[sets]);
		if (set[sets].count > 0)
			sets++;
	}
	if (parent != NULL && (!mapped || chunk->bytes > WORTH_MATCHING))
	{
		if (parent->matcher == NULL)
			know_parent(storing, parent, column);
		if (!mapped && same_rows(parent, chunk, first_row, &set[sets]) && objects_fit(storing, &set[sets]))
			sets++;
		matcher_find(parent->matcher, content, chunk->bytes, &set[sets]);
		if (set[sets].count > 0)
			sets++;
	}
	/* what resembles nothing of the parent may resemble what stands at the column's head */
	if (sets == 0 && number > 0 && chunk->dtype == SPARSE_BYTES && is_whole(&column->pending.chunk[0]) &&
		column->pending.chunk[0].bytes > 0)
	{
		set[sets].count = 1;
		set[sets].ref[0].object = column->pending.chunk[0].object;
		set[sets].ref[0].first = 0;
		set[sets].ref[0].bytes = column->pending.chunk[0].bytes;
		sets++;
	}
	object_write_whole(storing->reader, &spec, content, set, sets, MOST_DEPTH, storing->zstd_level, &result);
	count_written(storing, chunk, &result);
}

static void
write_column(Storing *storing, ParentColumn *parent, const NewSplit *split, const NewColumn *column)
{
	int64		first_row = 0;

	for (int i = 0; i < column->pending.chunks; i++)
	{
		PendingChunk *chunk = &column->pending.chunk[i];
		MemoryContext previous = MemoryContextSwitchTo(storing->context);

		CHECK_FOR_INTERRUPTS();
		if (chunk->fresh)
		{
			answer_connect();
			object_reader_context(storing->reader, storing->commit->import.name, NULL, column->name);
			write_chunk(storing, parent, split, column, i, first_row);
			answer_finish();
		}
		first_row += chunk->rows;
		MemoryContextSwitchTo(previous);
		MemoryContextReset(storing->context);
	}
}

static bool
has_fresh(const NewColumn *column)
{
	for (int i = 0; i < column->pending.chunks; i++)
		if (column->pending.chunk[i].fresh)
			return true;
	return false;
}

static void
write_with_parent(Storing *storing, const Split *parent, const NewSplit *split, NewColumn *column)
{
	ParentColumn of_parent = {0};
	int			number = parent == NULL ? -1 : parent_column(parent, split, column);
	MemoryContext previous;

	if (!has_fresh(column) && !commit_is_mapped(split))
		return;
	of_parent.context = AllocSetContextCreate(CurrentMemoryContext, "sparse parent column", ALLOCSET_DEFAULT_SIZES);
	if (number >= 0)
	{
		previous = MemoryContextSwitchTo(of_parent.context);
		answer_connect();
		MemoryContextSwitchTo(of_parent.context);
		read_parent_column(&of_parent, parent, number);
		answer_finish();
		MemoryContextSwitchTo(previous);
	}
	write_column(storing, of_parent.chunks > 0 ? &of_parent : NULL, split, column);
	if (commit_is_mapped(split))
	{
		column->inherited = of_parent.chunks;
		column->chunk = MemoryContextAllocHuge(storing->commit->context, Max(of_parent.chunks, 1) * sizeof(ChunkEntry));
		memcpy(column->chunk, of_parent.chunk, of_parent.chunks * sizeof(ChunkEntry));
	}
	MemoryContextDelete(of_parent.context);
}

static void
write_map(Storing *storing, const NewSplit *split)
{
	MemoryContext previous = MemoryContextSwitchTo(storing->context);
	PendingChunk *chunk = &split->map.chunk[0];
	char	   *content = palloc_extended(chunk->bytes, MCXT_ALLOC_HUGE);
	ReferenceSet set = {0};
	ObjectSpec	spec;
	ObjectResult result = {.id = chunk->object};

	answer_connect();
	describe(storing, chunk, &spec);
	pending_read(storing->commit->pending, chunk, 0, chunk->bytes, content);
	if (split->parent_map != 0)
		whole_object(storing, split->parent_map, &set);
	object_write_whole(storing->reader, &spec, content, &set, set.count > 0, MOST_DEPTH, storing->zstd_level, &result);
	count_written(storing, chunk, &result);
	answer_finish();
	MemoryContextSwitchTo(previous);
	MemoryContextReset(storing->context);
}

/* ---- rows ---- */

static StoreQuery split_query = {
	.sql = "insert into sparse.split (version, ordinal, name, rows, key) values ($1, $2, $3, $4, $5)",
	.args = 5, .arg = {INT8OID, INT2OID, TEXTOID, INT8OID, INT2ARRAYOID}};

static StoreQuery column_query = {
	.sql = "insert into sparse.column (version, split, ordinal, name, type, structure, bytes, sha256)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8)",
	.args = 8, .arg = {INT8OID, INT2OID, INT2OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, BYTEAOID}};

static StoreQuery chunks_query = {
	.sql = "insert into sparse.column_chunk (version, split, ordinal, first_row, rows, object)"
	" values ($1, $2, $3, $4, $5, $6)",
	.args = 6, .arg = {INT8OID, INT2OID, INT2OID, INT8OID, INT4ARRAYOID, INT8ARRAYOID}};

static void
insert_split(const Commit *commit, int number)
{
	const NewSplit *split = &commit->split[number];
	Datum	   *key = palloc(Max(split->keys, 1) * sizeof(Datum));
	Datum		value[5];

	for (int i = 0; i < split->keys; i++)
		key[i] = Int16GetDatum(split->key[i]);
	value[0] = Int64GetDatum(commit->import.version);
	value[1] = Int16GetDatum(number);
	value[2] = CStringGetTextDatum(split->name);
	value[3] = Int64GetDatum(split->rows);
	value[4] = array_datum(INT2OID, key, split->keys);
	query_run(&split_query, value, NULL, false, NULL);
}

static void
insert_column(const Commit *commit, int split, int number)
{
	const NewColumn *column = &commit->split[split].column[number];
	Datum		value[8];

	value[0] = Int64GetDatum(commit->import.version);
	value[1] = Int16GetDatum(split);
	value[2] = Int16GetDatum(number);
	value[3] = CStringGetTextDatum(column->name);
	value[4] = CStringGetTextDatum(column->type);
	value[5] = CStringGetTextDatum(column->structure);
	value[6] = Int64GetDatum(column->bytes);
	value[7] = sha256_datum(column->sha256);
	query_run(&column_query, value, NULL, false, NULL);
}

static void
insert_objects(const Commit *commit, int split, int number, int64 first_row, int count, Datum *rows, Datum *object)
{
	Datum		value[6] = {
		Int64GetDatum(commit->import.version), Int16GetDatum(split), Int16GetDatum(number), Int64GetDatum(first_row),
		array_datum(INT4OID, rows, count), array_datum(INT8OID, object, count)
	};

	query_run(&chunks_query, value, NULL, false, NULL);
}

/* Chunk `i` of a column: those that it has inherited come first. */
static ChunkEntry
chunk_of(const NewColumn *column, int64 i)
{
	const PendingChunk *chunk;

	if (i < column->inherited)
		return column->chunk[i];
	chunk = &column->pending.chunk[i - column->inherited];
	return (ChunkEntry) {0, chunk->rows, chunk->plain, chunk->object};
}

static void
insert_chunks(const Commit *commit, int split, int number)
{
	const NewColumn *column = &commit->split[split].column[number];
	int64		chunks = column->inherited + column->pending.chunks;
	int64		first_row = 0;
	Datum		rows[CHUNKS_A_ROW];
	Datum		object[CHUNKS_A_ROW];

	for (int64 i = 0; i < chunks; i += CHUNKS_A_ROW)
	{
		int			count = (int) Min(CHUNKS_A_ROW, chunks - i);
		int64		sum = 0;

		for (int j = 0; j < count; j++)
		{
			ChunkEntry	chunk = chunk_of(column, i + j);

			rows[j] = Int32GetDatum(chunk.plain ? -chunk.rows : chunk.rows);
			object[j] = Int64GetDatum(chunk.object);
			sum += chunk.rows;
		}
		insert_objects(commit, split, number, first_row, count, rows, object);
		first_row += sum;
	}
	if (commit_is_mapped(&commit->split[split]))
	{
		rows[0] = Int32GetDatum((int32) commit->split[split].stored_rows);
		object[0] = Int64GetDatum(commit->split[split].map.chunk[0].object);
		insert_objects(commit, split, number, MAP_ROW, 1, rows, object);
	}
}

/* Content counts as new where no other version that can be seen has it. */
static StoreQuery ready_query = {
	.sql = "update sparse.version v"
	"   set state = 'ready', content_sha256 = $2, raw_bytes = $3,"
	"       unique_file_bytes = case when exists (select from sparse.version o where o.content_sha256 = $2 and o.id <> $1)"
	"                           then 0 else $3 end,"
	"       new_objects = $4, new_bytes = $5, stored_bytes = $6"
	" where v.id = $1 and v.state = 'open'",
	.args = 6, .arg = {INT8OID, BYTEAOID, INT8OID, INT4OID, INT8OID, INT8OID}};

int64
commit_raw_bytes(const Commit *commit)
{
	int64		bytes = 0;

	for (int s = 0; s < commit->splits; s++)
		for (int c = 0; c < commit->split[s].columns; c++)
			bytes += commit->split[s].column[c].bytes;
	return bytes;
}

static void
make_ready(const Commit *commit)
{
	const Import *import = &commit->import;
	Datum		value[6] = {
		Int64GetDatum(import->version), sha256_datum(import->plan->content_sha256), Int64GetDatum(commit_raw_bytes(commit)),
		Int32GetDatum(import->new_objects), Int64GetDatum(import->new_bytes), Int64GetDatum(import->stored_bytes)
	};

	if (query_run(&ready_query, value, NULL, false, NULL) == 1)
		return;
	query_forget(&ready_query);
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("version \"%s@%d\" was not made ready", import->name, import->revision),
			 errdetail("It was dropped meanwhile, or a trigger or a rule of table sparse.version suppressed it.")));
}

static void
insert_rows(const Commit *commit)
{
	import_insert_parents(&commit->import);
	for (int s = 0; s < commit->splits; s++)
	{
		insert_split(commit, s);
		for (int c = 0; c < commit->split[s].columns; c++)
		{
			CHECK_FOR_INTERRUPTS();
			insert_column(commit, s, c);
			type_guard(commit->split[s].column[c].type, commit->split[s].column[c].coder->type);
			insert_chunks(commit, s, c);
		}
	}
	make_ready(commit);
}

/* ---- all ---- */

/* The split of the first parent that is a dataset. */
static Split *
parent_of(const Commit *commit, const NewSplit *split)
{
	for (int i = 0; i < commit->import.parents; i++)
	{
		const StoreVersion *parent = &commit->import.parent[i].version;
		char	  **name;
		int			names;

		if (parent->kind != 'd')
			continue;
		names = split_names(parent->id, &name);
		for (int j = 0; j < names; j++)
			if (strcmp(name[j], split->name) == 0)
				return split_open(parent, name[j]);
		if (names > 0)
			return split_open(parent, name[0]);
	}
	return NULL;
}

void
commit_store(Commit *commit)
{
	Storing		storing = {
		.commit = commit,
		.context = AllocSetContextCreate(commit->context, "sparse chunk", ALLOCSET_DEFAULT_SIZES)
	};
	Split	  **parent = palloc0(Max(commit->splits, 1) * sizeof(Split *));
	StoreAccess access;

	for (int s = 0; s < commit->splits; s++)
	{
		parent[s] = parent_of(commit, &commit->split[s]);
		if (parent[s] != NULL)
			commit_map_rows(commit, &commit->split[s], parent[s]);
	}
	storing.zstd_level = level_for(commit->pending->fresh_bytes);
	store_enter(&access);
	storing.reader = object_reader_create(commit->context, false);
	reserve_all(&storing);
	for (int s = 0; s < commit->splits; s++)
		for (int c = 0; c < commit->split[s].columns; c++)
			write_with_parent(&storing, parent[s], &commit->split[s], &commit->split[s].column[c]);
	for (int s = 0; s < commit->splits; s++)
		if (commit_is_mapped(&commit->split[s]) && commit->split[s].map.chunk[0].fresh)
			write_map(&storing, &commit->split[s]);
	answer_connect();
	insert_rows(commit);
	answer_finish();
	object_reader_free(storing.reader);
	store_leave(&access);
	for (int s = 0; s < commit->splits; s++)
		if (commit_is_mapped(&commit->split[s]))
			commit_check_map(commit, s);
}
