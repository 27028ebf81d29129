/*
 * stored.c: a version that is stored, as an import would see it (see stored.h).
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "answer.h"
#include "layout.h"
#include "recipes.h"
#include "stored.h"

/* ---- parents ---- */

static StoreQuery parents_query = {
	.sql = "select v.id, v.name, v.revision, p.role"
	"  from (select e.parent, e.role, e.ordinal::integer from sparse.parent e where e.child = $1"
	"        union all select f.parent, 'found', 32768 from sparse.found_parent f where f.version = $1) p"
	"  join sparse.version v on v.id = p.parent"
	" where v.state = 'ready'"
	" order by p.ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 4, .column = {INT8OID, TEXTOID, INT4OID, TEXTOID}};

static StoreQuery ready_query = {
	.sql = "select v.id from sparse.version v where v.id = $1 and v.state = 'ready'",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}};

void
stored_load_parents(Import *import, MemoryContext context)
{
	Datum		argument = Int64GetDatum(import->version);
	SPITupleTable *rows;
	uint64		count = query_run(&parents_query, &argument, NULL, false, &rows);

	import->parents = (int) count;
	import->parent = MemoryContextAllocZero(context, Max(count, 1) * sizeof(ImportParent));
	for (uint64 i = 0; i < count; i++)
		import->parent[i] = (ImportParent) {
			.version = {
				.id = row_int64(rows, i, 1),
				.name = row_text(context, rows, i, 2),
				.revision = row_int32(rows, i, 3),
				.state = 'r'
			},
			.role = row_text(context, rows, i, 4)
		};
	SPI_freetuptable(rows);
}

bool
stored_has_parents(const StoreVersion *version)
{
	Datum		argument = Int64GetDatum(version->id);
	SPITupleTable *rows;
	bool		found = query_run(&parents_query, &argument, NULL, false, &rows) > 0;

	SPI_freetuptable(rows);
	return found;
}

static bool
is_ready(int64 version)
{
	Datum		argument = Int64GetDatum(version);
	SPITupleTable *rows;
	bool		ready = query_run(&ready_query, &argument, NULL, false, &rows) > 0;

	SPI_freetuptable(rows);
	return ready;
}

/* What was learnt of the tensors of a parent goes with it: they may be collected. */
bool
stored_import_renew(Import *import)
{
	MemoryContext context = GetMemoryChunkContext(import);
	int			ready = 0;

	for (int i = 0; i < import->parents; i++)
		if (is_ready(import->parent[i].version.id))
			import->parent[ready++] = import->parent[i];
	if (ready < import->parents)
	{
		import->parents = ready;
		import->kin = import_kin_index(context, ready);
	}
	ready = 0;
	for (int i = 0; i < import->neighbours; i++)
		if (is_ready(import->neighbour[i]))
			import->neighbour[ready++] = import->neighbour[i];
	import->neighbours = ready;
	return is_ready(import->version);
}

/* ---- files and tensors ---- */

static StoreQuery objects_query = {
	.sql = "select t.ordinal, t.object from sparse.tensor t"
	" where t.version = $1 and t.file = $2 order by t.ordinal",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 2, .column = {INT4OID, INT8OID}};

static void
not_as_declared(int64 version, const PlanFile *file)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("the tensors of file \"%s\" of version " INT64_FORMAT " are not those of its header", file->path, version),
			errhint("Run sparse_verify() on the version."));
}

static void
load_objects(int64 version, int number, PlanFile *file)
{
	Datum		argument[2] = {Int64GetDatum(version), Int32GetDatum(number)};
	SPITupleTable *rows;
	uint64		count = query_run(&objects_query, argument, NULL, false, &rows);

	if (count != file->tensors)
		not_as_declared(version, file);
	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (row_int32(rows, i, 1) != (int32) i)
			not_as_declared(version, file);
		file->tensor[i].object.id = row_int64(rows, i, 2);
	}
	SPI_freetuptable(rows);
}

static void
load_tensors(ObjectReader *reader, int64 version, const VersionFile *stored, MemoryContext context, PlanFile *file)
{
	char	   *header = palloc_extended(stored->object_bytes, MCXT_ALLOC_HUGE);
	MemoryContext scratch;

	object_read(reader, stored->object, 0, stored->object_bytes, header);
	scratch = MemoryContextSwitchTo(context);
	plan_layout_of_literal(file, stored->ordinal, header, stored->object_bytes);
	MemoryContextSwitchTo(scratch);
	pfree(header);
	load_objects(version, stored->ordinal, file);
}

static void
load_stored_file(ObjectReader *reader, int64 version, const VersionFile *stored, MemoryContext context, PlanFile *file)
{
	file->path = stored->path;
	file->kind = stored->kind;
	file->bytes = stored->bytes;
	memcpy(file->sha256, stored->sha256, SPARSE_SHA256_BYTES);
	memcpy(file->checksum, stored->checksum, SPARSE_CHECKSUM_BYTES);
	file->summed = stored->summed;
	file->object = (PlanObject) {
		.id = stored->object, .bytes = stored->object_bytes, .file = stored->ordinal, .dtype = SPARSE_BYTES
	};
	if (stored->kind != SPARSE_FILE_BYTES)
		load_tensors(reader, version, stored, context, file);
}

ImportPlan *
stored_plan(const StoreVersion *version, MemoryContext context)
{
	ObjectReader *reader = object_reader_create(context, false);
	ImportPlan *plan = MemoryContextAllocZero(context, sizeof(ImportPlan));
	VersionFile *stored;

	plan->files = plan->room = version_files(context, version->id, &stored);
	plan->file = MemoryContextAllocZero(context, Max(plan->files, 1) * sizeof(PlanFile));
	for (int i = 0; i < plan->files; i++)
	{
		if (stored[i].ordinal != i)
			elog(ERROR, "file %d of version " INT64_FORMAT " is missing", i, version->id);
		object_reader_context(reader, version_label(CurrentMemoryContext, version), stored[i].path, NULL);
		load_stored_file(reader, version->id, &stored[i], context, &plan->file[i]);
	}
	object_reader_free(reader);
	return plan;
}

/* ---- all of it ---- */

static void
mark_siblings(const Import *import)
{
	for (int i = 0; i < import->plan->files; i++)
	{
		PlanFile   *file = &import->plan->file[i];

		for (uint32 t = 0; t < file->tensors; t++)
			file->tensor[t].object.wants_siblings = import_wants_siblings(import, &file->tensor[t].object);
	}
}

/* (A query leaves its own memory as the current one.) */
static Import *
begin_import(const StoreVersion *version, MemoryContext context)
{
	Import	   *import = MemoryContextAllocZero(context, sizeof(Import));

	import->name = MemoryContextStrdup(context, version->name);
	import->version = version->id;
	import->revision = version->revision;
	import->family = version->family;
	return import;
}

static Import *
complete_import(Import *import, const StoreVersion *version, MemoryContext context)
{
	import->plan = stored_plan(version, context);
	import->kin = import_kin_index(context, import->parents);
	mark_siblings(import);
	return import;
}

Import *
stored_import(const StoreVersion *version, MemoryContext context)
{
	Import	   *import = begin_import(version, context);

	stored_load_parents(import, context);
	return complete_import(import, version, context);
}

Import *
stored_import_from(const StoreVersion *version, const StoreVersion *parent, MemoryContext context)
{
	Import	   *import = begin_import(version, context);

	import->parents = 1;
	import->parent = MemoryContextAllocZero(context, sizeof(ImportParent));
	import->parent->version = *parent;
	return complete_import(import, version, context);
}

typedef struct ObjectList
{
	HTAB	   *seen;
	uint64		count;
	const PlanObject **object;
} ObjectList;

static void
add_object(ObjectList *list, const PlanObject *object)
{
	bool		found;

	if (object->bytes == 0)
		return;
	(void) hash_search(list->seen, &object->id, HASH_ENTER, &found);
	if (!found)
		list->object[list->count++] = object;
}

const PlanObject **
stored_objects(const Import *import, MemoryContext context, uint64 *count)
{
	const ImportPlan *plan = import->plan;
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(int64), .hcxt = context};
	ObjectList	list = {0};

	list.seen = hash_create("sparse objects", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	list.object = MemoryContextAllocHuge(context, (plan->files + plan_tensors(plan) + 1) * sizeof(PlanObject *));
	for (int last = 0; last <= 1; last++)
		for (int i = 0; i < plan->files; i++)
		{
			const PlanFile *file = &plan->file[i];

			if (!last)
				add_object(&list, &file->object);
			for (uint32 t = 0; t < file->tensors; t++)
				if (file->tensor[t].object.wants_siblings == last)
					add_object(&list, &file->tensor[t].object);
		}
	hash_destroy(list.seen);
	*count = list.count;
	return list.object;
}

/* Equal bytes are one object, whatever tensors make of them: the searches go by what this one says. */
void
stored_propose(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec)
{
	if (object->dtype != spec->dtype)
		return;
	import_propose(import, reader, object, spec);
}
