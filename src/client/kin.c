/*
 * kin.c: local files as the core's source of tensors (see kin.h).
 *
 * An object's number is its owner's and its part's: (owner + 1) << 32 | part. Those of factors are negative.
 */
#include "kin.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "codec/match.h"

static int64_t
number_of(int owner, uint64_t part)
{
	return (int64_t) ((uint64_t) (owner + 1) << 32 | part);
}

static const model *
owner_of(const kin_files *k, int owner)
{
	return owner == 0 ? k->child : k->file[owner - 1];
}

uint32_t
kin_parts(const model *m)
{
	return 1 + m->header.tensors + m->header.gaps;
}

static const sparse_tensor *
tensor_of(const model *m, uint32_t part)
{
	return part > 0 && part <= m->header.tensors ? &m->header.tensor[part - 1] : NULL;
}

/* Bytes of a part, and where in its file it begins. To a child of bytes a parent is bytes, whatever it holds. */
static uint64_t
part_bytes(const kin_files *k, const model *m, uint32_t part, uint64_t *first)
{
	if (part > m->header.tensors)
	{
		*first = m->header.gap[part - m->header.tensors - 1].first;
		return m->header.gap[part - m->header.tensors - 1].bytes;
	}
	*first = part == 0 ? 0 : m->header.header_bytes + m->header.tensor[part - 1].first;
	if (part > 0)
		return m->header.tensor[part - 1].bytes;
	return k->child->kind != SPARSE_FILE_BYTES ? m->header.header_bytes : m->file.bytes;
}

void
kin_locate(const kin_files *k, int64_t object, kin_place *place)
{
	place->owner = (int) (object >> 32) - 1;
	place->part = (uint32_t) object;
	place->bytes = part_bytes(k, owner_of(k, place->owner), place->part, &place->first);
}

/* ---- the core's source ---- */

static bool
is_of_parent(const kin_files *k, int file, int parent)
{
	return (k->parent_of != NULL ? k->parent_of[file] : file) == parent;
}

static bool
tensor_as_kin(const model *m, int owner, int parent, const sparse_tensor *tensor, sparse_kin *kin)
{
	*kin = (sparse_kin) {
		.object = number_of(owner, 1 + (uint64_t) (tensor - m->header.tensor)), .dtype = tensor->dtype, .parent = parent
	};
	return sparse_kin_shape(kin, tensor->shape, tensor->rank);
}

static bool
find_tensor(void *state, int parent, char *const *name, int names, sparse_kin *found)
{
	const kin_files *k = state;

	for (int i = 0; i < names; i++)
		for (int f = 0; f < k->files; f++)
		{
			const sparse_tensor *tensor = is_of_parent(k, f, parent) ? model_find(k->file[f], name[i]) : NULL;

			if (tensor != NULL && tensor->bytes > 0)
				return tensor_as_kin(k->file[f], f + 1, parent, tensor, found);
		}
	return false;
}

static bool
find_sibling(void *state, const char *name, sparse_kin *found)
{
	const kin_files *k = state;
	const sparse_tensor *tensor = model_find(k->child, name);

	return tensor != NULL && tensor_as_kin(k->child, 0, -1, tensor, found);
}

static void
list_tensors(void *state, int parent, uint64_t most, void (*take) (void *taker, const sparse_kin *kin), void *taker)
{
	const kin_files *k = state;
	uint64_t	count = 0;

	for (int f = 0; f < k->files; f++)
		for (uint32_t i = 0; is_of_parent(k, f, parent) && i < k->file[f]->header.tensors && count < most; i++, count++)
		{
			const sparse_tensor *tensor = &k->file[f]->header.tensor[i];
			sparse_kin	kin;

			if (tensor->bytes > 0 && tensor_as_kin(k->file[f], f + 1, parent, tensor, &kin))
				take(taker, &kin);
		}
}

static sparse_dtype
dtype_of(const kin_files *k, const kin_place *place)
{
	const sparse_tensor *tensor = tensor_of(owner_of(k, place->owner), place->part);

	return tensor == NULL ? SPARSE_BYTES : tensor->dtype;
}

static bool
inspect(void *state, int64_t object, int most, sparse_kin_info *info)
{
	const kin_files *k = state;
	kin_place	place;
	int32_t		depth = 0;

	(void) most;
	kin_locate(k, object, &place);
	if (k->depth != NULL && place.owner > 0 && place.part > 0)
		depth = k->depth[place.owner - 1][place.part - 1];
	*info = (sparse_kin_info) {.dtype = dtype_of(k, &place), .bytes = place.bytes, .depth = depth, .decodes = 1 + depth};
	return place.bytes > 0 && (k->max_depth == 0 || depth < k->max_depth) && (place.owner != 0 || k->done == NULL || k->done[place.part]);
}

static sparse_status
read_object(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep)
{
	const kin_files *k = state;
	kin_place	place;

	(void) keep;
	kin_locate(k, object, &place);
	source_read(&owner_of(k, place.owner)->file, place.first + first, target, (size_t) bytes);
	return SPARSE_OK;
}

/* ---- choosing ---- */

void
kin_open(kin_files *k, const model *child, const model *const *file, int files, sparse_codec *codec)
{
	*k = (kin_files) {
		.child = child, .file = file, .files = files, .parents = files, .codec = codec, .index = kin_index_create(NULL, files)
	};
	if (k->index == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	k->source = (sparse_source) {
		.state = k, .parents = files, .find = find_tensor, .sibling = find_sibling, .list = list_tensors,
		.inspect = inspect, .read = read_object
	};
	sparse_factors_init(&k->factors, &k->source, NULL);
}

void
kin_join(kin_files *k, const int *parent_of, int parents)
{
	k->parent_of = parent_of;
	k->parents = k->source.parents = k->factors.source.parents = parents;
}

void
kin_close(kin_files *k)
{
	sparse_factors_forget(&k->factors);
	kin_index_free(k->index);
}

static sparse_status
read_content(void *state, uint64_t first, uint64_t bytes, void *target)
{
	const kin_part *part = state;

	source_read(&part->files->child->file, part->first + first, target, (size_t) bytes);
	return SPARSE_OK;
}

static void
describe(kin_files *k, uint32_t number, kin_part *part)
{
	const sparse_tensor *tensor = tensor_of(k->child, number);
	uint64_t	bytes = part_bytes(k, k->child, number, &part->first);

	part->files = k;
	part->label = tensor != NULL ? tensor->name : number > 0 ? "padding" : k->child->kind != SPARSE_FILE_BYTES ? "header" : "bytes";
	part->environment = (sparse_environment) {.effort = k->effort};
	part->grid = tensor != NULL ? sparse_tensor_grid(tensor, tensor->bytes, SPARSE_CHUNK_TARGET)
		: (sparse_grid) {bytes, 0, SPARSE_CHUNK_TARGET};
	part->subject = (sparse_subject) {
		.dtype = SPARSE_BYTES, .bytes = bytes, .chunk_bytes = k->chunk_bytes > 0 ? k->chunk_bytes : part->grid.chunk_bytes, .read = read_content, .state = part
	};
	if (tensor != NULL)
	{
		part->subject.name = tensor->name;
		part->subject.dtype = tensor->dtype;
		part->subject.rank = tensor->rank;
		part->subject.shape = tensor->shape;
		part->subject.row_bytes = sparse_tensor_row_bytes(tensor);
	}
	part->coder = (sparse_coder) {&part->environment, &k->factors.source, &part->subject, k->codec};
	part->prediction = (sparse_prediction) {0};
	part->proposals.candidates = part->proposals.recipes = 0;
}

static void
check(const kin_files *k, sparse_status status)
{
	if (status != SPARSE_OK)
		fail(STATUS_FAILED, NULL, "could not encode \"%s\": %s", k->child->file.path, sparse_status_text(status));
}

bool
kin_wants_siblings(kin_files *k, uint32_t part)
{
	kin_part   *asked;
	bool		want;

	if (tensor_of(k->child, part) == NULL)
		return false;
	asked = allocate(sizeof *asked);
	describe(k, part, asked);
	check(k, recipes_want_siblings(&asked->environment, &k->factors.source, &asked->subject, &want));
	free(asked);
	return want;
}

/* What a file has in the same place: a header, bytes, or the tensor of that name. 0: nothing of use. */
static int64_t
same_in_file(const kin_files *k, uint32_t number, int file)
{
	const model *m = k->file[file];
	const sparse_tensor *child = tensor_of(k->child, number);
	const sparse_tensor *tensor = child != NULL ? model_find(m, child->name) : NULL;

	if (child == NULL && number > 0)
		return 0;
	if (child == NULL)
		return m->kind == k->child->kind || k->child->kind == SPARSE_FILE_BYTES ? number_of(file + 1, 0) : 0;
	if (tensor == NULL || sparse_tensor_shared_bytes(child, tensor) == 0)
		return 0;
	return number_of(file + 1, 1 + (uint64_t) (tensor - m->header.tensor));
}

static int64_t
same_in_parent(const kin_files *k, uint32_t number, int parent)
{
	int64_t		object = 0;

	for (int f = 0; f < k->files && object == 0; f++)
		if (is_of_parent(k, f, parent))
			object = same_in_file(k, number, f);
	return object;
}

void
kin_turn_to(kin_files *k, uint32_t number, kin_part *part)
{
	sparse_proposals *proposals = &part->proposals;

	describe(k, number, part);
	for (int i = 0; i < k->parents && part->subject.bytes > 0 && proposals->candidates < SPARSE_MAX_CANDIDATES; i++)
	{
		int64_t		object = same_in_parent(k, number, i);

		if (object != 0)
			proposals->candidate[proposals->candidates++] = object;
	}
}

void
kin_choose(kin_files *k, uint32_t number, kin_part *part)
{
	const sparse_source *source = &k->factors.source;
	sparse_proposals *proposals = &part->proposals;

	sparse_factors_forget(&k->factors);
	kin_turn_to(k, number, part);
	check(k, recipes_propose(&part->environment, source, &part->subject, k->codec, k->index, proposals));
	check(k, prediction_choose(&part->coder, proposals, &part->prediction));
	part->grid.split_bytes = part->prediction.shared < part->subject.bytes ? part->prediction.shared : 0;
}

void
kin_choose_as_it_is(kin_files *k, kin_part *part)
{
	part->proposals.recipes = 0;
	check(k, prediction_choose(&part->coder, &part->proposals, &part->prediction));
}

/* ---- coding ---- */

uint64_t
kin_most_bytes(const kin_part *part)
{
	return prediction_most_bytes(&part->prediction, &part->subject);
}

void
kin_encode(const kin_part *part, uint64_t first, uint64_t bytes, const void *content, void *predicted,
		   const uint8_t **delta, size_t *delta_bytes)
{
	check(part->files, prediction_encode(&part->coder, &part->prediction, first, bytes, content, predicted, delta, delta_bytes));
}
