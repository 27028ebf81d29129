/*
 * hub.c: who can become whom, which tokens of the hub are bound by (see hub.sql).
 */
#include "postgres.h"
#include "compat.h"

#include "utils/acl.h"

PG_FUNCTION_INFO_V1(hub_can_become);

Datum
hub_can_become(PG_FUNCTION_ARGS)
{
	Oid			member = get_role_oid(NameStr(*PG_GETARG_NAME(0)), false);
	Oid			role = get_role_oid(NameStr(*PG_GETARG_NAME(1)), false);

	PG_RETURN_BOOL(member_can_set_role(member, role));
}
