/*
 * estimate.c: pg_sparse estimate: what a child will take, from a sample of it.
 *
 * Of each tensor with a parent, some blocks are compared: it counts as the same
 * if none differs. Of the others, chunks at even distances are coded as compress
 * would. Each kind of tensor (all that are called the same but for a number) gets
 * its share of the sample, since kinds change by different amounts. Headers and
 * records of the delta file are known exactly; a child that is no larger than the
 * sample is coded throughout, and the estimate is then the size itself.
 */
#include "client.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

#define SAMPLE_MIB 16
#define MAX_SAMPLE_MIB 1024
#define MIB ((uint64_t) 1 << 20)

#define BLOCK ((uint64_t) 4 << 10)		/* of a tensor that is compared */
#define LEAST_BLOCKS 8
#define LENGTH_BYTES 4			/* before a delta */
#define SAME_BYTES (LENGTH_BYTES + SPARSE_DELTA_HEADER + SPARSE_DELTA_REF) /* of a chunk that did not change */

/* A tensor, a header, or a whole file without tensors. */
typedef struct part
{
	bool		is_tensor;
	bool		same;			/* as its parent, as far as was compared */
	uint64_t	first;			/* byte of the child */
	uint64_t	bytes;
	uint64_t	shared_bytes;	/* leading bytes of a tensor that its parent predicts */
	uint64_t	base_first;		/* byte of the base where its parent begins */
	uint64_t	base_bytes;		/* of the parent; 0: none */
	const char *label;
	sparse_dtype dtype;
	sparse_grid grid;
} part;

typedef struct estimator
{
	pair		models;
	uint64_t	sample_bytes;	/* at most, to compare and again to code */
	sparse_codec *codec;
	part	   *parts;
	size_t		count;
	uint8_t    *content;
	uint8_t    *prediction;
	uint64_t	read_bytes;		/* of the child */
	double		estimate;		/* bytes of the delta file */
	uint32_t	same;			/* tensors */
	uint32_t	predicted;
	uint32_t	unpredicted;
} estimator;

/* ---- the parts ---- */

static void
add_bytes(estimator *e, const char *label, uint64_t bytes, uint64_t base_bytes)
{
	e->parts[e->count++] = (part) {
		.bytes = bytes,
		.base_bytes = base_bytes,
		.label = label,
		.grid = {bytes, 0, SPARSE_CHUNK_TARGET}
	};
}

static void
add_tensor(estimator *e, const sparse_tensor *tensor)
{
	uint64_t	shared;
	const sparse_tensor *parent = pair_parent(&e->models, tensor, &shared);
	part	   *p = &e->parts[e->count++];

	*p = (part) {
		.is_tensor = true,
		.first = e->models.child.header.header_bytes + tensor->first,
		.bytes = tensor->bytes,
		.shared_bytes = shared,
		.label = tensor->name,
		.dtype = tensor->dtype,
		.grid = sparse_tensor_grid(tensor, shared, SPARSE_CHUNK_TARGET)
	};
	if (parent)
	{
		p->base_first = e->models.base.header.header_bytes + parent->first;
		p->base_bytes = parent->bytes;
	}
}

/* The parts that compress would write, in its order. */
static void
list_parts(estimator *e)
{
	const model *child = &e->models.child;
	bool		alike = e->models.has_base && e->models.base.kind == child->kind;

	e->parts = allocate((1 + (unsigned long) child->header.tensors) * sizeof *e->parts);
	if (child->kind != DELTAFILE_SAFETENSORS)
	{
		add_bytes(e, "bytes", child->file.bytes, e->models.has_base ? e->models.base.file.bytes : 0);
		return;
	}
	add_bytes(e, "header", child->header.header_bytes, alike ? e->models.base.header.header_bytes : 0);
	for (uint32_t i = 0; i < child->header.tensors; i++)
		add_tensor(e, &child->header.tensor[i]);
}

/* ---- comparing ---- */

static bool
is_equal(estimator *e, const part *p, uint64_t first, uint64_t bytes)
{
	source_read(&e->models.child.file, p->first + first, e->content, (size_t) bytes);
	source_read(&e->models.base.file, p->base_first + first, e->prediction, (size_t) bytes);
	e->read_bytes += bytes;
	return memcmp(e->content, e->prediction, (size_t) bytes) == 0;
}

static bool
is_equal_throughout(estimator *e, const part *p)
{
	for (uint64_t first = 0; first < p->bytes; first += MIB)
		if (!is_equal(e, p, first, p->bytes - first < MIB ? p->bytes - first : MIB))
			return false;
	return true;
}

/* Compares a tensor's share of the sample: blocks from its first to its last byte. */
static bool
seems_same(estimator *e, const part *p)
{
	double		share = (double) p->bytes / (double) e->models.child.file.bytes;
	uint64_t	blocks = (uint64_t) (share * (double) e->sample_bytes) / BLOCK;

	if (p->shared_bytes != p->bytes || p->base_bytes != p->bytes)
		return false;
	if (blocks < LEAST_BLOCKS)
		blocks = LEAST_BLOCKS;
	if (p->bytes <= blocks * BLOCK)
		return is_equal_throughout(e, p);
	for (uint64_t i = 0; i < blocks; i++)
	{
		double		at = (double) (p->bytes - BLOCK) * ((double) i / (double) (blocks - 1));

		if (!is_equal(e, p, (uint64_t) at, BLOCK))
			return false;
	}
	return true;
}

static void
compare_tensors(estimator *e)
{
	for (size_t i = 0; i < e->count; i++)
	{
		part	   *p = &e->parts[i];

		if (!p->is_tensor)
			continue;
		p->same = seems_same(e, p);
		if (p->same)
			e->same++;
		else if (p->shared_bytes > 0)
			e->predicted++;
		else
			e->unpredicted++;
	}
}

/* ---- coding ---- */

/* The bytes that a chunk of a part takes: its delta, and the length before it. */
static size_t
code(estimator *e, const part *p, uint64_t first, uint64_t bytes)
{
	unsigned	element = sparse_dtype_get(p->dtype)->bytes;
	sparse_ref	ref;
	bool		predicted = pair_reference(p->is_tensor, p->dtype, p->is_tensor ? p->shared_bytes : p->base_bytes,
									   first, bytes, &ref);
	size_t		prediction_bytes = predicted ? (size_t) ref.count * element : 0;
	const uint8_t *delta;
	size_t		delta_bytes;
	sparse_status status;

	source_read(&e->models.child.file, p->first + first, e->content, (size_t) bytes);
	if (predicted)
		source_read(&e->models.base.file, p->base_first + ref.first * element, e->prediction, prediction_bytes);
	status = sparse_delta_encode(e->codec, e->content, (size_t) bytes, p->dtype, &ref, predicted,
								 e->prediction, prediction_bytes, &delta, &delta_bytes);
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", e->models.child.file.path, sparse_status_text(status));
	e->read_bytes += bytes;
	return LENGTH_BYTES + delta_bytes;
}

static void
code_throughout(estimator *e, const part *p)
{
	uint64_t	first;
	uint64_t	bytes;

	for (uint64_t seq = 0; sparse_grid_chunk(&p->grid, seq, &first, &bytes); seq++)
		e->estimate += (double) code(e, p, first, bytes);
}

/* ---- sampling ---- */

/* The next character of a name's kind, in which any number is a '#'; 0 at the end. */
static unsigned
next_of_kind(const char **name)
{
	if (!isdigit((unsigned char) **name))
		return **name ? (unsigned char) *(*name)++ : 0;
	while (isdigit((unsigned char) **name))
		(*name)++;
	return '#';
}

/* Compares names without regard to the numbers in them: those of layers and experts. */
static int
compare_kinds(const char *a, const char *b)
{
	unsigned	x;
	unsigned	y;

	do
	{
		x = next_of_kind(&a);
		y = next_of_kind(&b);
	} while (x == y && x != 0);
	return (x > y) - (x < y);
}

/* By kind, then by place. */
static int
compare_parts(const void *a, const void *b)
{
	const part *x = *(const part *const *) a;
	const part *y = *(const part *const *) b;
	int			order = compare_kinds(x->label, y->label);

	return order ? order : (x->first > y->first) - (x->first < y->first);
}

/* The fraction that the chunk around a byte of a part takes of its content. */
static double
sample(estimator *e, const part *p, uint64_t byte)
{
	uint64_t	first = 0;
	uint64_t	bytes = 1;

	sparse_grid_chunk(&p->grid, sparse_grid_seq(&p->grid, byte), &first, &bytes);
	return (double) code(e, p, first, bytes) / (double) bytes;
}

/*
 * Codes that many chunks of the parts of one kind, at even distances; each of them
 * stands for the same number of bytes. Codes all, when that is hardly more.
 */
static void
sample_kind(estimator *e, const part *const *parts, size_t count, uint64_t bytes, uint64_t chunks)
{
	double		step = (double) bytes / (double) chunks;
	double		next = step / 2;
	uint64_t	before = 0;

	for (size_t i = 0; i < count; i++)
	{
		const part *p = parts[i];

		if (step <= (double) SPARSE_CHUNK_TARGET)
			code_throughout(e, p);
		else
			for (; next < (double) (before + p->bytes); next += step)
				e->estimate += step * sample(e, p, (uint64_t) next - before);
		before += p->bytes;
	}
}

/* Gives each kind its share of the sample, one chunk at least. */
static void
sample_parts(estimator *e, const part **parts, size_t count, uint64_t total)
{
	uint64_t	chunks = e->sample_bytes / SPARSE_CHUNK_TARGET;
	size_t		kind;

	qsort(parts, count, sizeof *parts, compare_parts);
	for (size_t first = 0; first < count; first += kind)
	{
		uint64_t	bytes = 0;

		for (kind = 0; first + kind < count &&
			 compare_kinds(parts[first]->label, parts[first + kind]->label) == 0; kind++)
			bytes += parts[first + kind]->bytes;
		sample_kind(e, parts + first, kind, bytes, 1 + (bytes * chunks - 1) / total);
	}
}

/* Adds up what is known, what is small enough to be coded whole, and the samples. */
static void
estimate(estimator *e)
{
	const part **sampled = allocate(e->count * sizeof *sampled);
	size_t		count = 0;
	uint64_t	total = 0;

	e->estimate = DELTAFILE_HEAD + DELTAFILE_END;
	for (size_t i = 0; i < e->count; i++)
	{
		const part *p = &e->parts[i];

		e->estimate += (double) (DELTAFILE_PART + deltafile_label_bytes(p->label));
		if (p->same)
			e->estimate += (double) (SAME_BYTES * sparse_grid_chunks(&p->grid));
		else if (p->bytes > 0 && (p->is_tensor || e->count == 1))
		{
			sampled[count++] = p;
			total += p->bytes;
		}
		else
			code_throughout(e, p);
	}
	sample_parts(e, sampled, count, total);
	free(sampled);
}

/* ---- the answer ---- */

static double
share_of_child(const estimator *e, double bytes)
{
	double		whole = (double) e->models.child.file.bytes;

	return whole > 0 ? bytes / whole : 0;
}

static void
print_words(const estimator *e, double seconds)
{
	printf("tensors    %" PRIu32 " same, %" PRIu32 " predicted, %" PRIu32 " unpredicted\n"
		   "read       %" PRIu64 " of %" PRIu64 " bytes (%.4f)\n"
		   "estimated  %.0f bytes, %.4f of the child\n"
		   "time       %.3f s\n",
		   e->same, e->predicted, e->unpredicted,
		   e->read_bytes, e->models.child.file.bytes, share_of_child(e, (double) e->read_bytes),
		   e->estimate, share_of_child(e, e->estimate), seconds);
}

static void
print_json(const estimator *e, double seconds)
{
	printf("{\n  \"child_bytes\": %" PRIu64 ",\n"
		   "  \"tensors\": {\"same\": %" PRIu32 ", \"predicted\": %" PRIu32 ", \"unpredicted\": %" PRIu32 "},\n"
		   "  \"read_bytes\": %" PRIu64 ",\n  \"read_fraction\": %.4f,\n"
		   "  \"estimated_bytes\": %.0f,\n  \"fraction\": %.4f,\n  \"seconds\": %.3f\n}\n",
		   e->models.child.file.bytes, e->same, e->predicted, e->unpredicted,
		   e->read_bytes, share_of_child(e, (double) e->read_bytes),
		   e->estimate, share_of_child(e, e->estimate), seconds);
}

static void
create(estimator *e)
{
	e->codec = sparse_codec_create(NULL);
	if (e->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	e->content = allocate(SPARSE_CHUNK_TARGET);
	e->prediction = allocate(PAIR_MAX_PREDICTION);
}

static void
close_all(estimator *e)
{
	sparse_codec_free(e->codec);
	free(e->parts);
	free(e->content);
	free(e->prediction);
	pair_close(&e->models);
}

static void
run(estimator *e, bool json)
{
	double		started = now();

	create(e);
	list_parts(e);
	compare_tensors(e);
	estimate(e);
	/* What was compared and then coded was read twice, and is still no more than all of it. */
	if (e->read_bytes > e->models.child.file.bytes)
		e->read_bytes = e->models.child.file.bytes;
	if (json)
		print_json(e, now() - started);
	else
		print_words(e, now() - started);
	close_all(e);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Estimate what CHILD takes against BASE, from a sample.\n\n"
		   "Usage:\n"
		   "  pg_sparse estimate BASE CHILD [--sample MIB] [--json]\n"
		   "  pg_sparse estimate --no-base CHILD [--sample MIB] [--json]\n\n"
		   "Options:\n"
		   "      --sample MIB  how much of CHILD to compare and to code at most (%d)\n"
		   "      --no-base     there is no BASE; so does \"-\" in its place\n"
		   "      --json        as one JSON object\n"
		   "  -h, --help        this help\n", SAMPLE_MIB);
}

static uint64_t
parse_sample(const char *command, const char *text)
{
	char	   *end;
	long		mib = strtol(text, &end, 10);

	if (end == text || *end != '\0' || mib < 1 || mib > MAX_SAMPLE_MIB)
		fail_usage(command, "--sample takes a number of MiB from 1 to %d, not \"%s\"", MAX_SAMPLE_MIB, text);
	return (uint64_t) mib * MIB;
}

void
estimate_main(int argc, char **argv)
{
	static const struct option known[] = {
		{"sample", required_argument, NULL, 's'},
		{"no-base", no_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0}
	};
	estimator	e = {.sample_bytes = SAMPLE_MIB * MIB};
	bool		no_base = false;
	bool		json = false;
	int			letter;

	while ((letter = getopt_long(argc, argv, ":h", known, NULL)) != -1)
		switch (letter)
		{
			case 's':
				e.sample_bytes = parse_sample(argv[0], optarg);
				break;
			case 'n':
				no_base = true;
				break;
			case 'j':
				json = true;
				break;
			case 'h':
				print_help();
				return;
			case ':':
				fail_usage(argv[0], "\"%s\" needs a value", argv[optind - 1]);
			default:
				fail_usage(argv[0], "unknown option \"%s\"", argv[optind - 1]);
		}
	pair_open(&e.models, argc, argv, no_base);
	run(&e, json);
}
