/*
 * walk.c: versions reached by a walk (see walk.h).
 */
#include "walk.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/memutils.h"

#include "model/answer.h"

void
walk_begin(Walk *walk, int64 start, int most)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(int64), .hcxt = CurrentMemoryContext};

	memset(walk, 0, sizeof(*walk));
	walk->seen = hash_create("sparse versions reached", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	walk->most = most;
	walk->room = Min(most, 256);
	walk->id = palloc(walk->room * sizeof(Datum));
	walk_reach(walk, start);
}

static void
make_room(Walk *walk)
{
	if (walk->count < walk->room)
		return;
	walk->room = walk->room > walk->most / 2 ? walk->most : walk->room * 2;
	walk->id = repalloc_huge(walk->id, (Size) walk->room * sizeof(Datum));
}

void
walk_reach(Walk *walk, int64 id)
{
	bool		found;

	hash_search(walk->seen, &id, HASH_FIND, &found);
	if (found)
		return;
	if (walk->count == walk->most)
	{
		walk->cut = true;
		return;
	}
	make_room(walk);
	hash_search(walk->seen, &id, HASH_ENTER, NULL);
	walk->id[walk->count++] = Int64GetDatum(id);
}

Datum
walk_level(const Walk *walk, int first)
{
	return array_datum(INT8OID, walk->id + first, walk->count - first);
}
