/*
 * check.c: looks for pointers, and compares indexes with the files (see check.h).
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "index.h"
#include "path.h"
#include "pointer.h"

#define SHARD_HINT "Get what is missing, or take the index away if the model does without it."

/* ---- pointers ---- */

sparse_status
sparse_check_pointers(const sparse_made_version *version, sparse_complaint *complaint)
{
	*complaint = (sparse_complaint) {0};
	for (uint32_t i = 0; i < version->files; i++)
	{
		uint64_t	bytes = version->bytes(version->state, i);
		char		text[SPARSE_POINTER_BYTES];

		if (bytes < SPARSE_POINTER_LEAST || bytes >= sizeof text)
			continue;
		version->read(version->state, i, text, bytes);
		if (sparse_is_pointer(text, (size_t) bytes))
			return SPARSE_REFUSE(complaint, SPARSE_POINTER_HINT, "\"%s\" is a Git-LFS pointer, not the file that it stands for",
								 version->path(version->state, i));
	}
	return SPARSE_OK;
}

/* ---- indexes ---- */

typedef struct comparison
{
	const sparse_made_version *version;
	const char *path;			/* of the index */
	const sparse_index *index;
	uint32_t	shards;
	uint32_t	missing;
	bool		wants_safetensors;	/* of a missing one */
	const char *first_missing;
	sparse_complaint *complaint;
} comparison;

/* The path of a shard within the version; false where it would be too long for one. */
static bool
path_of_shard(const comparison *c, const char *shard, char path[SPARSE_PATH_BYTES])
{
	int			folder = (int) (sparse_path_base(c->path) - c->path);
	int			length = snprintf(path, SPARSE_PATH_BYTES, "%.*s%s", folder, c->path,
								  c->version->native(c->version->state, shard));

	return length < SPARSE_PATH_BYTES;
}

/* The tensors [first, end) of one shard. */
static sparse_status
compare_shard(comparison *c, uint32_t first, uint32_t end)
{
	const sparse_made_version *version = c->version;
	const char *shard = c->index->entry[first].shard;
	char		path[SPARSE_PATH_BYTES];
	bool		fits = path_of_shard(c, shard, path);

	c->shards++;
	for (uint32_t i = first; i < end; i++)
	{
		const char *tensor = c->index->entry[i].tensor;
		char		shown[SPARSE_SHOWN];
		sparse_finding found = fits ? version->find(version->state, path, tensor) : SPARSE_FOUND_NO_FILE;

		if (found == SPARSE_FOUND_NO_FILE)
		{
			c->missing++;
			c->wants_safetensors |= sparse_path_is_safetensors(shard);
			c->first_missing = c->first_missing ? c->first_missing : shard;
		}
		else if (found == SPARSE_FOUND_NO_TENSOR)
			return SPARSE_REFUSE(c->complaint, SHARD_HINT, "index \"%s\" looks for tensor \"%s\" in \"%s\", which has none of that name",
								 c->path, sparse_show_name(shown, tensor, strlen(tensor)), path);
		if (found != SPARSE_FOUND_TENSOR)
			break;
	}
	return SPARSE_OK;
}

static sparse_status
compare_shards(comparison *c)
{
	const sparse_index *index = c->index;

	for (uint32_t first = 0, end; first < index->entries; first = end)
	{
		for (end = first + 1; end < index->entries; end++)
			if (strcmp(index->entry[first].shard, index->entry[end].shard) != 0)
				break;
		SPARSE_TRY(compare_shard(c, first, end));
	}
	if (c->missing == 0)
		return SPARSE_OK;
	if (c->missing < c->shards || c->wants_safetensors)
		return SPARSE_REFUSE(c->complaint, SHARD_HINT, "index \"%s\" names a shard that is not there: \"%s\"",
							 c->path, c->version->native(c->version->state, c->first_missing));
	c->version->tell(c->version->state, c->path);
	return SPARSE_OK;
}

/* Whether a name says that the shards are safetensors files. */
static bool
is_of_safetensors(const char *path)
{
	return strstr(sparse_path_base(path), ".safetensors.index.") != NULL;
}

static sparse_status
compare_index(comparison *c, const sparse_allocator *allocator, const char *text, size_t bytes)
{
	sparse_index index;
	sparse_status status = sparse_index_read(allocator, c->path, text, bytes, &index, c->complaint);

	/* JSON of another kind may be called an index too */
	if (status == SPARSE_CORRUPT && !index.is_index && !is_of_safetensors(c->path))
	{
		*c->complaint = (sparse_complaint) {0};
		return SPARSE_OK;
	}
	SPARSE_TRY(status);
	c->index = &index;
	if (index.entries > 0)
		status = compare_shards(c);
	else if (is_of_safetensors(c->path))
		status = SPARSE_REFUSE(c->complaint, "It has no \"weight_map\" of tensors and their files.",
							   "index \"%s\" names no shards", c->path);
	sparse_index_free(allocator, &index);
	return status;
}

static sparse_status
check_index(comparison *c, const sparse_allocator *allocator, uint32_t file)
{
	const sparse_made_version *version = c->version;
	uint64_t	bytes = version->bytes(version->state, file);
	char	   *text;
	sparse_status status;

	if (bytes > SPARSE_INDEX_MAX_BYTES && is_of_safetensors(c->path))
		return SPARSE_REFUSE(c->complaint, NULL, "index \"%s\" is too large: it has %llu bytes, at most %llu are read", c->path,
							 (unsigned long long) bytes, (unsigned long long) SPARSE_INDEX_MAX_BYTES);
	if (bytes > SPARSE_INDEX_MAX_BYTES)
		return SPARSE_OK;
	text = allocator->allocate(allocator->state, (size_t) bytes + 1);
	if (text == NULL)
		return SPARSE_NO_MEMORY;
	version->read(version->state, file, text, bytes);
	status = compare_index(c, allocator, text, (size_t) bytes);
	allocator->release(allocator->state, text);
	return status;
}

sparse_status
sparse_check_indexes(const sparse_made_version *version, const sparse_allocator *allocator, sparse_complaint *complaint)
{
	*complaint = (sparse_complaint) {0};
	for (uint32_t i = 0; i < version->files; i++)
	{
		comparison	c = {.version = version, .path = version->path(version->state, i), .complaint = complaint};

		if (sparse_path_is_index(c.path))
			SPARSE_TRY(check_index(&c, allocator, i));
	}
	return SPARSE_OK;
}
