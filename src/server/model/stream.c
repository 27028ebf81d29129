/*
 * stream.c: a stored file in pieces (see stream.h).
 *
 * Pieces end where chunks end, so that each chunk is decoded once and straight
 * into the piece; parts smaller than a piece are gathered into one.
 */
#include "stream.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hash.h"
#include "source.h"

struct FileStream
{
	const VersionFile *file;
	const char *label;			/* of the version, for errors */
	ObjectReader *reader;
	PartReader *parts;
	Checksum   *checksum;		/* by which it is checked, if it has one */
	Sha256	   *sha256;			/* otherwise */
	MemoryContext context;
	bytea	   *piece;			/* the one returned last */
	uint64		room;			/* of its content */
	bool		any;			/* a piece was returned */
	bool		finished;

	FilePart	part;			/* at hand: bytes behind `done` are to come */
	uint64		done;			/* of its object */
	uint64		stop;			/* where the part ends in it */
	sparse_grid grid;			/* of the object */
};

FileStream *
file_stream_open(MemoryContext context, const StoreVersion *version, const VersionFile *file)
{
	FileStream *stream = MemoryContextAllocZero(context, sizeof(FileStream));

	stream->context = context;
	stream->file = file;
	stream->label = version_label(context, version);
	stream->reader = object_reader_create(context, true);
	stream->parts = parts_open(context, version->id, file, 0);
	if (file->summed)
		stream->checksum = checksum_create(context);
	else
		stream->sha256 = sha256_create(context);
	return stream;
}

static void
find_grid(FileStream *stream)
{
	ObjectInfo	info;

	part_object(stream->reader, stream->label, stream->file, &stream->part, &info);
	stream->grid = info.grid;
}

/* Makes sure that there is a part with bytes to come; false at the end of the file. */
static bool
have_part(FileStream *stream)
{
	while (stream->done == stream->stop)
	{
		CHECK_FOR_INTERRUPTS();
		if (!parts_next(stream->parts, &stream->part))
			return false;
		stream->done = stream->part.within;
		stream->stop = stream->done + stream->part.bytes;
		object_reader_context(stream->reader, stream->label, stream->file->path,
							  stream->part.tensor);
		find_grid(stream);
	}
	return true;
}

static uint64
end_of_chunk(const sparse_grid *grid, uint64 byte)
{
	uint64		first;
	uint64		length;

	if (!sparse_grid_chunk(grid, sparse_grid_seq(grid, byte), &first, &length))
		elog(ERROR, "no chunk holds byte " UINT64_FORMAT, byte);
	return first + length;
}

/* How much of the part at hand is taken next: whole chunks, at least one, if they fit no more than a piece. */
static uint64
next_length(const FileStream *stream)
{
	const sparse_grid *grid = &stream->grid;
	uint64		end;

	if (stream->part.bytes <= PIECE_BYTES)
		return stream->part.bytes;
	end = end_of_chunk(grid, stream->done);
	while (end < stream->stop
		   && end_of_chunk(grid, end) - stream->done <= PIECE_BYTES)
		end = end_of_chunk(grid, end);
	return Min(end, stream->stop) - stream->done;
}

pg_noreturn static void
refuse(const FileStream *stream, char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("file \"%s\" of version \"%s\" is corrupt", stream->file->path, stream->label),
			errdetail_internal("%s", detail));
	pg_unreachable();
}

/* The chunks were checked one by one: this is for the rows that say which of them make the file. */
static void
check_whole(FileStream *stream)
{
	const VersionFile *file = stream->file;
	uint8		checksum[SPARSE_CHECKSUM_BYTES];
	uint8		sha256[SPARSE_SHA256_BYTES];

	stream->finished = true;
	if (file->summed)
	{
		checksum_finish(stream->checksum, file->sha256, checksum);
		if (memcmp(checksum, file->checksum, SPARSE_CHECKSUM_BYTES) != 0)
			refuse(stream, "Its checksum is not that of what was stored.");
		return;
	}
	sha256_finish(stream->sha256, sha256);
	if (memcmp(sha256, file->sha256, SPARSE_SHA256_BYTES) != 0)
		refuse(stream, psprintf("Its SHA-256 is %s; what was stored had %s.",
								sha256_text(sha256), sha256_text(file->sha256)));
}

/* Reads as many parts, or chunks of one, into the piece as it has room for; their bytes. */
static uint64
fill_piece(FileStream *stream, char *target, uint64 room)
{
	uint64		used = 0;

	while (have_part(stream))
	{
		uint64		length = next_length(stream);

		if (length > room - used)
			break;
		object_read(stream->reader, stream->part.object,
					stream->done, length, target + used);
		stream->done += length;
		used += length;
	}
	return used;
}

/* For a piece of that many bytes; its memory is that of the piece before: fresh pages would be faulted in for each. */
static void
make_room(FileStream *stream, uint64 room)
{
	if (room <= stream->room)
		return;
	if (stream->piece != NULL)
		pfree(stream->piece);
	stream->room = 0;
	stream->piece = MemoryContextAlloc(stream->context, VARHDRSZ + room);
	stream->room = room;
}

bytea *
file_stream_next(FileStream *stream)
{
	uint64		room = PIECE_BYTES;
	uint64		used;

	if (stream->finished)
		return NULL;
	if (have_part(stream))
		room = Max(room, next_length(stream));
	else if (stream->any)
	{
		check_whole(stream);
		return NULL;
	}
	make_room(stream, room);
	used = fill_piece(stream, VARDATA(stream->piece), room);
	SET_VARSIZE(stream->piece, VARHDRSZ + used);
	if (stream->file->summed)
		checksum_add(stream->checksum, VARDATA(stream->piece), used);
	else
		sha256_add(stream->sha256, VARDATA(stream->piece), used);
	stream->any = true;
	return stream->piece;
}
