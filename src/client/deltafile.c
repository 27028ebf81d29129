/*
 * deltafile.c: the records of a delta file (see deltafile.h, docs/delta-file.md).
 *
 * Every rule of the format is one SPARSE_CHECK or one sentence in a check_
 * function; the reader stops for good at the first that is broken.
 */
#include "deltafile.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "codec/bytes.h"

#define MOST_PREDICTION_1 ((uint64_t) 8 << 20)	/* bytes that the references of a chunk of format 1 add up to */

static const uint8_t magic[7] = {0x93, 'S', 'P', 'A', 'R', 'S', 'E'};

/* ---- writing ---- */

struct deltafile_writer
{
	deltafile_put put;
	void	   *state;
	XXH3_state_t *sum;
	uint64_t	parts;
	uint64_t	end;			/* of the last part of the child */
	uint64_t	source_end;		/* of the last range of a source */
	char	   *label;			/* of the last part; NULL: "" */
	bool		failed;
};

static void
put(deltafile_writer *w, const void *bytes, size_t length)
{
	XXH3_64bits_update(w->sum, bytes, length);
	if (!w->failed && !w->put(w->state, bytes, length))
		w->failed = true;
}

/* A number by seven bits a byte, the lowest first; all but the last byte have the top bit set. */
static void
put_number(deltafile_writer *w, uint64_t value)
{
	uint8_t		bytes[DELTAFILE_MAX_NUMBER];
	size_t		count = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[count++] = (uint8_t) (value | 0x80);
	bytes[count++] = (uint8_t) value;
	put(w, bytes, count);
}

/* A number by its distance to another that is mostly near; the lowest bit says that it is less. */
static void
put_near(deltafile_writer *w, uint64_t value, uint64_t to)
{
	put_number(w, value >= to ? (value - to) << 1 : (to - value) << 1 | 1);
}

deltafile_writer *
deltafile_create(deltafile_put to, void *state, const deltafile_head *head)
{
	deltafile_writer *w = calloc(1, sizeof *w);
	uint8_t		record[DELTAFILE_MAX_HEAD] = {0};
	size_t		bytes = DELTAFILE_HEAD(head->bases);

	if (w == NULL || (w->sum = XXH3_createState()) == NULL)
	{
		free(w);
		return NULL;
	}
	XXH3_64bits_reset(w->sum);
	w->put = to;
	w->state = state;
	memcpy(record, magic, sizeof magic);
	record[7] = DELTAFILE_VERSION;
	record[8] = (uint8_t) head->kind;
	record[9] = (uint8_t) head->bases;
	store64(record + 16, head->child_bytes);
	for (unsigned i = 0; i < head->bases; i++)
	{
		store64(record + 24 + 40 * i, head->base[i].bytes);
		memcpy(record + 32 + 40 * i, head->base[i].sha256, SHA256_BYTES);
	}
	store64(record + bytes - 8, XXH3_64bits(record, bytes - 8));
	put(w, record, bytes);
	return w;
}

/* The bytes of a name that fit a label, up to a character's end. */
static size_t
label_bytes(const char *name)
{
	size_t		bytes = strlen(name);

	if (bytes <= DELTAFILE_MAX_LABEL)
		return bytes;
	bytes = DELTAFILE_MAX_LABEL;
	while (bytes > 0 && ((unsigned char) name[bytes] & 0xC0) == 0x80)
		bytes--;
	return bytes;
}

/* What it shares with the label before it from the start on, and the rest. */
static void
put_label(deltafile_writer *w, const char *name)
{
	size_t		bytes = label_bytes(name);
	size_t		shared = 0;
	char	   *copy = malloc(bytes + 1);

	while (w->label && shared < bytes && w->label[shared] == name[shared])
		shared++;
	put_number(w, shared);
	put_number(w, bytes - shared);
	put(w, name + shared, bytes - shared);
	free(w->label);
	w->label = copy;
	if (copy == NULL)
	{
		w->failed = true;
		return;
	}
	memcpy(copy, name, bytes);
	copy[bytes] = '\0';
}

/* A factor, which is used as a whole, needs no range. */
static void
put_source(deltafile_writer *w, const deltafile_part *part, const deltafile_source *source)
{
	put_number(w, source->number << 1 | source->whole);
	if (source->whole)
		return;
	put_near(w, source->first, w->source_end);
	put_near(w, source->bytes, part->grid.content_bytes);
	w->source_end = source->first + source->bytes;
}

void
deltafile_put_part(deltafile_writer *w, const deltafile_part *part)
{
	const uint8_t mark[2] = {'P', (uint8_t) part->kind};
	const bool	one = part->grid.split_bytes == 0 && part->grid.chunk_bytes >= part->grid.content_bytes;

	put(w, mark, sizeof mark);
	put_label(w, part->label);
	put_number(w, part->grid.content_bytes);
	put_number(w, part->grid.split_bytes);
	put_number(w, one ? 0 : part->grid.chunk_bytes);
	if (part->kind != DELTAFILE_PART_FACTOR)
	{
		put_near(w, part->place, w->end);
		w->end = part->place + part->grid.content_bytes;
	}
	put_number(w, part->sources);
	for (unsigned i = 0; i < part->sources; i++)
		put_source(w, part, &part->source[i]);
	w->parts++;
}

void
deltafile_put_delta(deltafile_writer *w, const void *delta, size_t bytes)
{
	put_number(w, bytes);
	put(w, delta, bytes);
}

bool
deltafile_finish(deltafile_writer *w, const uint8_t child_sha256[SHA256_BYTES])
{
	const uint8_t mark = 'E';
	uint8_t		sum[8];

	put(w, &mark, 1);
	put_number(w, w->parts);
	put(w, child_sha256, SHA256_BYTES);
	store64(sum, XXH3_64bits_digest(w->sum));
	put(w, sum, sizeof sum);
	return !w->failed;
}

void
deltafile_writer_free(deltafile_writer *w)
{
	if (w == NULL)
		return;
	XXH3_freeState(w->sum);
	free(w->label);
	free(w);
}

/* ---- reading ---- */

struct deltafile_reader
{
	deltafile_get get;
	void	   *state;
	XXH3_state_t *sum;
	sparse_status status;
	char		error[SPARSE_MESSAGE];

	deltafile_head head;
	deltafile_part part;
	deltafile_chunk chunk;
	deltafile_end end;
	char		label[DELTAFILE_MAX_LABEL + 1];
	char		shown[SPARSE_SHOWN];

	uint64_t	parts;			/* read so far */
	uint64_t   *part_bytes;		/* of each of them */
	uint64_t	room;
	uint64_t	content_bytes;	/* of those that are the child's */
	uint64_t	child_end;		/* of the last of those */
	uint64_t	source_end;		/* of the last range of a source */
	uint64_t	seq;			/* the next chunk of the part at hand */
	uint64_t	chunks;			/* of the part at hand */
	bool		ended;
	uint8_t    *buffer;			/* one delta */
	size_t		buffer_bytes;
};

#define FAIL(r, code, ...) \
	((r)->status = (code), sparse_complain((r)->error, sizeof (r)->error, __VA_ARGS__))

/* Reads exactly `length` bytes, without adding them to the sum. */
static bool
get_unsummed(deltafile_reader *r, void *bytes, size_t length)
{
	if (r->get(r->state, bytes, length) == length)
		return true;
	return FAIL(r, SPARSE_TRUNCATED, "delta file is truncated");
}

static bool
get(deltafile_reader *r, void *bytes, size_t length)
{
	if (!get_unsummed(r, bytes, length))
		return false;
	XXH3_64bits_update(r->sum, bytes, length);
	return true;
}

static bool
all_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* The first 16 bytes, which say how long the head is. */
static bool
check_beginning(deltafile_reader *r, const uint8_t *record)
{
	if (memcmp(record, magic, sizeof magic) != 0)
		return FAIL(r, SPARSE_CORRUPT, "not a delta file");
	if (record[7] == 0)
		return FAIL(r, SPARSE_GIVEN_UP, "delta file is of format 0, which was given up before the first release");
	if (record[7] > DELTAFILE_VERSION)
		return FAIL(r, SPARSE_NEWER_VERSION, "delta file is of format %d: it was made by a newer version of pg_sparse", record[7]);
	return true;
}

static bool
check_head(deltafile_reader *r, const uint8_t *record, size_t bytes)
{
	if (load64(record + bytes - 8) != XXH3_64bits(record, bytes - 8))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: checksum of its head does not match");
	if (record[8] > DELTAFILE_PYTORCH || record[9] > (record[7] == 1 ? 1 : DELTAFILE_MAX_BASES) ||
		!all_zero(record + 10, 6) || (record[7] == 1 && record[9] == 0 && !all_zero(record + 24, 40)))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its head is invalid");
	return true;
}

static void
read_head(deltafile_reader *r)
{
	uint8_t		record[DELTAFILE_HEAD(255)];
	size_t		bytes;

	if (!get(r, record, 16) || !check_beginning(r, record))
		return;
	bytes = DELTAFILE_HEAD(record[7] == 1 ? 1 : record[9]);
	if (!get(r, record + 16, bytes - 16) || !check_head(r, record, bytes))
		return;
	r->head.version = record[7];
	r->head.kind = (deltafile_kind) record[8];
	r->head.bases = record[9];
	r->head.child_bytes = load64(record + 16);
	for (unsigned i = 0; i < r->head.bases; i++)
	{
		r->head.base[i].bytes = load64(record + 24 + 40 * i);
		memcpy(r->head.base[i].sha256, record + 32 + 40 * i, SHA256_BYTES);
	}
}

deltafile_reader *
deltafile_open(deltafile_get from, void *state)
{
	deltafile_reader *r = calloc(1, sizeof *r);

	if (r == NULL || (r->sum = XXH3_createState()) == NULL)
	{
		free(r);
		return NULL;
	}
	XXH3_64bits_reset(r->sum);
	r->get = from;
	r->state = state;
	read_head(r);
	return r;
}

/* ---- parts ---- */

/* The bytes of a base, or of a part that was read before the one at hand. */
static bool
bytes_of_source(const deltafile_reader *r, uint64_t number, uint64_t *bytes)
{
	if (number < r->head.bases)
		*bytes = r->head.base[number].bytes;
	else if (number - r->head.bases < r->parts)
		*bytes = r->part_bytes[number - r->head.bases];
	else
		return false;
	return true;
}

static bool
source_fits(const deltafile_reader *r, const deltafile_source *source)
{
	uint64_t	bytes;

	return bytes_of_source(r, source->number, &bytes) && source->first <= bytes && source->bytes <= bytes - source->first;
}

static bool
check_sources(deltafile_reader *r)
{
	for (unsigned i = 0; i < r->part.sources; i++)
		if (!source_fits(r, &r->part.source[i]))
			return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: parent of \"%s\" lies outside the base", r->shown);
	return true;
}

static bool
check_part(deltafile_reader *r)
{
	const deltafile_part *part = &r->part;
	uint64_t	left = r->head.child_bytes - r->content_bytes;

	if (!sparse_grid_valid(&part->grid) || part->grid.chunk_bytes > DELTAFILE_MAX_CHUNK)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: chunk grid of \"%s\" is invalid", r->shown);
	if (part->kind != DELTAFILE_PART_FACTOR &&
		(part->grid.content_bytes > left || part->place > r->head.child_bytes - part->grid.content_bytes))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: \"%s\" ends past the end of the file it belongs to", r->shown);
	return check_sources(r);
}

/* The rest of a label, behind `shared` bytes of the one before. */
static bool
read_label(deltafile_reader *r, size_t shared, size_t bytes)
{
	if (!get(r, r->label + shared, bytes))
		return false;
	r->label[shared + bytes] = '\0';
	if (memchr(r->label, '\0', shared + bytes) != NULL || !sparse_utf8_valid(r->label, shared + bytes))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: label of part %llu is not UTF-8",
					(unsigned long long) r->parts);
	sparse_show_name(r->shown, r->label, shared + bytes);
	return true;
}

static bool
bad_record(deltafile_reader *r)
{
	return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: record of part %llu is invalid", (unsigned long long) r->parts);
}

/* The rest of a part's record of format 1, whose mark has been read. */
static bool
read_part_1(deltafile_reader *r)
{
	uint8_t		record[48];

	if (!get(r, record + 1, sizeof record - 1))
		return false;
	if (record[1] > DELTAFILE_PART_TENSOR || !all_zero(record + 4, 4) || (load64(record + 40) == 0 && load64(record + 32) != 0) ||
		(r->head.bases == 0 && load64(record + 40) != 0))
		return bad_record(r);
	r->part = (deltafile_part) {
		.kind = (deltafile_part_kind) record[1],
		.label = r->label,
		.grid = {load64(record + 8), load64(record + 16), load64(record + 24)},
		.place = r->child_end,
		.sources = load64(record + 40) > 0,
		.source = {{.first = load64(record + 32), .bytes = load64(record + 40)}}
	};
	return read_label(r, 0, load16(record + 2));
}

/* A number in its shortest form. */
static bool
get_number(deltafile_reader *r, uint64_t *value)
{
	uint8_t		byte = 0x80;
	unsigned	bits = 0;

	for (*value = 0; byte & 0x80; bits += 7)
	{
		if (!get(r, &byte, 1))
			return false;
		if (bits > 63 || (bits == 63 && byte > 1) || (byte == 0 && bits > 0))
			return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: a number of part %llu is invalid", (unsigned long long) r->parts);
		*value |= (uint64_t) (byte & 0x7F) << bits;
	}
	return true;
}

/* A number that is given by its distance to another. */
static bool
get_near(deltafile_reader *r, uint64_t to, uint64_t *value)
{
	uint64_t	distance;

	if (!get_number(r, &distance))
		return false;
	if (distance & 1 ? distance >> 1 > to : distance >> 1 > UINT64_MAX - to)
		return bad_record(r);
	*value = distance & 1 ? to - (distance >> 1) : to + (distance >> 1);
	return true;
}

static bool
get_source(deltafile_reader *r, deltafile_source *source)
{
	if (!get_number(r, &source->number))
		return false;
	source->whole = source->number & 1;
	source->number >>= 1;
	if (!bytes_of_source(r, source->number, &source->bytes))
		return bad_record(r);
	if (source->whole)
		return true;
	if (!get_near(r, r->source_end, &source->first) || !get_near(r, r->part.grid.content_bytes, &source->bytes))
		return false;
	if (!source_fits(r, source))
		return bad_record(r);
	r->source_end = source->first + source->bytes;
	return true;
}

static bool
get_sources(deltafile_reader *r)
{
	uint64_t	count;

	if (!get_number(r, &count))
		return false;
	if (count > SPARSE_MAX_REFS)
		return bad_record(r);
	r->part.sources = (unsigned) count;
	for (unsigned i = 0; i < r->part.sources; i++)
		if (!get_source(r, &r->part.source[i]))
			return false;
	return true;
}

/* 0 in place of a chunk's bytes: all content is one. */
static bool
get_grid(deltafile_reader *r)
{
	sparse_grid *grid = &r->part.grid;

	if (!get_number(r, &grid->content_bytes) || !get_number(r, &grid->split_bytes) || !get_number(r, &grid->chunk_bytes))
		return false;
	if (grid->chunk_bytes == 0)
		grid->chunk_bytes = grid->content_bytes > 0 ? grid->content_bytes : 1;
	return true;
}

static bool
read_part_2(deltafile_reader *r)
{
	uint8_t		kind;
	uint64_t	shared;
	uint64_t	rest;

	if (!get(r, &kind, 1) || !get_number(r, &shared) || !get_number(r, &rest))
		return false;
	if (kind > DELTAFILE_PART_FACTOR || shared > strlen(r->label) || rest > DELTAFILE_MAX_LABEL - shared)
		return bad_record(r);
	r->part = (deltafile_part) {.kind = (deltafile_part_kind) kind, .label = r->label};
	return read_label(r, (size_t) shared, (size_t) rest) && get_grid(r) &&
		(kind == DELTAFILE_PART_FACTOR || get_near(r, r->child_end, &r->part.place)) && get_sources(r);
}

/* Remembers how long the part at hand is, for those that refer to it. */
static bool
note_part(deltafile_reader *r)
{
	if (r->parts == r->room)
	{
		uint64_t	room = r->room == 0 ? 64 : 2 * r->room;
		uint64_t   *more = room > SIZE_MAX / sizeof *more ? NULL : realloc(r->part_bytes, room * sizeof *more);

		if (more == NULL)
			return FAIL(r, SPARSE_NO_MEMORY, "out of memory");
		r->part_bytes = more;
		r->room = room;
	}
	r->part_bytes[r->parts++] = r->part.grid.content_bytes;
	return true;
}

/* The rest of a part's record, whose mark has been read. */
static bool
read_part(deltafile_reader *r)
{
	if (!(r->head.version == 1 ? read_part_1(r) : read_part_2(r)) || !check_part(r) || !note_part(r))
		return false;
	if (r->part.kind != DELTAFILE_PART_FACTOR)
	{
		r->content_bytes += r->part.grid.content_bytes;
		r->child_end = r->part.place + r->part.grid.content_bytes;
	}
	r->seq = 0;
	r->chunks = sparse_grid_chunks(&r->part.grid);
	return true;
}

/* ---- chunks ---- */

static bool
reserve(deltafile_reader *r, size_t bytes)
{
	if (bytes <= r->buffer_bytes)
		return true;
	free(r->buffer);
	r->buffer_bytes = 0;
	r->buffer = malloc(bytes);
	if (r->buffer == NULL)
		return FAIL(r, SPARSE_NO_MEMORY, "out of memory");
	r->buffer_bytes = bytes;
	return true;
}

/* Whether a reference stays within the part's parents. */
static bool
ref_fits(const deltafile_part *part, const sparse_ref *ref)
{
	uint64_t	elements;

	if (ref->parent >= part->sources)
		return false;
	elements = part->source[ref->parent].bytes / sparse_dtype_get(ref->dtype)->bytes;
	return ref->first <= elements && ref->count <= elements - ref->first;
}

static bool
check_chunk(deltafile_reader *r)
{
	const sparse_delta_info *info = &r->chunk.info;
	bool		fits = info->content_bytes == r->chunk.bytes &&
		info->prediction_bytes <= (r->head.version == 1 ? MOST_PREDICTION_1 : SPARSE_MAX_PREDICTION);

	for (unsigned i = 0; fits && i < info->refs; i++)
		fits = ref_fits(&r->part, &info->ref[i]);
	if (!fits)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: chunk %llu of \"%s\" does not fit its part",
					(unsigned long long) r->seq, r->shown);
	return true;
}

static bool
get_length(deltafile_reader *r, uint64_t *bytes)
{
	uint8_t		length[4];

	if (r->head.version > 1)
		return get_number(r, bytes);
	if (!get(r, length, sizeof length))
		return false;
	*bytes = load32(length);
	return true;
}

static bool
read_chunk(deltafile_reader *r)
{
	uint64_t	bytes;
	sparse_status status;

	sparse_grid_chunk(&r->part.grid, r->seq, &r->chunk.first, &r->chunk.bytes);
	if (!get_length(r, &bytes))
		return false;
	if (bytes < SPARSE_DELTA_HEADER || bytes > DELTAFILE_DELTA_OVERHEAD + r->chunk.bytes)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: chunk %llu of \"%s\" has an impossible length",
					(unsigned long long) r->seq, r->shown);
	if (!reserve(r, bytes) || !get(r, r->buffer, bytes))
		return false;
	r->chunk.delta = r->buffer;
	r->chunk.delta_bytes = bytes;
	status = sparse_delta_read(r->buffer, bytes, bytes, &r->chunk.info);
	if (status != SPARSE_OK)
		return FAIL(r, status, "chunk %llu of \"%s\": %s",
					(unsigned long long) r->seq, r->shown, sparse_status_text(status));
	if (!check_chunk(r))
		return false;
	r->seq++;
	return true;
}

/* ---- the end ---- */

/* The number of parts and the SHA-256 of the child, behind the mark. */
static bool
get_end(deltafile_reader *r)
{
	uint8_t		record[15];		/* seven zeros, and the number */

	if (r->head.version > 1)
		return get_number(r, &r->end.parts) && get(r, r->end.child_sha256, SHA256_BYTES);
	if (!get(r, record, sizeof record))
		return false;
	r->end.parts = all_zero(record, 7) ? load64(record + 7) : UINT64_MAX;
	return get(r, r->end.child_sha256, SHA256_BYTES);
}

static bool
read_end(deltafile_reader *r)
{
	uint8_t		sum[8];
	uint8_t		beyond;

	if (!get_end(r) || !get_unsummed(r, sum, sizeof sum))
		return false;
	if (load64(sum) != XXH3_64bits_digest(r->sum))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its checksum does not match");
	if (r->end.parts != r->parts || r->content_bytes != r->head.child_bytes)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its end does not fit its parts");
	if (r->get(r->state, &beyond, 1) != 0)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: something follows its end");
	r->ended = true;
	return true;
}

deltafile_next
deltafile_read_next(deltafile_reader *r)
{
	uint8_t		mark;

	if (r->status != SPARSE_OK)
		return DELTAFILE_FAILED;
	if (r->ended)
		return DELTAFILE_IS_END;
	if (r->seq < r->chunks)
		return read_chunk(r) ? DELTAFILE_IS_CHUNK : DELTAFILE_FAILED;
	if (!get(r, &mark, 1))
		return DELTAFILE_FAILED;
	if (mark == 'P')
		return read_part(r) ? DELTAFILE_IS_PART : DELTAFILE_FAILED;
	if (mark == 'E')
		return read_end(r) ? DELTAFILE_IS_END : DELTAFILE_FAILED;
	FAIL(r, SPARSE_CORRUPT, "delta file is damaged: neither a part nor the end where one must be");
	return DELTAFILE_FAILED;
}

const char *
deltafile_error(const deltafile_reader *r)
{
	return r->status == SPARSE_OK ? NULL : r->error;
}

sparse_status
deltafile_status(const deltafile_reader *r)
{
	return r->status;
}

const deltafile_head *
deltafile_get_head(const deltafile_reader *r)
{
	return &r->head;
}

const deltafile_part *
deltafile_get_part(const deltafile_reader *r)
{
	return &r->part;
}

const deltafile_chunk *
deltafile_get_chunk(const deltafile_reader *r)
{
	return &r->chunk;
}

const deltafile_end *
deltafile_get_end(const deltafile_reader *r)
{
	return &r->end;
}

void
deltafile_reader_free(deltafile_reader *r)
{
	if (r == NULL)
		return;
	XXH3_freeState(r->sum);
	free(r->buffer);
	free(r->part_bytes);
	free(r);
}
