/*
 * delta.h: a delta, the unit that everything stores and ships.
 *
 * A delta holds one chunk of content, coded against a prediction of it. The
 * prediction is the concatenation of the byte ranges that the delta's references
 * name; who holds the parents cuts those ranges out and hands them over as one
 * run of bytes. docs/format.md is the normative description of the bytes.
 *
 *      content = sparse_delta_apply(delta, prediction)
 *
 * The header carries identity, coder and counts first, so that a reader learns
 * all of it from the first SPARSE_DELTA_HEADER bytes.
 */
#ifndef SPARSE_CODEC_DELTA_H
#define SPARSE_CODEC_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "formula.h"
#include "memory.h"
#include "status.h"

#define SPARSE_FORMAT 2			/* the highest version byte that is written; what is read: docs/format.md, "Versions" */
#define SPARSE_DELTA_HEADER 48	/* bytes before the references */
#define SPARSE_DELTA_REF 24		/* bytes of a reference */
#define SPARSE_MAX_REFS 16
/* the most bytes before the payload: header, references, parameters */
#define SPARSE_DELTA_HEAD (SPARSE_DELTA_HEADER + SPARSE_MAX_REFS * SPARSE_DELTA_REF + SPARSE_MAX_PARAMETERS)
#define SPARSE_MAX_CONTENT ((size_t) 16 << 20) /* bytes that one delta may hold */
#define SPARSE_MAX_PREDICTION (4 * SPARSE_MAX_CONTENT) /* bytes that its references may add up to */

/* How the content is predicted. Stored: values never change their meaning. */
typedef enum sparse_predictor
{
	SPARSE_PREDICT_NONE = 0,	/* nothing known: the content's own statistics */
	SPARSE_PREDICT_SAME = 1,	/* the prediction is the content */
	SPARSE_PREDICT_PARENT = 2,	/* element by element, same dtype and count */
	SPARSE_PREDICT_BYTES = 3,	/* the prediction is a dictionary of bytes */

	/* computed from the references, by formula.h: */
	SPARSE_PREDICT_CAST = 4,	/* of another dtype */
	SPARSE_PREDICT_BLEND = 5,	/* a weighted sum */
	SPARSE_PREDICT_LOW_RANK = 6,	/* the first, and the product of the others */
	SPARSE_PREDICT_QUANTISED = 7,	/* the first divided by scales, and rounded */
	SPARSE_PREDICT_DEQUANTISED = 8, /* the first times scales */
	SPARSE_PREDICT_PRUNED = 9,	/* without its small elements */
	SPARSE_PREDICT_MAXIMA = 10, /* of groups of elements, divided: scales */
	SPARSE_PREDICT_SUM = 11,	/* weighted references, and a product of small integers: from version 2 on */
	SPARSE_PREDICT_PERMUTED = 12	/* its rows in another order: from version 2 on */
} sparse_predictor;

#define SPARSE_PREDICTORS 13

/* Whether the prediction is computed. */
static inline bool
sparse_predictor_computes(sparse_predictor predictor)
{
	return predictor >= SPARSE_PREDICT_CAST;
}

/* How the residual is coded. Stored: values never change their meaning. */
typedef enum sparse_coding
{
	SPARSE_CODE_EMPTY = 0,		/* no payload: predictor same, or no content */
	SPARSE_CODE_RAW = 1,		/* the content itself */
	SPARSE_CODE_CONSTANT = 2,	/* one element, repeated */
	SPARSE_CODE_ZSTD = 3,		/* a zstd frame; predictor bytes: with a prefix */
	SPARSE_CODE_PLANES = 4,		/* the content's byte planes, then zstd */
	SPARSE_CODE_RESIDUAL = 5,	/* ordered-integer differences, rANS */
	SPARSE_CODE_FLOAT = 6,		/* exponents by rANS, signs and mantissas raw */
	SPARSE_CODE_PALETTE = 7,	/* indices into a list of few distinct elements, rANS */
	SPARSE_CODE_MASK = 8,		/* which elements of the prediction became zero, rANS */
	SPARSE_CODE_FRACTION = 9,	/* as residual, by the fraction of the prediction as well: from version 2 on */
	SPARSE_CODE_FIELDS = 10		/* bytes as quantised blocks, field by field: from version 2 on */
} sparse_coding;

#define SPARSE_CODINGS 11

/* A range of elements of a parent. */
typedef struct sparse_ref
{
	uint16_t	parent;			/* ordinal among the object's parents */
	sparse_dtype dtype;			/* of the parent's elements */
	uint64_t	first;			/* element */
	uint64_t	count;			/* of elements */
} sparse_ref;

typedef struct sparse_delta_info
{
	uint8_t		version;
	sparse_predictor predictor;
	sparse_coding coding;
	sparse_dtype dtype;
	uint64_t	content_bytes;
	uint64_t	content_hash;	/* XXH3, 64 bits */
	uint64_t	prediction_hash;	/* XXH3 of the prediction; 0 without references */
	uint64_t	prediction_bytes;	/* what the references add up to */
	uint16_t	parameter_bytes;	/* of its formula, behind the references */
	uint64_t	delta_bytes;	/* of the whole delta */
	uint64_t	whole;			/* which content this is a piece of, and which piece: */
	uint32_t	piece;			/* see sparse_delta_bind; 0 where it was not said */
	uint16_t	refs;
	sparse_ref	ref[SPARSE_MAX_REFS];
} sparse_delta_info;

extern const char *sparse_predictor_name(sparse_predictor predictor);
extern const char *sparse_coding_name(sparse_coding coding);

/*
 * Reads the header and references of a delta whose first `available` bytes are
 * at `delta` and whose whole length is `total`. SPARSE_TRUNCATED when
 * `available` ends within them; at most SPARSE_DELTA_HEAD bytes are ever needed.
 * The payload is not looked at.
 */
extern sparse_status sparse_delta_read(const void *delta, size_t available,
									   size_t total, sparse_delta_info *info);

/*
 * A codec: the scratch memory and library contexts of one encoder or decoder.
 * Not shared between threads; reused from chunk to chunk.
 */
typedef struct sparse_codec sparse_codec;

/* allocator may be NULL (malloc). Returns NULL when memory ran out. */
extern sparse_codec *sparse_codec_create(const sparse_allocator *allocator);

/* Releases everything; codec may be NULL. */
extern void sparse_codec_free(sparse_codec *codec);

/* The bytes that a codec holds: its tables, scratch memory, and zstd's contexts. */
extern size_t sparse_codec_held(const sparse_codec *codec);

/*
 * The zstd level that a codec encodes with, 1 to 19; 0, as a new codec has it: a fast one. What is decoded does
 * not depend on it.
 */
extern void sparse_codec_level(sparse_codec *codec, int level);

/* Instruction sets that the inner loops exist for, each a superset of the one before. */
typedef enum sparse_simd
{
	SPARSE_SIMD_NONE = 0,
	SPARSE_SIMD_AVX2 = 1,
	SPARSE_SIMD_AVX512 = 2		/* F, BW, DQ, VL, VBMI, VBMI2 */
} sparse_simd;

#define SPARSE_SIMD_LEVELS 3

/* What this machine has, and a new codec uses. */
extern sparse_simd sparse_simd_best(void);
extern const char *sparse_simd_name(sparse_simd level);

/* Restricts a codec to a level, at most the best: for tests and measurements. */
extern void sparse_codec_restrict(sparse_codec *codec, sparse_simd level);

/*
 * Encodes `content` of `bytes` bytes as elements of `dtype`. `prediction` is the
 * concatenation of the ranges that `refs` name (their bytes must add up to
 * prediction_bytes); none: refs 0 and prediction_bytes 0. Picks the cheapest of
 * its candidates, `none` among them: the delta is never longer than
 * sparse_delta_bound(bytes). References are written only when the chosen
 * predictor uses them.
 *
 * dtype other than SPARSE_BYTES: bytes must be a multiple of the element's size.
 *
 * On success *delta points into memory of the codec, valid until its next call.
 */
extern sparse_status sparse_delta_encode(sparse_codec *codec,
										 const void *content, size_t bytes,
										 sparse_dtype dtype,
										 const sparse_ref *ref, unsigned refs,
										 const void *prediction, size_t prediction_bytes,
										 const uint8_t **delta, size_t *delta_bytes);

/*
 * The same with a prediction that is computed from all references by `formula`
 * (which must fit them: SPARSE_BAD_ARGUMENT). Where that predicts badly, and the first reference is of the content's
 * dtype and as long as it, that alone is tried as the parent.
 */
extern sparse_status sparse_delta_encode_formula(sparse_codec *codec,
												 const void *content, size_t bytes, sparse_dtype dtype,
												 sparse_predictor predictor, const sparse_formula *formula,
												 const sparse_ref *ref, unsigned refs,
												 const void *prediction, size_t prediction_bytes,
												 const uint8_t **delta, size_t *delta_bytes);

/* The most bytes that a delta of `bytes` bytes of content takes. */
extern size_t sparse_delta_bound(size_t bytes);

/*
 * Says, within an encoded delta, that its content is piece number `piece` of the
 * content whose SHA-256 begins with the bytes of `whole`. A delta's own checksum
 * holds wherever it is put; by this a reader sees that it is not where it belongs.
 */
extern void sparse_delta_bind(uint8_t *delta, uint64_t whole, uint32_t piece);

/*
 * Decodes a delta into `content`, which must have room for the info's
 * content_bytes. The content is checked after decoding, and if that fails the
 * prediction, to tell a wrong one (SPARSE_WRONG_PREDICTION) from a corrupt delta;
 * on any failure the buffer's bytes are undefined and must not be used.
 * `content` may not overlap the other arguments.
 */
extern sparse_status sparse_delta_apply(sparse_codec *codec,
										const void *delta, size_t delta_bytes,
										const void *prediction, size_t prediction_bytes,
										void *content, size_t content_bytes);

#endif
