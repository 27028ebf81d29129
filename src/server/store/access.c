/*
 * access.c: whose the store is, and acting as that owner.
 *
 * Objects and chunks are granted to nobody. After a version was read as the
 * caller, this layer becomes the owner of the store's tables, and the caller
 * again before anything of the caller's runs.
 *
 * Anybody who may create a schema can make one named "sparse" and put his own
 * relations there, in the hope that a more powerful role calls us. Against that:
 *   - all tables must be tables, not views, belong to one owner and have columns
 *     of the server's own types, for which nobody can define a cast;
 *   - versions are read and written as that owner, never as a superuser (version.c),
 *     so that triggers, defaults, constraints and what the planner computes of
 *     indexes get his rights and no more;
 *   - the switch is a security-restricted operation: nothing that he deferred
 *     can run after it, with the caller's rights;
 *   - the types of what comes back are checked (query.c).
 * What remains is what holds for every table: who reads or writes a table under
 * row-level security runs the policies of its owner, who writes it his triggers and
 * defaults, and who queries it directly, as a superuser or through a view that reads
 * as its caller, the expressions of his indexes.
 */
#include "postgres.h"
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/store.h"
#include "store/tables.h"

pg_noreturn static void no_store(void);
pg_noreturn static void not_a_store(const char *relation, const char *problem);

static void
no_store(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_SCHEMA_NAME),
			 errmsg("this database has no store"),
			 errhint("Run \"select sparse_create_store()\".")));
	pg_unreachable();
}

static void
not_a_store(const char *relation, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("schema \"sparse\" does not hold a store"),
			 errdetail("Relation \"%s\" %s.", relation, problem),
			 errhint("Tables of a store are made by sparse_create_store(), have one owner, and row-level security that is not forced on him.")));
	pg_unreachable();
}

static Oid
store_schema(void)
{
	Oid			schema = get_namespace_oid("sparse", true);

	if (!OidIsValid(schema))
		no_store();
	return schema;
}

static Oid
relation_in_schema(const char *name, Oid schema)
{
	Oid			relation = get_relname_relid(name, schema);

	if (!OidIsValid(relation))
		not_a_store(name, "does not exist");
	return relation;
}

Oid
store_relation(const char *name)
{
	return relation_in_schema(name, store_schema());
}

/*
 * A column of another type could come with an implicit cast to the type that a
 * query compares it with, and so with a function that runs as the reader.
 */
static void
check_column_types(const char *name, Oid relation, int columns)
{
	for (int i = 1; i <= columns; i++)
		if (get_atttype(relation, i) >= FirstNormalObjectId)
			not_a_store(name, "has a column of a type that is not the server's own");
}

/* The owner of a relation that must be a table. */
static Oid
table_owner(const char *name, Oid schema)
{
	Oid			relation = relation_in_schema(name, schema);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		not_a_store(name, "does not exist");
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		not_a_store(name, "is not a table");
	check_column_types(name, relation, form->relnatts);
	if (form->relforcerowsecurity)
		not_a_store(name, "has row-level security forced on its owner");
	owner = form->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The format in the one row of a relation that table_owner() has found to be a table; read as it lies, so that nobody's code runs. */
static int32
format_of_tables(Oid relation)
{
	Relation	table = table_open(relation, AccessShareLock);
	TupleDesc	columns = RelationGetDescr(table);
	SysScanDesc scan;
	HeapTuple	row;
	bool		null = true;
	Datum		format = (Datum) 0;

	if (table->rd_rel->relkind != RELKIND_RELATION || columns->natts < 1 || TupleDescAttr(columns, 0)->atttypid != INT4OID)
		not_a_store("store", "is not as it was made");
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		format = heap_getattr(row, 1, columns, &null);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	if (null)
		not_a_store("store", "has no row");
	return DatumGetInt32(format);
}

/* A store that a newer version has brought up to date, or that was restored from there, may hold what we cannot read. */
static void
check_format(Oid schema)
{
	const int32 format = format_of_tables(relation_in_schema("store", schema));

	if (format != STORE_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the store is of format %d, this version of sparse knows format %d", format, STORE_FORMAT),
				 format > STORE_FORMAT ? errhint("A newer version of the extension \"sparse\" has made it: install that.") : 0));
}

static bool
has_trigger(Oid relation, const char *name)
{
	Relation	table = table_open(relation, AccessShareLock);
	bool		found = false;

	for (int i = 0; !found && table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
		found = strcmp(table->trigdesc->triggers[i].tgname, name) == 0;
	table_close(table, AccessShareLock);
	return found;
}

/* Where the extension was dropped with cascade and made anew, nothing guards the table of versions, and nothing counts. */
static void
check_attached(Oid schema)
{
	if (!has_trigger(relation_in_schema("version", schema), "version_guard"))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the triggers of the store are missing"),
				 errdetail("They go when the extension is dropped with cascade; all versions are still there."),
				 errhint("Run \"select sparse_update_store()\" as the owner of the store.")));
}

/* The owner of the store as last found; invalid once any relation or schema has changed. */
static Oid	known_owner = InvalidOid;

static void
forget_owner_of_relation(Datum arg, Oid relation)
{
	(void) arg;
	(void) relation;
	known_owner = InvalidOid;
}

static void
forget_owner_of_schema(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	known_owner = InvalidOid;
}

static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(forget_owner_of_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_owner_of_schema, (Datum) 0);
	watching = true;
}

/* The one owner of all tables of the store. */
static Oid
owner_of_tables(Oid schema)
{
	Oid			owner = table_owner(store_table(0)->name, schema);

	for (int i = 1; i < store_table_count(); i++)
		if (table_owner(store_table(i)->name, schema) != owner)
			not_a_store(store_table(i)->name, "has another owner than \"object\"");
	return owner;
}

Oid
store_owner(void)
{
	Oid			schema;
	Oid			owner;

	if (OidIsValid(known_owner))
		return known_owner;
	watch_catalogs();
	schema = store_schema();
	owner = owner_of_tables(schema);
	check_format(schema);
	check_attached(schema);
	known_owner = owner;
	return owner;
}

static void
check_may_act_as(Oid owner, const char *action)
{
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the store to %s", action)));
}

void
store_enter(StoreAccess *access)
{
	user_enter(access, store_owner());
}

void
store_enter_to_update(StoreAccess *access)
{
	Oid			owner = owner_of_tables(store_schema());

	check_may_act_as(owner, "update it");
	user_enter(access, owner);
}

void
store_leave(const StoreAccess *access)
{
	user_leave(access);
}

void
store_check_owner(const char *action)
{
	check_may_act_as(store_owner(), action);
}

void
store_lock_for_writing(void)
{
	LockRelationOid(store_relation("object"), RowExclusiveLock);
}

PG_FUNCTION_INFO_V1(store_format);

/* sparse_store_format() */
Datum
store_format(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	(void) store_owner();
	PG_RETURN_INT32(STORE_FORMAT);
}
