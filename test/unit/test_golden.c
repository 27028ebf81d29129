/*
 * test_golden.c: the deltas of test/golden/, which every version reads as the one that wrote them did.
 *
 * By every set of instructions, against hashes that were taken when they were made; and a header
 * of which a bit is changed that may not be is refused.
 */
#include "../../src/core/codec/bytes.h"
#include "../../src/core/codec/delta.h"
#include "../../src/core/codec/family.h"
#include "../../src/core/codec/fraction.h"
#include "../lib/golden_deltas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* A file of a format's folder. */
typedef struct golden_file
{
	uint8_t    *bytes;
	size_t		length;
} golden_file;

static golden_file
read_golden(int format, const char *name)
{
	golden_file file = {NULL, 0};
	char		path[64];
	FILE	   *from;

	snprintf(path, sizeof path, "test/golden/%d/%s", format, name);
	from = fopen(path, "rb");
	if (from == NULL)
		return file;
	fseek(from, 0, SEEK_END);
	file.length = (size_t) ftell(from);
	rewind(from);
	file.bytes = calloc(1, file.length + 1);
	if (fread(file.bytes, 1, file.length, from) != file.length)
		file.length = 0;
	fclose(from);
	return file;
}

/* A line of deltas.txt. */
typedef struct golden_delta
{
	char		name[64];
	unsigned	predictor;
	unsigned	coding;
	unsigned	dtype;
	size_t		content_bytes;
	char		content_hash[33];
	size_t		at;
	size_t		bytes;
	char		hash[33];
	char		pieces[512];
} golden_delta;

static bool
read_line(const char *line, golden_delta *g)
{
	return sscanf(line, "%63s %u %u %u %zu %32s %zu %zu %32s %511s", g->name, &g->predictor, &g->coding, &g->dtype,
				  &g->content_bytes, g->content_hash, &g->at, &g->bytes, g->hash, g->pieces) == 10;
}

static bool
has_hash(const void *bytes, size_t length, const char *expected)
{
	XXH128_canonical_t canonical;
	char		hash[33];

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, length));
	for (unsigned i = 0; i < sizeof canonical.digest; i++)
		snprintf(hash + 2 * i, 3, "%02x", canonical.digest[i]);
	return strcmp(hash, expected) == 0;
}

/* The pieces of a prediction, joined. False where they lie outside the file. */
static bool
join_pieces(const golden_file *from, const char *pieces, golden_file *joined)
{
	joined->length = 0;
	joined->bytes = malloc(1 << 18);
	while (*pieces != '\0' && *pieces != '-')
	{
		char	   *end;
		const size_t first = strtoul(pieces, &end, 10);
		const size_t bytes = strtoul(end + 1, &end, 10);

		if (first + bytes > from->length || joined->length + bytes > 1 << 18)
			return false;
		memcpy(joined->bytes + joined->length, from->bytes + first, bytes);
		joined->length += bytes;
		pieces = *end == ',' ? end + 1 : end;
	}
	return true;
}

/* Applied by every set of instructions, in allocations of exactly its size. */
static bool
applies(const golden_delta *g, const uint8_t *delta, const golden_file *prediction)
{
	bool		good = true;

	for (int level = 0; level <= (int) sparse_simd_best(); level++)
	{
		sparse_codec *codec = sparse_codec_create(NULL);
		uint8_t    *content = malloc(g->content_bytes);

		sparse_codec_restrict(codec, (sparse_simd) level);
		good &= sparse_delta_apply(codec, delta, g->bytes, prediction->bytes, prediction->length, content, g->content_bytes) == SPARSE_OK
			&& has_hash(content, g->content_bytes, g->content_hash);
		free(content);
		sparse_codec_free(codec);
	}
	return good;
}

/* Bytes of the header that decide whether the rest is a delta: no predictor, coding, dtype, and no place. */
static bool
decides(size_t at, size_t head, unsigned refs)
{
	if (at < SPARSE_DELTA_HEADER)
		return at == 0 || (at >= 4 && at < 24) || (at >= 32 && at < 36);
	return at < head && at < SPARSE_DELTA_HEADER + (size_t) refs * SPARSE_DELTA_REF
		&& (at - SPARSE_DELTA_HEADER) % SPARSE_DELTA_REF >= 3 && (at - SPARSE_DELTA_HEADER) % SPARSE_DELTA_REF < 8;
}

/* Whether the delta is refused with any of those bits changed. */
static bool
guards_its_head(const golden_delta *g, const uint8_t *golden, const golden_file *prediction)
{
	const unsigned refs = (unsigned) golden[4] | (unsigned) golden[5] << 8;
	const size_t head = SPARSE_DELTA_HEADER + (size_t) refs * SPARSE_DELTA_REF;
	sparse_codec *codec = sparse_codec_create(NULL);
	uint8_t    *delta = malloc(g->bytes);
	uint8_t    *content = malloc(g->content_bytes);
	bool		good = true;

	memcpy(delta, golden, g->bytes);
	for (size_t bit = 0; bit < 8 * head; bit++)
	{
		if (!decides(bit / 8, head, refs))
			continue;
		delta[bit / 8] ^= (uint8_t) (1 << bit % 8);
		good &= sparse_delta_apply(codec, delta, g->bytes, prediction->bytes, prediction->length, content, g->content_bytes) != SPARSE_OK;
		delta[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	free(content);
	free(delta);
	sparse_codec_free(codec);
	return good;
}

/* What is found out about the deltas of a format. */
typedef struct findings
{
	unsigned	deltas;
	unsigned	altered;		/* not the bytes that were made */
	unsigned	misread;		/* of another predictor, coding or dtype */
	unsigned	wrong;			/* not the content that was */
	unsigned	unguarded;
	bool		seen[SPARSE_PREDICTORS][SPARSE_CODINGS][SPARSE_DTYPES];
} findings;

static void
check_delta(const golden_delta *g, const golden_file *deltas, const golden_file *predictions, findings *f)
{
	const uint8_t *delta = deltas->bytes + g->at;
	sparse_delta_info info;
	golden_file prediction;

	f->deltas++;
	if (g->at + g->bytes > deltas->length || !has_hash(delta, g->bytes, g->hash) || !join_pieces(predictions, g->pieces, &prediction))
	{
		f->altered++;
		printf("# %s was altered\n", g->name);
		return;
	}
	if (sparse_delta_read(delta, g->bytes, g->bytes, &info) != SPARSE_OK || info.predictor != g->predictor
		|| info.coding != g->coding || info.dtype != g->dtype || info.piece != 7 || info.whole != UINT64_C(0x1122334455667788))
	{
		f->misread++;
		printf("# %s is misread\n", g->name);
	}
	else
	{
		f->seen[g->predictor][g->coding][g->dtype] = true;
		if (!applies(g, delta, &prediction))
		{
			f->wrong++;
			printf("# %s comes out otherwise\n", g->name);
		}
		if (!guards_its_head(g, delta, &prediction))
		{
			f->unguarded++;
			printf("# %s is accepted with another head\n", g->name);
		}
	}
	free(prediction.bytes);
}

static bool
sees_everything(int format, const findings *f)
{
	bool		good = true;

	for (unsigned p = 0; p < SPARSE_PREDICTORS; p++)
		for (unsigned c = 0; c < SPARSE_CODINGS; c++)
			for (unsigned d = 0; d <= SPARSE_F64; d++)
				if (f->seen[p][c][d] != golden_occurs(format, p, c, (sparse_dtype) d))
				{
					good = false;
					printf("# predictor %u, coding %u, dtype %u\n", p, c, d);
				}
	return good;
}

static void
check_format(int format)
{
	golden_file list = read_golden(format, "deltas.txt");
	golden_file deltas = read_golden(format, "deltas.bin");
	golden_file predictions = read_golden(format, "predictions.bin");
	static findings f;
	golden_delta g;
	char	   *rest = (char *) list.bytes;
	bool		listed = list.length > 0;
	size_t		end = 0;

	memset(&f, 0, sizeof f);
	for (char *line; listed && (line = strtok_r(rest, "\n", &rest)) != NULL;)
	{
		listed = read_line(line, &g) && g.at == end;
		if (listed)
			check_delta(&g, &deltas, &predictions, &f);
		end = g.at + g.bytes;
	}
	printf("# format %d: %u deltas\n", format, f.deltas);
	ok(listed && f.deltas > 0 && end == deltas.length && f.altered == 0, "golden deltas are as they were made");
	ok(f.deltas > 0 && f.misread == 0, "... their heads say what they said");
	ok(f.deltas > 0 && f.wrong == 0, "... and what they hold comes out, by every set of instructions");
	ok(f.deltas > 0 && f.unguarded == 0, "... but not with any bit of the head changed");
	ok(sees_everything(format, &f), "every predictor, coding and dtype that go together are among them");
	free(list.bytes);
	free(deltas.bytes);
	free(predictions.bytes);
}

/* The golden deltas do not use every table of the family; of all of them, the frequencies. */
static bool
family_is(const char *expected)
{
	static uint16_t frequency[FAMILY_SHAPES][FAMILY_CONTEXTS][RANS_SYMBOLS];
	static tables t;

	for (unsigned shape = 0; shape < FAMILY_SHAPES; shape++)
	{
		family_load(shape, &t);
		for (unsigned c = 0; c < FAMILY_CONTEXTS; c++)
			memcpy(frequency[shape][c], t.frequency[c], sizeof frequency[shape][c]);
	}
	return has_hash(frequency, sizeof frequency, expected);
}

/* Nor all of those by fraction. */
static bool
fraction_is(const char *expected)
{
	static uint16_t frequency[FRACTION_TABLES][RANS_SYMBOLS];

	for (unsigned t = 0; t < FRACTION_TABLES; t++)
		fraction_frequencies(t, frequency[t]);
	return has_hash(frequency, sizeof frequency, expected);
}

/* A delta that says nothing, of any version. */
static sparse_status
read_version(uint8_t version)
{
	uint8_t		delta[SPARSE_DELTA_HEADER] = {version};
	sparse_delta_info info;

	store64(delta + 16, XXH3_64bits(NULL, 0));
	return sparse_delta_read(delta, sizeof delta, sizeof delta, &info);
}

int
main(void)
{
	bool		newer = true;

	for (int format = 1; format <= SPARSE_FORMAT; format++)
		check_format(format);
	ok(family_is("b7db81a7f432b5613709e420597a1564"), "the tables of the family are those of format 1");
	ok(fraction_is("9c6e08579c6b8ceb2a43ffcec8044602"), "the tables by fraction are those of format 2");
	ok(read_version(1) == SPARSE_OK, "nothing is a delta of format 1");
	for (uint8_t version = 2; version <= SPARSE_FORMAT; version++)
		ok(read_version(version) == SPARSE_CORRUPT, "... and of no higher one, which it does not need");
	ok(read_version(0) == SPARSE_GIVEN_UP, "format 0 is refused as such");
	for (int version = SPARSE_FORMAT + 1; version < 256; version++)
		newer &= read_version((uint8_t) version) == SPARSE_NEWER_VERSION;
	ok(newer, "and all others as newer ones");
	printf("1..%d\n", tests);
	return failures > 0;
}
