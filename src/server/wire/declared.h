/*
 * declared.h: the arguments of sparse_write_deltas: deltas, and what they refer to.
 *
 * A parent is named by three numbers: element, file, tensor. From 1 on the element is one of `have`; 0 means the factors
 * that come with the call, `tensor` of them from number `file` on; -1 the version itself.
 */
#ifndef SPARSE_WIRE_DECLARED_H
#define SPARSE_WIRE_DECLARED_H

#include "postgres.h"
#include "compat.h"

#include "fmgr.h"

#include "have.h"

typedef struct WireParent
{
	int64		element;
	int64		file;
	int64		tensor;
} WireParent;

typedef struct WireDeltas
{
	int			count;
	int32	   *seq;			/* of each */
	struct varlena **delta;
	bool		declares;		/* what they refer to, namely: */
	int			parents;
	WireParent	parent[SPARSE_MAX_REFS];
	Have	   *have;
	int			factors;
	struct varlena **factor;
} WireDeltas;

extern void wire_deltas_of_arguments(FunctionCallInfo fcinfo, int seq, int delta, WireDeltas *deltas);

/* Resolves `have` as the caller, at this moment. */
extern void wire_parents_of_arguments(FunctionCallInfo fcinfo, int have, int parents, int factors, WireDeltas *deltas);

/* Of all deltas and factors. */
extern uint64 wire_deltas_bytes(const WireDeltas *deltas);

/*
 * Makes the parents those of a staged object of the version (staged_declare), and stores factors that are new. As the
 * store's owner, within SPI_connect; the reader must not be a read-only one.
 */
extern bool wire_declare(const WireDeltas *deltas, int64 version, ObjectReader *reader, StagedObject *staged);

#endif
