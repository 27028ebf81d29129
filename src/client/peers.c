/*
 * peers.c: the peer codecs of pg_sparse bench (see peers.h).
 *
 * Each is given what its authors' program would have: contexts that are made
 * once, vectorised loops around zstd, no copies, no checksums.
 */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "client.h"
#include "fmdelta.h"
#include "planes.h"

#define MIB ((size_t) 1 << 20)
#define MAX_PIECE ((size_t) 1 << 30)	/* what "whole" means: a length has 32 bits */

static void
put_length(uint8_t *out, size_t length)
{
	uint32_t	stored = (uint32_t) length;

	memcpy(out, &stored, sizeof stored);
}

static size_t
get_length(const uint8_t *in)
{
	uint32_t	stored;

	memcpy(&stored, in, sizeof stored);
	return stored;
}

/* ---- planes and zstd ---- */

typedef struct plane_coder
{
	bool		xor;			/* with the parent, where there is one */
	bool		turns_bf16;		/* the sign to the other end, so that the exponent is a plane */
	int			level;			/* of zstd */
	size_t		whole;			/* bytes up to which a run is one piece */
	size_t		piece;			/* bytes of a piece of a longer run */
	ZSTD_CCtx  *compressor;
	ZSTD_DCtx  *decompressor;
	uint8_t    *planes;
} plane_coder;

/* A piece of a run. Each of its planes is a stream of its own. */
typedef struct piece
{
	const uint8_t *prediction;
	size_t		bytes;
	unsigned	element;
	unsigned	rotation;
} piece;

/* The piece of a run that begins at `first`. */
static piece
cut_piece(const plane_coder *p, const run *r, size_t first)
{
	size_t		bytes = r->bytes <= p->whole ? r->bytes : p->piece;

	return (piece) {
		.prediction = p->xor && r->prediction ? r->prediction + first : NULL,
		.bytes = r->bytes - first < bytes ? r->bytes - first : bytes,
		.element = sparse_dtype_get(r->dtype)->bytes,
		.rotation = p->turns_bf16 && r->dtype == SPARSE_BF16
	};
}

static size_t
compress_stream(plane_coder *p, const uint8_t *from, size_t bytes, uint8_t *out, size_t room)
{
	size_t		written = room < 4 ? 0 :
		ZSTD_compressCCtx(p->compressor, out + 4, room - 4, from, bytes, p->level);

	if (room < 4 || ZSTD_isError(written))
		fail(STATUS_FAILED, NULL, "zstd could not compress %zu bytes", bytes);
	put_length(out, written);
	return 4 + written;
}

static size_t
decompress_stream(plane_coder *p, const uint8_t *in, size_t room, uint8_t *to, size_t bytes)
{
	size_t		length = get_length(in);

	if (length > room - 4 || ZSTD_decompressDCtx(p->decompressor, to, bytes, in + 4, length) != bytes)
		fail(STATUS_FAILED, NULL, "zstd could not decompress its own %zu bytes", length);
	return 4 + length;
}

static size_t
planes_encode(void *state, const run *r, uint8_t *out, size_t room)
{
	plane_coder *p = state;
	size_t		written = 0;
	size_t		count;
	piece		cut;

	for (size_t first = 0; first < r->bytes; first += cut.bytes)
	{
		cut = cut_piece(p, r, first);
		count = cut.bytes / cut.element;
		planes_split(r->content + first, cut.prediction, p->planes, count, cut.element, cut.rotation);
		for (unsigned i = 0; i < cut.element; i++)
			written += compress_stream(p, p->planes + i * count, count, out + written, room - written);
	}
	return written;
}

static size_t
planes_decode(void *state, const run *r, const uint8_t *in, size_t room, uint8_t *content)
{
	plane_coder *p = state;
	size_t		used = 0;
	size_t		count;
	piece		cut;

	for (size_t first = 0; first < r->bytes; first += cut.bytes)
	{
		cut = cut_piece(p, r, first);
		count = cut.bytes / cut.element;
		for (unsigned i = 0; i < cut.element; i++)
			used += decompress_stream(p, in + used, room - used, p->planes + i * count, count);
		planes_join(p->planes, cut.prediction, content + first, count, cut.element, cut.rotation);
	}
	return used;
}

static void
planes_release(void *state)
{
	plane_coder *p = state;

	ZSTD_freeCCtx(p->compressor);
	ZSTD_freeDCtx(p->decompressor);
	free(p->planes);
	free(p);
}

static bench_codec
planes_codec(const char *name, plane_coder settings, size_t largest)
{
	plane_coder *p = allocate(sizeof *p);
	size_t		most = largest > settings.whole && settings.piece > settings.whole ? settings.piece : settings.whole;

	*p = settings;
	if (most > largest)
		most = largest;
	p->compressor = ZSTD_createCCtx();
	p->decompressor = ZSTD_createDCtx();
	if (p->compressor == NULL || p->decompressor == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	p->planes = allocate(most);
	memset(p->planes, 0, most);
	return (bench_codec) {name, settings.xor, planes_encode, planes_decode, planes_release, p};
}

/* ---- FM-Delta ---- */

static bool
is_for_fmdelta(const run *r)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(r->dtype);

	return r->prediction != NULL && dtype->exponent_bits > 0 && dtype->bytes > 1 && r->bytes < MAX_PIECE;
}

/* What does not shrink is kept as it is; a length of 0 says so. */
static size_t
fmdelta_encode_run(void *state, const run *r, uint8_t *out, size_t room)
{
	unsigned	element = sparse_dtype_get(r->dtype)->bytes;
	size_t		written = 0;

	(void) state;
	if (room < r->bytes + 4)
		fail(STATUS_FAILED, NULL, "no room for %zu bytes", r->bytes);
	if (is_for_fmdelta(r))
		written = fmdelta_encode(r->content, r->prediction, r->bytes / element, element, out + 4, r->bytes);
	put_length(out, written);
	if (written > 0)
		return 4 + written;
	memcpy(out + 4, r->content, r->bytes);
	return 4 + r->bytes;
}

static size_t
fmdelta_decode_run(void *state, const run *r, const uint8_t *in, size_t room, uint8_t *content)
{
	unsigned	element = sparse_dtype_get(r->dtype)->bytes;
	size_t		length = get_length(in);

	(void) state;
	if ((length ? length : r->bytes) + 4 > room)
		fail(STATUS_FAILED, NULL, "FM-Delta reads past its own bytes");
	if (length > 0)
	{
		fmdelta_decode(in + 4, length, r->prediction, content, r->bytes / element, element);
		return 4 + length;
	}
	memcpy(content, in + 4, r->bytes);
	return 4 + r->bytes;
}

/* ---- memcpy ---- */

static size_t
copy_encode(void *state, const run *r, uint8_t *out, size_t room)
{
	(void) state;
	if (room < r->bytes)
		fail(STATUS_FAILED, NULL, "no room for %zu bytes", r->bytes);
	memcpy(out, r->content, r->bytes);
	return r->bytes;
}

static size_t
copy_decode(void *state, const run *r, const uint8_t *in, size_t room, uint8_t *content)
{
	(void) state;
	(void) room;
	memcpy(content, in, r->bytes);
	return r->bytes;
}

static void
release_nothing(void *state)
{
	(void) state;
}

void
peers_create(bench_codec peer[PEERS], size_t largest)
{
	static const plane_coder bitx = {.xor = true, .turns_bf16 = true, .level = 3, .whole = 10 * MIB, .piece = 2 * MIB};
	static const plane_coder tensorx = {.xor = true, .level = 1, .whole = 2 * MIB, .piece = 2 * MIB};
	static const plane_coder planes = {.level = 3, .whole = MAX_PIECE, .piece = MAX_PIECE};

	peer[0] = planes_codec("bitx", bitx, largest);
	peer[1] = planes_codec("tensorx", tensorx, largest);
	peer[2] = (bench_codec) {"fm-delta", true, fmdelta_encode_run, fmdelta_decode_run, release_nothing, NULL};
	peer[3] = planes_codec("planes-zstd3", planes, largest);
	peer[4] = (bench_codec) {"memcpy", false, copy_encode, copy_decode, release_nothing, NULL};
}
