/*
 * message.h: error messages that say which tensor, key or byte is at fault.
 *
 * A status alone is enough for a delta; a header or a delta file of a thousand
 * tensors needs a sentence. Such functions leave one in a buffer of their
 * caller's: lower case, on one line, no full stop, valid UTF-8, bounded.
 */
#ifndef SPARSE_CODEC_MESSAGE_H
#define SPARSE_CODEC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define SPARSE_MESSAGE 256		/* bytes that hold every message of the codec */
#define SPARSE_SHOWN 84			/* bytes that hold every shown name */

/* Formats the message, cut at a character where it must be. Always false. */
__attribute__((format(printf, 3, 4)))
extern bool sparse_complain(char *error, size_t error_size, const char *format, ...);

/*
 * Copies a name of valid UTF-8 into shown[SPARSE_SHOWN] for a message: long ones
 * end in "...", control characters appear as '?'. Returns shown.
 */
extern const char *sparse_show_name(char *shown, const char *name, size_t bytes);

/* Whether the bytes are UTF-8: shortest forms, no surrogates, up to U+10FFFF. */
extern bool sparse_utf8_valid(const char *text, size_t bytes);

#endif
