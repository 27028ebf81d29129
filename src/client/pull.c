/*
 * pull.c: pg_sparse pull: a version's files, from deltas decoded here.
 *
 * What is missing of the files is cut into pieces; each lane asks for one after the
 * other, decodes chunk by chunk, and writes into the file's part (partial.h). The main
 * thread follows behind the lanes and computes the SHA-256 of each file from its
 * beginning on. When all files are right, they get their names.
 */
#include "pull.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "codec/hash.h"
#include "folder.h"
#include "lanes.h"
#include "receive.h"

#define GROUP 200				/* files that arrive at the same time: two descriptors each, then one until all have their names */
#define LEAST_PIECE ((uint64_t) 4 << 20)
#define MOST_PIECE ((uint64_t) 128 << 20)
#define PIECES_A_LANE 4
#define READ_BYTES ((size_t) 256 << 10)
#define REDRAW 100000000		/* nanoseconds */

static const char interrupted[] = "\npg_sparse: interrupted\nhint: The same command again goes on where it broke off.\n";

typedef struct puller
{
	pull_version version;
	haves		haves;
	pull_piece *piece;			/* of the group at hand */
	unsigned long pieces;
	atomic_ulong next;			/* piece that nobody has taken */
	_Atomic uint64_t received;	/* bytes of content */
	progress	bar;
	pthread_mutex_t lock;
	pthread_cond_t moved;		/* some piece's reached */
} puller;

/* ---- what the lanes do ---- */

typedef struct lane_piece
{
	puller	   *puller;
	pull_piece *piece;
} lane_piece;

static void
take_chunk(void *state, const wire_delta *row, const uint8_t *content)
{
	lane_piece *at = state;
	puller	   *p = at->puller;
	pull_file  *file = at->piece->file;
	uint64_t	end = row->file_offset + row->bytes;
	uint64_t	first = row->file_offset;
	uint64_t	xxh3 = row->content_xxh3;

	if (end > file->bytes)
		fail(STATUS_DAMAGED, received_damaged_hint, "\"%s\": the server sent more than the file has", file->place);
	/* what lies outside of the piece is another lane's, and may have been hashed already */
	if (first < at->piece->first)
		first = at->piece->first;
	if (end > at->piece->end)
		end = at->piece->end;
	content += first - row->file_offset;
	if (end - first != row->bytes)
		xxh3 = sparse_hash(content, (size_t) (end - first), sparse_simd_best());
	partial_put(&file->part, first, content, (size_t) (end - first), xxh3);
	p->received += end - first;
	pthread_mutex_lock(&p->lock);
	at->piece->reached = end;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

static void
work(lane *l)
{
	puller	   *p = l->state;
	receiver	r = {.conn = l->conn, .codec = l->codec, .version = p->version.id, .haves = &p->haves,
	.sent = &p->version.sent, .factors = p->version.factors, .tape = {.beside = p->piece[0].file->place}};
	unsigned long number;

	while ((number = p->next++) < p->pieces)
	{
		lane_piece	at = {p, &p->piece[number]};

		if (at.piece->reached < at.piece->end)
			receive(&r, at.piece->file->path, at.piece->first, at.piece->end, take_chunk, &at);
	}
	receiver_release(&r);
}

/* ---- what the main thread does ---- */

/* Waits until a piece has reached more than `at`; how far it is. Draws meanwhile. */
static uint64_t
wait_for(puller *p, const pull_piece *piece, uint64_t at)
{
	uint64_t	reached;

	pthread_mutex_lock(&p->lock);
	while ((reached = piece->reached) <= at)
	{
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += REDRAW;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&p->moved, &p->lock, &until);
		progress_reach(&p->bar, p->received);
	}
	pthread_mutex_unlock(&p->lock);
	return reached;
}

static void
check_file(puller *p, pull_file *file, uint8_t *buffer)
{
	sha256	   *sum = sha256_create();
	uint8_t		digest[SHA256_BYTES];
	char		name[SPARSE_SHOWN];
	uint64_t	at = 0;

	for (unsigned long i = 0; i < file->pieces; i++)
		while (at < p->piece[file->first_piece + i].end)
		{
			uint64_t	reached = wait_for(p, &p->piece[file->first_piece + i], at);

			while (at < reached)
			{
				size_t		length = reached - at < READ_BYTES ? (size_t) (reached - at) : READ_BYTES;

				source_read(&file->part.file, at, buffer, length);
				sha256_add(sum, buffer, length);
				at += length;
			}
			progress_reach(&p->bar, p->received);
		}
	sha256_finish(sum, digest);
	if (memcmp(digest, file->sha256, SHA256_BYTES) == 0)
		return;
	sparse_show_name(name, file->path, strlen(file->path));
	partial_discard(&file->part);
	fail(STATUS_DAMAGED, received_damaged_hint, "\"%s\": the SHA-256 of what was received is not that of the file", name);
}

/* ---- pieces ---- */

static void
add_piece(puller *p, pull_file *file, uint64_t first, uint64_t end, bool there)
{
	p->piece = array_grow(p->piece, p->pieces, sizeof *p->piece);
	p->piece[p->pieces++] = (pull_piece) {file, first, end, there ? end : first};
	file->pieces++;
}

static void
add_missing(puller *p, pull_file *file, uint64_t first, uint64_t end, uint64_t wanted)
{
	while (first < end)
	{
		uint64_t	cut = pull_next_cut(file, first, end, wanted);

		add_piece(p, file, first, cut, false);
		first = cut;
	}
}

static void
add_pieces(puller *p, pull_file *file, uint64_t wanted)
{
	uint64_t	at = 0;

	file->first_piece = p->pieces;
	file->pieces = 0;
	for (unsigned long i = 0; i < file->part.count; i++)
	{
		const interval *done = &file->part.done[i];

		add_missing(p, file, at, done->first, wanted);
		add_piece(p, file, done->first, done->end, true);
		at = done->end;
	}
	add_missing(p, file, at, file->bytes, wanted);
}

static uint64_t
piece_bytes(uint64_t bytes, int jobs)
{
	uint64_t	wanted = bytes / (uint64_t) (jobs * PIECES_A_LANE);

	return wanted < LEAST_PIECE ? LEAST_PIECE : wanted > MOST_PIECE ? MOST_PIECE : wanted;
}

static int
lanes_wanted(const puller *p, int jobs)
{
	int			missing = 0;

	for (unsigned long i = 0; i < p->pieces && missing < jobs; i++)
		missing += p->piece[i].reached < p->piece[i].end;
	return missing;
}

/* ---- files ---- */

static uint64_t
bytes_there(const partial *part)
{
	uint64_t	bytes = 0;

	for (unsigned long i = 0; i < part->count; i++)
		bytes += part->done[i].end - part->done[i].first;
	return bytes;
}

/* Gets files [first, end) of the version, checks and seals them. */
static void
pull_group(puller *p, conn *c, unsigned long first, unsigned long end, int jobs)
{
	uint8_t    *buffer = allocate(READ_BYTES);
	lanes		l;
	int			count;

	p->pieces = 0;
	p->next = 0;
	for (unsigned long i = first; i < end; i++)
	{
		pull_file  *file = &p->version.file[i];

		if (file->present)
			continue;
		partial_open(&file->part, file->place, file->bytes, file->sha256);
		p->received += bytes_there(&file->part);
		progress_skip(&p->bar, bytes_there(&file->part));
		p->version.wanted += file->bytes - bytes_there(&file->part);
		add_pieces(p, file, piece_bytes(p->version.bytes, jobs));
	}
	count = lanes_wanted(p, jobs);
	if (count > 0)
		lanes_start(&l, c, count, work, p);
	for (unsigned long i = first; i < end; i++)
		if (!p->version.file[i].present)
			check_file(p, &p->version.file[i], buffer);
	if (count > 0)
		lanes_wait(&l);
	for (unsigned long i = first; i < end; i++)
		if (!p->version.file[i].present)
			partial_seal(&p->version.file[i].part);
	free(buffer);
}

static void
choose_places(pull_version *v, const char *output)
{
	size_t		length = strlen(output);
	bool		slash = length > 0 && output[length - 1] == '/';
	bool		folder = !v->alone || slash || folder_is(output);

	if (length == 0)
		fail(STATUS_USAGE, NULL, "\"\" is not the name of a file");
	for (unsigned long i = 0; i < v->count; i++)
	{
		pull_file  *file = &v->file[i];

		file->place = folder ? format_text("%s%s%s", output, slash ? "" : "/", file->path) : format_text("%s", output);
		folder_make_for(file->place);
		if (folder_is(file->place))
			fail(STATUS_FAILED, NULL, "\"%s\" is a folder", file->place);
	}
}

/* A file that is there with the right size may be right: it is looked at. */
static void
look_for_present(pull_version *v, bool quiet)
{
	hash_jobs	jobs = {0};
	source	   *there = allocate(v->count * sizeof *there);
	uint8_t   (*digest)[SHA256_BYTES] = allocate(v->count * sizeof *digest);

	for (unsigned long i = 0; i < v->count; i++)
	{
		struct stat status;

		there[i] = (source) {.fd = -1};
		if (stat(v->file[i].place, &status) != 0 || !S_ISREG(status.st_mode) ||
			(uint64_t) status.st_size != v->file[i].bytes)
			continue;
		source_open(&there[i], v->file[i].place);
		hash_add(&jobs, &there[i], 0, there[i].bytes, digest[i]);
	}
	hash_run(&jobs, "comparing", quiet);
	for (unsigned long i = 0; i < v->count; i++)
		if (there[i].fd >= 0)
		{
			v->file[i].present = memcmp(digest[i], v->file[i].sha256, SHA256_BYTES) == 0;
			source_close(&there[i]);
		}
	free(there);
	free(digest);
}

static uint64_t
bytes_wanted(const pull_version *v)
{
	uint64_t	bytes = 0;

	for (unsigned long i = 0; i < v->count; i++)
		bytes += v->file[i].present ? 0 : v->file[i].bytes;
	return bytes;
}

static void
pull_files(puller *p, conn *c, const remote *r)
{
	pull_version *v = &p->version;

	choose_places(v, r->output);
	look_for_present(v, r->quiet);
	pull_version_cuts(v, c);
	conn_on_interrupt(c, interrupted);
	conn_resume_hint = "The same command again goes on where it broke off.";
	progress_begin(&p->bar, "receiving", bytes_wanted(v), r->quiet);
	for (unsigned long first = 0; first < v->count; first += GROUP)
		pull_group(p, c, first, first + GROUP < v->count ? first + GROUP : v->count, r->jobs);
	progress_end(&p->bar);
	for (unsigned long i = 0; i < v->count; i++)
		if (!v->file[i].present)
			partial_publish(&v->file[i].part);
	free(p->piece);
}

static void
open_haves(puller *p, conn *c, const remote *r)
{
	hash_jobs	jobs = {0};

	haves_open(&p->haves, &r->haves, &jobs);
	hash_run(&jobs, "reading", r->quiet);
	haves_ask(&p->haves, c);
}

/* ---- which version ---- */

/* The newest approximation of the version that is asked for; itself where it is one, or has none. */
static const char newest_approximation[] =
"select coalesce((select max(a.id) from sparse.parent p join sparse.version a on a.id = p.child"
" where p.parent = v.id and p.role = 'approximation' and v.exact and not a.exact and a.state = 'ready'), v.id)"
" from sparse.version v where v.id = @.sparse_version_id($1::text)";

static const char not_exact[] =
"select v.name || '@' || v.revision from sparse.version v where v.id = $1::bigint and not v.exact";

/* Says that a version is an approximation; false where it is exact. */
static bool
tell_approximation(conn *c, const char *id, bool quiet)
{
	PGresult   *result = conn_query(c, not_exact, 1, &id);
	bool		found = PQntuples(result) > 0;

	if (found && !quiet)
		note("note: \"%s\" is an approximation, not exact", PQgetvalue(result, 0, 0));
	PQclear(result);
	return found;
}

static void
open_version(puller *p, conn *c, const remote *r)
{
	const char *reference = r->argument[0];
	PGresult   *result;

	if (!r->approx)
		pull_version_open(&p->version, c, reference, &r->files);
	else
	{
		result = conn_query(c, newest_approximation, 1, &reference);
		if (PQntuples(result) == 0)
			fail(STATUS_REFUSED, "pg_sparse log lists the versions.", "there is no version \"%s\"", reference);
		pull_version_open(&p->version, c, PQgetvalue(result, 0, 0), &r->files);
		PQclear(result);
	}
	if (!tell_approximation(c, p->version.id, r->quiet) && r->approx)
		fail(STATUS_REFUSED, "sparse_approximate() makes one.", "\"%s\" has no approximation", reference);
}

/* ---- telling the server ---- */

/* Of what was there before nothing is told: nobody sent it. */
static void
record_pull(conn *c, const pull_version *v)
{
	char		sent[24];
	char		wanted[24];
	const char *const value[] = {v->id, sent, wanted};
	PGresult   *result;

	if (v->wanted == 0)
		return;
	snprintf(sent, sizeof sent, "%" PRIu64, (uint64_t) v->sent);
	snprintf(wanted, sizeof wanted, "%" PRIu64, v->wanted);
	conn_resume_hint = NULL;
	result = conn_try_again(c, "select @.sparse_record_pull($1::bigint, $2::bigint, $3::bigint)", 3, value);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		warn("everything was pulled and is right, but that was not recorded");
		conn_fail(c, result);
	}
	PQclear(result);
}

/* What it took, for people. */
static void
tell(const pull_version *v, const struct timespec *begun)
{
	char	   *bytes = text_in_units(v->bytes);
	char	   *missing = text_in_units(v->wanted);
	char	   *sent = text_in_units(v->sent);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	note("%lu file%s of %s; %s of that were not there, for which %s came; %.1f s", v->count, v->count == 1 ? "" : "s", bytes, missing, sent,
		 (double) (now.tv_sec - begun->tv_sec) + (double) (now.tv_nsec - begun->tv_nsec) / 1e9);
	free(bytes);
	free(missing);
	free(sent);
}

void
pull_run(conn *c, const remote *r)
{
	puller		p = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

	struct timespec begun;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	open_many_files();
	open_version(&p, c, r);
	open_haves(&p, c, r);
	if (r->tensors.count > 0)
		pull_tensors(c, &p.version, &p.haves, r);
	else if (strcmp(r->output, "-") == 0)
		pull_stream(c, &p.version, &p.haves);
	else
		pull_files(&p, c, r);
	if (!r->quiet && r->tensors.count == 0)
		tell(&p.version, &begun);
	if (r->record)
		record_pull(c, &p.version);
	haves_close(&p.haves);
	pull_version_close(&p.version);
}
