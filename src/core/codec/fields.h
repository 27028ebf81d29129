/*
 * fields.h: ggml's quantised blocks as what they hold: scales and minima in half precision, small
 * scales of groups, and codes; and words into which tools pack codes, whose scales are elsewhere.
 *
 * A block's value of code q in group g is a * q + b, with a and b made of the scales (docs/format.md,
 * "Fields"). Fields of content that is whole blocks are put side by side, as planes.
 */
#ifndef SPARSE_CODEC_FIELDS_H
#define SPARSE_CODEC_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELDS_MOST_SMALLS 32
#define FIELDS_MOST_CODES 256

/* One block, taken apart. */
typedef struct block_fields
{
	uint16_t	half[2];
	uint8_t		small[FIELDS_MOST_SMALLS];
	uint8_t		code[FIELDS_MOST_CODES];
} block_fields;

#define FIELDS_PACKED 64		/* numbers from here on are not ggml's, but of packed words: this and the width of a code */

/* A type of blocks; its number is stored, and is ggml's. */
typedef struct block_structure
{
	uint8_t		number;
	uint16_t	bytes;			/* of a block */
	uint8_t		halves;
	uint8_t		half_at[2];		/* bytes of the block */
	uint8_t		smalls;
	uint8_t		small_bits;
	uint16_t	codes;
	uint8_t		code_bits;
	uint8_t		groups;			/* of codes; 0: codes stand for themselves */
	void		(*unpack) (const uint8_t *block, block_fields *fields);
	void		(*pack) (const block_fields *fields, uint8_t *block);
	/* a and b of a group, halves being given in units of 2^-24 */
	void		(*line) (const int64_t half[2], const uint8_t *small, unsigned group, int64_t *a, int64_t *b);
} block_structure;

/* NULL: none that is known. */
extern const block_structure *fields_structure(unsigned number);

/*
 * The structure that content seems to be of, judged by a sample of it: that whose scales are most alike from
 * block to block. NULL: none. Content of no structure may be taken for one: coding it is then no gain, and no harm.
 */
extern const block_structure *fields_recognise(const uint8_t *content, size_t bytes);

/*
 * How codes seem to be packed into words of four bytes, by what a sample takes of the content less its prediction (NULL:
 * of the content). Like fields_recognise no promise. NULL: too little content.
 */
extern const block_structure *fields_recognise_packed(const uint8_t *content, const uint8_t *prediction, size_t bytes);

/* Bytes that the planes of so many blocks take. */
extern size_t fields_plane_bytes(const block_structure *s, size_t blocks);

/* Content of whole blocks to planes: halves of 2 bytes, smalls, codes, each for all blocks; and back. */
extern void fields_split(const block_structure *s, const uint8_t *content, size_t blocks, uint8_t *planes);
extern void fields_join(const block_structure *s, const uint8_t *planes, size_t blocks, uint8_t *content);

/*
 * Turns the codes in `parent`, planes of blocks that predict those of `planes`, into what they would be with the
 * scales of `planes`, whose codes are not looked at.
 */
extern void fields_predict_codes(const block_structure *s, const uint8_t *planes, size_t blocks, uint8_t *parent);

#endif
