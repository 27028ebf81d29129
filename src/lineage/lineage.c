/*
 * lineage.c: what the lineage functions, which are SQL, need of C: the id of the
 * version that a bigint or a text names, dropped ones included.
 */
#include "postgres.h"
#include "compat.h"

#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_version_id);

Datum
lineage_version_id(PG_FUNCTION_ARGS)
{
	StoreVersion version;

	version_from_argument(fcinfo, 0, true, &version);
	PG_RETURN_INT64(version.id);
}
