/*
 * serve_route.c: which function answers which path (see serve.h).
 *
 * Names of repositories have any number of parts, as names of versions do: a name ends where
 * a word of the API stands, at its second part at the earliest.
 */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static bool
is_get(const request *r)
{
	return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

/* Where one of the words stands as a part, from `first` on, with `after` parts behind it at least; the number of parts if nowhere. */
static int
find_word(const request *r, int first, const char *const *word, int words, int after)
{
	for (int i = first; i + after < r->parts; i++)
		for (int w = 0; w < words; w++)
			if (strcmp(r->part[i], word[w]) == 0)
				return i;
	return r->parts;
}

/* The version's name that a repository has: datasets that are files have a prefix of their own. */
static char *
name_of(const request *r, int first, int end, bool datasets)
{
	char	   *rest = request_rest(r, first, end);
	char	   *name = format_text("%s%s", datasets ? "datasets/" : "", rest);

	free(rest);
	return name;
}

/* ---- /healthz and /metrics ---- */

static enum MHD_Result
answer_health(request *r)
{
	PGresult   *result = pool_ask(r->hub->pool, NULL, false, "select 1", 0, NULL, false);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return answer_refusal(r, result);
	PQclear(result);
	return answer_text(r, 200, "text/plain; charset=utf-8", "ok\n");
}

static enum MHD_Result
answer_metrics(request *r)
{
	int			open;
	int			lent;
	char	   *text;
	size_t		length;
	FILE	   *out = open_memstream(&text, &length);
	enum MHD_Result result;

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	pool_count(r->hub->pool, &open, &lent);
	fprintf(out, "# HELP sparse_hub_requests_total Requests answered, by the class of their status.\n# TYPE sparse_hub_requests_total counter\n");
	for (int i = 1; i < 6; i++)
		fprintf(out, "sparse_hub_requests_total{status=\"%dxx\"} %llu\n", i, (unsigned long long) r->hub->requests[i]);
	fprintf(out, "# HELP sparse_hub_sent_bytes_total Bytes of bodies sent.\n# TYPE sparse_hub_sent_bytes_total counter\n"
			"sparse_hub_sent_bytes_total %llu\n", (unsigned long long) r->hub->sent);
	fprintf(out, "# HELP sparse_hub_active_requests Requests being answered.\n# TYPE sparse_hub_active_requests gauge\n"
			"sparse_hub_active_requests %d\n", r->hub->active);
	fprintf(out, "# HELP sparse_hub_connections Connections to the database.\n# TYPE sparse_hub_connections gauge\n"
			"sparse_hub_connections{state=\"open\"} %d\nsparse_hub_connections{state=\"lent\"} %d\n", open, lent);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	result = answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", text);
	free(text);
	return result;
}

/* ---- the Hub's API ---- */

typedef enum api_word
{
	API_REVISION, API_TREE, API_PATHS_INFO, API_COMMITS, API_REFS, API_OTHER
} api_word;

static enum MHD_Result
answer_word(request *r, api_word word, const char *name, int at)
{
	const char *revision = at + 1 < r->parts ? r->part[at + 1] : "main";
	enum MHD_Result result;
	char	   *path;

	switch (word)
	{
		case API_REVISION:
			return is_get(r) ? hf_info(r, name, revision) : answer_failure(r, NO_METHOD, "only GET");
		case API_TREE:
			path = request_rest(r, at + 2, r->parts);
			result = is_get(r) ? hf_tree(r, name, revision, path) : answer_failure(r, NO_METHOD, "only GET");
			free(path);
			return result;
		case API_PATHS_INFO:
			return strcmp(r->method, "POST") == 0 ? hf_paths_info(r, name, revision) : answer_failure(r, NO_METHOD, "only POST");
		case API_COMMITS:
			return is_get(r) ? hf_commits(r, name, revision) : answer_failure(r, NO_METHOD, "only GET");
		case API_REFS:
			return is_get(r) ? hf_refs(r, name) : answer_failure(r, NO_METHOD, "only GET");
		case API_OTHER:
			break;
	}
	return answer_failure(r, NOT_IMPLEMENTED, "this hub has no \"%s\"", r->part[at]);
}

/* /api/models/..., and /api/datasets/... */
static enum MHD_Result
answer_repository(request *r, bool datasets)
{
	static const char *const with_revision[] = {
		"revision", "tree", "paths-info", "commits",
		"preupload", "commit", "branch", "tag", "super-squash", "discussions", "xet-read-token", "xet-write-token", "resolve-cache"
	};
	static const char *const alone[] = {"refs", "settings", "lfs-files", "discussions"};
	int			at;
	char	   *name;
	api_word	word = API_OTHER;
	enum MHD_Result result;

	if (r->parts == 2)
		return is_get(r) ? hf_list(r, datasets) : answer_failure(r, NO_METHOD, "only GET");
	at = find_word(r, 3, with_revision, sizeof with_revision / sizeof *with_revision, 1);
	for (int i = 0; at < r->parts && i < API_REFS; i++)
		if (strcmp(r->part[at], with_revision[i]) == 0)
			word = (api_word) i;
	/* a word that ends the path: of a name with two parts at least, for such may the name end in */
	if (at == r->parts && r->parts >= 5)
	{
		at = find_word(r, r->parts - 1, alone, sizeof alone / sizeof *alone, 0);
		if (at < r->parts && strcmp(r->part[at], "refs") == 0)
			word = API_REFS;
	}
	name = name_of(r, 2, at, datasets);
	if (at < r->parts)
		result = answer_word(r, word, name, at);
	else
		result = is_get(r) ? hf_info(r, name, "main") : answer_failure(r, NO_METHOD, "only GET");
	free(name);
	return result;
}

static enum MHD_Result
answer_api(request *r)
{
	const char *what = r->parts > 1 ? r->part[1] : "";

	if (strcmp(what, "models") == 0 || strcmp(what, "datasets") == 0)
		return answer_repository(r, what[0] == 'd');
	if (strcmp(what, "whoami-v2") == 0 && r->parts == 2)
		return answer_whoami(r);
	return answer_failure(r, NOT_IMPLEMENTED, "this hub has no \"/api/%s\"", what);
}

/* /org/name/resolve/main/path, and /datasets/... */
static enum MHD_Result
answer_file(request *r)
{
	static const char *const words[] = {"resolve", "raw"};
	bool		datasets = r->parts > 0 && strcmp(r->part[0], "datasets") == 0;
	int			first = datasets ? 1 : 0;
	int			at = find_word(r, first + 1, words, 2, 2);
	char	   *name;
	char	   *path;
	enum MHD_Result result;

	if (at == r->parts)
		return answer_failure(r, NOT_FOUND, "there is nothing here");
	if (!is_get(r))
		return answer_failure(r, NO_METHOD, "only GET and HEAD");
	name = name_of(r, first, at, datasets);
	path = request_rest(r, at + 2, r->parts);
	result = file_answer(r, name, r->part[at + 1], path);
	free(name);
	free(path);
	return result;
}

enum MHD_Result
route(request *r)
{
	enum MHD_Result result;

	if (r->malformed)
		return answer_failure(r, BAD_REQUEST, "a path or query that is none");
	if (r->parts == 1 && is_get(r) && strcmp(r->part[0], "healthz") == 0)
		return answer_health(r);
	if (r->parts == 1 && is_get(r) && strcmp(r->part[0], "metrics") == 0)
		return answer_metrics(r);
	if (!authenticate(r, &result))
		return result;
	if (r->parts > 0 && strcmp(r->part[0], "api") == 0)
		return answer_api(r);
	return answer_file(r);
}
