/*
 * recipe_pruned.c: tensors whose parent lost its small elements.
 *
 * A sample says whether elements were zeroed and the others kept. Then the threshold is
 * sought over the whole tensor: for 16-bit floats the one with the fewest exceptions,
 * from a histogram of magnitudes; for others the least magnitude that was kept.
 */
#include "postgres.h"
#include "compat.h"

#include "miscadmin.h"

#include "recipes.h"

#define SAMPLE 8192				/* elements looked at first, in four places */
#define PIECE 65536				/* elements read at a time */
#define MAGNITUDES 32768		/* of 16-bit floats */

/* What a stretch of both shows. */
typedef struct Pruned
{
	uint64		zeroed;			/* zero, and the parent is not */
	uint64		kept;			/* not zero, and equal to the parent */
	uint64		other;
	uint64		negative;		/* of the zeroed, -0.0 */
	uint64		groups[2];		/* of 4 and of 8 elements, of which half are zero */
	uint64		least_kept;
	uint32	   *zeroed_at;		/* of 16-bit floats: how many of each magnitude */
	uint32	   *kept_at;
} Pruned;

static uint64
element_at(const char *bytes, uint64 i, unsigned unit)
{
	uint64		value = 0;

	memcpy(&value, bytes + i * unit, unit);
	return value;
}

/* Counts the elements of a stretch. */
static void
look_at(const char *content, const char *parent, uint64 count, unsigned unit, Pruned *seen)
{
	const uint64 magnitude = (UINT64CONST(1) << (8 * unit - 1)) - 1;

	for (uint64 i = 0; i < count; i++)
	{
		uint64		x = element_at(content, i, unit);
		uint64		p = element_at(parent, i, unit);
		uint64		m = p & magnitude;

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
			seen->least_kept = Min(seen->least_kept, m);
			if (seen->kept_at != NULL)
				seen->kept_at[m]++;
		}
		else
			seen->other++;
	}
}

static void
look_at_groups(const char *content, uint64 count, unsigned unit, Pruned *seen)
{
	const uint64 magnitude = (UINT64CONST(1) << (8 * unit - 1)) - 1;

	for (int k = 0; k < 2; k++)
		for (uint64 i = 0; i + (4 << k) <= count; i += 4 << k)
		{
			int			zeros = 0;

			for (int j = 0; j < 4 << k; j++)
				zeros += (element_at(content, i + j, unit) & magnitude) == 0;
			seen->groups[k] += zeros == 2 << k;
		}
}

static void
read_both(const RecipeSearch *search, const Kin *kin, uint64 first, uint64 count, unsigned unit,
		  char *content, char *parent)
{
	search->spec->source(search->spec->source_state, first * unit, count * unit, content);
	object_read(search->reader, kin->object, first * unit, count * unit, parent);
}

/* A sample in four places; true when most of what was not zeroed is the parent's. */
static bool
sample_shows_it(const RecipeSearch *search, const Kin *kin, unsigned unit, char *content, char *parent, Pruned *seen)
{
	const uint64 count = Min(SAMPLE / 4, search->elements) / 8 * 8;

	for (int i = 0; i < 4 && count > 0; i++)
	{
		read_both(search, kin, (search->elements - count) / 8 * i / 3 * 8, count, unit, content, parent);
		look_at(content, parent, count, unit, seen);
		look_at_groups(content, count, unit, seen);
	}
	return seen->zeroed * 20 > seen->zeroed + seen->kept + seen->other && seen->kept > seen->other;
}

/* Of 16-bit floats, the threshold with the fewest exceptions. */
static uint64
best_threshold(const Pruned *seen)
{
	uint64		wrong = 0;
	uint64		least;
	uint64		best = 0;

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

static uint64
find_threshold(const RecipeSearch *search, const Kin *kin, unsigned unit, char *content, char *parent)
{
	Pruned		seen = {.least_kept = PG_UINT64_MAX};

	if (unit == 2)
	{
		seen.zeroed_at = palloc0(MAGNITUDES * sizeof(uint32));
		seen.kept_at = palloc0(MAGNITUDES * sizeof(uint32));
	}
	for (uint64 first = 0; first < search->elements; first += PIECE)
	{
		uint64		count = Min(PIECE, search->elements - first);

		CHECK_FOR_INTERRUPTS();
		read_both(search, kin, first, count, unit, content, parent);
		look_at(content, parent, count, unit, &seen);
	}
	return unit == 2 ? best_threshold(&seen) : seen.least_kept;
}

static void
propose(RecipeSearch *search, const Kin *kin, const Pruned *sample, uint64 threshold, int of)
{
	Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_PRUNED);

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
search_pruned(RecipeSearch *search)
{
	const unsigned unit = sparse_dtype_get(search->spec->dtype)->bytes;
	char	   *content;
	char	   *parent;

	if (!search->is_float || search->kin == 0)
		return;
	content = palloc(PIECE * unit);
	parent = palloc(PIECE * unit);
	for (int i = 0; i < search->kin; i++)
	{
		const Kin  *kin = &search->of_name[i];
		Pruned		sample = {.least_kept = PG_UINT64_MAX};
		uint64		groups = SAMPLE / 4;

		if (kin->dtype != search->spec->dtype || kin->elements != search->elements
			|| !sample_shows_it(search, kin, unit, content, parent, &sample))
			continue;
		if (sample.groups[0] * 10 > groups * 9)
			propose(search, kin, &sample, 0, 4);
		else if (sample.groups[1] * 10 > groups / 2 * 9)
			propose(search, kin, &sample, 0, 8);
		else
			propose(search, kin, &sample, find_threshold(search, kin, unit, content, parent), 0);
	}
	pfree(content);
	pfree(parent);
}
