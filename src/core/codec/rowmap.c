/*
 * rowmap.c: maps of rows as bytes, and back (see rowmap.h).
 */
#include <stdbool.h>

#include "bytes.h"
#include "rowmap.h"

#define HEAD (2 + 5 * 4 + 2)

typedef struct run
{
	uint32_t	first;
	uint32_t	length;
	bool		fresh;
} run;

/* The run that begins with row `at`. */
static run
run_at(const sparse_rowmap_head *head, const uint32_t *row, uint32_t at)
{
	run			r = {row[at], 1, row[at] >= head->inherited};

	while (at + r.length < head->rows && row[at + r.length] == r.first + r.length &&
		   (row[at + r.length] >= head->inherited) == r.fresh)
		r.length++;
	return r;
}

static uint32_t
zigzag(int64_t value)
{
	return (uint32_t) (((uint64_t) value << 1) ^ (uint64_t) (value >> 63));
}

static unsigned
bytes_of(uint32_t value)
{
	return value > 0xFFFFFF ? 4 : value > 0xFFFF ? 3 : value > 0xFF ? 2 : 1;
}

/* What decides how a map is laid out. */
typedef struct shape
{
	uint32_t	runs;
	uint32_t	copies;			/* of those */
	unsigned	skip;			/* bytes of each */
	unsigned	length;
} shape;

static bool
find_shape(const sparse_rowmap_head *head, const uint32_t *row, shape *s)
{
	uint32_t	fresh = head->inherited;
	int64_t		end = 0;

	*s = (shape) {0, 0, 1, 1};
	for (uint32_t at = 0; at < head->rows;)
	{
		run			r = run_at(head, row, at);
		unsigned	skip = r.fresh ? 1 : bytes_of(zigzag((int64_t) r.first - end));
		unsigned	length = bytes_of(2 * r.length + r.fresh);

		if (r.first >= head->stored || r.length > head->stored - r.first || (r.fresh && r.first != fresh))
			return false;
		if (r.fresh)
			fresh += r.length;
		else
			end = (int64_t) r.first + r.length;
		s->copies += !r.fresh;
		s->runs++;
		s->skip = skip > s->skip ? skip : s->skip;
		s->length = length > s->length ? length : s->length;
		at += r.length;
	}
	return fresh == head->stored;
}

static size_t
size_of(const shape *s)
{
	return HEAD + (size_t) s->runs * s->length + (size_t) s->copies * s->skip;
}

static bool
head_is_sound(const sparse_rowmap_head *head)
{
	return head->rows <= SPARSE_ROWMAP_MOST && head->stored <= SPARSE_ROWMAP_MOST && head->inherited <= head->stored &&
		head->generation > 0;
}

size_t
sparse_rowmap_size(const sparse_rowmap_head *head, const uint32_t *row)
{
	shape		s;

	return head_is_sound(head) && find_shape(head, row, &s) ? size_of(&s) : 0;
}

/* Number `at` of `count` ones of `width` bytes, as planes. */
static void
put(uint8_t *planes, size_t count, unsigned width, size_t at, uint32_t value)
{
	for (unsigned k = 0; k < width; k++)
		planes[k * count + at] = (uint8_t) (value >> (8 * k));
}

static uint32_t
get(const uint8_t *planes, size_t count, unsigned width, size_t at)
{
	uint32_t	value = 0;

	for (unsigned k = 0; k < width; k++)
		value |= (uint32_t) planes[k * count + at] << (8 * k);
	return value;
}

void
sparse_rowmap_write(const sparse_rowmap_head *head, const uint32_t *row, uint8_t *bytes)
{
	shape		s;
	uint8_t    *lengths = bytes + HEAD;
	uint8_t    *skips;
	uint32_t	copies = 0;
	uint32_t	runs = 0;
	int64_t		end = 0;

	(void) find_shape(head, row, &s);
	bytes[0] = 'M';
	bytes[1] = 1;
	store32(bytes + 2, head->rows);
	store32(bytes + 6, head->inherited);
	store32(bytes + 10, head->stored);
	store32(bytes + 14, head->generation);
	store32(bytes + 18, s.runs);
	bytes[22] = (uint8_t) s.skip;
	bytes[23] = (uint8_t) s.length;
	skips = lengths + (size_t) s.runs * s.length;
	for (uint32_t at = 0; at < head->rows;)
	{
		run			r = run_at(head, row, at);

		put(lengths, s.runs, s.length, runs++, 2 * r.length + r.fresh);
		if (!r.fresh)
		{
			put(skips, s.copies, s.skip, copies++, zigzag((int64_t) r.first - end));
			end = (int64_t) r.first + r.length;
		}
		at += r.length;
	}
}

/* The shape that bytes of that length say they have. */
static sparse_status
read_shape(const uint8_t *bytes, const sparse_rowmap_head *head, shape *s)
{
	s->runs = head->runs;
	s->skip = bytes[22];
	s->length = bytes[23];
	s->copies = 0;
	SPARSE_CHECK(s->skip >= 1 && s->skip <= 4 && s->length >= 1 && s->length <= 4);
	return SPARSE_OK;
}

sparse_status
sparse_rowmap_read(const uint8_t *bytes, size_t length, sparse_rowmap_head *head)
{
	shape		s;

	SPARSE_CHECK(length >= HEAD && bytes[0] == 'M' && bytes[1] == 1);
	head->rows = load32(bytes + 2);
	head->inherited = load32(bytes + 6);
	head->stored = load32(bytes + 10);
	head->generation = load32(bytes + 14);
	head->runs = load32(bytes + 18);
	SPARSE_CHECK(head_is_sound(head) && head->runs <= head->rows);
	SPARSE_TRY(read_shape(bytes, head, &s));
	SPARSE_CHECK((size_t) s.runs * s.length <= length - HEAD);
	for (uint32_t i = 0; i < s.runs; i++)
		s.copies += !(bytes[HEAD + i] & 1);
	SPARSE_CHECK(size_of(&s) == length);
	return SPARSE_OK;
}

sparse_status
sparse_rowmap_numbers(const uint8_t *bytes, const sparse_rowmap_head *head, uint32_t *row)
{
	shape		s;
	const uint8_t *lengths = bytes + HEAD;
	const uint8_t *skips;
	uint32_t	at = 0;
	uint32_t	copies = 0;
	uint32_t	fresh = head->inherited;
	int64_t		end = 0;

	SPARSE_TRY(read_shape(bytes, head, &s));
	skips = lengths + (size_t) s.runs * s.length;
	for (uint32_t i = 0; i < s.runs; i++)
		s.copies += !(lengths[i] & 1);
	for (uint32_t i = 0; i < s.runs; i++)
	{
		uint32_t	value = get(lengths, s.runs, s.length, i);
		uint32_t	length = value >> 1;
		int64_t		first = fresh;

		SPARSE_CHECK(length > 0 && length <= head->rows - at);
		if (value & 1)
			fresh += length <= head->stored - fresh ? length : 0;
		else
		{
			uint32_t	skip = get(skips, s.copies, s.skip, copies++);

			first = end + (int64_t) ((skip >> 1) ^ -(uint64_t) (skip & 1));
			end = first + length;
		}
		SPARSE_CHECK(first >= 0 && first + length <= ((value & 1) ? (int64_t) fresh : (int64_t) head->inherited));
		for (uint32_t j = 0; j < length; j++)
			row[at++] = (uint32_t) first + j;
	}
	SPARSE_CHECK(at == head->rows && fresh == head->stored);
	return SPARSE_OK;
}
