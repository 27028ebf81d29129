/*
 * quota.h: checks of what the owner of an upload may have, while it is under way; inside store_enter and
 * SPI_connect.
 */
#ifndef SPARSE_WIRE_QUOTA_H
#define SPARSE_WIRE_QUOTA_H

#include "postgres.h"

/* Refuses the open upload `version`, whose files are declared, where its owner would have more than his quota allows. */
extern void quota_check_upload(int64 version);

/* The same for chunks that come for it: to be asked before each. */
extern void quota_check_chunk(int64 version, uint64 bytes);

#endif
