/*
 * bench.c: pg_sparse bench: sizes and speeds of sparse and its peers on a child.
 *
 * Both files are held in memory. Tensors that did not change cost no codec
 * anything; of all others every codec encodes and decodes the same runs of
 * elements, on one core, in turns, several times over: of each run the best time
 * counts. Every round trip is compared. The file's header is counted as it is.
 */
#include "client.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "peers.h"

#define ROUNDS 5
#define MAX_ROUNDS 1000
#define MAX_CODECS (SPARSE_LEVELS + PEERS)
#define SPARSE_LEVELS 8			/* more than there are instruction sets */
#define LENGTH_BYTES 4			/* before a delta, as in a delta file */

/* Of a codec. Best times are kept run by run: a neighbour on the machine disturbs one, not all. */
typedef struct result
{
	uint64_t	bytes;
	double	   *encode;			/* seconds for each run; 0: none yet */
	double	   *decode;
} result;

typedef struct bench
{
	pair		models;
	uint8_t    *child;			/* the whole files */
	uint8_t    *base;
	run		   *runs;
	size_t		count;
	size_t		content_bytes;	/* of all runs */
	size_t		largest;		/* of a run */
	uint8_t    *encoded;
	size_t		room;
	uint8_t    *decoded;
	bench_codec codec[MAX_CODECS];
	result		results[MAX_CODECS];
	int			codecs;
} bench;

/* ---- sparse ---- */

typedef struct sparse_state
{
	char		name[32];
	sparse_codec *codec;
} sparse_state;

static size_t
sparse_encode_chunk(sparse_state *s, const run *r, size_t first, size_t bytes, uint8_t *out, size_t room)
{
	unsigned	element = sparse_dtype_get(r->dtype)->bytes;
	sparse_ref	ref = {0, r->dtype, (r->first + first) / element, bytes / element};
	bool		predicted = r->prediction != NULL;
	const uint8_t *delta;
	size_t		delta_bytes;
	uint32_t	stored;
	sparse_status status;

	status = sparse_delta_encode(s->codec, r->content + first, bytes, r->dtype, &ref, predicted,
								 predicted ? r->prediction + first : NULL, predicted ? bytes : 0,
								 &delta, &delta_bytes);
	if (status != SPARSE_OK || delta_bytes + LENGTH_BYTES > room)
		fail(STATUS_FAILED, NULL, "%s could not encode: %s", s->name, sparse_status_text(status));
	stored = (uint32_t) delta_bytes;
	memcpy(out, &stored, LENGTH_BYTES);
	memcpy(out + LENGTH_BYTES, delta, delta_bytes);
	return LENGTH_BYTES + delta_bytes;
}

static size_t
sparse_encode_run(void *state, const run *r, uint8_t *out, size_t room)
{
	sparse_grid grid = {r->bytes, 0, r->chunk_bytes};
	size_t		written = 0;
	uint64_t	first;
	uint64_t	bytes;

	for (uint64_t seq = 0; sparse_grid_chunk(&grid, seq, &first, &bytes); seq++)
		written += sparse_encode_chunk(state, r, (size_t) first, (size_t) bytes, out + written, room - written);
	return written;
}

/* Whether the delta at `in` refers to its prediction, as its header says. */
static bool
has_references(const sparse_state *s, const uint8_t *in, size_t bytes)
{
	sparse_delta_info info;
	sparse_status status = sparse_delta_read(in, bytes, bytes, &info);

	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "%s cannot read its own delta: %s", s->name, sparse_status_text(status));
	return info.refs > 0;
}

static size_t
sparse_decode_run(void *state, const run *r, const uint8_t *in, size_t room, uint8_t *content)
{
	sparse_state *s = state;
	sparse_grid grid = {r->bytes, 0, r->chunk_bytes};
	size_t		used = 0;
	uint64_t	first;
	uint64_t	bytes;

	for (uint64_t seq = 0; sparse_grid_chunk(&grid, seq, &first, &bytes); seq++)
	{
		uint32_t	length;
		bool		predicted;
		sparse_status status;

		memcpy(&length, in + used, LENGTH_BYTES);
		used += LENGTH_BYTES;
		if (used > room || length > room - used)
			fail(STATUS_FAILED, NULL, "%s reads past its own bytes", s->name);
		predicted = has_references(s, in + used, length);
		status = sparse_delta_apply(s->codec, in + used, length,
									predicted ? r->prediction + first : NULL, predicted ? (size_t) bytes : 0,
									content + first, (size_t) bytes);
		if (status != SPARSE_OK)
			fail(STATUS_FAILED, NULL, "%s could not decode: %s", s->name, sparse_status_text(status));
		used += length;
	}
	return used;
}

static void
sparse_release(void *state)
{
	sparse_codec_free(((sparse_state *) state)->codec);
	free(state);
}

static bench_codec
sparse_at_level(sparse_simd level)
{
	sparse_state *s = allocate(sizeof *s);

	snprintf(s->name, sizeof s->name, "sparse-%s", sparse_simd_name(level));
	s->codec = sparse_codec_create(NULL);
	if (s->codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	sparse_codec_restrict(s->codec, level);
	return (bench_codec) {s->name, false, sparse_encode_run, sparse_decode_run, sparse_release, s};
}

/* ---- what is measured ---- */

static uint8_t *
read_all(const source *file)
{
	uint8_t    *bytes = allocate(file->bytes);

	source_read(file, 0, bytes, (size_t) file->bytes);
	return bytes;
}

static void
add_run(bench *b, const sparse_tensor *tensor, const uint8_t *content, const uint8_t *prediction,
		uint64_t first, uint64_t bytes, uint64_t chunk_bytes)
{
	if (bytes == 0)
		return;
	b->runs[b->count++] = (run) {
		.dtype = tensor->dtype,
		.content = content + first,
		.prediction = prediction ? prediction + first : NULL,
		.first = first,
		.bytes = (size_t) bytes,
		.chunk_bytes = (size_t) chunk_bytes
	};
	b->content_bytes += (size_t) bytes;
	if (bytes > b->largest)
		b->largest = (size_t) bytes;
}

/* A tensor is one run; one that has grown is two: what its parent predicts, and the rest. */
static void
add_tensor(bench *b, const sparse_tensor *tensor)
{
	uint64_t	shared;
	const sparse_tensor *parent = pair_parent(&b->models, tensor, &shared);
	const uint8_t *content = b->child + b->models.child.header.header_bytes + tensor->first;
	const uint8_t *prediction = parent ? b->base + b->models.base.header.header_bytes + parent->first : NULL;
	uint64_t	chunk_bytes = sparse_tensor_grid(tensor, shared, SPARSE_CHUNK_TARGET).chunk_bytes;

	if (parent && shared == tensor->bytes && parent->bytes == tensor->bytes &&
		memcmp(content, prediction, (size_t) shared) == 0)
		return;
	add_run(b, tensor, content, prediction, 0, shared, chunk_bytes);
	add_run(b, tensor, content, NULL, shared, tensor->bytes - shared, chunk_bytes);
}

static void
load(bench *b)
{
	if (b->models.child.kind == SPARSE_FILE_BYTES)
		fail(STATUS_FAILED, "bench compares codecs on the tensors of a model.",
			 "\"%s\" is no safetensors, GGUF or PyTorch file", b->models.child.file.path);
	b->child = read_all(&b->models.child.file);
	if (b->models.has_base)
		b->base = read_all(&b->models.base.file);
	b->runs = allocate(2 * (unsigned long) b->models.child.header.tensors * sizeof *b->runs);
	for (uint32_t i = 0; i < b->models.child.header.tensors; i++)
		add_tensor(b, &b->models.child.header.tensor[i]);
}

/* Makes the buffers, and the pages behind them. */
static void
make_room(bench *b)
{
	b->room = b->content_bytes + b->content_bytes / 64 + 1024 * b->count + 1024;
	b->encoded = allocate(b->room);
	b->decoded = allocate(b->content_bytes);
	memset(b->encoded, 0, b->room);
	memset(b->decoded, 0, b->content_bytes);
}

static void
make_codecs(bench *b)
{
	bench_codec peer[PEERS];

	for (int level = 0; level <= (int) sparse_simd_best() && level < SPARSE_LEVELS; level++)
		b->codec[b->codecs++] = sparse_at_level((sparse_simd) level);
	peers_create(peer, b->largest);
	for (int i = 0; i < PEERS; i++)
		if (peer[i].needs_parent && !b->models.has_base)
			peer[i].release(peer[i].state);
		else
			b->codec[b->codecs++] = peer[i];
}

static double *
allocate_times(size_t count)
{
	double	   *times = allocate(count * sizeof *times);

	for (size_t i = 0; i < count; i++)
		times[i] = 0;
	return times;
}

static void
make_results(bench *b)
{
	for (int i = 0; i < b->codecs; i++)
	{
		b->results[i].encode = allocate_times(b->count);
		b->results[i].decode = allocate_times(b->count);
	}
}

/* ---- measuring ---- */

static void
keep_best(double *best, double seconds)
{
	if (*best == 0 || seconds < *best)
		*best = seconds;
}

static void
check_round_trip(const bench *b, const bench_codec *codec)
{
	size_t		first = 0;

	for (size_t i = 0; i < b->count; i++)
	{
		if (memcmp(b->decoded + first, b->runs[i].content, b->runs[i].bytes) != 0)
			fail(STATUS_FAILED, NULL, "%s does not give \"%s\" back", codec->name, b->models.child.file.path);
		first += b->runs[i].bytes;
	}
}

/* Encodes all runs; returns the bytes written. */
static size_t
measure_encoding(bench *b, const bench_codec *codec, double *best)
{
	size_t		written = 0;

	for (size_t i = 0; i < b->count; i++)
	{
		double		started = now();

		written += codec->encode(codec->state, &b->runs[i], b->encoded + written, b->room - written);
		keep_best(&best[i], now() - started);
	}
	return written;
}

static void
measure_decoding(bench *b, const bench_codec *codec, size_t written, double *best)
{
	size_t		used = 0;
	size_t		first = 0;

	memset(b->decoded, 0xA5, b->content_bytes); /* not what the codec before left there */
	for (size_t i = 0; i < b->count; i++)
	{
		double		started = now();

		used += codec->decode(codec->state, &b->runs[i], b->encoded + used, written - used, b->decoded + first);
		keep_best(&best[i], now() - started);
		first += b->runs[i].bytes;
	}
	if (used != written)
		fail(STATUS_FAILED, NULL, "%s leaves %zu bytes unread", codec->name, written - used);
	check_round_trip(b, codec);
}

static void
measure(bench *b, int index)
{
	result	   *r = &b->results[index];
	size_t		written = measure_encoding(b, &b->codec[index], r->encode);

	measure_decoding(b, &b->codec[index], written, r->decode);
	r->bytes = b->models.child.header.header_bytes + written;
}

/* Of a codec over all runs, given its best times. */
static double
megabytes_per_second(const bench *b, const double *best)
{
	double		seconds = 0;

	for (size_t i = 0; i < b->count; i++)
		seconds += best[i];
	return seconds > 0 ? (double) b->content_bytes / 1e6 / seconds : 0;
}

static void
print_results(const bench *b)
{
	printf("name\tbytes\tfraction\tencode MB/s\tdecode MB/s\n");
	for (int i = 0; i < b->codecs; i++)
	{
		const result *r = &b->results[i];

		printf("%s\t%llu\t%.4f\t%.1f\t%.1f\n", b->codec[i].name, (unsigned long long) r->bytes,
			   (double) r->bytes / (double) b->models.child.file.bytes,
			   megabytes_per_second(b, r->encode),
			   megabytes_per_second(b, r->decode));
	}
}

static void
close_all(bench *b)
{
	for (int i = 0; i < b->codecs; i++)
	{
		b->codec[i].release(b->codec[i].state);
		free(b->results[i].encode);
		free(b->results[i].decode);
	}
	free(b->runs);
	free(b->encoded);
	free(b->decoded);
	free(b->child);
	free(b->base);
	pair_close(&b->models);
}

static void
run_rounds(bench *b, long rounds, bool quiet)
{
	progress	bar;

	load(b);
	make_room(b);
	make_codecs(b);
	make_results(b);
	progress_begin(&bar, "measuring", (uint64_t) rounds * (uint64_t) b->codecs * b->content_bytes, quiet);
	for (long round = 0; round < rounds; round++)
		for (int i = 0; i < b->codecs; i++)
		{
			measure(b, i);
			progress_add(&bar, b->content_bytes);
		}
	progress_end(&bar);
}

/* ---- the command line ---- */

static void
print_help(void)
{
	printf("Measure sizes and speeds of sparse and of other codecs on CHILD.\n\n"
		   "Usage:\n"
		   "  pg_sparse bench BASE CHILD [--rounds N]\n"
		   "  pg_sparse bench --no-base CHILD [--rounds N]\n\n"
		   "Prints a line for each codec, separated by tabs: its name, the bytes that it makes\n"
		   "of CHILD, their fraction of it, and MB of content encoded and decoded in a second\n"
		   "(10^6 bytes, one core, the best time of each tensor). Tensors that BASE has as well cost nothing.\n"
		   "Needs memory for four times CHILD.\n\n"
		   "Options:\n"
		   "      --rounds N  how often to measure (%d)\n"
		   "      --no-base   there is no BASE; so does \"-\" in its place\n"
		   "  -q, --quiet     no progress bar\n"
		   "  -h, --help      this help\n", ROUNDS);
}

static long
parse_rounds(const char *command, const char *text)
{
	char	   *end;
	long		rounds = strtol(text, &end, 10);

	if (end == text || *end != '\0' || rounds < 1 || rounds > MAX_ROUNDS)
		fail_usage(command, "--rounds takes a number from 1 to %d, not \"%s\"", MAX_ROUNDS, text);
	return rounds;
}

void
bench_main(int argc, char **argv)
{
	static const struct option known[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"no-base", no_argument, NULL, 'n'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0}
	};
	bench		b = {0};
	bool		no_base = false;
	bool		quiet = false;
	long		rounds = ROUNDS;
	int			letter;

	while ((letter = getopt_long(argc, argv, ":qh", known, NULL)) != -1)
		switch (letter)
		{
			case 'r':
				rounds = parse_rounds(argv[0], optarg);
				break;
			case 'n':
				no_base = true;
				break;
			case 'q':
				quiet = true;
				break;
			case 'h':
				print_help();
				return;
			case ':':
				fail_usage(argv[0], "\"%s\" needs a value", argv[optind - 1]);
			default:
				fail_usage(argv[0], "unknown option \"%s\"", argv[optind - 1]);
		}
	pair_open(&b.models, argc, argv, no_base);
	run_rounds(&b, rounds, quiet);
	print_results(&b);
	close_all(&b);
}
