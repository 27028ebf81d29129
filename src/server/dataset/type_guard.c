/*
 * type_guard.c: types that columns of datasets need.
 *
 * A row cannot depend on a type, a function can: of each type that is not the server's own stands a function
 * sparse.column_type_<hash of its name>(that type), which does nothing. PostgreSQL refuses to drop a type that a function
 * takes, or drops the function alone with "cascade"; dumps and restores it; and follows the type where it is
 * renamed or moved, so that it is found by a name that it no longer has. What the type is made of may still be altered.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "store/encoding.h"

#include "dataset.h"

static char *
guard_name(const char *type)
{
	Sha256	   *sum = sha256_create(CurrentMemoryContext);
	uint8		digest[SPARSE_SHA256_BYTES];
	size_t		length;
	const char *kept = text_to_kept(type, strlen(type), &length);
	char	   *name;

	sha256_add(sum, kept, length);
	sha256_finish(sum, digest);
	name = psprintf("column_type_%s", sha256_text(digest));
	name[strlen("column_type_") + 32] = '\0';
	return name;
}

/*
 * Two types that had one name, one after the other, have both a guard of that name. Then it is the one that has the
 * name now, as it would be without guards; where neither has it, which of them it was is not known.
 */
bool
type_guarded(const char *type, Oid named, Oid *oid)
{
	int			found = 0;
	Oid			schema = get_namespace_oid("sparse", false);
	Oid			owner = store_owner();
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(guard_name(type)));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc function = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (function->pronamespace != schema || function->proowner != owner || function->pronargs != 1 ||
			(found > 0 && *oid == named))
			continue;
		*oid = function->proargtypes.values[0];
		found = *oid == named ? 1 : found + 1;
	}
	ReleaseSysCacheList(list);
	return found == 1;
}

/* Whether the current user may name the type: a guard that he may not make is none. */
static bool
may_name(Oid type)
{
	Oid			element = get_element_type(type);
	Datum		user = ObjectIdGetDatum(GetUserId());
	Datum		usage = CStringGetTextDatum("usage");

	if (OidIsValid(element))
		type = element;
	return DatumGetBool(DirectFunctionCall3(has_type_privilege_id_id, user, ObjectIdGetDatum(type), usage)) &&
		DatumGetBool(DirectFunctionCall3(has_schema_privilege_id_id, user, ObjectIdGetDatum(type_schema(type)), usage));
}

void
type_guard(const char *type, Oid oid)
{
	Oid			guarded = InvalidOid;

	if (oid < FirstNormalObjectId || !may_name(oid) || (type_guarded(type, oid, &guarded) && guarded == oid))
		return;
	/* one at a time: two functions of one name would meet in the catalog */
	LockRelationOid(store_relation("column"), ShareUpdateExclusiveLock);
	if (type_guarded(type, oid, &guarded) && guarded == oid)
		return;
	if (SPI_execute(psprintf("create function sparse.%s(%s) returns void language sql as ''",
							 guard_name(type), type_name(oid, -1)), false, 0) != SPI_OK_UTILITY ||
		SPI_execute(psprintf("comment on function sparse.%s(%s) is %s", guard_name(type), type_name(oid, -1),
							 quote_literal_cstr(type)), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not guard type %s", type);
}
