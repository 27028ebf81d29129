/*
 * safetensors_entries.c: reads the entries of a safetensors header.
 *
 * The JSON is read twice through the same handlers. The first pass checks every
 * entry and counts; then one block of memory of exactly the right size is taken
 * and the second pass fills it:
 *
 *      tensors | shapes | metadata | strings
 *
 * So memory never grows by doubling, and a header that lies costs nothing.
 */
#include "safetensors_entries.h"

#include <string.h>

#include "json.h"
#include "message.h"

/* Where in the document the parser stands: what it expects next. */
typedef enum place
{
	AT_DOCUMENT,
	IN_HEADER,
	AT_METADATA,
	IN_METADATA,
	AT_METADATA_VALUE,
	AT_ENTRY,
	IN_ENTRY,
	AT_DTYPE,
	AT_SHAPE,
	IN_SHAPE,
	AT_OFFSETS,
	IN_OFFSETS,
	AT_IGNORED,
	AT_END
} place;

enum							/* keys of an entry, as bits */
{
	HAS_DTYPE = 1,
	HAS_SHAPE = 2,
	HAS_OFFSETS = 4
};

typedef struct parser
{
	/* fixed for the pass */
	bool		filling;		/* the second pass */
	sparse_tensor *tensor;
	uint64_t   *shapes;
	char	   *metadata;
	char	   *strings;
	const sparse_interrupt *interrupt;
	char	   *error;
	size_t		error_size;

	/* counted in the first pass, used up in the second */
	size_t		tensors;
	size_t		dimensions;
	size_t		metadata_pairs;
	size_t		metadata_bytes;
	size_t		string_bytes;
	size_t		events;
	bool		interrupted;

	/* the entry at hand */
	place		at;
	bool		has_metadata;
	unsigned	ignored_depth;
	unsigned	keys;			/* HAS_... */
	unsigned	offsets;		/* how many of them are there */
	sparse_tensor entry;
	unsigned	bits;			/* of an element; 0: its dtype is unknown */
	uint64_t	shape[SPARSE_SAFETENSORS_MAX_RANK];
	uint64_t	offset[2];
	char		shown[SPARSE_SHOWN];	/* the entry's name, for messages */
} parser;

typedef sparse_json_event event;

#define REFUSE(parser, ...) sparse_complain((parser)->error, (parser)->error_size, __VA_ARGS__)

/* ---- keeping ---- */

static bool
holds_zero(const event *string)
{
	return string->bytes > 0 && memchr(string->text, '\0', string->bytes) != NULL;
}

/* Appends to the strings or the metadata; in the first pass the bytes are only counted. */
static void
append(const parser *p, char *strings, size_t *used, const char *text, size_t bytes)
{
	if (p->filling && bytes > 0)
		memcpy(strings + *used, text, bytes);
	*used += bytes;
}

/* Keeps a string of a tensor, zero-terminated. */
static const char *
keep_string(parser *p, const event *string)
{
	const char *kept = p->filling ? p->strings + p->string_bytes : NULL;

	append(p, p->strings, &p->string_bytes, string->text, string->bytes);
	append(p, p->strings, &p->string_bytes, "", 1);
	return kept;
}

/*
 * Keeps a key or a value of the metadata, zero-terminated, behind the one before.
 * Zeros within, which a C string cannot hold, become U+FFFD.
 */
static void
keep_metadata(parser *p, const event *string)
{
	const char *end = string->text + string->bytes;
	const char *from = string->text;
	const char *zero;

	while (from < end && (zero = memchr(from, '\0', (size_t) (end - from))) != NULL)
	{
		append(p, p->metadata, &p->metadata_bytes, from, (size_t) (zero - from));
		append(p, p->metadata, &p->metadata_bytes, "\xEF\xBF\xBD", 3);
		from = zero + 1;
	}
	append(p, p->metadata, &p->metadata_bytes, from, (size_t) (end - from));
	append(p, p->metadata, &p->metadata_bytes, "", 1);
}

static void
keep_entry(parser *p)
{
	p->entry.shape = p->filling ? p->shapes + p->dimensions : NULL;
	if (p->filling)
	{
		if (p->entry.rank > 0)
			memcpy(p->shapes + p->dimensions, p->shape, p->entry.rank * sizeof(uint64_t));
		p->tensor[p->tensors] = p->entry;
	}
	p->dimensions += p->entry.rank;
	p->tensors++;
}

/* ---- one entry ---- */

/* A number without sign, fraction or exponent, below 2^63. */
static bool
parse_number(const event *number, uint64_t *value)
{
	uint64_t	sum = 0;

	for (size_t i = 0; i < number->bytes; i++)
	{
		unsigned	digit = (unsigned) (number->text[i] - '0');

		if (digit > 9 || sum > ((uint64_t) INT64_MAX - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*value = sum;
	return true;
}

/* The bits that the shape and the dtype ask for: none where the dtype is unknown; false when they overflow. */
static bool
shape_bits(const parser *p, uint64_t *bits)
{
	uint64_t	product = 1;

	for (uint32_t i = 0; i < p->entry.rank; i++)
		if (__builtin_mul_overflow(product, p->shape[i], &product))
			return false;
	return !__builtin_mul_overflow(product, p->bits, bits);
}

/* Whether the tensor has as many bytes as its shape and dtype ask for; of an unknown dtype, any number. */
static bool
check_size(parser *p)
{
	uint64_t	bits;

	if (!shape_bits(p, &bits))
		return REFUSE(p, "shape of tensor \"%s\" overflows", p->shown);
	if (bits % 8 != 0)
		return REFUSE(p, "tensor \"%s\" is no whole number of bytes: its shape and dtype ask for %llu bits", p->shown,
					  (unsigned long long) bits);
	if (p->bits != 0 && bits / 8 != p->entry.bytes)
		return REFUSE(p, "tensor \"%s\" has %llu bytes, its shape and dtype ask for %llu", p->shown,
					  (unsigned long long) p->entry.bytes, (unsigned long long) bits / 8);
	return true;
}

static bool
check_keys(parser *p)
{
	const char *missing = !(p->keys & HAS_DTYPE) ? "dtype" :
		!(p->keys & HAS_SHAPE) ? "shape" :
		!(p->keys & HAS_OFFSETS) ? "data_offsets" : NULL;

	if (missing)
		return REFUSE(p, "tensor \"%s\" has no %s", p->shown, missing);
	return true;
}

static bool
finish_entry(parser *p)
{
	if (!check_keys(p))
		return false;
	if (p->offset[0] > p->offset[1])
		return REFUSE(p, "data_offsets of tensor \"%s\" end before they begin", p->shown);
	p->entry.first = p->offset[0];
	p->entry.bytes = p->offset[1] - p->offset[0];
	if (!check_size(p))
		return false;
	keep_entry(p);
	p->at = IN_HEADER;
	return true;
}

static bool
begin_entry(parser *p, const event *key)
{
	sparse_show_name(p->shown, key->text, key->bytes);
	if (holds_zero(key))
		return REFUSE(p, "the name of tensor \"%s\" holds a zero byte", p->shown);
	p->keys = 0;
	p->offsets = 0;
	p->entry = (sparse_tensor) {.name = keep_string(p, key)};
	p->at = AT_ENTRY;
	return true;
}

static bool
take_dtype(parser *p, const event *e)
{
	if (e->kind != SPARSE_JSON_STRING || holds_zero(e))
		return REFUSE(p, "dtype of tensor \"%s\" is not a name", p->shown);
	/* "BYTES" is our word, not the format's: a dtype of that name is unknown. */
	if (!sparse_dtype_find(e->text, e->bytes, &p->entry.dtype))
		p->entry.dtype = SPARSE_BYTES;
	p->bits = sparse_dtype_bits(e->text, e->bytes);
	p->entry.dtype_name = keep_string(p, e);
	p->at = IN_ENTRY;
	return true;
}

static bool
take_dimension(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_CLOSE_ARRAY)
	{
		p->at = IN_ENTRY;
		return true;
	}
	if (p->entry.rank == SPARSE_SAFETENSORS_MAX_RANK)
		return REFUSE(p, "tensor \"%s\" has more than %d dimensions", p->shown, SPARSE_SAFETENSORS_MAX_RANK);
	if (e->kind != SPARSE_JSON_NUMBER || !parse_number(e, &p->shape[p->entry.rank]))
		return REFUSE(p, "shape of tensor \"%s\" holds something that is not an integer from 0 to 2^63 - 1", p->shown);
	p->entry.rank++;
	return true;
}

static bool
take_offset(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_CLOSE_ARRAY && p->offsets == 2)
	{
		p->at = IN_ENTRY;
		return true;
	}
	if (e->kind == SPARSE_JSON_CLOSE_ARRAY || p->offsets == 2)
		return REFUSE(p, "data_offsets of tensor \"%s\" are not two", p->shown);
	if (e->kind != SPARSE_JSON_NUMBER || !parse_number(e, &p->offset[p->offsets]))
		return REFUSE(p, "data_offsets of tensor \"%s\" are not integers from 0 to 2^63 - 1", p->shown);
	p->offsets++;
	return true;
}

static bool
is_key(const event *key, const char *name)
{
	return key->bytes == strlen(name) && memcmp(key->text, name, key->bytes) == 0;
}

static bool
begin_value(parser *p, unsigned bit, const char *name, place at)
{
	if (p->keys & bit)
		return REFUSE(p, "tensor \"%s\" has %s twice", p->shown, name);
	p->keys |= bit;
	p->at = at;
	return true;
}

static bool
take_entry_key(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_CLOSE_OBJECT)
		return finish_entry(p);
	if (is_key(e, "dtype"))
		return begin_value(p, HAS_DTYPE, "dtype", AT_DTYPE);
	if (is_key(e, "shape"))
		return begin_value(p, HAS_SHAPE, "shape", AT_SHAPE);
	if (is_key(e, "data_offsets"))
		return begin_value(p, HAS_OFFSETS, "data_offsets", AT_OFFSETS);
	p->ignored_depth = 0;
	p->at = AT_IGNORED;
	return true;
}

static bool
take_ignored(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_OPEN_OBJECT || e->kind == SPARSE_JSON_OPEN_ARRAY)
		p->ignored_depth++;
	if (e->kind == SPARSE_JSON_CLOSE_OBJECT || e->kind == SPARSE_JSON_CLOSE_ARRAY)
		p->ignored_depth--;
	if (p->ignored_depth == 0)
		p->at = IN_ENTRY;
	return true;
}

/* ---- the document ---- */

static bool
descend(parser *p, const event *e, sparse_json_kind expected, place into)
{
	p->at = into;
	return e->kind == expected;
}

static bool
take_header_key(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_CLOSE_OBJECT)
	{
		p->at = AT_END;
		return true;
	}
	if (!is_key(e, "__metadata__"))
		return begin_entry(p, e);
	if (p->has_metadata)
		return REFUSE(p, "__metadata__ stands there twice");
	p->has_metadata = true;
	p->at = AT_METADATA;
	return true;
}

/* null is as good as none: the reference implementation has an Option there. */
static bool
begin_metadata(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_LITERAL && is_key(e, "null"))
	{
		p->at = IN_HEADER;
		return true;
	}
	return descend(p, e, SPARSE_JSON_OPEN_OBJECT, IN_METADATA) ||
		REFUSE(p, "__metadata__ is not an object");
}

static bool
take_metadata_key(parser *p, const event *e)
{
	if (e->kind == SPARSE_JSON_CLOSE_OBJECT)
	{
		p->at = IN_HEADER;
		return true;
	}
	sparse_show_name(p->shown, e->text, e->bytes);
	if (holds_zero(e))
		return REFUSE(p, "key \"%s\" of __metadata__ holds a zero byte", p->shown);
	keep_metadata(p, e);
	p->at = AT_METADATA_VALUE;
	return true;
}

static bool
take_metadata_value(parser *p, const event *e)
{
	if (e->kind != SPARSE_JSON_STRING)
		return REFUSE(p, "value of \"%s\" in __metadata__ is not a string", p->shown);
	keep_metadata(p, e);
	p->metadata_pairs++;
	p->at = IN_METADATA;
	return true;
}

static bool
on_event(void *state, const event *e)
{
	parser	   *p = state;

	p->interrupted = sparse_interrupted(p->interrupt, p->events++);
	if (p->interrupted)
		return false;
	switch (p->at)
	{
		case AT_DOCUMENT:
			return descend(p, e, SPARSE_JSON_OPEN_OBJECT, IN_HEADER) ||
				REFUSE(p, "header is not an object");
		case IN_HEADER:
			return take_header_key(p, e);
		case AT_METADATA:
			return begin_metadata(p, e);
		case IN_METADATA:
			return take_metadata_key(p, e);
		case AT_METADATA_VALUE:
			return take_metadata_value(p, e);
		case AT_ENTRY:
			return descend(p, e, SPARSE_JSON_OPEN_OBJECT, IN_ENTRY) ||
				REFUSE(p, "tensor \"%s\" is not an object", p->shown);
		case IN_ENTRY:
			return take_entry_key(p, e);
		case AT_DTYPE:
			return take_dtype(p, e);
		case AT_SHAPE:
			return descend(p, e, SPARSE_JSON_OPEN_ARRAY, IN_SHAPE) ||
				REFUSE(p, "shape of tensor \"%s\" is not an array", p->shown);
		case IN_SHAPE:
			return take_dimension(p, e);
		case AT_OFFSETS:
			return descend(p, e, SPARSE_JSON_OPEN_ARRAY, IN_OFFSETS) ||
				REFUSE(p, "data_offsets of tensor \"%s\" are not an array", p->shown);
		case IN_OFFSETS:
			return take_offset(p, e);
		case AT_IGNORED:
			return take_ignored(p, e);
		case AT_END:
			break;
	}
	return false;
}

/* One pass over the JSON. */
static sparse_status
run_pass(parser *p, const sparse_allocator *allocator, const char *text, size_t bytes)
{
	char		syntax[160] = "";
	sparse_status status = sparse_json_parse(allocator, text, bytes, on_event, p, syntax, sizeof syntax);

	if (p->interrupted)
		return SPARSE_INTERRUPTED;
	if (syntax[0])
		sparse_complain(p->error, p->error_size, "header is invalid: %s", syntax);
	return status == SPARSE_BAD_ARGUMENT ? SPARSE_CORRUPT : status;
}

/* Takes the one block that all results live in and turns the parser to filling it. */
static sparse_status
begin_filling(const sparse_allocator *allocator, parser *p, sparse_layout *parsed)
{
	size_t		tensors = p->tensors * sizeof(sparse_tensor);
	size_t		shapes = p->dimensions * sizeof(uint64_t);
	char	   *block = allocator->allocate(allocator->state,
											tensors + shapes + p->metadata_bytes + p->string_bytes + 1);

	if (block == NULL)
		return SPARSE_NO_MEMORY;
	parsed->memory = block;
	parsed->tensors = (uint32_t) p->tensors;
	parsed->tensor = (sparse_tensor *) block;
	parsed->metadata_pairs = (uint32_t) p->metadata_pairs;
	parsed->metadata = block + tensors + shapes;
	*p = (parser) {
		.filling = true,
		.tensor = parsed->tensor,
		.shapes = (uint64_t *) (block + tensors),
		.metadata = block + tensors + shapes,
		.strings = block + tensors + shapes + p->metadata_bytes,
		.interrupt = p->interrupt,
		.error = p->error,
		.error_size = p->error_size
	};
	return SPARSE_OK;
}

sparse_status
sparse_entries_read(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
					const char *text, size_t bytes,
					sparse_layout *parsed, char *error, size_t error_size)
{
	parser		p = {.interrupt = interrupt, .error = error, .error_size = error_size};

	SPARSE_TRY(run_pass(&p, allocator, text, bytes));
	SPARSE_TRY(begin_filling(allocator, &p, parsed));
	return run_pass(&p, allocator, text, bytes);
}
