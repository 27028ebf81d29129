/*
 * formula.h: predictions that are computed from what the references name.
 *
 * A fine-tune is predicted by its parent as it is. Other children are functions of
 * their parents: a cast, a blend of several, a parent and the product of two
 * factors, a parent quantised, pruned. A delta then says which function, in a few
 * bytes of parameters between its references and its payload, and the residual is
 * coded against what the function gives.
 *
 * A prediction comes out the same on every machine: IEEE operations in a fixed
 * order, none fused (the build says -ffp-contract=off), no library function but
 * those of this folder; NaNs become one NaN. docs/format.md is the normative
 * description, docs/predictors.md says what each is good for.
 */
#ifndef SPARSE_CODEC_FORMULA_H
#define SPARSE_CODEC_FORMULA_H

#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "status.h"

struct sparse_delta_info;
struct sparse_codec;

#define SPARSE_MAX_BLEND 16		/* parents of a blend */
#define SPARSE_MAX_RANK 256		/* of a product */
#define SPARSE_MAX_BASES 8		/* of a sum */
#define SPARSE_MAX_SUM_RANK 128 /* of a sum's product */
#define SPARSE_MAX_SUM_SHIFT 8
#define SPARSE_MAX_PARAMETERS 320	/* bytes of any formula's parameters */

/* How a blend is computed. Stored: values never change their meaning. */
typedef enum sparse_blend_style
{
	SPARSE_BLEND_EXACT = 0,		/* the sum, rounded once */
	SPARSE_BLEND_STEPS = 1,		/* every product rounded to the dtype, then their sum */
	SPARSE_BLEND_TASKS = 2		/* the first parent + the sum of coefficient x (parent - first), every step rounded */
} sparse_blend_style;

/* Bits of a product's flags. */
#define SPARSE_LEFT_TRANSPOSED 1	/* the left factor is rank x rows, and all of it is referred to */
#define SPARSE_RIGHT_TRANSPOSED 2	/* the right factor is columns x rank */
#define SPARSE_PRODUCT_ROUNDED 4	/* the scaled product is rounded to the dtype before it is added */
#define SPARSE_PRODUCT_EXPONENTS 8	/* each component has an exponent of its own */

/* How quantised values are packed. Stored. */
typedef enum sparse_packing
{
	SPARSE_PACK_ELEMENTS = 0,	/* one an element */
	SPARSE_PACK_LOW_FIRST = 1,	/* two a byte, the first in the low half */
	SPARSE_PACK_HIGH_FIRST = 2
} sparse_packing;

/* Which elements pruning keeps. Stored. */
typedef enum sparse_pruning
{
	SPARSE_PRUNE_THRESHOLD = 0, /* those of at least that magnitude */
	SPARSE_PRUNE_GROUPS = 1		/* of every `of` elements, the `keep` largest */
} sparse_pruning;

/*
 * A formula and its parameters; fields that its predictor does not use are 0.
 * Places are in elements; a chunk's first element may lie anywhere in a row or group.
 */
typedef struct sparse_formula
{
	uint8_t		style;			/* sparse_blend_style, product flags, sparse_packing, or sparse_pruning */
	uint8_t		signed_zeros;	/* pruned: what is pruned keeps its sign */
	uint16_t	rank;			/* product */
	uint8_t		keep;			/* pruned */
	uint8_t		of;
	int16_t		lowest;			/* quantised: limits of the values, and what is added to them before they are stored */
	int16_t		highest;
	int16_t		bias;
	uint32_t	columns;		/* product, permuted */
	uint64_t	row;			/* product, left transposed: of the first element */
	uint64_t	group;			/* quantised, dequantised, maxima: elements that share a scale; permuted: rows that change places */
	uint64_t	offset;			/* of the first element in its row (product) or group */
	uint64_t	threshold;		/* pruned: the least magnitude that is kept, as an integer */
	double		factor;			/* product: the scale; (de)quantised: of the scales; maxima: the divisor */
	double		coefficient[SPARSE_MAX_BLEND];
	int8_t		exponent[SPARSE_MAX_RANK];	/* product, with SPARSE_PRODUCT_EXPONENTS, and sum: of each component */
	uint32_t	stride;			/* permuted: rows of the reference from one to the next */
	uint8_t		bases;			/* sum: the references that are added up, each times its coefficient */
	int16_t		power;			/* sum: the product is counted in units of two to it */
} sparse_formula;

/* Writes a formula's parameters, as many bytes as it returns (at most SPARSE_MAX_PARAMETERS). */
extern size_t formula_write(unsigned predictor, const sparse_formula *formula, unsigned refs, uint8_t *at);

/* Reads them; SPARSE_CORRUPT where they are not as long as they must be or contradict themselves. */
extern sparse_status formula_read(unsigned predictor, unsigned refs, const uint8_t *at, size_t length,
								  sparse_formula *formula);

/*
 * Whether the formula of a delta, its references and its content fit each other: after this, formula_predict reads
 * and writes nothing out of bounds.
 */
extern sparse_status formula_check(const struct sparse_delta_info *info, const sparse_formula *formula);

/*
 * The predicted content, info->content_bytes of it, from the concatenated references.
 * Needs formula_check. Scratch memory is the codec's. fraction (fraction.h), a byte an element: NULL where it is not wanted, and but for sums.
 */
extern sparse_status formula_predict(struct sparse_codec *codec, const struct sparse_delta_info *info,
									 const sparse_formula *formula, const uint8_t *references, uint8_t *predicted,
									 uint8_t *fraction);

#endif
