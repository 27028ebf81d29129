/*
 * hashing.c: hashes ranges on a few threads (see hashing.h).
 */
#include "hashing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"

#define MAX_THREADS 4
#define READ_BYTES ((size_t) 256 << 10)	/* stays in the second-level cache from read to hash */
#define TICK 20000				/* microseconds between looks at how far it is */

typedef struct hashing
{
	const hash_jobs *jobs;
	atomic_ulong next;			/* job */
	_Atomic uint64_t done;		/* bytes */
	atomic_int	working;		/* threads */
} hashing;

void
hash_add(hash_jobs *jobs, const source *file, uint64_t first, uint64_t bytes, uint8_t *digest)
{
	jobs->job = array_grow(jobs->job, jobs->count, sizeof *jobs->job);
	jobs->job[jobs->count++] = (hash_job) {file, first, bytes, digest};
	jobs->bytes += bytes;
	/* a file and the tensors in it are the same bytes: they are read once */
	if (first == 0 && bytes == file->bytes)
		jobs->file_bytes += bytes;
}

static void
hash_range(hashing *h, const hash_job *job, uint8_t *buffer)
{
	sha256	   *sum = sha256_create();

	for (uint64_t at = 0; at < job->bytes; at += READ_BYTES)
	{
		size_t		length = job->bytes - at < READ_BYTES ? (size_t) (job->bytes - at) : READ_BYTES;

		sha256_add(sum, source_get(job->file, job->first + at, length, buffer), length);
		h->done += length;
	}
	sha256_finish(sum, job->digest);
}

static void *
work(void *state)
{
	hashing    *h = state;
	uint8_t    *buffer = allocate(READ_BYTES);
	unsigned long number;

	while ((number = h->next++) < h->jobs->count)
		hash_range(h, &h->jobs->job[number], buffer);
	free(buffer);
	h->working--;
	return NULL;
}

/* The largest first, so that no thread is left with it at the end. */
static int
compare_sizes(const void *a, const void *b)
{
	const hash_job *x = a;
	const hash_job *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static int
threads_for(const hash_jobs *jobs)
{
	long		cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long most = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (unsigned long) cores;

	if (jobs->bytes < 4 * READ_BYTES)
		return 1;
	return (int) (jobs->count < most ? jobs->count : most);
}

void
hash_run(hash_jobs *jobs, const char *what, bool quiet)
{
	hashing		h = {.jobs = jobs};
	pthread_t	thread[MAX_THREADS];
	progress	bar;
	int			threads = threads_for(jobs);

	if (jobs->count == 0)
		return;
	qsort(jobs->job, jobs->count, sizeof *jobs->job, compare_sizes);
	progress_begin(&bar, what, jobs->file_bytes, quiet);
	client_has_threads = true;
	h.working = threads;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, &h) != 0)
			fail(STATUS_FAILED, NULL, "could not start a thread");
	while (bar.shown && h.working > 0)
	{
		usleep(TICK);
		progress_reach(&bar, (uint64_t) ((double) h.done / (double) (jobs->bytes + !jobs->bytes) * (double) jobs->file_bytes));
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	client_has_threads = false;
	progress_end(&bar);
	free(jobs->job);
	*jobs = (hash_jobs) {0};
}
