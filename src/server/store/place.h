/*
 * place.h: where chunks lie, and statements about those of one place (place.c).
 *
 * Every statement on chunks names the table of their place, sparse.chunk_<place>, and not the partitioned
 * parent: so it touches no other place, which may be on a server that is down, and it may be
 * planned as what that table is, here or on another server.
 */
#ifndef SPARSE_STORE_PLACE_H
#define SPARSE_STORE_PLACE_H

#include "store/query.h"

#define PLACE_HERE 0			/* the first: in the database of the store */

/* Its chunks lie on another server, which commits before this one does. */
extern bool place_is_far(int16 place);

/* That of new families: by weight, and one that answers. Within SPI_connect. */
extern int16 place_of_new_family(void);

/* All places, in order, in the current memory context; within SPI_connect. */
extern int	place_list(int16 **place);

/* "here", or as it was named when it was added. */
extern const char *place_name(int16 place);

/*
 * As query_run, with "%s" in the query's text for the table of the place. An error there
 * names the place. The query is a static.
 */
extern uint64 query_run_at(StoreQuery *query, int16 place, Datum *value, const char *null, bool read_only,
						   SPITupleTable **rows);

extern void query_forget_at(StoreQuery *query, int16 place);

/*
 * Removes the chunks that an object has in a place. On another server they would be gone before anybody knows whether this
 * transaction commits, and before older snapshots end: there they are noted in sparse.forgotten, and sparse_collect() removes them.
 */
extern void chunks_remove(int64 object, int16 place);

/* Whether an error says that a server is out of reach. */
extern bool place_is_down(const ErrorData *error);

#endif
