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

static const uint8_t magic[7] = {0x93, 'S', 'P', 'A', 'R', 'S', 'E'};

/* ---- writing ---- */

struct deltafile_writer
{
	deltafile_put put;
	void	   *state;
	XXH3_state_t *sum;
	uint64_t	parts;
	bool		failed;
};

static void
put(deltafile_writer *w, const void *bytes, size_t length)
{
	XXH3_64bits_update(w->sum, bytes, length);
	if (!w->failed && !w->put(w->state, bytes, length))
		w->failed = true;
}

deltafile_writer *
deltafile_create(deltafile_put to, void *state, const deltafile_head *head)
{
	deltafile_writer *w = calloc(1, sizeof *w);
	uint8_t		record[DELTAFILE_HEAD] = {0};

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
	record[9] = head->has_base;
	store64(record + 16, head->child_bytes);
	if (head->has_base)
	{
		store64(record + 24, head->base_bytes);
		memcpy(record + 32, head->base_sha256, SHA256_BYTES);
	}
	store64(record + 64, XXH3_64bits(record, 64));
	put(w, record, sizeof record);
	return w;
}

size_t
deltafile_label_bytes(const char *name)
{
	size_t		bytes = strlen(name);

	if (bytes <= DELTAFILE_MAX_LABEL)
		return bytes;
	bytes = DELTAFILE_MAX_LABEL;
	while (bytes > 0 && ((unsigned char) name[bytes] & 0xC0) == 0x80)
		bytes--;
	return bytes;
}

void
deltafile_put_part(deltafile_writer *w, const deltafile_part *part)
{
	uint8_t		record[DELTAFILE_PART] = {0};
	size_t		label = deltafile_label_bytes(part->label);

	record[0] = 'P';
	record[1] = part->is_tensor;
	store16(record + 2, (uint16_t) label);
	store64(record + 8, part->grid.content_bytes);
	store64(record + 16, part->grid.split_bytes);
	store64(record + 24, part->grid.chunk_bytes);
	store64(record + 32, part->base_first);
	store64(record + 40, part->base_bytes);
	put(w, record, sizeof record);
	put(w, part->label, label);
	w->parts++;
}

void
deltafile_put_delta(deltafile_writer *w, const void *delta, size_t bytes)
{
	uint8_t		length[4];

	store32(length, (uint32_t) bytes);
	put(w, length, sizeof length);
	put(w, delta, bytes);
}

bool
deltafile_finish(deltafile_writer *w, const uint8_t child_sha256[SHA256_BYTES])
{
	uint8_t		record[DELTAFILE_END] = {'E'};

	store64(record + 8, w->parts);
	memcpy(record + 16, child_sha256, SHA256_BYTES);
	put(w, record, DELTAFILE_END - 8);
	store64(record + DELTAFILE_END - 8, XXH3_64bits_digest(w->sum));
	put(w, record + DELTAFILE_END - 8, 8);
	return !w->failed;
}

void
deltafile_writer_free(deltafile_writer *w)
{
	if (w == NULL)
		return;
	XXH3_freeState(w->sum);
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
	uint64_t	content_bytes;	/* of those parts */
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

static bool
check_head(deltafile_reader *r, const uint8_t record[DELTAFILE_HEAD])
{
	if (memcmp(record, magic, sizeof magic) != 0)
		return FAIL(r, SPARSE_CORRUPT, "not a delta file");
	if (record[7] == 0)
		return FAIL(r, SPARSE_GIVEN_UP, "delta file is of format 0, which was given up before the first release");
	if (record[7] != DELTAFILE_VERSION)
		return FAIL(r, SPARSE_NEWER_VERSION, "delta file is of format %d: it was made by a newer version of pg_sparse", record[7]);
	if (load64(record + 64) != XXH3_64bits(record, 64))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: checksum of its head does not match");
	if (record[8] > DELTAFILE_SAFETENSORS || record[9] > 1 || !all_zero(record + 10, 6) ||
		(record[9] == 0 && !all_zero(record + 24, 40)))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its head is invalid");
	return true;
}

static void
read_head(deltafile_reader *r)
{
	uint8_t		record[DELTAFILE_HEAD];

	if (!get(r, record, sizeof record) || !check_head(r, record))
		return;
	r->head.kind = (deltafile_kind) record[8];
	r->head.has_base = record[9];
	r->head.child_bytes = load64(record + 16);
	r->head.base_bytes = load64(record + 24);
	memcpy(r->head.base_sha256, record + 32, SHA256_BYTES);
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

static bool
check_part(deltafile_reader *r)
{
	const deltafile_part *part = &r->part;
	uint64_t	left = r->head.child_bytes - r->content_bytes;

	if (!sparse_grid_valid(&part->grid) || part->grid.chunk_bytes > DELTAFILE_MAX_CHUNK)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: chunk grid of \"%s\" is invalid", r->shown);
	if (part->grid.content_bytes > left)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: \"%s\" ends past the end of the file it belongs to", r->shown);
	if (part->base_first > r->head.base_bytes ||
		part->base_bytes > r->head.base_bytes - part->base_first ||
		(part->base_bytes == 0 && part->base_first != 0))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: parent of \"%s\" lies outside the base", r->shown);
	return true;
}

static bool
read_label(deltafile_reader *r, size_t bytes)
{
	if (!get(r, r->label, bytes))
		return false;
	r->label[bytes] = '\0';
	if (memchr(r->label, '\0', bytes) != NULL || !sparse_utf8_valid(r->label, bytes))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: label of part %llu is not UTF-8",
					(unsigned long long) r->parts);
	sparse_show_name(r->shown, r->label, bytes);
	return true;
}

/* The rest of a part's record, whose mark has been read. */
static bool
read_part(deltafile_reader *r)
{
	uint8_t		record[DELTAFILE_PART];

	if (!get(r, record + 1, sizeof record - 1))
		return false;
	if (record[1] > 1 || !all_zero(record + 4, 4))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: record of part %llu is invalid",
					(unsigned long long) r->parts);
	if (!read_label(r, load16(record + 2)))
		return false;
	r->part = (deltafile_part) {
		.is_tensor = record[1],
		.label = r->label,
		.grid = {load64(record + 8), load64(record + 16), load64(record + 24)},
		.base_first = load64(record + 32),
		.base_bytes = load64(record + 40)
	};
	if (!check_part(r))
		return false;
	r->parts++;
	r->content_bytes += r->part.grid.content_bytes;
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

/* Whether a reference stays within the part's parent. */
static bool
ref_fits(const sparse_ref *ref, uint64_t parent_bytes)
{
	uint64_t	elements = parent_bytes / sparse_dtype_get(ref->dtype)->bytes;

	return ref->parent == 0 && ref->first <= elements && ref->count <= elements - ref->first;
}

static bool
check_chunk(deltafile_reader *r)
{
	const sparse_delta_info *info = &r->chunk.info;
	bool		fits = info->content_bytes == r->chunk.bytes &&
		info->prediction_bytes <= DELTAFILE_MAX_PREDICTION;

	for (unsigned i = 0; fits && i < info->refs; i++)
		fits = ref_fits(&info->ref[i], r->part.base_bytes);
	if (!fits)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: chunk %llu of \"%s\" does not fit its part",
					(unsigned long long) r->seq, r->shown);
	return true;
}

static bool
read_chunk(deltafile_reader *r)
{
	uint8_t		length[4];
	size_t		bytes;
	sparse_status status;

	sparse_grid_chunk(&r->part.grid, r->seq, &r->chunk.first, &r->chunk.bytes);
	if (!get(r, length, sizeof length))
		return false;
	bytes = load32(length);
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

static bool
read_end(deltafile_reader *r)
{
	uint8_t		record[DELTAFILE_END];
	uint8_t		beyond;

	if (!get(r, record + 1, DELTAFILE_END - 9) || !get_unsummed(r, record + DELTAFILE_END - 8, 8))
		return false;
	if (load64(record + DELTAFILE_END - 8) != XXH3_64bits_digest(r->sum))
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its checksum does not match");
	if (!all_zero(record + 1, 7) || load64(record + 8) != r->parts || r->content_bytes != r->head.child_bytes)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: its end does not fit its parts");
	if (r->get(r->state, &beyond, 1) != 0)
		return FAIL(r, SPARSE_CORRUPT, "delta file is damaged: something follows its end");
	r->end.parts = r->parts;
	memcpy(r->end.child_sha256, record + 16, SHA256_BYTES);
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
	free(r);
}
