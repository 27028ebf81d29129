/*
 * push_send.c: makes deltas and sends them (see push.h).
 *
 * A lane takes unit after unit: a tensor, which it looks for in the parents at hand as a whole, or a chunk, which is coded against
 * what the server says. Some MiB of deltas form one transaction, sent as a pipeline with a statement for each tensor. It goes
 * on coding while the server works: what became of a batch is asked when the next one is complete, and only then is that one
 * sent, for poolers give the session away between two transactions (PgBouncer 1.18 breaks the
 * connection when something of the next has come by then). A batch that met another transaction is sent anew. What the
 * server cannot predict as it was told (chains may have become too long) is sent anew as it says itself.
 *
 * Tensors that others of their file may predict come when all lanes are done with the rest: the server must know those first.
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
#define BATCH_STATEMENTS 256
#define TICK 50000				/* microseconds between drawings */

typedef struct sender
{
	push	   *push;
	pthread_mutex_t lock;
	pthread_barrier_t early;	/* all lanes are done with the units before the late ones */
	unsigned long late;			/* the first of those */
	unsigned long next;			/* unit that nobody has taken */
	unsigned long *again;		/* chunks to be sent as the server says */
	unsigned long agains;
	_Atomic uint64_t done;		/* bytes of content */
	_Atomic uint64_t sent;		/* bytes of deltas */
	atomic_int	working;		/* lanes */
} sender;

/* Deltas of chunks that follow one another in one tensor or file. */
typedef struct statement
{
	unsigned long first;		/* chunk */
	unsigned long count;
	wire_array	seq;
	wire_array	delta;
	bool		declares;		/* what they refer to: */
	push_parents parents;
} statement;

typedef struct batch
{
	statement	list[BATCH_STATEMENTS];
	int			count;
	size_t		bytes;			/* of deltas and factors */
} batch;

typedef struct worker
{
	sender	   *sender;
	lane	   *lane;
	kin_files **kin;			/* of each local file, once it is needed */
	kin_part   *part;
	wire_buffer content;
	wire_buffer prediction;
	batch	   *now;			/* being filled */
	batch	   *before;			/* sent, and not heard of */
} worker;

/* ---- who does what ---- */

/* A unit of those before `end`, or a chunk that is to be sent again, as a unit. */
static bool
take_unit(sender *s, unsigned long end, push_unit *unit)
{
	bool		found = true;

	pthread_mutex_lock(&s->lock);
	if (s->agains > 0)
		*unit = (push_unit) {.first = s->again[--s->agains], .count = 1};
	else if (s->next < end)
		*unit = s->push->unit[s->next++];
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
give_back(sender *s, const statement *refused)
{
	pthread_mutex_lock(&s->lock);
	for (unsigned long i = 0; i < refused->count; i++)
	{
		s->again = array_grow(s->again, s->agains, sizeof *s->again);
		s->again[s->agains++] = refused->first + i;
		s->done -= s->push->chunk[refused->first + i].bytes;
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

static sparse_status
encode_as_laid_out(worker *w, const push_chunk *chunk, const uint8_t *content, const uint8_t **delta, size_t *delta_bytes)
{
	sparse_dtype dtype = chunk->tensor ? chunk->tensor->dtype : SPARSE_BYTES;
	sparse_ref	ref;
	const uint8_t *prediction = get_prediction(w, chunk, dtype, &ref);

	return sparse_delta_encode(w->lane->codec, content, w->content.length, dtype, &ref, prediction != NULL,
							   prediction, prediction ? (size_t) chunk->prediction.bytes : 0, delta, delta_bytes);
}

/* Where a chunk begins in its tensor. */
static uint64_t
place_of(const push_chunk *chunk)
{
	return chunk->file_offset - chunk->file->content.header.header_bytes - chunk->tensor->first;
}

/* searched: by what was chosen for the tensor at hand. The delta lies in the codec's memory. */
static size_t
make_delta(worker *w, const push_chunk *chunk, bool searched, const uint8_t **delta)
{
	const uint8_t *content;
	size_t		delta_bytes;
	sparse_status status = SPARSE_OK;

	wire_reserve(&w->content, (size_t) chunk->bytes);
	content = source_get(&chunk->file->content.file, chunk->file_offset, w->content.length, w->content.bytes);
	if (searched)
		kin_encode(w->part, place_of(chunk), chunk->bytes, content, w->prediction.bytes, delta, &delta_bytes);
	else
		status = encode_as_laid_out(w, chunk, content, delta, &delta_bytes);
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", chunk->file->place, sparse_status_text(status));
	/* it lies in the codec's memory, which is ours */
	sparse_delta_bind((uint8_t *) *delta, whole_of(chunk), chunk->seq);
	return delta_bytes;
}

/* ---- what predicts a tensor ---- */

static kin_files *
files_of(worker *w, const local_file *file)
{
	const push *p = w->sender->push;
	kin_files **k = &w->kin[file - p->local.file];

	if (*k == NULL)
	{
		*k = allocate(sizeof **k);
		push_kin_files(&p->kin, file, w->lane->codec, *k);
	}
	return *k;
}

/* Whether a recipe can be applied to the chunks as the server has cut them. */
static bool
fits_chunks(const worker *w, const push_unit *unit)
{
	const sparse_recipe *recipe = w->part->prediction.recipe;
	const push_chunk *chunk = &w->sender->push->chunk[unit->first];
	const uint64_t group = recipe == NULL ? 1 : recipe->unit * sparse_dtype_get(chunk->tensor->dtype)->bytes;

	for (unsigned long i = 0; group > 0 && i < unit->count; i++)
	{
		uint64_t	first = place_of(&chunk[i]);

		if (first % group != 0 || (chunk[i].bytes % group != 0 && first + chunk[i].bytes != chunk->tensor->bytes))
			return false;
	}
	return true;
}

static void
choose(worker *w, const push_unit *unit)
{
	const push_chunk *chunk = &w->sender->push->chunk[unit->first];
	const uint32_t number = 1 + (uint32_t) (chunk->tensor - chunk->file->content.header.tensor);
	kin_files  *k = files_of(w, chunk->file);

	k->chunk_bytes = 0;
	for (unsigned long i = 0; i < unit->count; i++)
		if (chunk[i].bytes > k->chunk_bytes)
			k->chunk_bytes = chunk[i].bytes;
	kin_choose(k, number, w->part);
	if (!fits_chunks(w, unit))
		kin_choose_as_it_is(k, w->part);
	wire_reserve(&w->prediction, (size_t) kin_most_bytes(w->part));
}

/* ---- statements ---- */

static void
release_batch(batch *b)
{
	for (int i = 0; i < b->count; i++)
	{
		wire_release(&b->list[i].seq.bytes);
		wire_release(&b->list[i].delta.bytes);
		push_parents_release(&b->list[i].parents);
	}
	b->count = 0;
	b->bytes = 0;
}

static statement *
add_statement(worker *w, unsigned long first)
{
	statement  *at = &w->now->list[w->now->count++];

	*at = (statement) {.first = first};
	wire_array_begin(&at->seq, WIRE_INT4);
	wire_array_begin(&at->delta, w->sender->push->kin.delta_type);
	return at;
}

/* One that says what its deltas refer to; with the factors, unless they were sent before. */
static void
add_declaration(worker *w, unsigned long first, bool factors)
{
	const push *p = w->sender->push;
	statement  *at = add_statement(w, first);

	at->declares = true;
	push_kin_name(&p->kin, p->chunk[first].file, w->part, w->lane->codec, &at->parents);
	if (!factors)
		wire_array_begin(&at->parents.factor, p->kin.delta_type);
	else
	{
		w->now->bytes += at->parents.factor_bytes;
		w->sender->sent += at->parents.factor_bytes;
	}
}

/* The last statement, where the chunk goes on with it; else a new one. */
static statement *
statement_for(worker *w, unsigned long number, bool declares)
{
	const push *p = w->sender->push;
	statement  *last = w->now->count > 0 ? &w->now->list[w->now->count - 1] : NULL;

	if (last == NULL || last->declares != declares || last->first + last->count != number || p->chunk[last->first].file != p->chunk[number].file ||
		p->chunk[last->first].tensor != p->chunk[number].tensor)
		return add_statement(w, number);
	return last;
}

/* ---- the pipeline ---- */

/* A statement that is prepared lasts as long as the transaction: the next may meet another session. */
static void
begin_batch(const lane *l)
{
	char	   *sql = conn_sql(l->conn, "select @.sparse_write_deltas($1::bigint, $2::text, $3::int[], $4::@.sdelta[], $5::text,"
							   " $6::text[], $7::bigint[], $8::@.sdelta[])");

	conn_begin(l->conn);
	if (!PQsendPrepare(l->conn->pg, "", sql, 0, NULL))
		conn_fail(l->conn, NULL);
	free(sql);
}

static void
queue_statement(const worker *w, const statement *at)
{
	const push_chunk *chunk = &w->sender->push->chunk[at->first];
	const char *value[] = {
		w->sender->push->id, chunk->tensor ? chunk->tensor->name : NULL, (const char *) at->seq.bytes.bytes,
		(const char *) at->delta.bytes.bytes, chunk->file->path, at->declares ? at->parents.have : "{}",
		at->declares ? (const char *) at->parents.number.bytes.bytes : NULL,
		at->declares ? (const char *) at->parents.factor.bytes.bytes : NULL
	};
	const int	length[] = {
		0, 0, (int) at->seq.bytes.length, (int) at->delta.bytes.length, 0, 0, (int) at->parents.number.bytes.length,
		(int) at->parents.factor.bytes.length
	};
	const int	format[] = {0, 0, 1, 1, 0, 0, 1, 1};

	if (!PQsendQueryPrepared(w->lane->conn->pg, "", 8, value, length, format, 1))
		conn_fail(w->lane->conn, NULL);
}

static void
queue_batch(const worker *w, const batch *b)
{
	begin_batch(w->lane);
	for (int i = 0; i < b->count; i++)
		queue_statement(w, &b->list[i]);
	conn_end(w->lane->conn);
}

/*
 * Reads what became of the batch sent before, whose statements answer in their order behind conn_begin's; gives those
 * back whose parents the server cannot use. False: the batch is to be repeated, all of it.
 */
static bool
read_answers(worker *w)
{
	bool		refused[BATCH_STATEMENTS] = {false};
	bool		repeat = false;
	int			answers = -1;

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
		if (status == PGRES_TUPLES_OK && answers++ >= 0 && answers <= w->before->count)
			refused[answers - 1] = PQntuples(result) == 1 && PQgetlength(result, 0, 0) == 1 && PQgetvalue(result, 0, 0)[0] == 0;
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			break;
	}
	for (int i = 0; i < w->before->count && !repeat; i++)
		if (refused[i])
			give_back(w->sender, &w->before->list[i]);
	return !repeat;
}

static void
hear_of_batch(worker *w)
{
	if (w->before->count == 0)
		return;
	while (!read_answers(w))
		queue_batch(w, w->before);
	release_batch(w->before);
}

static void
end_batch(worker *w)
{
	batch	   *sent = w->now;

	if (sent->count == 0)
		return;
	hear_of_batch(w);
	queue_batch(w, sent);
	w->now = w->before;
	w->before = sent;
}

static void
send_unit(worker *w, const push_unit *unit)
{
	bool		begun = false;

	if (unit->searched)
		choose(w, unit);
	for (unsigned long number = unit->first; number < unit->first + unit->count; number++)
	{
		const push_chunk *chunk = &w->sender->push->chunk[number];
		const uint8_t *delta;
		size_t		delta_bytes;
		statement  *at;

		if (w->now->bytes >= BATCH_BYTES || w->now->count == BATCH_STATEMENTS)
			end_batch(w);
		if (unit->searched && (!begun || w->now->count == 0))
			add_declaration(w, number, !begun);
		begun = true;
		delta_bytes = make_delta(w, chunk, unit->searched, &delta);
		at = statement_for(w, number, unit->searched);
		wire_array_add_int4(&at->seq, chunk->seq);
		wire_array_add(&at->delta, delta, delta_bytes);
		at->count++;
		w->now->bytes += delta_bytes;
		w->sender->done += chunk->bytes;
		w->sender->sent += delta_bytes;
	}
}

/* All units before `end`: until there is nothing to send, nothing to hear of, and nothing to send again. */
static void
send_units(worker *w, unsigned long end)
{
	push_unit	unit;

	do
	{
		while (take_unit(w->sender, end, &unit))
			send_unit(w, &unit);
		end_batch(w);
		hear_of_batch(w);
	} while (has_again(w->sender));
}

static void
release_worker(worker *w)
{
	for (unsigned long i = 0; i < w->sender->push->local.count; i++)
		if (w->kin[i] != NULL)
		{
			kin_close(w->kin[i]);
			free(w->kin[i]);
		}
	free(w->kin);
	free(w->part);
	wire_release(&w->content);
	wire_release(&w->prediction);
	free(w->now);
	free(w->before);
}

static void
work(lane *l)
{
	sender	   *s = l->state;
	worker		w = {
		.sender = s, .lane = l, .kin = allocate((s->push->local.count + 1) * sizeof *w.kin), .part = allocate(sizeof *w.part),
		.now = allocate(sizeof *w.now), .before = allocate(sizeof *w.before)
	};

	w.now->count = w.before->count = 0;
	w.now->bytes = w.before->bytes = 0;
	for (unsigned long i = 0; i < s->push->local.count; i++)
		w.kin[i] = NULL;
	send_units(&w, s->late);
	pthread_barrier_wait(&s->early);
	send_units(&w, s->push->units);
	s->working--;
	release_worker(&w);
}

static void
find_late(sender *s)
{
	const push *p = s->push;

	for (s->late = 0; s->late < p->units && !p->unit[s->late].late; s->late++)
		;
}

void
push_send(push *p, conn *c, int jobs, bool quiet)
{
	sender		s = {.push = p, .lock = PTHREAD_MUTEX_INITIALIZER};
	int			count = p->units < (unsigned long) jobs ? (int) p->units : jobs;
	progress	bar;
	lanes		l;

	if (count == 0)
		return;
	find_late(&s);
	if (pthread_barrier_init(&s.early, NULL, (unsigned) count) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	progress_begin(&bar, "sending", p->bytes, quiet);
	s.working = count;
	lanes_start(&l, c, count, work, &s);
	while (bar.shown && s.working > 0)
	{
		usleep(TICK);
		progress_reach(&bar, s.done);
	}
	lanes_wait(&l);
	pthread_barrier_destroy(&s.early);
	progress_end(&bar);
	p->sent = s.sent;
	free(s.again);
}
