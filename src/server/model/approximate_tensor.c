/*
 * approximate_tensor.c: one tensor of an approximation.
 *
 *   int8   levels of 8 bits times a scale for each row
 *   bit1   the parent's tensor and, for each row, a scale times the sign of the difference to it
 *   svd    the parent's tensor and a product of two thin matrices
 *
 * What a formula needs is stored as objects of their own; then the formula is evaluated as any reader will do it,
 * and what comes out is the content of the approximation, whose deltas hold no residual. Where there is no parent,
 * the tensor itself takes the place of the difference.
 *
 * Left as they are: what is no matrix of floats (norms, biases, integers), what holds NaNs or infinities, or F64 so small
 * that errors cannot be measured, what equals the parent's, and what the method would make larger.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"

#include "approximate.h"
#include "codec/convert.h"
#include "codec/formula.h"
#include "fit/svd.h"
#include "sdelta/glue.h"
#include "store/reader.h"
#include "store/predict.h"

#define BLOCK 8192				/* elements that are looked at together */
#define SVD_BYTES (40.0 * 1024 * 1024)	/* of memory: with sparse.cache_size and blocks it stays below 64 MiB */
#define FIRST_RANK 8			/* that is tried for an error, then twice as many and so on */
#define LEAST_SQUARES 1e-200		/* of a tensor: below, those of errors are no doubles any more */
#define WITHIN 0.95				/* of the error: what is left for rounding */

typedef struct Work
{
	Approximation *approximation;
	const ExactTensor *exact;
	sparse_dtype dtype;
	uint64		elements;
	uint64		rows;
	uint64		columns;
	int64		base;			/* exact->base, if it can be used */
	double		squares;		/* sum of the tensor's */
	double		largest;
	bool		differs;		/* from the base */
	float	   *scale;			/* of each row */
	double		x[BLOCK];		/* a block of the tensor, and of the difference to its base */
	double		d[BLOCK];
	char		raw[BLOCK * sizeof(double)];
} Work;

/* ---- the tensor, by blocks ---- */

static void
load_block(Work *work, int64 object, uint64 first, uint64 count, double *to)
{
	const unsigned unit = sparse_dtype_get(work->dtype)->bytes;

	object_read_keep(work->approximation->reader, object, first * unit, count * unit,
					 work->raw, true);
	load_doubles(work->dtype, (const uint8 *) work->raw, count, to);
}

/* Fills in x and d; the tensor itself is the difference where there is no base. */
static void
read_block(Work *work, uint64 first, uint64 count)
{
	CHECK_FOR_INTERRUPTS();
	load_block(work, work->exact->object, first, count, work->x);
	if (work->base == 0)
	{
		memcpy(work->d, work->x, count * sizeof(double));
		return;
	}
	load_block(work, work->base, first, count, work->d);
	for (uint64 i = 0; i < count; i++)
		work->d[i] = work->x[i] - work->d[i];
}

typedef void (*BlockStep) (Work *work, uint64 first, uint64 count);

static void
each_block(Work *work, BlockStep step)
{
	for (uint64 first = 0; first < work->elements; first += BLOCK)
	{
		uint64		count = Min(BLOCK, work->elements - first);

		read_block(work, first, count);
		step(work, first, count);
	}
}

/* (NaNs and infinities make the sums so) */
static void
measure_block(Work *work, uint64 first, uint64 count)
{
	(void) first;
	for (uint64 i = 0; i < count; i++)
	{
		work->squares += work->x[i] * work->x[i];
		work->largest = Max(work->largest, fabs(work->x[i]));
		work->differs |= work->d[i] != 0;
	}
}

static void
measure(Work *work)
{
	work->squares = 0;
	work->largest = 0;
	work->differs = false;
	each_block(work, measure_block);
}

/* ---- contents that are computed ---- */

typedef struct Content
{
	Work	   *work;
	sparse_dtype dtype;
	uint64		bytes;
	uint64		row_bytes;
	ContentSource source;
	void	   *state;
	sparse_recipe *recipe;		/* how it is stored; NULL: for itself */
} Content;

typedef void (*PieceStep) (void *state, uint64 first, uint64 bytes, const char *piece);

/* The SHA-256 of a content, whose pieces `step` (which may be NULL) looks at. */
static void
digest(const Content *content, PieceStep step, void *state, uint8 *sha256)
{
	Sha256	   *sum = content->work->approximation->object_sum;
	char	   *piece = palloc(Max(Min(PIECE_BYTES, content->bytes), 1));

	sha256_reset(sum);
	for (uint64 first = 0; first < content->bytes; first += PIECE_BYTES)
	{
		uint64		bytes = Min(PIECE_BYTES, content->bytes - first);

		CHECK_FOR_INTERRUPTS();
		content->source(content->state, first, bytes, piece);
		sha256_add(sum, piece, bytes);
		if (step != NULL)
			step(state, first, bytes, piece);
	}
	sha256_finish(sum, sha256);
	pfree(piece);
}

static ObjectSpec
spec_of(const Content *content, const uint8 *sha256)
{
	const Import *import = &content->work->approximation->import;

	return (ObjectSpec) {
		.place = import->place, .sha256 = sha256, .dtype = content->dtype, .bytes = content->bytes,
		.row_bytes = content->row_bytes, .source = content->source, .source_state = content->state,
		.recipe = content->recipe, .recipes = content->recipe != NULL ? 1 : 0, .version = import->version
	};
}

static int64
store_content(const Content *content, const uint8 *sha256)
{
	ObjectSpec	spec = spec_of(content, sha256);
	ObjectResult result;

	object_write(content->work->approximation->reader, &spec, &result);
	return result.id;
}

static int64
digest_and_store(const Content *content)
{
	uint8		sha256[SPARSE_SHA256_BYTES];

	digest(content, NULL, NULL, sha256);
	return store_content(content, sha256);
}

/* Bytes that are at hand. */
static void
copy_bytes(void *state, uint64 first, uint64 bytes, char *target)
{
	memcpy(target, (const char *) state + first, bytes);
}

static int64
store_bytes(Work *work, sparse_dtype dtype, void *data, uint64 bytes)
{
	Content		content = {.work = work, .dtype = dtype, .bytes = bytes, .source = copy_bytes, .state = data};

	return digest_and_store(&content);
}

static void
zero_bytes(void *state, uint64 first, uint64 bytes, char *target)
{
	(void) state;
	(void) first;
	memset(target, 0, bytes);
}

/* ---- what a recipe gives ---- */

typedef struct Formula
{
	Work	   *work;
	sparse_dtype dtype;
	sparse_recipe *recipe;
} Formula;

/* Content as a reader will compute it. */
static void
evaluate(void *state, uint64 first, uint64 bytes, char *target)
{
	const Formula *f = state;
	Approximation *approximation = f->work->approximation;
	const unsigned unit = sparse_dtype_get(f->dtype)->bytes;
	sparse_delta_info info = {.predictor = f->recipe->predictor, .dtype = f->dtype, .content_bytes = bytes};
	sparse_formula formula;
	char	   *references = palloc_extended(Max(recipe_most_bytes(f->recipe, bytes / unit), 1), MCXT_ALLOC_HUGE);
	char	   *at = references;
	sparse_status status;

	info.refs = recipe_references(f->recipe, first / unit, bytes / unit, info.ref, &formula);
	for (int i = 0; i < info.refs; i++)
	{
		const sparse_ref *ref = &info.ref[i];
		uint64		size = sparse_dtype_get(ref->dtype)->bytes;

		object_read_keep(approximation->reader, f->recipe->source[ref->parent].object,
						 ref->first * size, ref->count * size, at, true);
		at += ref->count * size;
	}
	info.prediction_bytes = at - references;
	status = formula_check(&info, &formula);
	if (status == SPARSE_OK)
		status = formula_predict(object_reader_codec(approximation->reader), &info, &formula,
								 (const uint8 *) references, (uint8 *) target, NULL);
	if (status != SPARSE_OK)
		sparse_report(status, "evaluate an approximation");
	pfree(references);
}

/* Beside the base, all that a formula needs is made for it. */
static void
add_source(const Work *work, sparse_recipe *recipe, int64 object, sparse_dtype dtype, uint64 per, uint64 count)
{
	recipe->source[recipe->sources++] = (sparse_recipe_source) {
		.object = object, .dtype = dtype, .per = per, .count = count, .made = object != work->base
	};
}

static sparse_recipe *
new_recipe(sparse_predictor predictor)
{
	sparse_recipe *recipe = palloc0(sizeof(sparse_recipe));

	recipe->predictor = predictor;
	return recipe;
}

/* Content that a recipe gives; what is too deep or too large for a reader is refused. */
static Content
content_of_recipe(Work *work, Formula *formula, sparse_dtype dtype, sparse_recipe *recipe)
{
	const unsigned unit = sparse_dtype_get(dtype)->bytes;
	Content		content = {
		.work = work, .dtype = dtype, .bytes = work->elements * unit, .source = evaluate, .state = formula,
		.row_bytes = work->exact->tensor->object.row_bytes / sparse_dtype_get(work->dtype)->bytes * unit,
		.recipe = recipe
	};
	ObjectSpec	spec = spec_of(&content, NULL);
	int32		depth;

	*formula = (Formula) {.work = work, .dtype = dtype, .recipe = recipe};
	if (!object_computes(work->approximation->reader, &spec, recipe, &depth))
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("tensor \"%s\" cannot be approximated by %s", work->exact->tensor->name,
					   work->approximation->method_name),
				errdetail("Its chunks would depend on more than %d others, or on too many bytes of them.",
						  sparse_max_chain_depth),
				errhint("Raise \"sparse.max_chain_depth\", or lower the rank."));
	return content;
}

/* ---- int8 and bit1: levels and a scale for each row ---- */

static void
largest_of_rows(Work *work, uint64 first, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		float	   *scale = &work->scale[(first + i) / work->columns];

		*scale = Max(*scale, (float) (fabs(work->x[i]) / 127));
	}
}

/* Sums in doubles, of which a row may have several blocks. */
static void
means_of_rows(Work *work)
{
	uint64		row = 0;
	uint64		changed = 0;
	double		sum = 0;

	for (uint64 first = 0; first < work->elements; first += BLOCK)
	{
		uint64		count = Min(BLOCK, work->elements - first);

		read_block(work, first, count);
		for (uint64 i = 0; i < count; i++)
		{
			sum += fabs(work->d[i]);
			changed += work->d[i] != 0;
			if ((first + i + 1) % work->columns != 0)
				continue;
			work->scale[row++] = changed > 0 ? (float) Min(sum / changed, FLT_MAX) : 0;
			changed = 0;
			sum = 0;
		}
	}
}

/* A source of levels: of the tensor by its scales. */
static void
read_levels(void *state, uint64 first, uint64 bytes, char *target)
{
	Work	   *work = state;

	for (uint64 done = 0; done < bytes; done += BLOCK)
	{
		uint64		count = Min(BLOCK, bytes - done);

		read_block(work, first + done, count);
		for (uint64 i = 0; i < count; i++)
		{
			double		level = rint(work->x[i] / work->scale[(first + done + i) / work->columns]);

			target[done + i] = (int8) Max(-127, Min(127, level));
		}
	}
}

/* A source of signs: of the difference, 0 where there is none. */
static void
read_signs(void *state, uint64 first, uint64 bytes, char *target)
{
	Work	   *work = state;

	for (uint64 done = 0; done < bytes; done += BLOCK)
	{
		uint64		count = Min(BLOCK, bytes - done);

		read_block(work, first + done, count);
		for (uint64 i = 0; i < count; i++)
			target[done + i] = (work->d[i] > 0) - (work->d[i] < 0);
	}
}

static void
set_scaled(const Work *work, sparse_recipe *recipe)
{
	recipe->unit = 1;
	recipe->formula.style = SPARSE_PACK_ELEMENTS;
	recipe->formula.group = work->columns;
	recipe->formula.factor = 1;
}

/* A fine-tune's levels are mostly those of its parent by the same scales. */
static sparse_recipe *
recipe_of_levels(const Work *work, int64 scales)
{
	sparse_recipe *recipe = new_recipe(SPARSE_PREDICT_QUANTISED);

	add_source(work, recipe, work->base, work->dtype, 1, 1);
	add_source(work, recipe, scales, SPARSE_F32, work->columns, 1);
	set_scaled(work, recipe);
	recipe->formula.lowest = -127;
	recipe->formula.highest = 127;
	return recipe;
}

static sparse_recipe *
recipe_of_values(const Work *work, int64 levels, int64 scales)
{
	sparse_recipe *recipe = new_recipe(SPARSE_PREDICT_DEQUANTISED);

	add_source(work, recipe, levels, SPARSE_I8, 1, 1);
	add_source(work, recipe, scales, SPARSE_F32, work->columns, 1);
	set_scaled(work, recipe);
	recipe->formula.lowest = -INT16_MAX;
	recipe->formula.highest = INT16_MAX;
	return recipe;
}

static int64
store_levels(Work *work, ContentSource source, sparse_recipe *recipe)
{
	Content		content = {
		.work = work, .dtype = SPARSE_I8, .bytes = work->elements, .row_bytes = work->columns, .source = source,
		.state = work, .recipe = recipe
	};

	return digest_and_store(&content);
}

static sparse_recipe *
prepare_int8(Work *work)
{
	int64		scales;

	each_block(work, largest_of_rows);
	for (uint64 row = 0; row < work->rows; row++)
	{
		work->scale[row] = Max(work->scale[row], FLT_MIN);
		/* (rounded up, its largest level would be infinite) */
		if (work->scale[row] * 127.0 > FLT_MAX)
			work->scale[row] = nextafterf(work->scale[row], 0);
	}
	scales = store_bytes(work, SPARSE_F32, work->scale, work->rows * sizeof(float));
	return recipe_of_values(work, store_levels(work, read_levels, work->base != 0 ? recipe_of_levels(work, scales) : NULL),
							scales);
}

/* The scaled signs are an object, though of formulas only, so that they can be added to another. */
static sparse_recipe *
prepare_bit1(Work *work)
{
	const sparse_dtype dtype = work->dtype == SPARSE_F64 ? SPARSE_F64 : SPARSE_F32;
	sparse_recipe *recipe;
	int64		scales;
	Formula		formula;
	Content		content;

	means_of_rows(work);
	scales = store_bytes(work, SPARSE_F32, work->scale, work->rows * sizeof(float));
	recipe = recipe_of_values(work, store_levels(work, read_signs, NULL), scales);
	if (work->base == 0)
		return recipe;
	content = content_of_recipe(work, &formula, dtype, recipe);
	recipe = new_recipe(SPARSE_PREDICT_BLEND);
	add_source(work, recipe, work->base, work->dtype, 1, 1);
	add_source(work, recipe, digest_and_store(&content), dtype, 1, 1);
	recipe->formula.style = SPARSE_BLEND_EXACT;
	recipe->formula.coefficient[0] = 1;
	recipe->formula.coefficient[1] = 1;
	return recipe;
}

/* ---- svd ---- */

/* fit_read: doubles are wanted as floats here; the base is subtracted before, where nothing is lost. */
static void
read_rows(void *state, uint64_t first, uint64_t rows, float *child, float *parent)
{
	Work	   *work = state;
	const uint64 end = (first + rows) * work->columns;

	memset(parent, 0, rows * work->columns * sizeof(float));
	for (uint64 at = first * work->columns; at < end; at += BLOCK)
	{
		uint64		count = Min(BLOCK, end - at);

		read_block(work, at, count);
		for (uint64 i = 0; i < count; i++)
			*child++ = (float) work->d[i];
	}
}

/* fit_pause */
static void
let_interrupt(void *state)
{
	(void) state;
	CHECK_FOR_INTERRUPTS();
}

static void
check_memory(const Work *work, unsigned rank)
{
	const double bytes = fit_svd_memory(work->rows, work->columns, rank);

	if (bytes > SVD_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("tensor \"%s\" is too large for an svd of rank %u", work->exact->tensor->name, rank),
				errdetail("It would take %.0f MiB of memory, more than %.0f.", bytes / 1048576, SVD_BYTES / 1048576),
				errhint("Lower the rank, or use int8 or bit1."));
}

static void
find_factors(Work *work, unsigned rank, double enough, fit_svd *fit)
{
	sparse_allocator allocator;
	sparse_status status;

	check_memory(work, rank);
	sparse_allocator_init(&allocator, CurrentMemoryContext);
	status = fit_svd_find(&allocator, read_rows, let_interrupt, work, work->rows, work->columns, rank, enough, fit);
	if (status != SPARSE_OK)
		sparse_report(status, "find singular values");
}

static void
free_factors(fit_svd *fit)
{
	sparse_allocator allocator;

	sparse_allocator_init(&allocator, CurrentMemoryContext);
	fit_svd_free(&allocator, fit);
}

/* The error of the tensor, when so much is left of the difference. */
static double
relative(const Work *work, double left_over)
{
	return left_over > 0 ? sqrt(left_over / work->squares) : 0;
}

/* The highest rank whose factors are smaller than the tensor. */
static unsigned
most_rank(const Work *work)
{
	const double bytes = (double) work->elements * sparse_dtype_get(work->dtype)->bytes;
	const double rank = (bytes - 1) / (sizeof(int16_t) * ((double) work->rows + work->columns));

	return (unsigned) Min(rank, Min(FIT_SVD_MAX_RANK, Min(work->rows, work->columns)));
}

/* The rank given, or the lowest that leaves no more than the error (0: the base does); false where none is worth it. */
static bool
choose_factors(Work *work, fit_svd *fit)
{
	const Approximation *approximation = work->approximation;
	const double target = Min(approximation->max_error * WITHIN, work->base != 0 ? INFINITY : WITHIN);
	const unsigned most = most_rank(work);
	unsigned	rank = FIRST_RANK;

	if (approximation->rank > 0)
	{
		if (approximation->rank > (int) most)
			return false;
		find_factors(work, approximation->rank, 0, fit);
		/* (those of floats above 1e19 are infinite) */
		return isfinite(fit->squares) && (fit->rank > 0 || work->base != 0);
	}
	for (; most > 0; rank *= 2)
	{
		find_factors(work, Min(rank, most), target * target * work->squares, fit);
		if (relative(work, fit->left_over) <= target)
			return fit->rank > 0 || work->base != 0;
		free_factors(fit);
		if (rank >= most)
			break;
	}
	/* (what the factors cannot do, or not in fewer bytes, is left as it is) */
	return false;
}

/* What gives the base's own content, and so its object. */
static sparse_recipe *
recipe_of_base(const Work *work)
{
	sparse_recipe *recipe = new_recipe(SPARSE_PREDICT_CAST);

	add_source(work, recipe, work->base, work->dtype, 1, 1);
	return recipe;
}

static sparse_recipe *
prepare_svd(Work *work, TensorErrors *errors)
{
	fit_svd		fit = {0};
	sparse_recipe *recipe;
	int64		base = work->base;

	if (!choose_factors(work, &fit))
		return NULL;
	if (fit.rank == 0)
		return recipe_of_base(work);
	if (base == 0)
	{
		Content		zeros = {
			.work = work, .dtype = work->dtype, .bytes = work->exact->tensor->object.bytes,
			.row_bytes = work->exact->tensor->object.row_bytes, .source = zero_bytes
		};

		base = digest_and_store(&zeros);
	}
	recipe = new_recipe(SPARSE_PREDICT_LOW_RANK);
	add_source(work, recipe, base, work->dtype, 1, 1);
	add_source(work, recipe, store_bytes(work, SPARSE_I16, fit.left, work->rows * fit.rank * sizeof(int16_t)),
			   SPARSE_I16, work->columns, fit.rank);
	add_source(work, recipe, store_bytes(work, SPARSE_I16, fit.right, work->columns * fit.rank * sizeof(int16_t)),
			   SPARSE_I16, 0, work->columns * fit.rank);
	recipe->formula.style = SPARSE_PRODUCT_EXPONENTS;
	recipe->formula.rank = (uint16_t) fit.rank;
	recipe->formula.columns = (uint32_t) work->columns;
	recipe->formula.factor = 1;
	memcpy(recipe->formula.exponent, fit.exponent, fit.rank);
	errors->rank = (int) fit.rank;
	free_factors(&fit);
	return recipe;
}

/* ---- errors ---- */

typedef struct Comparison
{
	Work	   *work;
	TensorErrors *errors;
	double		squares;
	double		y[BLOCK];
} Comparison;

/* An element as the number of floats between it and zero. */
static int64
ordered(const char *element, unsigned unit)
{
	uint64		bits = 0;
	uint64		magnitude;

	for (unsigned i = 0; i < unit; i++)
		bits |= (uint64) (uint8) element[i] << (8 * i);
	magnitude = bits & ((UINT64_C(1) << (8 * unit - 1)) - 1);
	return bits == magnitude ? (int64) magnitude : -(int64) magnitude;
}

static int64
ulps_between(const char *a, const char *b, unsigned unit)
{
	const int64 x = ordered(a, unit);
	const int64 y = ordered(b, unit);
	const uint64 between = x > y ? (uint64) x - (uint64) y : (uint64) y - (uint64) x;

	return (int64) Min(between, (uint64) PG_INT64_MAX);
}

static void
compare_block(Comparison *c, uint64 first, uint64 count, const char *piece)
{
	Work	   *work = c->work;
	const unsigned unit = sparse_dtype_get(work->dtype)->bytes;

	load_block(work, work->exact->object, first, count, work->x);
	load_doubles(work->dtype, (const uint8 *) piece, count, c->y);
	for (uint64 i = 0; i < count; i++)
	{
		double		error = isnan(c->y[i]) ? INFINITY : fabs(work->x[i] - c->y[i]);

		c->squares += error * error;
		c->errors->max_abs = Max(c->errors->max_abs, error);
		c->errors->max_ulp = Max(c->errors->max_ulp, ulps_between(work->raw + i * unit, piece + i * unit, unit));
	}
}

/* PieceStep: what becomes of the file, and how far it is from the exact one. */
static void
compare_piece(void *state, uint64 first, uint64 bytes, const char *piece)
{
	Comparison *c = state;
	const unsigned unit = sparse_dtype_get(c->work->dtype)->bytes;

	sha256_add(c->work->approximation->file_sum, piece, bytes);
	checksum_add(c->work->approximation->file_checksum, piece, bytes);
	for (uint64 done = 0; done < bytes; done += BLOCK * unit)
		compare_block(c, (first + done) / unit, Min(BLOCK, (bytes - done) / unit), piece + done);
}

/* (near the end of what a dtype holds the parent's and the change may come to more than it does) */
static void
check_finite(const Work *work, const TensorErrors *errors)
{
	if (!isfinite(errors->max_abs))
		ereport(ERROR,
				errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("tensor \"%s\" cannot be approximated by %s: it would have infinite elements",
					   work->exact->tensor->name, work->approximation->method_name),
				errhint("Use another method or rank."));
}

static void
check_error(const Work *work, const TensorErrors *errors)
{
	const Approximation *approximation = work->approximation;

	if (errors->relative_l2 <= approximation->max_error)
		return;
	ereport(ERROR,
			errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("tensor \"%s\" cannot be approximated by %s within the error given",
				   work->exact->tensor->name, approximation->method_name),
			errdetail("Its relative error would be %.6g, more than %.6g.", errors->relative_l2, approximation->max_error),
			errhint("Allow a larger max_error, or use another method or rank."));
}

/* ---- a tensor ---- */

/* PieceStep for what stays as it is. */
static void
add_to_file(void *state, uint64 first, uint64 bytes, const char *piece)
{
	(void) first;
	sha256_add(((Work *) state)->approximation->file_sum, piece, bytes);
	checksum_add(((Work *) state)->approximation->file_checksum, piece, bytes);
}

static void
read_exact(void *state, uint64 first, uint64 bytes, char *target)
{
	Work	   *work = state;

	object_read_keep(work->approximation->reader, work->exact->object, first, bytes,
					 target, false);
}

static int64
keep_exact(Work *work, TensorErrors *errors)
{
	Content		content = {
		.work = work, .dtype = work->exact->tensor->object.dtype, .bytes = work->exact->tensor->object.bytes,
		.source = read_exact, .state = work
	};
	uint8		sha256[SPARSE_SHA256_BYTES];

	*errors = (TensorErrors) {.exact = true};
	digest(&content, add_to_file, work, sha256);
	return work->exact->object;
}

/* Whether the base can be computed from: shallow enough, for levels that it predicts, too. */
static bool
base_is_usable(const Work *work)
{
	const int	between = work->approximation->method == APPROXIMATE_INT8;
	ObjectInfo	info;

	return object_info(work->approximation->reader, work->exact->base, &info)
		&& info.depth + between < sparse_max_chain_depth && info.bytes == work->exact->tensor->object.bytes;
}

static bool
is_matrix(const Work *work)
{
	const PlanTensor *tensor = work->exact->tensor;

	return tensor->rank >= 2 && sparse_dtype_get(work->dtype)->bytes >= 2
		&& sparse_dtype_get(work->dtype)->exponent_bits > 0
		&& tensor->shape[tensor->rank - 1] > 1 && tensor->shape[tensor->rank - 1] <= PG_INT32_MAX
		&& tensor->object.bytes > 0;
}

/* Reads the tensor once; false where it stays as it is. */
static bool
begin_work(Work *work)
{
	const PlanTensor *tensor = work->exact->tensor;

	work->dtype = tensor->object.dtype;
	if (!is_matrix(work) || work->exact->object == work->exact->base)
		return false;
	work->elements = tensor->object.bytes / sparse_dtype_get(work->dtype)->bytes;
	work->columns = tensor->shape[tensor->rank - 1];
	work->rows = work->elements / work->columns;
	if (work->rows * sizeof(float) > SVD_BYTES / 2)
		return false;
	work->base = work->exact->base != 0 && base_is_usable(work) ? work->exact->base : 0;
	measure(work);
	return isfinite(work->squares) && work->largest <= FLT_MAX && work->differs
		&& (work->squares >= LEAST_SQUARES || work->largest == 0);
}

/* The base's content must be finite, too. */
static void
check_base(Work *work)
{
	ExactTensor base = *work->exact;
	const ExactTensor *tensor = work->exact;
	double		squares = work->squares;
	double		largest = work->largest;
	int64		other = work->base;

	if (other == 0)
		return;
	base.object = other;
	work->exact = &base;
	work->base = 0;
	measure(work);
	work->base = isfinite(work->squares) && work->largest <= FLT_MAX ? other : 0;
	work->exact = tensor;
	work->squares = squares;
	work->largest = largest;
}

static sparse_recipe *
prepare(Work *work, TensorErrors *errors)
{
	if (work->approximation->method == APPROXIMATE_SVD)
		return prepare_svd(work, errors);
	work->scale = MemoryContextAllocExtended(CurrentMemoryContext, work->rows * sizeof(float),
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return work->approximation->method == APPROXIMATE_INT8 ? prepare_int8(work) : prepare_bit1(work);
}

int64
approximate_tensor(Approximation *approximation, const ExactTensor *exact, TensorErrors *errors)
{
	Work	   *work = palloc0(sizeof(Work));
	Comparison *comparison = palloc0(sizeof(Comparison));
	sparse_recipe *recipe;
	Formula		formula;
	Content		content;
	uint8		sha256[SPARSE_SHA256_BYTES];

	memset(errors, 0, sizeof(*errors));
	work->approximation = approximation;
	work->exact = exact;
	if (!begin_work(work))
		return keep_exact(work, errors);
	check_base(work);
	recipe = prepare(work, errors);
	if (recipe == NULL)
		return keep_exact(work, errors);
	content = content_of_recipe(work, &formula, work->dtype, recipe);
	*comparison = (Comparison) {.work = work, .errors = errors};
	digest(&content, compare_piece, comparison, sha256);
	errors->relative_l2 = relative(work, comparison->squares);
	check_finite(work, errors);
	check_error(work, errors);
	return store_content(&content, sha256);
}
