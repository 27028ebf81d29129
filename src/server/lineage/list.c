/*
 * list.c: sparse_versions: the versions that a filter describes, a page at a time.
 *
 * The query is put together from fixed pieces, one for each key of the filter, and
 * planned for the values at hand: an index on the name, the family, the date, the
 * tag or the metadata serves where it is worth it, and the order of the ids where it
 * is not. What users wrote goes in as parameters.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "model/answer.h"
#include "store/query.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(lineage_versions);

#define DEFAULT_PAGE 100
#define LARGEST_PAGE 10000

/* A key of the filter, what it must hold, and the condition that it stands for. */
typedef struct FilterKey
{
	const char *key;
	enum jbvType type;
	Oid			argument;
	const char *condition;		/* with %d for the number of its parameter */
} FilterKey;

static const FilterKey filter_keys[] = {
	{"created_after", jbvString, TIMESTAMPTZOID, "v.created_at >= $%d"},
	{"created_before", jbvString, TIMESTAMPTZOID, "v.created_at < $%d"},
	{"created_by", jbvString, TEXTOID, "v.created_by = $%d"},
	{"exact", jbvBool, BOOLOID, "v.exact = $%d"},
	{"family", jbvNumeric, INT8OID, "v.family = $%d"},
	{"kind", jbvString, TEXTOID, "v.kind = $%d"},
	{"metadata", jbvBinary, JSONBOID, "v.metadata @> $%d"},
	{"name", jbvString, TEXTOID, "v.name = $%d"},
	{"name_prefix", jbvString, TEXTOID, "v.name ^@ $%d"},
	{"state", jbvString, TEXTOID, "v.state = $%d"},
	{"tag", jbvString, TEXTOID, "v.id in (select t.version from sparse.tag t where t.tag = $%d)"}
};

static const FilterKey *
find_key(const JsonbValue *name)
{
	for (int i = 0; i < (int) lengthof(filter_keys); i++)
	{
		const FilterKey *key = &filter_keys[i];

		if ((int) strlen(key->key) == name->val.string.len &&
			memcmp(key->key, name->val.string.val, name->val.string.len) == 0)
			return key;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown key \"%s\" in a filter of versions",
				   pnstrdup(name->val.string.val, name->val.string.len)),
			errhint("Keys are created_after, created_before, created_by, exact, family, kind, metadata, name, name_prefix, state and tag."));
	return NULL;
}

static void
check_type(const FilterKey *key, const JsonbValue *value)
{
	bool		good = value->type == key->type &&
		(value->type != jbvBinary || JsonContainerIsObject(value->val.binary.data));

	if (!good)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("key \"%s\" in a filter of versions must hold %s", key->key,
					   key->type == jbvString ? "a string" : key->type == jbvBool ? "true or false" :
					   key->type == jbvNumeric ? "a number" : "an object"));
}

/* The parameter that a value of the filter becomes. */
static Datum
parameter_of(const FilterKey *key, JsonbValue *value)
{
	char	   *text;

	switch (key->argument)
	{
		case BOOLOID:
			return BoolGetDatum(value->val.boolean);
		case INT8OID:
			return DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric));
		case JSONBOID:
			return JsonbPGetDatum(JsonbValueToJsonb(value));
		case TIMESTAMPTZOID:
			text = pnstrdup(value->val.string.val, value->val.string.len);
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		default:
			return PointerGetDatum(cstring_to_text_with_len(value->val.string.val, value->val.string.len));
	}
}

typedef struct Listing
{
	StoreQuery	query;
	StringInfoData sql;
	Datum		value[QUERY_ARGS];
} Listing;

/* A further parameter; its number. */
static int
add_parameter(Listing *listing, Oid type, Datum value)
{
	Assert(listing->query.args < QUERY_ARGS);
	listing->query.arg[listing->query.args] = type;
	listing->value[listing->query.args] = value;
	return ++listing->query.args;
}

/* Keys of a jsonb object are there once each, so there are never more parameters than keys. */
static void
add_filter(Listing *listing, Jsonb *filter)
{
	JsonbIterator *iterator = JsonbIteratorInit(&filter->root);
	JsonbValue	item;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(filter))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a filter of versions must be an object"));
	token = JsonbIteratorNext(&iterator, &item, true);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) == WJB_KEY)
	{
		const FilterKey *key = find_key(&item);

		(void) JsonbIteratorNext(&iterator, &item, true);
		check_type(key, &item);
		appendStringInfoString(&listing->sql, " and ");
		appendStringInfo(&listing->sql, key->condition,
						 add_parameter(listing, key->argument, parameter_of(key, &item)));
	}
}

static int64
page_argument(FunctionCallInfo fcinfo, int argument)
{
	int64		count = PG_ARGISNULL(argument) ? DEFAULT_PAGE : PG_GETARG_INT32(argument);

	if (count < 1 || count > LARGEST_PAGE)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a page has from 1 to %d versions, not " INT64_FORMAT, LARGEST_PAGE, count));
	return count;
}

#define LISTED \
	"select v.id, v.kind, v.name, v.revision, v.family, v.state, v.exact, v.created_at, v.created_by," \
	"       coalesce((select array_agg(t.tag order by t.tag) from sparse.tag t where t.version = v.id), '{}')," \
	"       v.files, v.tensors, v.raw_bytes, v.stored_bytes, v.message, v.metadata" \
	"  from sparse.version v" \
	" where true"

static const StoreQuery listed = {
	.columns = 16,
	.column = {INT8OID, TEXTOID, TEXTOID, INT4OID, INT8OID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TEXTOID,
	TEXTARRAYOID, INT4OID, INT4OID, INT8OID, INT8OID, TEXTOID, JSONBOID}
};

/* sparse_versions(filter, after, count): the newest first. */
static void
make_listing(FunctionCallInfo fcinfo, Listing *listing)
{
	listing->query = listed;
	initStringInfo(&listing->sql);
	appendStringInfoString(&listing->sql, LISTED);
	if (!PG_ARGISNULL(0))
		add_filter(listing, PG_GETARG_JSONB_P(0));
	if (!PG_ARGISNULL(1))
		appendStringInfo(&listing->sql, " and v.id < $%d",
						 add_parameter(listing, INT8OID, PG_GETARG_DATUM(1)));
	appendStringInfo(&listing->sql, " order by v.id desc limit $%d",
					 add_parameter(listing, INT8OID, Int64GetDatum(page_argument(fcinfo, 2))));
	listing->query.sql = listing->sql.data;
}

Datum
lineage_versions(PG_FUNCTION_ARGS)
{
	Listing		listing;
	StoreAccess access;
	SPITupleTable *rows;
	Answer		answer;
	uint64		count;

	answer_begin(fcinfo, &answer);
	make_listing(fcinfo, &listing);
	answer_connect();
	enter_versions(&access);
	count = query_run_once(&listing.query, listing.value, true, &rows);
	store_leave(&access);
	for (uint64 i = 0; i < count; i++)
		answer_add_row(&answer, rows, i, 0);
	answer_finish();
	return (Datum) 0;
}
