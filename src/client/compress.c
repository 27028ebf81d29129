/*
 * compress.c: pg_sparse compress: a child as a delta file against its base and other parents.
 *
 * One pass over the child, part by part and chunk by chunk, after one over the parents for their
 * SHA-256s; what predicts a part is chosen as an import chooses it (kin.h), which looks at samples, and where
 * they promise something at all of a tensor. Memory is that of a chunk and its prediction, and of a tensor's factors.
 * Every delta is decoded again and compared before it is written: what leaves this command can be given back.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kin.h"
#include "options.h"

typedef struct compressor
{
	model		child;
	model		parent[DELTAFILE_MAX_BASES];
	const model *of_parent[DELTAFILE_MAX_BASES];
	unsigned	parents;
	kin_files	kin;
	kin_part   *part;			/* at hand */
	uint64_t   *number;			/* of the child's parts, as the delta file counts them */
	uint64_t	written;		/* parts */
	sparse_codec *encoder;
	sparse_codec *verifier;
	deltafile_writer *writer;
	sha256	   *sum;			/* of the child, */
	uint64_t	summed;			/* as far as it came in order */
	progress	bar;
	uint8_t    *content;
	uint8_t    *decoded;
	uint8_t    *prediction;
	uint64_t	prediction_room;
} compressor;

/* ---- one chunk ---- */

static void
check_delta(compressor *c, const uint8_t *delta, size_t delta_bytes, size_t bytes)
{
	sparse_delta_info info;
	sparse_status status = sparse_delta_read(delta, delta_bytes, delta_bytes, &info);

	if (status == SPARSE_OK)
		status = sparse_delta_apply(c->verifier, delta, delta_bytes, c->prediction, (size_t) info.prediction_bytes,
									c->decoded, bytes);
	if (status != SPARSE_OK || memcmp(c->decoded, c->content, bytes) != 0)
		fail(STATUS_FAILED, "Please report this, with the two files if you can: it is an error of pg_sparse.",
			 "a delta of \"%s\" does not give its content back: %s", c->child.file.path,
			 status == SPARSE_OK ? "the bytes differ" : sparse_status_text(status));
}

static void
compress_chunk(compressor *c, uint64_t first, size_t bytes)
{
	const uint8_t *delta;
	size_t		delta_bytes;

	source_read(&c->child.file, c->part->first + first, c->content, bytes);
	if (c->part->first + first == c->summed)
	{
		sha256_add(c->sum, c->content, bytes);
		c->summed += bytes;
	}
	kin_encode(c->part, first, bytes, c->content, c->prediction, &delta, &delta_bytes);
	check_delta(c, delta, delta_bytes, bytes);
	deltafile_put_delta(c->writer, delta, delta_bytes);
	progress_add(&c->bar, bytes);
}

/* ---- factors ---- */

static void
compress_factor(compressor *c, const sparse_factor *factor)
{
	deltafile_part record = {.kind = DELTAFILE_PART_FACTOR, .label = "", .grid = {factor->bytes, 0, SPARSE_CHUNK_TARGET}};
	uint64_t	first;
	uint64_t	length;

	deltafile_put_part(c->writer, &record);
	c->written++;
	for (uint64_t seq = 0; sparse_grid_chunk(&record.grid, seq, &first, &length); seq++)
	{
		const uint8_t *delta;
		size_t		delta_bytes;

		memcpy(c->content, factor->content + first, (size_t) length);
		if (sparse_delta_encode(c->encoder, c->content, (size_t) length, factor->dtype, NULL, 0, NULL, 0,
								&delta, &delta_bytes) != SPARSE_OK)
			fail(STATUS_FAILED, NULL, "could not encode a factor of \"%s\"", c->child.file.path);
		check_delta(c, delta, delta_bytes, (size_t) length);
		deltafile_put_delta(c->writer, delta, delta_bytes);
	}
}

/* ---- parts ---- */

/* Where an object of the prediction lies, for the delta file. A factor is written on the way. */
static void
add_source(compressor *c, int64_t object, deltafile_part *record)
{
	deltafile_source *source = &record->source[record->sources++];
	const sparse_factor *factor = sparse_factors_get(&c->kin.factors, object);
	kin_place	place;

	if (factor != NULL)
	{
		*source = (deltafile_source) {.number = c->parents + c->written, .whole = true};
		compress_factor(c, factor);
		return;
	}
	kin_locate(&c->kin, object, &place);
	if (place.owner == 0)
		*source = (deltafile_source) {.number = c->parents + c->number[place.part], .whole = true};
	else
		*source = (deltafile_source) {.number = (uint64_t) place.owner - 1, .first = place.first, .bytes = place.bytes};
}

static void
add_sources(compressor *c, deltafile_part *record)
{
	const sparse_prediction *prediction = &c->part->prediction;

	if (prediction->recipe == NULL && prediction->object != 0)
		add_source(c, prediction->object, record);
	for (int i = 0; prediction->recipe != NULL && i < prediction->recipe->sources; i++)
		add_source(c, prediction->recipe->source[i].object, record);
}

static void
reserve_prediction(compressor *c)
{
	uint64_t	bytes = kin_most_bytes(c->part);

	if (bytes <= c->prediction_room)
		return;
	free(c->prediction);
	c->prediction = allocate(bytes);
	c->prediction_room = bytes;
}

static void
compress_part(compressor *c, uint32_t number)
{
	deltafile_part record;
	uint64_t	first;
	uint64_t	bytes;

	kin_choose(&c->kin, number, c->part);
	record = (deltafile_part) {
		.kind = number > 0 && number <= c->child.header.tensors ? DELTAFILE_PART_TENSOR : DELTAFILE_PART_BYTES, .label = c->part->label,
		.grid = c->part->grid, .place = c->part->first
	};
	add_sources(c, &record);
	deltafile_put_part(c->writer, &record);
	c->number[number] = c->written++;
	reserve_prediction(c);
	for (uint64_t seq = 0; sparse_grid_chunk(&record.grid, seq, &first, &bytes); seq++)
		compress_chunk(c, first, (size_t) bytes);
	c->kin.done[number] = true;
}

/* First the parts that are predicted from parents only, then those that other parts may predict. */
static void
compress_parts(compressor *c)
{
	const uint32_t parts = kin_parts(&c->child);
	bool	   *later = allocate(parts * sizeof *later);

	c->number = allocate(parts * sizeof *c->number);
	c->kin.done = allocate(parts * sizeof *c->kin.done);
	for (uint32_t i = 0; i < parts; i++)
	{
		c->kin.done[i] = false;
		later[i] = i > 0 && kin_wants_siblings(&c->kin, i);
	}
	for (int last = 0; last <= 1; last++)
		for (uint32_t i = 0; i < parts; i++)
			if (later[i] == (last == 1))
				compress_part(c, i);
	free(later);
}

/* ---- the whole ---- */

static bool
put_output(void *state, const void *bytes, size_t length)
{
	(void) state;
	output_write(bytes, length);
	return true;
}

static void
open_models(compressor *c, const options *o)
{
	model_open(&c->child, o->file);
	for (; c->parents < o->parents; c->parents++)
	{
		model_open(&c->parent[c->parents], o->parent[c->parents]);
		c->of_parent[c->parents] = &c->parent[c->parents];
	}
}

static void
create_codecs(compressor *c)
{
	c->encoder = sparse_codec_create(NULL);
	c->verifier = sparse_codec_create(NULL);
	if (c->encoder == NULL || c->verifier == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	c->content = allocate(SPARSE_CHUNK_TARGET);
	c->decoded = allocate(SPARSE_CHUNK_TARGET);
	c->part = allocate(sizeof *c->part);
	kin_open(&c->kin, &c->child, c->of_parent, (int) c->parents, c->encoder);
}

static void
write_head(compressor *c, const options *o)
{
	const source *sources[1 + DELTAFILE_MAX_BASES] = {&c->child.file};
	deltafile_head head = {.kind = (deltafile_kind) c->child.kind, .child_bytes = c->child.file.bytes, .bases = c->parents};

	for (unsigned i = 0; i < c->parents; i++)
	{
		sources[1 + i] = &c->parent[i].file;
		head.base[i].bytes = c->parent[i].file.bytes;
		source_sha256(&c->parent[i].file, o->quiet, head.base[i].sha256);
	}
	output_create(o->output, sources, 1 + (int) c->parents);
	c->writer = deltafile_create(put_output, NULL, &head);
	if (c->writer == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
}

static void
write_end(compressor *c, bool quiet)
{
	uint8_t		digest[SHA256_BYTES];

	progress_end(&c->bar);
	sha256_finish(c->sum, digest);
	if (c->summed < c->child.file.bytes)
		source_sha256(&c->child.file, quiet, digest);
	if (!deltafile_finish(c->writer, digest))
		fail(STATUS_FAILED, NULL, "could not write the delta file");
	output_commit();
	if (c->bar.shown)
		fprintf(stderr, "%llu bytes as %llu (%.4f)\n",
				(unsigned long long) c->child.file.bytes, (unsigned long long) output_bytes(),
				c->child.file.bytes ? (double) output_bytes() / (double) c->child.file.bytes : 0);
}

static void
close_all(compressor *c)
{
	deltafile_writer_free(c->writer);
	free(c->kin.done);
	kin_close(&c->kin);
	sparse_codec_free(c->encoder);
	sparse_codec_free(c->verifier);
	model_close(&c->child);
	for (unsigned i = 0; i < c->parents; i++)
		model_close(&c->parent[i]);
	free(c->number);
	free(c->part);
	free(c->content);
	free(c->decoded);
	free(c->prediction);
}

static void
run(const options *o)
{
	compressor	c = {0};

	open_models(&c, o);
	create_codecs(&c);
	write_head(&c, o);
	c.sum = sha256_create();
	progress_begin(&c.bar, "compressing", c.child.file.bytes, o->quiet);
	compress_parts(&c);
	write_end(&c, o->quiet);
	close_all(&c);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Write CHILD as a delta file against BASE.\n\n"
		   "Usage:\n"
		   "  pg_sparse compress BASE CHILD [--parent FILE ...] -o DELTA\n"
		   "  pg_sparse compress --no-base CHILD -o DELTA\n\n"
		   "Safetensors, GGUF and PyTorch files are compared tensor by tensor, any others as bytes. What CHILD was made\n"
		   "of beside BASE predicts it too: the other models of a merge, the adapter that was merged.\n\n"
		   "Options:\n"
		   "  -o, --output FILE  where to write the delta file\n"
		   "      --parent FILE  another file that CHILD may be predicted from (up to %d with BASE)\n"
		   "      --no-base      there is no BASE; so does \"-\" in its place\n"
		   "  -q, --quiet        no progress bar\n"
		   "  -h, --help         this help\n", OPTIONS_MAX_PARENTS);
}

void
compress_main(int argc, char **argv)
{
	options		o;

	options_parse(&o, argc, argv, "CHILD", "DELTA", print_help);
	run(&o);
}
