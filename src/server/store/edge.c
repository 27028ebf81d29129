/*
 * edge.c: the edges of lineage: sparse_add_parent, sparse_remove_parent, and what a new version brings.
 *
 * A new version has no children, so its parents are no circle. Of versions that are there,
 * edges are added one at a time in the whole store: a lock, taken after the rights were asked
 * and held to the end of the transaction, and the newest snapshot under it, so that two that
 * add opposite edges at once do not both succeed, at whatever isolation level.
 *
 * Who may update the row of a version may correct its parents; he must see the other version,
 * and is told of no edge to one that he cannot see. Edges and their history are written as the
 * store's owner.
 */
#include "postgres.h"
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(version_add_parent);
PG_FUNCTION_INFO_V1(version_remove_parent);

typedef struct Edge
{
	const StoreVersion *child;
	const StoreVersion *parent;
	const char *role;
} Edge;

/* ---- rights ---- */

static StoreQuery lock_child_query = {
	.sql = "select v.state from sparse.version v where v.id operator(pg_catalog.=) $1 for share",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {TEXTOID},
	.scans = true
};

/* Whether he has the privilege that a lock of a row of sparse.version needs; policies are asked by the lock itself. */
static bool
may_update_versions(void)
{
	Oid			relation = store_relation("version");

	return pg_class_aclcheck(relation, GetUserId(), ACL_UPDATE) == ACLCHECK_OK
		|| pg_attribute_aclcheck_all(relation, GetUserId(), ACL_UPDATE, ACLMASK_ANY) == ACLCHECK_OK;
}

/* Locks the child as the caller, who thereby shows that he may update it: its state; 0 where he may not. */
static char
lock_child(const Edge *edge)
{
	Datum		value = Int64GetDatum(edge->child->id);
	StoreAccess access;
	SPITupleTable *rows;
	char		state = 0;

	if (!may_update_versions())
		return 0;
	SPI_connect();
	enter_versions(&access);
	if (query_run(&lock_child_query, &value, NULL, false, &rows) > 0)
		state = *TextDatumGetCString(row_datum(rows, 0, 1));
	store_leave(&access);
	SPI_finish();
	return state;
}

static void
refuse(const Edge *edge, int level, int code, const char *why)
{
	ereport(level,
			(errcode(code),
			 errmsg("\"%s@%d\" was not made a parent of \"%s@%d\"", edge->parent->name, edge->parent->revision,
					edge->child->name, edge->child->revision),
			 errdetail("%s", why)));
}

/* Of the class "sparse.parent", which no SQL command can lock. */
static void
lock_edges(void)
{
	LockDatabaseObject(store_relation("parent"), 0, 0, ExclusiveLock);
}

/* ---- what there is ---- */

static StoreQuery look_query = {
	.sql = "with recursive up (id) as ("
		"select $2 union select e.parent from up u join sparse.parent e on e.child operator(pg_catalog.=) u.id) "
		"select exists (select from up where id operator(pg_catalog.=) $1), "
		"exists (select from sparse.parent e where e.child operator(pg_catalog.=) $1 and e.parent operator(pg_catalog.=) $2 "
		"and e.role operator(pg_catalog.=) $3), "
		"coalesce((select pg_catalog.max(e.ordinal) from sparse.parent e where e.child operator(pg_catalog.=) $1), -1)::pg_catalog.int4",
	.args = 3, .arg = {INT8OID, INT8OID, TEXTOID},
	.columns = 3, .column = {BOOLOID, BOOLOID, INT4OID}
};

typedef struct EdgeView
{
	bool		circle;			/* the parent is the child, or was made from it */
	bool		known;
	int32		last_ordinal;	/* of the child's edges; -1: it has none */
} EdgeView;

/* With the newest snapshot, and what this transaction has written. As the store's owner, within SPI_connect. */
static void
look(const Edge *edge, EdgeView *view)
{
	Datum		value[3] = {
		Int64GetDatum(edge->child->id), Int64GetDatum(edge->parent->id), CStringGetTextDatum(edge->role)
	};
	SPITupleTable *rows;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	query_run(&look_query, value, NULL, true, &rows);
	view->circle = DatumGetBool(row_datum(rows, 0, 1));
	view->known = DatumGetBool(row_datum(rows, 0, 2));
	view->last_ordinal = row_int32(rows, 0, 3);
	SPI_freetuptable(rows);
	PopActiveSnapshot();
}

/* ---- writing ---- */

static StoreQuery insert_query = {
	.sql = "insert into sparse.parent (child, ordinal, parent, role, source) values ($1, $2, $3, $4, $5)",
	.args = 5, .arg = {INT8OID, INT2OID, INT8OID, TEXTOID, TEXTOID}
};

static StoreQuery delete_query = {
	.sql = "delete from sparse.parent e where e.child operator(pg_catalog.=) $1 and e.parent operator(pg_catalog.=) $2 "
		"and ($3 is null or e.role operator(pg_catalog.=) $3) returning e.role, e.source",
	.args = 3, .arg = {INT8OID, INT8OID, TEXTOID},
	.columns = 2, .column = {TEXTOID, TEXTOID}
};

static StoreQuery history_query = {
	.sql = "insert into sparse.parent_history (child, parent, role, source, added, changed_by) values ($1, $2, $3, $4, $5, $6)",
	.args = 6, .arg = {INT8OID, INT8OID, TEXTOID, TEXTOID, BOOLOID, TEXTOID}
};

/* Runs a statement that must write a row. */
static void
write_row(StoreQuery *query, Datum *value)
{
	if (query_run(query, value, NULL, false, NULL) != 0)
		return;
	query_forget(query);
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("the parent of a version was not written"),
			 errdetail("A trigger or a rule of table sparse.parent or sparse.parent_history suppressed it.")));
}

void
edge_insert(int64 child, int ordinal, int64 parent, const char *role, const char *source)
{
	Datum		value[5] = {
		Int64GetDatum(child), Int16GetDatum((int16) ordinal), Int64GetDatum(parent), CStringGetTextDatum(role),
		CStringGetTextDatum(source)
	};

	write_row(&insert_query, value);
}

static void
write_history(const Edge *edge, Datum role, Datum source, bool added, Oid user)
{
	Datum		value[6] = {
		Int64GetDatum(edge->child->id), Int64GetDatum(edge->parent->id), role, source, BoolGetDatum(added),
		CStringGetTextDatum(GetUserNameFromId(user, false))
	};

	write_row(&history_query, value);
}

/* Under the lock; true: it is new. Refused at `level`. */
static bool
add_locked(const Edge *edge, int level)
{
	Oid			user = GetUserId();
	StoreAccess access;
	EdgeView	view;
	bool		new;

	SPI_connect();
	store_enter(&access);
	look(edge, &view);
	new = !view.known && !view.circle && view.last_ordinal < PG_INT16_MAX;
	if (new)
	{
		edge_insert(edge->child->id, view.last_ordinal + 1, edge->parent->id, edge->role, "added");
		write_history(edge, CStringGetTextDatum(edge->role), CStringGetTextDatum("added"), true, user);
	}
	store_leave(&access);
	SPI_finish();
	if (view.circle)
		refuse(edge, level, ERRCODE_INVALID_PARAMETER_VALUE, "It was made from that version: nothing is its own ancestor.");
	else if (!view.known && !new)
		refuse(edge, level, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "It has too many parents.");
	return new;
}

bool
edge_add(const StoreVersion *child, const StoreVersion *parent, const char *role, int level)
{
	const Edge	edge = {child, parent, role};
	const int64 both[2] = {child->id, parent->id};
	char		state;

	state = lock_child(&edge);
	if (state == 0)
		refuse(&edge, level, ERRCODE_INSUFFICIENT_PRIVILEGE, "You may not update the version that is to have it.");
	else if (state != 'r')
		refuse(&edge, level, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "The version that is to have it is not ready.");
	if (state != 'r')
		return false;
	versions_hold(both, 2);
	lock_edges();
	return add_locked(&edge, level);
}

/* Under the lock: how many there were. */
static int32
remove_locked(const Edge *edge)
{
	Datum		value[3] = {Int64GetDatum(edge->child->id), Int64GetDatum(edge->parent->id), (Datum) 0};
	Oid			user = GetUserId();
	StoreAccess access;
	SPITupleTable *rows;
	uint64		removed;

	if (edge->role != NULL)
		value[2] = CStringGetTextDatum(edge->role);
	SPI_connect();
	store_enter(&access);
	removed = query_run(&delete_query, value, edge->role == NULL ? "  n" : NULL, false, &rows);
	for (uint64 i = 0; i < removed; i++)
		write_history(edge, row_datum(rows, i, 1), row_datum(rows, i, 2), false, user);
	store_leave(&access);
	SPI_finish();
	return (int32) removed;
}

/* ---- the functions ---- */

/* The role of argument 2; NULL: none is given. */
static const char *
role_argument(FunctionCallInfo fcinfo)
{
	const char *role = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	if (role != NULL && role[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the role of a parent must not be empty")));
	return role;
}

/* sparse_add_parent(version, parent, role) */
Datum
version_add_parent(PG_FUNCTION_ARGS)
{
	StoreVersion child;
	StoreVersion parent;
	const char *role = role_argument(fcinfo);

	version_from_argument_now(fcinfo, 0, false, &child);
	version_from_argument_now(fcinfo, 1, false, &parent);
	if (role == NULL)
		role = child.kind == 'd' ? "derived" : "finetune";
	PG_RETURN_BOOL(edge_add(&child, &parent, role, ERROR));
}

/* sparse_remove_parent(version, parent, role) */
Datum
version_remove_parent(PG_FUNCTION_ARGS)
{
	StoreVersion child;
	StoreVersion parent;
	const Edge	edge = {&child, &parent, role_argument(fcinfo)};
	int32		removed;

	version_from_argument_now(fcinfo, 0, true, &child);
	version_from_argument_now(fcinfo, 1, true, &parent);
	if (child.state == 'o' || lock_child(&edge) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to take a parent from \"%s@%d\"", child.name, child.revision),
				 errdetail("You may not update it, or it is still being written.")));
	lock_edges();
	removed = remove_locked(&edge);
	if (removed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s@%d\" is no parent of \"%s@%d\"%s", parent.name, parent.revision, child.name, child.revision,
						edge.role == NULL ? "" : psprintf(" in role \"%s\"", edge.role))));
	PG_RETURN_INT32(removed);
}
