/*
 * find.c: the versions that a version or a file would best be stored against:
 * sparse_find_parent, sparse_find_parent_file, and the import with find_parents.
 *
 * All sketches of the architecture are compared with that of the child (sketch.h), as the
 * store's owner; where none of them pays, those of its width, which may be of another form: packed
 * weights, scales beside them, fused experts, fewer neurons. Of the cheapest the caller is then
 * shown those that he can see. An
 * estimate is what the residuals of the samples come to: for each tensor that both have,
 * the entropy of "equal or not", and of each difference its size in units of the child's
 * last place (docs/predictors-find.md).
 */
#include "postgres.h"
#include "compat.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "answer.h"
#include "sketch.h"

PG_FUNCTION_INFO_V1(model_find_parent);
PG_FUNCTION_INFO_V1(model_find_parent_file);

#define SKETCHES_A_BATCH 500
#define CANDIDATES_A_BATCH 256

/* A parent pays when it is estimated to leave at most so much of what the child takes alone. */
#define PAYS 0.9

/*
 * Of a version of another form so much of what can be compared may be left, at most: then it is kin,
 * and what cannot be compared is taken to shrink half as much (a guess, without which the float
 * parent of four-bit weights would never be found: of those norms and embedding can be compared).
 */
#define ALIKE 0.5

/*
 * What is left takes so much more where the parent has a wider dtype, and where it has another
 * one and another number of rows: measured 1.1 to 1.6 on the models of docs/predictors-find.md.
 */
#define WIDER_DTYPE 1.2
#define OTHER_ROWS 1.2

/* What the exponents of trained weights take, coded. */
#define EXPONENT_BITS 2.7

/* Stored mantissa bits of a truncated sample. */
#define SAMPLE_MANTISSA 15

typedef struct Candidate
{
	int64		version;
	double		bytes;
	int32		matched;
	bool		coarse;			/* most of it is kept with scales: what it was made from is better */
	float		unlike;			/* elements that one of the two has more */
} Candidate;

typedef struct Search
{
	const Sketch *child;
	double		alone[SKETCH_TENSORS];	/* bits of an element without a parent */
	double		per_unit[SKETCH_TENSORS][SKETCH_SAMPLES];	/* one by the child's last place */
	bool		constant[SKETCH_TENSORS];	/* all samples are equal: it looks like any other such tensor */
	double		most_bytes;		/* of a parent that pays */
	bool		other_form;		/* candidates are of the child's width, not of its architecture */
	int64		except;			/* version */
	bool		read_only;
	MemoryContext context;		/* of the candidates: SPI leaves the current one its own */
	uint64		candidates;
	uint64		room;
	Candidate  *candidate;
} Search;

/* ---- what a tensor takes ---- */

static bool
is_float(uint8 dtype)
{
	return sparse_dtype_get(dtype)->mantissa_bits > 0;
}

/* Floats that were widened from fewer bits have zeros at the end of all their mantissas. */
static int
precision(const SketchTensor *tensor)
{
	const int	stored = sparse_dtype_get(tensor->dtype)->mantissa_bits;
	uint32		used = 0;
	int			zeros = 0;

	for (int i = 0; i < SKETCH_SAMPLES; i++)
	{
		uint32		bits;

		memcpy(&bits, &tensor->value[i], sizeof(bits));
		used |= (bits & 0x7fffff) >> 8;
	}
	while (zeros < SAMPLE_MANTISSA && (used >> zeros & 1) == 0)
		zeros++;
	return zeros < 4 ? stored : Min(stored, SAMPLE_MANTISSA - zeros);
}

static double
bits_alone(const SketchTensor *tensor, int used)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(tensor->dtype);

	return dtype->mantissa_bits == 0 ? 8.0 * dtype->bytes
		: Min(8.0 * dtype->bytes, used + 1 + EXPONENT_BITS);
}

/*
 * One by the unit of the last place of a value of so many mantissa bits. Distances are rounded
 * to such units, so that a cast that loses bits is no distance.
 */
static double
per_unit(float value, uint8 dtype, int used)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	int			exponent;

	if (info->mantissa_bits == 0)
		return 1;
	(void) frexpf(value, &exponent);
	return ldexp(1, used - Max(exponent - 1, 2 - (1 << (info->exponent_bits - 1))));
}

static double
binary_entropy(double p)
{
	return p <= 0 || p >= 1 ? 0 : -p * log2(p) - (1 - p) * log2(1 - p);
}

/* Whether both versions have the elements of a run; where row counts differ much, they kept others. */
static bool
runs_agree(const SketchTensor *child, const SketchTensor *parent, int run)
{
	return child->rows_log == parent->rows_log
		|| sketch_run_row(child->shape, run, child->rows_log)
		== sketch_run_row(child->shape, run, parent->rows_log);
}

/* Integers, and floats so small that they are kept with a scale. */
static bool
is_scaled(uint8 dtype)
{
	return !is_float(dtype) || sparse_dtype_get(dtype)->bytes == 1;
}

/*
 * Between integers and floats there is a scale, which may be a row's: that which brings a
 * run of the parent nearest to the child's.
 */
static double
scale_of_run(const SketchTensor *child, const SketchTensor *parent, int first)
{
	double		products = 0;
	double		squares = 0;

	if (is_scaled(child->dtype) == is_scaled(parent->dtype))
		return 1;
	for (int i = first; i < first + SKETCH_RUN; i++)
	{
		products += (double) child->value[i] * parent->value[i];
		squares += (double) parent->value[i] * parent->value[i];
	}
	return squares > 0 ? products / squares : 1;
}

/* What the samples of a tensor come to against a parent. */
typedef struct Tally
{
	int			compared;
	int			differ;			/* by d units each; those that are equal count as d = 1: */
	double		product;		/* of all d */
	double		inverse;		/* sum of 1 / d */
	int			odd;			/* infinite or no number */
	int			pruned;			/* zeros of the child that are none of the parent, */
	float		largest_pruned; /* and whether a threshold explains them */
	float		smallest_kept;
} Tally;

/* So that the product of all samples of a tensor is finite. */
#define MOST_UNITS 1152921504606846976.0	/* 2^60 */

static void
tally_sample(Tally *tally, float value, float from, double units)
{
	const double rounded = fabs((double) value - from) * units + 0.5;
	double		d;

	tally->compared++;
	if (value == 0 && from != 0)
	{
		tally->pruned++;
		tally->largest_pruned = Max(tally->largest_pruned, fabsf(from));
		return;
	}
	tally->smallest_kept = Min(tally->smallest_kept, fabsf(from));
	if (!isfinite(rounded))
	{
		tally->odd++;
		return;
	}
	/* whether it differs is a coin's throw, so that no branch asks it */
	tally->differ += rounded >= 1;
	d = (double) (int64) Max(1.0, Min(rounded, MOST_UNITS));
	tally->product *= d;
	tally->inverse += 1 / d;
}

/*
 * Bits of all differences: of each its sign, its size, and what its size is not known by. Of
 * a normal distribution that is 1.96 above the mean of log2(d); where differences are few
 * units, less.
 */
static double
bits_of_differences(const Tally *tally)
{
	const int	equal = tally->compared - tally->pruned - tally->odd - tally->differ;

	return 64.0 * tally->odd + (1 + 1.96) * tally->differ
		+ log2(tally->product) - 1.2 * (tally->inverse - equal);
}

static double
handicap(const SketchTensor *child, const SketchTensor *parent)
{
	double		factor = 1;

	if (sparse_dtype_get(parent->dtype)->mantissa_bits > sparse_dtype_get(child->dtype)->mantissa_bits)
		factor *= WIDER_DTYPE;
	if (parent->dtype != child->dtype && parent->rows_log != child->rows_log)
		factor *= OTHER_ROWS;
	return factor;
}

/* Bits of an element of a tensor of the child, from that parent; what it takes alone where that is no help. */
static double
bits_from(const Search *search, int ordinal, const SketchTensor *parent)
{
	const SketchTensor *child = &search->child->tensor[ordinal];
	const double *units = search->per_unit[ordinal];
	const double alone = search->alone[ordinal];
	Tally		tally = {.product = 1, .smallest_kept = HUGE_VALF};
	double		bits;

	for (int run = 0; run < SKETCH_RUNS; run++)
	{
		double		scale;

		if (!runs_agree(child, parent, run))
			continue;
		scale = scale_of_run(child, parent, run * SKETCH_RUN);
		for (int i = run * SKETCH_RUN; i < (run + 1) * SKETCH_RUN; i++)
			tally_sample(&tally, child->value[i], (float) (scale * parent->value[i]), units[i]);
	}
	if (tally.compared == 0)
		return alone;
	bits = bits_of_differences(&tally) / tally.compared + binary_entropy((double) (tally.differ + tally.odd) / tally.compared);
	if (tally.largest_pruned > tally.smallest_kept)
		bits += binary_entropy((double) tally.pruned / tally.compared);
	return isfinite(bits) ? Min(alone, bits * handicap(child, parent)) : alone;
}

/* The same, of all of the child's rows: those that the parent has not take what they take alone. */
static double
bits_of_rows(const Search *search, int ordinal, const SketchTensor *parent)
{
	const int	lacking = search->child->tensor[ordinal].rows_log - parent->rows_log;
	const double common = lacking > 0 ? ldexp(1, -lacking) : 1;

	return common * bits_from(search, ordinal, parent) + (1 - common) * search->alone[ordinal];
}

/* ---- candidates ---- */

static int
compare_to(const SketchTensor *a, const SketchTensor *b)
{
	return a->shape != b->shape ? (int) a->shape - (int) b->shape : (int) a->name - (int) b->name;
}

/* The cheapest of the parent's tensors from `first` on that have the child's shape, or also its name. */
static double
cheapest(const Search *search, int ordinal, const Sketch *parent, int first, bool by_name)
{
	const SketchTensor *child = &search->child->tensor[ordinal];
	double		best = search->alone[ordinal];

	for (int i = first; i < parent->tensors && parent->tensor[i].shape == child->shape
		 && (!by_name || parent->tensor[i].name == child->name); i++)
	{
		const double bits = bits_of_rows(search, ordinal, &parent->tensor[i]);

		best = Min(best, bits);
	}
	return best;
}

/*
 * Bits of an element of a tensor of the child from a parent; *next moves on in the parent's
 * tensors, which are in the same order. Where no name is the same (*named), its shape must do.
 */
static double
bits_of_tensor(const Search *search, int ordinal, const Sketch *parent, int *next, bool *named)
{
	const SketchTensor *child = &search->child->tensor[ordinal];
	int			first = *next;

	while (*next < parent->tensors && compare_to(&parent->tensor[*next], child) < 0)
		(*next)++;
	*named = *next < parent->tensors && compare_to(&parent->tensor[*next], child) == 0;
	if (*named)
		return cheapest(search, ordinal, parent, *next, true);
	first = *next;
	while (first > 0 && parent->tensor[first - 1].shape == child->shape)
		first--;
	return cheapest(search, ordinal, parent, first, false);
}

static float
elements(const Sketch *sketch)
{
	float		sum = 0;

	for (int i = 0; i < sketch->tensors; i++)
		sum += sketch->tensor[i].weight;
	return sum;
}

static bool
is_coarse(const Sketch *sketch)
{
	float		scaled = 0;

	for (int i = 0; i < sketch->tensors; i++)
		if (is_scaled(sketch->tensor[i].dtype))
			scaled += sketch->tensor[i].weight;
	return scaled > elements(sketch) / 2;
}

/* Of a parent of another form: false where what can be compared is not alike, or it would not pay. */
static bool
estimate_other_form(const Search *search, const Sketch *parent, Candidate *candidate)
{
	double		alone = 0;		/* bits of what can be compared, without a parent, */
	double		left = 0;		/* and with it */
	double		apart = 0;		/* of the rest */
	int			next = 0;

	candidate->matched = 0;
	for (int i = 0; i < search->child->tensors; i++)
	{
		const float weight = search->child->tensor[i].weight;
		bool		named;
		const double bits = bits_of_tensor(search, i, parent, &next, &named);

		if (search->constant[i] || (!named && bits > ALIKE * search->alone[i]))
		{
			apart += weight * search->alone[i];
			continue;
		}
		alone += weight * search->alone[i];
		left += weight * bits;
		candidate->matched += bits < search->alone[i];
	}
	if (candidate->matched < 2 || left > ALIKE * alone)
		return false;
	candidate->bytes = (left + apart * (1 + left / alone) / 2) / 8;
	candidate->coarse = is_coarse(parent);
	candidate->unlike = fabsf(elements(parent) - elements(search->child));
	return candidate->bytes <= search->most_bytes;
}

/* False where it would not pay. */
static bool
estimate(const Search *search, const Sketch *parent, Candidate *candidate)
{
	int			next = 0;

	if (search->other_form)
		return estimate_other_form(search, parent, candidate);
	candidate->bytes = 0;
	candidate->matched = 0;
	for (int i = 0; i < search->child->tensors && candidate->bytes <= search->most_bytes; i++)
	{
		bool		named;
		double		bits = bits_of_tensor(search, i, parent, &next, &named);

		candidate->matched += bits < search->alone[i];
		candidate->bytes += bits * search->child->tensor[i].weight / 8;
	}
	candidate->unlike = fabsf(elements(parent) - elements(search->child));
	return candidate->matched > 0 && candidate->bytes <= search->most_bytes;
}

static void
search_begin(Search *search, const Sketch *child)
{
	search->child = child;
	search->context = CurrentMemoryContext;
	search->most_bytes = 0;
	for (int i = 0; i < child->tensors; i++)
	{
		const SketchTensor *tensor = &child->tensor[i];
		const int	used = precision(tensor);

		search->constant[i] = true;
		for (int j = 0; j < SKETCH_SAMPLES; j++)
			search->constant[i] &= tensor->value[j] == tensor->value[0];
		for (int j = 0; j < SKETCH_SAMPLES; j++)
			search->per_unit[i][j] = per_unit(tensor->value[j], tensor->dtype, used);
		search->alone[i] = bits_alone(tensor, used);
		search->most_bytes += PAYS * search->alone[i] * tensor->weight / 8;
	}
}

static void
add_candidate(Search *search, const Candidate *candidate)
{
	if (search->candidates == search->room)
	{
		search->room = Max(1024, 2 * search->room);
		search->candidate = search->candidate == NULL
			? MemoryContextAlloc(search->context, search->room * sizeof(Candidate))
			: repalloc_huge(search->candidate, search->room * sizeof(Candidate));
	}
	search->candidate[search->candidates++] = *candidate;
}

static void
consider(Search *search, const SPITupleTable *rows, uint64 row, Sketch *parent)
{
	bytea	   *bytes = DatumGetByteaPP(row_datum(rows, row, 2));
	Candidate	candidate = {.version = row_int64(rows, row, 1)};

	if (candidate.version == search->except
		|| !sketch_unpack((uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), parent))
		return;
	if (estimate(search, parent, &candidate))
		add_candidate(search, &candidate);
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	if (x->coarse != y->coarse)
		return x->coarse ? 1 : -1;
	if (x->unlike != y->unlike)
		return x->unlike < y->unlike ? -1 : 1;
	return x->version < y->version ? -1 : x->version > y->version;
}

static StoreQuery architecture_query = {
	.sql = "select version, sketch from sparse.sketch where architecture = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {INT8OID, BYTEAOID}};

static StoreQuery width_query = {
	.sql = "select version, sketch from sparse.sketch where width = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {INT8OID, BYTEAOID}};

static void
search_those(Search *search, StoreQuery *query, int64 key)
{
	Datum		argument = Int64GetDatum(key);
	Portal		portal = query_open(query, &argument, search->read_only);
	Sketch	   *parent = palloc(sizeof(Sketch));
	uint64		count;

	do
	{
		CHECK_FOR_INTERRUPTS();
		query_fetch(portal, SKETCHES_A_BATCH);
		query_check_rows(query, SPI_tuptable);
		count = SPI_processed;
		for (uint64 i = 0; i < count; i++)
			consider(search, SPI_tuptable, i, parent);
		SPI_freetuptable(SPI_tuptable);
	} while (count == SKETCHES_A_BATCH);
	SPI_cursor_close(portal);
	pfree(parent);
}

/*
 * All versions of the child's architecture that would pay, or else of its width, best first. As the store's owner,
 * within SPI_connect.
 */
static void
search_all(Search *search)
{
	search_those(search, &architecture_query, search->child->architecture);
	search->other_form = search->candidates == 0;
	if (search->other_form && search->child->width > 0)
		search_those(search, &width_query, search->child->width);
	if (search->candidates > 1)
		qsort(search->candidate, search->candidates, sizeof(Candidate), compare_candidates);
}

/* ---- what the caller may know ---- */

static StoreQuery visible_query = {
	.sql = "select v.id, v.name, v.revision from sparse.version v"
	" where v.id = any ($1) and v.state = 'ready' and v.exact"
	" order by array_position($1, v.id)",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 3, .column = {INT8OID, TEXTOID, INT4OID}};

/* Called for each candidate that the caller can see: `row` is its id, name and revision. */
typedef void (*Found) (void *state, const SPITupleTable *rows, uint64 row, const Candidate *candidate);

/* Of candidates from `first` to `end`, best first, those that he can see, but no more than `count`. */
static uint64
show_batch(Search *search, uint64 first, uint64 end, uint64 count, Found found, void *state)
{
	Datum		id[CANDIDATES_A_BATCH];
	Datum		argument;
	SPITupleTable *rows;
	uint64		seen;

	for (uint64 i = first; i < end; i++)
		id[i - first] = Int64GetDatum(search->candidate[i].version);
	argument = array_datum(INT8OID, id, (int) (end - first));
	seen = Min(count, query_run(&visible_query, &argument, NULL, search->read_only, &rows));
	for (uint64 i = 0; i < seen; i++)
	{
		while (search->candidate[first].version != row_int64(rows, i, 1))
			first++;
		found(state, rows, i, &search->candidate[first]);
	}
	SPI_freetuptable(rows);
	return seen;
}

/* The best `count` candidates that the caller can see. As the caller. */
static void
show(Search *search, uint64 count, Found found, void *state)
{
	StoreAccess access;

	enter_versions(&access);
	answer_connect();
	for (uint64 first = 0; first < search->candidates && count > 0; first += CANDIDATES_A_BATCH)
	{
		CHECK_FOR_INTERRUPTS();
		count -= show_batch(search, first, Min(first + CANDIDATES_A_BATCH, search->candidates), count, found, state);
	}
	answer_finish();
	store_leave(&access);
}

/* ---- the functions ---- */

static void
answer_found(void *state, const SPITupleTable *rows, uint64 row, const Candidate *candidate)
{
	Datum		value[5] = {row_datum(rows, row, 1), row_datum(rows, row, 2), row_datum(rows, row, 3),
	Int64GetDatum((int64) candidate->bytes), Int32GetDatum(candidate->matched)};
	bool		null[5] = {false};

	answer_add(state, value, null);
}

static uint64
count_argument(FunctionCallInfo fcinfo)
{
	int32		count = PG_GETARG_INT32(1);

	if (count < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("count must be at least 1, not %d", count));
	return (uint64) count;
}

static void
search_as_owner(Search *search)
{
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	search_all(search);
	answer_finish();
	store_leave(&access);
}

/* sparse_find_parent(version, count) */
Datum
model_find_parent(PG_FUNCTION_ARGS)
{
	Sketch	   *child = palloc(sizeof(Sketch));
	Search		search = {.read_only = true};
	StoreVersion version;
	StoreAccess access;
	Answer		answer;
	const uint64 count = count_argument(fcinfo);

	answer_begin(fcinfo, &answer);
	version_from_argument(fcinfo, 0, false, &version);
	sketch_check_model(&version);
	store_enter(&access);
	answer_connect();
	sketch_of_version(version.id, true, child);
	answer_finish();
	store_leave(&access);
	search.except = version.id;
	search_begin(&search, child);
	search_as_owner(&search);
	show(&search, count, answer_found, &answer);
	return (Datum) 0;
}

/* sparse_find_parent_file(path, count) */
Datum
model_find_parent_file(PG_FUNCTION_ARGS)
{
	Sketch	   *child = palloc(sizeof(Sketch));
	Search		search = {.read_only = true};
	ImportPlan *plan;
	Answer		answer;
	const uint64 count = count_argument(fcinfo);

	import_check_may_read_files("read");
	answer_begin(fcinfo, &answer);
	plan = plan_of_path(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	plan_objects(plan);
	sketch_of_plan(plan, child);
	search_begin(&search, child);
	search_as_owner(&search);
	show(&search, count, answer_found, &answer);
	return (Datum) 0;
}

/* ---- for an import ---- */

typedef struct Best
{
	int64		version;
	int64		bytes;
} Best;

static void
best_found(void *state, const SPITupleTable *rows, uint64 row, const Candidate *candidate)
{
	Best	   *best = state;

	best->version = row_int64(rows, row, 1);
	best->bytes = (int64) candidate->bytes;
}

bool
find_best_parent(const Sketch *child, int64 except, bool read_only, int64 *version, int64 *estimated_bytes)
{
	Search		search = {.read_only = read_only, .except = except};
	Best		best = {0};

	search_begin(&search, child);
	search_as_owner(&search);
	show(&search, 1, best_found, &best);
	*version = best.version;
	*estimated_bytes = best.bytes;
	return best.version != 0;
}
