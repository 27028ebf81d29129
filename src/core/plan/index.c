/*
 * index.c: reads an index of shards (see index.h).
 *
 * The JSON is read twice through the same handler, as safetensors_entries.c does: the
 * first pass checks and counts, then one block of exactly the right size is filled.
 */
#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "path.h"

typedef enum place
{
	AT_DOCUMENT,
	IN_DOCUMENT,
	AT_OTHER,					/* the value of another key */
	AT_MAP,
	IN_MAP,
	AT_SHARD,
	AT_END
} place;

typedef struct reader
{
	const char *name;
	sparse_index *index;
	sparse_complaint *complaint;
	sparse_index_entry *entry;	/* NULL: the first pass */
	char	   *strings;
	uint32_t	entries;
	size_t		string_bytes;
	place		at;
	unsigned	depth;			/* within the value of another key */
	bool		has_map;
	char		shown[SPARSE_SHOWN];	/* the tensor at hand */
} reader;

typedef sparse_json_event event;

#define REFUSE(r, ...) sparse_complain((r)->complaint->message, sizeof (r)->complaint->message, __VA_ARGS__)

static const char *
keep(reader *r, const event *e)
{
	char	   *kept = r->entry ? r->strings + r->string_bytes : NULL;

	if (kept)
	{
		if (e->bytes > 0)
			memcpy(kept, e->text, e->bytes);
		kept[e->bytes] = '\0';
	}
	r->string_bytes += e->bytes + 1;
	return kept;
}

static bool
holds_zero(const event *e)
{
	return e->bytes > 0 && memchr(e->text, '\0', e->bytes) != NULL;
}

static bool
take_key(reader *r, const event *e)
{
	static const char map[] = "weight_map";

	if (e->kind == SPARSE_JSON_CLOSE_OBJECT)
	{
		r->at = AT_END;
		return true;
	}
	r->depth = 0;
	r->at = AT_OTHER;
	if (e->bytes != sizeof map - 1 || memcmp(e->text, map, sizeof map - 1) != 0)
		return true;
	if (r->has_map)
		return REFUSE(r, "index \"%s\" has two weight_maps", r->name);
	r->has_map = r->index->is_index = true;
	r->at = AT_MAP;
	return true;
}

static bool
take_other(reader *r, const event *e)
{
	if (e->kind == SPARSE_JSON_OPEN_OBJECT || e->kind == SPARSE_JSON_OPEN_ARRAY)
		r->depth++;
	if (e->kind == SPARSE_JSON_CLOSE_OBJECT || e->kind == SPARSE_JSON_CLOSE_ARRAY)
		r->depth--;
	if (r->depth == 0)
		r->at = IN_DOCUMENT;
	return true;
}

static bool
take_tensor(reader *r, const event *e)
{
	const char *kept;

	if (e->kind == SPARSE_JSON_CLOSE_OBJECT)
	{
		r->at = IN_DOCUMENT;
		return true;
	}
	sparse_show_name(r->shown, e->text, e->bytes);
	if (holds_zero(e))
		return REFUSE(r, "index \"%s\": the name of tensor \"%s\" holds a zero byte", r->name, r->shown);
	if (r->entries == UINT32_MAX)
		return REFUSE(r, "index \"%s\" names too many tensors", r->name);
	kept = keep(r, e);
	if (r->entry)
		r->entry[r->entries].tensor = kept;
	r->at = AT_SHARD;
	return true;
}

static bool
take_shard(reader *r, const event *e)
{
	char		path[SPARSE_PATH_BYTES];
	char		shown[SPARSE_SHOWN];
	const char *kept;

	if (e->kind != SPARSE_JSON_STRING)
		return REFUSE(r, "index \"%s\" names an invalid shard of tensor \"%s\": what stands there is no name", r->name, r->shown);
	sparse_show_name(shown, e->text, e->bytes);
	if (e->bytes < sizeof path)
	{
		if (e->bytes > 0)
			memcpy(path, e->text, e->bytes);
		path[e->bytes] = '\0';
	}
	if (e->bytes >= sizeof path || holds_zero(e) || !sparse_path_is_safe(path))
	{
		(void) REFUSE(r, "index \"%s\" names an invalid shard of tensor \"%s\": \"%s\"", r->name, r->shown, shown);
		r->complaint->hint = "Shards lie in the folder of their index, or below it.";
		return false;
	}
	kept = keep(r, e);
	if (r->entry)
		r->entry[r->entries].shard = kept;
	r->entries++;
	r->at = IN_MAP;
	return true;
}

static bool
on_event(void *state, const event *e)
{
	reader	   *r = state;

	switch (r->at)
	{
		case AT_DOCUMENT:
			r->at = IN_DOCUMENT;
			return e->kind == SPARSE_JSON_OPEN_OBJECT || REFUSE(r, "index \"%s\" is not a JSON object", r->name);
		case IN_DOCUMENT:
			return take_key(r, e);
		case AT_OTHER:
			return take_other(r, e);
		case AT_MAP:
			r->at = IN_MAP;
			return e->kind == SPARSE_JSON_OPEN_OBJECT ||
				REFUSE(r, "the weight_map of index \"%s\" is not an object of tensors and their files", r->name);
		case IN_MAP:
			return take_tensor(r, e);
		case AT_SHARD:
			return take_shard(r, e);
		case AT_END:
			break;
	}
	return false;
}

static sparse_status
run_pass(reader *r, const sparse_allocator *allocator, const char *text, size_t bytes)
{
	char		syntax[SPARSE_MESSAGE] = "";
	sparse_status status = sparse_json_parse(allocator, text, bytes, on_event, r, syntax, sizeof syntax);

	if (syntax[0])
		(void) REFUSE(r, "index \"%s\" is not JSON: %s", r->name, syntax);
	return status == SPARSE_BAD_ARGUMENT ? SPARSE_CORRUPT : status;
}

/* ---- order ---- */

static int
compare_tensors(const void *a, const void *b)
{
	return strcmp(((const sparse_index_entry *) a)->tensor, ((const sparse_index_entry *) b)->tensor);
}

static int
compare_entries(const void *a, const void *b)
{
	int			order = strcmp(((const sparse_index_entry *) a)->shard, ((const sparse_index_entry *) b)->shard);

	return order ? order : compare_tensors(a, b);
}

static sparse_status
sort_entries(const reader *r, sparse_index *index)
{
	if (index->entries == 0)
		return SPARSE_OK;
	qsort(index->entry, index->entries, sizeof *index->entry, compare_tensors);
	for (uint32_t i = 1; i < index->entries; i++)
		if (strcmp(index->entry[i - 1].tensor, index->entry[i].tensor) == 0)
		{
			char		shown[SPARSE_SHOWN];

			sparse_show_name(shown, index->entry[i].tensor, strlen(index->entry[i].tensor));
			return SPARSE_REFUSE(r->complaint, NULL, "index \"%s\" names tensor \"%s\" twice", r->name, shown);
		}
	qsort(index->entry, index->entries, sizeof *index->entry, compare_entries);
	return SPARSE_OK;
}

/* ---- the index ---- */

static sparse_status
fill(reader *r, const sparse_allocator *allocator, const char *text, size_t bytes)
{
	sparse_index *index = r->index;
	size_t		entries = r->entries * sizeof *index->entry;

	index->memory = allocator->allocate(allocator->state, entries + r->string_bytes + 1);
	if (index->memory == NULL)
		return SPARSE_NO_MEMORY;
	index->entries = r->entries;
	index->entry = index->memory;
	*r = (reader) {.name = r->name, .index = index, .complaint = r->complaint, .entry = index->entry,
	.strings = (char *) index->memory + entries};
	SPARSE_TRY(run_pass(r, allocator, text, bytes));
	return sort_entries(r, index);
}

sparse_status
sparse_index_read(const sparse_allocator *allocator, const char *name, const char *text, size_t bytes,
				  sparse_index *index, sparse_complaint *complaint)
{
	reader		r = {.name = name, .index = index, .complaint = complaint};
	sparse_status status;

	*index = (sparse_index) {0};
	*complaint = (sparse_complaint) {0};
	status = run_pass(&r, allocator, text, bytes);
	if (status == SPARSE_OK)
		status = fill(&r, allocator, text, bytes);
	if (status != SPARSE_OK)
		sparse_index_free(allocator, index);
	return status;
}

void
sparse_index_free(const sparse_allocator *allocator, sparse_index *index)
{
	if (index->memory)
		allocator->release(allocator->state, index->memory);
	index->memory = NULL;
	index->entry = NULL;
	index->entries = 0;
}
