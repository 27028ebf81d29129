/*
 * type.c: which form a type's values have, its name and structure (see type.h).
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "type.h"

pg_noreturn static void
refuse(const char *column, Oid type, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" has type %s, which a dataset cannot hold",
					column, format_type_be(type)),
			 errdetail_internal("%s", reason)));
	pg_unreachable();
}

/* ---- the form of a type ---- */

typedef struct Word
{
	Oid			type;
	sparse_dtype dtype;
} Word;

/* Types of the server whose value is one word. */
static const Word words[] = {
	{BOOLOID, SPARSE_BOOL}, {CHAROID, SPARSE_I8},
	{INT2OID, SPARSE_I16}, {INT4OID, SPARSE_I32}, {INT8OID, SPARSE_I64},
	{FLOAT4OID, SPARSE_F32}, {FLOAT8OID, SPARSE_F64},
	{OIDOID, SPARSE_U32}, {XIDOID, SPARSE_U32}, {CIDOID, SPARSE_U32},
	{DATEOID, SPARSE_I32}, {TIMEOID, SPARSE_I64}, {TIMESTAMPOID, SPARSE_I64},
	{TIMESTAMPTZOID, SPARSE_I64}, {MONEYOID, SPARSE_I64}, {PG_LSNOID, SPARSE_U64},
	{XID8OID, SPARSE_U64}
};

static bool
is_word(Oid type, sparse_dtype *dtype)
{
	for (int i = 0; i < (int) lengthof(words); i++)
		if (words[i].type == type)
		{
			*dtype = words[i].dtype;
			return true;
		}
	return false;
}

/* Types of the server whose varlena is text, or bytes, and nothing else. */
static bool
is_bytes(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == BYTEAOID ||
		type == JSONOID || type == XMLOID;
}

/* Types of the server whose values are names of this database's objects, as oids. */
static bool
names_objects(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return true;
		default:
			return false;
	}
}

static void
find_sent(TypeCoder *coder, const char *column)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(coder->base));
	Form_pg_type form;
	Oid			send;
	Oid			receive;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", coder->base);
	form = (Form_pg_type) GETSTRUCT(tuple);
	send = form->typsend;
	receive = form->typreceive;
	coder->receive_arg = getTypeIOParam(tuple);
	ReleaseSysCache(tuple);
	if (!OidIsValid(send) || !OidIsValid(receive))
		refuse(column, coder->base, "It has no binary form: a function to send it or one to receive it is missing.");
	coder->form = FORM_SENT;
	fmgr_info_cxt(send, &coder->send, coder->context);
	fmgr_info_cxt(receive, &coder->receive, coder->context);
}

static void
find_fields(TypeCoder *coder, const char *column)
{
	TupleDesc	fields = lookup_rowtype_tupdesc(coder->base, coder->base_typmod);

	coder->form = FORM_COMPOSITE;
	coder->fields = CreateTupleDescCopy(fields);
	ReleaseTupleDesc(fields);
	coder->fields->tdtypeid = coder->base;
	coder->field = palloc0(Max(coder->fields->natts, 1) * sizeof(TypeCoder *));
	for (int i = 0; i < coder->fields->natts; i++)
	{
		Form_pg_attribute field = TupleDescAttr(coder->fields, i);

		if (!field->attisdropped)
			coder->field[i] = type_coder(field->atttypid, field->atttypmod, column);
	}
}

static void
find_form(TypeCoder *coder, const char *column)
{
	Oid			element = get_element_type(coder->base);
	char		kind = get_typtype(coder->base);

	if (coder->base == INT2VECTOROID)
		element = INT2OID;
	if (coder->base == OIDVECTOROID)
		element = OIDOID;
	if (kind == TYPTYPE_PSEUDO)
		refuse(column, coder->base, coder->base == RECORDOID || coder->base == RECORDARRAYOID ?
			   "Rows in a column need a named type." : "It is a pseudo-type.");
	if (names_objects(coder->base))
		refuse(column, coder->base, "Its values are names of objects of this database. Cast them to text.");
	if (is_word(coder->base, &coder->dtype))
		coder->form = FORM_WORD;
	else if (is_bytes(coder->base))
		coder->form = FORM_BYTES;
	else if (kind == TYPTYPE_ENUM)
		coder->form = FORM_ENUM;
	else if (OidIsValid(element))
	{
		coder->form = FORM_ARRAY;
		coder->part = type_coder(element, coder->base_typmod, column);
	}
	else if (kind == TYPTYPE_COMPOSITE)
		find_fields(coder, column);
	else if (kind == TYPTYPE_RANGE)
	{
		coder->form = FORM_RANGE;
		coder->ranges = lookup_type_cache(coder->base, TYPECACHE_RANGE_INFO);
		coder->part = type_coder(coder->ranges->rngelemtype->type_id, -1, column);
	}
	else if (kind == TYPTYPE_MULTIRANGE)
	{
		coder->form = FORM_MULTIRANGE;
		coder->ranges = lookup_type_cache(coder->base, TYPECACHE_MULTIRANGE_INFO)->rngtype;
		coder->part = type_coder(coder->ranges->type_id, -1, column);
	}
	else
		find_sent(coder, column);
}

TypeCoder *
type_coder(Oid type, int32 typmod, const char *column)
{
	TypeCoder  *coder = palloc0(sizeof(TypeCoder));

	check_stack_depth();
	coder->type = type;
	coder->typmod = typmod;
	coder->context = CurrentMemoryContext;
	coder->base_typmod = typmod;
	coder->base = getBaseTypeAndTypmod(type, &coder->base_typmod);
	coder->constrained = coder->base != type;
	get_typlenbyvalalign(coder->base, &coder->length, &coder->by_value, &coder->align);
	find_form(coder, column);
	return coder;
}

int
type_word(const TypeCoder *coder)
{
	return coder->form == FORM_WORD ? (int) sparse_dtype_get(coder->dtype)->bytes : 0;
}

/* ---- names ---- */

char *
type_name(Oid type, int32 typmod)
{
	char	   *name = format_type_extended(type, typmod,
										FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	const char *builtin = "pg_catalog.";

	if (strncmp(name, builtin, strlen(builtin)) == 0 && name[strlen(builtin)] != '"')
		name += strlen(builtin);
	return name;
}

bool
type_find(const char *name, Oid *type, int32 *typmod)
{
	return find_type_string(name, type, typmod);
}

/* ---- lifetime ---- */

Oid
type_schema(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return schema;
}

void
type_check_lasting(const TypeCoder *coder, const char *column)
{
	if (isAnyTempNamespace(type_schema(coder->type)) || isAnyTempNamespace(type_schema(coder->base)))
		refuse(column, coder->type, "It goes away with the session, and nobody could read the values then.");
	if (coder->part != NULL)
		type_check_lasting(coder->part, column);
	for (int i = 0; coder->form == FORM_COMPOSITE && i < coder->fields->natts; i++)
		if (coder->field[i] != NULL)
			type_check_lasting(coder->field[i], column);
}

/* ---- structure ---- */

static void
append_structure(StringInfo text, const TypeCoder *coder)
{
	if (coder->base != coder->type)
		appendStringInfo(text, " as %s", type_name(coder->base, coder->base_typmod));
	if (coder->form == FORM_COMPOSITE)
	{
		const char *separator = "";

		appendStringInfoString(text, " (");
		for (int i = 0; i < coder->fields->natts; i++)
			if (coder->field[i] != NULL)
			{
				appendStringInfo(text, "%s%s %s", separator,
								 quote_identifier(NameStr(TupleDescAttr(coder->fields, i)->attname)),
								 type_name(coder->field[i]->type, coder->field[i]->typmod));
				append_structure(text, coder->field[i]);
				separator = ", ";
			}
		appendStringInfoChar(text, ')');
	}
	else if (coder->part != NULL)
	{
		StringInfoData inner;

		initStringInfo(&inner);
		append_structure(&inner, coder->part);
		if (coder->form != FORM_ARRAY || inner.len > 0)
			appendStringInfo(text, " of %s%s", type_name(coder->part->type, coder->part->typmod), inner.data);
		pfree(inner.data);
	}
}

char *
type_structure(const TypeCoder *coder)
{
	StringInfoData text;

	initStringInfo(&text);
	append_structure(&text, coder);
	return text.len > 0 ? text.data + 1 : text.data;
}

/* ---- trust ---- */

/* Of a type; *base: what a domain is made over, if it is one. */
static bool
owner_is_trusted(Oid type, Oid *base)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	owner = form->typowner;
	*base = form->typtype == TYPTYPE_DOMAIN ? form->typbasetype : InvalidOid;
	ReleaseSysCache(tuple);
	return superuser_arg(owner) || owner == GetUserId();
}

/* A domain over domains runs the checks of them all. */
static bool
owners_are_trusted(Oid type)
{
	while (OidIsValid(type))
		if (!owner_is_trusted(type, &type))
			return false;
	return true;
}

/* Domains run their checks, ranges the functions of their subtype. */
bool
type_is_trusted(const TypeCoder *coder)
{
	if ((coder->constrained || coder->form == FORM_RANGE || coder->form == FORM_MULTIRANGE) &&
		!owners_are_trusted(coder->type))
		return false;
	if (coder->part != NULL && !type_is_trusted(coder->part))
		return false;
	for (int i = 0; coder->form == FORM_COMPOSITE && i < coder->fields->natts; i++)
		if (coder->field[i] != NULL && !type_is_trusted(coder->field[i]))
			return false;
	return true;
}

void
type_uncheck(TypeCoder *coder)
{
	coder->constrained = false;
	if (coder->part != NULL)
		type_uncheck(coder->part);
	for (int i = 0; coder->form == FORM_COMPOSITE && i < coder->fields->natts; i++)
		if (coder->field[i] != NULL)
			type_uncheck(coder->field[i]);
}

void
type_be_lenient(TypeCoder *coder)
{
	coder->lenient = true;
	if (coder->part != NULL)
		type_be_lenient(coder->part);
	for (int i = 0; coder->form == FORM_COMPOSITE && i < coder->fields->natts; i++)
		if (coder->field[i] != NULL)
			type_be_lenient(coder->field[i]);
}
