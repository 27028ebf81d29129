/*
 * gguf.c: reads the directory of a GGUF file (see gguf.h).
 *
 * It is walked twice: the first walk checks everything and counts the memory that the second,
 * which fills it, will need. So nothing is allocated on the word of the file.
 */
#include "gguf.h"

#include <string.h>
#include <xxhash.h>

#include "codec/blocks.h"
#include "codec/message.h"
#include "plan/format.h"

#define WINDOW ((uint64_t) 65536)
#define LEAST_PAIR 13			/* bytes: an empty key, a type, one byte */
#define LEAST_TENSOR 24			/* an empty name, no dimension */
#define DEFAULT_ALIGNMENT 32

static const char alignment_key[] = "general.alignment";

enum
{
	TYPE_U8, TYPE_I8, TYPE_U16, TYPE_I16, TYPE_U32, TYPE_I32, TYPE_F32, TYPE_BOOL, TYPE_STRING, TYPE_ARRAY, TYPE_U64, TYPE_I64,
	TYPE_F64, TYPES
};

/* Of a value; 0: it says itself. */
static const uint8_t type_bytes[TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

typedef struct walker
{
	/* fixed */
	const sparse_content *from;
	const sparse_interrupt *interrupt;
	uint64_t	limit;			/* the directory ends before */
	char	   *error;
	size_t		error_size;

	/* where it is */
	uint64_t	at;
	uint8_t    *window;			/* WINDOW bytes, of which are there */
	uint64_t	window_first;
	uint64_t	window_bytes;
	size_t		steps;

	/* what it has found */
	uint64_t	pairs;
	uint64_t	tensors;
	uint32_t	alignment;		/* 0: nothing was said */
	uint64_t	tensors_at;		/* byte of the first tensor's entry */
	uint64_t	name_bytes;		/* of all names, with their zeros */
	uint64_t	dimensions;
} walker;

#define REFUSE(w, ...) (sparse_complain((w)->error, (w)->error_size, __VA_ARGS__), SPARSE_CORRUPT)

/* ---- bytes ---- */

static sparse_status
need(walker *w, uint64_t bytes)
{
	if (bytes <= w->limit - w->at)
		return SPARSE_OK;
	if (w->limit < w->from->bytes)
	{
		sparse_complain(w->error, w->error_size, "the directory has more than %llu bytes", (unsigned long long) w->limit);
		return SPARSE_TOO_LARGE;
	}
	sparse_complain(w->error, w->error_size, "the file ends within its directory");
	return SPARSE_TRUNCATED;
}

static sparse_status
skip(walker *w, uint64_t bytes)
{
	SPARSE_TRY(need(w, bytes));
	w->at += bytes;
	return SPARSE_OK;
}

static void
fill_window(walker *w)
{
	w->window_first = w->at;
	w->window_bytes = w->limit - w->at < WINDOW ? w->limit - w->at : WINDOW;
	w->from->read(w->from->state, w->window_first, w->window_bytes, w->window);
}

static sparse_status
take(walker *w, void *target, uint64_t bytes)
{
	uint8_t    *to = target;

	SPARSE_TRY(need(w, bytes));
	while (bytes > 0)
	{
		uint64_t	ready;

		if (w->at < w->window_first || w->at - w->window_first >= w->window_bytes)
			fill_window(w);
		ready = w->window_bytes - (w->at - w->window_first);
		if (ready > bytes)
			ready = bytes;
		memcpy(to, w->window + (w->at - w->window_first), (size_t) ready);
		to += ready;
		w->at += ready;
		bytes -= ready;
	}
	return SPARSE_OK;
}

static sparse_status
take_number(walker *w, int bytes, uint64_t *number)
{
	uint8_t		byte[8];

	SPARSE_TRY(take(w, byte, (uint64_t) bytes));
	*number = 0;
	for (int i = bytes; i-- > 0;)
		*number = *number << 8 | byte[i];
	return SPARSE_OK;
}

static sparse_status
step(walker *w)
{
	return sparse_interrupted(w->interrupt, w->steps++) ? SPARSE_INTERRUPTED : SPARSE_OK;
}

/* ---- pairs ---- */

static sparse_status
skip_string(walker *w)
{
	uint64_t	bytes;

	SPARSE_TRY(step(w));
	SPARSE_TRY(take_number(w, 8, &bytes));
	return skip(w, bytes);
}

static sparse_status
skip_array(walker *w)
{
	uint64_t	type;
	uint64_t	count;

	SPARSE_TRY(take_number(w, 4, &type));
	SPARSE_TRY(take_number(w, 8, &count));
	if (type >= TYPES || type == TYPE_ARRAY)
		return REFUSE(w, "an array is of elements of type %llu", (unsigned long long) type);
	if (type != TYPE_STRING)
		return count > UINT64_MAX / 8 ? need(w, UINT64_MAX) : skip(w, count * type_bytes[type]);
	for (uint64_t i = 0; i < count; i++)
		SPARSE_TRY(skip_string(w));
	return SPARSE_OK;
}

static sparse_status
take_alignment(walker *w, uint64_t type)
{
	uint64_t	value;

	if (type != TYPE_U32)
		return REFUSE(w, "%s is no 32-bit number", alignment_key);
	SPARSE_TRY(take_number(w, 4, &value));
	if (w->alignment != 0)
		return REFUSE(w, "%s stands there twice", alignment_key);
	if (value == 0 || (value & (value - 1)) != 0)
		return REFUSE(w, "%s is %llu, no power of two", alignment_key, (unsigned long long) value);
	w->alignment = (uint32_t) value;
	return SPARSE_OK;
}

static sparse_status
take_pair(walker *w)
{
	char		key[sizeof alignment_key - 1];
	uint64_t	bytes;
	uint64_t	type;
	bool		is_alignment = false;

	SPARSE_TRY(step(w));
	SPARSE_TRY(take_number(w, 8, &bytes));
	if (bytes == sizeof key)
	{
		SPARSE_TRY(take(w, key, sizeof key));
		is_alignment = memcmp(key, alignment_key, sizeof key) == 0;
	}
	else
		SPARSE_TRY(skip(w, bytes));
	SPARSE_TRY(take_number(w, 4, &type));
	if (is_alignment)
		return take_alignment(w, type);
	if (type == TYPE_STRING)
		return skip_string(w);
	if (type == TYPE_ARRAY)
		return skip_array(w);
	if (type >= TYPES)
		return REFUSE(w, "a value is of type %llu", (unsigned long long) type);
	return skip(w, type_bytes[type]);
}

static sparse_status
take_head(walker *w)
{
	char		magic[4];
	uint64_t	version;

	SPARSE_TRY(take(w, magic, sizeof magic));
	if (memcmp(magic, SPARSE_GGUF_MAGIC, sizeof magic) != 0)
		return REFUSE(w, "it does not begin with GGUF");
	SPARSE_TRY(take_number(w, 4, &version));
	if (version != 2 && version != 3)
		return REFUSE(w, "its version is %llu: only 2 and 3, little-endian, are read", (unsigned long long) version);
	SPARSE_TRY(take_number(w, 8, &w->tensors));
	SPARSE_TRY(take_number(w, 8, &w->pairs));
	if (w->pairs > w->limit / LEAST_PAIR || w->tensors > w->limit / LEAST_TENSOR)
		return need(w, UINT64_MAX);
	for (uint64_t i = 0; i < w->pairs; i++)
		SPARSE_TRY(take_pair(w));
	w->tensors_at = w->at;
	return SPARSE_OK;
}

/* ---- tensors ---- */

/* Where the second walk puts the next name, shape and so on; NULL in the first walk. */
typedef struct filling
{
	char	   *name;
	char	   *name_end;
	uint64_t   *shape;
	uint64_t   *shape_end;
	sparse_tensor *tensor;
} filling;

/* A name, at first into `name`; its bytes without the zero. */
static sparse_status
take_name(walker *w, char name[SPARSE_GGUF_MAX_NAME + 1], uint64_t *bytes)
{
	SPARSE_TRY(take_number(w, 8, bytes));
	if (*bytes > SPARSE_GGUF_MAX_NAME)
		return REFUSE(w, "the name of a tensor has %llu bytes", (unsigned long long) *bytes);
	SPARSE_TRY(take(w, name, *bytes));
	name[*bytes] = '\0';
	if (memchr(name, '\0', (size_t) *bytes) != NULL || !sparse_utf8_valid(name, (size_t) *bytes))
		return REFUSE(w, "the name of a tensor is no UTF-8, or has a zero in it");
	return SPARSE_OK;
}

/* Bytes of a tensor of these dimensions, the first being the innermost. */
static sparse_status
count_bytes(walker *w, const char *name, const uint64_t *dimension, uint64_t rank, const sparse_block_type *type, uint64_t *bytes)
{
	const uint64_t innermost = rank > 0 ? dimension[0] : 1;
	char		shown[SPARSE_SHOWN];
	uint64_t	count;

	sparse_show_name(shown, name, strlen(name));
	if (innermost % type->elements != 0)
		return REFUSE(w, "rows of tensor \"%s\" have %llu elements, no whole blocks of %s", shown,
					  (unsigned long long) innermost, type->name);
	count = innermost / type->elements;
	for (uint64_t i = 1; i < rank; i++)
		if (__builtin_mul_overflow(count, dimension[i], &count))
			return REFUSE(w, "tensor \"%s\" is too large", shown);
	if (__builtin_mul_overflow(count, (uint64_t) type->bytes, bytes) || *bytes > INT64_MAX)
		return REFUSE(w, "tensor \"%s\" is too large", shown);
	return SPARSE_OK;
}

static sparse_status
take_dimensions(walker *w, const char *name, uint64_t dimension[SPARSE_GGUF_MAX_RANK], uint64_t *rank)
{
	char		shown[SPARSE_SHOWN];

	SPARSE_TRY(take_number(w, 4, rank));
	if (*rank > SPARSE_GGUF_MAX_RANK)
		return REFUSE(w, "tensor \"%s\" has %llu dimensions", sparse_show_name(shown, name, strlen(name)),
					  (unsigned long long) *rank);
	for (uint64_t i = 0; i < *rank; i++)
	{
		SPARSE_TRY(take_number(w, 8, &dimension[i]));
		if (dimension[i] > INT64_MAX)
			return REFUSE(w, "tensor \"%s\" is too large", sparse_show_name(shown, name, strlen(name)));
	}
	return SPARSE_OK;
}

/* (The file may have been written to since it was counted.) */
static bool
has_room(const filling *f, uint64_t name_bytes, uint64_t rank)
{
	return name_bytes < (uint64_t) (f->name_end - f->name) && rank <= (uint64_t) (f->shape_end - f->shape);
}

static void
fill_tensor(filling *f, const char *name, uint64_t name_bytes, const uint64_t *dimension, uint64_t rank,
			const sparse_block_type *type, uint64_t first, uint64_t bytes)
{
	memcpy(f->name, name, (size_t) name_bytes + 1);
	for (uint64_t i = 0; i < rank; i++)
		f->shape[i] = dimension[rank - 1 - i];
	*f->tensor++ = (sparse_tensor) {
		.name = f->name, .dtype_name = type->name, .dtype = type->dtype, .rank = (uint32_t) rank, .shape = f->shape,
		.first = first, .bytes = bytes
	};
	f->name += name_bytes + 1;
	f->shape += rank;
}

static sparse_status
take_tensor(walker *w, char name[SPARSE_GGUF_MAX_NAME + 1], filling *f)
{
	uint64_t	dimension[SPARSE_GGUF_MAX_RANK];
	uint64_t	name_bytes;
	uint64_t	rank;
	uint64_t	number;
	uint64_t	first;
	uint64_t	bytes;
	const sparse_block_type *type;
	char		shown[SPARSE_SHOWN];

	SPARSE_TRY(step(w));
	SPARSE_TRY(take_name(w, name, &name_bytes));
	SPARSE_TRY(take_dimensions(w, name, dimension, &rank));
	SPARSE_TRY(take_number(w, 4, &number));
	SPARSE_TRY(take_number(w, 8, &first));
	sparse_show_name(shown, name, (size_t) name_bytes);
	type = sparse_block_numbered((uint32_t) number);
	if (type == NULL)
		return REFUSE(w, "tensor \"%s\" is of type %llu, whose size is not known", shown, (unsigned long long) number);
	SPARSE_TRY(count_bytes(w, name, dimension, rank, type, &bytes));
	if (first % w->alignment != 0)
		return REFUSE(w, "tensor \"%s\" begins at byte %llu of the data, not at a multiple of %u", shown,
					  (unsigned long long) first, w->alignment);
	w->name_bytes += name_bytes + 1;
	w->dimensions += rank;
	if (f != NULL && !has_room(f, name_bytes, rank))
		return REFUSE(w, "the file has changed while it was read");
	if (f != NULL)
		fill_tensor(f, name, name_bytes, dimension, rank, type, first, bytes);
	return SPARSE_OK;
}

/* ---- the whole ---- */

static sparse_status
walk_tensors(walker *w, char name[SPARSE_GGUF_MAX_NAME + 1], filling *f)
{
	w->at = w->tensors_at;
	for (uint64_t i = 0; i < w->tensors; i++)
		SPARSE_TRY(take_tensor(w, name, f));
	return SPARSE_OK;
}

/* Memory for the tensors, their gaps, shapes and names, as counted. */
static sparse_status
make_room(const sparse_allocator *allocator, const walker *w, sparse_layout *parsed, filling *f)
{
	const size_t gaps = (size_t) (w->tensors + 1);
	const size_t bytes = w->tensors * sizeof(sparse_tensor) + gaps * sizeof(sparse_span) +
		w->dimensions * sizeof(uint64_t) + w->name_bytes;

	parsed->memory = allocator->allocate(allocator->state, bytes);
	if (parsed->memory == NULL)
		return SPARSE_NO_MEMORY;
	parsed->tensors = (uint32_t) w->tensors;
	parsed->tensor = f->tensor = parsed->memory;
	parsed->gap = (sparse_span *) (parsed->tensor + w->tensors);
	f->shape = (uint64_t *) (parsed->gap + gaps);
	f->shape_end = f->shape + w->dimensions;
	f->name = (char *) f->shape_end;
	f->name_end = f->name + w->name_bytes;
	return SPARSE_OK;
}

/* Where the data begins; a file without data need not be padded. */
static uint64_t
end_of_directory(const walker *w, uint64_t file_bytes)
{
	const uint64_t padded = (w->at + w->alignment - 1) / w->alignment * w->alignment;

	return padded < file_bytes ? padded : file_bytes;
}

static sparse_status
parse(walker *w, const sparse_allocator *allocator, uint64_t file_bytes, char *name, sparse_layout *parsed)
{
	filling		f;

	SPARSE_TRY(take_head(w));
	if (w->alignment == 0)
		w->alignment = DEFAULT_ALIGNMENT;
	SPARSE_TRY(walk_tensors(w, name, NULL));
	SPARSE_TRY(make_room(allocator, w, parsed, &f));
	SPARSE_TRY(walk_tensors(w, name, &f));
	parsed->header_bytes = end_of_directory(w, file_bytes);
	SPARSE_TRY(sparse_layout_check_names(allocator, w->interrupt, parsed, XXH3_64bits(w->window, (size_t) w->window_bytes),
										 w->error, w->error_size));
	SPARSE_TRY(sparse_layout_sort(allocator, w->interrupt, parsed));
	SPARSE_TRY(sparse_layout_find_gaps(parsed, file_bytes, w->error, w->error_size));
	if (parsed->literal_bytes <= SPARSE_MAX_LITERAL)
		return SPARSE_OK;
	sparse_complain(w->error, w->error_size, "%llu bytes belong to no tensor", (unsigned long long) parsed->literal_bytes);
	return SPARSE_TOO_LARGE;
}

sparse_status
sparse_gguf_parse(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
				  const sparse_content *from, uint64_t file_bytes,
				  sparse_layout *parsed, char *error, size_t error_size)
{
	walker		w = {.from = from, .interrupt = interrupt, .error = error, .error_size = error_size};
	sparse_status status = SPARSE_NO_MEMORY;

	if (allocator == NULL)
		allocator = &sparse_malloc;
	if (error_size > 0)
		error[0] = '\0';
	*parsed = (sparse_layout) {0};
	w.limit = from->bytes < SPARSE_MAX_LITERAL ? from->bytes : SPARSE_MAX_LITERAL;
	w.window = allocator->allocate(allocator->state, WINDOW + SPARSE_GGUF_MAX_NAME + 1);
	if (w.window != NULL)
		status = parse(&w, allocator, file_bytes, (char *) w.window + WINDOW, parsed);
	allocator->release(allocator->state, w.window);
	if (status == SPARSE_NO_MEMORY || status == SPARSE_INTERRUPTED)
		sparse_complain(error, error_size, "%s", sparse_status_text(status));
	if (status != SPARSE_OK)
		sparse_layout_free(allocator, parsed);
	return status;
}
