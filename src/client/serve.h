/*
 * serve.h: what the parts of pg_sparse serve share: the hub, a request, and its answer.
 *
 *   serve.c        the command: listens, and stops
 *   serve_http.c   what HTTP is: paths, queries, headers, answers, ranges, the log
 *   serve_route.c  which function answers which path
 *   serve_auth.c   whose request it is
 *   serve_hf.c     the Hub's API: what there is
 *   serve_file.c   files
 *   serve_pool.c   connections to the database
 *
 * A request has a thread, and no connection but while a statement of its runs. All bodies of
 * JSON are made and read by the database: what came from outside is a parameter, never a part
 * of a statement.
 */
#ifndef SPARSE_CLIENT_SERVE_H
#define SPARSE_CLIENT_SERVE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <microhttpd.h>

#include "remote.h"
#include "serve_pool.h"

#define MAX_PARTS 64			/* of a path */
#define MAX_QUERY 64			/* arguments */
#define MAX_ANSWER_HEADERS 16

typedef struct hub
{
	pool	   *pool;
	const char *anonymous;		/* the role of who has no token; NULL: he is turned away */
	const char *url;			/* under which clients reach it; NULL: as they say */
	bool		quiet;			/* no access log */
	_Atomic uint64_t requests[6];	/* answered, by the hundreds of their status */
	_Atomic uint64_t sent;		/* bytes of bodies */
	atomic_int	active;			/* requests */
} hub;

typedef struct pair
{
	char	   *name;
	char	   *value;
} pair;

typedef struct request
{
	hub		   *hub;
	struct MHD_Connection *connection;
	const char *method;
	char	   *target;			/* as it came */
	char	   *part[MAX_PARTS];	/* of the path, decoded */
	int			parts;
	pair		query[MAX_QUERY];
	int			queries;
	bool		malformed;
	char	   *body;
	size_t		body_bytes;
	char	   *role;			/* as whom it is answered */
	bool		writes;			/* its token is good for that */
	pair		header[MAX_ANSWER_HEADERS];
	int			headers;
	unsigned	status;			/* of the answer; 0: there is none yet */
	_Atomic uint64_t sent;
	struct timespec begun;
} request;

/* What may become of a request; how it is said is up to the client's clients. */
typedef enum answer_error
{
	NO_REPO, NO_REVISION, NO_ENTRY, NO_TOKEN, FORBIDDEN, BAD_REQUEST, TOO_LARGE, NOT_FOUND, NO_METHOD, NOT_IMPLEMENTED, CONFLICT, UNAVAILABLE, BROKEN
} answer_error;

/* ---- serve_http.c ---- */

extern request *request_new(hub *h, const char *target);
extern void request_free(request *r);

/* A header of the request, or NULL; an argument of its query, or NULL. */
extern const char *request_header(const request *r, const char *name);
extern const char *request_argument(const request *r, const char *name);
extern bool request_asks(const request *r, const char *name);	/* for "1" or "true" */

/* An array of all arguments of that name, in PostgreSQL's form; of the query, or of a form's body. The caller frees it. */
extern char *request_array(const request *r, const char *name);
extern char *form_array(const request *r, const char *name);

/* The parts of the path from `first` on, joined. The caller frees it. */
extern char *request_rest(const request *r, int first, int end);

/* The address of this hub as the client knows it. The caller frees it. */
extern char *request_base(const request *r);

/* A header of the answer to come. */
__attribute__((format(printf, 3, 4)))
extern void answer_header(request *r, const char *name, const char *format, ...);

/* Answers. Each gives what the access handler returns. */
extern enum MHD_Result answer_text(request *r, unsigned status, const char *type, const char *text);
extern enum MHD_Result answer_nothing(request *r, unsigned status);
__attribute__((format(printf, 3, 4)))
extern enum MHD_Result answer_failure(request *r, answer_error error, const char *format, ...);

/* What the server refused, or that it is not there (NULL). Clears the result. */
extern enum MHD_Result answer_refusal(request *r, PGresult *result);

/* `bytes` bytes of `type` that `read` gives; `end` frees the state, also where nothing was asked for. */
extern enum MHD_Result answer_stream(request *r, unsigned status, const char *type, uint64_t bytes,
									 MHD_ContentReaderCallback read, void *state, MHD_ContentReaderFreeCallback end);

/* The Range header against `size` bytes: whether the client gets a part, or nothing can be (`*bad`). */
extern bool parse_range(const char *text, uint64_t size, uint64_t *first, uint64_t *bytes, bool *bad);

/* Whether a list of entity tags has this one, or is "*". */
extern bool tag_matches(const char *list, const char *tag);

extern void log_request(request *r);

/* ---- the others ---- */

extern enum MHD_Result route(request *r);

/* Whose request it is. False: it was answered. */
extern bool authenticate(request *r, enum MHD_Result *result);
extern enum MHD_Result answer_whoami(request *r);

/* A statement as the role of the request. */
extern PGresult *request_ask(request *r, const char *sql, int count, const char *const *value);

extern enum MHD_Result hf_list(request *r, bool datasets);
extern enum MHD_Result hf_info(request *r, const char *name, const char *revision);
extern enum MHD_Result hf_tree(request *r, const char *name, const char *revision, const char *path);
extern enum MHD_Result hf_paths_info(request *r, const char *name, const char *revision);
extern enum MHD_Result hf_refs(request *r, const char *name);
extern enum MHD_Result hf_commits(request *r, const char *name, const char *revision);
extern enum MHD_Result file_answer(request *r, const char *name, const char *revision, const char *path);

/*
 * "with v as (...)": the version that $1, a name, and $2, a revision, mean: main, a tag, a
 * commit (40 or 64 digits of the content's SHA-256), or the number of a revision.
 */
#define WITH_VERSION \
	"with v as (select v.*, left(encode(v.content_sha256, 'hex'), 40) as commit" \
	" from sparse.version v where v.name = $1::text and v.kind = 'model' and v.state = 'ready'" \
	" and case when $2::text in ('main', 'HEAD', 'refs/heads/main') then true" \
	" when $2::text ~ '^([0-9a-f]{40}|[0-9a-f]{64})$' then starts_with(encode(v.content_sha256, 'hex'), $2::text)" \
	" when $2::text ~ '^[0-9]+$' then v.revision::text = $2::text" \
	" else v.id = (select t.version from sparse.tag t where t.name = $1::text and t.tag = regexp_replace($2::text, '^refs/tags/', '')) end" \
	" order by v.revision desc limit 1)"

/* Whether there is the name at all. */
#define HAS_NAME "exists (select from sparse.version where name = $1::text and kind = 'model' and state = 'ready')"

#endif
