/*
 * layout.c: what all parsers of files with tensors have in common: no name twice, and
 * the order of the bytes (see layout.h).
 */
#include "layout.h"

#include <string.h>
#include <xxhash.h>

#include "message.h"

static sparse_span
part_of_span(const sparse_span *span, uint64_t at)
{
	const uint64_t skipped = at - span->at;

	return (sparse_span) {span->first + skipped, span->bytes - skipped, at};
}

sparse_span
sparse_layout_literal(const sparse_layout *of, uint64_t at)
{
	const sparse_span header = {0, of->header_bytes, 0};
	uint32_t	low = 0;
	uint32_t	high = of->gaps;

	if (at >= of->literal_bytes)
		return (sparse_span) {.at = of->literal_bytes};
	if (at < header.bytes)
		return part_of_span(&header, at);
	while (high - low > 1)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (of->gap[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return part_of_span(&of->gap[low], at);
}

/* ---- no name twice ---- */

/*
 * The names of tensors, or the keys of the metadata. A name has a place: a tensor's
 * its index, a key its byte in the metadata.
 */
typedef struct name_list
{
	uint32_t	count;
	const char *(*at) (const sparse_layout *of, uint32_t place);
	uint32_t	(*next) (const sparse_layout *of, uint32_t place);
} name_list;

static const char *
tensor_name(const sparse_layout *of, uint32_t place)
{
	return of->tensor[place].name;
}

static uint32_t
next_tensor(const sparse_layout *of, uint32_t place)
{
	(void) of;
	return place + 1;
}

static const char *
metadata_key(const sparse_layout *of, uint32_t place)
{
	return of->metadata + place;
}

/* Behind a key and its value. The strings are no longer than the header: 32 bits do. */
static uint32_t
next_key(const sparse_layout *of, uint32_t place)
{
	place += (uint32_t) strlen(of->metadata + place) + 1;
	return place + (uint32_t) strlen(of->metadata + place) + 1;
}

/*
 * A set of names: slots of 1 + place, found by hash and linear probing. The seed
 * is a hash of the whole header, so that nobody can easily choose names that
 * collide: whoever changes a name changes the seed. It is no secret, though.
 */
typedef struct name_set
{
	uint32_t   *slot;
	size_t		slots;			/* a power of two, more than 1.5 times the names */
	uint64_t	seed;
} name_set;

/* Adds the name at a place; returns the same name added before, or NULL. */
static const char *
add_name(const name_set *set, const sparse_layout *of, const name_list *names, uint32_t place)
{
	const char *added = names->at(of, place);
	size_t		at = (size_t) XXH3_64bits_withSeed(added, strlen(added), set->seed);

	for (at &= set->slots - 1; set->slot[at] != 0; at = (at + 1) & (set->slots - 1))
		if (strcmp(names->at(of, set->slot[at] - 1), added) == 0)
			return added;
	set->slot[at] = place + 1;
	return NULL;
}

/* Finds a name that stands there twice; NULL when there is none. */
static sparse_status
find_twin(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
		  const sparse_layout *of, const name_list *names, uint64_t seed, const char **twin)
{
	name_set	set = {.slots = 4, .seed = seed};
	uint32_t	place = 0;
	bool		interrupted = false;

	while (set.slots <= names->count + (size_t) names->count / 2)
		set.slots *= 2;
	set.slot = allocator->allocate(allocator->state, set.slots * sizeof(uint32_t));
	if (set.slot == NULL)
		return SPARSE_NO_MEMORY;
	memset(set.slot, 0, set.slots * sizeof(uint32_t));
	*twin = NULL;
	for (uint32_t i = 0; i < names->count && *twin == NULL && !interrupted; i++)
	{
		*twin = add_name(&set, of, names, place);
		place = names->next(of, place);
		interrupted = sparse_interrupted(interrupt, i);
	}
	allocator->release(allocator->state, set.slot);
	return interrupted ? SPARSE_INTERRUPTED : SPARSE_OK;
}

sparse_status
sparse_layout_check_names(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
						  const sparse_layout *of, uint64_t seed, char *error, size_t error_size)
{
	char		shown[SPARSE_SHOWN];
	const name_list tensors = {of->tensors, tensor_name, next_tensor};
	const name_list keys = {of->metadata_pairs, metadata_key, next_key};
	const char *twin;

	SPARSE_TRY(find_twin(allocator, interrupt, of, &tensors, seed, &twin));
	if (twin)
	{
		sparse_complain(error, error_size, "tensor \"%s\" stands there twice", sparse_show_name(shown, twin, strlen(twin)));
		return SPARSE_CORRUPT;
	}
	SPARSE_TRY(find_twin(allocator, interrupt, of, &keys, seed, &twin));
	if (twin)
	{
		sparse_complain(error, error_size, "key \"%s\" of __metadata__ stands there twice", sparse_show_name(shown, twin, strlen(twin)));
		return SPARSE_CORRUPT;
	}
	return SPARSE_OK;
}

/* ---- the order of the bytes ---- */

/* By first byte, then by last, then by place in the header: a total order. */
static bool
bytes_before(const sparse_tensor *tensor, uint32_t a, uint32_t b)
{
	const sparse_tensor *left = &tensor[a];
	const sparse_tensor *right = &tensor[b];

	if (left->first != right->first)
		return left->first < right->first;
	if (left->bytes != right->bytes)
		return left->bytes < right->bytes;
	return a < b;
}

static bool
is_sorted(const sparse_tensor *tensor, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (bytes_before(tensor, i, i - 1))
			return false;
	return true;
}

static void
sift_down(const sparse_tensor *tensor, uint32_t *index, uint32_t root, uint32_t count)
{
	uint32_t	moved = index[root];
	uint64_t	child;

	while ((child = 2 * (uint64_t) root + 1) < count)
	{
		if (child + 1 < count && bytes_before(tensor, index[child], index[child + 1]))
			child++;
		if (!bytes_before(tensor, moved, index[child]))
			break;
		index[root] = index[child];
		root = (uint32_t) child;
	}
	index[root] = moved;
}

/* Heapsort of the numbers 0 .. count - 1: no memory, no quadratic case. False when interrupted. */
static bool
sort_indexes(const sparse_interrupt *interrupt, const sparse_tensor *tensor, uint32_t *index, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		index[i] = i;
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(tensor, index, i, count);
	for (uint32_t i = count; i-- > 1;)
	{
		uint32_t	last = index[i];

		index[i] = index[0];
		index[0] = last;
		sift_down(tensor, index, 0, i);
		if (sparse_interrupted(interrupt, i))
			return false;
	}
	return true;
}

/* Puts tensor index[i] into place i, following the cycles; uses the index up. */
static void
permute(sparse_tensor *tensor, uint32_t *index, uint32_t count)
{
	for (uint32_t start = 0; start < count; start++)
	{
		sparse_tensor first = tensor[start];
		uint32_t	at = start;

		while (index[at] != start)
		{
			uint32_t	from = index[at];

			tensor[at] = tensor[from];
			index[at] = at;
			at = from;
		}
		tensor[at] = first;
		index[at] = at;
	}
}

/* (Most headers have them in that order already.) */
sparse_status
sparse_layout_sort(const sparse_allocator *allocator, const sparse_interrupt *interrupt, sparse_layout *of)
{
	uint32_t   *index;
	bool		sorted;

	if (is_sorted(of->tensor, of->tensors))
		return SPARSE_OK;
	index = allocator->allocate(allocator->state, of->tensors * sizeof(uint32_t));
	if (index == NULL)
		return SPARSE_NO_MEMORY;
	sorted = sort_indexes(interrupt, of->tensor, index, of->tensors);
	if (sorted)
		permute(of->tensor, index, of->tensors);
	allocator->release(allocator->state, index);
	return sorted ? SPARSE_OK : SPARSE_INTERRUPTED;
}

static void
add_gap(sparse_layout *of, uint64_t first, uint64_t end)
{
	if (first == end)
		return;
	of->gap[of->gaps++] = (sparse_span) {first, end - first, of->literal_bytes};
	of->literal_bytes += end - first;
}

sparse_status
sparse_layout_find_gaps(sparse_layout *of, uint64_t file_bytes, char *error, size_t error_size)
{
	char		shown[SPARSE_SHOWN];
	uint64_t	end = of->header_bytes;

	of->gaps = 0;
	of->literal_bytes = of->header_bytes;
	of->data_bytes = file_bytes - of->header_bytes;
	for (uint32_t i = 0; i < of->tensors; i++)
	{
		const sparse_tensor *tensor = &of->tensor[i];

		if (tensor->first > of->data_bytes || tensor->bytes > of->data_bytes - tensor->first)
		{
			sparse_complain(error, error_size, "tensor \"%s\" reaches past the end of the file",
							sparse_show_name(shown, tensor->name, strlen(tensor->name)));
			return SPARSE_TRUNCATED;
		}
		if (of->header_bytes + tensor->first < end)
		{
			sparse_complain(error, error_size, "tensor \"%s\" overlaps another",
							sparse_show_name(shown, tensor->name, strlen(tensor->name)));
			return SPARSE_CORRUPT;
		}
		add_gap(of, end, of->header_bytes + tensor->first);
		end = of->header_bytes + tensor->first + tensor->bytes;
	}
	add_gap(of, end, file_bytes);
	return SPARSE_OK;
}

void
sparse_layout_free(const sparse_allocator *allocator, sparse_layout *parsed)
{
	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (parsed->memory)
		allocator->release(allocator->state, parsed->memory);
	*parsed = (sparse_layout) {0};
}
