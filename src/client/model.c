/*
 * model.c: opens a model and finds its tensors by name (see model.h).
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "plan/path.h"
#include "plan/pointer.h"

static void
read_content(void *state, uint64_t first, uint64_t bytes, void *target)
{
	source_read(state, first, target, (size_t) bytes);
}

sparse_file_kind
model_claims(const model *m)
{
	uint8_t		first[SPARSE_FORMAT_FIRST];
	size_t		bytes = m->file.bytes < sizeof first ? (size_t) m->file.bytes : sizeof first;
	sparse_file_kind kind;

	source_read(&m->file, 0, first, bytes);
	kind = sparse_file_recognise(first, bytes, m->file.bytes);
	return kind == SPARSE_FILE_BYTES ? sparse_file_kind_of_path(m->file.path) : kind;
}

static bool
parse(model *m, char error[SPARSE_MESSAGE])
{
	const sparse_content content = {&m->file, m->file.bytes, read_content};
	const sparse_file_kind kind = model_claims(m);
	sparse_status status;

	if (kind == SPARSE_FILE_BYTES)
	{
		snprintf(error, SPARSE_MESSAGE, "it does not begin as one");
		return false;
	}
	status = sparse_file_parse(kind, NULL, NULL, &content, m->file.bytes, &m->header, error, SPARSE_MESSAGE);
	if (status == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "\"%s\": %s", m->file.path, error);
	if (status == SPARSE_OK)
		m->kind = kind;
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
	*m = (model) {.kind = SPARSE_FILE_BYTES};
	source_open(&m->file, path);
	if (!parse(m, error))
		return false;
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
	else if (model_claims(m) != SPARSE_FILE_BYTES)
		warn("\"%s\" is not a valid %s and is taken as bytes: %s", path, sparse_file_kind_words(model_claims(m)), error);
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
model_read_literal(const model *m, uint64_t first, void *target, size_t bytes)
{
	while (bytes > 0)
	{
		const sparse_span span = sparse_layout_literal(&m->header, first);
		const size_t length = span.bytes < bytes ? (size_t) span.bytes : bytes;

		if (length == 0)
			fail(STATUS_FAILED, NULL, "\"%s\" is read past its end", m->file.path);
		source_read(&m->file, span.first, target, length);
		target = (uint8_t *) target + length;
		first += length;
		bytes -= length;
	}
}

void
model_close(model *m)
{
	source_close(&m->file);
	free(m->by_name);
	if (m->kind != SPARSE_FILE_BYTES)
		sparse_layout_free(NULL, &m->header);
}
