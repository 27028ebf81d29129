/*
 * test_rowmap.c: maps of rows come back as they were, are as small as what they say, and what is damaged is refused.
 */
#include "codec/rowmap.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static int	tests;
static int	failures;
static uint64_t state = 88172645463325252u;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

static uint32_t
below(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 20) % limit;
}

/* Writes a map and reads it; its bytes under zstd, 0 where something differs. */
static size_t
round_trip(uint32_t rows, uint32_t inherited, uint32_t stored, const uint32_t *row)
{
	sparse_rowmap_head head = {rows, inherited, stored, 3, 0};
	sparse_rowmap_head again;
	size_t		size = sparse_rowmap_size(&head, row);
	uint8_t    *bytes = malloc(size + 1);
	uint32_t   *back = malloc(rows * sizeof(uint32_t) + 1);
	size_t		room = ZSTD_compressBound(size);
	void	   *packed = malloc(room);
	size_t		result = 0;

	if (size > 0)
	{
		sparse_rowmap_write(&head, row, bytes);
		if (sparse_rowmap_read(bytes, size, &again) == SPARSE_OK && again.rows == rows && again.inherited == inherited &&
			again.stored == stored && again.generation == 3 && sparse_rowmap_numbers(bytes, &again, back) == SPARSE_OK &&
			(rows == 0 || memcmp(back, row, rows * sizeof(uint32_t)) == 0))
			result = ZSTD_compress(packed, room, bytes, size, 19);
	}
	free(packed);
	free(bytes);
	free(back);
	return result;
}

static void
shuffle(uint32_t *row, uint32_t rows)
{
	for (uint32_t i = rows; i > 1; i--)
	{
		uint32_t	other = below(i);
		uint32_t	kept = row[i - 1];

		row[i - 1] = row[other];
		row[other] = kept;
	}
}

static void
test_derivations(void)
{
	enum
	{
		ROWS = 80000
	};
	uint32_t   *row = malloc(ROWS * sizeof(uint32_t));
	uint32_t	rows = 0;

	for (uint32_t i = 0; i < ROWS; i++)
		row[i] = i;
	ok(round_trip(ROWS, ROWS, ROWS, row) > 0 && round_trip(ROWS, ROWS, ROWS, row) < 64, "rows in their order are a run");
	shuffle(row, ROWS);
	ok(round_trip(ROWS, ROWS, ROWS, row) > 0 && round_trip(ROWS, ROWS, ROWS, row) < 180000,
	   "a permutation of 80,000 rows takes less than 18 bits a row");
	for (uint32_t i = 0; i < ROWS; i++)
		if (below(2))
			row[rows++] = i;
	ok(round_trip(rows, ROWS, ROWS, row) > 0 && round_trip(rows, ROWS, ROWS, row) < 11000,
	   "a random half of 80,000 rows takes about a bit a row");
	for (uint32_t i = 0; i < ROWS; i++)
		row[i] = i;
	for (uint32_t i = 0; i < 15; i++)
		row[i * 5000 + 7] = ROWS + i;
	ok(round_trip(ROWS, ROWS, ROWS + 15, row) > 0 && round_trip(ROWS, ROWS, ROWS + 15, row) < 160,
	   "fifteen changed rows take some ten bytes each at most");
	ok(round_trip(0, 7, 7, row) > 0, "no rows at all are a map");
	free(row);
}

static void
test_random(void)
{
	bool		good = true;
	uint32_t	row[600];

	for (int round = 0; round < 3000 && good; round++)
	{
		uint32_t	inherited = below(300);
		uint32_t	fresh = inherited;
		uint32_t	rows = below(600);

		for (uint32_t i = 0; i < rows; i++)
			row[i] = inherited == 0 || below(4) == 0 ? fresh++ :
				i > 0 && row[i - 1] + 1 < inherited && below(3) ? row[i - 1] + 1 : below(inherited);
		good = round_trip(rows, inherited, fresh, row) > 0;
	}
	ok(good, "3,000 random maps, with rows taken twice and new rows between them, come back");
}

static void
test_refused(void)
{
	uint32_t	row[200];
	uint8_t		bytes[4096];
	uint8_t		kept[4096];
	uint32_t	back[200];
	sparse_rowmap_head head = {200, 150, 160, 1, 0};
	bool		sound = true;
	size_t		size;

	for (uint32_t i = 0; i < 200; i++)
		row[i] = i % 20 == 19 ? 150 + i / 20 : below(150);
	size = sparse_rowmap_size(&head, row);
	sparse_rowmap_write(&head, row, kept);
	for (int round = 0; round < 20000; round++)
	{
		sparse_rowmap_head again;
		size_t		length = below(10) == 0 ? below((uint32_t) size) : size;
		uint8_t    *exact = malloc(length + 1);

		memcpy(bytes, kept, size);
		for (uint32_t i = below(3); i > 0; i--)
			bytes[below(4) == 0 ? below(24) : below((uint32_t) size)] ^= (uint8_t) (1u << below(8));
		memcpy(exact, bytes, length);
		if (sparse_rowmap_read(exact, length, &again) == SPARSE_OK && again.rows <= 200 &&
			sparse_rowmap_numbers(exact, &again, back) == SPARSE_OK)
			for (uint32_t i = 0; i < again.rows; i++)
				sound &= back[i] < again.stored;
		free(exact);
	}
	ok(sound, "20,000 damaged maps are refused, or name stored rows only");
	row[19] = 151;
	ok(sparse_rowmap_size(&head, row) == 0, "new rows out of their order are no map");
	row[19] = 5000;
	ok(sparse_rowmap_size(&head, row) == 0, "rows that are not stored are no map");
}

int
main(void)
{
	test_derivations();
	test_random();
	test_refused();
	printf("1..%d\n", tests);
	return failures > 0;
}
