/*
 * serve_http.c: requests and answers (see serve.h).
 *
 * libmicrohttpd reads and writes; what a path, a range or an entity tag says is found out here.
 */
#include "serve.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define STREAM_BLOCK 65536		/* of the library's buffer */

/* ---- targets ---- */

static int
digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "%41" is "A", and in a query "+" is a space. NULL where it is not text, or has a zero byte. */
static char *
decode(const char *text, size_t length, bool plus)
{
	char	   *decoded = allocate(length + 1);
	char	   *to = decoded;

	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '%')
		{
			int			high = i + 2 < length ? digit_of(text[i + 1]) : -1;
			int			low = i + 2 < length ? digit_of(text[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
			{
				free(decoded);
				return NULL;
			}
			*to++ = (char) (high * 16 + low);
			i += 2;
		}
		else
			*to++ = plus && text[i] == '+' ? ' ' : text[i];
	}
	*to = '\0';
	return decoded;
}

/* Names and values of "a=b&c=d". False where there are too many, or any is malformed. */
static bool
parse_query(const char *text, size_t length, pair *list, int *count)
{
	const char *end = text + length;

	while (text < end)
	{
		const char *stop = memchr(text, '&', (size_t) (end - text));
		const char *equals;

		stop = stop ? stop : end;
		equals = memchr(text, '=', (size_t) (stop - text));
		if (stop > text)
		{
			char	   *name = decode(text, (size_t) ((equals ? equals : stop) - text), true);
			char	   *value = equals ? decode(equals + 1, (size_t) (stop - equals - 1), true) : format_text("%s", "");

			if (name == NULL || value == NULL || *count == MAX_QUERY)
			{
				free(name);
				free(value);
				return false;
			}
			list[(*count)++] = (pair) {name, value};
		}
		text = stop + 1;
	}
	return true;
}

/* Empty parts, as in "//" and at the end, are passed over; "." and ".." are nobody's name. */
static bool
parse_path(request *r, const char *text, size_t length)
{
	const char *end = text + length;

	while (text < end)
	{
		const char *stop = memchr(text, '/', (size_t) (end - text));

		stop = stop ? stop : end;
		if (stop > text)
		{
			char	   *part = r->parts < MAX_PARTS ? decode(text, (size_t) (stop - text), false) : NULL;

			if (part == NULL)
				return false;
			r->part[r->parts++] = part;
			if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
				return false;
		}
		text = stop + 1;
	}
	return true;
}

request *
request_new(hub *h, const char *target)
{
	request    *r = allocate(sizeof *r);
	size_t		path = strcspn(target, "?");

	*r = (request) {.hub = h, .target = format_text("%s", target)};
	clock_gettime(CLOCK_MONOTONIC, &r->begun);
	r->malformed = target[0] != '/' || !parse_path(r, target, path) ||
		(target[path] == '?' && !parse_query(target + path + 1, strlen(target + path + 1), r->query, &r->queries));
	atomic_fetch_add(&h->active, 1);
	return r;
}

static void
free_pairs(pair *list, int count)
{
	for (int i = 0; i < count; i++)
	{
		free(list[i].name);
		free(list[i].value);
	}
}

void
request_free(request *r)
{
	atomic_fetch_sub(&r->hub->active, 1);
	for (int i = 0; i < r->parts; i++)
		free(r->part[i]);
	free_pairs(r->query, r->queries);
	free_pairs(r->header, r->headers);
	free(r->target);
	free(r->body);
	free(r->role);
	free(r);
}

const char *
request_header(const request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *
request_argument(const request *r, const char *name)
{
	for (int i = 0; i < r->queries; i++)
		if (strcmp(r->query[i].name, name) == 0)
			return r->query[i].value;
	return NULL;
}

bool
request_asks(const request *r, const char *name)
{
	const char *value = request_argument(r, name);

	return value && (strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

static char *
make_array(const pair *list, int count, const char *name)
{
	char	   *text;
	size_t		length;
	FILE	   *out = open_memstream(&text, &length);
	int			found = 0;

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	putc('{', out);
	for (int i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
		{
			fputs(found++ ? ",\"" : "\"", out);
			for (const char *at = list[i].value; *at; at++)
			{
				if (*at == '"' || *at == '\\')
					putc('\\', out);
				putc(*at, out);
			}
			putc('"', out);
		}
	putc('}', out);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	return text;
}

char *
request_array(const request *r, const char *name)
{
	return make_array(r->query, r->queries, name);
}

char *
form_array(const request *r, const char *name)
{
	pair		list[MAX_QUERY];
	int			count = 0;
	bool		good = parse_query(r->body ? r->body : "", r->body_bytes, list, &count);
	char	   *array = good ? make_array(list, count, name) : NULL;

	free_pairs(list, count);
	return array;
}

char *
request_rest(const request *r, int first, int end)
{
	char	   *joined = format_text("%s", first < end ? r->part[first] : "");

	for (int i = first + 1; i < end; i++)
	{
		char	   *longer = format_text("%s/%s", joined, r->part[i]);

		free(joined);
		joined = longer;
	}
	return joined;
}

char *
request_base(const request *r)
{
	const char *host = request_header(r, "Host");

	if (r->hub->url)
		return format_text("%s", r->hub->url);
	/* it becomes part of links: nothing else may */
	if (host == NULL || host[0] == '\0' || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") != strlen(host))
		host = "localhost";
	return format_text("http://%s", host);
}

/* ---- answers ---- */

void
answer_header(request *r, const char *name, const char *format, ...)
{
	va_list		args;
	char	   *value;

	if (r->headers == MAX_ANSWER_HEADERS)
		return;
	va_start(args, format);
	if (vasprintf(&value, format, args) < 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	va_end(args);
	/* names and messages come from outside: they end no header */
	for (char *at = value; *at; at++)
		if ((unsigned char) *at < 0x20 || *at == 0x7f)
			*at = ' ';
	r->header[r->headers++] = (pair) {format_text("%s", name), value};
}

static enum MHD_Result
queue(request *r, unsigned status, const char *type, struct MHD_Response *response)
{
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	if (type)
		MHD_add_response_header(response, "Content-Type", type);
	for (int i = 0; i < r->headers; i++)
		MHD_add_response_header(response, r->header[i].name, r->header[i].value);
	r->status = status;
	result = MHD_queue_response(r->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result
answer_text(request *r, unsigned status, const char *type, const char *text)
{
	size_t		length = strlen(text);

	if (strcmp(r->method, "HEAD") != 0)
		atomic_fetch_add(&r->sent, length);
	return queue(r, status, type, MHD_create_response_from_buffer(length, (void *) text, MHD_RESPMEM_MUST_COPY));
}

enum MHD_Result
answer_nothing(request *r, unsigned status)
{
	return queue(r, status, NULL, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

enum MHD_Result
answer_stream(request *r, unsigned status, const char *type, uint64_t bytes,
			  MHD_ContentReaderCallback read, void *state, MHD_ContentReaderFreeCallback end)
{
	return queue(r, status, type, MHD_create_response_from_callback(bytes, STREAM_BLOCK, read, state, end));
}

enum MHD_Result
answer_failure(request *r, answer_error error, const char *format, ...)
{
	static const struct
	{
		unsigned	status;
		const char *code;		/* by which the Hub's clients know it */
	}			known[] = {
		[NO_REPO] = {404, "RepoNotFound"}, [NO_REVISION] = {404, "RevisionNotFound"}, [NO_ENTRY] = {404, "EntryNotFound"},
		[NO_TOKEN] = {401, NULL}, [FORBIDDEN] = {403, NULL}, [BAD_REQUEST] = {400, NULL}, [TOO_LARGE] = {413, NULL},
		[NOT_FOUND] = {404, NULL}, [NO_METHOD] = {405, NULL}, [NOT_IMPLEMENTED] = {501, NULL}, [CONFLICT] = {409, NULL},
		[UNAVAILABLE] = {503, NULL}, [BROKEN] = {500, NULL}
	};
	char	   *message;
	char	   *text;
	size_t		length;
	FILE	   *out;
	va_list		args;
	enum MHD_Result result;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0 || (out = open_memstream(&text, &length)) == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	va_end(args);
	fputs("{\"error\":", out);
	json_string(out, message);
	putc('}', out);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	if (known[error].code)
		answer_header(r, "X-Error-Code", "%s", known[error].code);
	answer_header(r, "X-Error-Message", "%s", message);
	if (error == NO_TOKEN)
		answer_header(r, "WWW-Authenticate", "Bearer realm=\"sparse\"");
	if (error == UNAVAILABLE)
		answer_header(r, "Retry-After", "5");
	result = answer_text(r, known[error].status, "application/json; charset=utf-8", text);
	free(message);
	free(text);
	return result;
}

enum MHD_Result
answer_refusal(request *r, PGresult *result)
{
	const char *code = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	answer_error error = BROKEN;
	enum MHD_Result done;

	if (code == NULL || strncmp(code, "08", 2) == 0 || strncmp(code, "57", 2) == 0 || strncmp(code, "53", 2) == 0)
		error = UNAVAILABLE;
	else if (strcmp(code, "42501") == 0)
		error = FORBIDDEN;
	else if (strcmp(code, "42704") == 0)
		error = NO_ENTRY;
	else if (strcmp(code, "40001") == 0 || strcmp(code, "40P01") == 0 || strcmp(code, "55000") == 0)
		error = CONFLICT;
	else if (strncmp(code, "22", 2) == 0 || strncmp(code, "23", 2) == 0 || strncmp(code, "54", 2) == 0)
		error = BAD_REQUEST;
	done = answer_failure(r, error, "%s", primary ? primary : "the database is not there");
	PQclear(result);
	return done;
}

/* ---- ranges and entity tags ---- */

/* A number of digits alone. False where it is none; what is too large is the largest. */
static bool
take_number(const char **text, uint64_t *number)
{
	if (!isdigit((unsigned char) **text))
		return false;
	for (*number = 0; isdigit((unsigned char) **text); (*text)++)
		*number = *number > (UINT64_MAX - 9) / 10 ? UINT64_MAX / 10 : *number * 10 + (uint64_t) (**text - '0');
	return true;
}

bool
parse_range(const char *text, uint64_t size, uint64_t *first, uint64_t *bytes, bool *bad)
{
	uint64_t	from = 0;
	uint64_t	to = 0;
	bool		has_from;
	bool		has_to;

	*bad = false;
	/* another unit, or a range that is none: as if it were not there (RFC 9110, 14.2) */
	if (text == NULL || strncasecmp(text, "bytes=", 6) != 0)
		return false;
	text += 6;
	text += strspn(text, " \t");
	has_from = take_number(&text, &from);
	if (*text++ != '-')
		return false;
	has_to = take_number(&text, &to);
	text += strspn(text, " \t");
	/* several ranges may be answered by the whole */
	if (*text != '\0' || (!has_from && !has_to) || (has_from && has_to && to < from))
		return false;
	if (!has_from)
	{
		*bad = to == 0 || size == 0;
		*first = to < size ? size - to : 0;
		*bytes = size - *first;
		return !*bad;
	}
	*bad = from >= size;
	if (*bad)
		return false;
	*first = from;
	*bytes = (has_to && to < size ? to + 1 : size) - from;
	return true;
}

bool
tag_matches(const char *list, const char *tag)
{
	size_t		length = strlen(tag);

	if (list == NULL)
		return false;
	while (*list)
	{
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		/* files do not change under a tag: a weak one is as good */
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (*list != '"')
			return false;
		if (strncmp(list + 1, tag, length) == 0 && list[1 + length] == '"')
			return true;
		list++;
		list += strcspn(list, "\"");
		list += *list == '"';
	}
	return false;
}

/* ---- the log ---- */

void
log_request(request *r)
{
	struct timespec now;
	char		when[32];
	time_t		today = time(NULL);
	struct tm	tm;
	const char *forwarded;
	unsigned	hundreds = r->status / 100;

	atomic_fetch_add(&r->hub->requests[hundreds < 6 ? hundreds : 0], 1);
	atomic_fetch_add(&r->hub->sent, r->sent);
	if (r->hub->quiet || r->connection == NULL)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	gmtime_r(&today, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	forwarded = request_header(r, "X-Forwarded-For");
	note("%s %s%s%s \"%s %s\" %u %llu %.3f", when, r->role ? r->role : "-", forwarded ? " for " : "", forwarded ? forwarded : "",
		 r->method ? r->method : "-", r->target, r->status, (unsigned long long) r->sent,
		 (double) (now.tv_sec - r->begun.tv_sec) + (double) (now.tv_nsec - r->begun.tv_nsec) / 1e9);
}
