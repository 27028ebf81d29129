/*
 * serve.c: pg_sparse serve: an HTTP server in front of the database (see serve.h).
 *
 * It keeps nothing but its connections: any number of them run beside each other, and one
 * that is killed takes nothing along. TLS is a proxy's business.
 */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define DEFAULT_LISTEN "127.0.0.1:8080"
#define MAX_CLIENTS 1000
#define CLIENT_TIMEOUT 60		/* seconds without a byte */
#define STACK_BYTES ((size_t) 512 << 10)
#define MAX_BODY ((size_t) 64 << 20)
#define GRACE 30				/* seconds for what is being answered */
#define ACTIVATED_SOCKET 3		/* systemd's first, sd_listen_fds(3) */

/* ---- requests ---- */

static void *
on_target(void *state, const char *target, struct MHD_Connection *connection)
{
	request    *r = request_new(state, target);

	r->connection = connection;
	return r;
}

/* What the library would decode is decoded by request_new, part by part. */
static size_t
leave_encoded(void *state, struct MHD_Connection *connection, char *text)
{
	(void) state;
	(void) connection;
	return strlen(text);
}

static void
on_end(void *state, struct MHD_Connection *connection, void **own, enum MHD_RequestTerminationCode code)
{
	request    *r = *own;

	(void) state;
	(void) connection;
	(void) code;
	if (r == NULL)
		return;
	if (r->status != 0)
		log_request(r);
	request_free(r);
	*own = NULL;
}

/* Keeps a piece of the body. False: there is too much. */
static bool
keep_body(request *r, const char *data, size_t bytes)
{
	char	   *longer;

	if (bytes > MAX_BODY - r->body_bytes)
		return false;
	longer = realloc(r->body, r->body_bytes + bytes + 1);
	if (longer == NULL)
		return false;
	memcpy(longer + r->body_bytes, data, bytes);
	r->body = longer;
	r->body_bytes += bytes;
	r->body[r->body_bytes] = '\0';
	return true;
}

/* Called when the headers are there, for each piece of the body, and when all is there. */
static enum MHD_Result
on_request(void *state, struct MHD_Connection *connection, const char *target, const char *method,
		   const char *version, const char *data, size_t *bytes, void **own)
{
	request    *r = *own;
	const char *length;

	(void) state;
	(void) connection;
	(void) target;
	(void) version;
	if (r->method == NULL)
	{
		r->method = method;
		length = request_header(r, "Content-Length");
		if (length && strtoull(length, NULL, 10) > MAX_BODY)
			return answer_failure(r, TOO_LARGE, "a body of more than %d MiB", (int) (MAX_BODY >> 20));
		return MHD_YES;
	}
	if (*bytes > 0)
	{
		bool		kept = keep_body(r, data, *bytes);

		*bytes = 0;
		/* too late for an answer */
		return kept ? MHD_YES : MHD_NO;
	}
	return r->status == 0 ? route(r) : MHD_YES;
}

/* ---- listening ---- */

/* "HOST:PORT", "[::1]:PORT" or ":PORT", to a socket that listens. */
static int
listen_on(const char *text)
{
	const char *colon = strrchr(text, ':');
	const char *host_end = colon;
	const char *host_begin = text;
	char	   *host;
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int			code;
	int			one = 1;
	int			s;

	if (colon == NULL || colon[1] == '\0')
		fail_usage("serve", "--listen takes HOST:PORT, not \"%s\"", text);
	if (*text == '[' && colon > text && colon[-1] == ']')
	{
		host_begin++;
		host_end--;
	}
	host = format_text("%.*s", (int) (host_end - host_begin), host_begin);
	code = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
	if (code != 0)
		fail(STATUS_FAILED, NULL, "could not listen on \"%s\": %s", text, gai_strerror(code));
	s = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
		bind(s, found->ai_addr, found->ai_addrlen) != 0 || listen(s, 511) != 0)
		fail(STATUS_FAILED, "Another address or port: --listen HOST:PORT.", "could not listen on \"%s\": %s", text, strerror(errno));
	freeaddrinfo(found);
	free(host);
	return s;
}

/* The socket that systemd listens on for us, or -1. */
static int
activated_socket(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");

	return pid && count && atol(pid) == (long) getpid() && atoi(count) > 0 ? ACTIVATED_SOCKET : -1;
}

/* The port may have been 0: what it is now. */
static void
say_address(int s)
{
	struct sockaddr_storage address;
	socklen_t	length = sizeof address;
	char		host[NI_MAXHOST];
	char		port[NI_MAXSERV];

	if (getsockname(s, (struct sockaddr *) &address, &length) == 0 &&
		getnameinfo((struct sockaddr *) &address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		note(strchr(host, ':') ? "listening on [%s]:%s" : "listening on %s:%s", host, port);
}

/* ---- the command ---- */

/* Ends when a signal comes; before that, what is being answered is. */
static void
wait_for_end(hub *h, struct MHD_Daemon *daemon, const sigset_t *signals)
{
	int			number;
	int			left = GRACE * 10;

	sigwait(signals, &number);
	note("stopping: no new requests");
	MHD_quiesce_daemon(daemon);
	while (h->active > 0 && left-- > 0)
		usleep(100000);
}

void
serve_run(conn *c, const remote *r)
{
	hub			h = {.anonymous = r->anonymous, .url = r->url, .quiet = r->quiet};
	int			s = activated_socket();
	sigset_t	signals;
	struct MHD_Daemon *daemon;

	/* blocks are given back to the system, whichever thread had them */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_ARENA_MAX, 4);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	client_has_threads = true;
	h.pool = pool_new(c, r->jobs);
	if (s < 0)
		s = listen_on(r->listen ? r->listen : DEFAULT_LISTEN);
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0,
							  NULL, NULL, on_request, NULL,
							  MHD_OPTION_LISTEN_SOCKET, s,
							  MHD_OPTION_CONNECTION_LIMIT, (unsigned) MAX_CLIENTS,
							  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) CLIENT_TIMEOUT,
							  MHD_OPTION_THREAD_STACK_SIZE, STACK_BYTES,
							  MHD_OPTION_URI_LOG_CALLBACK, on_target, &h,
							  MHD_OPTION_STRICT_FOR_CLIENT, 1,
							  MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
							  MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
							  MHD_OPTION_END);
	if (daemon == NULL)
		fail(STATUS_FAILED, NULL, "could not start the HTTP server");
	say_address(s);
	wait_for_end(&h, daemon, &signals);
	MHD_stop_daemon(daemon);
	exit(STATUS_OK);
}
