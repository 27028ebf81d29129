/*
 * commit.c: sparse_commit_rows, sparse_commit_splits and sparse_estimate_rows.
 *
 * The rows are read and cut into chunks first (commit_rows.c). Then, under the lock of
 * the name, either that very content is found under it, or the version is inserted as
 * the caller, whose rights and policies decide, and what is new is stored as the
 * store's owner (commit_store.c).
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "model/answer.h"

#include "commit.h"

PG_FUNCTION_INFO_V1(dataset_commit_rows);
PG_FUNCTION_INFO_V1(dataset_commit_splits);
PG_FUNCTION_INFO_V1(dataset_estimate);

/* ---- identity ---- */

static void
identify(Commit *commit)
{
	Identity   *identity = identity_begin(commit->context, false);

	for (int s = 0; s < commit->splits; s++)
	{
		const NewSplit *split = &commit->split[s];

		identity_add_split(identity, split->name, split->rows, split->columns);
		for (int c = 0; c < split->columns; c++)
			identity_add_column(identity, split->column[c].name, split->column[c].type, split->column[c].structure,
								split->column[c].sha256);
		identity_add_key(identity, split->keys, split->key);
	}
	identity_finish(identity, commit->import.plan->content_sha256);
}

/* ---- the steps ---- */

/* Of versions of this moment, so that one statement can commit a version and its child. */
static void
resolve_parents(Commit *commit, char *const *reference, int parents, const char *role)
{
	Import	   *import = &commit->import;

	import->parents = parents;
	import->parent = palloc0(Max(parents, 1) * sizeof(ImportParent));
	for (int i = 0; i < parents; i++)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		version_from_text(reference[i], false, &import->parent[i].version);
		PopActiveSnapshot();
		import->parent[i].role = role;
	}
}

Commit *
commit_begin(const char *name, char *const *parent, int parents, const char *role, Datum metadata)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse commit", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Commit	   *commit = palloc0(sizeof(Commit));
	int			nest = closed_path_enter();

	commit->context = context;
	commit->row_context = AllocSetContextCreate(context, "sparse row", ALLOCSET_DEFAULT_SIZES);
	commit->import.dataset = true;
	commit->import.plan = plan_create();
	commit->import.name = pstrdup(name);
	version_check_name(name);
	import_check_may_insert();
	resolve_parents(commit, parent, parents, role);
	commit->import.metadata = metadata;
	commit->pending = pending_create();
	if (!pg_strong_random(&commit->seed, sizeof(commit->seed)))
		elog(ERROR, "could not get a random number");
	closed_path_leave(nest);
	MemoryContextSwitchTo(previous);
	return commit;
}

/* Arguments: name, -, parent, -, metadata. */
static Commit *
begin(FunctionCallInfo fcinfo)
{
	char	   *parent = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	Commit	   *commit = commit_begin(text_to_cstring(PG_GETARG_TEXT_PP(0)), &parent, parent != NULL, "derived",
									  import_metadata_argument(fcinfo, 4));

	commit->import.find = sparse_find_parents;
	return commit;
}

static int64
find_or_store(Commit *commit)
{
	Import	   *import = &commit->import;
	int64		same;

	identify(commit);
	import_lock_name(import->name);
	same = import_find_same(import, false);
	if (same != 0)
	{
		import_unlock_name(import->name);
		import_add_parents(import, same);
		return same;
	}
	import_check_snapshot(import->name);
	import_take_previous(import);
	import_prepare(import);
	import_insert_version(import);
	commit_store(commit);
	return import->version;
}

/* commit_end, but that the commit is still there. */
static int64
finish(Commit *commit)
{
	MemoryContext previous = MemoryContextSwitchTo(commit->context);
	int			nest = closed_path_enter();
	int64		version = find_or_store(commit);

	BufFileClose(commit->pending->file);
	closed_path_leave(nest);
	MemoryContextSwitchTo(previous);
	return version;
}

int64
commit_end(Commit *commit)
{
	int64		version = finish(commit);

	MemoryContextDelete(commit->context);
	return version;
}

/* ---- the functions ---- */

Datum
dataset_commit_rows(PG_FUNCTION_ARGS)
{
	Commit	   *commit;
	char	  **key;
	int			keys;

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "query");
	keys = import_text_elements(fcinfo, 3, "key", &key);
	commit = begin(fcinfo);
	commit->splits = 1;
	commit->split = MemoryContextAllocZero(commit->context, sizeof(NewSplit));
	commit_query(commit, &commit->split[0], DEFAULT_SPLIT, text_to_cstring(PG_GETARG_TEXT_PP(1)), keys, key);
	PG_RETURN_INT64(commit_end(commit));
}

/* The members of an object {"split": "query"}, in its order. */
static int
splits_of(Jsonb *queries, char ***name, char ***query)
{
	JsonbIterator *iterator = JsonbIteratorInit(&queries->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			count = 0;

	if (!JB_ROOT_IS_OBJECT(queries) || JB_ROOT_COUNT(queries) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("queries must be an object of splits and their queries"),
				 errhint("Write {\"train\": \"select ...\", \"test\": \"select ...\"}.")));
	*name = palloc(JB_ROOT_COUNT(queries) * sizeof(char *));
	*query = palloc(JB_ROOT_COUNT(queries) * sizeof(char *));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			(*name)[count] = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvString)
			(*query)[count++] = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the query of split \"%s\" must be a string", (*name)[count])));
	}
	return count;
}

Datum
dataset_commit_splits(PG_FUNCTION_ARGS)
{
	Commit	   *commit;
	char	  **key;
	int			keys;
	char	  **name;
	char	  **query;
	int			count;

	import_check_given(fcinfo, 0, "name");
	import_check_given(fcinfo, 1, "queries");
	keys = import_text_elements(fcinfo, 3, "key", &key);
	count = splits_of(PG_GETARG_JSONB_P(1), &name, &query);
	commit = begin(fcinfo);
	commit->split = MemoryContextAllocZero(commit->context, count * sizeof(NewSplit));
	for (; commit->splits < count; commit->splits++)
	{
		if (name[commit->splits][0] == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the name of a split must not be empty")));
		commit_query(commit, &commit->split[commit->splits], name[commit->splits], query[commit->splits], keys, key);
	}
	PG_RETURN_INT64(commit_end(commit));
}

/* A name that nobody has. */
static char *
unused_name(void)
{
	uint64		random[2];

	if (!pg_strong_random(random, sizeof(random)))
		elog(ERROR, "could not get a random number");
	return psprintf("estimate " UINT64_FORMAT "-" UINT64_FORMAT, random[0], random[1]);
}

static Datum
figures(FunctionCallInfo fcinfo, const Commit *commit)
{
	TupleDesc	row_type;
	Datum		value[5];
	bool		null[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	value[0] = Int64GetDatum(commit->split[0].rows);
	value[1] = Int64GetDatum(commit_raw_bytes(commit));
	value[2] = Int32GetDatum(commit->import.new_objects);
	value[3] = Int64GetDatum(commit->import.new_bytes);
	value[4] = Int64GetDatum(commit->import.stored_bytes);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), value, null));
}

typedef struct Estimate
{
	FunctionCallInfo fcinfo;
	MemoryContext scratch;		/* goes after the subtransaction */
	Datum		figures;
} Estimate;

/* Commits the query, which is to be taken back; what that came to. */
static void
estimate_query(void *argument)
{
	Estimate   *estimate = argument;
	FunctionCallInfo fcinfo = estimate->fcinfo;
	char	   *parent = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Commit	   *commit = commit_begin(unused_name(), &parent, parent != NULL, "derived",
									  DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));

	estimate->scratch = commit->context;
	commit->splits = 1;
	commit->split = MemoryContextAllocZero(commit->context, sizeof(NewSplit));
	commit_query(commit, &commit->split[0], DEFAULT_SPLIT, text_to_cstring(PG_GETARG_TEXT_PP(0)), 0, NULL);
	(void) finish(commit);
	estimate->figures = figures(fcinfo, commit);
}

/* sparse_estimate_rows(query, parent): a commit that is taken back. */
Datum
dataset_estimate(PG_FUNCTION_ARGS)
{
	Estimate	estimate = {.fcinfo = fcinfo};

	import_check_given(fcinfo, 0, "query");
	guarded_trial(estimate_query, &estimate);
	MemoryContextDelete(estimate.scratch);
	return estimate.figures;
}
