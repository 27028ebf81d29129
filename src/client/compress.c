/*
 * compress.c: pg_sparse compress: a child as a delta file against its base.
 *
 * One pass over the child, chunk by chunk, after one over the base for its
 * SHA-256; memory for one chunk and its prediction, whatever the size. Every
 * delta is decoded again and compared before it is written: what leaves this
 * command can be given back.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "pair.h"

typedef struct compressor
{
	model		child;
	model		base;
	bool		has_base;
	sparse_codec *encoder;
	sparse_codec *verifier;
	deltafile_writer *writer;
	sha256	   *sum;			/* of the child */
	progress	bar;
	uint8_t    *content;
	uint8_t    *prediction;
	uint8_t    *decoded;
} compressor;

/* A part of the child at work. */
typedef struct part
{
	deltafile_part record;
	uint64_t	first;			/* byte of the child */
	uint64_t	shared_bytes;	/* leading bytes of a tensor that its parent predicts */
	sparse_dtype dtype;
} part;

/* ---- one chunk ---- */

static void
check_delta(compressor *c, const uint8_t *delta, size_t delta_bytes,
			size_t prediction_bytes, size_t bytes)
{
	sparse_status status = sparse_delta_apply(c->verifier, delta, delta_bytes,
											  c->prediction, prediction_bytes, c->decoded, bytes);

	if (status != SPARSE_OK || memcmp(c->decoded, c->content, bytes) != 0)
		fail(STATUS_FAILED, "Please report this, with the two files if you can: it is an error of pg_sparse.",
			 "a delta of \"%s\" does not give its content back: %s", c->child.file.path,
			 status == SPARSE_OK ? "the bytes differ" : sparse_status_text(status));
}

static void
compress_chunk(compressor *c, const part *p, uint64_t first, size_t bytes)
{
	sparse_ref	ref;
	unsigned	refs = pair_reference(p->record.is_tensor, p->dtype,
									  p->record.is_tensor ? p->shared_bytes : p->record.base_bytes,
									  first, bytes, &ref);
	unsigned	element = sparse_dtype_get(p->dtype)->bytes;
	size_t		prediction_bytes = refs ? (size_t) ref.count * element : 0;
	const uint8_t *delta;
	size_t		delta_bytes;
	sparse_status status;

	source_read(&c->child.file, p->first + first, c->content, bytes);
	sha256_add(c->sum, c->content, bytes);
	if (refs)
		source_read(&c->base.file, p->record.base_first + ref.first * element, c->prediction, prediction_bytes);
	status = sparse_delta_encode(c->encoder, c->content, bytes, p->dtype, &ref, refs,
								 c->prediction, prediction_bytes, &delta, &delta_bytes);
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", c->child.file.path, sparse_status_text(status));
	check_delta(c, delta, delta_bytes, prediction_bytes, bytes);
	deltafile_put_delta(c->writer, delta, delta_bytes);
	progress_add(&c->bar, bytes);
}

static void
compress_part(compressor *c, const part *p)
{
	uint64_t	first;
	uint64_t	bytes;

	deltafile_put_part(c->writer, &p->record);
	for (uint64_t seq = 0; sparse_grid_chunk(&p->record.grid, seq, &first, &bytes); seq++)
		compress_chunk(c, p, first, (size_t) bytes);
}

/* ---- the parts ---- */

/* The first `bytes` bytes of the child, predicted from the first of the base. */
static void
compress_bytes(compressor *c, const char *label, uint64_t bytes, uint64_t base_bytes)
{
	part		p = {
		.record = {
			.label = label,
			.grid = {bytes, 0, SPARSE_CHUNK_TARGET},
			.base_bytes = base_bytes
		},
		.dtype = SPARSE_BYTES
	};

	compress_part(c, &p);
}

static void
compress_tensor(compressor *c, const sparse_tensor *tensor)
{
	const sparse_tensor *parent = c->has_base ? model_find(&c->base, tensor->name) : NULL;
	uint64_t	shared = parent ? sparse_tensor_shared_bytes(tensor, parent) : 0;
	part		p = {
		.record = {
			.is_tensor = true,
			.label = tensor->name,
			.grid = sparse_tensor_grid(tensor, shared, SPARSE_CHUNK_TARGET)
		},
		.first = c->child.header.header_bytes + tensor->first,
		.shared_bytes = shared,
		.dtype = tensor->dtype
	};

	if (shared > 0)
	{
		p.record.base_first = c->base.header.header_bytes + parent->first;
		p.record.base_bytes = parent->bytes;
	}
	compress_part(c, &p);
}

static void
compress_safetensors(compressor *c)
{
	bool		alike = c->has_base && c->base.kind == DELTAFILE_SAFETENSORS;

	compress_bytes(c, "header", c->child.header.header_bytes, alike ? c->base.header.header_bytes : 0);
	for (uint32_t i = 0; i < c->child.header.tensors; i++)
		compress_tensor(c, &c->child.header.tensor[i]);
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
	c->has_base = o->base != NULL;
	if (c->has_base)
		model_open(&c->base, o->base);
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
	c->prediction = allocate(PAIR_MAX_PREDICTION);
}

static void
write_head(compressor *c, const options *o)
{
	const source *sources[] = {&c->child.file, &c->base.file};
	deltafile_head head = {
		.kind = c->child.kind,
		.has_base = c->has_base,
		.child_bytes = c->child.file.bytes
	};

	if (c->has_base)
	{
		head.base_bytes = c->base.file.bytes;
		source_sha256(&c->base.file, o->quiet, head.base_sha256);
	}
	output_create(o->output, sources, c->has_base ? 2 : 1);
	c->writer = deltafile_create(put_output, NULL, &head);
	if (c->writer == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
}

static void
write_end(compressor *c)
{
	uint8_t		digest[SHA256_BYTES];

	sha256_finish(c->sum, digest);
	if (!deltafile_finish(c->writer, digest))
		fail(STATUS_FAILED, NULL, "could not write the delta file");
	output_commit();
	progress_end(&c->bar);
	if (c->bar.shown)
		fprintf(stderr, "%llu bytes as %llu (%.4f)\n",
				(unsigned long long) c->child.file.bytes, (unsigned long long) output_bytes(),
				c->child.file.bytes ? (double) output_bytes() / (double) c->child.file.bytes : 0);
}

static void
close_all(compressor *c)
{
	deltafile_writer_free(c->writer);
	sparse_codec_free(c->encoder);
	sparse_codec_free(c->verifier);
	model_close(&c->child);
	if (c->has_base)
		model_close(&c->base);
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
	if (c.child.kind == DELTAFILE_SAFETENSORS)
		compress_safetensors(&c);
	else
		compress_bytes(&c, "bytes", c.child.file.bytes, c.has_base ? c.base.file.bytes : 0);
	write_end(&c);
	close_all(&c);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Write CHILD as a delta file against BASE.\n\n"
		   "Usage:\n"
		   "  pg_sparse compress BASE CHILD -o DELTA\n"
		   "  pg_sparse compress --no-base CHILD -o DELTA\n\n"
		   "Safetensors files are compared tensor by tensor, any others as bytes.\n\n"
		   "Options:\n"
		   "  -o, --output FILE  where to write the delta file\n"
		   "      --no-base      there is no BASE; so does \"-\" in its place\n"
		   "  -q, --quiet        no progress bar\n"
		   "  -h, --help         this help\n");
}

void
compress_main(int argc, char **argv)
{
	options		o;

	options_parse(&o, argc, argv, "CHILD", "DELTA", print_help);
	run(&o);
}
