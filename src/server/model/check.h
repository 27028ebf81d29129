/*
 * check.h: what the verifications of models and of datasets share.
 *
 * A verification reads everything as any reader would, and says what is wrong, a row for each
 * problem, without ending at one. So whatever may fail is attempted; an object is read chunk
 * by chunk, each an attempt, and compared with the SHA-256 that is its identity.
 */
#ifndef SPARSE_MODEL_CHECK_H
#define SPARSE_MODEL_CHECK_H

#include "postgres.h"

#include "hash.h"
#include "store/store.h"

/*
 * Does it in a subtransaction, and takes back what an error leaves behind. What the error says, in
 * the current context; NULL: there was none. Memory that it allocates is gone afterwards. Errors that tell
 * nothing of the data (cancelled, no memory, no room, a conflict with others) are raised again.
 */
extern const char *check_attempt(void (*what) (void *argument), void *argument);

typedef struct ObjectCheck
{
	/* filled in by the caller */
	void	   *state;
	void		(*content) (void *state, const char *bytes, uint64 length);	/* a chunk that could be read */
	void		(*problem) (void *state, int chunk, const char *problem);	/* chunk -1: the whole of it */
	const char *version;		/* what errors name; any may be NULL */
	const char *file;
	const char *tensor;

	/* private */
	MemoryContext context;
	ObjectReader *reader;
	Sha256	   *sum;
	char	   *buffer;			/* grows to the largest chunk */
	uint64		buffer_bytes;
} ObjectCheck;

/* In the current context, in which readers live as well. */
extern ObjectCheck *object_check_create(void);
extern void object_check_free(ObjectCheck *check);

/* What to read single ranges with, in an attempt; another one after a problem. */
extern ObjectReader *object_check_reader(ObjectCheck *check);

/* How many bytes an object must have. */
#define CHECK_ANY_BYTES PG_UINT64_MAX

/*
 * Reads an object and reports what is wrong with it; true: all of it could be read, though it may
 * not be what was stored. As the store's owner, within SPI_connect.
 */
extern bool object_check(ObjectCheck *check, int64 object, uint64 bytes);

#endif
