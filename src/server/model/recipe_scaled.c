/*
 * recipe_scaled.c: tensors that were quantised, their scales, and tensors that were
 * made floats again.
 *
 * Tools store a quantised tensor with its scales beside it, under a name with an
 * ending of their own. Values are predicted from the float parent and the scales in
 * the same file; scales from the largest magnitudes of the parent's rows or groups; floats
 * from a quantised parent and its scales. What tools do differently (packing, signs, what the
 * largest magnitude is divided by) is tried, each as a recipe.
 */
#include "postgres.h"
#include "compat.h"

#include "codec/convert.h"
#include "recipes.h"

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
with_ending(const char *name, const char *from, const char *to)
{
	char	   *stem = from[0] == '\0' ? pstrdup(name) : without_suffix(name, from);

	return stem == NULL ? NULL : psprintf("%s%s", stem, to);
}

/* Values to a scale: how many; 0 where they do not divide. */
static uint64
group_of(uint64 values, uint64 scales)
{
	return scales > 0 && values % scales == 0 ? values / scales : 0;
}

static bool
is_small(sparse_dtype dtype)
{
	return sparse_dtype_get(dtype)->bytes == 1;
}

/* ---- quantised ---- */

/* The scales of a tensor of the plan, in its own file. */
static const PlanTensor *
find_scales(const Import *import, const PlanObject *object, double *factor)
{
	RecipeSearch search = {.import = import, .object = object};

	for (size_t i = 0; i < lengthof(ending); i++)
	{
		char	   *name = with_ending(object->tensor->name, ending[i].of, ending[i].scale);
		const PlanTensor *scales = name == NULL ? NULL : recipes_sibling(&search, name);

		if (scales != NULL && sparse_dtype_get(scales->object.dtype)->exponent_bits > 0)
		{
			*factor = ending[i].factor;
			return scales;
		}
	}
	return NULL;
}

bool
recipes_want_siblings(const Import *import, const PlanObject *object)
{
	double		factor;

	return object->tensor != NULL && import->parents > 0 && object->dtype != SPARSE_BYTES && is_small(object->dtype)
		&& find_scales(import, object, &factor) != NULL;
}

static const PlanTensor *
find_zeros(const RecipeSearch *search, uint64 scales)
{
	for (size_t i = 0; i < lengthof(zero_ending); i++)
	{
		char	   *name = with_ending(search->object->tensor->name, zero_ending[i][0], zero_ending[i][1]);
		const PlanTensor *zeros = name == NULL ? NULL : recipes_sibling(search, name);

		if (zeros != NULL && convert_loads(zeros->object.dtype) && zeros->object.bytes == scales * sparse_dtype_get(zeros->object.dtype)->bytes)
			return zeros;
	}
	return NULL;
}

static uint64
elements_of(const PlanObject *object)
{
	return object->bytes / sparse_dtype_get(object->dtype)->bytes;
}

/* One way in which the tensor may have been quantised. */
static void
propose_quantised(RecipeSearch *search, const Kin *kin, const PlanTensor *scales, double factor,
				  sparse_packing packing, int lowest, int highest, int bias)
{
	const uint64 values = kin->elements;
	const uint64 per_byte = packing == SPARSE_PACK_ELEMENTS ? 1 : 2;
	const uint64 group = group_of(values, elements_of(&scales->object));
	const PlanTensor *zeros = find_zeros(search, elements_of(&scales->object));
	Recipe	   *recipe;

	if (values != search->elements * per_byte || group == 0 || group % per_byte != 0)
		return;
	recipe = recipes_add(search, SPARSE_PREDICT_QUANTISED);
	recipe_add_source(recipe, kin->object, kin->dtype, 1, per_byte);
	recipe_add_source(recipe, scales->object.id, scales->object.dtype, group / per_byte, 1);
	if (zeros != NULL)
		recipe_add_source(recipe, zeros->object.id, zeros->object.dtype, group / per_byte, 1);
	recipe->formula.style = packing;
	recipe->formula.lowest = lowest;
	recipe->formula.highest = highest;
	recipe->formula.bias = bias;
	recipe->formula.group = group;
	recipe->formula.factor = factor;
}

/* The parent of a quantised tensor may have another ending. */
static bool
find_float_kin(const RecipeSearch *search, int64 version, Kin *kin)
{
	char	   *name[32];
	char	   *plain = with_ending(search->object->tensor->name, ".qweight", ".weight");
	int			names = recipes_names(search->object->tensor->name, name, 16);

	if (plain != NULL)
		names += recipes_names(plain, name + names, 16);
	return recipes_find(version, name, names, kin) && sparse_dtype_get(kin->dtype)->exponent_bits > 0;
}

static void
search_quantised(RecipeSearch *search)
{
	double		factor;
	const PlanTensor *scales = find_scales(search->import, search->object, &factor);
	Kin			kin;

	for (int i = 0; scales != NULL && i < search->import->parents; i++)
	{
		if (!find_float_kin(search, search->import->parent[i].version.id, &kin))
			continue;
		if (search->is_float || search->spec->dtype == SPARSE_I8)
			propose_quantised(search, &kin, scales, factor, SPARSE_PACK_ELEMENTS, -128, 127, 0);
		if (search->spec->dtype != SPARSE_U8)
			continue;
		propose_quantised(search, &kin, scales, factor, SPARSE_PACK_ELEMENTS, 0, 255, 0);
		propose_quantised(search, &kin, scales, factor, SPARSE_PACK_ELEMENTS, -128, 127, 128);
		for (sparse_packing packing = SPARSE_PACK_LOW_FIRST; packing <= SPARSE_PACK_HIGH_FIRST; packing++)
		{
			propose_quantised(search, &kin, scales, factor, packing, -8, 7, 8);
			propose_quantised(search, &kin, scales, factor, packing, -8, 7, 0);
			propose_quantised(search, &kin, scales, factor, packing, 0, 15, 0);
		}
	}
}

/* ---- scales ---- */

/* The name of the tensor whose scales these are; NULL where they are none. */
static char *
owner_of(const RecipeSearch *search)
{
	for (size_t i = 0; i < lengthof(ending); i++)
	{
		char	   *stem = without_suffix(search->object->tensor->name, ending[i].scale);
		char	   *owner = stem == NULL ? NULL : psprintf("%s%s", stem, ending[i].of);

		if (owner != NULL && recipes_sibling(search, owner) != NULL)
			return owner;
	}
	return NULL;
}

static void
search_maxima(RecipeSearch *search)
{
	/* for eight bits, for four, for F8_E4M3, as it is, and less usual ones */
	static const double divisor[] = {127, 7, 448, 1, 127.5, 128, 7.5, 8, 57344};
	char	   *owner = search->is_float ? owner_of(search) : NULL;
	char	   *name[32];
	int			names;

	if (owner == NULL)
		return;
	names = recipes_names(owner, name, 16);
	if (without_suffix(owner, ".qweight") != NULL)
		names += recipes_names(with_ending(owner, ".qweight", ".weight"), name + names, 16);
	for (int i = 0; i < search->import->parents; i++)
	{
		Kin			kin;
		uint64		group;

		if (!recipes_find(search->import->parent[i].version.id, name, names, &kin)
			|| sparse_dtype_get(kin.dtype)->exponent_bits == 0)
			continue;
		group = group_of(kin.elements, search->elements);
		for (size_t d = 0; group > 1 && d < lengthof(divisor); d++)
		{
			Recipe	   *recipe = recipes_add(search, SPARSE_PREDICT_MAXIMA);

			recipe_add_source(recipe, kin.object, kin.dtype, 1, group);
			recipe->formula.group = group;
			recipe->formula.factor = divisor[d];
		}
	}
}

/* ---- floats again ---- */

/* The scales of a parent's tensor, in the parent. */
static bool
find_scales_of_kin(const RecipeSearch *search, const Kin *kin, Kin *scales, double *factor)
{
	for (size_t i = 0; i < lengthof(ending); i++)
	{
		char	   *name = with_ending(search->object->tensor->name, ending[i].of, ending[i].scale);
		char	   *names[16];

		if (name == NULL || !recipes_find(kin->version, names, recipes_names(name, names, lengthof(names)), scales)
			|| sparse_dtype_get(scales->dtype)->exponent_bits == 0)
			continue;
		*factor = ending[i].factor;
		return true;
	}
	return false;
}

static void
propose_dequantised(RecipeSearch *search, const Kin *kin, const Kin *scales, double factor,
					sparse_packing packing, int bias)
{
	const uint64 group = group_of(search->elements, scales->elements);
	const uint64 per_byte = packing == SPARSE_PACK_ELEMENTS ? 1 : 2;
	Recipe	   *recipe;

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
search_dequantised(RecipeSearch *search)
{
	for (int i = 0; search->is_float && i < search->kin; i++)
	{
		const Kin  *kin = &search->of_name[i];
		Kin			scales;
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
search_scaled(RecipeSearch *search)
{
	if (is_small(search->spec->dtype))
		search_quantised(search);
	search_maxima(search);
	search_dequantised(search);
}
