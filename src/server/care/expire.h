/*
 * expire.h: the end of versions by rule (expire.c).
 */
#ifndef SPARSE_CARE_EXPIRE_H
#define SPARSE_CARE_EXPIRE_H

#include "postgres.h"

/* Drops what the rules of table sparse.expiry let go; the number of versions. As the caller. */
extern int64 expire_by_stored_rules(void);

#endif
