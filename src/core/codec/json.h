/*
 * json.h: strict JSON, as a stream of events.
 *
 * A thin shell around libyajl that takes away what yajl is lenient or careless
 * about, so that whatever reaches the caller is exact:
 *
 *   - the text must be valid UTF-8 (yajl lets overlong forms and surrogates by);
 *   - a lone surrogate escape is refused (yajl replaces it by '?');
 *   - nesting is bounded, comments are off, only whitespace may follow the value;
 *   - memory comes from a sparse_allocator, and running out of it is a status
 *     (yajl would follow the NULL).
 *
 * Strings arrive decoded, numbers as they were written. Nothing is kept: an
 * event's text is valid during the call only.
 */
#ifndef SPARSE_CODEC_JSON_H
#define SPARSE_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "memory.h"
#include "status.h"

#define SPARSE_JSON_DEPTH 128	/* as serde_json, which the reference implementation uses */

typedef enum sparse_json_kind
{
	SPARSE_JSON_KEY,
	SPARSE_JSON_STRING,
	SPARSE_JSON_NUMBER,
	SPARSE_JSON_LITERAL,		/* true, false, null */
	SPARSE_JSON_OPEN_OBJECT,
	SPARSE_JSON_CLOSE_OBJECT,
	SPARSE_JSON_OPEN_ARRAY,
	SPARSE_JSON_CLOSE_ARRAY
} sparse_json_kind;

typedef struct sparse_json_event
{
	sparse_json_kind kind;
	const char *text;			/* of a key, string, number or literal: not zero-terminated */
	size_t		bytes;
} sparse_json_event;

/* Returns false to stop; the handler has then said why in its own way. */
typedef bool (*sparse_json_handler) (void *state, const sparse_json_event *event);

/*
 * Parses the whole text. SPARSE_CORRUPT with a message in `error` when it is not
 * JSON, SPARSE_BAD_ARGUMENT with no message when the handler stopped it,
 * SPARSE_NO_MEMORY. Memory: a few KiB, and at most twice the longest string that
 * holds an escape, or that the text breaks off in.
 */
extern sparse_status sparse_json_parse(const sparse_allocator *allocator,
									   const char *text, size_t bytes,
									   sparse_json_handler handler, void *state,
									   char *error, size_t error_size);

#endif
