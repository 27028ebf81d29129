/*
 * serve_hf.c: the Hub's API, as far as it tells what there is (see serve.h).
 *
 * Each answer is one statement, which makes the JSON. Its first three columns are whether the
 * name exists, the commit that the revision means, and the JSON, null where there is no such entry; a
 * fourth is where the next page begins.
 */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define ISO(moment) "to_char(" moment " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* All files are objects of Git LFS to clients: they are known by their SHA-256. */
#define LFS(kind) "jsonb_build_object('" kind "', encode(f.sha256, 'hex'), 'size', f.bytes," \
	" 'pointerSize', 120 + length(f.bytes::text))"
#define ENTRY "jsonb_build_object('type', 'file', 'path', f.path, 'size', f.bytes, 'oid', left(encode(f.sha256, 'hex'), 40), 'lfs', " LFS("oid") ")"
#define LAST_COMMIT "jsonb_build_object('lastCommit', jsonb_build_object('id', v.commit, 'title', coalesce(v.message, 'Revision ' || v.revision)," \
	" 'date', " ISO("v.created_at") "))"

/* What is known of a version v; $1 of its statement is the name in the store. */
#define REPOSITORY "jsonb_build_object('_id', lpad(to_hex(v.id), 24, '0'), 'id', regexp_replace(v.name, '^datasets/', '')," \
	" 'modelId', regexp_replace(v.name, '^datasets/', ''), 'author', split_part(regexp_replace(v.name, '^datasets/', ''), '/', 1)," \
	" 'sha', left(encode(v.content_sha256, 'hex'), 40), 'lastModified', " ISO("v.created_at") ", 'createdAt', " ISO("v.created_at") "," \
	" 'private', false, 'gated', false, 'disabled', false, 'downloads', 0, 'likes', 0," \
	" 'tags', case jsonb_typeof(v.metadata -> 'tags') when 'array' then v.metadata -> 'tags' else '[]' end," \
	" 'cardData', jsonb_strip_nulls(jsonb_build_object('license', v.metadata -> 'license', 'base_model', v.metadata -> 'base_model'," \
	" 'tags', v.metadata -> 'tags')))" \
	" || jsonb_strip_nulls(jsonb_build_object('pipeline_tag', v.metadata -> 'pipeline_tag', 'library_name', v.metadata -> 'library_name'," \
	" 'config', v.metadata -> 'config'))"

static const char to_next[] = "; rel=\"next\"";

/* The same request with another cursor. */
static void
say_next(request *r, const char *cursor)
{
	char	   *base = request_base(r);
	char	   *text;
	size_t		length;
	FILE	   *out = open_memstream(&text, &length);
	size_t		path = strcspn(r->target, "?");
	const char *at = r->target + path;
	char		between = '?';

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	fprintf(out, "<%s%.*s", base, (int) path, r->target);
	while (*at)
	{
		size_t		argument = strcspn(++at, "&");

		if (argument > 0 && strncmp(at, "cursor=", 7) != 0)
		{
			fprintf(out, "%c", between);
			/* a link ends with '>', whatever is asked */
			for (size_t i = 0; i < argument; i++)
				fprintf(out, strchr("<>\"", at[i]) ? "%%%02X" : "%c", (unsigned char) at[i]);
			between = '&';
		}
		at += argument;
	}
	fprintf(out, "%ccursor=", between);
	for (; *cursor; cursor++)
		fprintf(out, "%%%02X", (unsigned char) *cursor);
	fprintf(out, ">%s", to_next);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	answer_header(r, "Link", "%s", text);
	free(text);
	free(base);
}

/* value[0] is the name, value[1] the revision, value[2], where there is one, the path. */
static enum MHD_Result
answer_json(request *r, const char *sql, int count, const char *const *value)
{
	PGresult   *result = request_ask(r, sql, count, value);
	enum MHD_Result done;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return answer_refusal(r, result);
	if (strcmp(PQgetvalue(result, 0, 0), "t") != 0)
		done = answer_failure(r, NO_REPO, "Repository not found: %s", value[0]);
	else if (PQgetisnull(result, 0, 1))
		done = answer_failure(r, NO_REVISION, "Revision not found: %s", value[1]);
	else if (PQgetisnull(result, 0, 2))
		done = answer_failure(r, NO_ENTRY, "Entry not found: %s", count > 2 ? value[2] : "");
	else
	{
		answer_header(r, "X-Repo-Commit", "%s", PQgetvalue(result, 0, 1));
		if (PQnfields(result) > 3 && !PQgetisnull(result, 0, 3))
			say_next(r, PQgetvalue(result, 0, 3));
		done = answer_text(r, 200, JSON_TYPE, PQgetvalue(result, 0, 2));
	}
	PQclear(result);
	return done;
}

/* ---- one repository ---- */

enum MHD_Result
hf_info(request *r, const char *name, const char *revision)
{
	static const char sql[] =
	WITH_VERSION
	" select " HAS_NAME ", v.commit,"
	" (" REPOSITORY " || jsonb_build_object('usedStorage', v.raw_bytes, 'siblings',"
	" (select coalesce(jsonb_agg(jsonb_build_object('rfilename', f.path) || case when $3::boolean then"
	" jsonb_build_object('size', f.bytes, 'blobId', left(encode(f.sha256, 'hex'), 40), 'lfs', " LFS("sha256") ") else '{}' end order by f.ordinal), '[]')"
	" from @.sparse_files(v.id) f))"
	" || coalesce((select jsonb_build_object('safetensors', jsonb_build_object('parameters', jsonb_object_agg(d.dtype, d.elements), 'total', sum(d.elements)))"
	" from (select t.dtype, sum(t.bytes * 8 / coalesce(substring(t.dtype from '[0-9]+')::bigint, 8)) as elements"
	" from @.sparse_tensors(v.id) t where t.file like '%.safetensors' group by t.dtype) d having count(*) > 0), '{}'))::text"
	" from (select 1) one left join v on true";
	const char *const value[] = {name, revision, request_asks(r, "blobs") ? "true" : "false"};

	return answer_json(r, sql, 3, value);
}

enum MHD_Result
hf_tree(request *r, const char *name, const char *revision, const char *path)
{
	static const char sql[] =
	WITH_VERSION
	", f as (select f.*, case when $3::text = '' then f.path else substr(f.path, length($3::text) + 2) end as rest"
	" from v, @.sparse_files(v.id) f where $3::text = '' or starts_with(f.path, $3::text || '/')),"
	" entry as (select f.path collate \"C\" as path, " ENTRY " as entry from f where $4::boolean or strpos(f.rest, '/') = 0"
	" union select case when $3::text = '' then '' else $3::text || '/' end || d.path,"
	" jsonb_build_object('type', 'directory', 'size', 0, 'path', case when $3::text = '' then '' else $3::text || '/' end || d.path,"
	" 'oid', left(encode(sha256(convert_to($1::text || ' ' || d.path, 'UTF8')), 'hex'), 40))"
	" from f, lateral (select array_to_string((string_to_array(f.rest, '/'))[1:n], '/') as path"
	" from generate_series(1, case when $4::boolean then cardinality(string_to_array(f.rest, '/')) - 1"
	" else least(1, cardinality(string_to_array(f.rest, '/')) - 1) end) n) d),"
	" page as (select entry.*, row_number() over (order by path) as n from entry where path > coalesce($6::text, '') order by path limit $7::integer + 1)"
	" select " HAS_NAME ", v.commit,"
	" case when $3::text = '' or exists (select from f) then"
	" (select coalesce(jsonb_agg(entry || case when $5::boolean then " LAST_COMMIT " else '{}' end order by path), '[]') from page where n <= $7::integer) end::text,"
	" (select path from page where n = $7::integer and exists (select from page where n > $7::integer))"
	" from (select 1) one left join v on true";
	const char *limit = request_argument(r, "limit");
	const char *const value[] = {
		name, revision, path, request_asks(r, "recursive") ? "true" : "false", request_asks(r, "expand") ? "true" : "false",
		request_argument(r, "cursor"), limit && atoi(limit) > 0 && atoi(limit) < 10000 ? limit : "1000"
	};

	return answer_json(r, sql, 7, value);
}

enum MHD_Result
hf_paths_info(request *r, const char *name, const char *revision)
{
	/* files, and folders of files; what is not there is left out, as by the Hub */
	static const char sql[] =
	WITH_VERSION
	", asked as (select distinct trim(both '/' from p) as path from unnest("
	" case when $3::jsonb is null then $4::text[] else (select coalesce(array_agg(e), '{}') from jsonb_array_elements_text($3::jsonb -> 'paths') e) end) p)"
	" select " HAS_NAME ", v.commit, (select coalesce(jsonb_agg(case when f.path is not null then " ENTRY
	" else jsonb_build_object('type', 'directory', 'size', 0, 'path', a.path,"
	" 'oid', left(encode(sha256(convert_to($1::text || ' ' || a.path, 'UTF8')), 'hex'), 40)) end"
	" || case when coalesce(($3::jsonb ->> 'expand')::boolean, $5::boolean, false) then " LAST_COMMIT " else '{}' end order by a.path), '[]')"
	" from asked a left join @.sparse_files(v.id) f on f.path = a.path"
	" where f.path is not null or exists (select from @.sparse_files(v.id) g where starts_with(g.path, a.path || '/')))::text"
	" from (select 1) one left join v on true";
	const char *type = request_header(r, "Content-Type");
	bool		form = type && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0;
	char	   *paths = form ? form_array(r, "paths") : NULL;
	char	   *expand = form ? form_array(r, "expand") : NULL;
	const char *const value[] = {
		name, revision, form ? NULL : r->body ? r->body : "{}", paths, form && expand && strcasecmp(expand, "{\"true\"}") == 0 ? "true" : "false"
	};
	enum MHD_Result result;

	if (form && paths == NULL)
		result = answer_failure(r, BAD_REQUEST, "a form that is none, or too long");
	else
		result = answer_json(r, sql, 5, value);
	free(paths);
	free(expand);
	return result;
}

enum MHD_Result
hf_refs(request *r, const char *name)
{
	static const char sql[] =
	WITH_VERSION
	" select " HAS_NAME ", v.commit, jsonb_build_object('branches', jsonb_build_array(jsonb_build_object("
	"'name', 'main', 'ref', 'refs/heads/main', 'targetCommit', v.commit)),"
	" 'tags', (select coalesce(jsonb_agg(jsonb_build_object('name', t.tag, 'ref', 'refs/tags/' || t.tag,"
	" 'targetCommit', left(encode(w.content_sha256, 'hex'), 40)) order by t.tag), '[]')"
	" from sparse.tag t join sparse.version w on w.id = t.version where t.name = $1::text and w.state = 'ready'),"
	" 'converts', jsonb_build_array(), 'pullRequests', jsonb_build_array())::text"
	" from (select 1) one left join v on true";
	const char *const value[] = {name, "main"};

	return answer_json(r, sql, 2, value);
}

enum MHD_Result
hf_commits(request *r, const char *name, const char *revision)
{
	static const char sql[] =
	WITH_VERSION
	", page as (select w.*, row_number() over (order by w.revision desc) as n from v join sparse.version w on w.name = v.name"
	" and w.kind = 'model' and w.state = 'ready' and w.revision <= v.revision"
	" where $3::integer is null or w.revision < $3::integer order by w.revision desc limit $4::integer + 1)"
	" select " HAS_NAME ", v.commit, (select coalesce(jsonb_agg(jsonb_build_object('id', left(encode(w.content_sha256, 'hex'), 40),"
	" 'title', coalesce(split_part(w.message, E'\\n', 1), 'Revision ' || w.revision), 'message', coalesce(w.message, ''),"
	" 'authors', jsonb_build_array(jsonb_build_object('user', w.created_by)), 'date', " ISO("w.created_at") ") order by w.revision desc), '[]')"
	" from page w where w.n <= $4::integer)::text,"
	" (select revision::text from page where n = $4::integer and exists (select from page where n > $4::integer))"
	" from (select 1) one left join v on true";
	const char *limit = request_argument(r, "limit");
	const char *const value[] = {
		name, revision, request_argument(r, "cursor"), limit && atoi(limit) > 0 && atoi(limit) < 1000 ? limit : "100"
	};

	return answer_json(r, sql, 4, value);
}

/* ---- all of them ---- */

enum MHD_Result
hf_list(request *r, bool datasets)
{
	/* names in order, or the newest first; filtered before they are counted */
	static const char by_name[] =
	"with page as (select v.*, n.next from (select name, max(revision) as revision, row_number() over (order by name) as next"
	" from sparse.version w where kind = 'model' and state = 'ready' and starts_with(name, 'datasets/') = $1::boolean"
	" and ($2::text is null or strpos(lower(name), lower($2::text)) > 0)"
	" and ($3::text is null or starts_with(regexp_replace(name, '^datasets/', ''), $3::text || '/'))"
	" and ($4::text[] = '{}' or w.metadata -> 'tags' ?& $4::text[])"
	" and ($5::text is null or name > $5::text) group by name order by name limit $6::integer + 1) n"
	" join sparse.version v on v.name = n.name and v.revision = n.revision)"
	" select true, 'main', (select coalesce(jsonb_agg(" REPOSITORY " order by v.next), '[]') from page v where v.next <= $6::integer)::text,"
	" (select name from page where next = $6::integer and exists (select from page where next > $6::integer))";
	static const char by_time[] =
	"with page as (select v.*, row_number() over (order by v.id desc) as next"
	" from sparse.version v where kind = 'model' and state = 'ready' and starts_with(name, 'datasets/') = $1::boolean"
	" and ($2::text is null or strpos(lower(name), lower($2::text)) > 0)"
	" and ($3::text is null or starts_with(regexp_replace(name, '^datasets/', ''), $3::text || '/'))"
	" and ($4::text[] = '{}' or v.metadata -> 'tags' ?& $4::text[])"
	" and ($5::text is null or v.id < $5::bigint)"
	" and not exists (select from sparse.version w where w.name = v.name and w.revision > v.revision and w.kind = 'model' and w.state = 'ready')"
	" order by v.id desc limit $6::integer + 1)"
	" select true, 'main', (select coalesce(jsonb_agg(" REPOSITORY " order by v.next), '[]') from page v where v.next <= $6::integer)::text,"
	" (select id::text from page where next = $6::integer and exists (select from page where next > $6::integer))";
	const char *limit = request_argument(r, "limit");
	const char *sort = request_argument(r, "sort");
	char	   *tags = request_array(r, "filter");
	const char *const value[] = {
		datasets ? "true" : "false", request_argument(r, "search"), request_argument(r, "author"), tags,
		request_argument(r, "cursor"), limit && atoi(limit) > 0 && atoi(limit) <= 1000 ? limit : "1000"
	};
	bool		newest = sort && (strcasecmp(sort, "lastModified") == 0 || strcasecmp(sort, "createdAt") == 0 ||
								 strcasecmp(sort, "last_modified") == 0 || strcasecmp(sort, "created_at") == 0);
	enum MHD_Result result = answer_json(r, newest ? by_time : by_name, 6, value);

	free(tags);
	return result;
}
