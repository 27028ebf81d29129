/*
 * reconstruct.c: pg_sparse reconstruct: the child, from its base, other parents, and its delta
 * file.
 *
 * Nothing is written before every base has the SHA-256 that the delta file names,
 * and nothing gets its name before the result has the SHA-256 of the child.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "options.h"
#include "tape.h"

/* Where a part that was rebuilt lies: in the output, or on the tape of factors. */
typedef struct rebuilt
{
	bool		is_factor;
	uint64_t	first;
} rebuilt;

typedef struct rebuilder
{
	input		delta;
	source		base[DELTAFILE_MAX_BASES];	/* as the delta file counts them */
	sparse_codec *codec;
	sha256	   *sum;			/* of the child, as long as its parts come in order; NULL: they did not */
	uint64_t	end;			/* of the last of them */
	progress	bar;
	rebuilt    *part;
	uint64_t	parts;
	tape		factors;
	uint8_t    *prediction;
	uint64_t	prediction_room;
	uint8_t    *content;
} rebuilder;

/* ---- opening ---- */

/* A file that was given, and its SHA-256 once it was read. */
typedef struct given
{
	source		file;
	uint8_t		sha256[SHA256_BYTES];
	bool		summed;
	bool		used;
} given;

static bool
is_base(given *g, const deltafile_base *base, bool quiet)
{
	if (g->file.bytes != base->bytes)
		return false;
	if (!g->summed)
		source_sha256(&g->file, quiet, g->sha256);
	g->summed = true;
	return memcmp(g->sha256, base->sha256, SHA256_BYTES) == 0;
}

static void
find_base(rebuilder *r, const options *o, given *given, unsigned number)
{
	const deltafile_base *base = &deltafile_get_head(r->delta.reader)->base[number];
	char		wanted[2 * SHA256_BYTES + 1];
	char		hint[2 * SHA256_BYTES + 100];

	for (unsigned i = 0; i < o->parents; i++)
		if (is_base(&given[i], base, o->quiet))
		{
			r->base[number] = given[i].file;
			given[i].used = true;
			return;
		}
	sha256_text(base->sha256, wanted);
	snprintf(hint, sizeof hint, "The %s has %llu bytes and the sha256 %s.", number == 0 ? "base" : "other parent",
			 (unsigned long long) base->bytes, wanted);
	if (number == 0 && o->parents > 0)
		fail(STATUS_WRONG_BASE, hint, "\"%s\" is not the base that \"%s\" was made against", o->parent[0], o->file);
	fail(STATUS_WRONG_BASE, hint, number == 0 ? "\"%s\" needs the base that it was made against"
		 : "\"%s\" needs another file that it was made against: --parent FILE", o->file);
}

/* Opens the bases and makes sure that they are those. */
static void
open_bases(rebuilder *r, const options *o)
{
	const deltafile_head *head = deltafile_get_head(r->delta.reader);
	given		given[OPTIONS_MAX_PARENTS] = {0};

	if (head->bases == 0 && o->parents > 0)
		fail(STATUS_WRONG_BASE, "Give --no-base in place of it.", "\"%s\" needs no base", o->file);
	for (unsigned i = 0; i < o->parents; i++)
		source_open(&given[i].file, o->parent[i]);
	for (unsigned i = 0; i < head->bases; i++)
		find_base(r, o, given, i);
	for (unsigned i = 0; i < o->parents; i++)
		if (!given[i].used)
			fail(STATUS_WRONG_BASE, "Leave it out.", "\"%s\" needs no \"%s\"", o->file, o->parent[i]);
}

static void
create_output(rebuilder *r, const char *path)
{
	const unsigned bases = deltafile_get_head(r->delta.reader)->bases;
	const source *sources[MAX_SOURCES] = {&r->delta.file};

	r->codec = sparse_codec_create(NULL);
	if (r->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	r->content = allocate(DELTAFILE_MAX_CHUNK);
	r->sum = sha256_create();
	for (unsigned i = 0; i < bases; i++)
		sources[1 + i] = &r->base[i];
	output_create(path, sources, 1 + (int) bases);
	r->factors.beside = path;
}

/* ---- rebuilding ---- */

/* Reads of a base, or of a part that was rebuilt. */
static void
read_source(rebuilder *r, const deltafile_source *from, uint64_t first, void *bytes, size_t length)
{
	const unsigned bases = deltafile_get_head(r->delta.reader)->bases;
	const rebuilt *part = from->number < bases ? NULL : &r->part[from->number - bases];

	first += from->first;
	if (part == NULL)
		source_read(&r->base[from->number], first, bytes, length);
	else if (!part->is_factor)
		output_read(part->first + first, bytes, length);
	else if (!tape_get(&r->factors, part->first + first, bytes, length))
		fail(STATUS_DAMAGED, input_damaged_hint, "\"%s\": a part is read before it is there", r->delta.file.path);
}

static void
reserve_prediction(rebuilder *r, uint64_t bytes)
{
	if (bytes <= r->prediction_room)
		return;
	free(r->prediction);
	r->prediction = allocate(bytes);
	r->prediction_room = bytes;
}

/* Joins the ranges that the references name; the reader has checked them. */
static size_t
gather_prediction(rebuilder *r, const sparse_delta_info *info)
{
	size_t		bytes = 0;

	reserve_prediction(r, info->prediction_bytes);
	for (unsigned i = 0; i < info->refs; i++)
	{
		const sparse_ref *ref = &info->ref[i];
		unsigned	element = sparse_dtype_get(ref->dtype)->bytes;
		size_t		length = (size_t) ref->count * element;

		read_source(r, &deltafile_get_part(r->delta.reader)->source[ref->parent], ref->first * element,
					r->prediction + bytes, length);
		bytes += length;
	}
	return bytes;
}

static void
begin_part(rebuilder *r)
{
	const deltafile_part *part = deltafile_get_part(r->delta.reader);
	const bool	is_factor = part->kind == DELTAFILE_PART_FACTOR;

	r->part = array_grow(r->part, r->parts, sizeof *r->part);
	r->part[r->parts++] = (rebuilt) {is_factor, is_factor ? r->factors.length : part->place};
	if (is_factor)
		return;
	if (part->place != r->end && r->sum != NULL)
	{
		uint8_t		unused[SHA256_BYTES];

		sha256_finish(r->sum, unused);
		r->sum = NULL;
	}
	r->end = part->place + part->grid.content_bytes;
}

static void
put_content(rebuilder *r, const deltafile_chunk *chunk)
{
	const rebuilt *part = &r->part[r->parts - 1];

	if (part->is_factor)
	{
		tape_keep(&r->factors, r->content, (size_t) chunk->bytes);
		return;
	}
	output_write_at(part->first + chunk->first, r->content, (size_t) chunk->bytes);
	if (r->sum != NULL)
		sha256_add(r->sum, r->content, (size_t) chunk->bytes);
	progress_add(&r->bar, chunk->bytes);
}

static void
rebuild_chunk(rebuilder *r)
{
	const deltafile_chunk *chunk = deltafile_get_chunk(r->delta.reader);
	size_t		prediction_bytes = gather_prediction(r, &chunk->info);
	sparse_status status = sparse_delta_apply(r->codec, chunk->delta, chunk->delta_bytes,
											  r->prediction, prediction_bytes,
											  r->content, (size_t) chunk->bytes);
	char		shown[SPARSE_SHOWN];
	const char *label = deltafile_get_part(r->delta.reader)->label;

	if (status == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "out of memory");
	if (status != SPARSE_OK)
		fail(STATUS_DAMAGED, input_damaged_hint, "\"%s\": byte %llu of \"%s\": %s", r->delta.file.path,
			 (unsigned long long) chunk->first, sparse_show_name(shown, label, strlen(label)),
			 sparse_status_text(status));
	put_content(r, chunk);
}

static void
rebuild_all(rebuilder *r)
{
	deltafile_next next;

	while ((next = input_next(&r->delta)) != DELTAFILE_IS_END)
		if (next == DELTAFILE_IS_CHUNK)
			rebuild_chunk(r);
		else
			begin_part(r);
}

/* What did not come in order is read once more. */
static void
sum_output(rebuilder *r, uint64_t bytes)
{
	uint64_t	length;

	r->sum = sha256_create();
	for (uint64_t at = 0; at < bytes; at += length)
	{
		length = bytes - at < DELTAFILE_MAX_CHUNK ? bytes - at : DELTAFILE_MAX_CHUNK;
		output_read(at, r->content, (size_t) length);
		sha256_add(r->sum, r->content, (size_t) length);
	}
}

static void
check_result(rebuilder *r)
{
	const uint64_t bytes = deltafile_get_head(r->delta.reader)->child_bytes;
	uint8_t		digest[SHA256_BYTES];

	if (r->sum == NULL)
		sum_output(r, bytes);
	sha256_finish(r->sum, digest);
	if (memcmp(digest, deltafile_get_end(r->delta.reader)->child_sha256, SHA256_BYTES) != 0)
		fail(STATUS_DAMAGED, input_damaged_hint, "\"%s\": the sha256 of the result is not that of the child", r->delta.file.path);
}

static void
close_all(rebuilder *r)
{
	input_close(&r->delta);
	sparse_codec_free(r->codec);
	tape_release(&r->factors);
	free(r->part);
	free(r->content);
	free(r->prediction);
}

static void
run(const options *o)
{
	rebuilder	r = {0};

	input_open(&r.delta, o->file);
	open_bases(&r, o);
	create_output(&r, o->output);
	progress_begin(&r.bar, "rebuilding", deltafile_get_head(r.delta.reader)->child_bytes, o->quiet);
	rebuild_all(&r);
	check_result(&r);
	output_commit();
	progress_end(&r.bar);
	close_all(&r);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Give a child back, byte for byte, from its base and its delta file.\n\n"
		   "Usage:\n"
		   "  pg_sparse reconstruct BASE DELTA [--parent FILE ...] -o FILE\n"
		   "  pg_sparse reconstruct --no-base DELTA -o FILE\n\n"
		   "Options:\n"
		   "  -o, --output FILE  where to write the child\n"
		   "      --parent FILE  another file that compress was given\n"
		   "      --no-base      there is no BASE; so does \"-\" in its place\n"
		   "  -q, --quiet        no progress bar\n"
		   "  -h, --help         this help\n");
}

void
reconstruct_main(int argc, char **argv)
{
	options		o;

	options_parse(&o, argc, argv, "DELTA", "FILE", print_help);
	run(&o);
}
