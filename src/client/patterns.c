/*
 * patterns.c: see patterns.h.
 */
#include "patterns.h"

#include <fnmatch.h>
#include <string.h>

#include "client.h"

static bool
matches_any(const name_list *list, const char *path)
{
	for (unsigned long i = 0; i < list->count; i++)
		if (fnmatch(list->name[i], path, 0) == 0)
			return true;
	return false;
}

bool
patterns_take(const patterns *p, const char *path)
{
	return p == NULL || ((p->includes.count == 0 || matches_any(&p->includes, path)) && !matches_any(&p->excludes, path));
}

char *
like_pattern(const char *shell)
{
	char	   *like = allocate(2 * strlen(shell) + 1);
	char	   *at = like;

	for (; *shell; shell++)
	{
		if (strchr("%_\\", *shell))
			*at++ = '\\';
		*at++ = *shell == '*' ? '%' : *shell == '?' ? '_' : *shell;
	}
	*at = '\0';
	return like;
}
