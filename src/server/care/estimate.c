/*
 * estimate.c: what the objects of a group would cost, from each other and alone.
 *
 * Of every member a few samples from the same places are read, once, and held in memory;
 * so the cost of an edge is that of encoding one member's samples against another's, scaled
 * to the whole. To do that for all pairs would take the square of the group: each
 * member is tried from those that stand beside it in the lineage, and from those whose
 * elements are nearest to its own in a sketch, some elements of the samples, by the bits that
 * their differences take. (Small groups are tried in full.)
 *
 * Samples know nothing of what coding a whole chunk saves. So estimates are scaled by what the
 * members' present deltas take against the estimates of the same; and those stand for
 * themselves: an edge that is there costs what it costs.
 */
#include "care/group.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "codec/delta.h"
#include "sdelta/glue.h"
#include "store/predict.h"
#include "store/reader.h"

#define SAMPLES 3
#define SAMPLE_MOST ((uint64) 64 * 1024)	/* bytes of one sample */
#define SAMPLE_LEAST ((uint64) 2 * 1024)
#define SKETCH_MOST 256			/* elements */
#define SKETCH_LEAST 16
#define SKETCH_COMPARISONS ((uint64) 1 << 30)	/* for all pairs of a group together */
#define NEAREST 8				/* members by the sketch that each is tried from */
#define ALL_PAIRS 20			/* members of a group in which all are */

/* Bytes of a delta that do not grow with its content. */
#define FIXED_BYTES (SPARSE_DELTA_HEADER + SPARSE_DELTA_REF)

typedef struct Estimator
{
	const KinGroup *group;
	sparse_dtype dtype;
	uint64		element_bytes;
	sparse_codec *codec;

	int			samples;
	uint64		sample_bytes;	/* of each */
	uint64		position[SAMPLES];
	char	   *sample;			/* of all members, one after the other */

	int			sketch_elements;
	int32	   *sketch;
} Estimator;

/* ---- samples ---- */

static uint64
least_bytes(const KinGroup *group)
{
	uint64		least = PG_UINT64_MAX;

	for (int i = 0; i < group->count; i++)
		least = Min(least, group->member[i].bytes);
	return least;
}

/* Samples of all members fit into maintenance_work_mem, unless they would say nothing. */
static void
plan_samples(Estimator *estimator)
{
	uint64		unit = estimator->element_bytes;
	uint64		least = least_bytes(estimator->group);
	uint64		room = (uint64) maintenance_work_mem * 1024 / SAMPLES / Max(estimator->group->count, 1);
	uint64		bytes = Max(Min(room, SAMPLE_MOST), SAMPLE_LEAST);

	estimator->samples = least > SAMPLES * bytes ? SAMPLES : 1;
	if (estimator->samples == 1)
		bytes = Min(bytes * SAMPLES, least);
	estimator->sample_bytes = bytes - bytes % unit;
	for (int i = 0; i < estimator->samples; i++)
	{
		uint64		first = estimator->samples == 1 ? 0 : (least - bytes) / (estimator->samples - 1) * i;

		estimator->position[i] = first - first % unit;
	}
}

static uint64
bytes_of_member(const Estimator *estimator)
{
	return estimator->samples * estimator->sample_bytes;
}

static char *
sample_of(const Estimator *estimator, int member)
{
	return estimator->sample + member * bytes_of_member(estimator);
}

static void
read_samples(Estimator *estimator)
{
	const KinGroup *group = estimator->group;
	ObjectReader *reader = object_reader_create(CurrentMemoryContext, true);

	estimator->sample = MemoryContextAllocHuge(CurrentMemoryContext,
											   Max(group->count * bytes_of_member(estimator), 1));
	for (int i = 0; i < group->count; i++)
		for (int s = 0; s < estimator->samples; s++)
			object_read_keep(reader, group->member[i].object,
							 estimator->position[s], estimator->sample_bytes,
							 sample_of(estimator, i) + s * estimator->sample_bytes, true);
	object_reader_free(reader);
}

/* ---- sketches ---- */

/* The integer that orders an element among those of its dtype, of large ones the upper half. */
static int32
ordered(const Estimator *estimator, const char *element)
{
	int			bytes = (int) estimator->element_bytes;
	int			bits = 8 * bytes;
	uint64		value = 0;

	for (int i = bytes - 1; i >= 0; i--)
		value = value << 8 | (uint8) element[i];
	if (sparse_dtype_get(estimator->dtype)->exponent_bits > 0 && (value >> (bits - 1) & 1) != 0)
		value = ~value & ((UINT64_C(1) << (bits - 1) << 1) - 1);
	else if (sparse_dtype_get(estimator->dtype)->exponent_bits > 0)
		value |= UINT64_C(1) << (bits - 1);
	/* one bit less, so that differences do not overflow */
	return (int32) (bits > 31 ? value >> (bits - 31) : value);
}

static void
plan_sketches(Estimator *estimator)
{
	uint64		pairs = Max((uint64) estimator->group->count * estimator->group->count / 2, 1);
	uint64		elements = bytes_of_member(estimator) / estimator->element_bytes;
	uint64		wanted = Max(Min(SKETCH_COMPARISONS / pairs, SKETCH_MOST), SKETCH_LEAST);

	estimator->sketch_elements = (int) Min(wanted, elements);
}

static void
draw_sketches(Estimator *estimator)
{
	uint64		elements = bytes_of_member(estimator) / estimator->element_bytes;
	int			count = estimator->sketch_elements;

	estimator->sketch = palloc_extended(Max((Size) estimator->group->count * count, 1) * sizeof(int32),
										MCXT_ALLOC_HUGE);
	for (int i = 0; i < estimator->group->count; i++)
		for (int e = 0; e < count; e++)
			estimator->sketch[(Size) i * count + e] =
				ordered(estimator, sample_of(estimator, i) + elements * e / count * estimator->element_bytes);
}

/* The bits that the differences of two sketches take. */
static int
distance(const Estimator *estimator, int a, int b)
{
	const int32 *left = estimator->sketch + (Size) a * estimator->sketch_elements;
	const int32 *right = estimator->sketch + (Size) b * estimator->sketch_elements;
	int			bits = 0;

	for (int e = 0; e < estimator->sketch_elements; e++)
	{
		uint32		difference = left[e] > right[e] ? left[e] - right[e] : right[e] - left[e];

		/* 0 for equal ones */
		bits += 32 - __builtin_clz(difference << 1 | 1) - 1;
	}
	return bits;
}

/* ---- who is tried ---- */

/* Pairs (from, to), which may come more than once until they are sorted. */
typedef struct Pairs
{
	int64		count;
	int64		room;
	TreeEdge   *edge;
} Pairs;

static void
add_pair(Pairs *pairs, int from, int to)
{
	if (from == to || from < 0)
		return;
	if (pairs->count == pairs->room)
	{
		pairs->room *= 2;
		pairs->edge = repalloc_huge(pairs->edge, pairs->room * sizeof(TreeEdge));
	}
	pairs->edge[pairs->count++] = (TreeEdge) {.from = from, .to = to};
}

typedef struct Neighbour
{
	int			member;
	int			distance;
} Neighbour;

/* Keeps the nearest in ascending order of distance. */
static void
consider_neighbour(Neighbour *nearest, int *count, int member, int how_far)
{
	int			at = *count;

	if (*count == NEAREST && nearest[NEAREST - 1].distance <= how_far)
		return;
	if (*count == NEAREST)
		at--;
	else
		(*count)++;
	for (; at > 0 && nearest[at - 1].distance > how_far; at--)
		nearest[at] = nearest[at - 1];
	nearest[at] = (Neighbour) {member, how_far};
}

static void
add_nearest(const Estimator *estimator, int to, Pairs *pairs)
{
	Neighbour	nearest[NEAREST];
	int			count = 0;

	CHECK_FOR_INTERRUPTS();
	for (int from = 0; from < estimator->group->count; from++)
		if (from != to)
			consider_neighbour(nearest, &count, from, distance(estimator, from, to));
	for (int i = 0; i < count; i++)
	{
		/* both ways: what is no neighbour of its neighbour may still be its best parent */
		add_pair(pairs, nearest[i].member, to);
		add_pair(pairs, to, nearest[i].member);
	}
}

static int
compare_pairs(const void *a, const void *b)
{
	const TreeEdge *left = a;
	const TreeEdge *right = b;

	if (left->to != right->to)
		return left->to < right->to ? -1 : 1;
	return (left->from > right->from) - (left->from < right->from);
}

static void
sort_out(Pairs *pairs)
{
	int64		kept = 0;

	qsort(pairs->edge, pairs->count, sizeof(TreeEdge), compare_pairs);
	for (int64 i = 0; i < pairs->count; i++)
		if (i == 0 || compare_pairs(&pairs->edge[i], &pairs->edge[i - 1]) != 0)
			pairs->edge[kept++] = pairs->edge[i];
	pairs->count = kept;
}

static void
find_pairs(const Estimator *estimator, Pairs *pairs)
{
	const KinGroup *group = estimator->group;

	pairs->count = 0;
	pairs->room = 64;
	pairs->edge = palloc(pairs->room * sizeof(TreeEdge));
	for (int64 i = 0; i < group->kinships; i++)
	{
		add_pair(pairs, group->kinship[i].parent, group->kinship[i].child);
		add_pair(pairs, group->kinship[i].child, group->kinship[i].parent);
	}
	for (int to = 0; to < group->count; to++)
	{
		add_pair(pairs, group->member[to].parent_member, to);
		if (group->count > ALL_PAIRS)
			add_nearest(estimator, to, pairs);
		else
			for (int from = 0; from < group->count; from++)
				add_pair(pairs, from, to);
	}
	sort_out(pairs);
}

/* ---- what it costs ---- */

/* The bytes that each byte of the samples takes in a delta against another's; from -1: alone. */
static double
rate(const Estimator *estimator, int from, int to)
{
	bool		alone = from < 0;
	sparse_ref	ref = {
		.dtype = estimator->dtype,
		.count = estimator->sample_bytes / estimator->element_bytes
	};
	double		total = 0;

	CHECK_FOR_INTERRUPTS();
	for (int s = 0; s < estimator->samples; s++)
	{
		uint64		at = s * estimator->sample_bytes;
		const uint8_t *delta;
		size_t		delta_bytes;
		sparse_status status = sparse_delta_encode(estimator->codec,
												   sample_of(estimator, to) + at, estimator->sample_bytes,
												   estimator->dtype, alone ? NULL : &ref, alone ? 0 : 1,
												   alone ? NULL : sample_of(estimator, from) + at,
												   alone ? 0 : estimator->sample_bytes,
												   &delta, &delta_bytes);

		if (status != SPARSE_OK)
			sparse_report(status, "encode a sample");
		total += delta_bytes - Min(delta_bytes, FIXED_BYTES);
	}
	return total / bytes_of_member(estimator);
}

static double
fixed_cost(const Member *member)
{
	return (double) FIXED_BYTES * (1 + member->bytes / ((uint64) sparse_chunk_size * 1024));
}

/* Where a parent has fewer rows, the rest of the child stands alone. */
static double
cost_from(const Estimator *estimator, const double *alone_rate, int from, int to)
{
	const Member *child = &estimator->group->member[to];
	uint64		shared = Min(estimator->group->member[from].bytes, child->bytes);

	return rate(estimator, from, to) * shared + alone_rate[to] * (child->bytes - shared) + fixed_cost(child);
}

/* ---- scaling by what is there ---- */

typedef struct Scale
{
	double		stored;
	double		estimated;
} Scale;

static double
factor(const Scale *scale)
{
	double		ratio = scale->estimated > 0 ? scale->stored / scale->estimated : 1;

	return Min(Max(ratio, 0.5), 2);
}

static bool
is_present(const KinGroup *group, const TreeEdge *edge)
{
	return group->member[edge->to].parent_member == edge->from;
}

static void
scale_edges(const KinGroup *group, TreeProblem *problem)
{
	Scale		scale = {0};
	double		by;

	for (int64 e = 0; e < problem->edges; e++)
		if (is_present(group, &problem->edge[e]))
		{
			scale.stored += group->member[problem->edge[e].to].stored_bytes;
			scale.estimated += problem->edge[e].cost;
		}
	by = factor(&scale);
	for (int64 e = 0; e < problem->edges; e++)
	{
		TreeEdge   *edge = &problem->edge[e];

		edge->cost = is_present(group, edge) ? (double) group->member[edge->to].stored_bytes : edge->cost * by;
	}
}

/* Whether what predicts a member from outside of the group does so well enough to be kept. */
static bool
serves_outside(const TreeProblem *problem, const Member *member, int node)
{
	return member->stored_bytes < problem->alone[node] && member->depth <= problem->max_depth;
}

/* A member that hangs on nothing is there for what it takes; on something outside of the group, likewise. */
static void
scale_alone(const KinGroup *group, TreeProblem *problem)
{
	Scale		scale = {0};
	double		by;

	for (int v = 0; v < group->count; v++)
		if (group->member[v].parent == 0)
		{
			scale.stored += group->member[v].stored_bytes;
			scale.estimated += problem->alone[v];
		}
	by = factor(&scale);
	for (int v = 0; v < group->count; v++)
	{
		const Member *member = &group->member[v];

		problem->alone[v] *= by;
		problem->bare[v] = member->parent == 0 ? (double) member->stored_bytes : problem->alone[v];
		if (member->fixed && member->parent_member >= 0)
			problem->alone[v] = TREE_NEVER;
		else if (member->parent_member < 0 && (member->fixed || member->parent == 0 || serves_outside(problem, member, v)))
		{
			problem->alone[v] = member->stored_bytes;
			problem->alone_depth[v] = member->depth;
		}
	}
}

/* ---- the problem ---- */

/* A member that stays as it is keeps the one edge that it has. */
static bool
is_allowed(const KinGroup *group, const TreeEdge *edge)
{
	return !group->member[edge->to].fixed || is_present(group, edge);
}

static void
pose(const Estimator *estimator, const Pairs *pairs, TreeProblem *problem)
{
	const KinGroup *group = estimator->group;
	double	   *alone_rate = palloc(Max(group->count, 1) * sizeof(double));

	problem->nodes = group->count;
	problem->alone = palloc(Max(group->count, 1) * sizeof(double));
	problem->alone_depth = palloc0(Max(group->count, 1) * sizeof(int));
	problem->bare = palloc(Max(group->count, 1) * sizeof(double));
	problem->edge = pairs->edge;
	problem->edges = 0;
	problem->first = palloc((group->count + 1) * sizeof(int64));
	for (int v = 0; v < group->count; v++)
	{
		alone_rate[v] = rate(estimator, -1, v);
		problem->alone[v] = alone_rate[v] * group->member[v].bytes + fixed_cost(&group->member[v]);
	}
	for (int64 p = 0, v = 0; v <= group->count; v++)
	{
		problem->first[v] = problem->edges;
		for (; p < pairs->count && pairs->edge[p].to == v; p++)
			if (is_allowed(group, &pairs->edge[p]))
			{
				TreeEdge	edge = pairs->edge[p];

				edge.cost = cost_from(estimator, alone_rate, edge.from, edge.to);
				problem->edge[problem->edges++] = edge;
			}
	}
}

/* Reading by bytes reads several chunks of each parent: such chains are shorter. */
static int
bound_of(sparse_dtype dtype, int max_depth)
{
	return dtype == SPARSE_BYTES ? Min(max_depth, MAX_DEPTH_BY_BYTES) : max_depth;
}

void
group_estimate(const KinGroup *group, int max_depth, TreeProblem *problem)
{
	Estimator	estimator = {.group = group};
	Pairs		pairs;

	memset(problem, 0, sizeof(*problem));
	if (group->count == 0)
		return;
	estimator.dtype = group->member[0].dtype;
	estimator.element_bytes = sparse_dtype_get(estimator.dtype)->bytes;
	estimator.codec = sparse_codec_in_context(CurrentMemoryContext);
	plan_samples(&estimator);
	read_samples(&estimator);
	plan_sketches(&estimator);
	draw_sketches(&estimator);
	find_pairs(&estimator, &pairs);
	problem->max_depth = bound_of(estimator.dtype, max_depth);
	pose(&estimator, &pairs, problem);
	scale_edges(group, problem);
	scale_alone(group, problem);
}
