/*
 * compat.h: the differences between PostgreSQL 15 and 19, in one place.
 *
 * The code is written for the newest server; what older ones lack is emulated
 * here. Nothing else in the project asks for PG_VERSION_NUM. Included after
 * postgres.h and before any other header of the project.
 */
#ifndef SPARSE_COMPAT_H
#define SPARSE_COMPAT_H

#include "common/base64.h"
#include "fmgr.h"
#include "nodes/nodes.h"
#include "parser/parse_type.h"
#include "storage/buffile.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/rangetypes.h"
#include "utils/tuplesort.h"

#if PG_VERSION_NUM < 150000
#error "sparse needs PostgreSQL 15 or later; PG_CONFIG=/path/to/pg_config names another server"
#endif

/* 16 moved VARDATA and its kin out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 lets functions return an error to their caller instead of raising it. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define ereturn(context, value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return value; \
	} while (0)
#define make_range(...) make_range_before_16(__VA_ARGS__)
#define make_range_before_16(cache, lower, upper, empty, context) (make_range) (cache, lower, upper, empty)
#endif

/* Whether the type is there; its words must be a type's all the same. */
static inline bool
find_type_string(const char *name, Oid *type, int32 *typmod)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext problem = {.type = T_ErrorSaveContext};

	return parseTypeString(name, type, typmod, (Node *) &problem);
#else
	parseTypeString(name, type, typmod, true);
	return OidIsValid(*type);
#endif
}

/* 16 lets a membership be one that does not let "set role"; before, each does. */
#if PG_VERSION_NUM < 160000
#define member_can_set_role(member, role) is_member_of_role(member, role)
#endif

/* 16 asks whether the datum is copied; before, it always is. */
#if PG_VERSION_NUM < 160000
#define tuplesort_getdatum(state, forward, copy, value, null, abbreviated) \
	(StaticAssertExpr(copy, "a datum is always copied before 16"), \
	 (tuplesort_getdatum) (state, forward, value, null, abbreviated))
#endif

/* 16 reads all or fails. */
#if PG_VERSION_NUM < 160000
static inline void
BufFileReadExact(BufFile *file, void *target, size_t bytes)
{
	if (BufFileRead(file, target, bytes) != bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from a temporary file")));
}
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

/* 18 lets a module say its name and version. */
#if PG_VERSION_NUM < 180000
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

/* 19 keeps what is built of a document beside where building stands. */
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result;
	JsonbParseState *parseState;
} JsonbInState;

#define pushJsonbValue(state, token, value) \
	((void) ((state)->result = (pushJsonbValue) (&(state)->parseState, token, value)))
#endif

/* 19 has no such encoding any more: none equals it. */
#if PG_VERSION_NUM >= 190000
#define PG_MULE_INTERNAL (-2)
#endif

#endif
