/*
 * parents.c: what a new version is made from, and what it is predicted from.
 *
 * Beside what the caller names, the newest revision of the name that he can read is a parent
 * (role "revision"); where there is none at all, the version whose sketch is most like the new
 * one's is to predict it. One implementation, for import, upload and the commit of rows; the setting
 * sparse.find_parents says how far it goes. Whatever was taken without having been named is said
 * in one notice.
 *
 * Named parents and the previous revision are lineage (sparse.parent). What a sketch found is
 * prediction only (sparse.found_parent): likeness is no descent.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "answer.h"
#include "import.h"
#include "sketch.h"

#define MAX_PARENTS 1000

/* ---- those that were named ---- */

static void
check_parents(const Import *import, int roles, bool roles_given)
{
	if (import->parents > MAX_PARENTS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many parents: %d", import->parents),
				errdetail("A version has at most %d parents.", MAX_PARENTS));
	if (roles_given && roles != import->parents)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("parents and roles differ in length"),
				errdetail("There are %d parents and %d roles.", import->parents, roles));
}

static void
check_not_repeated(const Import *import, int ordinal)
{
	const ImportParent *parent = &import->parent[ordinal];

	for (int i = 0; i < ordinal; i++)
		if (import->parent[i].version.id == parent->version.id
			&& strcmp(import->parent[i].role, parent->role) == 0)
			ereport(ERROR,
					errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("parent \"%s@%d\" is named twice in role \"%s\"",
						   parent->version.name, parent->version.revision, parent->role));
}

/* With a snapshot of this moment, so that one statement can import a base and its child. */
static void
resolve_now(const char *reference, StoreVersion *version)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	version_from_text(reference, false, version);
	PopActiveSnapshot();
}

void
import_resolve_parents(FunctionCallInfo fcinfo, Import *import)
{
	char	  **reference;
	char	  **role;
	int			roles = import_text_elements(fcinfo, 3, "roles", &role);

	import->find = sparse_find_parents;
	import->parents = import_text_elements(fcinfo, 2, "parents", &reference);
	check_parents(import, roles, !PG_ARGISNULL(3));
	import->parent = palloc0(Max(import->parents, 1) * sizeof(ImportParent));
	for (int i = 0; i < import->parents; i++)
	{
		ImportParent *parent = &import->parent[i];

		resolve_now(reference[i], &parent->version);
		parent->role = role != NULL ? role[i] : "finetune";
		if (parent->role[0] == '\0')
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("the role of a parent must not be empty"));
		check_not_repeated(import, i);
	}
}

/* ---- those that nobody named ---- */

static bool
has_parent(const Import *import, int64 version)
{
	for (int i = 0; i < import->parents; i++)
		if (import->parent[i].version.id == version)
			return true;
	return false;
}

/* One more, unless it is one already, or was dropped just now; false then. */
static bool
add_parent(Import *import, int64 version, bool read_only, ImportParent how)
{
	if (has_parent(import, version) || import->parents == MAX_PARENTS || !version_find(version, read_only, &how.version))
		return false;
	import->parent = import->parent == NULL ? palloc(sizeof(ImportParent))
		: repalloc(import->parent, (import->parents + 1) * sizeof(ImportParent));
	import->parent[import->parents++] = how;
	return true;
}

static StoreQuery previous_query = {
	.sql = "select v.id"
	"  from sparse.version v"
	" where v.name = $1 and v.kind = $2 and v.state = 'ready'"
	" order by v.revision desc"
	" limit 1",
	.args = 2, .arg = {TEXTOID, TEXTOID},
	.columns = 1, .column = {INT8OID},
	.scans = true};

/* The newest revision of the name, of the same kind, that the caller can read; 0: he can read none. (Exact ones and others have no name in common.) */
static int64
previous_revision(const Import *import)
{
	Datum		argument[2] = {
		CStringGetTextDatum(import->name), CStringGetTextDatum(import->dataset ? "dataset" : "model")
	};
	StoreAccess access;
	SPITupleTable *rows;
	int64		version = 0;

	enter_versions(&access);
	answer_connect();
	if (query_run(&previous_query, argument, NULL, false, &rows) > 0)
		version = row_int64(rows, 0, 1);
	answer_finish();
	store_leave(&access);
	return version;
}

void
import_take_previous(Import *import)
{
	const int64 previous = import->find == SPARSE_FIND_OFF ? 0 : previous_revision(import);
	const ImportParent how = {.role = "revision", .source = "previous"};
	const StoreVersion *version;

	if (previous == 0 || !add_parent(import, previous, false, how))
		return;
	version = &import->parent[import->parents - 1].version;
	ereport(NOTICE,
			errmsg("\"%s\" is predicted from \"%s@%d\", its previous revision", import->name, version->name, version->revision));
}

/* The last parent, if a sketch found it; or NULL. */
static const ImportParent *
found_parent(const Import *import)
{
	const ImportParent *last = import->parents > 0 ? &import->parent[import->parents - 1] : NULL;

	return last != NULL && last->found ? last : NULL;
}

static bool
wants_sketch(const Import *import)
{
	return import->find == IMPORT_FIND_ASKED || (import->find == SPARSE_FIND_ALL && import->parents == 0);
}

void
import_find_parent_by(Import *import, const Sketch *sketch, bool read_only)
{
	ImportParent how = {.role = "found", .found = true};
	int64		found;

	if (find_best_parent(sketch, import->version, read_only, &found, &how.estimated_bytes))
		(void) add_parent(import, found, read_only, how);
	else if (import->find == IMPORT_FIND_ASKED)
		ereport(NOTICE,
				errmsg("no parent was found for \"%s\"", import->name),
				errdetail("No version that you can see is estimated to make it smaller."));
}

void
import_find_parent(Import *import)
{
	Sketch	   *sketch;

	if (!wants_sketch(import))
		return;
	sketch = palloc(sizeof(Sketch));
	sketch_of_plan(import->plan, sketch);
	import_find_parent_by(import, sketch, false);
	pfree(sketch);
}

static StoreQuery helped_query = {
	.sql = "select 1 from unnest($2) o (id)"
	" where exists (select from sparse.tensor t where t.object = o.id and t.version = $1)"
	" or exists (select from sparse.object_parent e, sparse.tensor t"
	"  where e.object = o.id and t.object = e.parent and t.version = $1)"
	" limit 1",
	.args = 2, .arg = {INT8OID, INT8ARRAYOID},
	.columns = 1, .column = {INT4OID}};

/* Whether any tensor is one of the version's, or is predicted from one. */
static bool
has_helped(const Import *import, int64 version)
{
	const ImportPlan *plan = import->plan;
	SPITupleTable *rows;
	Datum	   *id = palloc_extended((plan_tensors(plan) + 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	Datum		argument[2];
	int			tensors = 0;

	for (int i = 0; i < plan->files; i++)
		for (uint32 j = 0; j < plan->file[i].tensors; j++)
			id[tensors++] = Int64GetDatum(plan->file[i].tensor[j].object.id);
	argument[0] = Int64GetDatum(version);
	argument[1] = array_datum(INT8OID, id, tensors);
	pfree(id);
	return query_run(&helped_query, argument, NULL, false, &rows) > 0;
}

void
import_check_found(Import *import)
{
	const ImportParent *found = found_parent(import);
	const StoreVersion *version;

	if (found == NULL)
		return;
	version = &found->version;
	if (has_helped(import, version->id))
	{
		ereport(NOTICE,
				errmsg("\"%s\" is predicted from \"%s@%d\", whose sketch is like its own", import->name, version->name, version->revision));
		return;
	}
	if (import->find == IMPORT_FIND_ASKED)
		ereport(NOTICE,
				errmsg("\"%s@%d\", whose sketch is like that of \"%s\", is of no use", version->name, version->revision, import->name),
				errdetail("No tensor is smaller when predicted from it."));
	import->parents--;
}

/* ---- kept ---- */

static StoreQuery found_query = {
	.sql = "insert into sparse.found_parent (version, parent, estimated_bytes) values ($1, $2, $3)",
	.args = 3, .arg = {INT8OID, INT8OID, INT8OID}};

void
import_insert_parents(const Import *import)
{
	const ImportParent *found = found_parent(import);

	for (int i = 0; i < import->parents - (found != NULL); i++)
	{
		const ImportParent *parent = &import->parent[i];

		edge_insert(import->version, i, parent->version.id, parent->role, parent->source != NULL ? parent->source : "named");
	}
	if (found != NULL)
	{
		Datum		argument[3] = {
			Int64GetDatum(import->version), Int64GetDatum(found->version.id), Int64GetDatum(found->estimated_bytes)
		};

		query_run(&found_query, argument, NULL, false, NULL);
	}
}

void
import_add_parents(const Import *import, int64 version)
{
	StoreVersion child;

	for (int i = 0; i < import->parents; i++)
	{
		const ImportParent *parent = &import->parent[i];

		if (parent->version.id == version)
			continue;
		resolve_now(psprintf(INT64_FORMAT, version), &child);
		if (edge_add(&child, &parent->version, parent->role, WARNING))
			ereport(NOTICE,
					errmsg("\"%s@%d\" has that content already; \"%s@%d\" is now a parent of it",
						   child.name, child.revision, parent->version.name, parent->version.revision));
	}
}
