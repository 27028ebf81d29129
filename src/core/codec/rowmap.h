/*
 * rowmap.h: where the rows of a dataset stand among rows that are stored in another order.
 *
 * A map has a number for each row: that of the stored row which it is. The first `inherited` stored rows are
 * those of a parent, whose order is theirs; behind them follow the new ones, each once and in the order of
 * the rows. So a filter, a sample, a sort, a shuffle and an edit are all a list of runs: copies of stored rows that
 * stand together, and new rows.
 *
 * Bytes: 'M', 1; rows, inherited, stored, generation, runs (u32 each); the bytes of a skip and of a length (u8 each);
 * then for each run its length, twice, plus 1 where its rows are new; and for each run of copies how far it begins from
 * the end of the copies before it (0 before all), zigzag. Both as byte planes: the lowest bytes of all, then the next. What
 * stores the bytes compresses them: a random half of n rows comes to n bits, a permutation to log2(n!) and some.
 */
#ifndef SPARSE_CODEC_ROWMAP_H
#define SPARSE_CODEC_ROWMAP_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define SPARSE_ROWMAP_MOST (UINT32_C(1) << 30)	/* stored rows, and rows */

typedef struct sparse_rowmap_head
{
	uint32_t	rows;
	uint32_t	inherited;
	uint32_t	stored;			/* inherited, and new ones */
	uint32_t	generation;		/* maps that this one stands upon, itself included: 1 or more */
	uint32_t	runs;
} sparse_rowmap_head;

/* The bytes that a map takes before it is compressed; 0: the numbers are no map of that head (whose runs are not looked at). */
extern size_t sparse_rowmap_size(const sparse_rowmap_head *head, const uint32_t *row);

/* Writes it: exactly that many bytes. */
extern void sparse_rowmap_write(const sparse_rowmap_head *head, const uint32_t *row, uint8_t *bytes);

/* What a map is of. SPARSE_CORRUPT where it is none, or its length is not what its head says. */
extern sparse_status sparse_rowmap_read(const uint8_t *bytes, size_t length, sparse_rowmap_head *head);

/* The numbers of a map that was read so: head->rows of them, each below head->stored. */
extern sparse_status sparse_rowmap_numbers(const uint8_t *bytes, const sparse_rowmap_head *head, uint32_t *row);

#endif
