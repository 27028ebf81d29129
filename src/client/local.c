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
#include "plan/check.h"
#include "plan/path.h"
#include "table.h"

/* ---- what is refused ---- */

/* The kind of a file that holds weights in another form, by its first bytes and its name; else NULL. */
static const char *
foreign_kind(const model *content, const char *path)
{
	static const char *const endings[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".ggml",
	".h5", ".msgpack", ".onnx", ".npz", ".npy", ".tflite", ".pb"};
	char		first[8] = {0};
	const char *ending = strrchr(sparse_path_base(path), '.');

	source_read(&content->file, 0, first, content->file.bytes < 8 ? (size_t) content->file.bytes : 8);
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
	sparse_file_kind claimed;
	const char *kind;

	if (file->content.kind != SPARSE_FILE_BYTES || as_bytes)
		return;
	claimed = model_claims(&file->content);
	if (claimed != SPARSE_FILE_BYTES)
		fail(STATUS_FAILED, "--as-bytes stores it all the same, as plain bytes.",
			 "\"%s\" is not a valid %s: %s", file->place, sparse_file_kind_words(claimed), error);
	kind = foreign_kind(&file->content, file->path);
	if (kind == NULL && alone)
		kind = "neither a safetensors nor a GGUF file";
	if (kind)
		fail(STATUS_FAILED, "Save it with safetensors, which compresses and can be read tensor by tensor; or give"
			 " --as-bytes, which stores it as plain bytes.",
			 "\"%s\" is %s", file->place, kind);
}

/* ---- the files ---- */

typedef struct gathering
{
	local_version *version;
	folder_enter enters;
	void	   *state;
	const patterns *taken;
} gathering;

static bool
enters_folder(void *state, const char *path)
{
	const gathering *g = state;

	return g->enters == NULL || g->enters(g->state, path);
}

static void
add_file(void *state, const char *place, const char *path)
{
	const gathering *g = state;
	local_version *v = g->version;

	if (!patterns_take(g->taken, path))
		return;
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

/* ---- whether it is whole: plan/check.h ---- */

static const char *
path_of(void *state, uint32_t file)
{
	return ((const local_version *) state)->file[file].path;
}

static uint64_t
bytes_of(void *state, uint32_t file)
{
	return ((const local_version *) state)->file[file].content.file.bytes;
}

static void
read_content(void *state, uint32_t file, void *content, uint64_t bytes)
{
	source_read(&((const local_version *) state)->file[file].content.file, 0, content, (size_t) bytes);
}

static sparse_finding
find_tensor(void *state, const char *path, const char *tensor)
{
	const local_file *file = local_find(state, path);

	if (file == NULL)
		return SPARSE_FOUND_NO_FILE;
	if (file->content.kind == SPARSE_FILE_BYTES)
		return SPARSE_FOUND_BYTES;
	return model_find(&file->content, tensor) ? SPARSE_FOUND_TENSOR : SPARSE_FOUND_NO_TENSOR;
}

static const char *
native(void *state, const char *name)
{
	(void) state;
	return name;
}

static void
tell_index(void *state, const char *index)
{
	(void) state;
	warn("none of the files is there that index \"%s\" names", index);
}

static sparse_made_version
made_of(local_version *v)
{
	return (sparse_made_version) {
		.state = v,
		.files = (uint32_t) v->count,
		.path = path_of,
		.bytes = bytes_of,
		.read = read_content,
		.find = find_tensor,
		.native = native,
		.tell = tell_index
	};
}

/* ---- the version ---- */

/* Files are looked at before their kinds: a pointer is no file of its kind. */
static void
check_all(local_version *v, bool alone, bool as_bytes, char (*error)[SPARSE_MESSAGE])
{
	sparse_made_version version = made_of(v);
	sparse_complaint complaint;

	folder_check(sparse_check_pointers(&version, &complaint), &complaint);
	for (unsigned long i = 0; i < v->count; i++)
		check_kind(&v->file[i], alone, as_bytes, error[i]);
	folder_check(sparse_check_indexes(&version, &sparse_malloc, &complaint), &complaint);
}

void
local_open(local_version *v, const char *path, folder_enter enters, void *state, const patterns *taken, bool as_bytes)
{
	gathering	g = {v, enters, state, taken};
	char	  (*error)[SPARSE_MESSAGE];

	*v = (local_version) {0};
	folder_walk(path, add_file, enters_folder, &g);
	if (v->count == 0)
		fail(STATUS_FAILED, NULL, "none of the files of \"%s\" is meant", path);
	qsort(v->file, v->count, sizeof *v->file, compare_paths);
	error = allocate(v->count * sizeof *error);
	for (unsigned long i = 0; i < v->count; i++)
	{
		local_file *file = &v->file[i];

		model_open_any(&file->content, file->place, error[i]);
		source_map(&file->content.file);
		v->bytes += file->content.file.bytes;
	}
	check_all(v, v->count == 1 && !folder_is(path), as_bytes, error);
	free(error);
}

void
local_hash(local_version *v, hash_jobs *jobs)
{
	for (unsigned long i = 0; i < v->count; i++)
	{
		local_file *file = &v->file[i];
		const sparse_layout *header = &file->content.header;

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
	size_t		bytes = (size_t) content->header.literal_bytes;
	uint8_t    *header = allocate(bytes);
	unsigned char *text = allocate(4 * ((bytes + 2) / 3) + 1);

	model_read_literal(content, 0, header, bytes);
	EVP_EncodeBlock(text, header, (int) bytes);
	fprintf(out, ", \"header\": \"%s\"", text);
	free(header);
	free(text);
}

static void
print_file(FILE *out, const local_file *file)
{
	const sparse_layout *header = &file->content.header;

	fputs("{\"path\": ", out);
	json_string(out, file->path);
	fprintf(out, ", \"size\": %llu, \"sha256\": ", (unsigned long long) file->content.file.bytes);
	print_digest(out, file->sha256);
	if (file->content.kind != SPARSE_FILE_BYTES)
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
