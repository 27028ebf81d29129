/*
 * files.c: sources, SHA-256 and the output that appears only when it is right
 * (see files.h).
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "client.h"

#define READ_BYTES ((size_t) 1 << 20)
#define TEMPORARY ".pg_sparse.XXXXXX"

/* ---- SHA-256 ---- */

struct sha256
{
	EVP_MD_CTX *context;
};

sha256 *
sha256_create(void)
{
	sha256	   *sum = allocate(sizeof *sum);

	sum->context = EVP_MD_CTX_new();
	if (sum->context == NULL || !EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL))
		fail(STATUS_FAILED, NULL, "SHA-256 is not available");
	return sum;
}

void
sha256_add(sha256 *sum, const void *bytes, size_t length)
{
	if (!EVP_DigestUpdate(sum->context, bytes, length))
		fail(STATUS_FAILED, NULL, "could not compute SHA-256");
}

void
sha256_finish(sha256 *sum, uint8_t digest[SHA256_BYTES])
{
	if (!EVP_DigestFinal_ex(sum->context, digest, NULL))
		fail(STATUS_FAILED, NULL, "could not compute SHA-256");
	EVP_MD_CTX_free(sum->context);
	free(sum);
}

void
sha256_text(const uint8_t digest[SHA256_BYTES], char text[2 * SHA256_BYTES + 1])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		sprintf(text + 2 * i, "%02x", digest[i]);
}

static void remove_output(void);

/* ---- sources ---- */

void
source_open(source *file, const char *path)
{
	file->path = path;
	file->view = NULL;
	/* A FIFO without a writer would be waited for; a regular file does not mind. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &file->identity) != 0)
		fail_file("open", path);
	if (!S_ISREG(file->identity.st_mode))
		fail(STATUS_FAILED, "Only ordinary files can be read in any order.",
			 "\"%s\" is not a regular file", path);
	file->bytes = (uint64_t) file->identity.st_size;
}

void
source_read(const source *file, uint64_t first, void *bytes, size_t length)
{
	char	   *at = bytes;

	while (length > 0)
	{
		ssize_t		got = pread(file->fd, at, length, (off_t) first);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			fail_file("read", file->path);
		if (got == 0)
			fail(STATUS_FAILED, "It must not change while it is read.",
				 "\"%s\" has become shorter", file->path);
		at += got;
		first += (uint64_t) got;
		length -= (size_t) got;
	}
}

void
source_sha256(const source *file, bool quiet, uint8_t digest[SHA256_BYTES])
{
	sha256	   *sum = sha256_create();
	uint8_t    *buffer = allocate(READ_BYTES);
	progress	bar;

	progress_begin(&bar, "reading base", file->bytes, quiet);
	for (uint64_t at = 0; at < file->bytes; at += READ_BYTES)
	{
		size_t		length = file->bytes - at < READ_BYTES ? (size_t) (file->bytes - at) : READ_BYTES;

		source_read(file, at, buffer, length);
		sha256_add(sum, buffer, length);
		progress_add(&bar, length);
	}
	progress_end(&bar);
	free(buffer);
	sha256_finish(sum, digest);
}

/* What a file was cut from under the view of it: there is no way to go on. */
static void
on_bus_error(int number)
{
	static const char words[] = "pg_sparse: error: a file has become shorter, or cannot be read\n"
	"hint: It must not change while it is read.\n";

	(void) number;
	(void) !write(STDERR_FILENO, words, sizeof words - 1);
	remove_output();
	_exit(STATUS_FAILED);
}

void
source_map(source *file)
{
	void	   *view;

	if (file->view != NULL || file->bytes == 0 || file->bytes > SIZE_MAX)
		return;
	view = mmap(NULL, (size_t) file->bytes, PROT_READ, MAP_SHARED, file->fd, 0);
	if (view == MAP_FAILED)
		return;
	signal(SIGBUS, on_bus_error);
	file->view = view;
}

const uint8_t *
source_get(const source *file, uint64_t first, size_t length, uint8_t *buffer)
{
	if (file->view != NULL && first <= file->bytes && length <= file->bytes - first)
		return file->view + first;
	source_read(file, first, buffer, length);
	return buffer;
}

void
source_close(source *file)
{
	if (file->view != NULL)
		munmap((void *) (uintptr_t) file->view, (size_t) file->bytes);
	close(file->fd);
	file->view = NULL;
	file->fd = -1;
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* What was read at different times is of one file only if nobody wrote to it. */
bool
source_is_unchanged(const source *file)
{
	const struct stat *before = &file->identity;
	struct stat after;

	if (fstat(file->fd, &after) != 0)
		fail_file("read", file->path);
	return after.st_dev == before->st_dev && after.st_ino == before->st_ino && after.st_size == before->st_size &&
		same_time(after.st_mtim, before->st_mtim) && same_time(after.st_ctim, before->st_ctim);
}

void
source_check_unchanged(const source *file)
{
	if (!source_is_unchanged(file))
		fail(STATUS_FAILED, "Try again when nobody writes to it; nothing was written.",
			 "\"%s\" has changed while it was read", file->path);
}

void
open_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* ---- the output ---- */

static struct
{
	const char *path;
	const source *source[MAX_SOURCES];
	int			sources;
	char	   *temporary;
	int			fd;
	uint64_t	bytes;
	volatile sig_atomic_t pending;	/* the temporary file is there and ours */
}			output;

static void
remove_output(void)
{
	if (output.pending)
		unlink(output.temporary);
	output.pending = 0;
}

static void
on_signal(int number)
{
	remove_output();
	signal(number, SIG_DFL);
	raise(number);
}

static const int ending_signals[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2
};

#define ENDING_SIGNALS (sizeof ending_signals / sizeof ending_signals[0])

/* Whatever ends the program removes the output; what is ignored stays ignored. */
static void
arm_removal(void)
{
	atexit(remove_output);
	for (size_t i = 0; i < ENDING_SIGNALS; i++)
		if (signal(ending_signals[i], on_signal) == SIG_IGN)
			signal(ending_signals[i], SIG_IGN);
}

/* mkstemp, during which no signal arrives. */
static int
create_temporary(char *template)
{
	sigset_t	ending;
	sigset_t	before;
	int			fd;

	sigemptyset(&ending);
	for (size_t i = 0; i < ENDING_SIGNALS; i++)
		sigaddset(&ending, ending_signals[i]);
	sigprocmask(SIG_BLOCK, &ending, &before);
	fd = mkstemp(template);
	output.pending = fd >= 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return fd;
}

/* The part of a path up to and with its last slash. */
static size_t
directory_bytes(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t) (slash - path) + 1 : 0;
}

static void
check_target(const char *path, const source *const *sources, int count)
{
	struct stat there;

	if (path[0] == '\0' || path[strlen(path) - 1] == '/')
		fail(STATUS_USAGE, NULL, "\"%s\" is not the name of a file", path);
	if (stat(path, &there) != 0)
		return;
	if (!S_ISREG(there.st_mode))
		fail(STATUS_FAILED, "Give the name of an ordinary file.", "\"%s\" is not a regular file", path);
	for (int i = 0; i < count; i++)
		if (sources[i]->identity.st_dev == there.st_dev && sources[i]->identity.st_ino == there.st_ino)
			fail(STATUS_USAGE, "Give the output a name of its own.",
				 "\"%s\" is both read and to be written", path);
}

void
output_create(const char *path, const source *const *sources, int count)
{
	size_t		directory = directory_bytes(path);
	mode_t		mask = umask(0);

	umask(mask);
	check_target(path, sources, count);
	for (output.sources = 0; output.sources < count; output.sources++)
		output.source[output.sources] = sources[output.sources];
	output.path = path;
	output.temporary = allocate(directory + sizeof TEMPORARY);
	memcpy(output.temporary, path, directory);
	strcpy(output.temporary + directory, TEMPORARY);
	arm_removal();
	output.fd = create_temporary(output.temporary);
	if (output.fd < 0 || fchmod(output.fd, 0666 & ~mask) != 0)
		fail_file("create", path);
}

void
output_write_at(uint64_t first, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0)
	{
		ssize_t		put = pwrite(output.fd, at, length, (off_t) first);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			fail_file("write", output.path);
		at += put;
		first += (uint64_t) put;
		length -= (size_t) put;
	}
}

void
output_write(const void *bytes, size_t length)
{
	output_write_at(output.bytes, bytes, length);
	output.bytes += length;
}

void
output_read(uint64_t first, void *bytes, size_t length)
{
	source_read(&(source) {.path = output.path, .fd = output.fd}, first, bytes, length);
}

uint64_t
output_bytes(void)
{
	return output.bytes;
}

void
sync_directory_of(const char *path)
{
	size_t		directory = directory_bytes(path);
	char	   *name = allocate(directory + 2);
	int			fd;

	memcpy(name, path, directory);
	strcpy(name + directory, directory ? "" : ".");
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
	{
		(void) fsync(fd);		/* some file systems cannot: the file itself is safe */
		close(fd);
	}
	free(name);
}

void
output_commit(void)
{
	for (int i = 0; i < output.sources; i++)
		source_check_unchanged(output.source[i]);
	if (fsync(output.fd) != 0 || close(output.fd) != 0)
		fail_file("write", output.path);
	if (rename(output.temporary, output.path) != 0)
		fail_file("rename into place", output.path);
	output.pending = 0;
	sync_directory_of(output.path);
	free(output.temporary);
}
