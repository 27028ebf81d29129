/*
 * scaled.c: tensors that were quantised, their scales, and tensors that were
 * made floats again.
 *
 * Tools store a quantised tensor with its scales beside it, under a name with an
 * ending of their own. Values are predicted from the float parent and the scales in
 * the same file; scales from the largest magnitudes of the parent's rows or groups; floats
 * from a quantised parent and its scales. What tools do differently (packing, signs, what the
 * largest magnitude is divided by) is tried, each as a recipe.
 */
#include "search.h"

/* Endings: of the name of a tensor, what is added to it or put in its place. */
static const struct
{
	const char *of;				/* "": the name as it is */
	const char *scale;
	double		factor;			/* from what is stored to the scale */
}			ending[] = {
	{"", "_scale", 1},
	{"", ".scale", 1},
	{"", "_scales", 1},
	{".weight", ".scale", 1},
	{".weight", ".scales", 1},
	{".weight", ".SCB", 1.0 / 127},
	{".qweight", ".scales", 1},
	{"", ".absmax", 1},
};

static const char *const zero_ending[][2] = {
	{"", "_zero_point"}, {"", ".zero_point"}, {".weight", ".zero_point"}, {".weight", ".zeros"}, {".qweight", ".qzeros"},
};

/* A name with one ending for another; NULL where it has not the first. */
static char *
with_ending(const recipe_search *search, const char *name, const char *from, const char *to)
{
	char	   *stem = from[0] == '\0' ? workspace_text(search->work, name) : without_suffix(search, name, from);

	return stem == NULL ? NULL : workspace_format(search->work, "%s%s", stem, to);
}

/* Values to a scale: how many; 0 where they do not divide. */
static uint64_t
group_of(uint64_t values, uint64_t scales)
{
	return scales > 0 && values % scales == 0 ? values / scales : 0;
}

static bool
is_small(sparse_dtype dtype)
{
	return sparse_dtype_get(dtype)->bytes == 1;
}

/* ---- quantised ---- */

static bool
find_sibling(const recipe_search *search, const char *name, sparse_kin *found)
{
	return name != NULL && search->source->sibling(search->source->state, name, found);
}

/* The scales of the tensor at hand, in its own file. */
static bool
find_scales(const recipe_search *search, sparse_kin *scales, double *factor)
{
	for (int i = 0; i < LENGTH(ending); i++)
	{
		char	   *name = with_ending(search, search->subject->name, ending[i].of, ending[i].scale);

		if (!find_sibling(search, name, scales) || !kin_is_float(scales))
			continue;
		*factor = ending[i].factor;
		return true;
	}
	return false;
}

typedef struct question
{
	recipe_search search;
	bool		yes;
} question;

static void
ask_for_scales(void *argument)
{
	question   *asked = argument;
	sparse_kin	scales;
	double		factor;

	asked->yes = find_scales(&asked->search, &scales, &factor);
}

sparse_status
recipes_want_siblings(const sparse_environment *environment, const sparse_source *source,
					  const sparse_subject *subject, bool *want)
{
	workspace	work;
	question	asked = {.search = {.work = &work, .source = source, .subject = subject}};
	sparse_status status;

	*want = false;
	if (subject->name == NULL || source->parents == 0 || subject->dtype == SPARSE_BYTES || !is_small(subject->dtype))
		return SPARSE_OK;
	workspace_init(&work, environment);
	status = workspace_run(&work, ask_for_scales, &asked);
	workspace_end(&work);
	*want = asked.yes;
	return status;
}

static bool
find_zeros(const recipe_search *search, const sparse_kin *scales, sparse_kin *zeros)
{
	for (int i = 0; i < LENGTH(zero_ending); i++)
	{
		char	   *name = with_ending(search, search->subject->name, zero_ending[i][0], zero_ending[i][1]);

		if (find_sibling(search, name, zeros) && zeros->elements == scales->elements)
			return true;
	}
	return false;
}

/* One way in which the tensor may have been quantised. */
static void
propose_quantised(recipe_search *search, const sparse_kin *kin, const sparse_kin *scales, double factor,
				  sparse_packing packing, int lowest, int highest, int bias)
{
	const uint64_t values = kin->elements;
	const uint64_t per_byte = packing == SPARSE_PACK_ELEMENTS ? 1 : 2;
	const uint64_t group = group_of(values, scales->elements);
	sparse_kin	zeros;
	sparse_recipe	   *recipe;

	if (values != search->elements * per_byte || group == 0 || group % per_byte != 0)
		return;
	recipe = recipes_add(search, SPARSE_PREDICT_QUANTISED);
	recipe_add_source(recipe, kin->object, kin->dtype, 1, per_byte);
	recipe_add_source(recipe, scales->object, scales->dtype, group / per_byte, 1);
	if (find_zeros(search, scales, &zeros))
		recipe_add_source(recipe, zeros.object, zeros.dtype, group / per_byte, 1);
	recipe->formula.style = packing;
	recipe->formula.lowest = lowest;
	recipe->formula.highest = highest;
	recipe->formula.bias = bias;
	recipe->formula.group = group;
	recipe->formula.factor = factor;
}

/* The parent of a quantised tensor may have another ending. */
static bool
find_float_kin(const recipe_search *search, int parent, sparse_kin *kin)
{
	char	   *name[2 * MAX_NAMES];
	char	   *plain = with_ending(search, search->subject->name, ".qweight", ".weight");
	int			names = recipes_names(search, search->subject->name, name, MAX_NAMES);

	if (plain != NULL)
		names += recipes_names(search, plain, name + names, MAX_NAMES);
	return recipes_find(search, parent, name, names, kin) && kin_is_float(kin);
}

static void
search_quantised(recipe_search *search)
{
	double		factor;
	sparse_kin	scales;
	sparse_kin	kin;

	if (!find_scales(search, &scales, &factor))
		return;
	for (int i = 0; i < search->source->parents; i++)
	{
		if (!find_float_kin(search, i, &kin))
			continue;
		if (search->is_float || search->subject->dtype == SPARSE_I8)
			propose_quantised(search, &kin, &scales, factor, SPARSE_PACK_ELEMENTS, -128, 127, 0);
		if (search->subject->dtype != SPARSE_U8)
			continue;
		propose_quantised(search, &kin, &scales, factor, SPARSE_PACK_ELEMENTS, 0, 255, 0);
		propose_quantised(search, &kin, &scales, factor, SPARSE_PACK_ELEMENTS, -128, 127, 128);
		for (sparse_packing packing = SPARSE_PACK_LOW_FIRST; packing <= SPARSE_PACK_HIGH_FIRST; packing++)
		{
			propose_quantised(search, &kin, &scales, factor, packing, -8, 7, 8);
			propose_quantised(search, &kin, &scales, factor, packing, -8, 7, 0);
			propose_quantised(search, &kin, &scales, factor, packing, 0, 15, 0);
		}
	}
}

/* ---- scales ---- */

/* The name of the tensor whose scales these are; NULL where they are none. */
static char *
owner_of(const recipe_search *search)
{
	sparse_kin	tensor;

	for (int i = 0; i < LENGTH(ending); i++)
	{
		char	   *stem = without_suffix(search, search->subject->name, ending[i].scale);
		char	   *owner = stem == NULL ? NULL : workspace_format(search->work, "%s%s", stem, ending[i].of);

		if (find_sibling(search, owner, &tensor))
			return owner;
	}
	return NULL;
}

static void
search_maxima(recipe_search *search)
{
	/* for eight bits, for four, for F8_E4M3, as it is, and less usual ones */
	static const double divisor[] = {127, 7, 448, 1, 127.5, 128, 7.5, 8, 57344};
	char	   *owner = search->is_float ? owner_of(search) : NULL;
	char	   *name[2 * MAX_NAMES];
	int			names;

	if (owner == NULL)
		return;
	names = recipes_names(search, owner, name, MAX_NAMES);
	if (without_suffix(search, owner, ".qweight") != NULL)
		names += recipes_names(search, with_ending(search, owner, ".qweight", ".weight"), name + names, MAX_NAMES);
	for (int i = 0; i < search->source->parents; i++)
	{
		sparse_kin	kin;
		uint64_t	group;

		if (!recipes_find(search, i, name, names, &kin)
			|| !kin_is_float(&kin))
			continue;
		group = group_of(kin.elements, search->elements);
		for (size_t d = 0; group > 1 && d < LENGTH(divisor); d++)
		{
			sparse_recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_MAXIMA);

			recipe_add_source(recipe, kin.object, kin.dtype, 1, group);
			recipe->formula.group = group;
			recipe->formula.factor = divisor[d];
		}
	}
}

/* ---- floats again ---- */

/* The scales of a parent's tensor, in the parent. */
static bool
find_scales_of_kin(const recipe_search *search, const sparse_kin *kin, sparse_kin *scales, double *factor)
{
	for (int i = 0; i < LENGTH(ending); i++)
	{
		char	   *name = with_ending(search, search->subject->name, ending[i].of, ending[i].scale);
		char	   *names[MAX_NAMES];

		if (name == NULL || !recipes_find(search, kin->parent, names, recipes_names(search, name, names, LENGTH(names)), scales)
			|| !kin_is_float(scales))
			continue;
		*factor = ending[i].factor;
		return true;
	}
	return false;
}

static void
propose_dequantised(recipe_search *search, const sparse_kin *kin, const sparse_kin *scales, double factor,
					sparse_packing packing, int bias)
{
	const uint64_t group = group_of(search->elements, scales->elements);
	const uint64_t per_byte = packing == SPARSE_PACK_ELEMENTS ? 1 : 2;
	sparse_recipe	   *recipe;

	if (group == 0 || search->elements != kin->elements * per_byte)
		return;
	recipe = recipes_add(search, SPARSE_PREDICT_DEQUANTISED);
	recipe_add_source(recipe, kin->object, kin->dtype, per_byte, 1);
	recipe_add_source(recipe, scales->object, scales->dtype, group, 1);
	recipe->unit = per_byte;
	recipe->formula.style = packing;
	recipe->formula.highest = packing == SPARSE_PACK_ELEMENTS ? INT16_MAX : bias == 0 ? 7 : 15;
	recipe->formula.lowest = -recipe->formula.highest;
	recipe->formula.bias = bias;
	recipe->formula.group = group;
	recipe->formula.factor = factor;
}

static void
search_dequantised(recipe_search *search)
{
	for (int i = 0; search->is_float && i < search->kin; i++)
	{
		const sparse_kin *kin = &search->of_name[i];
		sparse_kin	scales;
		double		factor;

		if (!is_small(kin->dtype) || !find_scales_of_kin(search, kin, &scales, &factor))
			continue;
		propose_dequantised(search, kin, &scales, factor, SPARSE_PACK_ELEMENTS, 0);
		if (kin->dtype != SPARSE_U8)
			continue;
		propose_dequantised(search, kin, &scales, factor, SPARSE_PACK_ELEMENTS, 128);
		for (sparse_packing packing = SPARSE_PACK_LOW_FIRST; packing <= SPARSE_PACK_HIGH_FIRST; packing++)
		{
			propose_dequantised(search, kin, &scales, factor, packing, 8);
			propose_dequantised(search, kin, &scales, factor, packing, 0);
		}
	}
}

void
search_scaled(recipe_search *search)
{
	if (is_small(search->subject->dtype))
		search_quantised(search);
	search_maxima(search);
	search_dequantised(search);
}
