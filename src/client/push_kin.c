/*
 * push_kin.c: the parents' files at hand, and what the server is told of them (see push_kin.h).
 */
#include "push_kin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* ---- which files they are ---- */

static void
add_file(push_kin *k, unsigned long number, int parent)
{
	const model *content = &k->haves->file[number].content;

	k->file = array_grow(k->file, (unsigned long) k->files, sizeof *k->file);
	k->parent_of = array_grow(k->parent_of, (unsigned long) k->files, sizeof *k->parent_of);
	k->element = array_grow(k->element, (unsigned long) k->files, sizeof *k->element);
	k->depth = array_grow(k->depth, (unsigned long) k->files, sizeof *k->depth);
	k->file[k->files] = content;
	k->parent_of[k->files] = parent;
	k->element[k->files] = number + 1;
	k->depth[k->files] = allocate((content->header.tensors + 1) * sizeof **k->depth);
	memset(k->depth[k->files], 0, content->header.tensors * sizeof **k->depth);
	k->files++;
}

/* The local file of that content; false: it is not at hand. */
static bool
find_have(const push_kin *k, const char *digest, unsigned long *number)
{
	uint8_t		sha256[SHA256_BYTES];

	if (!wire_parse_hex(digest, sha256, SHA256_BYTES))
		return false;
	for (unsigned long i = 0; i < k->haves->count; i++)
		if (k->haves->file[i].content.kind != SPARSE_FILE_BYTES && memcmp(k->haves->file[i].sha256, sha256, SHA256_BYTES) == 0)
		{
			*number = i;
			return true;
		}
	return false;
}

/* How deep the chains are that the tensors of a file end in the store. */
static void
ask_depths(push_kin *k, conn *c, const char *parent, const char *path)
{
	const char *const value[] = {parent, path};
	PGresult   *result = conn_query(c, "select name, depth from @.sparse_tensors($1::text) where file = $2 and depth > 0", 2, value);
	const model *content = k->file[k->files - 1];

	for (int i = 0; i < PQntuples(result); i++)
	{
		const sparse_tensor *tensor = model_find(content, PQgetvalue(result, i, 0));

		if (tensor != NULL)
			k->depth[k->files - 1][tensor - content->header.tensor] = atoi(PQgetvalue(result, i, 1));
	}
	PQclear(result);
}

static void
add_parent(push_kin *k, conn *c, const char *parent)
{
	const char *const value[] = {parent};
	const int	before = k->files;
	PGresult   *result = conn_query(c, "select path, encode(sha256, 'hex') from @.sparse_files($1::text)"
									" where format = 'safetensors' order by ordinal", 1, value);

	for (int i = 0; i < PQntuples(result); i++)
	{
		unsigned long number;

		if (!find_have(k, PQgetvalue(result, i, 1), &number))
			continue;
		add_file(k, number, k->parents);
		ask_depths(k, c, parent, PQgetvalue(result, i, 0));
	}
	k->parents += k->files > before;
	PQclear(result);
}

/* (Policies may hide what belongs to a version that is open.) */
static void
add_parents(push_kin *k, conn *c, const char *id, const name_list *given)
{
	const char *const value[] = {id};
	PGresult   *result = conn_query(c, "select parent from sparse.parent where child = $1 order by ordinal", 1, value);
	int			count = PQntuples(result);

	for (int i = 0; i < count; i++)
		add_parent(k, c, PQgetvalue(result, i, 0));
	for (unsigned long i = 0; count == 0 && i < given->count; i++)
		add_parent(k, c, given->name[i]);
	PQclear(result);
}

static void
ask_settings(push_kin *k, conn *c)
{
	/* (the settings are there once the library is loaded) */
	PGresult   *result = conn_query(c, "select current_setting('sparse.max_chain_depth'), current_setting('sparse.effort'), s.type::oid"
									" from (select '@.sdelta'::regtype as type, @.sparse_format() as format offset 0) s"
									" where s.format > 0", 0, NULL);

	k->max_depth = atoi(PQgetvalue(result, 0, 0));
	k->effort = atoi(PQgetvalue(result, 0, 1));
	k->delta_type = (uint32_t) strtoul(PQgetvalue(result, 0, 2), NULL, 10);
	PQclear(result);
}

/* ---- which tensors come after others ---- */

static void
find_late(push_kin *k, unsigned long number, sparse_codec *codec)
{
	const local_file *file = &k->local->file[number];
	uint32_t	parts = kin_parts(&file->content);
	kin_files	files;

	k->late[number] = k->done[number] = NULL;
	if (file->content.kind == SPARSE_FILE_BYTES)
		return;
	push_kin_files(k, file, codec, &files);
	k->late[number] = allocate(parts * sizeof(bool));
	k->done[number] = allocate(parts * sizeof(bool));
	for (uint32_t i = 0; i < parts; i++)
	{
		k->late[number][i] = i > 0 && kin_wants_siblings(&files, i);
		k->done[number][i] = !k->late[number][i];
	}
	kin_close(&files);
}

static void
find_all_late(push_kin *k)
{
	sparse_codec *codec = sparse_codec_create(NULL);

	if (codec == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	k->late = allocate(k->local->count * sizeof *k->late);
	k->done = allocate(k->local->count * sizeof *k->done);
	for (unsigned long i = 0; i < k->local->count; i++)
		find_late(k, i, codec);
	sparse_codec_free(codec);
}

/* ---- the whole ---- */

void
push_kin_open(push_kin *k, conn *c, const local_version *local, const haves *haves, const char *id,
			  const name_list *parents)
{
	*k = (push_kin) {.local = local, .haves = haves};
	ask_settings(k, c);
	if (haves->count > 0)
		add_parents(k, c, id, parents);
	if (k->files > 0)
		find_all_late(k);
}

void
push_kin_close(push_kin *k)
{
	for (int i = 0; i < k->files; i++)
		free(k->depth[i]);
	for (unsigned long i = 0; k->late != NULL && i < k->local->count; i++)
	{
		free(k->late[i]);
		free(k->done[i]);
	}
	free(k->file);
	free(k->parent_of);
	free(k->element);
	free(k->depth);
	free(k->late);
	free(k->done);
	*k = (push_kin) {0};
}

bool
push_kin_has(const push_kin *k)
{
	return k->files > 0;
}

bool
push_kin_is_late(const push_kin *k, const local_file *file, const sparse_tensor *tensor)
{
	return k->late[file - k->local->file][1 + (tensor - file->content.header.tensor)];
}

void
push_kin_files(const push_kin *k, const local_file *file, sparse_codec *codec, kin_files *files)
{
	kin_open(files, &file->content, k->file, k->files, codec);
	kin_join(files, k->parent_of, k->parents);
	files->depth = (const int32_t *const *) k->depth;
	files->max_depth = k->max_depth;
	files->effort = k->effort;
	if (k->done != NULL)
		files->done = k->done[file - k->local->file];
}

/* ---- what the server is told ---- */

static void
add_row(push_parents *parents, int64_t element, int64_t file, int64_t tensor)
{
	wire_array_add_int8(&parents->number, element);
	wire_array_add_int8(&parents->number, file);
	wire_array_add_int8(&parents->number, tensor);
}

/* As deltas of at most a chunk each; nothing of them is predicted. */
static void
add_factor(push_parents *parents, const sparse_factor *factor, sparse_codec *codec)
{
	const sparse_grid grid = {factor->bytes, 0, SPARSE_CHUNK_TARGET};
	const uint32_t before = parents->factor.count;
	uint64_t	first;
	uint64_t	bytes;

	for (uint64_t seq = 0; sparse_grid_chunk(&grid, seq, &first, &bytes); seq++)
	{
		const uint8_t *delta;
		size_t		length;

		if (sparse_delta_encode(codec, factor->content + first, (size_t) bytes, factor->dtype, NULL, 0, NULL, 0, &delta, &length) != SPARSE_OK)
			fail(STATUS_FAILED, NULL, "could not encode a factor");
		wire_array_add(&parents->factor, delta, length);
		parents->factor_bytes += length;
	}
	add_row(parents, 0, before, parents->factor.count - before);
}

/* The elements that are named so far, each once: the number of this one, from 1. */
typedef struct named
{
	const char *text[SPARSE_MAX_REFS];
	unsigned long element[SPARSE_MAX_REFS];
	int			count;
} named;

static int
name_element(const push_kin *k, named *n, unsigned long element)
{
	char		digest[2 * SHA256_BYTES + 1];

	for (int i = 0; i < n->count; i++)
		if (n->element[i] == element)
			return i + 1;
	sha256_text(k->haves->file[element - 1].sha256, digest);
	n->element[n->count] = element;
	n->text[n->count++] = format_text("sha256:%s", digest);
	return n->count;
}

static void
add_source(const push_kin *k, const local_file *file, const kin_files *files, int64_t object, sparse_codec *codec,
		   named *n, push_parents *parents)
{
	const sparse_factor *factor = sparse_factors_get(&files->factors, object);
	kin_place	place;

	if (factor != NULL)
	{
		add_factor(parents, factor, codec);
		return;
	}
	kin_locate(files, object, &place);
	if (place.owner == 0)
		add_row(parents, -1, file - k->local->file, (int64_t) place.part - 1);
	else
		add_row(parents, name_element(k, n, k->element[place.owner - 1]), 0, (int64_t) place.part - 1);
}

void
push_kin_name(const push_kin *k, const local_file *file, const kin_part *part, sparse_codec *codec, push_parents *parents)
{
	const sparse_prediction *prediction = &part->prediction;
	named		n = {0};

	free(parents->have);
	wire_array_begin(&parents->number, WIRE_INT8);
	wire_array_begin(&parents->factor, k->delta_type);
	parents->factor_bytes = 0;
	if (prediction->recipe == NULL && prediction->object != 0)
		add_source(k, file, part->files, prediction->object, codec, &n, parents);
	for (int i = 0; prediction->recipe != NULL && i < prediction->recipe->sources; i++)
		add_source(k, file, part->files, prediction->recipe->source[i].object, codec, &n, parents);
	parents->have = wire_text_array(n.text, (unsigned long) n.count);
	for (int i = 0; i < n.count; i++)
		free((char *) n.text[i]);
}

void
push_parents_release(push_parents *parents)
{
	wire_release(&parents->number.bytes);
	wire_release(&parents->factor.bytes);
	free(parents->have);
	*parents = (push_parents) {0};
}
