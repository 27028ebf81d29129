/*
 * encoding.c: text that is kept as bytes (see encoding.h).
 */
#include "store/encoding.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

int
kept_encoding(void)
{
	int			encoding = GetDatabaseEncoding();

	return encoding == PG_SQL_ASCII || encoding == PG_MULE_INTERNAL ? encoding : PG_UTF8;
}

const char *
text_to_kept(const char *text, size_t length, size_t *kept_length)
{
	const char *kept = text;

	if (kept_encoding() != GetDatabaseEncoding())
		kept = pg_server_to_any(text, (int) length, kept_encoding());
	*kept_length = kept == text ? length : strlen(kept);
	return kept;
}

const char *
text_from_kept(const char *kept, size_t length, size_t *text_length)
{
	const char *text = kept;

	if (kept_encoding() == PG_UTF8)
		text = pg_any_to_server(kept, (int) length, PG_UTF8);
	*text_length = text == kept ? length : strlen(text);
	return text;
}

/* Whether the database can express text that is valid UTF-8. */
static bool
is_expressible(const char *utf8, size_t length)
{
	size_t		room = length * MAX_CONVERSION_GROWTH + 1;
	size_t		plain = 0;
	unsigned char *converted;
	Oid			conversion;
	int			read;

	while (plain < length && !IS_HIGHBIT_SET(utf8[plain]))
		plain++;
	if (plain == length || GetDatabaseEncoding() == kept_encoding())
		return true;
	conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(conversion))
		return false;
	converted = MemoryContextAllocHuge(CurrentMemoryContext, room);
	read = pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(),
										 (unsigned char *) unconstify(char *, utf8), (int) length, converted,
										 (int) Min(room, PG_INT32_MAX), true);
	pfree(converted);
	return read == (int) length;
}

bool
text_is_readable(const char *kept, size_t length)
{
	if (memchr(kept, '\0', length) != NULL)
		return false;
	return pg_verify_mbstr(kept_encoding(), kept, (int) length, true) && is_expressible(kept, length);
}

const char *
name_from_disk(const char *name)
{
	size_t		length = strlen(name);

	if (kept_encoding() == GetDatabaseEncoding() || !pg_verify_mbstr(kept_encoding(), name, (int) length, true))
		return name;
	return text_from_kept(name, length, &length);
}

const char *
name_to_disk(const char *name)
{
	size_t		length;

	return text_to_kept(name, strlen(name), &length);
}

int
text_compare_kept(const char *a, const char *b)
{
	size_t		length;

	if (kept_encoding() == GetDatabaseEncoding())
		return strcmp(a, b);
	return strcmp(text_to_kept(a, strlen(a), &length), text_to_kept(b, strlen(b), &length));
}
