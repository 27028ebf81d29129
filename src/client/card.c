/*
 * card.c: what a model's own files say that it was made from.
 *
 * adapter_config.json names "base_model_name_or_path"; the front matter of README.md,
 * YAML between two lines "---", has "base_model: NAME" or a list of which the first
 * counts. Anything odd says nothing: it is a suggestion, not an input to be checked.
 */
#include "local.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "codec/json.h"

#define MAX_CARD_BYTES ((uint64_t) 4 << 20)

/* All of a small file of the version, zero-terminated, or NULL. The caller frees it. */
static char *
read_file(const local_version *v, const char *path, size_t *bytes)
{
	const local_file *file = local_find(v, path);
	char	   *text;

	if (file == NULL || file->content.file.bytes > MAX_CARD_BYTES)
		return NULL;
	*bytes = (size_t) file->content.file.bytes;
	text = allocate(*bytes + 1);
	source_read(&file->content.file, 0, text, *bytes);
	text[*bytes] = '\0';
	return text;
}

typedef struct key_search
{
	int			depth;
	bool		found;			/* the key; its value comes next */
	char	   *value;
} key_search;

static bool
take_event(void *state, const sparse_json_event *event)
{
	static const char key[] = "base_model_name_or_path";
	key_search *s = state;

	if (event->kind == SPARSE_JSON_OPEN_OBJECT || event->kind == SPARSE_JSON_OPEN_ARRAY)
		s->depth++;
	else if (event->kind == SPARSE_JSON_CLOSE_OBJECT || event->kind == SPARSE_JSON_CLOSE_ARRAY)
		s->depth--;
	else if (event->kind == SPARSE_JSON_STRING && s->found && s->value == NULL)
		s->value = format_text("%.*s", (int) event->bytes, event->text);
	s->found = event->kind == SPARSE_JSON_KEY && s->depth == 1 &&
		event->bytes == sizeof key - 1 && memcmp(event->text, key, sizeof key - 1) == 0;
	return true;
}

static char *
from_adapter_config(const local_version *v)
{
	key_search	s = {0};
	char		error[SPARSE_MESSAGE];
	size_t		bytes = 0;
	char	   *text = read_file(v, "adapter_config.json", &bytes);

	if (text)
		(void) sparse_json_parse(&sparse_malloc, text, bytes, take_event, &s, error, sizeof error);
	free(text);
	return s.value;
}

/* A scalar of YAML: without blanks and quotes around it. NULL when it is empty. */
static char *
scalar(const char *text)
{
	size_t		length;

	text += strspn(text, " \t");
	length = strcspn(text, "\r\n#");
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0])
	{
		text++;
		length -= 2;
	}
	return length > 0 && text[0] != '[' && text[0] != '{' ? format_text("%.*s", (int) length, text) : NULL;
}

static const char *
next_line(const char *at)
{
	at += strcspn(at, "\n");
	return *at ? at + 1 : at;
}

static char *
from_front_matter(const char *text)
{
	static const char key[] = "base_model:";

	if (strncmp(text, "---", 3) != 0)
		return NULL;
	for (text = next_line(text); *text && strncmp(text, "---", 3) != 0; text = next_line(text))
	{
		char	   *value;

		if (strncmp(text, key, sizeof key - 1) != 0)
			continue;
		value = scalar(text + sizeof key - 1);
		if (value)
			return value;
		text = next_line(text);
		text += strspn(text, " ");
		return strncmp(text, "- ", 2) == 0 ? scalar(text + 2) : NULL;
	}
	return NULL;
}

char *
local_base_model(const local_version *v)
{
	char	   *name = from_adapter_config(v);
	size_t		bytes = 0;
	char	   *card;

	if (name)
		return name;
	card = read_file(v, "README.md", &bytes);
	name = card ? from_front_matter(card) : NULL;
	free(card);
	return name;
}
