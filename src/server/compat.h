/*
 * compat.h: the differences between PostgreSQL 13 and 18, in one place.
 *
 * The code is written for the newest server; what older ones lack is emulated
 * here. Nothing else in the project asks for PG_VERSION_NUM. Included after
 * postgres.h and before any other header of the project.
 */
#ifndef SPARSE_COMPAT_H
#define SPARSE_COMPAT_H

#include "common/base64.h"
#include "fmgr.h"
#include "utils/guc.h"

/* 16 moved VARDATA and its kin out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 lets input functions return an error to their caller instead of raising it. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define ereturn(context, value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return value; \
	} while (0)
#endif

/* 15 reserves a prefix of settings; before, unknown ones of ours could only be reported. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 18 names the attribute before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18 makes the binary side of base64 unsigned. */
#if PG_VERSION_NUM >= 180000
#define sparse_b64_bytes uint8
#else
#define sparse_b64_bytes char
#endif

#endif
