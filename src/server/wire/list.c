/*
 * list.c: sparse_layout, the chunks of a version, which of them are wanted, and what each
 * may be predicted from.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "have.h"
#include "model/answer.h"
#include "upload.h"

PG_FUNCTION_INFO_V1(wire_layout);

#define LAYOUT_COLUMNS 7

typedef struct Listing
{
	Answer		answer;
	const Upload *upload;
	const Have *have;
	ObjectReader *reader;
	HTAB	   *listed;			/* staged objects that came before: content is wanted once */
} Listing;

/* A part of a file at hand. */
typedef struct ListedPart
{
	const VersionFile *file;
	const FilePart *part;
	StagedObject staged;		/* its info also where it is not */
	bool		wanted;			/* where it is not here yet */
	StagedChunks *here;			/* chunks that were written */
	ObjectInfo	source;
	bool		predicted;		/* the client has the source, namely there: */
	HavePlace	where;
} ListedPart;

/* False for a staged object that an earlier part of the version has too. */
static bool
is_first(const Listing *listing, int64 object)
{
	bool		found;

	hash_search(listing->listed, &object, HASH_ENTER, &found);
	return !found;
}

static void
list_chunk(Listing *listing, ListedPart *listed, uint64 seq)
{
	const ObjectInfo *info = &listed->staged.info;
	Datum		value[LAYOUT_COLUMNS];
	bool		null[LAYOUT_COLUMNS] = {false};
	sparse_ref	ref;
	uint64		first;
	uint64		bytes;

	if (!sparse_grid_chunk(&info->grid, seq, &first, &bytes))
		elog(ERROR, "grid has no chunk " UINT64_FORMAT, seq);
	value[0] = CStringGetTextDatum(listed->file->path);
	null[1] = listed->part->tensor == NULL;
	value[1] = null[1] ? (Datum) 0 : CStringGetTextDatum(listed->part->tensor);
	value[2] = Int32GetDatum((int32) seq);
	value[3] = Int64GetDatum((int64) (listed->part->first + first));
	value[4] = Int64GetDatum((int64) bytes);
	value[5] = BoolGetDatum(listed->wanted &&
							 !staged_has_chunk(&listed->staged, listed->here, (int32) seq));
	null[6] = !listed->predicted || !object_predicts(&listed->source, info, first, bytes, &ref);
	if (!null[6])
	{
		uint64		unit = sparse_dtype_get(ref.dtype)->bytes;

		value[6] = have_refs(&listed->where, ref.first * unit, ref.count * unit);
	}
	answer_add(&listing->answer, value, null);
}

/* Finds out what is to be said of all chunks of a part. */
static void
look_at(Listing *listing, ListedPart *listed)
{
	StagedObject *staged = &listed->staged;

	if (!staged_find(listing->reader, listed->part->object, staged))
	{
		part_object(listing->reader, listing->upload->label, listed->file, listed->part, &staged->info);
		return;
	}
	listed->wanted = is_first(listing, staged->info.id);
	listed->here = palloc0(sizeof(StagedChunks));
	listed->predicted = staged->source != 0 &&
		object_info(listing->reader, staged->source, &listed->source) &&
		have_object(listing->have, staged->source, &listed->where);
}

/* Each chunk in a context of its own: a part may have very many. */
static void
list_part(Listing *listing, const VersionFile *file, const FilePart *part)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse listed chunk",
												  ALLOCSET_SMALL_SIZES);
	ListedPart	listed = {.file = file, .part = part};
	uint64		chunks;

	look_at(listing, &listed);
	chunks = sparse_grid_chunks(&listed.staged.info.grid);
	for (uint64 seq = 0; seq < chunks; seq++)
	{
		MemoryContext previous = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		list_chunk(listing, &listed, seq);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(context);
	}
}

static void
list_file(Listing *listing, const VersionFile *file)
{
	PartReader *parts = parts_open(CurrentMemoryContext, listing->upload->version.id, file, 0);
	FilePart	part;
	bool		more = true;

	while (more)
	{
		StoreAccess access;

		store_enter(&access);
		answer_connect();
		more = parts_next(parts, &part);
		if (more && (part.tensor != NULL || file->kind == SPARSE_FILE_BYTES))
			list_part(listing, file, &part);
		answer_finish();
		store_leave(&access);
	}
}

static int
files_of(const Upload *upload, VersionFile **file)
{
	MemoryContext context = CurrentMemoryContext;
	StoreAccess access;
	int			files;

	store_enter(&access);
	answer_connect();
	files = version_files(context, upload->version.id, file);
	answer_finish();
	store_leave(&access);
	return files;
}

/* sparse_layout(version, have) */
Datum
wire_layout(PG_FUNCTION_ARGS)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(int64), .hcxt = CurrentMemoryContext};
	Listing		listing = {0};
	Upload		upload;
	VersionFile *file;
	int			files;

	answer_begin(fcinfo, &listing.answer);
	upload_of_argument(fcinfo, 0, "lay out", true, &upload);
	listing.upload = &upload;
	listing.have = have_of_argument(fcinfo, 1, true);
	listing.reader = object_reader_create(CurrentMemoryContext, true);
	listing.listed = hash_create("sparse listed objects", 256, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	files = files_of(&upload, &file);
	for (int i = 0; i < files; i++)
		list_file(&listing, &file[i]);
	object_reader_free(listing.reader);
	return (Datum) 0;
}
