/*
 * pruned.c: tensors whose parent lost its small elements.
 *
 * A sample says whether elements were zeroed and the others kept. Then the threshold is
 * sought over the whole tensor: for 16-bit floats the one with the fewest exceptions,
 * from a histogram of magnitudes; for others the least magnitude that was kept.
 */
#include "search.h"

#include <string.h>

#define SAMPLE 8192				/* elements looked at first, in four places */
#define PIECE 65536				/* elements read at a time */
#define MAGNITUDES 32768		/* of 16-bit floats */

/* What a stretch of both shows. */
typedef struct prune_counts
{
	uint64_t	zeroed;			/* zero, and the parent is not */
	uint64_t	kept;			/* not zero, and equal to the parent */
	uint64_t	other;
	uint64_t	negative;		/* of the zeroed, -0.0 */
	uint64_t	groups[2];		/* of 4 and of 8 elements, of which half are zero */
	uint64_t	least_kept;
	uint32_t   *zeroed_at;		/* of 16-bit floats: how many of each magnitude */
	uint32_t   *kept_at;
} prune_counts;

static uint64_t
element_at(const char *bytes, uint64_t i, unsigned unit)
{
	uint64_t	value = 0;

	memcpy(&value, bytes + i * unit, unit);
	return value;
}

/* Counts the elements of a stretch. */
static void
look_at(const char *content, const char *parent, uint64_t count, unsigned unit, prune_counts *seen)
{
	const uint64_t magnitude = (UINT64_C(1) << (8 * unit - 1)) - 1;

	for (uint64_t i = 0; i < count; i++)
	{
		uint64_t	x = element_at(content, i, unit);
		uint64_t	p = element_at(parent, i, unit);
		uint64_t	m = p & magnitude;

		if (m == 0)
			continue;
		if ((x & magnitude) == 0)
		{
			seen->zeroed++;
			seen->negative += x != 0;
			if (seen->zeroed_at != NULL)
				seen->zeroed_at[m]++;
		}
		else if (x == p)
		{
			seen->kept++;
			seen->least_kept = MIN(seen->least_kept, m);
			if (seen->kept_at != NULL)
				seen->kept_at[m]++;
		}
		else
			seen->other++;
	}
}

static void
look_at_groups(const char *content, uint64_t count, unsigned unit, prune_counts *seen)
{
	const uint64_t magnitude = (UINT64_C(1) << (8 * unit - 1)) - 1;

	for (int k = 0; k < 2; k++)
		for (uint64_t i = 0; i + (4 << k) <= count; i += 4 << k)
		{
			int			zeros = 0;

			for (int j = 0; j < 4 << k; j++)
				zeros += (element_at(content, i + j, unit) & magnitude) == 0;
			seen->groups[k] += zeros == 2 << k;
		}
}

static void
read_both(const recipe_search *search, const sparse_kin *kin, uint64_t first, uint64_t count, unsigned unit,
		  char *content, char *parent)
{
	read_content(search, first * unit, count * unit, content);
	read_kin(search, kin, first * unit, count * unit, parent);
}

/* A sample in four places; true when most of what was not zeroed is the parent's. */
static bool
sample_shows_it(const recipe_search *search, const sparse_kin *kin, unsigned unit, char *content, char *parent, prune_counts *seen)
{
	const uint64_t count = MIN(SAMPLE / 4, search->elements) / 8 * 8;

	for (int i = 0; i < 4 && count > 0; i++)
	{
		read_both(search, kin, (search->elements - count) / 8 * i / 3 * 8, count, unit, content, parent);
		look_at(content, parent, count, unit, seen);
		look_at_groups(content, count, unit, seen);
	}
	return seen->zeroed * 20 > seen->zeroed + seen->kept + seen->other && seen->kept > seen->other;
}

/* Of 16-bit floats, the threshold with the fewest exceptions. */
static uint64_t
best_threshold(const prune_counts *seen)
{
	uint64_t	wrong = 0;
	uint64_t	least;
	uint64_t	best = 0;

	for (int m = 0; m < MAGNITUDES; m++)
		wrong += seen->zeroed_at[m];
	least = wrong;
	/* with a threshold above m, what has m is zeroed */
	for (int m = 0; m < MAGNITUDES; m++)
	{
		wrong += seen->kept_at[m];
		wrong -= seen->zeroed_at[m];
		if (wrong < least)
		{
			least = wrong;
			best = m + 1;
		}
	}
	return best;
}

static uint64_t
find_threshold(const recipe_search *search, const sparse_kin *kin, unsigned unit, char *content, char *parent)
{
	prune_counts		seen = {.least_kept = UINT64_MAX};

	if (unit == 2)
	{
		seen.zeroed_at = workspace_zeroed(search->work, MAGNITUDES * sizeof(uint32_t));
		seen.kept_at = workspace_zeroed(search->work, MAGNITUDES * sizeof(uint32_t));
	}
	for (uint64_t first = 0; first < search->elements; first += PIECE)
	{
		uint64_t	count = MIN(PIECE, search->elements - first);

		workspace_pause(search->work);
		read_both(search, kin, first, count, unit, content, parent);
		look_at(content, parent, count, unit, &seen);
	}
	return unit == 2 ? best_threshold(&seen) : seen.least_kept;
}

static void
propose(recipe_search *search, const sparse_kin *kin, const prune_counts *sample, uint64_t threshold, int of)
{
	sparse_recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_PRUNED);

	recipe_add_elements(recipe, kin);
	recipe->formula.signed_zeros = sample->negative > 0;
	recipe->formula.threshold = threshold;
	if (of > 0)
	{
		recipe->formula.style = SPARSE_PRUNE_GROUPS;
		recipe->formula.keep = of / 2;
		recipe->formula.of = of;
		recipe->unit = of;
	}
}

void
search_pruned(recipe_search *search)
{
	const unsigned unit = sparse_dtype_get(search->subject->dtype)->bytes;
	char	   *content;
	char	   *parent;

	if (!search->is_float || search->kin == 0)
		return;
	content = workspace_allocate(search->work, PIECE * unit);
	parent = workspace_allocate(search->work, PIECE * unit);
	for (int i = 0; i < search->kin; i++)
	{
		const sparse_kin *kin = &search->of_name[i];
		prune_counts		sample = {.least_kept = UINT64_MAX};
		uint64_t	groups = SAMPLE / 4;

		if (kin->dtype != search->subject->dtype || kin->elements != search->elements
			|| !sample_shows_it(search, kin, unit, content, parent, &sample))
			continue;
		if (sample.groups[0] * 10 > groups * 9)
			propose(search, kin, &sample, 0, 4);
		else if (sample.groups[1] * 10 > groups / 2 * 9)
			propose(search, kin, &sample, 0, 8);
		else
			propose(search, kin, &sample, find_threshold(search, kin, unit, content, parent), 0);
	}
	workspace_release(search->work, content);
	workspace_release(search->work, parent);
}
