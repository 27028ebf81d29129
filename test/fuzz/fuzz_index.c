/*
 * fuzz_index.c: any text as an index of shards. What is accepted must keep the promises of
 * plan/index.h, and can be compared with a version that has half of what it names.
 */
#include "plan/check.h"
#include "plan/index.h"
#include "plan/path.h"
#include "plan/pointer.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

typedef struct input
{
	const char *text;
	size_t		bytes;
} input;

static void
check_accepted(const sparse_index *index)
{
	for (uint32_t i = 0; i < index->entries; i++)
	{
		const sparse_index_entry *entry = &index->entry[i];

		REQUIRE(index->is_index);
		REQUIRE(sparse_utf8_valid(entry->tensor, strlen(entry->tensor)));
		REQUIRE(sparse_utf8_valid(entry->shard, strlen(entry->shard)));
		REQUIRE(sparse_path_is_safe(entry->shard));
		if (i > 0)
		{
			int			order = strcmp(entry[-1].shard, entry->shard);

			REQUIRE(order < 0 || (order == 0 && strcmp(entry[-1].tensor, entry->tensor) < 0));
		}
	}
}

static const char *
path_of(void *state, uint32_t file)
{
	(void) state;
	(void) file;
	return "folder/model.safetensors.index.json";
}

static uint64_t
bytes_of(void *state, uint32_t file)
{
	(void) file;
	return ((const input *) state)->bytes;
}

static void
read_all(void *state, uint32_t file, void *content, uint64_t bytes)
{
	(void) file;
	if (bytes > 0)
		memcpy(content, ((const input *) state)->text, (size_t) bytes);
}

static sparse_finding
find(void *state, const char *path, const char *tensor)
{
	(void) state;
	REQUIRE(sparse_path_is_safe(path) && strncmp(path, "folder/", 7) == 0);
	return (sparse_finding) ((path[7] + tensor[0]) & 3);
}

static const char *
native(void *state, const char *name)
{
	(void) state;
	return name;
}

static void
tell(void *state, const char *index)
{
	(void) state;
	(void) index;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input		in = {(const char *) data, size};
	const sparse_made_version version = {&in, 1, path_of, bytes_of, read_all, find, native, tell};
	sparse_complaint complaint;
	sparse_index index;

	if (sparse_index_read(&sparse_malloc, "index", in.text, in.bytes, &index, &complaint) == SPARSE_OK)
	{
		check_accepted(&index);
		sparse_index_free(&sparse_malloc, &index);
	}
	else
		REQUIRE(complaint.message[0] != '\0' && index.memory == NULL);
	(void) sparse_is_pointer(data, size);
	if (sparse_check_pointers(&version, &complaint) != SPARSE_OK ||
		sparse_check_indexes(&version, &sparse_malloc, &complaint) != SPARSE_OK)
		REQUIRE(complaint.message[0] != '\0' && sparse_utf8_valid(complaint.message, strlen(complaint.message)));
	return 0;
}
