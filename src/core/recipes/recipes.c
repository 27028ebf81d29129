/*
 * recipes.c: from what, and how, a tensor might be computed.
 *
 * For each tensor its kin in the parents are looked up by its name, with and without the
 * prefixes that tools add; then each search looks for one kind of child.
 */
#include "search.h"

#include <string.h>

#include "codec/convert.h"

sparse_recipe *
recipes_add(recipe_search *search, sparse_predictor predictor)
{
	sparse_proposals *out = search->out;
	sparse_recipe *recipe = out->recipes < SPARSE_MAX_RECIPES ? &out->recipe[out->recipes++] : &search->scratch;

	memset(recipe, 0, sizeof(*recipe));
	recipe->predictor = predictor;
	return recipe;
}

void
recipe_add_source(sparse_recipe *recipe, int64_t object, sparse_dtype dtype, uint64_t per, uint64_t count)
{
	/* (no search adds more than MAX_KIN, and its own) */
	recipe->source[recipe->sources++] = (sparse_recipe_source) {
		.object = object, .per = per, .count = count, .dtype = dtype
	};
}

void
recipe_add_elements(sparse_recipe *recipe, const sparse_kin *kin)
{
	recipe_add_source(recipe, kin->object, kin->dtype, 1, 1);
}

#define HELD_MOST ((uint64_t) 8 << 20)

void
hold_content(recipe_search *search)
{
	const uint64_t bytes = search->subject->bytes;
	uint8_t    *held;

	if (search->held != NULL || bytes > HELD_MOST)
		return;
	held = workspace_allocate(search->work, bytes);
	read_content(search, 0, bytes, held);
	search->held = held;
}

void
read_content(const recipe_search *search, uint64_t first, uint64_t bytes, void *target)
{
	if (search->held != NULL)
		memcpy(target, search->held + first, bytes);
	else
		workspace_check(search->work, search->subject->read(search->subject->state, first, bytes, target));
}

void
read_kin(const recipe_search *search, const sparse_kin *kin, uint64_t first, uint64_t bytes, void *target)
{
	workspace_check(search->work, search->source->read(search->source->state, kin->object, first, bytes, target, false));
}

void
sample_content(const recipe_search *search, uint64_t first, uint64_t count, float *x)
{
	const unsigned unit = sparse_dtype_get(search->subject->dtype)->bytes;
	uint8_t    *bytes;

	if (search->held != NULL)
	{
		load_floats(search->subject->dtype, search->held + first * unit, count, x);
		return;
	}
	bytes = workspace_allocate(search->work, count * unit);
	read_content(search, first * unit, count * unit, bytes);
	load_floats(search->subject->dtype, bytes, count, x);
	workspace_release(search->work, bytes);
}

void
sample_kin(const recipe_search *search, const sparse_kin *kin, uint64_t first, uint64_t count, float *x)
{
	const unsigned unit = sparse_dtype_get(kin->dtype)->bytes;
	uint8_t    *bytes = workspace_allocate(search->work, count * unit);

	read_kin(search, kin, first * unit, count * unit, bytes);
	load_floats(kin->dtype, bytes, count, x);
	workspace_release(search->work, bytes);
}

bool
recipes_find(const recipe_search *search, int parent, char *const *name, int names, sparse_kin *found)
{
	return search->source->find(search->source->state, parent, name, names, found);
}

bool
kin_is_float(const sparse_kin *kin)
{
	return sparse_dtype_get(kin->dtype)->exponent_bits > 0;
}

bool
sparse_kin_shape(sparse_kin *kin, const uint64_t *shape, uint32_t rank)
{
	if (rank > SPARSE_KIN_RANK || !convert_loads(kin->dtype))
		return false;
	kin->rank = (int) rank;
	kin->elements = 1;
	for (uint32_t i = 0; i < rank; i++)
	{
		kin->shape[i] = shape[i];
		kin->elements *= shape[i];
	}
	return true;
}

char *
without_suffix(const recipe_search *search, const char *name, const char *suffix)
{
	size_t		length = strlen(name);
	size_t		tail = strlen(suffix);

	if (length <= tail || strcmp(name + length - tail, suffix) != 0)
		return NULL;
	return workspace_beginning(search->work, name, length - tail);
}

/* The tensors of its name in the parents, or else what they have under others. */
static void
find_kin(recipe_search *search)
{
	char	   *name[MAX_NAMES];
	int			names = recipes_names(search, search->subject->name, name, LENGTH(name));

	for (int i = 0; i < search->source->parents && search->kin < MAX_KIN; i++)
	{
		sparse_kin *kin = &search->of_name[search->kin];
		bool		found = recipes_find(search, i, name, names, kin);

		search->kin += found;
		if (search->effort > 1 && i < MAX_KIN && search->index != NULL && (!found || !kin_is_alike(search, kin)))
			search_renamed(search, i);
	}
}

/* The tensors of its name in versions near the parents. */
static void
find_near(recipe_search *search)
{
	char	   *name[MAX_NAMES];
	int			names = recipes_names(search, search->subject->name, name, LENGTH(name));

	for (int i = 0; i < search->source->neighbours && search->near < MAX_KIN; i++)
		search->near += recipes_find(search, search->source->parents + i, name, names, &search->near_by[search->near]);
}

/* The same weights in another dtype. */
static void
search_cast(recipe_search *search)
{
	for (int i = 0; i < search->kin; i++)
	{
		const sparse_kin *kin = &search->of_name[i];

		if (search->is_float && kin->elements == search->elements && kin->dtype != search->subject->dtype
			&& kin_is_float(kin))
			recipe_add_elements(recipes_add(search, SPARSE_PREDICT_CAST), kin);
	}
}

static void
search_all(void *argument)
{
	recipe_search *search = argument;

	find_kin(search);
	search_cast(search);
	if (search->effort < 2)
		return;
	find_near(search);
	search_permuted(search);
	search_blend(search);
	search_pruned(search);
	search_adapter(search);
	search_scaled(search);
	search_lowrank(search);
}

sparse_status
recipes_propose(const sparse_environment *environment, const sparse_source *source, const sparse_subject *subject,
				sparse_codec *codec, kin_index *index, sparse_proposals *proposals)
{
	const sparse_dtype_info *dtype = sparse_dtype_get(subject->dtype);
	workspace	work;
	recipe_search search = {
		.work = &work, .source = source, .subject = subject, .codec = codec, .index = index, .out = proposals,
		.self = {.dtype = subject->dtype, .parent = -1}
	};
	sparse_status status;

	if (subject->name == NULL || subject->bytes == 0 || source->parents == 0
		|| !sparse_kin_shape(&search.self, subject->shape, subject->rank))
		return SPARSE_OK;
	search.elements = search.self.elements;
	search.columns = subject->row_bytes > 0 ? subject->row_bytes / dtype->bytes : search.elements;
	search.is_float = dtype->exponent_bits > 0;
	search.effort = environment->effort > 0 ? environment->effort : 2;
	workspace_init(&work, environment);
	status = workspace_run(&work, search_all, &search);
	workspace_end(&work);
	return status;
}
