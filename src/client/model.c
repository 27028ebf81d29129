/*
 * model.c: opens a model and finds its tensors by name (see model.h).
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "plan/path.h"
#include "plan/pointer.h"

static bool
parse_header(model *m, char error[SPARSE_MESSAGE])
{
	uint8_t		first[8] = {0};
	uint64_t	bytes;
	uint8_t    *header;
	sparse_status status;

	source_read(&m->file, 0, first, m->file.bytes < 8 ? (size_t) m->file.bytes : 8);
	if (sparse_safetensors_header_bytes(first, m->file.bytes, &bytes, error, SPARSE_MESSAGE) != SPARSE_OK)
		return false;
	header = allocate(bytes);
	source_read(&m->file, 0, header, (size_t) bytes);
	status = sparse_safetensors_parse(NULL, NULL, header, bytes, m->file.bytes, &m->header, error, SPARSE_MESSAGE);
	free(header);
	if (status == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "\"%s\": %s", m->file.path, error);
	return status == SPARSE_OK;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(const sparse_tensor *const *) a)->name, (*(const sparse_tensor *const *) b)->name);
}

static void
sort_by_name(model *m)
{
	m->by_name = allocate(m->header.tensors * sizeof *m->by_name);
	for (uint32_t i = 0; i < m->header.tensors; i++)
		m->by_name[i] = &m->header.tensor[i];
	qsort(m->by_name, m->header.tensors, sizeof *m->by_name, compare_names);
}

bool
model_open_any(model *m, const char *path, char error[SPARSE_MESSAGE])
{
	*m = (model) {.kind = DELTAFILE_BYTES};
	source_open(&m->file, path);
	if (!parse_header(m, error))
		return false;
	m->kind = DELTAFILE_SAFETENSORS;
	sort_by_name(m);
	return true;
}

static bool
is_pointer(const model *m)
{
	char		text[SPARSE_POINTER_BYTES];

	if (m->file.bytes >= sizeof text)
		return false;
	source_read(&m->file, 0, text, (size_t) m->file.bytes);
	return sparse_is_pointer(text, (size_t) m->file.bytes);
}

void
model_open(model *m, const char *path)
{
	char		error[SPARSE_MESSAGE];

	if (model_open_any(m, path, error))
		return;
	if (is_pointer(m))
		warn("\"%s\" is a Git-LFS pointer, not the file that it stands for", path);
	else if (sparse_path_is_safetensors(path))
		warn("\"%s\" is not a valid safetensors file and is taken as bytes: %s", path, error);
}

const sparse_tensor *
model_find(const model *m, const char *name)
{
	sparse_tensor wanted = {.name = name};
	const sparse_tensor *key = &wanted;
	const sparse_tensor **found = m->by_name == NULL ? NULL :
		bsearch(&key, m->by_name, m->header.tensors, sizeof *m->by_name, compare_names);

	return found ? *found : NULL;
}

void
model_close(model *m)
{
	source_close(&m->file);
	free(m->by_name);
	if (m->kind == DELTAFILE_SAFETENSORS)
		sparse_layout_free(NULL, &m->header);
}
