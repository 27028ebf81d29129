/*
 * test_recipes.c: what the recipes propose, and the judge takes, of tensors in memory; that nothing is lost or leaked
 * when memory runs out or somebody interrupts; and that estimates add up to what coding takes.
 */
#include "../../src/core/recipes/estimate.h"
#include "../../src/core/recipes/factors.h"
#include "../../src/core/recipes/prediction.h"
#include "../../src/core/recipes/recipes.h"
#include "../../src/core/codec/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* ---- tensors in memory ---- */

#define ROWS 512
#define COLUMNS 256
#define ELEMENTS (ROWS * COLUMNS)

static uint64_t random_state = 88172645463325252u;

static float
noise(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (float) (random_state >> 40) / 8388608.0f - 1.0f;
}

typedef struct tensor
{
	const char *name;
	int			parent;
	sparse_dtype dtype;
	uint32_t	rank;
	uint64_t	shape[2];
	uint8_t    *bytes;
} tensor;

#define MOST 16

typedef struct world
{
	int			parents;
	int			tensors;
	tensor		tensor[MOST];	/* their numbers are subscripts and 1 */
	sparse_source source;
} world;

static uint64_t
elements_of(const tensor *t)
{
	return t->shape[0] * (t->rank > 1 ? t->shape[1] : 1);
}

static uint64_t
bytes_of(const tensor *t)
{
	return elements_of(t) * sparse_dtype_get(t->dtype)->bytes;
}

static bool
as_kin(const world *w, int i, sparse_kin *kin)
{
	const tensor *t = &w->tensor[i];

	*kin = (sparse_kin) {.object = i + 1, .dtype = t->dtype, .parent = t->parent};
	return sparse_kin_shape(kin, t->shape, t->rank);
}

static bool
find(void *state, int parent, char *const *name, int names, sparse_kin *found)
{
	const world *w = state;

	for (int n = 0; n < names; n++)
		for (int i = 0; i < w->tensors; i++)
			if (w->tensor[i].parent == parent && strcmp(w->tensor[i].name, name[n]) == 0)
				return as_kin(w, i, found);
	return false;
}

static bool
sibling(void *state, const char *name, sparse_kin *found)
{
	return find(state, -1, (char *const[]) {(char *) name}, 1, found);
}

static void
list(void *state, int parent, uint64_t most, void (*take) (void *taker, const sparse_kin *kin), void *taker)
{
	const world *w = state;
	sparse_kin	kin;

	for (int i = 0; i < w->tensors && most > 0; i++)
		if (w->tensor[i].parent == parent && as_kin(w, i, &kin))
		{
			take(taker, &kin);
			most--;
		}
}

static bool
inspect(void *state, int64_t object, int most, sparse_kin_info *info)
{
	const tensor *t = &((const world *) state)->tensor[object - 1];

	(void) most;
	*info = (sparse_kin_info) {.dtype = t->dtype, .bytes = bytes_of(t), .decodes = 1};
	return true;
}

static sparse_status
read_tensor(void *state, int64_t object, uint64_t first, uint64_t bytes, void *target, bool keep)
{
	const tensor *t = &((const world *) state)->tensor[object - 1];

	(void) keep;
	if (first > bytes_of(t) || bytes > bytes_of(t) - first)
		return SPARSE_BAD_ARGUMENT;
	memcpy(target, t->bytes + first, bytes);
	return SPARSE_OK;
}

static void
world_init(world *w, int parents)
{
	*w = (world) {.parents = parents};
	w->source = (sparse_source) {
		.state = w, .parents = parents, .find = find, .sibling = sibling, .list = list, .inspect = inspect, .read = read_tensor
	};
}

static int
add(world *w, const char *name, int parent, sparse_dtype dtype, uint64_t rows, uint64_t columns, const float *x)
{
	tensor	   *t = &w->tensor[w->tensors++];

	*t = (tensor) {name, parent, dtype, 2, {rows, columns}, NULL};
	t->bytes = malloc(bytes_of(t));
	if (sparse_dtype_get(dtype)->exponent_bits > 0)
		store_floats(dtype, x, elements_of(t), t->bytes);
	else
		for (uint64_t i = 0; i < elements_of(t); i++)
			t->bytes[i] = (uint8_t) (int8_t) x[i];
	return w->tensors - 1;
}

/* Takes the last ones away again. */
static void
drop(world *w, int count)
{
	for (int i = 0; i < count; i++)
		free(w->tensor[--w->tensors].bytes);
}

/* ---- choosing ---- */

typedef struct subject_state
{
	const tensor *tensor;
} subject_state;

static sparse_status
read_subject(void *state, uint64_t first, uint64_t bytes, void *target)
{
	const tensor *t = ((const subject_state *) state)->tensor;

	if (first > bytes_of(t) || bytes > bytes_of(t) - first)
		return SPARSE_BAD_ARGUMENT;
	memcpy(target, t->bytes + first, bytes);
	return SPARSE_OK;
}

static sparse_subject
subject_of(const tensor *t, subject_state *state)
{
	uint64_t	row = t->shape[1] * sparse_dtype_get(t->dtype)->bytes;

	state->tensor = t;
	return (sparse_subject) {
		.name = t->name, .dtype = t->dtype, .rank = t->rank, .shape = t->shape, .bytes = bytes_of(t), .row_bytes = row,
		.chunk_bytes = row * 128, .read = read_subject, .state = state
	};
}

static void
add_candidates(const world *w, const tensor *t, sparse_proposals *proposals)
{
	for (int i = 0; i < w->tensors; i++)
		if (w->tensor[i].parent >= 0 && w->tensor[i].dtype == t->dtype && strcmp(w->tensor[i].name, t->name) == 0)
			proposals->candidate[proposals->candidates++] = i + 1;
}

/* How a tensor is predicted, and what all its chunks take, which are decoded again. */
typedef struct verdict
{
	sparse_status status;
	sparse_predictor predictor;
	uint64_t	bytes;
	bool		exact;
} verdict;

static bool
gives_back(sparse_codec *codec, const uint8_t *delta, size_t delta_bytes, const void *predicted, const uint8_t *content, uint64_t bytes)
{
	uint8_t    *decoded = malloc(bytes);
	sparse_delta_info info;
	bool		good = sparse_delta_read(delta, delta_bytes, delta_bytes, &info) == SPARSE_OK &&
		sparse_delta_apply(codec, delta, delta_bytes, predicted, info.prediction_bytes, decoded, bytes) == SPARSE_OK &&
		memcmp(decoded, content, bytes) == 0;

	free(decoded);
	return good;
}

static verdict
judge(world *w, int number, const sparse_environment *environment, bool renamed)
{
	const tensor *t = &w->tensor[number];
	sparse_codec *codec = sparse_codec_create(NULL);
	sparse_codec *verifier = sparse_codec_create(NULL);
	sparse_proposals *proposals = calloc(1, sizeof *proposals);
	kin_index  *index = renamed ? kin_index_create(NULL, w->parents) : NULL;
	sparse_factors factors;
	subject_state state;
	sparse_subject subject = subject_of(t, &state);
	sparse_coder coder = {environment, &factors.source, &subject, codec};
	sparse_prediction best;
	verdict		v = {.exact = true, .predictor = SPARSE_PREDICT_NONE};

	sparse_factors_init(&factors, &w->source, NULL);
	add_candidates(w, t, proposals);
	v.status = recipes_propose(environment, &factors.source, &subject, codec, index, proposals);
	if (v.status == SPARSE_OK)
		v.status = prediction_choose(&coder, proposals, &best);
	if (v.status == SPARSE_OK)
	{
		uint8_t    *predicted = malloc(prediction_most_bytes(&best, &subject) + 1);

		v.predictor = best.recipe != NULL ? best.recipe->predictor : best.object != 0 ? SPARSE_PREDICT_PARENT : SPARSE_PREDICT_NONE;
		for (uint64_t first = 0; first < subject.bytes; first += subject.chunk_bytes)
		{
			uint64_t	bytes = SPARSE_MIN(subject.chunk_bytes, subject.bytes - first);
			const uint8_t *delta;
			size_t		delta_bytes;

			v.exact = v.exact && prediction_encode(&coder, &best, first, bytes, t->bytes + first, predicted, &delta, &delta_bytes) == SPARSE_OK
				&& gives_back(verifier, delta, delta_bytes, predicted, t->bytes + first, bytes);
			v.bytes += delta_bytes;
		}
		free(predicted);
	}
	sparse_factors_forget(&factors);
	kin_index_free(index);
	free(proposals);
	sparse_codec_free(codec);
	sparse_codec_free(verifier);
	return v;
}

static void
expect(world *w, int number, sparse_predictor predictor, double most, const char *sentence)
{
	const sparse_environment environment = {0};
	verdict		v = judge(w, number, &environment, true);
	bool		good = v.status == SPARSE_OK && v.exact && v.predictor == predictor &&
		(double) v.bytes <= most * (double) bytes_of(&w->tensor[number]);

	ok(good, sentence);
	if (!good)
		printf("# status %d, exact %d, %s, %llu bytes\n", v.status, v.exact, sparse_predictor_name(v.predictor), (unsigned long long) v.bytes);
}

/* ---- children ---- */

static float base[ELEMENTS], other[ELEMENTS], child[ELEMENTS], left[ROWS * 4], right[4 * COLUMNS], scale[ROWS];

/* As a bf16 file has them. */
static void
round_to(sparse_dtype dtype, float *x, size_t count)
{
	uint8_t    *bytes = malloc(count * 4);

	store_floats(dtype, x, count, bytes);
	load_floats(dtype, bytes, count, x);
	free(bytes);
}

static void
make(void)
{
	for (int i = 0; i < ELEMENTS; i++)
		base[i] = noise() * .1f;
	round_to(SPARSE_BF16, base, ELEMENTS);
	for (int i = 0; i < ELEMENTS; i++)
		other[i] = base[i] + noise() * .01f;
	round_to(SPARSE_BF16, other, ELEMENTS);
	for (int i = 0; i < ROWS * 4; i++)
		left[i] = noise() * .3f;
	for (int i = 0; i < 4 * COLUMNS; i++)
		right[i] = noise() * .3f;
	round_to(SPARSE_BF16, left, ROWS * 4);
	round_to(SPARSE_BF16, right, 4 * COLUMNS);
}

static void
merge_adapter(void)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLUMNS; j++)
		{
			float		sum = 0;

			for (int k = 0; k < 4; k++)
				sum += left[i * 4 + k] * right[k * COLUMNS + j];
			child[i * COLUMNS + j] = base[i * COLUMNS + j] + .5f * sum;
		}
}

static void
test_children(void)
{
	world		w;

	world_init(&w, 2);
	add(&w, "l.weight", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = base[i] + (i % 7 == 0 ? noise() * .002f : 0);
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_PARENT, .3, "a fine-tune is predicted from its parent");
	drop(&w, 1);
	expect(&w, add(&w, "l.weight", -1, SPARSE_F32, ROWS, COLUMNS, base), SPARSE_PREDICT_CAST, .01, "another dtype is a cast");
	drop(&w, 1);
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = fabsf(base[i]) < .05f ? 0 : base[i];
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_PRUNED, .01, "small elements gone are pruned");
	drop(&w, 1);
	merge_adapter();
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_LOW_RANK, .2, "a low rank is found without the adapter");
	drop(&w, 1);
	add(&w, "l.lora_A.weight", 1, SPARSE_BF16, 4, COLUMNS, right);
	add(&w, "l.lora_B.weight", 1, SPARSE_BF16, ROWS, 4, left);
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_LOW_RANK, .05, "the adapter that was merged says more");
	drop(&w, 3);
	add(&w, "l.weight", 1, SPARSE_BF16, ROWS, COLUMNS, other);
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = .25f * base[i] + .75f * other[i];
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_BLEND, .01, "a weighted sum of two parents is a blend");
	drop(&w, 1);
	expect(&w, add(&w, "else.weight", -1, SPARSE_BF16, ROWS, COLUMNS, base), SPARSE_PREDICT_PARENT, .01, "a tensor under another name is found by its content");
	drop(&w, 1);
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = noise() * .1f;
	expect(&w, add(&w, "new.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_NONE, 1, "what is like nothing is predicted from nothing");
	drop(&w, w.tensors);
}

/* Rows of heads, the halves of each side by side, and back. */
static void
permute_heads(const float *from, int head, int stride, float *to)
{
	for (int row = 0; row < ROWS; row++)
	{
		const int	within = row % head;
		const int	source = row - within + within % (head / stride) * stride + within / (head / stride);

		memcpy(to + row * COLUMNS, from + source * COLUMNS, COLUMNS * sizeof(float));
	}
}

static void
test_permuted(void)
{
	world		w;

	world_init(&w, 1);
	add(&w, "model.layers.0.self_attn.q_proj.weight", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	permute_heads(base, 8, 4, child);
	expect(&w, add(&w, "blk.0.attn_q.weight", -1, SPARSE_F32, ROWS, COLUMNS, child), SPARSE_PREDICT_PERMUTED, .01,
		   "rows of heads in the order of another implementation are a permutation, under its name and in its dtype");
	drop(&w, 2);
	add(&w, "blk.0.attn_q.weight", 0, SPARSE_F32, ROWS, COLUMNS, child);
	expect(&w, add(&w, "model.layers.0.self_attn.q_proj.weight", -1, SPARSE_BF16, ROWS, COLUMNS, base), SPARSE_PREDICT_PERMUTED, .02, "... and back");
	drop(&w, 2);
	add(&w, "l.weight", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	permute_heads(base, ROWS, ROWS / 2, child);
	for (int i = 0; i < ELEMENTS; i++)
		child[i] += i % 7 == 0 ? noise() * .002f : 0;
	expect(&w, add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child), SPARSE_PREDICT_PERMUTED, .3, "a fine-tune of interleaved halves is predicted from them");
	drop(&w, w.tensors);
}

static void
test_quantised(void)
{
	const sparse_environment environment = {0};
	world		w;
	subject_state state;
	sparse_subject subject;
	bool		want;
	int			number;

	world_init(&w, 1);
	add(&w, "l.weight", 0, SPARSE_F32, ROWS, COLUMNS, base);
	for (int i = 0; i < ROWS; i++)
	{
		scale[i] = 0;
		for (int j = 0; j < COLUMNS; j++)
			scale[i] = fmaxf(scale[i], fabsf(base[i * COLUMNS + j]));
		scale[i] /= 127;
		for (int j = 0; j < COLUMNS; j++)
			child[i * COLUMNS + j] = rintf(base[i * COLUMNS + j] / scale[i]);
	}
	add(&w, "l.weight_scale", -1, SPARSE_F32, ROWS, 1, scale);
	number = add(&w, "l.weight", -1, SPARSE_I8, ROWS, COLUMNS, child);
	expect(&w, number - 1, SPARSE_PREDICT_MAXIMA, .3, "scales are the largest magnitudes of rows");
	expect(&w, number, SPARSE_PREDICT_QUANTISED, .02, "values are the parent's by the scales beside them");
	subject = subject_of(&w.tensor[number], &state);
	ok(recipes_want_siblings(&environment, &w.source, &subject, &want) == SPARSE_OK && want, "... which must come before them");
	subject = subject_of(&w.tensor[number - 1], &state);
	ok(recipes_want_siblings(&environment, &w.source, &subject, &want) == SPARSE_OK && !want, "... and wait for nothing");
	drop(&w, w.tensors);
}

/* ---- what goes wrong ---- */

static long held;
static long left_to_give;

static void *
give(void *state, size_t bytes)
{
	void	   *block = left_to_give-- > 0 ? malloc(bytes) : NULL;

	(void) state;
	held += block != NULL;
	return block;
}

static void
take_back(void *state, void *block)
{
	(void) state;
	held -= block != NULL;
	free(block);
}

static long until_interrupt;

static bool
interrupted(void *state)
{
	(void) state;
	return until_interrupt-- <= 0;
}

static void
test_failures(void)
{
	const sparse_allocator allocator = {give, take_back, NULL};
	sparse_environment environment = {.allocator = &allocator};
	bool		good = true;
	bool		ended = false;
	world		w;
	int			number;

	world_init(&w, 1);
	add(&w, "l.weight", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	merge_adapter();
	number = add(&w, "l.weight", -1, SPARSE_BF16, ROWS, COLUMNS, child);
	for (long most = 0; most < 400 && !ended; most += 1 + most / 8)
	{
		verdict		v;

		left_to_give = most;
		v = judge(&w, number, &environment, true);
		good = good && held == 0 && (v.status == SPARSE_OK || v.status == SPARSE_NO_MEMORY);
		ended = v.status == SPARSE_OK;
	}
	ok(good, "wherever memory runs out, that is said, and all is given back");
	left_to_give = 1000000;
	environment.interrupted = interrupted;
	good = true;
	ended = false;
	for (long most = 0; most < 2000 && !ended; most += 1 + most / 4)
	{
		verdict		v;

		until_interrupt = most;
		v = judge(&w, number, &environment, true);
		good = good && held == 0 && (v.status == SPARSE_OK || v.status == SPARSE_INTERRUPTED);
		ended = v.status == SPARSE_OK;
	}
	ok(good && ended, "wherever it is interrupted, that is said, and all is given back");
	drop(&w, w.tensors);
}

/* ---- estimates ---- */

typedef struct estimated_world
{
	world	   *world;
	const int  *number;
	subject_state state;
} estimated_world;

static void
turn_to(void *state, uint64_t part, sparse_subject *subject, sparse_proposals *proposals)
{
	estimated_world *e = state;
	const tensor *t = &e->world->tensor[e->number[part]];

	*subject = subject_of(t, &e->state);
	add_candidates(e->world, t, proposals);
}

static void
test_estimate(void)
{
	const sparse_environment environment = {0};
	sparse_codec *codec = sparse_codec_create(NULL);
	world		w;
	int			number[2];
	estimated_world e = {.world = &w, .number = number};
	sparse_estimate_shell shell = {&environment, &w.source, codec, NULL, turn_to, &e};
	sparse_estimate_part part[2];
	sparse_estimated found;
	uint64_t	really = 0;

	world_init(&w, 1);
	add(&w, "l.0.weight", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	add(&w, "l.1.weight", 0, SPARSE_BF16, ROWS, COLUMNS, other);
	number[0] = add(&w, "l.0.weight", -1, SPARSE_BF16, ROWS, COLUMNS, other);
	number[1] = add(&w, "l.1.weight", -1, SPARSE_BF16, ROWS, COLUMNS, base);
	for (int i = 0; i < 2; i++)
	{
		part[i] = (sparse_estimate_part) {w.tensor[number[i]].name, bytes_of(&w.tensor[number[i]]), false};
		really += judge(&w, number[i], &environment, false).bytes;
	}
	ok(sparse_estimate(&shell, part, 2, (uint64_t) 16 << 20, &found) == SPARSE_OK && found.bytes == (double) really &&
	   found.coded == 2 * part[0].bytes, "what is no larger than the sample is estimated to the byte");
	part[1].known = true;
	ok(sparse_estimate(&shell, part, 2, 1, &found) == SPARSE_OK && found.coded <= part[0].bytes && found.bytes > 0,
	   "what is known is left out, and of every kind one chunk is coded at least");
	ok(sparse_estimate(&shell, part, 0, 1, &found) == SPARSE_OK && found.bytes == 0, "nothing takes nothing");
	drop(&w, w.tensors);
	sparse_codec_free(codec);
}

/* Checkpoints of one run: the child goes on from the parent in the direction that the parent came from; its origin is near, or a parent. */
static void
test_directions(void)
{
	world		w;
	int			number;

	world_init(&w, 1);
	w.source.neighbours = 1;
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = base[i] + .6f * (base[i] - other[i]) + noise() * .0005f;
	add(&w, "w", 0, SPARSE_BF16, ROWS, COLUMNS, base);
	add(&w, "w", 1, SPARSE_BF16, ROWS, COLUMNS, other);
	number = add(&w, "w", -1, SPARSE_BF16, ROWS, COLUMNS, child);
	expect(&w, number, SPARSE_PREDICT_SUM, .40, "a step on in the direction of the parent is found from a version near it");
	w.source.neighbours = 0;
	expect(&w, number, SPARSE_PREDICT_PARENT, 1, "... and is not where there is none");
	w.source.parents = w.parents = 2;
	expect(&w, number, SPARSE_PREDICT_BLEND, .40, "... is a blend where the origin is a parent too");
	drop(&w, 1);
	w.source.parents = w.parents = 1;
	w.source.neighbours = 1;
	for (int i = 0; i < ELEMENTS; i++)
		child[i] = base[i] + noise() * .0005f;
	number = add(&w, "w", -1, SPARSE_BF16, ROWS, COLUMNS, child);
	expect(&w, number, SPARSE_PREDICT_PARENT, 1, "a version near the parent that says nothing is left alone");
	drop(&w, 3);
}

int
main(void)
{
	make();
	test_directions();
	test_children();
	test_permuted();
	test_quantised();
	test_failures();
	test_estimate();
	printf("1..%d\n", tests);
	return failures > 0;
}
