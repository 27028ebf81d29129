/*
 * local.c: opens and describes what is to be pushed (see local.h).
 */
#include "local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "client.h"
#include "codec/json.h"
#include "folder.h"
#include "table.h"

#define MAX_FILES 50000			/* of a version, as the server has it */
#define MAX_INDEX_BYTES ((uint64_t) 100000000)

/* ---- what is refused ---- */

/* The kind of a file that holds weights in another form, by its first bytes and its name; else NULL. */
static const char *
foreign_kind(const model *content, const char *path)
{
	static const char *const endings[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".gguf", ".ggml",
	".h5", ".msgpack", ".onnx", ".npz", ".npy", ".tflite", ".pb"};
	char		first[8] = {0};
	const char *ending = strrchr(folder_base_name(path), '.');

	source_read(&content->file, 0, first, content->file.bytes < 8 ? (size_t) content->file.bytes : 8);
	if (memcmp(first, "GGUF", 4) == 0)
		return "a GGUF file";
	if (memcmp(first, "PK\3\4", 4) == 0)
		return "a zip archive, as torch.save writes it";
	if ((unsigned char) first[0] == 0x80 && first[1] >= 2 && first[1] <= 5)
		return "a pickle";
	if (memcmp(first, "\x89HDF", 4) == 0)
		return "an HDF5 file";
	for (size_t i = 0; ending && i < sizeof endings / sizeof endings[0]; i++)
		if (strcasecmp(ending, endings[i]) == 0)
			return "no safetensors file, though its name says that it holds weights";
	return NULL;
}

static void
check_kind(const local_file *file, bool alone, bool as_bytes, const char *error)
{
	const char *kind;

	if (file->content.kind == DELTAFILE_SAFETENSORS || as_bytes)
		return;
	if (model_is_named_safetensors(file->path))
		fail(STATUS_FAILED, "--as-bytes stores it all the same, as plain bytes.",
			 "\"%s\" is not a valid safetensors file: %s", file->place, error);
	kind = foreign_kind(&file->content, file->path);
	if (kind == NULL && alone)
		kind = "no safetensors file";
	if (kind)
		fail(STATUS_FAILED, "Save it with safetensors, which compresses and can be read tensor by tensor; or give"
			 " --as-bytes, which stores it as plain bytes.",
			 "\"%s\" is %s", file->place, kind);
}

/* ---- the files ---- */

static void
add_file(void *state, const char *place, const char *path)
{
	local_version *v = state;

	if (v->count == MAX_FILES)
		fail(STATUS_FAILED, NULL, "a version has at most %d files", MAX_FILES);
	if (!sparse_utf8_valid(path, strlen(path)))
		fail(STATUS_FAILED, "Rename it.", "the name of \"%s\" is not valid UTF-8", place);
	v->file = array_grow(v->file, v->count, sizeof *v->file);
	v->file[v->count++] = (local_file) {
		.path = format_text("%s", path),
		.place = format_text("%s", place)
	};
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(((const local_file *) a)->path, ((const local_file *) b)->path);
}

/* Drops files named twice, as shards are in an index. */
static void
sort_files(local_version *v)
{
	unsigned long kept = 0;

	qsort(v->file, v->count, sizeof *v->file, compare_paths);
	for (unsigned long i = 0; i < v->count; i++)
		if (kept == 0 || strcmp(v->file[kept - 1].path, v->file[i].path) != 0)
			v->file[kept++] = v->file[i];
		else
		{
			free(v->file[i].path);
			free(v->file[i].place);
		}
	v->count = kept;
}

/* ---- an index ---- */

typedef struct index_reader
{
	local_version *version;
	const char *path;
	int			depth;			/* of objects and arrays */
	int			map_depth;		/* within weight_map; 0: outside */
	bool		key_is_map;
} index_reader;

static void
add_shard(index_reader *in, const sparse_json_event *event)
{
	char	   *shard = format_text("%.*s", (int) event->bytes, event->text);
	size_t		folder = (size_t) (folder_base_name(in->path) - in->path);
	char	   *place = format_text("%.*s%s", (int) folder, in->path, shard);
	const local_version *v = in->version;

	if (!folder_path_is_safe(shard))
		fail(STATUS_FAILED, "Shards lie in the folder of their index, or below it.",
			 "index \"%s\" names an invalid shard: \"%s\"", in->path, shard);
	/* tensors of one shard stand together, mostly */
	if (v->count == 0 || strcmp(v->file[v->count - 1].path, shard) != 0)
		add_file(in->version, place, shard);
	free(place);
	free(shard);
}

static bool
take_index_event(void *state, const sparse_json_event *event)
{
	index_reader *in = state;

	switch (event->kind)
	{
		case SPARSE_JSON_OPEN_OBJECT:
		case SPARSE_JSON_OPEN_ARRAY:
			in->depth++;
			if (in->key_is_map && event->kind == SPARSE_JSON_OPEN_OBJECT)
				in->map_depth = in->depth;
			in->key_is_map = false;
			break;
		case SPARSE_JSON_CLOSE_OBJECT:
		case SPARSE_JSON_CLOSE_ARRAY:
			if (in->depth == in->map_depth)
				in->map_depth = 0;
			in->depth--;
			break;
		case SPARSE_JSON_KEY:
			in->key_is_map = in->depth == 1 && event->bytes == 10 && memcmp(event->text, "weight_map", 10) == 0;
			break;
		case SPARSE_JSON_STRING:
			if (in->map_depth && in->depth == in->map_depth)
				add_shard(in, event);
			in->key_is_map = false;
			break;
		default:
			in->key_is_map = false;
	}
	return true;
}

/* All of a small file, zero-terminated; NULL when it is larger than that. The caller frees it. */
static char *
read_text(const char *path, uint64_t most, size_t *bytes)
{
	source		file;
	char	   *text;

	source_open(&file, path);
	if (file.bytes > most)
	{
		source_close(&file);
		return NULL;
	}
	*bytes = (size_t) file.bytes;
	text = allocate(*bytes + 1);
	source_read(&file, 0, text, *bytes);
	text[*bytes] = '\0';
	source_close(&file);
	return text;
}

static void
add_index(local_version *v, const char *path)
{
	index_reader in = {.version = v, .path = path};
	char		error[SPARSE_MESSAGE];
	size_t		bytes = 0;
	char	   *text = read_text(path, MAX_INDEX_BYTES, &bytes);

	if (text == NULL)
		fail(STATUS_FAILED, NULL, "index \"%s\" is too large", path);
	if (sparse_json_parse(&sparse_malloc, text, bytes, take_index_event, &in, error, sizeof error) != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "index \"%s\" is not JSON: %s", path, error);
	free(text);
	if (v->count == 0)
		fail(STATUS_FAILED, "It has no \"weight_map\" of tensors and their files.", "index \"%s\" names no shards", path);
	add_file(v, path, folder_base_name(path));
}

static bool
is_index(const char *path)
{
	size_t		length = strlen(path);

	return length >= 11 && strcmp(path + length - 11, ".index.json") == 0;
}

/* ---- the version ---- */

void
local_open(local_version *v, const char *path, bool as_bytes)
{
	bool		folder = folder_is(path);

	*v = (local_version) {0};
	if (!folder && is_index(path))
		add_index(v, path);
	else
		folder_walk(path, add_file, v);
	if (v->count == 0)
		fail(STATUS_FAILED, NULL, "folder \"%s\" holds no files", path);
	sort_files(v);
	for (unsigned long i = 0; i < v->count; i++)
	{
		local_file *file = &v->file[i];
		char		error[SPARSE_MESSAGE] = "";

		model_open_any(&file->content, file->place, error);
		source_map(&file->content.file);
		check_kind(file, v->count == 1 && !folder, as_bytes, error);
		v->bytes += file->content.file.bytes;
	}
}

void
local_hash(local_version *v, hash_jobs *jobs)
{
	for (unsigned long i = 0; i < v->count; i++)
	{
		local_file *file = &v->file[i];
		const sparse_safetensors *header = &file->content.header;

		hash_add(jobs, &file->content.file, 0, file->content.file.bytes, file->sha256);
		file->tensor_sha256 = allocate(header->tensors * sizeof *file->tensor_sha256);
		for (uint32_t k = 0; k < header->tensors; k++)
			hash_add(jobs, &file->content.file, header->header_bytes + header->tensor[k].first,
					 header->tensor[k].bytes, file->tensor_sha256[k]);
	}
}

local_file *
local_find(const local_version *v, const char *path)
{
	local_file	key = {.path = (char *) path};

	return bsearch(&key, v->file, v->count, sizeof *v->file, compare_paths);
}

/* ---- as JSON ---- */

static void
print_digest(FILE *out, const uint8_t digest[SHA256_BYTES])
{
	char		text[2 * SHA256_BYTES + 1];

	sha256_text(digest, text);
	fprintf(out, "\"%s\"", text);
}

static void
print_header(FILE *out, const model *content)
{
	size_t		bytes = (size_t) content->header.header_bytes;
	uint8_t    *header = allocate(bytes);
	unsigned char *text = allocate(4 * ((bytes + 2) / 3) + 1);

	source_read(&content->file, 0, header, bytes);
	EVP_EncodeBlock(text, header, (int) bytes);
	fprintf(out, ", \"header\": \"%s\"", text);
	free(header);
	free(text);
}

static void
print_file(FILE *out, const local_file *file)
{
	const sparse_safetensors *header = &file->content.header;

	fputs("{\"path\": ", out);
	json_string(out, file->path);
	fprintf(out, ", \"size\": %llu, \"sha256\": ", (unsigned long long) file->content.file.bytes);
	print_digest(out, file->sha256);
	if (file->content.kind == DELTAFILE_SAFETENSORS)
	{
		print_header(out, &file->content);
		fputs(", \"tensors\": {", out);
		for (uint32_t i = 0; i < header->tensors; i++)
		{
			fputs(i > 0 ? ", " : "", out);
			json_string(out, header->tensor[i].name);
			fputs(": ", out);
			print_digest(out, file->tensor_sha256[i]);
		}
		fputc('}', out);
	}
	fputc('}', out);
}

char *
local_json(const local_version *v)
{
	char	   *text;
	size_t		bytes;
	FILE	   *out = open_memstream(&text, &bytes);

	if (out == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	fputc('[', out);
	for (unsigned long i = 0; i < v->count; i++)
	{
		fputs(i > 0 ? ", " : "", out);
		print_file(out, &v->file[i]);
	}
	fputc(']', out);
	if (fclose(out) != 0)
		fail(STATUS_FAILED, NULL, "out of memory");
	return text;
}

void
local_close(local_version *v)
{
	for (unsigned long i = 0; i < v->count; i++)
	{
		model_close(&v->file[i].content);
		free(v->file[i].path);
		free(v->file[i].place);
		free(v->file[i].tensor_sha256);
	}
	free(v->file);
	*v = (local_version) {0};
}
