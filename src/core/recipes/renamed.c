/*
 * renamed.c: tensors that a parent has under another name, or in pieces.
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
 * Samples of the parents' tensors are decoded once for all tensors of a version.
 */
#include "search.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE 128				/* elements, from the beginning of a row on */
#define LEAST_ELEMENTS 64		/* of a tensor that is looked for */
#define PLACES 8				/* rows of a tensor of which there are samples */
#define STEP 16					/* elements after which unlike samples can be told */

/* So many tensors of a parent are looked through, and so many samples taken for a version: some 4 MiB each parent, 8 MiB for all. */
#define MOST_TENSORS 16384
#define MOST_SAMPLES 16384

/* Alike are samples whose differences have less than this part of the squares of the elements. */
#define ALIKE 0.25

typedef struct kin_sample
{
	uint64_t	row;
	float	   *element;		/* NULL: none taken yet */
} kin_sample;

/* A tensor of a parent. */
typedef struct kin_entry
{
	sparse_kin	kin;
	uint64_t	rows;
	kin_sample		sample[PLACES];
} kin_entry;

/* Tensors of a parent, those with rows of one shape together. */
typedef struct parent_tensors
{
	bool		loaded;
	uint64_t	count;
	kin_entry  *entry;
} parent_tensors;

struct kin_index
{
	sparse_allocator allocator;
	int			parents;
	int			samples;
	parent_tensors parent[];
};

kin_index *
kin_index_create(const sparse_allocator *allocator, int parents)
{
	const sparse_allocator *memory = allocator != NULL ? allocator : &sparse_malloc;
	size_t		bytes = sizeof(kin_index) + (size_t) parents * sizeof(parent_tensors);
	kin_index  *index = memory->allocate(memory->state, bytes);

	if (index == NULL)
		return NULL;
	memset(index, 0, bytes);
	index->allocator = *memory;
	index->parents = parents;
	return index;
}

static void
release(kin_index *index, void *block)
{
	index->allocator.release(index->allocator.state, block);
}

void
kin_index_free(kin_index *index)
{
	if (index == NULL)
		return;
	for (int i = 0; i < index->parents; i++)
	{
		for (uint64_t e = 0; e < index->parent[i].count; e++)
			for (int p = 0; p < PLACES; p++)
				release(index, index->parent[i].entry[e].sample[p].element);
		release(index, index->parent[i].entry);
	}
	release(index, index);
}

/* Memory of the index, which outlives the search. */
static void *
keep(const recipe_search *search, size_t bytes)
{
	const sparse_allocator *allocator = &search->index->allocator;
	void	   *block = allocator->allocate(allocator->state, bytes);

	workspace_check(search->work, block == NULL ? SPARSE_NO_MEMORY : SPARSE_OK);
	return memset(block, 0, bytes);
}

/* ---- the tensors of a parent ---- */

/* The order of shapes without their first dimension. */
static int
compare_rows(const sparse_kin *a, const sparse_kin *b)
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
	const kin_entry *left = a;
	const kin_entry *right = b;
	int			order = compare_rows(&left->kin, &right->kin);

	/* objects were numbered as their versions came */
	return order != 0 ? order : (left->kin.object > right->kin.object) - (left->kin.object < right->kin.object);
}

typedef struct listing
{
	const recipe_search *search;
	parent_tensors *parent;
	uint64_t	room;
} listing;

static void
take_tensor(void *taker, const sparse_kin *kin)
{
	listing    *list = taker;
	parent_tensors *parent = list->parent;

	workspace_pause(list->search->work);
	if (kin->rank == 0)
		return;
	if (parent->count == list->room)
	{
		kin_entry  *more = keep(list->search, 2 * list->room * sizeof(kin_entry));

		memcpy(more, parent->entry, parent->count * sizeof(kin_entry));
		release(list->search->index, parent->entry);
		parent->entry = more;
		list->room *= 2;
	}
	parent->entry[parent->count++] = (kin_entry) {.kin = *kin, .rows = kin->shape[0]};
}

static void
load_parent(const recipe_search *search, int number, parent_tensors *parent)
{
	listing		list = {search, parent, 64};

	parent->count = 0;
	if (parent->entry == NULL)
		parent->entry = keep(search, list.room * sizeof(kin_entry));
	search->source->list(search->source->state, number, MOST_TENSORS, take_tensor, &list);
	qsort(parent->entry, parent->count, sizeof(kin_entry), compare_entries);
	parent->loaded = true;
}

/* Those with rows like the tensor's; their number. */
static uint64_t
entries_like(const recipe_search *search, int number, kin_entry **first)
{
	parent_tensors *parent = &search->index->parent[number];
	uint64_t	low = 0;
	uint64_t	high;

	if (!parent->loaded)
		load_parent(search, number, parent);
	high = parent->count;
	while (low < high)
	{
		uint64_t	middle = low + (high - low) / 2;

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

static uint64_t
row_elements(const recipe_search *search)
{
	return search->elements / search->self.shape[0];
}

static uint64_t
sample_elements(const recipe_search *search, uint64_t rows)
{
	return MIN(SAMPLE, rows * row_elements(search));
}

/* Elements of a parent's tensor from a row on, or NULL where it ends before it, or there is no room for more. */
static const float *
sample_of(const recipe_search *search, kin_entry *entry, uint64_t row)
{
	for (int i = 0; i < PLACES && row < entry->rows; i++)
	{
		kin_sample	   *sample = &entry->sample[i];

		if (sample->element != NULL && sample->row != row)
			continue;
		if (sample->element == NULL && search->index->samples == MOST_SAMPLES)
			return NULL;
		if (sample->element == NULL)
		{
			uint64_t	count = sample_elements(search, entry->rows - row);

			search->index->samples++;
			sample->row = row;
			sample->element = keep(search, SAMPLE * sizeof(float));
			sample_kin(search, &entry->kin, row * row_elements(search), count, sample->element);
		}
		return sample->element;
	}
	return NULL;
}

static double
sum_of_squares(const float *a, uint64_t count)
{
	double		squares = 0;

	for (uint64_t i = 0; i < count; i++)
		squares += (double) a[i] * a[i];
	return squares;
}

/* In four sums: one would wait for itself at every element. */
static inline double
squares_of_step(const float *a, const float *b, uint64_t count)
{
	double		apart[4] = {0};

	for (uint64_t i = 0; i < count; i++)
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
squares_apart(const float *a, const float *b, uint64_t count, double most)
{
	double		apart = 0;

	/* (a NaN is not less) */
	for (uint64_t i = 0; i < count && apart < most; i += STEP)
		apart += i + STEP <= count ? squares_of_step(a + i, b + i, STEP) : squares_of_step(a + i, b + i, count - i);
	return apart;
}

/* Whether two samples are alike; not where they say nothing. */
static bool
are_alike(const float *a, const float *b, uint64_t count)
{
	const double most = ALIKE * sum_of_squares(a, count);

	return squares_apart(a, b, count, most) < most;
}

/* Of a parent's tensors that begin as the sample does the nearest, with at most so many rows; NULL: none. */
static kin_entry *
nearest(const recipe_search *search, kin_entry *entry, uint64_t entries, const float *sample, uint64_t rows, bool same_rows)
{
	kin_entry  *best = NULL;
	double		least = ALIKE;
	double		squares = 0;
	uint64_t	count = 0;		/* elements that these are the squares of */

	for (uint64_t i = 0; i < entries; i++)
	{
		const uint64_t common = sample_elements(search, MIN(rows, entry[i].rows));
		const float *other;
		double		apart;

		if (same_rows ? entry[i].rows != rows : entry[i].rows > rows)
			continue;
		workspace_pause(search->work);
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
take_kin(recipe_search *search, const sparse_kin *kin)
{
	sparse_proposals *out = search->out;

	if (search->kin == MAX_KIN)
		return;
	search->of_name[search->kin++] = *kin;
	if (kin->dtype == search->subject->dtype && out->candidates < LENGTH(out->candidate))
		out->candidate[out->candidates++] = kin->object;
}

/* A tensor of as many rows, or one of any number that is not much less. */
static bool
find_whole(recipe_search *search, kin_entry *entry, uint64_t entries, const float *begin, bool same_rows)
{
	const uint64_t rows = search->self.shape[0];
	kin_entry  *found = nearest(search, entry, entries, begin, same_rows ? rows : UINT64_MAX, same_rows);

	if (found == NULL || found->rows < rows / 2)
		return false;
	take_kin(search, &found->kin);
	return true;
}

/* Tensors of the parent, one after another, until the tensor ends. */
static bool
find_fused(recipe_search *search, kin_entry *entry, uint64_t entries)
{
	const uint64_t rows = search->self.shape[0];
	sparse_recipe recipe = {.predictor = SPARSE_PREDICT_PARENT};
	float		sample[SAMPLE] = {0};
	uint64_t	row = 0;

	while (row < rows)
	{
		kin_entry  *part;

		sample_content(search, row * row_elements(search), sample_elements(search, rows - row), sample);
		part = nearest(search, entry, entries, sample, rows - row, false);
		if (part == NULL || part->kin.dtype != search->subject->dtype || recipe.sources == MAX_KIN)
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
find_split(recipe_search *search, kin_entry *entry, uint64_t entries, const float *begin)
{
	const uint64_t rows = search->self.shape[0];

	for (uint64_t i = 0; i < entries; i++)
	{
		const uint64_t all = entry[i].rows;
		const uint64_t place[] = {0, rows, 2 * rows, all - rows, all - 2 * rows};

		if (all <= rows || entry[i].kin.dtype != search->subject->dtype)
			continue;
		workspace_pause(search->work);
		for (int p = 0; p < LENGTH(place); p++)
		{
			const float *sample = place[p] <= all - rows ? sample_of(search, &entry[i], place[p]) : NULL;
			sparse_recipe	   *recipe;

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
kin_is_alike(recipe_search *search, const sparse_kin *kin)
{
	const uint64_t count = MIN(MIN(search->elements, kin->elements), SAMPLE);
	float		child[SAMPLE];
	float		parent[SAMPLE];

	sample_content(search, 0, count, child);
	sample_kin(search, kin, 0, count, parent);
	return are_alike(child, parent, count);
}

void
search_renamed(recipe_search *search, int parent)
{
	kin_entry  *entry;
	uint64_t	entries;
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
