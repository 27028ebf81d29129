/*
 * reconstruct.c: pg_sparse reconstruct: the child, from its base and its delta
 * file.
 *
 * Nothing is written before the base has the SHA-256 that the delta file names,
 * and nothing gets its name before the result has the SHA-256 of the child.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "options.h"

typedef struct rebuilder
{
	input		delta;
	source		base;
	bool		has_base;
	sparse_codec *codec;
	sha256	   *sum;
	progress	bar;
	uint8_t    *prediction;
	uint8_t    *content;
} rebuilder;

/* ---- opening ---- */

/* Opens the base and makes sure that it is the one. */
static void
open_base(rebuilder *r, const options *o)
{
	const deltafile_head *head = deltafile_get_head(r->delta.reader);
	uint8_t		digest[SHA256_BYTES];
	char		wanted[2 * SHA256_BYTES + 1];
	char		hint[2 * SHA256_BYTES + 100];

	if (!head->has_base && o->base != NULL)
		fail(STATUS_WRONG_BASE, "Give --no-base in place of it.", "\"%s\" needs no base", o->file);
	if (!head->has_base)
		return;
	sha256_text(head->base_sha256, wanted);
	snprintf(hint, sizeof hint, "The base has %llu bytes and the sha256 %s.",
			 (unsigned long long) head->base_bytes, wanted);
	if (o->base == NULL)
		fail(STATUS_WRONG_BASE, hint, "\"%s\" needs the base that it was made against", o->file);
	source_open(&r->base, o->base);
	r->has_base = true;
	if (r->base.bytes == head->base_bytes)
	{
		source_sha256(&r->base, o->quiet, digest);
		if (memcmp(digest, head->base_sha256, SHA256_BYTES) == 0)
			return;
	}
	fail(STATUS_WRONG_BASE, hint, "\"%s\" is not the base that \"%s\" was made against", o->base, o->file);
}

static void
create_output(rebuilder *r, const char *path)
{
	const source *sources[] = {&r->delta.file, &r->base};

	r->codec = sparse_codec_create(NULL);
	if (r->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	r->content = allocate(DELTAFILE_MAX_CHUNK);
	r->prediction = allocate(DELTAFILE_MAX_PREDICTION);
	r->sum = sha256_create();
	output_create(path, sources, r->has_base ? 2 : 1);
}

/* ---- rebuilding ---- */

/* Joins the ranges that the references name; the reader has checked them. */
static size_t
gather_prediction(rebuilder *r, const sparse_delta_info *info)
{
	size_t		bytes = 0;

	for (unsigned i = 0; i < info->refs; i++)
	{
		const sparse_ref *ref = &info->ref[i];
		unsigned	element = sparse_dtype_get(ref->dtype)->bytes;
		size_t		length = (size_t) ref->count * element;

		source_read(&r->base, deltafile_get_part(r->delta.reader)->base_first + ref->first * element,
					r->prediction + bytes, length);
		bytes += length;
	}
	return bytes;
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
	sha256_add(r->sum, r->content, (size_t) chunk->bytes);
	output_write(r->content, (size_t) chunk->bytes);
	progress_add(&r->bar, chunk->bytes);
}

static void
rebuild_all(rebuilder *r)
{
	deltafile_next next;

	while ((next = input_next(&r->delta)) != DELTAFILE_IS_END)
		if (next == DELTAFILE_IS_CHUNK)
			rebuild_chunk(r);
}

static void
check_result(rebuilder *r)
{
	uint8_t		digest[SHA256_BYTES];

	sha256_finish(r->sum, digest);
	if (memcmp(digest, deltafile_get_end(r->delta.reader)->child_sha256, SHA256_BYTES) != 0)
		fail(STATUS_DAMAGED, input_damaged_hint, "\"%s\": the sha256 of the result is not that of the child", r->delta.file.path);
}

static void
close_all(rebuilder *r)
{
	input_close(&r->delta);
	sparse_codec_free(r->codec);
	free(r->content);
	free(r->prediction);
}

static void
run(const options *o)
{
	rebuilder	r = {0};

	input_open(&r.delta, o->file);
	open_base(&r, o);
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
		   "  pg_sparse reconstruct BASE DELTA -o FILE\n"
		   "  pg_sparse reconstruct --no-base DELTA -o FILE\n\n"
		   "Options:\n"
		   "  -o, --output FILE  where to write the child\n"
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
