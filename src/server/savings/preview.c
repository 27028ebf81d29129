/*
 * preview.c: sparse_drop_preview: what dropping a version, or several, would really free.
 *
 * An object can be freed when nothing needs it but the versions: no other version
 * that is not dropped names it, no upload builds on it, and the same holds for every
 * object that is predicted from it, however far up the chains. Beside the version's
 * own objects, those can be freed that only they are predicted from. It is what
 * sparse_collect() would come to: the bytes of versions dropped before are not waited
 * for, and not counted where this version does not use them.
 *
 * What stays is told of the version's own content alone: what it is predicted from is
 * the content of others, whom the caller may not see.
 *
 * The search up the chains of an object ends with the first that is needed.
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/array.h"

#include "model/answer.h"
#include "model/import.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(savings_drop_preview);
PG_FUNCTION_INFO_V1(savings_drop_preview_set);

#define NAMED_BY_ANOTHER(table) \
	"exists (select from sparse." table " t join sparse.version v on v.id operator(pg_catalog.=) t.version " \
	"  where t.object operator(pg_catalog.=) n.object " \
	"  and t.version operator(pg_catalog.<>) all ($1) and v.state operator(pg_catalog.<>) 'dropped')"
#define UPLOAD_NEEDS(column) \
	"exists (select from sparse.staged s " \
	"  where s." column " operator(pg_catalog.=) n.object)"

static StoreQuery preview = {
	.sql = "with recursive own (object) as materialized ("
	"  select t.object from sparse.tensor t where t.version operator(pg_catalog.=) any ($1)"
	"  union select f.object from sparse.file f where f.version operator(pg_catalog.=) any ($1)"
	"  union select pg_catalog.unnest(c.object) from sparse.column_chunk c where c.version operator(pg_catalog.=) any ($1)),"
	" used (object) as ("
	"  select object from own"
	"  union select p.parent from used u join sparse.object_parent p"
	"    on p.object operator(pg_catalog.=) u.object),"
	/* (an array has no index by its elements: so once, to be hashed) */
	" columns_of_others (object) as materialized ("
	"  select pg_catalog.unnest(c.object) from sparse.column_chunk c"
	"    join sparse.version v on v.id operator(pg_catalog.=) c.version"
	"  where c.version operator(pg_catalog.<>) all ($1) and v.state operator(pg_catalog.<>) 'dropped'),"
	" judged as (select o.bytes, o.stored_bytes,"
	"  u.object operator(pg_catalog.=) any (select object from own) as own, exists ("
	"    with recursive n (object) as ("
	"      select u.object"
	"      union select p.object from n join sparse.object_parent p"
	"        on p.parent operator(pg_catalog.=) n.object)"
	"    select from n where " NAMED_BY_ANOTHER("tensor") " or " NAMED_BY_ANOTHER("file")
	"      or n.object operator(pg_catalog.=) any (select object from columns_of_others)"
	"      or " UPLOAD_NEEDS("object") " or " UPLOAD_NEEDS("source") ") as needed"
	"  from used u join sparse.object o on o.id operator(pg_catalog.=) u.object)"
	" select pg_catalog.count(*) filter (where not needed),"
	"  coalesce(pg_catalog.sum(bytes) filter (where not needed), 0)::pg_catalog.int8,"
	"  coalesce(pg_catalog.sum(stored_bytes) filter (where not needed), 0)::pg_catalog.int8,"
	"  pg_catalog.count(*) filter (where needed and own),"
	"  coalesce(pg_catalog.sum(stored_bytes) filter (where needed and own), 0)::pg_catalog.int8"
	" from judged",
	.args = 1, .arg = {INT8ARRAYOID},
	.columns = 5, .column = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID}
};

/* The row of the answer, for versions that the caller can see. */
static Datum
preview_of(FunctionCallInfo fcinfo, Datum *version, int count)
{
	StoreAccess access;
	SPITupleTable *rows;
	TupleDesc	row_type;
	Datum		argument = PointerGetDatum(construct_array(version, count, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE));
	Datum		value[5];
	bool		null[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	answer_connect();
	store_enter(&access);
	query_run(&preview, &argument, NULL, true, &rows);
	for (int i = 0; i < 5; i++)
		value[i] = Int64GetDatum(row_int64(rows, 0, i + 1));
	store_leave(&access);
	answer_finish();
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), value, null));
}

/* sparse_drop_preview(version) */
Datum
savings_drop_preview(PG_FUNCTION_ARGS)
{
	StoreVersion version;
	Datum		id;

	version_from_argument(fcinfo, 0, true, &version);
	id = Int64GetDatum(version.id);
	PG_RETURN_DATUM(preview_of(fcinfo, &id, 1));
}

/* sparse_drop_preview(versions) */
Datum
savings_drop_preview_set(PG_FUNCTION_ARGS)
{
	char	  **reference;
	int			count = import_text_elements(fcinfo, 0, "versions", &reference);
	Datum	   *id = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
	{
		StoreVersion version;

		version_from_text(reference[i], true, &version);
		id[i] = Int64GetDatum(version.id);
	}
	PG_RETURN_DATUM(preview_of(fcinfo, id, count));
}
