/*
 * json.c: the strict shell around libyajl (see json.h).
 *
 * yajl never checks an allocation. Its allocator therefore leaves by longjmp when
 * memory runs out; that is safe because every block it was given hangs in a list
 * of ours, from which all of them are released whichever way the parse ended.
 */
#include "json.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "message.h"

/* A block that yajl holds; its bytes follow. */
typedef struct block
{
	struct block *next;
	struct block **link;		/* what points here */
	size_t		room;			/* bytes that follow */
	size_t		pad;			/* keeps what follows aligned to 16 */
} block;

typedef struct json
{
	const sparse_allocator *allocator;
	block	   *blocks;
	jmp_buf		out_of_memory;
	size_t		longest_escaped;	/* bytes of the longest string with an escape */
	sparse_json_handler handler;
	void	   *state;
	unsigned	depth;
	bool		too_deep;
} json;

/* ---- escapes ---- */

/* The value of four hexadecimal digits, or -1. */
static int
hex4(const char *text, size_t bytes)
{
	int			value = 0;

	if (bytes < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = text[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value |= (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return value;
}

/*
 * The length of the escape at the backslash `text`; 0 for half a surrogate pair.
 * What else may be wrong with it is left to yajl.
 */
static size_t
escape_length(const char *text, size_t bytes)
{
	int			unit;
	int			second;

	if (bytes < 2 || text[1] != 'u')
		return bytes < 2 ? bytes : 2;
	unit = hex4(text + 2, bytes - 2);
	if (unit < 0xD800 || unit > 0xDFFF)
		return 2;
	if (unit > 0xDBFF || bytes < 8 || text[6] != '\\' || text[7] != 'u')
		return 0;
	second = hex4(text + 8, bytes - 8);
	return second >= 0xDC00 && second <= 0xDFFF ? 12 : 0;
}

/*
 * Walks over the string that begins at text (behind its quote): its length up to
 * the closing quote or the end of the text. False for half a surrogate pair.
 */
static bool
scan_string(const char *text, size_t bytes, size_t *length, bool *escaped)
{
	size_t		at = 0;

	*escaped = false;
	while (at < bytes && text[at] != '"')
	{
		size_t		step = 1;

		if (text[at] == '\\')
		{
			step = escape_length(text + at, bytes - at);
			*escaped = true;
		}
		if (step == 0)
			return false;
		at += step;
	}
	*length = at < bytes ? at : bytes;
	return true;
}

/* Checks every string's escapes and learns the longest string that has one. */
static bool
scan_strings(const char *text, size_t bytes, size_t *longest_escaped)
{
	size_t		at = 0;

	*longest_escaped = 0;
	while (at < bytes)
	{
		size_t		length;
		bool		escaped;

		if (text[at++] != '"')
			continue;
		if (!scan_string(text + at, bytes - at, &length, &escaped))
			return false;
		if (escaped && length > *longest_escaped)
			*longest_escaped = length;
		at += length + 1;
	}
	return true;
}

/* ---- yajl's memory ---- */

static void *
json_allocate(void *context, size_t bytes)
{
	json	   *parse = context;
	block	   *fresh = NULL;

	if (bytes <= SIZE_MAX - sizeof(block))
		fresh = parse->allocator->allocate(parse->allocator->state, sizeof(block) + bytes);
	if (fresh == NULL)
		longjmp(parse->out_of_memory, 1);
	fresh->room = bytes;
	fresh->next = parse->blocks;
	fresh->link = &parse->blocks;
	if (fresh->next)
		fresh->next->link = &fresh->next;
	parse->blocks = fresh;
	return fresh + 1;
}

static void
json_release(void *context, void *bytes)
{
	json	   *parse = context;
	block	   *old = (block *) bytes - 1;

	if (bytes == NULL)
		return;
	*old->link = old->next;
	if (old->next)
		old->next->link = old->link;
	parse->allocator->release(parse->allocator->state, old);
}

/*
 * yajl doubles its buffer for decoded strings from 2 KiB on, and we can only move
 * a block by copying it. So a buffer that outgrows that gets room for the longest
 * string at once, and the old and the new one are never large together.
 */
static void *
json_resize(void *context, void *bytes, size_t wanted)
{
	json	   *parse = context;
	size_t		room = 4096;
	void	   *fresh;

	if (bytes == NULL)
		return json_allocate(context, wanted);
	if (((block *) bytes - 1)->room >= wanted)
		return bytes;
	while (room <= parse->longest_escaped)
		room *= 2;
	fresh = json_allocate(context, wanted > 2048 && wanted < room ? room : wanted);
	memcpy(fresh, bytes, ((block *) bytes - 1)->room);
	json_release(context, bytes);
	return fresh;
}

/* ---- yajl's events ---- */

static int
hand_on(void *context, sparse_json_kind kind, const void *text, size_t bytes)
{
	json	   *parse = context;
	sparse_json_event event = {kind, text, bytes};

	return parse->handler(parse->state, &event);
}

static int
open_level(void *context, sparse_json_kind kind)
{
	json	   *parse = context;

	if (++parse->depth > SPARSE_JSON_DEPTH)
	{
		parse->too_deep = true;
		return 0;
	}
	return hand_on(context, kind, NULL, 0);
}

static int
close_level(void *context, sparse_json_kind kind)
{
	((json *) context)->depth--;
	return hand_on(context, kind, NULL, 0);
}

static int
on_null(void *context)
{
	return hand_on(context, SPARSE_JSON_LITERAL, "null", 4);
}

static int
on_boolean(void *context, int value)
{
	return hand_on(context, SPARSE_JSON_LITERAL, value ? "true" : "false", value ? 4 : 5);
}

static int
on_number(void *context, const char *text, size_t bytes)
{
	return hand_on(context, SPARSE_JSON_NUMBER, text, bytes);
}

static int
on_string(void *context, const unsigned char *text, size_t bytes)
{
	return hand_on(context, SPARSE_JSON_STRING, text, bytes);
}

static int
on_key(void *context, const unsigned char *text, size_t bytes)
{
	return hand_on(context, SPARSE_JSON_KEY, text, bytes);
}

static int
on_open_object(void *context)
{
	return open_level(context, SPARSE_JSON_OPEN_OBJECT);
}

static int
on_close_object(void *context)
{
	return close_level(context, SPARSE_JSON_CLOSE_OBJECT);
}

static int
on_open_array(void *context)
{
	return open_level(context, SPARSE_JSON_OPEN_ARRAY);
}

static int
on_close_array(void *context)
{
	return close_level(context, SPARSE_JSON_CLOSE_ARRAY);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_open_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close_object,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close_array,
};

/* ---- the parse ---- */

/* yajl's own words ("parse error: ...\n") with the place, on one line. */
static void
describe_syntax(yajl_handle handle, char *error, size_t error_size)
{
	size_t		at = yajl_get_bytes_consumed(handle);
	unsigned char *words = yajl_get_error(handle, 0, NULL, 0);

	snprintf(error, error_size, "not JSON near byte %zu: %.*s", at,
			 (int) strcspn((const char *) words, ".\n"), (const char *) words);
	yajl_free_error(handle, words);
}

static sparse_status
run_yajl(json *parse, yajl_alloc_funcs *memory, const char *text, size_t bytes,
		 char *error, size_t error_size)
{
	yajl_handle handle = yajl_alloc(&callbacks, memory, parse);
	yajl_status status = yajl_parse(handle, (const unsigned char *) text, bytes);

	if (status == yajl_status_ok)
		status = yajl_complete_parse(handle);
	if (status == yajl_status_ok)
		return SPARSE_OK;
	if (parse->too_deep)
		snprintf(error, error_size, "JSON is nested deeper than %d levels", SPARSE_JSON_DEPTH);
	else if (status == yajl_status_client_canceled)
		return SPARSE_BAD_ARGUMENT;
	else
		describe_syntax(handle, error, error_size);
	return SPARSE_CORRUPT;
}

/* parse and memory belong to the caller, so that they keep their values over a longjmp. */
static sparse_status
run_guarded(json *parse, yajl_alloc_funcs *memory, const char *text, size_t bytes,
			char *error, size_t error_size)
{
	if (setjmp(parse->out_of_memory) != 0)
		return SPARSE_NO_MEMORY;
	return run_yajl(parse, memory, text, bytes, error, error_size);
}

sparse_status
sparse_json_parse(const sparse_allocator *allocator, const char *text, size_t bytes,
				  sparse_json_handler handler, void *state,
				  char *error, size_t error_size)
{
	json		parse = {.allocator = allocator, .handler = handler, .state = state};
	yajl_alloc_funcs memory = {json_allocate, json_resize, json_release, &parse};
	sparse_status status;

	if (!sparse_utf8_valid(text, bytes))
	{
		snprintf(error, error_size, "not UTF-8");
		return SPARSE_CORRUPT;
	}
	if (!scan_strings(text, bytes, &parse.longest_escaped))
	{
		snprintf(error, error_size, "a string holds half a surrogate pair");
		return SPARSE_CORRUPT;
	}
	status = run_guarded(&parse, &memory, text, bytes, error, error_size);
	while (parse.blocks)
		json_release(&parse, parse.blocks + 1);
	return status;
}
