/*
 * upload.h: versions that are being uploaded, and whose they are.
 *
 * An open version belongs to the user who began it, and the store's owner. To everybody
 * else it is what its row in sparse.version is: something that cannot be read yet.
 *
 * The order of locks is an import's: the name (where one is taken), the store, the upload,
 * objects in order of SHA-256. Writers of chunks share the upload; who commits it or
 * gives it up has it for himself.
 */
#ifndef SPARSE_WIRE_UPLOAD_H
#define SPARSE_WIRE_UPLOAD_H

#include "postgres.h"
#include "compat.h"

#include "fmgr.h"
#include "storage/lockdefs.h"

#include "model/layout.h"
#include "store/store.h"

typedef struct Upload
{
	StoreVersion version;
	bool		under_way;		/* it can be written to */
	const char *label;			/* what errors call it */
} Upload;

/*
 * The version that argument `arg` names, of the caller's own. `action` completes "permission
 * denied to %s version ...". A version that is not his, or not there, or dropped, is an
 * error; `readable`: one that is ready and that he can read will do.
 */
extern void upload_of_argument(FunctionCallInfo fcinfo, int arg, const char *action,
							   bool readable, Upload *upload);

#define UPLOAD_SHARED RowExclusiveLock
#define UPLOAD_EXCLUSIVE ExclusiveLock

/*
 * Locks it, after the store, until the end of the transaction, and looks again. False: it is
 * ready by now. What was given up is an error.
 */
extern bool upload_lock(Upload *upload, LOCKMODE mode);

/* A snapshot of this moment, also in a transaction that keeps one; to be popped. */
extern void upload_push_snapshot(void);

/* Removes an open version and all that belongs to it. As the store's owner, within SPI_connect. */
extern void upload_remove(int64 version);

#endif
