/*
 * have.h: what content a client says that it holds, and where in it an object lies.
 *
 * An element is a version, all of whose files the client has, or the SHA-256 of a file;
 * elements count from 1. Only what the caller can read is recognised.
 */
#ifndef SPARSE_WIRE_HAVE_H
#define SPARSE_WIRE_HAVE_H

#include "postgres.h"
#include "compat.h"

#include "fmgr.h"

#include "model/layout.h"
#include "store/store.h"

typedef struct Have Have;

/* Where something begins in what the client holds. */
typedef struct HavePlace
{
	int64		element;		/* from 1 */
	int64		file;			/* its number in the element */
	uint64		first;			/* byte of the file */
} HavePlace;

/*
 * From a text[] argument, which may be null, resolved as the caller. read_only: with the
 * snapshot of the query. In the current context.
 */
extern Have *have_of_argument(FunctionCallInfo fcinfo, int argument, bool read_only);

/* The same, of what is there at this moment: for functions that write. */
extern Have *have_of_argument_now(FunctionCallInfo fcinfo, int argument);

/* The versions that it refers to, in order of the elements; their number. */
extern int	have_versions(const Have *have, const int64 **version);

/* Whether the client holds the object, and where. As the store's owner, within SPI_connect. */
extern bool have_object(const Have *have, int64 object, HavePlace *where);

/*
 * The object of tensor number `tensor` (in the order of their bytes) of file number `file` of an element; false: there is
 * no such thing, or none that the client may know of. As the store's owner, within SPI_connect.
 */
extern bool have_tensor(const Have *have, int64 element, int64 file, int64 tensor, int64 *object);

/* The same of any version. */
extern bool version_tensor(int64 version, int64 file, int64 tensor, int64 *object);

/* Whether the client holds all files with tensors of all parents of a version. As the store's owner, within SPI_connect. */
extern bool have_parents(const Have *have, int64 version);

/*
 * What the client holds in place of a part of a version: the tensor of the same name, dtype and
 * dimensions but the first; of a file's own bytes, those of the file of the same path, or of the
 * only one of its format. False: nothing.
 */
extern bool have_kin(const Have *have, int64 version, const VersionFile *file, const FilePart *part,
					 int64 *object, HavePlace *where);

/* The column "refs": one range, `bytes` bytes from byte `first` of what begins there. */
extern Datum have_refs(const HavePlace *where, uint64 first, uint64 bytes);

#endif
