/*
 * card.c: reads model cards (see card.h). YAML is libyaml's, JSON the core's.
 */
#include "card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <yaml.h>

#include "client.h"
#include "codec/json.h"
#include "files.h"
#include "table.h"

#define MAX_CARD_BYTES ((uint64_t) 4 << 20)
#define MAX_FRONT_MATTER ((size_t) 256 << 10)

/* What was said, before it is made sense of. */
typedef struct texts
{
	char	  **text;
	unsigned long count;
} texts;

typedef struct reading
{
	texts		base;
	texts		relation;
	texts		license;
	texts		tags;
	texts		adapter_base;
	char	   *config[SPARSE_CONFIG_FILES];
} reading;

static void
add_text(texts *list, const char *text, size_t bytes)
{
	if (bytes == 0 || memchr(text, '\0', bytes) != NULL)
		return;
	list->text = array_grow(list->text, list->count, sizeof *list->text);
	list->text[list->count++] = format_text("%.*s", (int) bytes, text);
}

static void
drop_texts(texts *list)
{
	for (unsigned long i = 0; i < list->count; i++)
		free(list->text[i]);
	free(list->text);
	*list = (texts) {0};
}

/* All of a small file, zero-terminated, or NULL. The caller frees it. */
static char *
read_small(const char *path, uint64_t most, size_t *bytes)
{
	source		file;
	char	   *text = NULL;

	if (path == NULL || access(path, R_OK) != 0)
		return NULL;
	source_open(&file, path);
	if (file.bytes <= most)
	{
		*bytes = (size_t) file.bytes;
		text = allocate(*bytes + 1);
		source_read(&file, 0, text, *bytes);
		text[*bytes] = '\0';
	}
	source_close(&file);
	return text;
}

/* ---- YAML ---- */

/* The list that a key of the front matter fills, whatever its case; NULL: none. */
static texts *
list_of(reading *in, const char *key)
{
	return strcasecmp(key, "base_model") == 0 ? &in->base :
		strcasecmp(key, "base_model_relation") == 0 ? &in->relation :
		strcasecmp(key, "license") == 0 ? &in->license :
		strcasecmp(key, "tags") == 0 ? &in->tags : NULL;
}

/* Where in the document the parser stands. */
typedef struct yaml_place
{
	int			depth;
	bool		at_key;			/* of the outermost mapping */
	bool		in_list;		/* that is the value of a key of it */
	texts	   *list;			/* of that key, or NULL */
} yaml_place;

static void
take_scalar(reading *in, yaml_place *at, const yaml_event_t *event)
{
	const char *text = (const char *) event->data.scalar.value;
	size_t		bytes = event->data.scalar.length;
	bool		nothing = event->data.scalar.plain_implicit &&
		(strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);

	if (at->depth == 1 && at->at_key)
	{
		at->list = list_of(in, text);
		if (at->list)
			drop_texts(at->list);	/* of a key that stands there twice the last counts */
	}
	else if (at->list && !nothing && (at->depth == 1 || (at->depth == 2 && at->in_list)))
		add_text(at->list, text, bytes);
	if (at->depth == 1)
		at->at_key = !at->at_key;
}

/* False at the end of what can be read. */
static bool
take_event(reading *in, yaml_place *at, const yaml_event_t *event)
{
	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			take_scalar(in, at, event);
			return at->depth > 0;
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			if (at->depth == 0 && event->type != YAML_MAPPING_START_EVENT)
				return false;
			if (at->depth == 1)
			{
				at->in_list = event->type == YAML_SEQUENCE_START_EVENT && !at->at_key;
				at->list = at->at_key ? NULL : at->list;
			}
			at->at_key |= at->depth == 0;
			at->depth++;
			return true;
		case YAML_SEQUENCE_END_EVENT:
		case YAML_MAPPING_END_EVENT:
			at->depth--;
			if (at->depth == 1)
				at->at_key = !at->at_key;
			return at->depth > 0;
		case YAML_ALIAS_EVENT:
			if (at->depth == 1)
				at->at_key = !at->at_key;
			return true;
		case YAML_STREAM_END_EVENT:
			return false;
		default:
			return true;
	}
}

static void
read_yaml(reading *in, const char *path, const char *text, size_t bytes)
{
	yaml_place	at = {0};
	yaml_parser_t parser;
	yaml_event_t event;
	bool		more = true;

	if (!yaml_parser_initialize(&parser))
		fail(STATUS_FAILED, NULL, "out of memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *) text, bytes);
	while (more)
	{
		if (!yaml_parser_parse(&parser, &event))
		{
			warn("the front matter of \"%s\" is not YAML, at line %lu: %s", path,
				 (unsigned long) parser.problem_mark.line + 2, parser.problem ? parser.problem : "?");
			/* nor is what stands before the mistake to be believed */
			in->base.count = in->relation.count = in->license.count = in->tags.count = 0;
			break;
		}
		more = take_event(in, &at, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
}

/* Whether a line is "---", but for blanks behind it. */
static bool
is_rule(const char *line)
{
	size_t		length;

	if (strncmp(line, "---", 3) != 0)
		return false;
	length = strspn(line + 3, " \t\r");
	return line[3 + length] == '\n' || line[3 + length] == '\0';
}

static const char *
next_line(const char *at)
{
	at += strcspn(at, "\n");
	return *at ? at + 1 : at;
}

/* Between the first line, blank ones aside, and the next rule. A byte order mark may stand before it. */
static void
read_readme(reading *in, const char *path)
{
	size_t		bytes = 0;
	char	   *card = read_small(path, MAX_CARD_BYTES, &bytes);
	const char *first = card;
	const char *end;

	if (card == NULL)
		return;
	if (strncmp(first, "\xEF\xBB\xBF", 3) == 0)
		first += 3;
	first += strspn(first, " \t\r\n");
	if (is_rule(first))
	{
		first = next_line(first);
		for (end = first; *end && !is_rule(end); end = next_line(end))
			;
		if (*end && (size_t) (end - first) <= MAX_FRONT_MATTER)
			read_yaml(in, path, first, (size_t) (end - first));
	}
	free(card);
}

/* ---- JSON ---- */

typedef struct key_search
{
	reading    *in;
	int			depth;
	bool		found;			/* the key; its value comes next */
} key_search;

static bool
take_adapter_event(void *state, const sparse_json_event *event)
{
	static const char key[] = "base_model_name_or_path";
	key_search *s = state;

	if (event->kind == SPARSE_JSON_OPEN_OBJECT || event->kind == SPARSE_JSON_OPEN_ARRAY)
		s->depth++;
	else if (event->kind == SPARSE_JSON_CLOSE_OBJECT || event->kind == SPARSE_JSON_CLOSE_ARRAY)
		s->depth--;
	else if (event->kind == SPARSE_JSON_STRING && s->found)
		add_text(&s->in->adapter_base, event->text, event->bytes);
	s->found = event->kind == SPARSE_JSON_KEY && s->depth == 1 &&
		event->bytes == sizeof key - 1 && memcmp(event->text, key, sizeof key - 1) == 0;
	return true;
}

static void
read_adapter_config(reading *in, const char *path)
{
	key_search	s = {.in = in};
	char		error[SPARSE_MESSAGE];
	size_t		bytes = 0;
	char	   *text = read_small(path, MAX_CARD_BYTES, &bytes);

	if (text && sparse_json_parse(&sparse_malloc, text, bytes, take_adapter_event, &s, error, sizeof error) != SPARSE_OK)
		warn("\"%s\" is not JSON: %s", path, error);
	free(text);
}

static void
read_config(reading *in, int which, const char *path)
{
	char		error[SPARSE_MESSAGE];
	size_t		bytes = 0;
	char	   *text = read_small(path, SPARSE_CONFIG_BYTES, &bytes);

	if (text && sparse_config_check(&sparse_malloc, text, bytes, error, sizeof error) != SPARSE_OK)
	{
		warn("\"%s\" does not become metadata: %s", path, error);
		free(text);
		text = NULL;
	}
	in->config[which] = text;
}

/* ---- sense ---- */

/* ORG/NAME of a URL of the hub; any other name as it is. The caller frees it. */
static char *
hub_name(const char *text)
{
	static const char *const hosts[] = {"huggingface.co/", "www.huggingface.co/", "hf.co/"};
	const char *scheme = strstr(text, "://");
	const char *name = scheme && strncasecmp(text, "hf", 2) == 0 ? scheme + 3 : NULL;
	const char *bare = scheme ? scheme + 3 : text;
	size_t		length;

	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0] && name == NULL; i++)
		if (strncasecmp(bare, hosts[i], strlen(hosts[i])) == 0)
			name = bare + strlen(hosts[i]);
	if (name == NULL)
		return format_text("%s", text);
	if (strncmp(name, "models/", 7) == 0)
		name += 7;
	length = strcspn(name, "/?#");
	if (name[length] == '/' && strcspn(name + length + 1, "/?#@") > 0)
		length += 1 + strcspn(name + length + 1, "/?#@");
	return format_text("%.*s", (int) length, name);
}

static void
add_base(model_card *card, const char *text)
{
	char	   *name = hub_name(text);

	for (unsigned long i = 0; i < card->bases; i++)
		if (strcasecmp(card->base[i], name) == 0)
		{
			free(name);
			return;
		}
	card->base = array_grow(card->base, card->bases, sizeof *card->base);
	card->base[card->bases++] = name;
}

static const char *
role_of(const reading *in, unsigned long bases)
{
	static const char *const roles[] = {"finetune", "adapter", "merge", "quantized"};

	for (unsigned long i = 0; i < in->relation.count; i++)
		for (size_t k = 0; k < sizeof roles / sizeof roles[0]; k++)
			if (strcasecmp(in->relation.text[i], roles[k]) == 0)
				return roles[k];
	return in->adapter_base.count > 0 ? "adapter" : bases > 1 ? "merge" : "finetune";
}

static void
print_texts(FILE *out, const char *key, const texts *list, bool as_array)
{
	if (list->count == 0)
		return;
	fprintf(out, "%s\"%s\": %s", ftell(out) > 1 ? ", " : "", key, as_array ? "[" : "");
	for (unsigned long i = 0; i < list->count && (as_array || i == 0); i++)
	{
		fputs(i > 0 ? ", " : "", out);
		json_string(out, list->text[i]);
	}
	fputs(as_array ? "]" : "", out);
}

static bool
key_is_taken(const reading *in, int which)
{
	for (int i = 0; i < which; i++)
		if (in->config[i] && strcmp(sparse_config_files[i].key, sparse_config_files[which].key) == 0)
			return true;
	return false;
}

static char *
metadata_of(const reading *in, const model_card *card)
{
	const texts bases = {card->base, card->bases};
	char	   *text;
	size_t		bytes;
	FILE	   *out = open_memstream(&text, &bytes);

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	fputc('{', out);
	print_texts(out, "license", &in->license, in->license.count > 1);
	print_texts(out, "tags", &in->tags, true);
	print_texts(out, "base_model", &bases, true);
	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
	{
		if (in->config[i] == NULL || key_is_taken(in, i))
			continue;
		fprintf(out, "%s\"%s\": %s", ftell(out) > 1 ? ", " : "", sparse_config_files[i].key, in->config[i]);
	}
	fputc('}', out);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	return text;
}

void
card_read(model_card *card, const card_places *places)
{
	reading		in = {0};

	*card = (model_card) {0};
	read_adapter_config(&in, places->adapter_config);
	read_readme(&in, places->readme);
	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
		read_config(&in, i, places->config[i]);
	for (unsigned long i = 0; i < in.adapter_base.count; i++)
		add_base(card, in.adapter_base.text[i]);
	for (unsigned long i = 0; i < in.base.count; i++)
		add_base(card, in.base.text[i]);
	card->role = role_of(&in, card->bases);
	card->metadata = metadata_of(&in, card);
	drop_texts(&in.base);
	drop_texts(&in.relation);
	drop_texts(&in.license);
	drop_texts(&in.tags);
	drop_texts(&in.adapter_base);
	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
		free(in.config[i]);
}

void
card_read_folder(model_card *card, const char *folder)
{
	char	   *readme = format_text("%s/README.md", folder);
	char	   *adapter_config = format_text("%s/adapter_config.json", folder);
	char	   *config[SPARSE_CONFIG_FILES];
	card_places places = {.readme = readme, .adapter_config = adapter_config};

	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
		places.config[i] = config[i] = format_text("%s/%s", folder, sparse_config_files[i].path);
	card_read(card, &places);
	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
		free(config[i]);
	free(readme);
	free(adapter_config);
}

void
card_close(model_card *card)
{
	for (unsigned long i = 0; i < card->bases; i++)
		free(card->base[i]);
	free(card->base);
	free(card->metadata);
	*card = (model_card) {0};
}
