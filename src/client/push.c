/*
 * push.c: pg_sparse push: a local model as a new version.
 *
 * Hash everything, begin, ask what is wanted, send that, commit. All of it can be
 * repeated: a version begun before is found again by its content, and what it has
 * already is not wanted. Until the commit nobody sees anything.
 */
#include "push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char interrupted[] = "\npg_sparse: interrupted\n"
"hint: The same command again goes on where it broke off. Nothing is visible before it is complete.\n";

/* ---- parents ---- */

void
push_add_parent(push_request *r, const char *reference, const char *role)
{
	r->role = array_grow(r->role, r->parents.count, sizeof *r->role);
	r->parents.name = array_grow(r->parents.name, r->parents.count, sizeof *r->parents.name);
	r->role[r->parents.count] = role;
	r->parents.name[r->parents.count++] = reference;
}

/* The newest ready version of a name, else of one that differs in case; or NULL. The caller frees it. */
static char *
find_name(conn *c, const char *name)
{
	const char *const value[] = {name};
	PGresult   *result = conn_query(c, "(select id from sparse.version where name = $1 and state = 'ready' and kind = 'model' order by revision desc limit 1)"
									" union all (select id from sparse.version where lower(name) = lower($1) and state = 'ready' and kind = 'model'"
									" order by id desc limit 1) limit 1", 1, value);
	char	   *id = PQntuples(result) > 0 ? format_text("%s", PQgetvalue(result, 0, 0)) : NULL;

	PQclear(result);
	return id;
}

/* The version of the first model that is at hand, or NULL. The caller frees it. */
static char *
version_at_hand(const push *p, bool quiet)
{
	for (unsigned long i = 0; i < p->haves.count; i++)
	{
		const have_file *file = &p->haves.file[i];

		if (file->content.kind == SPARSE_FILE_BYTES)
			continue;
		if (!quiet)
			note("parent: version %s, which \"%s\" belongs to", file->version, file->path);
		return format_text("%s", file->version);
	}
	return NULL;
}

static bool
has_parent(const push_request *r, const char *id)
{
	for (unsigned long i = 0; i < r->parents.count; i++)
		if (strcmp(r->parents.name[i], id) == 0)
			return true;
	return false;
}

/* All bases that the model's own files name and the store has. */
static void
add_declared(const push *p, conn *c, push_request *r)
{
	for (unsigned long i = 0; i < p->card.bases; i++)
	{
		const char *base = p->card.base[i];
		char	   *id;

		if (strcmp(base, r->name) == 0)
			continue;
		id = find_name(c, base);
		if (id && !r->quiet)
			note("parent: \"%s\", which the model's own files name", base);
		else if (!r->quiet)
			note("note: the model's own files name \"%s\" as its base, which is not in the store", base);
		if (id && !has_parent(r, id))
			push_add_parent(r, id, p->card.role);
		else
			free(id);
	}
}

/* Where no parent was named: those of the model card, or the first version that is at hand. */
static void
suggest_parents(push *p, conn *c, push_request *r)
{
	char	   *id;

	if (r->no_parent || (r->parents.count > 0 && !r->also_declared))
		return;
	add_declared(p, c, r);
	if (r->parents.count > 0)
		return;
	id = version_at_hand(p, r->quiet);
	if (id)
		push_add_parent(r, id, "finetune");
}

/* ---- the card ---- */

static const char *
place_of(const local_version *v, const char *path)
{
	const local_file *file = local_find(v, path);

	return file ? file->place : NULL;
}

static void
read_card(push *p)
{
	const card_places places = {
		place_of(&p->local, "README.md"), place_of(&p->local, "adapter_config.json"), place_of(&p->local, "config.json")
	};

	card_read(&p->card, &places);
}

/* ---- the version ---- */

static char *
roles_array(const push_request *r)
{
	return r->parents.count > 0 ? wire_text_array(r->role, r->parents.count) : NULL;
}

static void
begin_version(push *p, conn *c, const push_request *r)
{
	char	   *files = local_json(&p->local);
	char	   *parents = wire_text_array(r->parents.name, r->parents.count);
	char	   *roles = roles_array(r);
	/* of this statement alone: a pooler may give the session to others */
	const char *find = r->no_parent ? "off" : NULL;
	const char *const value[] = {r->name, files, parents, roles, r->metadata ? r->metadata : "{}", p->haves.array, p->card.metadata, find, r->message ? r->message : ""};
	PGresult   *result = conn_query_again(c, "select case when ($8::text is null or set_config('sparse.find_parents', $8::text, true) = $8::text)"
											" and set_config('sparse.message', $9::text, true) = $9::text"
											" then @.sparse_begin($1::text, $2::jsonb, $3::text[], $4::text[],"
											" case when jsonb_typeof($5::jsonb) = 'object' then $7::jsonb || $5::jsonb else $5::jsonb end, $6::text[]) end", 9, value);

	snprintf(p->id, sizeof p->id, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	free(files);
	free(parents);
	free(roles);
}

static bool
is_ready(const push *p, conn *c)
{
	const char *const value[] = {p->id};
	PGresult   *result = conn_query(c, "select state from sparse.version where id = $1", 1, value);
	bool		ready = PQntuples(result) > 0 && strcmp(PQgetvalue(result, 0, 0), "ready") == 0;

	PQclear(result);
	return ready;
}

/* A file that somebody wrote to meanwhile, or NULL. */
static const source *
find_changed(const push *p)
{
	for (unsigned long i = 0; i < p->local.count; i++)
		if (!source_is_unchanged(&p->local.file[i].content.file))
			return &p->local.file[i].content.file;
	for (unsigned long i = 0; i < p->haves.count; i++)
		if (!source_is_unchanged(&p->haves.file[i].content.file))
			return &p->haves.file[i].content.file;
	return NULL;
}

/* Chunks that are wrong would be found again by every repetition. What the hint is to say of it. */
static const char *
give_up(const push *p, conn *c)
{
	const char *const value[] = {p->id};
	PGresult   *result = conn_try_again(c, "select @.sparse_abort($1::bigint)", 1, value);
	bool		given_up = PQresultStatus(result) == PGRES_TUPLES_OK;

	PQclear(result);
	return given_up ? "The upload was given up: the same command again sends everything anew."
		: "Give the upload up with sparse_abort(), then try again.";
}

static void
commit_version(push *p, conn *c)
{
	const char *const value[] = {p->id};
	const source *changed = find_changed(p);
	PGresult   *result;

	if (changed)
		fail(STATUS_FAILED, give_up(p, c), "\"%s\" has changed while it was pushed", changed->path);
	result = conn_try_again(c, "select @.sparse_commit($1::bigint)", 1, value);
	if (conn_found_damage(result))
		fail(STATUS_DAMAGED, give_up(p, c), "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		conn_fail(c, result);
	snprintf(p->id, sizeof p->id, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
}

static void
hash_all(push *p, conn *c, const push_request *r)
{
	hash_jobs	jobs = {0};

	haves_open(&p->haves, &r->haves, &jobs);
	local_hash(&p->local, &jobs);
	hash_run(&jobs, "reading", r->quiet);
	haves_ask(&p->haves, c);
}

void
push_model(push *p, conn *c, const push_request *request)
{
	push_request r = *request;

	*p = (push) {0};
	local_open(&p->local, r.path, r.enters, r.enter_state, r.files, r.as_bytes);
	read_card(p);
	hash_all(p, c, &r);
	suggest_parents(p, c, &r);
	begin_version(p, c, &r);
	p->existed = is_ready(p, c);
	if (p->existed)
		return;
	push_kin_open(&p->kin, c, &p->local, &p->haves, p->id, &r.parents);
	push_layout(p, c);
	push_send(p, c, r.jobs, r.quiet);
	commit_version(p, c);
}

void
push_close(push *p)
{
	local_close(&p->local);
	card_close(&p->card);
	haves_close(&p->haves);
	push_kin_close(&p->kin);
	free(p->chunk);
	free(p->unit);
}

/* ---- the adapter ---- */

/* The version that holds the adapter: one that is there, or a new one beside NAME. The caller frees it. */
static char *
push_adapter(conn *c, const remote *r)
{
	push_request request = {
		.path = r->adapter,
		.name = format_text("%s-adapter", r->argument[1]),
		.no_parent = true,
		.quiet = r->quiet,
		.jobs = r->jobs
	};
	name_list	file = {.name = &request.path, .count = 1};
	hash_jobs	jobs = {0};
	haves		known;
	push		p;
	char	   *id;

	haves_open(&known, &file, &jobs);
	hash_run(&jobs, "reading", r->quiet);
	haves_find(&known, c);
	id = known.file[0].version[0] ? format_text("%s", known.file[0].version) : NULL;
	haves_close(&known);
	if (id)
		return id;
	push_model(&p, c, &request);
	id = format_text("%s", p.id);
	push_close(&p);
	return id;
}

/* ---- the command ---- */

static void
print_result(const push *p, conn *c, const remote *r)
{
	char		sent[24];
	const char *const value[] = {p->id, sent, p->existed ? "t" : "f"};
	PGresult   *result;

	snprintf(sent, sizeof sent, "%llu", (unsigned long long) p->sent);
	result = conn_query(c, "select id as version, name || '@' || revision as name, raw_bytes, stored_bytes,"
						" $2::bigint as sent_bytes, $3::boolean as existed from sparse.version where id = $1::bigint", 3, value);
	if (PQntuples(result) == 0)
		printf("version  %s\n", p->id);
	else if (!r->quiet || r->format != TABLE_ALIGNED)
		table_print_record(result, 0, r->format);
	PQclear(result);
}

void
push_run(conn *c, const remote *r)
{
	push_request request = {
		.path = r->argument[0],
		.files = &r->files,
		.name = r->argument[1],
		.haves = r->haves,
		.metadata = r->metadata,
		.message = r->message,
		.no_parent = r->no_parent,
		.as_bytes = r->as_bytes,
		.quiet = r->quiet,
		.jobs = r->jobs
	};
	push		p;

	open_many_files();
	for (unsigned long i = 0; i < r->parents.count; i++)
		push_add_parent(&request, r->parents.name[i], "finetune");
	conn_on_interrupt(c, interrupted);
	conn_resume_hint = "The same command again goes on where it broke off. Nothing is visible before it is complete.";
	if (r->adapter)
		push_add_parent(&request, push_adapter(c, r), "adapter");
	push_model(&p, c, &request);
	print_result(&p, c, r);
	push_close(&p);
}
