/*
 * partial.c: keeps what has arrived, and believes it only after looking (see
 * partial.h).
 */
#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "client.h"
#include "codec/hash.h"
#include "plan/path.h"

#define VERSION 0
#define MAX_RANGE ((uint64_t) 16 << 20)	/* of one line of the journal */
#define WRITE_BACK ((uint64_t) 32 << 20)	/* written, after which the disk is asked to begin */

/* ---- names ---- */

/* Short whatever the file's own name, which may have as many bytes as a name can. The caller frees it. */
static char *
beside(const char *path, const char *ending)
{
	const char *name = sparse_path_base(path);
	sha256	   *sum = sha256_create();
	uint8_t		digest[SHA256_BYTES];
	char		digits[2 * SHA256_BYTES + 1];

	sha256_add(sum, name, strlen(name));
	sha256_finish(sum, digest);
	sha256_text(digest, digits);
	return format_text("%.*s" SPARSE_PART_PREFIX "%.*s%s", (int) (name - path), path, SPARSE_PART_DIGITS, digits, ending);
}

/* ---- the journal ---- */

static void
append(const partial *p, const char *line, size_t length)
{
	/* in one piece: other threads append as well */
	ssize_t		written = write(p->journal, line, length);

	if (written == (ssize_t) length)
		return;
	if (written >= 0)
		errno = ENOSPC;			/* which is why a write falls short, and it does not say so */
	fail_file("write", p->journal_path);
}

static void
begin_journal(const partial *p, const char *digest)
{
	char		line[200];
	int			length = snprintf(line, sizeof line, "pg_sparse %d %s %" PRIu64 "\n", VERSION, digest, p->file.bytes);

	if (ftruncate(p->journal, 0) != 0)
		fail_file("write", p->journal_path);
	append(p, line, (size_t) length);
}

/* Whether the range holds what the journal says. */
static bool
range_holds(const partial *p, uint64_t first, uint64_t length, uint64_t xxh3, uint8_t *buffer)
{
	if (length == 0 || length > MAX_RANGE || first > p->file.bytes || length > p->file.bytes - first)
		return false;
	source_read(&p->file, first, buffer, (size_t) length);
	return sparse_hash(buffer, (size_t) length, sparse_simd_best()) == xxh3;
}

static void
add_done(partial *p, uint64_t first, uint64_t length)
{
	p->done = array_grow(p->done, p->count, sizeof *p->done);
	p->done[p->count++] = (interval) {first, first + length};
}

static int
compare_intervals(const void *a, const void *b)
{
	const interval *x = a;
	const interval *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* Sorts the intervals and joins those that touch. */
static void
join_done(partial *p)
{
	unsigned long kept = 0;

	if (p->count > 1)
		qsort(p->done, p->count, sizeof *p->done, compare_intervals);
	for (unsigned long i = 0; i < p->count; i++)
		if (kept > 0 && p->done[i].first <= p->done[kept - 1].end)
		{
			if (p->done[i].end > p->done[kept - 1].end)
				p->done[kept - 1].end = p->done[i].end;
		}
		else
			p->done[kept++] = p->done[i];
	p->count = kept;
}

/* Takes the ranges of a journal of this very file that hold. False: it is of another. */
static bool
read_journal(partial *p, const char *digest)
{
	FILE	   *in = fopen(p->journal_path, "re");
	uint8_t    *buffer = allocate(MAX_RANGE);
	char		line[200];
	char		expected[200];
	bool		ours;

	if (in == NULL)
		fail_file("open", p->journal_path);
	snprintf(expected, sizeof expected, "pg_sparse %d %s %" PRIu64 "\n", VERSION, digest, p->file.bytes);
	ours = fgets(line, sizeof line, in) != NULL && strcmp(line, expected) == 0;
	while (ours && fgets(line, sizeof line, in) != NULL)
	{
		uint64_t	first;
		uint64_t	length;
		uint64_t	xxh3;

		if (strchr(line, '\n') && sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNx64, &first, &length, &xxh3) == 3 &&
			range_holds(p, first, length, xxh3, buffer))
			add_done(p, first, length);
	}
	fclose(in);
	free(buffer);
	join_done(p);
	return ours;
}

/* ---- the part ---- */

static int
open_beside(const char *path, int flags)
{
	int			fd = open(path, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		fail_file("create", path);
	if (!S_ISREG(status.st_mode))
		fail(STATUS_FAILED, NULL, "\"%s\" is not a regular file", path);
	return fd;
}

/* Whether what was opened still has the part's name: who held the lock may have given it another. */
static bool
is_named(const partial *p)
{
	struct stat ours;
	struct stat there;

	return fstat(p->file.fd, &ours) == 0 && lstat(p->part, &there) == 0 &&
		ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

void
partial_open(partial *p, const char *path, uint64_t bytes, const uint8_t sha256[SHA256_BYTES])
{
	char		digest[2 * SHA256_BYTES + 1];

	*p = (partial) {
		.path = format_text("%s", path),
		.part = beside(path, SPARSE_PART),
		.journal_path = beside(path, SPARSE_PART_JOURNAL)
	};
	sha256_text(sha256, digest);
	p->file = (source) {.path = p->part, .fd = open_beside(p->part, O_RDWR), .bytes = bytes};
	if (flock(p->file.fd, LOCK_EX | LOCK_NB) != 0)
		fail(STATUS_FAILED, "Wait for it, or write to another place.", "another program is writing \"%s\"", p->part);
	if (!is_named(p))
		fail(STATUS_FAILED, "Try again.", "another program has just written \"%s\"", path);
	p->journal = open_beside(p->journal_path, O_WRONLY | O_APPEND);
	if (ftruncate(p->file.fd, (off_t) bytes) != 0)
		fail_file("make room for", p->part);
	if (!read_journal(p, digest))
		begin_journal(p, digest);
}

static void
write_at(const partial *p, uint64_t first, const char *bytes, size_t length)
{
	while (length > 0)
	{
		ssize_t		put = pwrite(p->file.fd, bytes, length, (off_t) first);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			fail_file("write", p->part);
		bytes += put;
		first += (uint64_t) put;
		length -= (size_t) put;
	}
}

void
partial_put(partial *p, uint64_t first, const void *bytes, size_t length, uint64_t xxh3)
{
	char		line[100];
	int			used = snprintf(line, sizeof line, "%" PRIu64 " %zu %016" PRIx64 "\n", first, length, xxh3);

	write_at(p, first, bytes, length);
	append(p, line, (size_t) used);
	/* so that little is left to wait for when it is sealed */
	if (first / WRITE_BACK != (first + length) / WRITE_BACK)
		(void) sync_file_range(p->file.fd, (off_t) (first / WRITE_BACK * WRITE_BACK), WRITE_BACK,
							   SYNC_FILE_RANGE_WRITE);
}

void
partial_seal(partial *p)
{
	if (fsync(p->file.fd) != 0)
		fail_file("write", p->part);
	/* open, and so locked, until it has its name */
	close(p->journal);
	p->journal = -1;
}

static void
release(partial *p)
{
	free(p->path);
	free(p->part);
	free(p->journal_path);
	free(p->done);
	*p = (partial) {0};
}

void
partial_publish(partial *p)
{
	if (rename(p->part, p->path) != 0)
		fail_file("rename into place", p->path);
	(void) unlink(p->journal_path);
	sync_directory_of(p->path);
	close(p->file.fd);
	release(p);
}

void
partial_discard(const partial *p)
{
	(void) unlink(p->part);
	(void) unlink(p->journal_path);
}
