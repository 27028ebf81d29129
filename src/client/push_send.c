/*
 * push_send.c: makes deltas and sends them (see push.h).
 *
 * A lane takes chunk after chunk and codes each against what is at hand; some MiB of deltas
 * form one transaction, sent as a pipeline. It goes on coding while the server works: what
 * became of a batch is asked when the next one is complete, and only then is that one sent,
 * for poolers give the session away between two transactions (PgBouncer 1.18 breaks the
 * connection when something of the next has come by then). A batch that met another
 * transaction is sent anew.
 */
#include "push.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "lanes.h"

#define BATCH_BYTES ((size_t) 4 << 20)	/* of deltas, in one transaction */
#define BATCH_CHUNKS 256
#define TICK 50000				/* microseconds between drawings */

typedef struct sender
{
	push	   *push;
	pthread_mutex_t lock;
	unsigned long next;			/* chunk that nobody has taken */
	unsigned long *again;		/* chunks to be sent anew */
	unsigned long agains;
	_Atomic uint64_t done;		/* bytes of content */
	_Atomic uint64_t sent;		/* bytes of deltas */
	atomic_int	working;		/* lanes */
} sender;

typedef struct batch
{
	unsigned long chunk[BATCH_CHUNKS];
	size_t		length[BATCH_CHUNKS];	/* of their deltas */
	int			chunks;
	size_t		bytes;
} batch;

typedef struct worker
{
	sender	   *sender;
	lane	   *lane;
	wire_buffer content;
	wire_buffer prediction;
	batch		now;			/* being filled */
	uint8_t    *deltas;			/* of it, one behind the other */
	size_t		room;
	batch		before;			/* sent, and not heard of */
} worker;

/* ---- who does what ---- */

static bool
take_chunk(sender *s, unsigned long *number)
{
	bool		found = true;

	pthread_mutex_lock(&s->lock);
	if (s->agains > 0)
		*number = s->again[--s->agains];
	else if (s->next < s->push->chunks)
		*number = s->next++;
	else
		found = false;
	pthread_mutex_unlock(&s->lock);
	return found;
}

static bool
has_again(sender *s)
{
	bool		found;

	pthread_mutex_lock(&s->lock);
	found = s->agains > 0;
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void
give_back(sender *s, const batch *b)
{
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < b->chunks; i++)
	{
		s->again = array_grow(s->again, s->agains, sizeof *s->again);
		s->again[s->agains++] = b->chunk[i];
		s->done -= s->push->chunk[b->chunk[i]].bytes;
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- a delta ---- */

/* The first bytes of the SHA-256 of what the chunk is a piece of, as deltas carry it. */
static uint64_t
whole_of(const push_chunk *chunk)
{
	const model *content = &chunk->file->content;
	const uint8_t *digest = chunk->tensor ? chunk->file->tensor_sha256[chunk->tensor - content->header.tensor]
		: chunk->file->sha256;
	uint64_t	whole = 0;

	for (int i = 7; i >= 0; i--)
		whole = whole << 8 | digest[i];
	return whole;
}

/* The prediction, if there is one that can be named, and its reference; else NULL. */
static const uint8_t *
get_prediction(worker *w, const push_chunk *chunk, sparse_dtype dtype, sparse_ref *ref)
{
	const haves *haves = &w->sender->push->haves;
	wire_refs	refs = {.count = 1, .bytes = chunk->prediction.bytes, .range = {chunk->prediction}};
	const char *problem;

	if (!chunk->predicted || !haves_locate(haves, &chunk->prediction, dtype, ref))
		return NULL;
	return haves_get(haves, NULL, &refs, &w->prediction, &problem);
}

static size_t
make_delta(worker *w, const push_chunk *chunk, const uint8_t **delta)
{
	sparse_dtype dtype = chunk->tensor ? chunk->tensor->dtype : SPARSE_BYTES;
	sparse_ref	ref;
	const uint8_t *prediction = get_prediction(w, chunk, dtype, &ref);
	const uint8_t *content;
	size_t		delta_bytes;
	sparse_status status;

	wire_reserve(&w->content, (size_t) chunk->bytes);
	content = source_get(&chunk->file->content.file, chunk->file_offset, w->content.length, w->content.bytes);
	status = sparse_delta_encode(w->lane->codec, content, w->content.length, dtype, &ref, prediction != NULL,
								 prediction, prediction ? (size_t) chunk->prediction.bytes : 0, delta, &delta_bytes);
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", chunk->file->place, sparse_status_text(status));
	/* it lies in the codec's memory, which is ours */
	sparse_delta_bind((uint8_t *) *delta, whole_of(chunk), chunk->seq);
	return delta_bytes;
}

/* ---- the pipeline ---- */

/* A statement that is prepared lasts as long as the transaction: the next may meet another session. */
static void
begin_batch(const lane *l)
{
	char	   *sql = conn_sql(l->conn, "select @.sparse_write_delta($1::bigint, $2::text, $3::int, $4::@.sdelta, $5::text)");

	conn_begin(l->conn);
	if (!PQsendPrepare(l->conn->pg, "", sql, 0, NULL))
		conn_fail(l->conn, NULL);
	free(sql);
}

static void
queue_delta(const worker *w, const push_chunk *chunk, const uint8_t *delta, size_t delta_bytes)
{
	uint8_t		seq[4];
	const char *value[] = {
		w->sender->push->id, chunk->tensor ? chunk->tensor->name : NULL, (const char *) seq,
		(const char *) delta, chunk->file->path
	};
	const int	length[] = {0, 0, 4, (int) delta_bytes, 0};
	const int	format[] = {0, 0, 1, 1, 0};

	wire_put_int4(seq, chunk->seq);
	if (!PQsendQueryPrepared(w->lane->conn->pg, "", 5, value, length, format, 1))
		conn_fail(w->lane->conn, NULL);
}

/* Reads what became of the batch sent before; gives it back if it is to be repeated. */
static void
hear_of_batch(worker *w)
{
	bool		repeat = false;

	if (w->before.chunks == 0)
		return;
	for (;;)
	{
		PGresult   *result = PQgetResult(w->lane->conn->pg);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL && PQstatus(w->lane->conn->pg) == CONNECTION_BAD)
			conn_fail(w->lane->conn, NULL);
		if (status == PGRES_FATAL_ERROR && result != NULL)
		{
			if (!conn_must_repeat(result))
				conn_fail(w->lane->conn, result);
			repeat = true;
		}
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			break;
	}
	if (repeat)
		give_back(w->sender, &w->before);
	w->before.chunks = 0;
}

static void
end_batch(worker *w)
{
	const uint8_t *delta = w->deltas;

	if (w->now.chunks == 0)
		return;
	hear_of_batch(w);
	begin_batch(w->lane);
	for (int i = 0; i < w->now.chunks; i++)
	{
		queue_delta(w, &w->sender->push->chunk[w->now.chunk[i]], delta, w->now.length[i]);
		delta += w->now.length[i];
	}
	conn_end(w->lane->conn);
	w->before = w->now;
	w->now.chunks = 0;
	w->now.bytes = 0;
}

/* Keeps a delta until its batch is sent. */
static void
keep_delta(worker *w, const uint8_t *delta, size_t delta_bytes)
{
	if (w->room - w->now.bytes < delta_bytes)
	{
		uint8_t    *wider = allocate(w->now.bytes + delta_bytes + BATCH_BYTES);

		if (w->now.bytes > 0)
			memcpy(wider, w->deltas, w->now.bytes);
		free(w->deltas);
		w->deltas = wider;
		w->room = w->now.bytes + delta_bytes + BATCH_BYTES;
	}
	memcpy(w->deltas + w->now.bytes, delta, delta_bytes);
	w->now.bytes += delta_bytes;
}

static void
send_chunk(worker *w, unsigned long number)
{
	const push_chunk *chunk = &w->sender->push->chunk[number];
	const uint8_t *delta;
	size_t		delta_bytes = make_delta(w, chunk, &delta);

	keep_delta(w, delta, delta_bytes);
	w->now.length[w->now.chunks] = delta_bytes;
	w->now.chunk[w->now.chunks++] = number;
	w->sender->done += chunk->bytes;
	w->sender->sent += delta_bytes;
	if (w->now.bytes >= BATCH_BYTES || w->now.chunks == BATCH_CHUNKS)
		end_batch(w);
}

/* Until there is nothing to send, nothing to hear of, and nothing to repeat. */
static void
work(lane *l)
{
	worker	   *w = allocate(sizeof *w);
	unsigned long number;

	*w = (worker) {.sender = l->state, .lane = l};
	do
	{
		while (take_chunk(w->sender, &number))
			send_chunk(w, number);
		end_batch(w);
		hear_of_batch(w);
	} while (has_again(w->sender));
	w->sender->working--;
	wire_release(&w->content);
	wire_release(&w->prediction);
	free(w->deltas);
	free(w);
}

void
push_send(push *p, conn *c, int jobs, bool quiet)
{
	sender		s = {.push = p, .lock = PTHREAD_MUTEX_INITIALIZER};
	int			count = p->chunks < (unsigned long) jobs ? (int) p->chunks : jobs;
	progress	bar;
	lanes		l;

	if (count == 0)
		return;
	progress_begin(&bar, "sending", p->bytes, quiet);
	s.working = count;
	lanes_start(&l, c, count, work, &s);
	while (bar.shown && s.working > 0)
	{
		usleep(TICK);
		progress_reach(&bar, s.done);
	}
	lanes_wait(&l);
	progress_end(&bar);
	p->sent = s.sent;
	free(s.again);
}
