/*
 * as_reader.c: functions that are written in SQL or PL/pgSQL, called as whoever may be
 * asked of versions.
 *
 * What such a function reads and writes of the store is read and written as the caller,
 * whose privileges and policies decide. A superuser passes all of them: he acts as the
 * store's owner, so that nothing which that owner made of a view, or hung on a table,
 * runs with a superuser's rights (access.c). A function f is called so if it is
 * call_as_reader(), and its body stands in f_of, of the same arguments and result.
 * What changes the store's tables is call_as_owner() likewise, and acts as their owner.
 */
#include "postgres.h"
#include "compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "store/store.h"

PG_FUNCTION_INFO_V1(call_as_reader);
PG_FUNCTION_INFO_V1(call_as_owner);

/* The function f_of beside the function f. */
static Oid
body_of(Oid function)
{
	char	   *schema = get_namespace_name(get_func_namespace(function));
	List	   *name = list_make2(makeString(schema), makeString(psprintf("%s_of", get_func_name(function))));
	Oid		   *argument;
	int			arguments;

	(void) get_func_signature(function, &argument, &arguments);
	return LookupFuncName(name, arguments, argument, false);
}

/* The same, looked up once in a query. */
static FmgrInfo *
body(FmgrInfo *function)
{
	if (function->fn_extra == NULL)
	{
		FmgrInfo   *found = MemoryContextAllocZero(function->fn_mcxt, sizeof(FmgrInfo));

		fmgr_info_cxt(body_of(function->fn_oid), found, function->fn_mcxt);
		function->fn_extra = found;
	}
	return function->fn_extra;
}

/* A set must come as a whole: between its rows the caller would be himself. */
static void
check_whole(const ReturnSetInfo *set)
{
	if (set != NULL && IsA(set, ReturnSetInfo) && set->returnMode != SFRM_Materialize &&
		set->isDone != ExprSingleResult)
		elog(ERROR, "a function that is called as a reader gave its rows one by one");
}

/* The call of f_of with the arguments of f; `call` has room for any number of them. */
static void
prepare_call(FunctionCallInfo fcinfo, FunctionCallInfo call)
{
	InitFunctionCallInfoData(*call, body(fcinfo->flinfo), fcinfo->nargs, fcinfo->fncollation, NULL,
							 fcinfo->resultinfo);
	memcpy(call->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
}

static Datum
take_result(FunctionCallInfo fcinfo, FunctionCallInfo call, Datum result)
{
	check_whole((ReturnSetInfo *) fcinfo->resultinfo);
	fcinfo->isnull = call->isnull;
	return result;
}

Datum
call_as_reader(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	StoreAccess access;
	Datum		result;

	prepare_call(fcinfo, call);
	enter_versions(&access);
	result = FunctionCallInvoke(call);
	store_leave(&access);
	return take_result(fcinfo, call, result);
}

Datum
call_as_owner(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	StoreAccess access;
	Datum		result;

	prepare_call(fcinfo, call);
	store_enter_to_update(&access);
	result = FunctionCallInvoke(call);
	store_leave(&access);
	return take_result(fcinfo, call, result);
}
