/*
 * optimize.h: better predictions for what was uploaded (optimize.c).
 */
#ifndef SPARSE_CARE_OPTIMIZE_H
#define SPARSE_CARE_OPTIMIZE_H

#include "care/care.h"

/* All versions of sparse.unoptimized, each told about in a notice; false when the time was up before. */
extern bool optimize_uploads(Care *care, int max_depth);

#endif
