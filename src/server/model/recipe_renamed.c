/*
 * recipe_renamed.c: tensors that a parent has under another name, or in pieces.
 *
 * Tools rename tensors, leave out or repeat layers, fuse the query, key and value
 * projections into one, or split them again. Where a parent has nothing of a tensor's
 * name, or what it has is nothing like it, its tensors with rows of the same shape are
 * looked through: their first elements say which are alike.
 *
 *   whole   the parent's tensor begins as this one does: it becomes its kin
 *   fused   tensors of the parent follow one another in this one
 *   split   this one is a part of a tensor of the parent, where tools put it
 *
 * Samples of the parents' tensors are decoded once for all tensors of an import.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "answer.h"
#include "recipes.h"

#define SAMPLE 128				/* elements, from the beginning of a row on */
#define LEAST_ELEMENTS 64		/* of a tensor that is looked for */
#define PLACES 8				/* rows of a tensor of which there are samples */
#define STEP 16					/* elements after which unlike samples can be told */

/* So many tensors of a parent are looked through, and so many samples taken for an import: some 4 MiB each parent, 8 MiB for all. */
#define MOST_TENSORS 16384
#define MOST_SAMPLES 16384

/* Alike are samples whose differences have less than this part of the squares of the elements. */
#define ALIKE 0.25

typedef struct Sample
{
	uint64		row;
	float	   *element;		/* NULL: none taken yet */
} Sample;

/* A tensor of a parent. */
typedef struct Entry
{
	Kin			kin;
	uint64		rows;
	Sample		sample[PLACES];
} Entry;

/* Tensors of a parent, those with rows of one shape together. */
typedef struct ParentTensors
{
	bool		loaded;
	uint64		count;
	Entry	   *entry;
} ParentTensors;

struct KinIndex
{
	MemoryContext context;
	int			samples;
	ParentTensors *parent;
};

KinIndex *
kin_index_create(MemoryContext context, int parents)
{
	KinIndex   *index = MemoryContextAlloc(context, sizeof(KinIndex));

	index->context = context;
	index->samples = 0;
	index->parent = MemoryContextAllocZero(context, Max(parents, 1) * sizeof(ParentTensors));
	return index;
}

/* ---- the tensors of a parent ---- */

static StoreQuery tensors_query = {
	.sql = "select t.object, t.dtype, t.shape from sparse.tensor t"
	" where t.version = $1 and t.bytes > 0"
	" order by t.file, t.ordinal"
	" limit $2",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 3, .column = {INT8OID, TEXTOID, INT8ARRAYOID}};

/* The order of shapes without their first dimension. */
static int
compare_rows(const Kin *a, const Kin *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	for (int i = 1; i < a->rank; i++)
		if (a->shape[i] != b->shape[i])
			return a->shape[i] < b->shape[i] ? -1 : 1;
	return 0;
}

static int
compare_entries(const void *a, const void *b)
{
	const Entry *left = a;
	const Entry *right = b;
	int			order = compare_rows(&left->kin, &right->kin);

	/* objects were numbered as their versions came */
	return order != 0 ? order : (left->kin.object > right->kin.object) - (left->kin.object < right->kin.object);
}

static void
load_parent(const RecipeSearch *search, int number, ParentTensors *parent)
{
	const ImportParent *version = &search->import->parent[number];
	Datum		argument[2] = {Int64GetDatum(version->version.id), Int64GetDatum(MOST_TENSORS)};
	SPITupleTable *rows;
	uint64		count = query_run(&tensors_query, argument, NULL, false, &rows);

	parent->entry = MemoryContextAllocHuge(search->import->kin->context, Max(count, 1) * sizeof(Entry));
	for (uint64 i = 0; i < count; i++)
	{
		Entry	   *entry = &parent->entry[parent->count];

		CHECK_FOR_INTERRUPTS();
		memset(entry, 0, sizeof(Entry));
		if (!kin_of_row(rows, i, version->version.id, &entry->kin) || entry->kin.rank == 0)
			continue;
		entry->rows = entry->kin.shape[0];
		parent->count++;
	}
	SPI_freetuptable(rows);
	qsort(parent->entry, parent->count, sizeof(Entry), compare_entries);
	parent->loaded = true;
}

/* Those with rows like the tensor's; their number. */
static uint64
entries_like(const RecipeSearch *search, int number, Entry **first)
{
	ParentTensors *parent = &search->import->kin->parent[number];
	uint64		low = 0;
	uint64		high;

	if (!parent->loaded)
		load_parent(search, number, parent);
	high = parent->count;
	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;

		if (compare_rows(&parent->entry[middle].kin, &search->self) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first = &parent->entry[low];
	while (high < parent->count && compare_rows(&parent->entry[high].kin, &search->self) == 0)
		high++;
	return high - low;
}

/* ---- samples ---- */

static uint64
row_elements(const RecipeSearch *search)
{
	return search->elements / search->self.shape[0];
}

static uint64
sample_elements(const RecipeSearch *search, uint64 rows)
{
	return Min(SAMPLE, rows * row_elements(search));
}

/* Elements of a parent's tensor from a row on, or NULL where it ends before it, or there is no room for more. */
static const float *
sample_of(const RecipeSearch *search, Entry *entry, uint64 row)
{
	for (int i = 0; i < PLACES && row < entry->rows; i++)
	{
		Sample	   *sample = &entry->sample[i];

		if (sample->element != NULL && sample->row != row)
			continue;
		if (sample->element == NULL && search->import->kin->samples == MOST_SAMPLES)
			return NULL;
		if (sample->element == NULL)
		{
			uint64		count = sample_elements(search, entry->rows - row);

			search->import->kin->samples++;
			sample->row = row;
			sample->element = MemoryContextAllocZero(search->import->kin->context, SAMPLE * sizeof(float));
			sample_object(search, &entry->kin, row * row_elements(search), count, sample->element);
		}
		return sample->element;
	}
	return NULL;
}

static double
sum_of_squares(const float *a, uint64 count)
{
	double		squares = 0;

	for (uint64 i = 0; i < count; i++)
		squares += (double) a[i] * a[i];
	return squares;
}

/* In four sums: one would wait for itself at every element. */
static inline double
squares_of_step(const float *a, const float *b, uint64 count)
{
	double		apart[4] = {0};

	for (uint64 i = 0; i < count; i++)
	{
		double		d = (double) a[i] - b[i];

		apart[i % 4] += d * d;
	}
	return (apart[0] + apart[1]) + (apart[2] + apart[3]);
}

/*
 * The squares of the differences of two samples; "most" or more, by the first of them, where they come to that: of
 * thousands of tensors that are looked through nearly all are told so after the first step.
 */
static double
squares_apart(const float *a, const float *b, uint64 count, double most)
{
	double		apart = 0;

	/* (a NaN is not less) */
	for (uint64 i = 0; i < count && apart < most; i += STEP)
		apart += i + STEP <= count ? squares_of_step(a + i, b + i, STEP) : squares_of_step(a + i, b + i, count - i);
	return apart;
}

/* Whether two samples are alike; not where they say nothing. */
static bool
are_alike(const float *a, const float *b, uint64 count)
{
	const double most = ALIKE * sum_of_squares(a, count);

	return squares_apart(a, b, count, most) < most;
}

/* Of a parent's tensors that begin as the sample does the nearest, with at most so many rows; NULL: none. */
static Entry *
nearest(const RecipeSearch *search, Entry *entry, uint64 entries, const float *sample, uint64 rows, bool same_rows)
{
	Entry	   *best = NULL;
	double		least = ALIKE;
	double		squares = 0;
	uint64		count = 0;		/* elements that these are the squares of */

	for (uint64 i = 0; i < entries; i++)
	{
		const uint64 common = sample_elements(search, Min(rows, entry[i].rows));
		const float *other;
		double		apart;

		if (same_rows ? entry[i].rows != rows : entry[i].rows > rows)
			continue;
		CHECK_FOR_INTERRUPTS();
		other = sample_of(search, &entry[i], 0);
		if (other == NULL)
			continue;
		if (common != count)
			squares = sum_of_squares(sample, count = common);
		apart = squares_apart(sample, other, common, least * squares);
		/* (of equals the first, however the product was rounded) */
		if (apart < least * squares && apart / squares < least)
		{
			least = apart / squares;
			best = &entry[i];
		}
	}
	return best;
}

/* ---- whole, fused, split ---- */

static void
take_kin(RecipeSearch *search, const Kin *kin)
{
	ObjectSpec *spec = search->spec;

	if (search->kin == MAX_KIN)
		return;
	search->of_name[search->kin++] = *kin;
	if (kin->dtype == spec->dtype && spec->candidates < (int) lengthof(spec->candidate))
		spec->candidate[spec->candidates++] = kin->object;
}

/* A tensor of as many rows, or one of any number that is not much less. */
static bool
find_whole(RecipeSearch *search, Entry *entry, uint64 entries, const float *begin, bool same_rows)
{
	const uint64 rows = search->self.shape[0];
	Entry	   *found = nearest(search, entry, entries, begin, same_rows ? rows : PG_UINT64_MAX, same_rows);

	if (found == NULL || found->rows < rows / 2)
		return false;
	take_kin(search, &found->kin);
	return true;
}

/* Tensors of the parent, one after another, until the tensor ends. */
static bool
find_fused(RecipeSearch *search, Entry *entry, uint64 entries)
{
	const uint64 rows = search->self.shape[0];
	Recipe		recipe = {.predictor = SPARSE_PREDICT_PARENT};
	float		sample[SAMPLE] = {0};
	uint64		row = 0;

	while (row < rows)
	{
		Entry	   *part;

		sample_content(search, row * row_elements(search), sample_elements(search, rows - row), sample);
		part = nearest(search, entry, entries, sample, rows - row, false);
		if (part == NULL || part->kin.dtype != search->spec->dtype || recipe.sources == MAX_KIN)
			return false;
		recipe_add_elements(&recipe, &part->kin);
		recipe.source[recipe.sources - 1].begin = row * row_elements(search);
		row += part->rows;
		recipe.source[recipe.sources - 1].end = row * row_elements(search);
	}
	*recipes_add(search, SPARSE_PREDICT_PARENT) = recipe;
	return true;
}

/* A part of a tensor of the parent: the first, the second or third of its size, the last or the last but one. */
static void
find_split(RecipeSearch *search, Entry *entry, uint64 entries, const float *begin)
{
	const uint64 rows = search->self.shape[0];

	for (uint64 i = 0; i < entries; i++)
	{
		const uint64 all = entry[i].rows;
		const uint64 place[] = {0, rows, 2 * rows, all - rows, all - 2 * rows};

		if (all <= rows || entry[i].kin.dtype != search->spec->dtype)
			continue;
		CHECK_FOR_INTERRUPTS();
		for (size_t p = 0; p < lengthof(place); p++)
		{
			const float *sample = place[p] <= all - rows ? sample_of(search, &entry[i], place[p]) : NULL;
			Recipe	   *recipe;

			if (sample == NULL || !are_alike(begin, sample, sample_elements(search, rows)))
				continue;
			recipe = recipes_add(search, SPARSE_PREDICT_PARENT);
			recipe_add_elements(recipe, &entry[i].kin);
			recipe->source[0].first = place[p] * row_elements(search);
			return;
		}
	}
}

bool
kin_is_alike(RecipeSearch *search, const Kin *kin)
{
	const uint64 count = Min(Min(search->elements, kin->elements), SAMPLE);
	float		child[SAMPLE];
	float		parent[SAMPLE];

	sample_content(search, 0, count, child);
	sample_object(search, kin, 0, count, parent);
	return are_alike(child, parent, count);
}

void
search_renamed(RecipeSearch *search, int parent)
{
	Entry	   *entry;
	uint64		entries;
	float		begin[SAMPLE] = {0};

	if (search->self.rank == 0 || search->elements < LEAST_ELEMENTS)
		return;
	entries = entries_like(search, parent, &entry);
	if (entries == 0)
		return;
	sample_content(search, 0, sample_elements(search, search->self.shape[0]), begin);
	/* (what begins as this does with fewer rows may be the first of several) */
	if (!find_whole(search, entry, entries, begin, true) && !find_fused(search, entry, entries)
		&& !find_whole(search, entry, entries, begin, false))
		find_split(search, entry, entries, begin);
}
