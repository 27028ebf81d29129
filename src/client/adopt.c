/*
 * adopt.c: pg_sparse adopt: every model of a tree of folders becomes a version (adopt_find.c
 * finds them).
 *
 * Each comes after what it is made from, as far as that is in the tree: the bases that its
 * card names, the checkpoint or snapshot before it. Those are its parents, and their files
 * are at hand. Each is pushed by a process of its own, so that one that fails is reported
 * and the others go on; what is stored already is found so.
 */
#include "adopt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "push.h"

/* What a child process tells. */
typedef struct outcome
{
	char		version[24];
	bool		existed;
	uint64_t	sent;
} outcome;

/* ---- what is made from what ---- */

static void
add_link(adoptee *child, adoptee *from, const char *role)
{
	for (unsigned long i = 0; i < child->links; i++)
		if (child->link[i].from == from)
			return;
	child->link = array_grow(child->link, child->links, sizeof *child->link);
	child->link[child->links++] = (adopt_link) {from, role};
}

/* Another model of that name, the newest; a name that differs in case will do. NULL: none. */
static adoptee *
find_named(const adoption *a, const char *name, const adoptee *child)
{
	adoptee    *other_case = NULL;
	adoptee    *same = NULL;

	for (unsigned long i = 0; i < a->count; i++)
	{
		adoptee    *model = &a->model[i];

		if (strcmp(model->name, child->name) == 0)
			continue;
		if (strcmp(model->name, name) == 0)
			same = model;
		else if (strcasecmp(model->name, name) == 0)
			other_case = model;
	}
	return same ? same : other_case;
}

static void
link_bases(adoption *a, adoptee *child)
{
	model_card	card;

	card_read_folder(&card, child->place);
	for (unsigned long i = 0; i < card.bases; i++)
	{
		adoptee    *base = find_named(a, card.base[i], child);

		if (base)
			add_link(child, base, card.role);
	}
	card_close(&card);
}

/* Snapshots of a name and checkpoints of a run follow each other; adopt_find has put them in order. */
static void
link_chains(adoption *a)
{
	for (unsigned long i = 0; i < a->count; i++)
		for (unsigned long k = i; k-- > 0;)
		{
			adoptee    *model = &a->model[i];
			adoptee    *before = &a->model[k];

			if (model->run && before->run && strcmp(model->run, before->run) == 0)
			{
				add_link(model, before, "checkpoint");
				break;
			}
			if (model->commit && before->commit && strcmp(model->name, before->name) == 0)
			{
				add_link(model, before, "revision");
				break;
			}
		}
}

/* The next that is not done and whose links are, or, where they form a circle, any. */
static adoptee *
next_of(adoption *a)
{
	adoptee    *any = NULL;

	for (unsigned long i = 0; i < a->count; i++)
	{
		adoptee    *model = &a->model[i];
		bool		ready = true;

		if (model->done)
			continue;
		for (unsigned long k = 0; k < model->links; k++)
			ready &= model->link[k].from->done;
		if (ready)
			return model;
		any = any ? any : model;
	}
	return any;
}

/* ---- pushing ---- */

/* What the hub's cache says of a snapshot, as JSON; NULL where it is none. The caller frees it. */
static char *
metadata_of(const adoptee *model)
{
	if (model->commit == NULL)
		return NULL;
	return model->is_main ? format_text("{\"commit\": \"%s\", \"ref\": \"main\"}", model->commit)
		: format_text("{\"commit\": \"%s\"}", model->commit);
}

__attribute__((noreturn))
static void
push_in_child(const adoptee *model, const conn *like, const remote *r, int answer)
{
	outcome		o = {.existed = false};
	push_request request = {
		.path = model->place,
		.enters = adopt_enters,
		.enter_state = (void *) model,
		.name = model->name,
		.also_declared = true,
		.as_bytes = r->as_bytes,
		.quiet = r->quiet,
		.jobs = r->jobs
	};
	conn		c;
	push		p;

	for (unsigned long i = 0; i < model->links; i++)
	{
		const adoptee *from = model->link[i].from;

		if (!from->done || from->failed || from->version[0] == '\0')
			continue;
		push_add_parent(&request, from->version, model->link[i].role);
		request.haves.name = array_grow(request.haves.name, request.haves.count, sizeof *request.haves.name);
		request.haves.name[request.haves.count++] = from->place;
	}
	request.metadata = metadata_of(model);
	conn_open_like(&c, like);
	push_model(&p, &c, &request);
	o.existed = p.existed;
	o.sent = p.sent;
	snprintf(o.version, sizeof o.version, "%s", p.id);
	_exit(write(answer, &o, sizeof o) == (ssize_t) sizeof o ? STATUS_OK : STATUS_FAILED);
}

static void
adopt(adoptee *model, const conn *c, const remote *r)
{
	int			ends[2];
	outcome		o;
	pid_t		child;
	int			status = 0;

	if (!r->quiet)
		note("%s", model->name);
	if (pipe(ends) != 0)
		fail_file("open", "pipe");
	child = fork();
	if (child < 0)
		fail(STATUS_FAILED, NULL, "could not start a process");
	if (child == 0)
		push_in_child(model, c, r, ends[1]);
	close(ends[1]);
	model->failed = read(ends[0], &o, sizeof o) != (ssize_t) sizeof o;
	close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	model->done = true;
	/* without a server nothing else would succeed either */
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NO_SERVER)
		exit(STATUS_NO_SERVER);
	if (model->failed)
		return;
	model->existed = o.existed;
	model->sent = o.sent;
	snprintf(model->version, sizeof model->version, "%s", o.version);
}

/* ---- the report ---- */

/* A column of the report as an array. The caller frees it. */
static char *
column(const adoption *a, char *(*text_of) (const adoptee *))
{
	char	  **text = allocate(a->count * sizeof *text);
	char	   *array;

	for (unsigned long i = 0; i < a->count; i++)
		text[i] = text_of(&a->model[i]);
	array = wire_text_array((const char *const *) text, a->count);
	for (unsigned long i = 0; i < a->count; i++)
		free(text[i]);
	free(text);
	return array;
}

static char *
name_of(const adoptee *model)
{
	return format_text("%s", model->name);
}

static char *
version_of(const adoptee *model)
{
	return format_text("%s", model->version[0] ? model->version : "0");
}

static char *
outcome_of(const adoptee *model)
{
	return format_text("%s", model->failed ? "failed" : model->existed ? "known" : "stored");
}

static char *
sent_of(const adoptee *model)
{
	return format_text("%llu", (unsigned long long) model->sent);
}

static void
print_report(const adoption *a, conn *c, const remote *r)
{
	const char *const value[] = {column(a, name_of), column(a, version_of), column(a, outcome_of), column(a, sent_of)};
	PGresult   *result = conn_query(c, "select m.name, m.outcome, v.id as version, v.revision, v.raw_bytes, m.sent as sent_bytes, v.stored_bytes,"
									" round(v.stored_bytes / nullif(v.raw_bytes, 0)::numeric, 4) as fraction"
									" from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) with ordinality m (name, version, outcome, sent, n)"
									" left join sparse.version v on v.id = m.version order by m.n", 4, value);

	table_print(result, r->format);
	PQclear(result);
}

void
adopt_run(conn *c, const remote *r)
{
	adoption	a = {0};
	unsigned long failed = 0;
	adoptee    *model;

	open_many_files();
	adopt_find(&a, r->argument[0], r->root);
	for (unsigned long i = 0; i < a.count; i++)
		a.model[i].all = &a;
	link_chains(&a);
	for (unsigned long i = 0; i < a.count; i++)
		link_bases(&a, &a.model[i]);
	while ((model = next_of(&a)) != NULL)
	{
		adopt(model, c, r);
		failed += model->failed;
	}
	print_report(&a, c, r);
	if (failed > 0)
		fail(STATUS_FAILED, "Their errors stand above; the same command again takes up what is missing.",
			 "%lu of %lu models were not stored", failed, a.count);
	if (a.unseen > 0)
		fail(STATUS_FAILED, "They are named above.", "%lu places of \"%s\" could not be looked at", a.unseen, r->argument[0]);
}
