/*
 * fuzz_deltafile.c: any delta file at all, read and rebuilt as pg_sparse
 * reconstruct does, against bases of pseudo-random bytes. Checksums would keep a
 * fuzzer at the door, so the sums of head and end are put right first.
 *
 * What is accepted must keep the promises of docs/delta-file.md: chunks side by
 * side, references within their parent, sizes within their bounds.
 */
#include "client/deltafile.c"

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)
#define BASE_BYTES 8192

typedef struct input
{
	const uint8_t *at;
	size_t		left;
} input;

static uint8_t base[BASE_BYTES];
static uint8_t *prediction;
static uint8_t *content;
static sparse_codec *codec;

static void
prepare(void)
{
	uint64_t	state = 1;

	for (size_t i = 0; i < BASE_BYTES; i++)
	{
		state = state * 6364136223846793005u + 1442695040888963407u;
		base[i] = (uint8_t) (state >> 56);
	}
	prediction = malloc(SPARSE_MAX_PREDICTION);
	content = malloc(DELTAFILE_MAX_CHUNK);
	codec = sparse_codec_create(NULL);
}

static size_t
get_input(void *state, void *bytes, size_t length)
{
	input	   *in = state;

	if (length > in->left)
		length = in->left;
	if (length > 0)
		memcpy(bytes, in->at, length);
	in->at += length;
	in->left -= length;
	return length;
}

/* Makes the head's sum right, and the end's if the file is one record of it. */
static void
mend_sums(uint8_t *file, size_t size)
{
	size_t		head = size > 9 ? DELTAFILE_HEAD(file[7] == 1 ? 1 : file[9]) : SIZE_MAX;

	if (size >= head)
		store64(file + head - 8, XXH3_64bits(file, head - 8));
	if (size >= head && size - head >= DELTAFILE_END)
		store64(file + size - 8, XXH3_64bits(file, size - 8));
}

/* Rebuilds a chunk if its references fall into bases, as far as those are there. */
static void
rebuild(const deltafile_head *head, const deltafile_part *part, const deltafile_chunk *chunk)
{
	size_t		bytes = 0;

	REQUIRE(chunk->bytes <= DELTAFILE_MAX_CHUNK);
	REQUIRE(part->kind == DELTAFILE_PART_FACTOR || part->place + chunk->first + chunk->bytes <= head->child_bytes);
	for (unsigned i = 0; i < chunk->info.refs; i++)
	{
		const sparse_ref *ref = &chunk->info.ref[i];
		const deltafile_source *source = &part->source[ref->parent];
		unsigned	element = sparse_dtype_get(ref->dtype)->bytes;

		REQUIRE(ref->parent < part->sources);
		REQUIRE((ref->first + ref->count) * element <= source->bytes);
		if (source->number >= head->bases || source->first + (ref->first + ref->count) * element > BASE_BYTES)
			return;
		REQUIRE(source->first + source->bytes <= head->base[source->number].bytes);
		memcpy(prediction + bytes, base + source->first + ref->first * element, ref->count * element);
		bytes += ref->count * element;
		REQUIRE(bytes <= SPARSE_MAX_PREDICTION);
	}
	sparse_delta_apply(codec, chunk->delta, chunk->delta_bytes, prediction, bytes, content, (size_t) chunk->bytes);
}

static void
read_file(deltafile_reader *reader)
{
	uint64_t	total = 0;
	uint64_t	at = 0;
	deltafile_next next;

	while ((next = deltafile_read_next(reader)) == DELTAFILE_IS_PART || next == DELTAFILE_IS_CHUNK)
	{
		if (next == DELTAFILE_IS_PART)
		{
			at = 0;
			continue;
		}
		REQUIRE(deltafile_get_chunk(reader)->first == at);
		at += deltafile_get_chunk(reader)->bytes;
		if (deltafile_get_part(reader)->kind != DELTAFILE_PART_FACTOR)
			total += deltafile_get_chunk(reader)->bytes;
		rebuild(deltafile_get_head(reader), deltafile_get_part(reader), deltafile_get_chunk(reader));
	}
	if (next == DELTAFILE_IS_END)
		REQUIRE(total == deltafile_get_head(reader)->child_bytes);
	else
		REQUIRE(deltafile_error(reader) != NULL && deltafile_read_next(reader) == DELTAFILE_FAILED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t    *file = malloc(size + 1);
	input		in = {file, size};
	deltafile_reader *reader;

	if (codec == NULL)
		prepare();
	if (size > 0)
		memcpy(file, bytes, size);
	mend_sums(file, size);
	reader = deltafile_open(get_input, &in);
	read_file(reader);
	deltafile_reader_free(reader);
	free(file);
	return 0;
}
