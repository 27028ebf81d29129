/*
 * match.c: likeness by samples (see match.h).
 *
 * A window of 16 bytes moves over the content; where a hash of it has zeros in its
 * highest bits, that hash is a sample. The same bytes give the same samples wherever they
 * stand. An index leads from samples to the objects that have them; of the objects
 * those are taken, one after the other, that hold the most samples not yet held.
 * How many bits must be zero depends on how much there is to know, so that the index
 * stays small.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "match.h"

#define WINDOW 16
#define MOST_SAMPLES (128 * 1024)
#define OBJECTS_A_SAMPLE 6
#define FEWEST_SAMPLES 2

typedef struct Sample
{
	uint64		hash;
	int32		objects;
	int32		object[OBJECTS_A_SAMPLE];	/* numbers */
} Sample;

typedef struct Known
{
	int64		id;
	uint64		bytes;
} Known;

struct Matcher
{
	int			shift;			/* a hash below 2^shift is a sample */
	int			count;
	Known	   *known;
	HTAB	   *samples;
	int		   *score;			/* of each object, while one is looked for */
};

/* Calls for each sample of the content. */
typedef void (*Sampled) (Matcher *matcher, uint64 hash, void *state);

static inline uint64
window_hash(const char *at)
{
	uint64		a;
	uint64		b;

	memcpy(&a, at, 8);
	memcpy(&b, at + 8, 8);
	a = (a ^ (b >> 29)) * UINT64CONST(0x9E3779B97F4A7C15) + b * UINT64CONST(0xC2B2AE3D27D4EB4F);
	return (a ^ (a >> 31)) * UINT64CONST(0xD6E8FEB86659FD93);
}

static void
sample(Matcher *matcher, const char *content, size_t bytes, Sampled sampled, void *state)
{
	for (size_t i = 0; i + WINDOW <= bytes; i++)
	{
		uint64		hash = window_hash(content + i);

		if ((hash >> matcher->shift) == 0)
			sampled(matcher, hash, state);
	}
}

static void
learn(Matcher *matcher, uint64 hash, void *state)
{
	int32		number = *(int32 *) state;
	bool		found;
	Sample	   *sample;

	if (hash_get_num_entries(matcher->samples) >= 2 * MOST_SAMPLES)
		return;
	sample = hash_search(matcher->samples, &hash, HASH_ENTER, &found);
	if (!found)
		sample->objects = 0;
	if (sample->objects < OBJECTS_A_SAMPLE &&
		(sample->objects == 0 || sample->object[sample->objects - 1] != number))
		sample->object[sample->objects++] = number;
}

/* Adds an object, or if it is too deep its parents. */
static void
consider(Matcher *matcher, ObjectReader *reader, int64 object, int most_depth, int *room)
{
	ObjectInfo	info;
	int64		parent;

	check_stack_depth();
	if (!object_info(reader, object, &info) || info.bytes == 0 || info.bytes > SPARSE_MAX_PREDICTION / MATCH_MOST)
		return;
	if (info.depth >= most_depth)
	{
		for (int i = 0; object_parent(reader, object, i, &parent); i++)
			consider(matcher, reader, parent, most_depth, room);
		return;
	}
	for (int i = 0; i < matcher->count; i++)
		if (matcher->known[i].id == object)
			return;
	if (matcher->count == *room)
	{
		*room *= 2;
		matcher->known = repalloc_huge(matcher->known, *room * sizeof(Known));
	}
	matcher->known[matcher->count++] = (Known) {object, info.bytes};
}

static void
learn_object(Matcher *matcher, ObjectReader *reader, int32 number)
{
	char	   *content = palloc(matcher->known[number].bytes);

	object_read(reader, matcher->known[number].id, 0, matcher->known[number].bytes, content);
	sample(matcher, content, matcher->known[number].bytes, learn, &number);
	pfree(content);
}

Matcher *
matcher_create(ObjectReader *reader, const int64 *object, int count, int most_depth)
{
	/* (a query leaves SPI's context current) */
	MemoryContext context = CurrentMemoryContext;
	Matcher    *matcher = palloc0(sizeof(Matcher));
	HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(Sample), .hcxt = context};
	int			room = Max(count, 8);
	uint64		bytes = 0;

	matcher->known = palloc_extended(room * sizeof(Known), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		consider(matcher, reader, object[i], most_depth, &room);
	for (int i = 0; i < matcher->count; i++)
		bytes += matcher->known[i].bytes;
	matcher->shift = 64 - 5;
	while (bytes >> (64 - matcher->shift) > MOST_SAMPLES)
		matcher->shift--;
	matcher->samples = hash_create("sparse samples", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	matcher->score = MemoryContextAllocExtended(context, Max(matcher->count, 1) * sizeof(int), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int32 i = 0; i < matcher->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		learn_object(matcher, reader, i);
	}
	return matcher;
}

/* ---- finding ---- */

typedef struct Search
{
	int			count;
	int			room;
	Sample	  **sample;			/* known ones that the content has; NULL: held already */
} Search;

static void
recognise(Matcher *matcher, uint64 hash, void *state)
{
	Search	   *search = state;
	Sample	   *sample = hash_search(matcher->samples, &hash, HASH_FIND, NULL);

	if (sample == NULL)
		return;
	if (search->count == search->room)
	{
		search->room = Max(1024, 2 * search->room);
		search->sample = search->sample == NULL ? palloc(search->room * sizeof(Sample *)) :
			repalloc(search->sample, search->room * sizeof(Sample *));
	}
	search->sample[search->count++] = sample;
}

static bool
holds(const Sample *sample, int32 number)
{
	for (int i = 0; i < sample->objects; i++)
		if (sample->object[i] == number)
			return true;
	return false;
}

/* The object that holds the most samples not yet held; -1: none holds enough. */
static int32
best(Matcher *matcher, const Search *search)
{
	int32		winner = -1;

	for (int i = 0; i < search->count; i++)
		for (int j = 0; search->sample[i] != NULL && j < search->sample[i]->objects; j++)
		{
			int32		number = search->sample[i]->object[j];

			matcher->score[number]++;
			if (winner < 0 || matcher->score[number] > matcher->score[winner])
				winner = number;
		}
	if (winner >= 0 && matcher->score[winner] < Max(FEWEST_SAMPLES, search->count / 100))
		winner = -1;
	for (int i = 0; i < search->count; i++)
		for (int j = 0; search->sample[i] != NULL && j < search->sample[i]->objects; j++)
			matcher->score[search->sample[i]->object[j]] = 0;
	return winner;
}

static void
put_first(ReferenceSet *set, const Known *known)
{
	memmove(&set->ref[1], &set->ref[0], set->count * sizeof(set->ref[0]));
	set->ref[0].object = known->id;
	set->ref[0].first = 0;
	set->ref[0].bytes = known->bytes;
	set->count++;
}

void
matcher_find(Matcher *matcher, const char *content, size_t bytes, ReferenceSet *set)
{
	Search		search = {0};

	set->count = 0;
	if (matcher->count == 1)
		put_first(set, &matcher->known[0]);
	if (matcher->count <= 1)
		return;
	sample(matcher, content, bytes, recognise, &search);
	while (set->count < MATCH_MOST)
	{
		int32		winner = best(matcher, &search);

		if (winner < 0)
			break;
		put_first(set, &matcher->known[winner]);
		for (int i = 0; i < search.count; i++)
			if (search.sample[i] != NULL && holds(search.sample[i], winner))
				search.sample[i] = NULL;
	}
	if (search.sample != NULL)
		pfree(search.sample);
}
