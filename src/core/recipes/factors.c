/*
 * factors.c: a source whose factors stay in memory (see factors.h).
 */
#include "factors.h"

#include <string.h>

const sparse_factor *
sparse_factors_get(const sparse_factors *factors, int64_t object)
{
	const sparse_factor *factor = factors->first;

	if (object >= 0)
		return NULL;
	for (int64_t number = -factors->count; factor != NULL && number != object; number++)
		factor = factor->next;
	return factor;
}

void
sparse_factors_forget(sparse_factors *factors)
{
	while (factors->first != NULL)
	{
		sparse_factor *factor = factors->first;

		factors->first = factor->next;
		factors->allocator->release(factors->allocator->state, factor);
	}
	factors->count = 0;
}

static bool
find(void *state, int parent, char *const *name, int names, sparse_kin *found)
{
	const sparse_source *below = ((sparse_factors *) state)->below;

	return below->find(below->state, parent, name, names, found);
}

static bool
sibling(void *state, const char *name, sparse_kin *found)
{
	const sparse_source *below = ((sparse_factors *) state)->below;

	return below->sibling(below->state, name, found);
}

static void
list(void *state, int parent, uint64_t most, void (*take) (void *taker, const sparse_kin *kin), void *taker)
{
	const sparse_source *below = ((sparse_factors *) state)->below;

	below->list(below->state, parent, most, take, taker);
}

static bool
inspect(void *state, int64_t object, int most, sparse_kin_info *info)
{
	const sparse_factors *factors = state;
	const sparse_factor *factor = sparse_factors_get(factors, object);

	if (factor == NULL)
		return factors->below->inspect(factors->below->state, object, most, info);
	*info = (sparse_kin_info) {.dtype = factor->dtype, .bytes = factor->bytes, .decodes = 1};
	return true;
}

static sparse_status
read(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep)
{
	const sparse_factors *factors = state;
	const sparse_factor *factor = sparse_factors_get(factors, object);

	if (factor == NULL)
		return factors->below->read(factors->below->state, object, first, bytes, target, keep);
	memcpy(target, factor->content + first, (size_t) bytes);
	return SPARSE_OK;
}

static sparse_status
store(void *state, const void *content, sparse_dtype dtype, uint64_t count, int64_t *object)
{
	sparse_factors *factors = state;
	const sparse_allocator *allocator = factors->allocator;
	const uint64_t bytes = count * sparse_dtype_get(dtype)->bytes;
	sparse_factor *factor = allocator->allocate(allocator->state, sizeof(sparse_factor) + (size_t) bytes);

	if (factor == NULL)
		return SPARSE_NO_MEMORY;
	factor->content = (uint8_t *) (factor + 1);
	factor->dtype = dtype;
	factor->bytes = bytes;
	factor->next = factors->first;
	memcpy(factor->content, content, (size_t) bytes);
	factors->first = factor;
	*object = -++factors->count;
	return SPARSE_OK;
}

void
sparse_factors_init(sparse_factors *factors, const sparse_source *below, const sparse_allocator *allocator)
{
	*factors = (sparse_factors) {
		.below = below, .allocator = allocator != NULL ? allocator : &sparse_malloc,
		.source = {
			.state = factors, .parents = below->parents, .neighbours = below->neighbours, .find = find, .sibling = sibling, .list = list,
			.inspect = inspect, .read = read, .store = store
		}
	};
}
