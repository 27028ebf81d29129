/*
 * sketch.c: sketches of versions (see sketch.h), made when an import or a commit has
 * stored them, and sparse_sketch(), which makes a missing one.
 *
 * Of a version with more than 64 tensors a priority sample is kept (Duffield, Lund and
 * Thorup 2007): each tensor has a random number that follows from its name and shape, the
 * 64 with the largest elements/random stay, and each stands for at least the 65th's
 * priority. So large tensors stay for sure, sums over the sketch estimate those over the
 * version, and versions of one architecture keep the same tensors.
 */
#include "postgres.h"
#include "compat.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "codec/convert.h"
#include "answer.h"
#include "sketch.h"

PG_FUNCTION_INFO_V1(model_sketch);

#define TENSORS_A_BATCH 1000
#define MIN_ELEMENTS 64			/* smaller tensors weigh nothing */
#define HEAD_BYTES 8
#define TENSOR_BYTES 60

/* A tensor that may be sampled. */
typedef struct Sampled
{
	uint64		rows;
	uint64		row_elements;
	uint64		shape;			/* hash */
	uint64		name;			/* hash */
	uint32		rank;
	sparse_dtype dtype;
	bool		norm;			/* by its name it normalises activations */
	double		priority;

	Source	   *source;			/* where its bytes are: in a file, from `first` on, */
	uint64		first;
	int64		object;			/* or in an object */
} Sampled;

typedef struct Sampling
{
	uint64		count;
	uint64		room;
	Sampled    *tensor;
	ObjectReader *reader;		/* NULL: from sources */
} Sampling;

/* ---- hashes ---- */

/* The finaliser of SplitMix64. */
static uint64
mix(uint64 hash, uint64 value)
{
	hash ^= value + UINT64CONST(0x9e3779b97f4a7c15);
	hash = (hash ^ (hash >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	hash = (hash ^ (hash >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return hash ^ (hash >> 31);
}

static bool
is_number(const char *component)
{
	size_t		digits = strspn(component, "0123456789");

	return digits > 0 && (component[digits] == '.' || component[digits] == '\0');
}

/*
 * What is left of a name without its prefix: from the first number on, which counts
 * layers; else its last two components.
 */
static const char *
name_suffix(const char *name)
{
	const char *last = name;
	const char *before = name;

	for (const char *component = name;; component++)
	{
		if (is_number(component))
			return component;
		before = last;
		last = component;
		component = strchr(component, '.');
		if (component == NULL)
			return before;
	}
}

static uint64
hash_name(const char *name)
{
	uint64		hash = 0;

	for (const char *c = name_suffix(name); *c != '\0'; c++)
		hash = mix(hash, (uint8) *c);
	return hash;
}

/*
 * The first runs lie in the first rows, so that tables of very different lengths have some
 * in common too.
 */
uint32
sketch_run_row(uint16 shape, int run, int rows_log)
{
	static const uint8 most[SKETCH_RUNS] = {10, 13, 31, 31};

	return (uint32) mix(shape, (uint64) run + 1) & ((UINT32_C(1) << Min(rows_log, most[run])) - 1);
}

/* ---- the tensors of a version ---- */

static Sampled *
add_tensor(Sampling *sampling)
{
	if (sampling->count == sampling->room)
	{
		sampling->room = Max(256, 2 * sampling->room);
		sampling->tensor = sampling->tensor == NULL
			? palloc(sampling->room * sizeof(Sampled))
			: repalloc_huge(sampling->tensor, sampling->room * sizeof(Sampled));
	}
	memset(&sampling->tensor[sampling->count], 0, sizeof(Sampled));
	return &sampling->tensor[sampling->count];
}

/* Whether the shape is one of so many bytes, and what follows from it. */
static bool
take_shape(Sampled *tensor, const uint64 *shape, uint32 rank, uint64 bytes)
{
	uint64		elements = bytes / sparse_dtype_get(tensor->dtype)->bytes;

	if (rank == 0 || shape[0] == 0 || elements < MIN_ELEMENTS || elements % shape[0] != 0
		|| !convert_loads(tensor->dtype))
		return false;
	tensor->rank = rank;
	tensor->rows = shape[0];
	tensor->row_elements = elements / shape[0];
	tensor->shape = mix(0, rank);
	for (uint32 i = 1; i < rank; i++)
		tensor->shape = mix(tensor->shape, shape[i]);
	return true;
}

/* Its name and priority; the random number is in (0, 1]. */
static void
take_name(Sampled *tensor, const char *name)
{
	double		random;

	tensor->name = hash_name(name);
	tensor->norm = tensor->rank == 1 && (strstr(name, "norm") != NULL || strstr(name, "ln_") != NULL);
	random = (double) ((mix(tensor->shape, tensor->name) >> 11) + 1) / 9007199254740992.0;
	tensor->priority = (double) (tensor->rows * tensor->row_elements) / random;
}

static void
add_planned(Sampling *sampling, const PlanFile *file, const PlanTensor *planned)
{
	Sampled    *tensor = add_tensor(sampling);

	tensor->dtype = planned->object.dtype;
	if (!take_shape(tensor, planned->shape, planned->rank, planned->object.bytes))
		return;
	take_name(tensor, planned->name);
	tensor->source = file->source;
	tensor->first = planned->object.first;
	sampling->count++;
}

static StoreQuery tensors_query = {
	.sql = "select t.file, t.ordinal, t.name, t.dtype, t.shape, t.bytes, t.object"
	"  from sparse.tensor t"
	" where t.version = $1 and (t.file, t.ordinal) > ($2, $3)"
	" order by t.file, t.ordinal"
	" limit $4",
	.args = 4, .arg = {INT8OID, INT4OID, INT4OID, INT8OID},
	.columns = 7, .column = {INT4OID, INT4OID, TEXTOID, TEXTOID, INT8ARRAYOID, INT8OID, INT8OID}};

static void
add_stored(Sampling *sampling, const SPITupleTable *rows, uint64 row)
{
	Sampled    *tensor = add_tensor(sampling);
	char	   *dtype = row_text(CurrentMemoryContext, rows, row, 4);
	ArrayType  *shape = DatumGetArrayTypeP(row_datum(rows, row, 5));
	int			rank = ArrayGetNItems(ARR_NDIM(shape), ARR_DIMS(shape));

	if (ARR_HASNULL(shape) || !sparse_dtype_find(dtype, strlen(dtype), &tensor->dtype)
		|| !take_shape(tensor, (uint64 *) ARR_DATA_PTR(shape), (uint32) rank, (uint64) row_int64(rows, row, 6)))
		return;
	take_name(tensor, row_text(CurrentMemoryContext, rows, row, 3));
	tensor->object = row_int64(rows, row, 7);
	sampling->count++;
}

static void
add_all_stored(Sampling *sampling, int64 version, bool read_only)
{
	Datum		argument[4] = {Int64GetDatum(version), Int32GetDatum(-1), Int32GetDatum(-1),
	Int64GetDatum(TENSORS_A_BATCH)};
	uint64		count;

	do
	{
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		count = query_run(&tensors_query, argument, NULL, read_only, &rows);
		for (uint64 i = 0; i < count; i++)
			add_stored(sampling, rows, i);
		if (count > 0)
		{
			argument[1] = Int32GetDatum(row_int32(rows, count - 1, 1));
			argument[2] = Int32GetDatum(row_int32(rows, count - 1, 2));
		}
		SPI_freetuptable(rows);
	} while (count == TENSORS_A_BATCH);
}

/* ---- architecture ---- */

static int
compare_hashes(const void *a, const void *b)
{
	const uint64 x = *(const uint64 *) a;
	const uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/*
 * Of the set of shapes, without their first dimensions, of all tensors that have two or more:
 * neither layers nor rows that one has more change it, nor scales and biases.
 */
static int64
architecture(const Sampling *sampling)
{
	uint64	   *shape = palloc_extended(Max(sampling->count, 1) * sizeof(uint64), MCXT_ALLOC_HUGE);
	uint64		shapes = 0;
	uint64		hash = 0;

	for (uint64 i = 0; i < sampling->count; i++)
		if (sampling->tensor[i].rank > 1)
			shape[shapes++] = sampling->tensor[i].shape;
	qsort(shape, shapes, sizeof(uint64), compare_hashes);
	for (uint64 i = 0; i < shapes; i++)
		if (i == 0 || shape[i] != shape[i - 1])
			hash = mix(hash, shape[i]);
	pfree(shape);
	return (int64) hash;
}

/*
 * The width of the activations: the commonest length of what normalises them, which no quantisation,
 * fusion or pruning of neurons changes; of equally common ones the longest. 0 where nothing does.
 */
static int64
width(const Sampling *sampling)
{
	uint64	   *length = palloc_extended(Max(sampling->count, 1) * sizeof(uint64), MCXT_ALLOC_HUGE);
	uint64		lengths = 0;
	uint64		most = 0;
	uint64		commonest = 0;

	for (uint64 i = 0; i < sampling->count; i++)
		if (sampling->tensor[i].norm)
			length[lengths++] = sampling->tensor[i].rows;
	qsort(length, lengths, sizeof(uint64), compare_hashes);
	for (uint64 i = 0, next; i < lengths; i = next)
	{
		for (next = i + 1; next < lengths && length[next] == length[i]; next++)
			;
		if (next - i >= most)
		{
			most = next - i;
			commonest = length[i];
		}
	}
	pfree(length);
	return (int64) commonest;
}

/* ---- samples ---- */

static int
compare_priorities(const void *a, const void *b)
{
	const Sampled *x = a;
	const Sampled *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return compare_hashes(&x->name, &y->name);
}

static void
read_elements(const Sampling *sampling, const Sampled *tensor, uint64 element, float *value)
{
	const uint8 bytes = sparse_dtype_get(tensor->dtype)->bytes;
	uint8		content[SKETCH_RUN * sizeof(uint64)];

	if (sampling->reader != NULL)
		object_read(sampling->reader, tensor->object, element * bytes,
					SKETCH_RUN * bytes, (char *) content);
	else
		source_read(tensor->source, tensor->first + element * bytes, SKETCH_RUN * bytes, (char *) content);
	load_floats(tensor->dtype, content, SKETCH_RUN, value);
}

/* The upper 24 bits. */
static float
truncated(float value)
{
	uint32		bits;

	memcpy(&bits, &value, sizeof(bits));
	bits &= 0xffffff00;
	memcpy(&value, &bits, sizeof(bits));
	return value;
}

static void
sample_tensor(const Sampling *sampling, const Sampled *from, double least, SketchTensor *to)
{
	const uint64 elements = from->rows * from->row_elements;

	to->shape = (uint16) from->shape;
	to->name = (uint16) from->name;
	to->weight = (float) Max((double) elements, least);
	to->dtype = from->dtype;
	while (to->rows_log < 31 && from->rows >> (to->rows_log + 1) > 0)
		to->rows_log++;
	for (int run = 0; run < SKETCH_RUNS; run++)
	{
		const uint64 row = sketch_run_row(to->shape, run, to->rows_log);
		const uint64 column = mix(from->shape, (uint64) run + 100) % from->row_elements;
		const uint64 element = Min(row * from->row_elements + column, elements - SKETCH_RUN);

		read_elements(sampling, from, element, to->value + run * SKETCH_RUN);
	}
	for (int i = 0; i < SKETCH_SAMPLES; i++)
		to->value[i] = truncated(to->value[i]);
}

static int
compare_keys(const void *a, const void *b)
{
	const SketchTensor *x = a;
	const SketchTensor *y = b;

	return x->shape != y->shape ? (int) x->shape - (int) y->shape : (int) x->name - (int) y->name;
}

static void
sample(Sampling *sampling, Sketch *sketch)
{
	double		least = 0;

	memset(sketch, 0, sizeof(*sketch));
	sketch->architecture = architecture(sampling);
	sketch->width = width(sampling);
	if (sampling->count > 1)
		qsort(sampling->tensor, sampling->count, sizeof(Sampled), compare_priorities);
	if (sampling->count > SKETCH_TENSORS)
		least = sampling->tensor[SKETCH_TENSORS].priority;
	sketch->tensors = (int) Min(sampling->count, SKETCH_TENSORS);
	for (int i = 0; i < sketch->tensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sample_tensor(sampling, &sampling->tensor[i], least, &sketch->tensor[i]);
	}
	qsort(sketch->tensor, sketch->tensors, sizeof(SketchTensor), compare_keys);
	if (sampling->tensor != NULL)
		pfree(sampling->tensor);
}

void
sketch_of_plan(ImportPlan *plan, Sketch *sketch)
{
	Sampling	sampling = {0};

	for (int i = 0; i < plan->files; i++)
		for (uint32 j = 0; j < plan->file[i].tensors; j++)
			add_planned(&sampling, &plan->file[i], &plan->file[i].tensor[j]);
	sample(&sampling, sketch);
	open_file_close(&plan->open_file);
}

void
sketch_of_version(int64 version, bool read_only, Sketch *sketch)
{
	Sampling	sampling = {0};

	sampling.reader = object_reader_create(CurrentMemoryContext, read_only);
	object_reader_context(sampling.reader, psprintf(INT64_FORMAT, version), NULL, NULL);
	add_all_stored(&sampling, version, read_only);
	sample(&sampling, sketch);
	object_reader_free(sampling.reader);
}

/* ---- as bytes ---- */

static void
put(uint8 *bytes, uint32 value, int count)
{
	for (int i = 0; i < count; i++)
		bytes[i] = (uint8) (value >> (8 * i));
}

static uint32
get(const uint8 *bytes, int count)
{
	uint32		value = 0;

	for (int i = 0; i < count; i++)
		value |= (uint32) bytes[i] << (8 * i);
	return value;
}

static uint32
bits_of(float value)
{
	uint32		bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static float
float_of(uint32 bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void
pack_tensor(const SketchTensor *tensor, uint8 *bytes)
{
	put(bytes, tensor->shape, 2);
	put(bytes + 2, tensor->name, 2);
	put(bytes + 4, bits_of(tensor->weight), 4);
	bytes[8] = tensor->dtype;
	bytes[9] = tensor->rows_log;
	for (int i = 0; i < SKETCH_SAMPLES; i++)
		put(bytes + 12 + 3 * i, bits_of(tensor->value[i]) >> 8, 3);
}

static bool
unpack_tensor(const uint8 *bytes, SketchTensor *tensor)
{
	tensor->shape = (uint16) get(bytes, 2);
	tensor->name = (uint16) get(bytes + 2, 2);
	tensor->weight = float_of(get(bytes + 4, 4));
	tensor->dtype = bytes[8];
	tensor->rows_log = bytes[9];
	for (int i = 0; i < SKETCH_SAMPLES; i++)
	{
		const uint8 *upper = bytes + 12 + 3 * i;

		tensor->value[i] = float_of((uint32) upper[0] << 8 | (uint32) upper[1] << 16 | (uint32) upper[2] << 24);
	}
	return tensor->dtype < SPARSE_DTYPES && tensor->rows_log < 32;
}

static Datum
sketch_datum(const Sketch *sketch)
{
	const size_t length = HEAD_BYTES + (size_t) sketch->tensors * TENSOR_BYTES;
	bytea	   *value = palloc0(VARHDRSZ + length);
	uint8	   *bytes = (uint8 *) VARDATA(value);

	SET_VARSIZE(value, VARHDRSZ + length);
	bytes[0] = SKETCH_FORMAT;
	bytes[1] = (uint8) sketch->tensors;
	for (int i = 0; i < sketch->tensors; i++)
		pack_tensor(&sketch->tensor[i], bytes + HEAD_BYTES + i * TENSOR_BYTES);
	return PointerGetDatum(value);
}

bool
sketch_unpack(const uint8 *bytes, size_t length, Sketch *sketch)
{
	if (length < HEAD_BYTES || bytes[0] != SKETCH_FORMAT || bytes[1] > SKETCH_TENSORS
		|| length != HEAD_BYTES + (size_t) bytes[1] * TENSOR_BYTES)
		return false;
	sketch->tensors = bytes[1];
	for (int i = 0; i < sketch->tensors; i++)
		if (!unpack_tensor(bytes + HEAD_BYTES + i * TENSOR_BYTES, &sketch->tensor[i]))
			return false;
	return true;
}

/* ---- kept ---- */

static StoreQuery keep_query = {
	.sql = "insert into sparse.sketch (version, architecture, width, sketch) values ($1, $2, $3, $4)"
	" on conflict (version) do nothing",
	.args = 4, .arg = {INT8OID, INT8OID, INT8OID, BYTEAOID}};

bool
sketch_keep(int64 version, const Sketch *sketch)
{
	Datum		argument[4] = {Int64GetDatum(version), Int64GetDatum(sketch->architecture), Int64GetDatum(sketch->width),
	sketch_datum(sketch)};

	return query_run(&keep_query, argument, NULL, false, NULL) > 0;
}

void
sketch_check_model(const StoreVersion *version)
{
	if (version->kind != 'm')
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("version \"%s@%d\" is not a model", version->name, version->revision));
}

static StoreQuery has_query = {
	.sql = "select 1 from sparse.sketch where version = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT4OID}};

/* sparse_sketch(version) */
Datum
model_sketch(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	StoreAccess access;
	Sketch	   *sketch = palloc(sizeof(Sketch));
	SPITupleTable *rows;
	Datum		argument;
	bool		made = false;

	version_from_argument_now(fcinfo, 0, false, &version);
	sketch_check_model(&version);
	argument = Int64GetDatum(version.id);
	versions_hold(&version.id, 1);
	store_enter(&access);
	answer_connect();
	if (query_run(&has_query, &argument, NULL, false, &rows) == 0)
	{
		sketch_of_version(version.id, false, sketch);
		made = sketch_keep(version.id, sketch);
	}
	answer_finish();
	store_leave(&access);
	PG_RETURN_BOOL(made);
}
