/*
 * golden_deltas.h: what make_deltas.c writes and test_golden.c reads: test/golden/<format>/
 *
 *   predictions.bin   what deltas are applied to, in pieces
 *   deltas.bin        the deltas, one behind the other
 *   deltas.txt        a line for each: name, predictor, coding, dtype (numbers), bytes of the
 *                     content and its XXH3 (128 bits), where the delta begins in deltas.bin, its
 *                     bytes and XXH3, and the pieces of the prediction, first:bytes,... or -
 */
#ifndef SPARSE_TEST_GOLDEN_DELTAS_H
#define SPARSE_TEST_GOLDEN_DELTAS_H

#include "codec/delta.h"

/* Whether a format added such deltas (docs/format.md: the tables of predictors and codings). */
static inline bool
golden_occurs(int format, unsigned predictor, unsigned coding, sparse_dtype type)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(type);
	const bool	is_float = dtype->exponent_bits > 0;
	const bool	quantised = predictor == SPARSE_PREDICT_QUANTISED;
	const bool	computed = sparse_predictor_computes(predictor);

	if (coding == SPARSE_CODE_FIELDS)
		return format == 2 && type == SPARSE_BYTES && (predictor == SPARSE_PREDICT_NONE || predictor == SPARSE_PREDICT_PARENT);
	/* (permuted came after the files: test_formula has it) */
	if (predictor == SPARSE_PREDICT_PERMUTED || (format == 2) != (predictor == SPARSE_PREDICT_SUM))
		return false;
	if (computed && !quantised && !is_float)
		return false;
	if (quantised && (dtype->bytes > 1 || type == SPARSE_BYTES || type == SPARSE_BOOL))
		return false;
	switch (coding)
	{
		case SPARSE_CODE_EMPTY:
			return predictor == SPARSE_PREDICT_NONE || predictor == SPARSE_PREDICT_SAME || computed;
		case SPARSE_CODE_ZSTD:
			return predictor == SPARSE_PREDICT_NONE || predictor == SPARSE_PREDICT_BYTES;
		case SPARSE_CODE_RESIDUAL:
			return predictor == SPARSE_PREDICT_NONE || predictor == SPARSE_PREDICT_PARENT || computed;
		case SPARSE_CODE_MASK:
			return is_float && (predictor == SPARSE_PREDICT_PARENT || computed);
		case SPARSE_CODE_FLOAT:
			return is_float && predictor == SPARSE_PREDICT_NONE;
		case SPARSE_CODE_PALETTE:
			return dtype->bytes > 1 && predictor == SPARSE_PREDICT_NONE;
		case SPARSE_CODE_FRACTION:
			return format == 2 && (dtype->bytes == 2 || dtype->bytes == 4);
		default:				/* raw, constant, planes */
			return predictor == SPARSE_PREDICT_NONE;
	}
}

#endif
