/*
 * estimate.c: pg_sparse estimate: what a child will take, from a sample of it.
 *
 * Of each tensor with a parent, some blocks are compared: it counts as the same
 * if none differs. Of the others, chunks at even distances are coded as compress
 * would, by the prediction that compress would choose. Each kind of tensor (all that are called the same but for a number) gets
 * its share of the sample, since kinds change by different amounts. Records of the delta file are known
 * but for some bytes; a child that is no larger than the sample is coded throughout, and the
 * estimate is then the size, but for those. (Choosing reads more: of what a low rank or a threshold promises to
 * explain, the tensor.)
 */
#include "client.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/match.h"
#include "kin.h"
#include "recipes/estimate.h"

#define SAMPLE_MIB 16
#define MAX_SAMPLE_MIB 1024
#define MIB ((uint64_t) 1 << 20)

#define BLOCK ((uint64_t) 4 << 10)		/* of a tensor that is compared */
#define LEAST_BLOCKS 8
#define LENGTH_BYTES 3			/* before a delta */
#define SMALL_NUMBERS 10		/* bytes of a part's record */
#define FACTOR_BYTES 9			/* of a factor's record */
#define SAME_BYTES (1 + SPARSE_DELTA_HEADER + SPARSE_DELTA_REF) /* of a chunk that did not change */

/* A tensor, a header, or a whole file without tensors. */
typedef struct part
{
	uint32_t	number;			/* of the child (kin.h); above 0: a tensor */
	bool		same;			/* as its parent, as far as was compared */
	uint64_t	first;			/* byte of the child */
	uint64_t	bytes;
	const model *parent;		/* the first that has the tensor, as it is or with other rows; NULL: none */
	const sparse_tensor *of_parent;
	const char *label;
	sparse_grid grid;
} part;

typedef struct estimator
{
	model		child;
	model		parent[DELTAFILE_MAX_BASES];
	const model *of_parent[DELTAFILE_MAX_BASES];
	int			parents;
	uint64_t	sample_bytes;	/* at most, to compare and again to code */
	sparse_codec *codec;
	kin_files	kin;
	kin_part   *at_hand;
	part	   *parts;
	size_t		count;
	uint8_t    *content;		/* of a block, and its like in a parent */
	uint8_t    *other;
	uint64_t	read_bytes;		/* of the child */
	double		estimate;		/* bytes of the delta file */
	uint32_t	same;			/* tensors */
	uint32_t	predicted;
	uint32_t	unpredicted;
} estimator;

/* ---- the parts ---- */

/* What predicts a tensor as it is, and how many leading bytes of both. */
static void
find_parent(estimator *e, const sparse_tensor *tensor, part *p)
{
	uint64_t	shared = 0;

	for (int i = 0; i < e->parents && shared == 0; i++)
	{
		p->of_parent = model_find(&e->parent[i], tensor->name);
		p->parent = &e->parent[i];
		shared = p->of_parent ? sparse_tensor_shared_bytes(tensor, p->of_parent) : 0;
	}
	if (shared == 0)
		p->of_parent = NULL;
	p->grid = sparse_tensor_grid(tensor, shared, SPARSE_CHUNK_TARGET);
}

static void
add_tensor(estimator *e, uint32_t number)
{
	const sparse_tensor *tensor = &e->child.header.tensor[number - 1];
	part	   *p = &e->parts[e->count++];

	*p = (part) {
		.number = number, .first = e->child.header.header_bytes + tensor->first, .bytes = tensor->bytes, .label = tensor->name
	};
	find_parent(e, tensor, p);
}

/* The parts that compress would write, in its order. */
static void
list_parts(estimator *e)
{
	const uint32_t parts = kin_parts(&e->child);
	const uint64_t bytes = e->child.kind != SPARSE_FILE_BYTES ? e->child.header.header_bytes : e->child.file.bytes;

	e->parts = allocate(parts * sizeof *e->parts);
	e->parts[e->count++] = (part) {.bytes = bytes, .label = "header", .grid = {bytes, 0, SPARSE_CHUNK_TARGET}};
	for (int last = 0; last <= 1; last++)
		for (uint32_t i = 1; i <= e->child.header.tensors; i++)
			if (kin_wants_siblings(&e->kin, i) == (last == 1))
				add_tensor(e, i);
	for (uint32_t i = 0; i < e->child.header.gaps; i++)
	{
		const sparse_span *gap = &e->child.header.gap[i];

		e->parts[e->count++] = (part) {
			.number = 1 + e->child.header.tensors + i, .first = gap->first, .bytes = gap->bytes, .label = "padding",
			.grid = {gap->bytes, 0, SPARSE_CHUNK_TARGET}
		};
	}
}

/* ---- comparing ---- */

static bool
is_equal(estimator *e, const part *p, uint64_t first, uint64_t bytes)
{
	source_read(&e->child.file, p->first + first, e->content, (size_t) bytes);
	source_read(&p->parent->file, p->parent->header.header_bytes + p->of_parent->first + first, e->other, (size_t) bytes);
	e->read_bytes += bytes;
	return memcmp(e->content, e->other, (size_t) bytes) == 0;
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
	double		share = (double) p->bytes / (double) e->child.file.bytes;
	uint64_t	blocks = (uint64_t) (share * (double) e->sample_bytes) / BLOCK;

	if (p->of_parent == NULL || p->of_parent->bytes != p->bytes)
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

		if (p->number == 0)
			continue;
		p->same = seems_same(e, p);
		if (p->same)
			e->same++;
		else if (p->of_parent != NULL)
			e->predicted++;
		else
			e->unpredicted++;
	}
}

/* ---- coding ---- */

static void
turn_to(void *state, uint64_t number, sparse_subject *subject, sparse_proposals *proposals)
{
	estimator  *e = state;

	kin_turn_to(&e->kin, e->parts[number].number, e->at_hand);
	*subject = e->at_hand->subject;
	proposals->candidates = e->at_hand->proposals.candidates;
	memcpy(proposals->candidate, e->at_hand->proposals.candidate, sizeof proposals->candidate);
}

static size_t
number_bytes(uint64_t number)
{
	size_t		bytes = 1;

	for (; number >= 0x80; number >>= 7)
		bytes++;
	return bytes;
}

/* Of a part's record: its name but for what it shares with the one before, and numbers, which are small but for one. */
static size_t
record_bytes(const char *before, const part *p)
{
	size_t		shared = 0;

	while (p->label[shared] != '\0' && p->label[shared] == before[shared])
		shared++;
	return strlen(p->label + shared) + number_bytes(p->bytes) + SMALL_NUMBERS +
		(p->bytes > p->grid.chunk_bytes ? number_bytes(p->grid.chunk_bytes) : 1);
}

/* Adds up what is known, and what the core finds of the others. */
static void
estimate(estimator *e)
{
	sparse_estimate_part *known = allocate(e->count * sizeof *known);
	sparse_environment environment = {0};
	sparse_estimate_shell shell = {&environment, &e->kin.source, e->codec, e->kin.index, turn_to, e};
	sparse_estimated found;
	sparse_status status;

	e->estimate = DELTAFILE_HEAD(e->parents) + DELTAFILE_END;
	for (size_t i = 0; i < e->count; i++)
	{
		const part *p = &e->parts[i];

		known[i] = (sparse_estimate_part) {p->label, p->bytes, p->same};
		e->estimate += record_bytes(i == 0 ? "" : p[-1].label, p);
		if (p->same)
			e->estimate += (double) (SAME_BYTES * sparse_grid_chunks(&p->grid));
	}
	status = sparse_estimate(&shell, known, e->count, e->sample_bytes, &found);
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", e->child.file.path, sparse_status_text(status));
	e->estimate += found.bytes + LENGTH_BYTES * found.chunks + FACTOR_BYTES * found.factors;
	e->read_bytes += found.coded;
	free(known);
}

/* ---- the answer ---- */

static double
share_of_child(const estimator *e, double bytes)
{
	double		whole = (double) e->child.file.bytes;

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
		   e->read_bytes, e->child.file.bytes, share_of_child(e, (double) e->read_bytes),
		   e->estimate, share_of_child(e, e->estimate), seconds);
}

static void
print_json(const estimator *e, double seconds)
{
	printf("{\n  \"child_bytes\": %" PRIu64 ",\n"
		   "  \"tensors\": {\"same\": %" PRIu32 ", \"predicted\": %" PRIu32 ", \"unpredicted\": %" PRIu32 "},\n"
		   "  \"read_bytes\": %" PRIu64 ",\n  \"read_fraction\": %.4f,\n"
		   "  \"estimated_bytes\": %.0f,\n  \"fraction\": %.4f,\n  \"seconds\": %.3f\n}\n",
		   e->child.file.bytes, e->same, e->predicted, e->unpredicted,
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
	e->other = allocate(SPARSE_CHUNK_TARGET);
	e->at_hand = allocate(sizeof *e->at_hand);
	for (int i = 0; i < e->parents; i++)
		e->of_parent[i] = &e->parent[i];
	kin_open(&e->kin, &e->child, e->of_parent, e->parents, e->codec);
}

static void
close_all(estimator *e)
{
	kin_close(&e->kin);
	sparse_codec_free(e->codec);
	free(e->at_hand);
	free(e->parts);
	free(e->content);
	free(e->other);
	model_close(&e->child);
	for (int i = 0; i < e->parents; i++)
		model_close(&e->parent[i]);
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
	if (e->read_bytes > e->child.file.bytes)
		e->read_bytes = e->child.file.bytes;
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
		   "  pg_sparse estimate BASE CHILD [--parent FILE ...] [--sample MIB] [--json]\n"
		   "  pg_sparse estimate --no-base CHILD [--sample MIB] [--json]\n\n"
		   "Options:\n"
		   "      --sample MIB  how much of CHILD to compare and to code at most (%d)\n"
		   "      --parent FILE another file that CHILD may be predicted from\n"
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

static void
open_models(estimator *e, int argc, char **argv, bool no_base, const char *const *parent, int parents)
{
	if (argc - optind != (no_base ? 1 : 2))
		fail_usage(argv[0], "expected %sCHILD, got %d arguments", no_base ? "" : "BASE and ", argc - optind);
	if (!no_base && strcmp(argv[optind], "-") != 0)
		model_open(&e->parent[e->parents++], argv[optind]);
	if (e->parents + parents > DELTAFILE_MAX_BASES)
		fail_usage(argv[0], "more than %d parents", DELTAFILE_MAX_BASES);
	for (int i = 0; i < parents; i++)
		model_open(&e->parent[e->parents++], parent[i]);
	model_open(&e->child, argv[argc - 1]);
}

void
estimate_main(int argc, char **argv)
{
	static const struct option known[] = {
		{"sample", required_argument, NULL, 's'},
		{"parent", required_argument, NULL, 'p'},
		{"no-base", no_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0}
	};
	estimator	e = {.sample_bytes = SAMPLE_MIB * MIB};
	const char *parent[DELTAFILE_MAX_BASES];
	int			parents = 0;
	bool		no_base = false;
	bool		json = false;
	int			letter;

	while ((letter = getopt_long(argc, argv, ":h", known, NULL)) != -1)
		switch (letter)
		{
			case 's':
				e.sample_bytes = parse_sample(argv[0], optarg);
				break;
			case 'p':
				if (parents == DELTAFILE_MAX_BASES)
					fail_usage(argv[0], "more than %d parents", DELTAFILE_MAX_BASES);
				parent[parents++] = optarg;
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
	open_models(&e, argc, argv, no_base, parent, parents);
	run(&e, json);
}
