/*
 * serve_auth.c: whose request it is (see serve.h).
 *
 * A token stands for a role: sparse_token_role() knows it by its hash. It comes as
 * "Bearer", or as the password of "Basic", which is what git can say. A token that is wrong is
 * refused, never taken for nobody's.
 */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "client.h"

PGresult *
request_ask(request *r, const char *sql, int count, const char *const *value)
{
	return pool_ask(r->hub->pool, r->role, false, sql, count, value, false);
}

/* The token of the Authorization header; NULL: there is none. The caller frees it. */
static char *
token_of(const request *r)
{
	const char *header = request_header(r, "Authorization");
	char	   *password = NULL;
	char	   *user;
	char	   *token;

	if (header == NULL)
		return NULL;
	if (strncasecmp(header, "Bearer ", 7) == 0)
		return format_text("%s", header + 7 + strspn(header + 7, " "));
	user = MHD_basic_auth_get_username_password(r->connection, &password);
	token = format_text("%s", password ? password : "");
	MHD_free(user);
	MHD_free(password);
	return token;
}

/* As bytea is written. */
static void
digest_of(const char *token, char *text)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	EVP_Digest(token, strlen(token), digest, NULL, EVP_sha256(), NULL);
	text += sprintf(text, "\\x");
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
		text += sprintf(text, "%02x", digest[i]);
}

static const char *
code_of(const PGresult *result)
{
	const char *code = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	return code ? code : "";
}

bool
authenticate(request *r, enum MHD_Result *result)
{
	char	   *token = token_of(r);
	PGresult   *answer;

	if (token == NULL)
	{
		if (r->hub->anonymous == NULL)
		{
			*result = answer_failure(r, NO_TOKEN, "a token is needed");
			return false;
		}
		r->role = format_text("%s", r->hub->anonymous);
		return true;
	}
	{
		char		digest[2 * SHA256_DIGEST_LENGTH + 3];
		const char *const value[] = {digest};

		/* so that it is in no server's log */
		digest_of(token, digest);
		answer = pool_ask(r->hub->pool, NULL, false, "select role, 'write' = any (scopes) from @.sparse_token_role($1::bytea)", 1, value, false);
	}
	free(token);
	/* where there are no such functions there are no tokens */
	if (PQresultStatus(answer) != PGRES_TUPLES_OK && strcmp(code_of(answer), "42883") != 0)
	{
		*result = answer_refusal(r, answer);
		return false;
	}
	if (PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) == 1)
	{
		r->role = format_text("%s", PQgetvalue(answer, 0, 0));
		r->writes = strcmp(PQgetvalue(answer, 0, 1), "t") == 0;
	}
	PQclear(answer);
	if (r->role == NULL)
		*result = answer_failure(r, NO_TOKEN, "Invalid credentials: no such token, or it has expired");
	return r->role != NULL;
}

enum MHD_Result
answer_whoami(request *r)
{
	const char *const value[] = {r->role, r->writes ? "write" : "read"};
	PGresult   *result;
	enum MHD_Result done;

	if (request_header(r, "Authorization") == NULL)
		return answer_failure(r, NO_TOKEN, "Invalid credentials: there is no token");
	result = request_ask(r, "select jsonb_build_object('type', 'user', 'id', $1::text, 'name', $1::text, 'fullname', $1::text,"
						 " 'isPro', false, 'orgs', jsonb_build_array(),"
						 " 'auth', jsonb_build_object('type', 'access_token', 'accessToken',"
						 " jsonb_build_object('displayName', 'sparse', 'role', $2::text)))::text", 2, value);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return answer_refusal(r, result);
	done = answer_text(r, 200, "application/json; charset=utf-8", PQgetvalue(result, 0, 0));
	PQclear(result);
	return done;
}
