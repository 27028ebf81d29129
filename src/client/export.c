/*
 * export.c: the way back from adopt, and what differs from it: export, status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "hashing.h"
#include "local.h"
#include "plan/path.h"
#include "remote.h"
#include "wire.h"

/* ---- export ---- */

static const char newest_models[] =
"select id, name from (select distinct on (name) id, name from sparse.version"
" where state = 'ready' and kind = 'model' and exact and ($1::text is null or name like $1) order by name, revision desc) v";

static void
export_one(conn *c, const remote *r, const char *id, const char *name)
{
	remote		one = *r;
	char	   *output = format_text("%s/%s/", r->argument[0], name);

	/* a name is somebody's word */
	if (!sparse_path_is_safe(name))
		fail(STATUS_DAMAGED, NULL, "the name \"%s\" leads elsewhere", name);
	one.argument[0] = id;
	one.arguments = 1;
	one.output = output;
	one.quiet = true;
	pull_run(c, &one);
	if (!r->quiet)
	{
		print_safely(name);
		putchar('\n');
	}
	free(output);
}

void
export_run(conn *c, const remote *r)
{
	char	   *like = r->arguments > 1 ? like_pattern(r->argument[1]) : NULL;
	const char *const value[] = {like};
	PGresult   *result = conn_query(c, newest_models, 1, value);

	for (int i = 0; i < PQntuples(result); i++)
		export_one(c, r, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	if (PQntuples(result) == 0 && !r->quiet)
		note("there is no model of such a name");
	PQclear(result);
	free(like);
}

/* ---- status ---- */

static const char differing_files[] =
"select case when f.path is null then 'only here' when l.path is null then 'missing' else 'changed' end as status,"
" coalesce(l.path, f.path) as path, l.bytes, f.bytes as version_bytes"
" from unnest($2::text[], $3::text[], $4::bigint[]) l (path, sha256, bytes)"
" full join (select path, encode(sha256, 'hex') as sha256, bytes from @.sparse_files($1::text)) f on f.path = l.path"
" where l.sha256 is distinct from f.sha256 order by 2";

/* One array of texts for each column of what is here. */
typedef struct listing
{
	const char **path;
	const char **sha256;
	const char **bytes;
} listing;

static void
list_files(const local_version *v, listing *l)
{
	const unsigned long room = (v->count + 1) * sizeof(char *);

	*l = (listing) {allocate(room), allocate(room), allocate(room)};
	for (unsigned long i = 0; i < v->count; i++)
	{
		char	   *digest = allocate(2 * SHA256_BYTES + 1);

		sha256_text(v->file[i].sha256, digest);
		l->path[i] = v->file[i].path;
		l->sha256[i] = digest;
		l->bytes[i] = format_text("%llu", (unsigned long long) v->file[i].content.file.bytes);
	}
}

static void
release_listing(const local_version *v, listing *l)
{
	for (unsigned long i = 0; i < v->count; i++)
	{
		free((char *) l->sha256[i]);
		free((char *) l->bytes[i]);
	}
	free(l->path);
	free(l->sha256);
	free(l->bytes);
}

void
status_run(conn *c, const remote *r)
{
	hash_jobs	jobs = {0};
	local_version here;
	listing		list;
	PGresult   *result;

	open_many_files();
	local_open(&here, r->argument[0], NULL, NULL, &r->files, true);
	local_hash(&here, &jobs);
	hash_run(&jobs, "reading", true);
	list_files(&here, &list);
	{
		char	   *paths = wire_text_array(list.path, here.count);
		char	   *digests = wire_text_array(list.sha256, here.count);
		char	   *bytes = wire_text_array(list.bytes, here.count);
		const char *const value[] = {r->argument[1], paths, digests, bytes};

		result = conn_query(c, differing_files, 4, value);
		free(paths);
		free(digests);
		free(bytes);
	}
	if (PQntuples(result) > 0 || r->format != TABLE_ALIGNED)
		table_print(result, r->format);
	else
		puts("nothing differs");
	PQclear(result);
	release_listing(&here, &list);
	local_close(&here);
}
