/*
 * safetensors.c: checks the framing of a safetensors file.
 *
 * What concerns several tensors at once (equal names, overlaps, gaps) is checked
 * here; each entry by itself in safetensors_entries.c.
 *
 * Where the format's description and its reference implementation leave room, we
 * follow the stricter for what is written twice (a tensor, __metadata__ or a key in
 * it, dtype, shape or data_offsets of an entry are refused; a key that is ignored is
 * ignored twice) and the reference for the rest: unknown keys of an entry are ignored, entries
 * are walked in the order of (begin, end) and each must begin where the one before
 * it ended, a shape's product may overflow at no step.
 */
#include "safetensors.h"

#include <string.h>
#include <xxhash.h>

#include "message.h"
#include "safetensors_entries.h"

#define REFUSE(parser, ...) sparse_complain((parser)->error, (parser)->error_size, __VA_ARGS__)

/* Where a message goes, and room for the name in it. */
typedef struct complaint
{
	char	   *error;
	size_t		error_size;
	char		shown[SPARSE_SHOWN];
} complaint;

/* ---- no name twice ---- */

/*
 * The names of tensors, or the keys of the metadata. A name has a place: a tensor's
 * its index, a key its byte in the metadata.
 */
typedef struct name_list
{
	uint32_t	count;
	const char *(*at) (const sparse_safetensors *of, uint32_t place);
	uint32_t	(*next) (const sparse_safetensors *of, uint32_t place);
} name_list;

static const char *
tensor_name(const sparse_safetensors *of, uint32_t place)
{
	return of->tensor[place].name;
}

static uint32_t
next_tensor(const sparse_safetensors *of, uint32_t place)
{
	(void) of;
	return place + 1;
}

static const char *
metadata_key(const sparse_safetensors *of, uint32_t place)
{
	return of->metadata + place;
}

/* Behind a key and its value. The strings are no longer than the header: 32 bits do. */
static uint32_t
next_key(const sparse_safetensors *of, uint32_t place)
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
add_name(const name_set *set, const sparse_safetensors *of, const name_list *names, uint32_t place)
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
		  const sparse_safetensors *of, const name_list *names, uint64_t seed, const char **twin)
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

static sparse_status
check_unique(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
			 const sparse_safetensors *of, uint64_t seed, complaint *c)
{
	const name_list tensors = {of->tensors, tensor_name, next_tensor};
	const name_list keys = {of->metadata_pairs, metadata_key, next_key};
	const char *twin;

	SPARSE_TRY(find_twin(allocator, interrupt, of, &tensors, seed, &twin));
	if (twin)
	{
		REFUSE(c, "tensor \"%s\" stands there twice", sparse_show_name(c->shown, twin, strlen(twin)));
		return SPARSE_CORRUPT;
	}
	SPARSE_TRY(find_twin(allocator, interrupt, of, &keys, seed, &twin));
	if (twin)
	{
		REFUSE(c, "key \"%s\" of __metadata__ stands there twice", sparse_show_name(c->shown, twin, strlen(twin)));
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

/* Puts the tensors in the order of their bytes, in which most headers are already. */
static sparse_status
sort_tensors(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
			 sparse_tensor *tensor, uint32_t count)
{
	uint32_t   *index;
	bool		sorted;

	if (is_sorted(tensor, count))
		return SPARSE_OK;
	index = allocator->allocate(allocator->state, count * sizeof(uint32_t));
	if (index == NULL)
		return SPARSE_NO_MEMORY;
	sorted = sort_indexes(interrupt, tensor, index, count);
	if (sorted)
		permute(tensor, index, count);
	allocator->release(allocator->state, index);
	return sorted ? SPARSE_OK : SPARSE_INTERRUPTED;
}

/* The tensors, in order, must lie side by side and fill the file. */
static bool
check_tiling(sparse_safetensors *parsed, uint64_t file_bytes, complaint *c)
{
	uint64_t	end = 0;

	for (uint32_t i = 0; i < parsed->tensors; i++)
	{
		const sparse_tensor *tensor = &parsed->tensor[i];

		sparse_show_name(c->shown, tensor->name, strlen(tensor->name));
		if (tensor->first != end)
			return REFUSE(c, "tensor \"%s\" begins at byte %llu of the data, not at %llu: %s", c->shown,
						  (unsigned long long) tensor->first, (unsigned long long) end,
						  tensor->first < end ? "it overlaps another" : "there is a gap before it");
		end = tensor->first + tensor->bytes;
		if (end > file_bytes - parsed->header_bytes)
			return REFUSE(c, "tensor \"%s\" ends at byte %llu of the data, of which the file has %llu", c->shown,
						  (unsigned long long) end, (unsigned long long) (file_bytes - parsed->header_bytes));
	}
	if (end != file_bytes - parsed->header_bytes)
		return REFUSE(c, "%llu bytes at the end of the file belong to no tensor",
					  (unsigned long long) (file_bytes - parsed->header_bytes - end));
	parsed->data_bytes = end;
	return true;
}

/* ---- the whole ---- */

static sparse_status
parse_text(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
		   const char *text, size_t bytes,
		   uint64_t file_bytes, sparse_safetensors *parsed, complaint *c)
{
	if (text[0] != '{')
	{
		REFUSE(c, "header does not begin with {");
		return SPARSE_CORRUPT;
	}
	SPARSE_TRY(sparse_entries_read(allocator, interrupt, text, bytes, parsed, c->error, c->error_size));
	SPARSE_TRY(check_unique(allocator, interrupt, parsed, XXH3_64bits(text, bytes), c));
	SPARSE_TRY(sort_tensors(allocator, interrupt, parsed->tensor, parsed->tensors));
	return check_tiling(parsed, file_bytes, c) ? SPARSE_OK : SPARSE_CORRUPT;
}

sparse_status
sparse_safetensors_header_bytes(const void *first8, uint64_t file_bytes,
								uint64_t *header_bytes,
								char *error, size_t error_size)
{
	const unsigned char *byte = first8;
	uint64_t	n = 0;

	if (file_bytes < 8)
	{
		sparse_complain(error, error_size, "%llu bytes are too few for a safetensors file",
				 (unsigned long long) file_bytes);
		return SPARSE_TRUNCATED;
	}
	for (int i = 8; i-- > 0;)
		n = n << 8 | byte[i];
	if (n > SPARSE_SAFETENSORS_MAX_HEADER)
	{
		sparse_complain(error, error_size, "header of %llu bytes is longer than the %llu that the format allows",
				 (unsigned long long) n, (unsigned long long) SPARSE_SAFETENSORS_MAX_HEADER);
		return SPARSE_TOO_LARGE;
	}
	if (n > file_bytes - 8)
	{
		sparse_complain(error, error_size, "header of %llu bytes ends past the file's %llu",
				 (unsigned long long) n, (unsigned long long) file_bytes);
		return SPARSE_TRUNCATED;
	}
	if (n == 0)
	{
		sparse_complain(error, error_size, "header is empty");
		return SPARSE_CORRUPT;
	}
	*header_bytes = 8 + n;
	return SPARSE_OK;
}

sparse_status
sparse_safetensors_parse(const sparse_allocator *allocator,
						 const sparse_interrupt *interrupt,
						 const void *header, uint64_t header_bytes,
						 uint64_t file_bytes,
						 sparse_safetensors *parsed,
						 char *error, size_t error_size)
{
	uint64_t	announced;
	complaint	c = {.error = error, .error_size = error_size};
	sparse_status status;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (error_size > 0)
		error[0] = '\0';
	*parsed = (sparse_safetensors) {.header_bytes = header_bytes};
	if (header_bytes < 8)
	{
		REFUSE(&c, "header of %llu bytes is too short", (unsigned long long) header_bytes);
		return SPARSE_BAD_ARGUMENT;
	}
	SPARSE_TRY(sparse_safetensors_header_bytes(header, file_bytes, &announced, error, error_size));
	if (announced != header_bytes)
	{
		REFUSE(&c, "header has %llu bytes, not the %llu handed over",
			   (unsigned long long) announced, (unsigned long long) header_bytes);
		return SPARSE_BAD_ARGUMENT;
	}
	status = parse_text(allocator, interrupt, (const char *) header + 8, (size_t) (header_bytes - 8),
						file_bytes, parsed, &c);
	if (status == SPARSE_NO_MEMORY || status == SPARSE_INTERRUPTED)
		sparse_complain(error, error_size, "%s", sparse_status_text(status));
	if (status != SPARSE_OK)
		sparse_safetensors_free(allocator, parsed);
	return status;
}

void
sparse_safetensors_free(const sparse_allocator *allocator, sparse_safetensors *parsed)
{
	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (parsed->memory)
		allocator->release(allocator->state, parsed->memory);
	*parsed = (sparse_safetensors) {0};
}
