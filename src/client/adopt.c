/*
 * adopt.c: pg_sparse adopt: every model of a tree of folders becomes a version.
 *
 * A model is a folder with .safetensors files (or a model_index.json) in it. Its name is the folder's path
 * below DIR; in the cache of Hugging Face's tools, ".../models--ORG--NAME/snapshots/X"
 * is ORG/NAME. A model whose own files name a base that is in the tree too comes after
 * it, and has the base's files at hand. Each is pushed by a process of its own, so that
 * one that fails is reported and the others go on; what is stored already is found so.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "folder.h"
#include "push.h"

typedef struct adoptee
{
	char	   *place;
	char	   *name;
	struct adoptee *base;		/* in the tree too; NULL: not */
	char	   *base_name;		/* that its files name, or NULL */
	bool		done;
	/* what came of it */
	bool		failed;
	bool		existed;
	char		version[24];	/* empty: none */
	uint64_t	sent;
} adoptee;

typedef struct adoption
{
	adoptee    *model;
	unsigned long count;
	size_t		root;			/* length of DIR and its slash */
	bool		at_root;		/* DIR is a model itself */
} adoption;

/* What a child process tells. */
typedef struct outcome
{
	char		version[24];
	bool		existed;
	uint64_t	sent;
} outcome;

/* ---- finding ---- */

/* ORG/NAME from a path of the hub's cache; NULL where it is none. The caller frees it. */
static char *
hub_name(const char *path)
{
	static const char mark[] = "models--";
	const char *at = strstr(path, mark);
	const char *snapshots = strstr(path, "/snapshots/");
	char	   *name;
	char	   *dashes;

	if (at == NULL || snapshots == NULL || snapshots < at)
		return NULL;
	name = format_text("%.*s", (int) (snapshots - at - (long) sizeof mark + 1), at + sizeof mark - 1);
	dashes = strstr(name, "--");
	if (dashes)
	{
		*dashes = '/';
		memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
	}
	return name;
}

static void
add_folder(adoption *a, const char *file)
{
	size_t		length = (size_t) (folder_base_name(file) - file);
	char	   *place = format_text("%.*s", (int) length - 1, file);
	char	   *name;

	if (length <= a->root || (a->count > 0 && strcmp(a->model[a->count - 1].place, place) == 0))
	{
		a->at_root |= length <= a->root;
		free(place);
		return;
	}
	name = hub_name(place);
	a->model = array_grow(a->model, a->count, sizeof *a->model);
	a->model[a->count++] = (adoptee) {
		.place = place,
		.name = name ? name : format_text("%s", place + a->root)
	};
}

static void
visit(void *state, const char *path, const char *relative)
{
	(void) relative;
	if (model_is_named_safetensors(path) || strcmp(folder_base_name(path), "model_index.json") == 0)
		add_folder(state, path);
}

static int
compare_places(const void *a, const void *b)
{
	return strcmp(((const adoptee *) a)->place, ((const adoptee *) b)->place);
}

static bool
is_below(const char *place, const char *folder)
{
	size_t		length = strlen(folder);

	return strncmp(place, folder, length) == 0 && place[length] == '/';
}

/* A folder within a model, as pipelines have them, is part of it. */
static void
drop_nested(adoption *a)
{
	unsigned long kept = 0;

	qsort(a->model, a->count, sizeof *a->model, compare_places);
	for (unsigned long i = 0; i < a->count; i++)
	{
		bool		nested = false;

		for (unsigned long k = 0; k < kept; k++)
			nested |= is_below(a->model[i].place, a->model[k].place) || strcmp(a->model[i].place, a->model[k].place) == 0;
		if (!nested)
			a->model[kept++] = a->model[i];
	}
	a->count = kept;
}

/* ---- bases ---- */

/* The name of the base that a model's own files tell; without opening its weights. The caller frees it. */
static char *
read_base_name(const char *place)
{
	static const char *const cards[] = {"adapter_config.json", "README.md"};
	char	   *name = NULL;

	for (size_t i = 0; i < sizeof cards / sizeof cards[0] && name == NULL; i++)
	{
		char	   *path = format_text("%s/%s", place, cards[i]);
		local_version card;

		if (access(path, R_OK) == 0)
		{
			local_open(&card, path, true);
			name = local_base_model(&card);
			local_close(&card);
		}
		free(path);
	}
	return name;
}

static void
find_bases(adoption *a)
{
	for (unsigned long i = 0; i < a->count; i++)
	{
		adoptee    *child = &a->model[i];

		child->base_name = read_base_name(child->place);
		for (unsigned long k = 0; child->base_name && k < a->count; k++)
			if (k != i && strcmp(a->model[k].name, child->base_name) == 0)
				child->base = &a->model[k];
	}
}

/* The next that is not done and whose base is, or, where bases form a circle, any. */
static adoptee *
next_of(adoption *a)
{
	adoptee    *any = NULL;

	for (unsigned long i = 0; i < a->count; i++)
	{
		adoptee    *model = &a->model[i];

		if (model->done)
			continue;
		if (model->base == NULL || model->base->done)
			return model;
		any = model;
	}
	return any;
}

/* ---- pushing ---- */

__attribute__((noreturn))
static void
push_in_child(const adoptee *model, const conn *like, const remote *r, int answer)
{
	outcome		o = {.existed = false};
	push_request request = {
		.path = model->place,
		.name = model->name,
		.as_bytes = r->as_bytes,
		.quiet = r->quiet,
		.jobs = r->jobs
	};
	conn		c;
	push		p;

	if (model->base && !model->base->failed)
	{
		request.haves.name = array_grow(NULL, 0, sizeof *request.haves.name);
		request.haves.name[request.haves.count++] = model->base->place;
	}
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
	int			status;

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
	while (waitpid(child, &status, 0) < 0)
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
	adoption	a = {.root = strlen(r->argument[0]) + 1};
	unsigned long failed = 0;
	adoptee    *model;

	open_many_files();
	if (!folder_is(r->argument[0]))
		fail(STATUS_FAILED, "Give the folder that the models lie in.", "\"%s\" is not a folder", r->argument[0]);
	folder_walk(r->argument[0], visit, &a);
	if (a.count == 0)
		fail(STATUS_FAILED, a.at_root ? "Give the folder above it, or push it." : NULL, "no folder in \"%s\" holds .safetensors files", r->argument[0]);
	drop_nested(&a);
	find_bases(&a);
	while ((model = next_of(&a)) != NULL)
	{
		adopt(model, c, r);
		failed += model->failed;
	}
	print_report(&a, c, r);
	if (failed > 0)
		fail(STATUS_FAILED, "Their errors stand above; the same command again takes up what is missing.",
			 "%lu of %lu models were not stored", failed, a.count);
}
