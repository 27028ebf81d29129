/*
 * optimize.h: better predictions for what was uploaded (optimize.c).
 */
#ifndef SPARSE_CARE_OPTIMIZE_H
#define SPARSE_CARE_OPTIMIZE_H

#include "care/care.h"
#include "model/stored.h"

/* A RecodePropose, and its state: what an import would find for the object. */
typedef struct OptimizeProposal
{
	Import	   *import;
	const PlanObject *object;
} OptimizeProposal;

extern void optimize_propose(void *state, ObjectReader *reader, ObjectSpec *spec);

/* All versions of sparse.unoptimized, each told about in a notice; false when the time was up before. */
extern bool optimize_uploads(Care *care, int max_depth);

#endif
