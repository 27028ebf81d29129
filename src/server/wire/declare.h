/*
 * declare.h: what a client says that it is about to upload.
 */
#ifndef SPARSE_WIRE_DECLARE_H
#define SPARSE_WIRE_DECLARE_H

#include "postgres.h"
#include "compat.h"

#include "utils/jsonb.h"

#include "model/hash.h"
#include "model/import.h"
#include "model/plan.h"

/*
 * A plan from the argument "files" of sparse_begin: what does not hold together is an
 * error. The source of each file with tensors is its literal; the SHA-256s of those are
 * computed, all others are what the client says.
 */
extern ImportPlan *declared_plan(Jsonb *files);

/* SHA-256 over who declares what as which version: name, content, parents, roles, metadata. */
extern void declaration_digest(const Import *import, uint8 digest[SPARSE_SHA256_BYTES]);

#endif
