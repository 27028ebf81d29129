/*
 * message.c: bounded, printable error messages (see message.h).
 */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The bytes of the UTF-8 character at text, of which `bytes` are there; 0: none. */
static size_t
utf8_character(const unsigned char *text, size_t bytes)
{
	static const struct
	{
		unsigned char first_low, first_high, second_low, second_high, length;
	}			forms[] = {
		{0xC2, 0xDF, 0x80, 0xBF, 2},
		{0xE0, 0xE0, 0xA0, 0xBF, 3},
		{0xE1, 0xEC, 0x80, 0xBF, 3},
		{0xED, 0xED, 0x80, 0x9F, 3},	/* no surrogates */
		{0xEE, 0xEF, 0x80, 0xBF, 3},
		{0xF0, 0xF0, 0x90, 0xBF, 4},
		{0xF1, 0xF3, 0x80, 0xBF, 4},
		{0xF4, 0xF4, 0x80, 0x8F, 4},	/* up to U+10FFFF */
	};

	if (text[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
	{
		if (text[0] < forms[i].first_low || text[0] > forms[i].first_high)
			continue;
		if (bytes < forms[i].length ||
			text[1] < forms[i].second_low || text[1] > forms[i].second_high)
			return 0;
		for (size_t j = 2; j < forms[i].length; j++)
			if ((text[j] & 0xC0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

bool
sparse_utf8_valid(const char *text, size_t bytes)
{
	size_t		at = 0;

	while (at < bytes)
	{
		size_t		length = utf8_character((const unsigned char *) text + at, bytes - at);

		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

/* The length of the longest prefix of at most `limit` bytes that ends at a character. */
static size_t
utf8_prefix(const char *text, size_t bytes, size_t limit)
{
	if (bytes <= limit)
		return bytes;
	while (limit > 0 && ((unsigned char) text[limit] & 0xC0) == 0x80)
		limit--;
	return limit;
}

bool
sparse_complain(char *error, size_t error_size, const char *format, ...)
{
	va_list		args;
	int			written;

	if (error_size == 0)
		return false;
	va_start(args, format);
	written = vsnprintf(error, error_size, format, args);
	va_end(args);
	if (written >= 0 && (size_t) written >= error_size)
	{
		size_t		cut = error_size - 1;

		while (cut > 0 && ((unsigned char) error[cut - 1] & 0xC0) == 0x80)
			cut--;
		if (cut > 0 && (unsigned char) error[cut - 1] >= 0xC0)
			cut--;
		error[cut] = '\0';
	}
	return false;
}

const char *
sparse_show_name(char *shown, const char *name, size_t bytes)
{
	size_t		kept = utf8_prefix(name, bytes, SPARSE_SHOWN - 4);

	for (size_t i = 0; i < kept; i++)
		shown[i] = (unsigned char) name[i] < 0x20 || name[i] == 0x7F ? '?' : name[i];
	strcpy(shown + kept, kept < bytes ? "..." : "");
	return shown;
}
