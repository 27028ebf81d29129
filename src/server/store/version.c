/*
 * version.c: versions, read and written as the caller.
 *
 * The row of sparse.version decides who may see what belongs to it, so it is read
 * as the caller, under row-level security. Rows are written as the caller too,
 * whose insert and update policies decide; but only through the statements below:
 * a trigger on the table lets nothing else through, so that nobody forges the
 * author, the date or the state of a version.
 *
 * A superuser passes every policy anyway. He acts as the store's owner here, so
 * that nothing which that owner hung on the table runs with his rights.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(version_guard);
PG_FUNCTION_INFO_V1(version_drop_sql);
PG_FUNCTION_INFO_V1(version_undrop_sql);

#define NAME_MAX_CHARACTERS 512
#define TAG_MAX_CHARACTERS 128

/* ---- the guard ---- */

/* The row that a statement of this file may write just now; 0: none. */
static int64 guard_allows = 0;

int64
version_row_id(HeapTuple tuple, TupleDesc columns)
{
	int			column = SPI_fnumber(columns, "id");
	bool		null = true;
	Datum		id = (Datum) 0;

	if (column > 0 && SPI_gettypeid(columns, column) == INT8OID)
		id = SPI_getbinval(tuple, columns, column, &null);
	return null ? 0 : DatumGetInt64(id);
}

bool
fired_by_version(FunctionCallInfo fcinfo, bool before)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;

	return CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
		(before ? TRIGGER_FIRED_BEFORE(trigger->tg_event) : TRIGGER_FIRED_AFTER(trigger->tg_event)) &&
		RelationGetRelid(trigger->tg_relation) == store_relation("version");
}

/* Whether the statement that fired the trigger is one of this file. */
static bool
guard_lets_through(const TriggerData *trigger)
{
	TupleDesc	columns = RelationGetDescr(trigger->tg_relation);

	if (guard_allows == 0 || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return false;
	if (version_row_id(trigger->tg_trigtuple, columns) != guard_allows)
		return false;
	return !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		version_row_id(trigger->tg_newtuple, columns) == guard_allows;
}

Datum
version_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!fired_by_version(fcinfo, true))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("sparse_version_guard() must be fired before insert, update or delete on sparse.version, for each row")));
	if (!guard_lets_through(trigger) &&
		!has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("rows of table \"%s\" are written by the functions of sparse",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Use sparse_import_file(), sparse_drop() and their like.")));
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}

void
enter_versions(StoreAccess *access)
{
	Oid			owner = store_owner();

	if (superuser() && owner != GetUserId())
		store_enter(access);
	else
		user_stay(access);
}

typedef struct VersionWrite
{
	StoreQuery *query;
	Datum	   *value;
	const char *null;
	int64		allowed_before;	/* to the statement in whose triggers or policies this one runs */
	uint64		rows;
} VersionWrite;

static void
run_write(void *argument)
{
	VersionWrite *write = argument;

	write->rows = query_run(write->query, write->value, write->null, false, NULL);
}

static void
end_write(void *argument)
{
	guard_allows = ((const VersionWrite *) argument)->allowed_before;
}

/* Runs a statement that writes the version `id` and nothing else, as the caller. */
static uint64
write_version(StoreQuery *query, int64 id, Datum *value, const char *null)
{
	VersionWrite write = {query, value, null, guard_allows, 0};
	StoreAccess access;

	enter_versions(&access);
	guard_allows = id;
	guarded_finally(run_write, end_write, &write);
	store_leave(&access);
	if (write.rows == 0)
		query_forget(query);
	return write.rows;
}

/* ---- names ---- */

/* `kind` of name: "version name", "tag". */
pg_noreturn static void
bad_name(const char *kind, const char *name, const char *rule)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("invalid %s \"%s\"", kind, name),
			 errdetail("%s", rule)));
	pg_unreachable();
}

static bool
only_digits(const char *text)
{
	return strspn(text, "0123456789") == strlen(text);
}

static bool
has_control_characters(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

void
version_check_name(const char *name)
{
	if (name[0] == '\0')
		bad_name("version name", name, "A name must not be empty.");
	if (pg_mbstrlen(name) > NAME_MAX_CHARACTERS)
		bad_name("version name", name, "A name has at most 512 characters.");
	if (only_digits(name))
		bad_name("version name", name, "A name of digits only would be taken for an id.");
	if (strchr(name, '@') != NULL)
		bad_name("version name", name, "A name must not contain \"@\", which introduces a revision or a tag.");
	if (has_control_characters(name))
		bad_name("version name", name, "A name must not contain control characters.");
}

void
version_check_tag(const char *tag)
{
	if (tag[0] == '\0')
		bad_name("tag", tag, "A tag must not be empty.");
	if (pg_mbstrlen(tag) > TAG_MAX_CHARACTERS)
		bad_name("tag", tag, "A tag has at most 128 characters.");
	if (only_digits(tag))
		bad_name("tag", tag, "A tag of digits only would be taken for a revision.");
	if (strchr(tag, '@') != NULL || has_control_characters(tag))
		bad_name("tag", tag, "A tag must not contain \"@\" or control characters.");
}

/* ---- resolving references ---- */

#define VERSION_COLUMNS "select v.id, v.name, v.revision, v.family, v.state, v.kind from sparse.version v "
#define VERSION_RESULT .columns = 6, .column = {INT8OID, TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID}

/*
 * The caller's policies are planned together with these queries: they are left to
 * the planner as it is set (scans).
 */
static StoreQuery by_id = {
	.sql = VERSION_COLUMNS
		"where v.id operator(pg_catalog.=) $1",
	.args = 1, .arg = {INT8OID},
	VERSION_RESULT,
	.scans = true
};

static StoreQuery by_revision = {
	.sql = VERSION_COLUMNS
		"where v.name operator(pg_catalog.=) $1 and v.revision operator(pg_catalog.=) $2",
	.args = 2, .arg = {TEXTOID, INT4OID},
	VERSION_RESULT,
	.scans = true
};

static StoreQuery newest_ready = {
	.sql = VERSION_COLUMNS
		"where v.name operator(pg_catalog.=) $1 and v.state operator(pg_catalog.=) 'ready' "
		"order by v.revision desc limit 1",
	.args = 1, .arg = {TEXTOID},
	VERSION_RESULT,
	.scans = true
};

static StoreQuery newest = {
	.sql = VERSION_COLUMNS
		"where v.name operator(pg_catalog.=) $1 order by v.revision desc limit 1",
	.args = 1, .arg = {TEXTOID},
	VERSION_RESULT,
	.scans = true
};

static StoreQuery tagged = {
	.sql = "select version from sparse.tag "
		"where name operator(pg_catalog.=) $1 and tag operator(pg_catalog.=) $2",
	.args = 2, .arg = {TEXTOID, TEXTOID},
	.columns = 1, .column = {INT8OID}
};

/* Runs one of the queries above; false when it finds nothing. */
static bool
find_version(StoreQuery *query, Datum *value, bool read_only, MemoryContext context, StoreVersion *version)
{
	SPITupleTable *rows;

	if (query_run(query, value, NULL, read_only, &rows) == 0)
		return false;
	version->id = row_int64(rows, 0, 1);
	version->name = MemoryContextStrdup(context, TextDatumGetCString(row_datum(rows, 0, 2)));
	version->revision = row_int32(rows, 0, 3);
	version->family = row_int64(rows, 0, 4);
	version->state = *TextDatumGetCString(row_datum(rows, 0, 5));
	version->kind = *TextDatumGetCString(row_datum(rows, 0, 6));
	SPI_freetuptable(rows);
	return true;
}

static bool
find_by_id(int64 id, MemoryContext context, StoreVersion *version)
{
	Datum		value = Int64GetDatum(id);

	return find_version(&by_id, &value, true, context, version);
}

/* The newest ready revision, or where none is ready, the newest. */
static bool
find_newest(const char *name, MemoryContext context, StoreVersion *version)
{
	Datum		value = CStringGetTextDatum(name);

	return find_version(&newest_ready, &value, true, context, version) ||
		find_version(&newest, &value, true, context, version);
}

static bool
find_by_revision(const char *name, int32 revision, MemoryContext context, StoreVersion *version)
{
	Datum		value[2] = {CStringGetTextDatum(name), Int32GetDatum(revision)};

	return find_version(&by_revision, value, true, context, version);
}

int64
version_tagged(const char *name, const char *tag, bool read_only)
{
	Datum		value[2] = {CStringGetTextDatum(name), CStringGetTextDatum(tag)};
	StoreAccess access;
	SPITupleTable *rows;
	int64		version = 0;

	store_enter(&access);
	if (query_run(&tagged, value, NULL, read_only, &rows) > 0)
		version = row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	store_leave(&access);
	return version;
}

/*
 * Tags are read as the store's owner, the version as the caller: who cannot see
 * the version that bears a tag is told that there is none, as if there were no tag.
 */
static bool
find_by_tag(const char *name, const char *tag, MemoryContext context, StoreVersion *version)
{
	/* asked where there is no tag, too: who may not read versions at all is not told by another error that there is one */
	return find_by_id(version_tagged(name, tag, true), context, version);
}

/* A number of digits only; false when it is none. Too large: limit + 1. */
static bool
parse_digits(const char *text, int64 limit, int64 *number)
{
	int64		value = 0;

	if (*text == '\0')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
	{
		int			digit = *text - '0';

		value = value > (limit - digit) / 10 ? limit + 1 : value * 10 + digit;
		if (value > limit)
			break;
	}
	*number = value;
	return only_digits(text);
}

/* Finds "name@3" or "name@production"; `at` is where its "@" stands. */
static bool
find_revision_or_tag(const char *reference, const char *at, MemoryContext context, StoreVersion *version)
{
	const char *name = pnstrdup(reference, at - reference);
	int64		revision;

	if (at[1] == '\0' || strchr(at + 1, '@') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid version reference \"%s\"", reference),
				 errdetail("After \"@\" comes the number of a revision, or a tag."),
				 errhint("Write an id (7), a name (org/name), a name and its revision (org/name@3) or a name and a tag (org/name@production).")));
	if (parse_digits(at + 1, PG_INT32_MAX, &revision))
		return find_by_revision(name, (int32) Min(revision, PG_INT32_MAX), context, version);
	return find_by_tag(name, at + 1, context, version);
}

/* Finds what `reference` names, as described in store.h. */
static bool
find_reference(const char *reference, MemoryContext context, StoreVersion *version)
{
	const char *at = strchr(reference, '@');
	int64		id;

	if (parse_digits(reference, PG_INT64_MAX - 1, &id))
		return find_by_id(id, context, version);
	if (at == NULL)
		return find_newest(reference, context, version);
	return find_revision_or_tag(reference, at, context, version);
}

/* Refuses a version that cannot be read; any_state: none is refused. */
static void
check_state(const StoreVersion *version, bool any_state)
{
	if (any_state || version->state == 'r')
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("version " INT64_FORMAT " (\"%s@%d\") is not ready",
					version->id, version->name, version->revision),
			 version->state == 'd' ? errdetail("It was dropped.") :
			 errdetail("It is still being written.")));
}

pg_noreturn static void
no_such_version(const char *reference)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("version \"%s\" does not exist", reference),
			 errdetail("There is none, or row-level security hides it.")));
	pg_unreachable();
}

void
version_from_text(const char *reference, bool any_state, StoreVersion *version)
{
	MemoryContext context = CurrentMemoryContext;
	StoreAccess access;
	bool		found;

	SPI_connect();
	enter_versions(&access);
	found = find_reference(reference, context, version);
	store_leave(&access);
	SPI_finish();
	if (!found)
		no_such_version(reference);
	check_state(version, any_state);
}

/* With a snapshot of this moment: what the statement has just imported is found too. */
void
version_from_argument_now(FunctionCallInfo fcinfo, int arg, bool any_state, StoreVersion *version)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	version_from_argument(fcinfo, arg, any_state, version);
	PopActiveSnapshot();
}

void
version_from_id(int64 id, bool any_state, StoreVersion *version)
{
	MemoryContext context = CurrentMemoryContext;
	StoreAccess access;
	bool		found;

	SPI_connect();
	enter_versions(&access);
	found = find_by_id(id, context, version);
	store_leave(&access);
	SPI_finish();
	if (!found)
		no_such_version(psprintf(INT64_FORMAT, id));
	check_state(version, any_state);
}

bool
version_find(int64 id, bool read_only, StoreVersion *version)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		value = Int64GetDatum(id);
	StoreAccess access;
	bool		found;

	SPI_connect();
	enter_versions(&access);
	found = find_version(&by_id, &value, read_only, context, version);
	store_leave(&access);
	SPI_finish();
	return found && version->state == 'r';
}

static StoreQuery readable_query = {
	.sql = "select v.id from sparse.version v where v.id operator(pg_catalog.=) any ($1) "
		"and v.state operator(pg_catalog.=) 'ready'",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 1, .column = {INT8OID},
	.scans = true
};

void
versions_readable(const int64 *id, int count, bool read_only, bool *readable)
{
	Datum	   *element = palloc(Max(count, 1) * sizeof(Datum));
	StoreAccess access;
	SPITupleTable *rows;
	Datum		value;
	uint64		found;

	for (int i = 0; i < count; i++)
		element[i] = Int64GetDatum(id[i]);
	value = PointerGetDatum(construct_array(element, count, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	memset(readable, 0, count * sizeof(bool));
	SPI_connect();
	enter_versions(&access);
	found = query_run(&readable_query, &value, NULL, read_only, &rows);
	for (uint64 row = 0; row < found; row++)
		for (int i = 0; i < count; i++)
			if (id[i] == row_int64(rows, row, 1))
				readable[i] = true;
	store_leave(&access);
	SPI_finish();
}

void
version_from_argument(FunctionCallInfo fcinfo, int arg, bool any_state, StoreVersion *version)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("version must not be null")));
	if (type == INT8OID)
		version_from_id(PG_GETARG_INT64(arg), any_state, version);
	else if (type == TEXTOID)
		version_from_text(text_to_cstring(PG_GETARG_TEXT_PP(arg)), any_state, version);
	else
		elog(ERROR, "version is given as type %u", type);
}

/* ---- holding ---- */

static StoreQuery collected_query = {
	.sql = "select i.id from pg_catalog.unnest($1) i (id) where not exists ("
		"select from sparse.version v where v.id operator(pg_catalog.=) i.id and v.collected_at is null) limit 1",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 1, .column = {INT8OID}
};

void
versions_hold(const int64 *id, int count)
{
	Datum	   *element = palloc(Max(count, 1) * sizeof(Datum));
	StoreAccess access;
	SPITupleTable *rows;
	Datum		value;

	store_lock_for_writing();
	for (int i = 0; i < count; i++)
		element[i] = Int64GetDatum(id[i]);
	value = PointerGetDatum(construct_array(element, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	store_enter(&access);
	if (query_run(&collected_query, &value, NULL, true, &rows) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("version " INT64_FORMAT " was dropped and collected meanwhile", row_int64(rows, 0, 1)),
				 errhint("The transaction might succeed if retried.")));
	store_leave(&access);
	PopActiveSnapshot();
	SPI_finish();
}

/* ---- writing ---- */

static StoreQuery insert_version = {
	.sql = "insert into sparse.version (id, kind, name, revision, family, created_by, message, metadata) "
		"values ($1, $2, $3, $4, $5, $6, $7, $8)",
	.args = 8, .arg = {INT8OID, TEXTOID, TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID, JSONBOID},
	.scans = true
};

/* Apart, for whoever may insert only those columns. */
static StoreQuery insert_approximation = {
	.sql = "insert into sparse.version (id, kind, name, revision, family, created_by, message, metadata, exact) "
		"values ($1, $2, $3, $4, $5, $6, $7, $8, false)",
	.args = 8, .arg = {INT8OID, TEXTOID, TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID, JSONBOID},
	.scans = true
};

static StoreQuery drop_version = {
	.sql = "update sparse.version set state = 'dropped', dropped_at = pg_catalog.now() "
		"where id operator(pg_catalog.=) $1 and state operator(pg_catalog.<>) 'dropped'",
	.args = 1, .arg = {INT8OID},
	.scans = true
};

static StoreQuery undrop_version = {
	.sql = "update sparse.version set state = 'ready', dropped_at = null "
		"where id operator(pg_catalog.=) $1 and state operator(pg_catalog.=) 'dropped' "
		"and collected_at is null and content_sha256 is not null",
	.args = 1, .arg = {INT8OID},
	.scans = true
};

static StoreQuery measured_version = {
	.sql = "update sparse.version set zstd_bytes = $2 where id operator(pg_catalog.=) $1",
	.args = 2, .arg = {INT8OID, INT8OID},
	.scans = true
};

static StoreQuery rename_version = {
	.sql = "update sparse.version set name = $2, revision = $3 where id operator(pg_catalog.=) $1",
	.args = 3, .arg = {INT8OID, TEXTOID, INT4OID},
	.scans = true
};

/* Of a tombstone: whether it was collected, and whether it was ever ready. */
static StoreQuery tombstone = {
	.sql = "select collected_at is not null, content_sha256 is not null from sparse.version "
		"where id operator(pg_catalog.=) $1 and state operator(pg_catalog.=) 'dropped'",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {BOOLOID, BOOLOID},
	.scans = true
};

void
version_insert(int64 id, const char *kind, bool exact, const char *name, int32 revision, int64 family,
			   const char *message, Datum metadata_jsonb)
{
	Datum		value[8];
	char		null[8 + 1] = "        ";

	version_check_name(name);
	if (message == NULL && sparse_message[0] != '\0')
		message = sparse_message;
	SPI_connect();
	value[0] = Int64GetDatum(id);
	value[1] = CStringGetTextDatum(kind);
	value[2] = CStringGetTextDatum(name);
	value[3] = Int32GetDatum(revision);
	value[4] = Int64GetDatum(family);
	value[5] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	value[6] = message == NULL ? (Datum) 0 : CStringGetTextDatum(message);
	null[6] = message == NULL ? 'n' : ' ';
	value[7] = metadata_jsonb;
	if (write_version(exact ? &insert_version : &insert_approximation, id, value, null) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("version \"%s@%d\" was not inserted", name, revision),
				 errdetail("A trigger or a rule of table sparse.version suppressed it.")));
	SPI_finish();
}

void
version_drop(int64 id)
{
	Datum		value = Int64GetDatum(id);
	uint64		rows;

	SPI_connect();
	rows = write_version(&drop_version, id, &value, NULL);
	SPI_finish();
	if (rows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to drop version " INT64_FORMAT, id),
				 errdetail("Row-level security of sparse.version does not let you update it, or it was dropped just now.")));
}

/* Why a version could not be undropped. */
pg_noreturn static void
not_undropped(int64 id)
{
	Datum		value = Int64GetDatum(id);
	StoreAccess access;
	SPITupleTable *rows;
	bool		found;

	enter_versions(&access);
	found = query_run(&tombstone, &value, NULL, false, &rows) > 0;
	store_leave(&access);
	if (found && DatumGetBool(row_datum(rows, 0, 1)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version " INT64_FORMAT " was collected", id),
				 errdetail("sparse_collect() has removed what it was made of.")));
	if (found && !DatumGetBool(row_datum(rows, 0, 2)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version " INT64_FORMAT " was never ready", id)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to undrop version " INT64_FORMAT, id),
			 errdetail("Row-level security of sparse.version does not let you update it, or it was undropped just now.")));
	pg_unreachable();
}

void
version_undrop(int64 id)
{
	Datum		value = Int64GetDatum(id);

	SPI_connect();
	if (write_version(&undrop_version, id, &value, NULL) != 1)
		not_undropped(id);
	SPI_finish();
}

bool
version_rename(int64 id, const char *name, int32 revision)
{
	Datum		value[3];
	uint64		rows;

	version_check_name(name);
	SPI_connect();
	value[0] = Int64GetDatum(id);
	value[1] = CStringGetTextDatum(name);
	value[2] = Int32GetDatum(revision);
	rows = write_version(&rename_version, id, value, NULL);
	SPI_finish();
	return rows == 1;
}

void
version_measured(int64 id, int64 zstd_bytes)
{
	Datum		value[2] = {Int64GetDatum(id), Int64GetDatum(zstd_bytes)};
	uint64		rows;

	SPI_connect();
	rows = write_version(&measured_version, id, value, NULL);
	SPI_finish();
	if (rows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to note what was measured of version " INT64_FORMAT, id),
				 errdetail("Row-level security of sparse.version does not let you update it.")));
}

/* sparse_drop(version): what was dropped before stays as it is. */
Datum
version_drop_sql(PG_FUNCTION_ARGS)
{
	StoreVersion version;

	version_from_argument_now(fcinfo, 0, true, &version);
	if (version.state != 'd')
		version_drop(version.id);
	PG_RETURN_VOID();
}

/* sparse_undrop(version): what is there stays as it is. */
Datum
version_undrop_sql(PG_FUNCTION_ARGS)
{
	StoreVersion version;

	version_from_argument_now(fcinfo, 0, true, &version);
	if (version.state == 'd')
		version_undrop(version.id);
	PG_RETURN_VOID();
}
