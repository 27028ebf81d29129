/*
 * info.c: pg_sparse info: what a delta file holds, without its base.
 *
 * The whole file is read and its checksum verified before anything is printed; the
 * deltas' headers are enough to say how each chunk was predicted and coded. Where a
 * line for each part is wanted, the file is read once more for them.
 */
#include "client.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "plan/format.h"
#include "table.h"

typedef struct tally
{
	uint64_t	chunks;
	uint64_t	content_bytes;
	uint64_t	delta_bytes;
} tally;

typedef struct summary
{
	const char *path;
	bool		json;
	bool		tensors;		/* a line each */
	bool		printing;		/* the file is known to be sound */
	input		delta;
	tally		all;
	tally		mix[SPARSE_PREDICTORS][SPARSE_CODINGS];
	uint64_t	parts;
	tally		part;			/* the part at hand */
	deltafile_part_kind kind;
	uint64_t	base_bytes;		/* of what it is predicted from */
	char	   *label;
} summary;

static void
count(tally *t, const deltafile_chunk *chunk)
{
	t->chunks++;
	t->content_bytes += chunk->bytes;
	t->delta_bytes += chunk->delta_bytes;
}

static double
fraction(uint64_t part, uint64_t whole)
{
	return whole ? (double) part / (double) whole : 0;
}

/* ---- JSON ---- */

static void
print_json_tally(const tally *t)
{
	printf("\"chunks\": %" PRIu64 ", \"content_bytes\": %" PRIu64 ", \"delta_bytes\": %" PRIu64,
		   t->chunks, t->content_bytes, t->delta_bytes);
}

static void
print_json_head(const deltafile_head *head)
{
	char		digest[2 * SHA256_BYTES + 1];

	printf("{\n  \"format\": %d,\n  \"kind\": \"%s\",\n  \"child_bytes\": %" PRIu64 ",\n",
		   head->version, sparse_file_kind_name((sparse_file_kind) head->kind), head->child_bytes);
	if (head->bases > 0)
	{
		sha256_text(head->base[0].sha256, digest);
		printf("  \"base_bytes\": %" PRIu64 ",\n  \"base_sha256\": \"%s\",\n", head->base[0].bytes, digest);
	}
	else
		printf("  \"base_bytes\": null,\n  \"base_sha256\": null,\n");
	printf("  \"parents\": [");
	for (unsigned i = 1; i < head->bases; i++)
	{
		sha256_text(head->base[i].sha256, digest);
		printf("%s{\"bytes\": %" PRIu64 ", \"sha256\": \"%s\"}", i > 1 ? ", " : "", head->base[i].bytes, digest);
	}
	printf("],\n");
	printf("  \"parts\": [");
}

static void
print_json_part(const summary *s)
{
	printf("%s\n    {\"label\": ", s->parts > 1 ? "," : "");
	json_string(stdout, s->label);
	printf(", \"tensor\": %s, \"factor\": %s, \"base_bytes\": %" PRIu64 ", ",
		   s->kind == DELTAFILE_PART_TENSOR ? "true" : "false", s->kind == DELTAFILE_PART_FACTOR ? "true" : "false", s->base_bytes);
	print_json_tally(&s->part);
	putchar('}');
}

static void
print_json_end(const summary *s, const char *child_sha256)
{
	const char *separator = "";

	printf("\n  ],\n  \"mix\": [");
	for (int p = 0; p < SPARSE_PREDICTORS; p++)
		for (int c = 0; c < SPARSE_CODINGS; c++)
			if (s->mix[p][c].chunks > 0)
			{
				printf("%s\n    {\"predictor\": \"%s\", \"coding\": \"%s\", ", separator,
					   sparse_predictor_name((sparse_predictor) p), sparse_coding_name((sparse_coding) c));
				print_json_tally(&s->mix[p][c]);
				putchar('}');
				separator = ",";
			}
	printf("\n  ],\n  \"chunks\": %" PRIu64 ",\n  \"child_sha256\": \"%s\",\n  \"file_bytes\": %" PRIu64
		   ",\n  \"fraction\": %.4f\n}\n", s->all.chunks, child_sha256, s->delta.file.bytes,
		   fraction(s->delta.file.bytes, deltafile_get_head(s->delta.reader)->child_bytes));
}

/* ---- words ---- */

static void
print_head(const summary *s, const deltafile_head *head)
{
	char		digest[2 * SHA256_BYTES + 1];

	printf("delta file  %s, format %d\n", s->path, head->version);
	if (head->bases == 0)
		printf("base        none\n");
	for (unsigned i = 0; i < head->bases; i++)
	{
		sha256_text(head->base[i].sha256, digest);
		printf("%s %" PRIu64 " bytes, sha256 %s\n", i == 0 ? "base       " : "parent     ", head->base[i].bytes, digest);
	}
	if (s->tensors)
		printf("\n%14s %14s %9s  %s\n", "content", "stored", "fraction", "part");
}

static void
print_part(const summary *s)
{
	char		shown[SPARSE_SHOWN];

	printf("%14" PRIu64 " %14" PRIu64 " %9.4f  %s\n", s->part.content_bytes, s->part.delta_bytes,
		   fraction(s->part.delta_bytes, s->part.content_bytes),
		   sparse_show_name(shown, s->label, strlen(s->label)));
}

static void
print_mix(const summary *s)
{
	printf("\n%-9s %-9s %8s %14s %14s %9s\n", "predictor", "coding", "chunks", "content", "stored", "fraction");
	for (int p = 0; p < SPARSE_PREDICTORS; p++)
		for (int c = 0; c < SPARSE_CODINGS; c++)
		{
			const tally *t = &s->mix[p][c];

			if (t->chunks > 0)
				printf("%-9s %-9s %8" PRIu64 " %14" PRIu64 " %14" PRIu64 " %9.4f\n",
					   sparse_predictor_name((sparse_predictor) p), sparse_coding_name((sparse_coding) c),
					   t->chunks, t->content_bytes, t->delta_bytes, fraction(t->delta_bytes, t->content_bytes));
		}
}

static void
print_end(const summary *s, const deltafile_head *head, const char *child_sha256)
{
	if (s->tensors)
		putchar('\n');
	printf("child       %" PRIu64 " bytes, %s, sha256 %s\n", head->child_bytes,
		   sparse_file_kind_name((sparse_file_kind) head->kind), child_sha256);
	printf("stored      %" PRIu64 " bytes, %.4f of the child, in %" PRIu64 " parts and %" PRIu64 " chunks\n",
		   s->delta.file.bytes, fraction(s->delta.file.bytes, head->child_bytes), s->parts, s->all.chunks);
	print_mix(s);
}

/* ---- the whole ---- */

/* Shows the part at hand, if there is one. */
static void
finish_part(summary *s)
{
	if (s->parts == 0)
		return;
	if (s->printing && s->json)
		print_json_part(s);
	else if (s->printing)
		print_part(s);
	free(s->label);
}

static void
begin_part(summary *s)
{
	const deltafile_part *part = deltafile_get_part(s->delta.reader);

	finish_part(s);
	s->parts++;
	s->part = (tally) {0};
	s->kind = part->kind;
	s->base_bytes = 0;
	for (unsigned i = 0; i < part->sources; i++)
		s->base_bytes += part->source[i].bytes;
	s->label = format_text("%s", part->kind == DELTAFILE_PART_FACTOR ? "(factor)" : part->label);
}

static void
count_chunk(summary *s)
{
	const deltafile_chunk *chunk = deltafile_get_chunk(s->delta.reader);

	count(&s->all, chunk);
	count(&s->part, chunk);
	count(&s->mix[chunk->info.predictor][chunk->info.coding], chunk);
}

static void
read_parts(summary *s)
{
	deltafile_next next;

	while ((next = input_next(&s->delta)) != DELTAFILE_IS_END)
		if (next == DELTAFILE_IS_PART)
			begin_part(s);
		else
			count_chunk(s);
	finish_part(s);
}

/* Prints a line for each part, counting them anew. */
static void
print_parts(summary *s)
{
	s->printing = true;
	s->parts = 0;
	s->all = (tally) {0};
	memset(s->mix, 0, sizeof s->mix);
	input_rewind(&s->delta);
	read_parts(s);
}

static void
run(summary *s)
{
	char		child_sha256[2 * SHA256_BYTES + 1];

	input_open(&s->delta, s->path);
	read_parts(s);
	if (s->json)
		print_json_head(deltafile_get_head(s->delta.reader));
	else
		print_head(s, deltafile_get_head(s->delta.reader));
	if (s->json || s->tensors)
		print_parts(s);
	sha256_text(deltafile_get_end(s->delta.reader)->child_sha256, child_sha256);
	if (s->json)
		print_json_end(s, child_sha256);
	else
		print_end(s, deltafile_get_head(s->delta.reader), child_sha256);
	input_close(&s->delta);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Say what a delta file holds, and check that it is whole.\n\n"
		   "Usage:\n"
		   "  pg_sparse info DELTA [--tensors | --json]\n\n"
		   "Options:\n"
		   "      --tensors  a line for each tensor\n"
		   "      --json     everything, as one JSON object\n"
		   "  -h, --help     this help\n");
}

void
info_main(int argc, char **argv)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'j'},
		{"tensors", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{0}
	};
	summary		s = {0};
	int			letter;

	while ((letter = getopt_long(argc, argv, ":h", known, NULL)) != -1)
		switch (letter)
		{
			case 'j':
				s.json = true;
				break;
			case 't':
				s.tensors = true;
				break;
			case 'h':
				print_help();
				return;
			default:
				fail_usage(argv[0], "unknown option \"%s\"", argv[optind - 1]);
		}
	if (argc - optind != 1)
		fail_usage(argv[0], "expected DELTA, got %d arguments", argc - optind);
	s.path = argv[optind];
	run(&s);
}
