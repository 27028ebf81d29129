/*
 * type_stored.c: coders of types that are gone, or are made of something else by now.
 *
 * What a type was made of stands beside its name (type_structure()), so its values can still be taken
 * apart: a composite into its fields, a domain into its base type, an array or a range into its parts. What has no
 * structure, an enum or a type with functions of its own, is opaque: its bytes are all that is known.
 *
 *   structure   [" as " type] [ " (" field {", " field} ")" | " of " type structure ]
 *   field       name " " type structure
 */
#include "postgres.h"
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "type.h"

/* The text of a structure that is being read. */
typedef struct Reading
{
	const char *at;
	const char *column;			/* for messages */
} Reading;

static TypeCoder *read_coder(Reading *in, const char *type);

pg_noreturn static void
not_a_structure(const Reading *in)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("what the type of column \"%s\" was made of is corrupt", in->column),
			 errdetail("It does not go on with \"%s\".", in->at)));
	pg_unreachable();
}

static bool
skip(Reading *in, const char *word)
{
	if (strncmp(in->at, word, strlen(word)) != 0)
		return false;
	in->at += strlen(word);
	return true;
}

/* Behind a quoted name. */
static const char *
end_of_quoted(const char *at)
{
	for (at++; *at != '\0'; at++)
		if (*at == '"' && *++at != '"')
			return at;
	return at;
}

/* The name of a type: up to what may follow one, outside of quotes and parentheses. */
static char *
read_type(Reading *in)
{
	const char *start = in->at;
	const char *at = start;
	int			depth = 0;

	while (*at != '\0')
	{
		if (depth == 0 && (*at == ',' || *at == ')' || strncmp(at, " as ", 4) == 0 ||
						   strncmp(at, " of ", 4) == 0 || strncmp(at, " (", 2) == 0))
			break;
		depth += (*at == '(') - (*at == ')');
		at = *at == '"' ? end_of_quoted(at) : at + 1;
	}
	if (at == start)
		not_a_structure(in);
	in->at = at;
	return pnstrdup(start, at - start);
}

/* The name of a field, without its quotes. */
static char *
read_name(Reading *in)
{
	const char *end = *in->at == '"' ? end_of_quoted(in->at) : in->at + strcspn(in->at, " ");
	char	   *name = palloc(end - in->at + 1);
	char	   *to = name;
	const char *at = in->at;

	if (*at != '"')
		to = (char *) memcpy(name, at, end - at) + (end - at);
	else
		for (at++; at < end - 1; at += at[0] == '"' ? 2 : 1)
			*to++ = *at;
	*to = '\0';
	in->at = end;
	if (!skip(in, " "))
		not_a_structure(in);
	return name;
}

static TypeCoder *
new_coder(TypeForm form)
{
	TypeCoder  *coder = palloc0(sizeof(TypeCoder));

	coder->context = CurrentMemoryContext;
	coder->form = form;
	coder->length = -1;
	coder->stored = true;
	return coder;
}

static TypeCoder *
read_composite(Reading *in)
{
	TypeCoder  *coder = new_coder(FORM_COMPOSITE);
	int			room = 16;
	int			count = 0;
	char	  **name = palloc(room * sizeof(char *));

	coder->field = palloc(room * sizeof(TypeCoder *));
	while (!skip(in, ")"))
	{
		if (count > 0 && !skip(in, ", "))
			not_a_structure(in);
		if (count == MaxTupleAttributeNumber)
			not_a_structure(in);
		if (count == room)
		{
			room *= 2;
			name = repalloc(name, room * sizeof(char *));
			coder->field = repalloc(coder->field, room * sizeof(TypeCoder *));
		}
		name[count] = read_name(in);
		coder->field[count++] = read_coder(in, read_type(in));
	}
	coder->fields = CreateTemplateTupleDesc(count);
	for (int i = 0; i < count; i++)
		TupleDescInitEntry(coder->fields, (AttrNumber) (i + 1), name[i], TEXTOID, -1, 0);
	return coder;
}

static bool
is_array(const char *type)
{
	size_t		length = strlen(type);

	return length > 2 && strcmp(type + length - 2, "[]") == 0;
}

/* Of an array, a range or a multirange: its parts stand in the structure. */
static TypeCoder *
read_container(Reading *in, const char *type)
{
	TypeCoder  *part = read_coder(in, read_type(in));
	TypeCoder  *coder = new_coder(is_array(type) ? FORM_ARRAY : part->form == FORM_RANGE ? FORM_MULTIRANGE : FORM_RANGE);

	coder->part = part;
	return coder;
}

/* The live type of that name, if it is made of what follows, which is skipped then. */
static TypeCoder *
read_live(Reading *in, const char *type)
{
	Oid			oid;
	int32		typmod;
	TypeCoder  *coder;
	const char *structure;
	size_t		length;

	if (!type_find(type, &oid, &typmod))
		return NULL;
	coder = type_coder(oid, typmod, in->column);
	structure = type_structure(coder);
	length = strlen(structure);
	if (length > 0 && (in->at[0] != ' ' || strncmp(in->at + 1, structure, length) != 0))
		return NULL;
	if (length > 0)
		length++;
	if (in->at[length] != '\0' && in->at[length] != ',' && in->at[length] != ')')
		return NULL;
	in->at += length;
	return coder;
}

/* The coder of a type of that name, made of what follows. */
static TypeCoder *
read_coder(Reading *in, const char *type)
{
	TypeCoder  *coder;
	Reading		nothing = {"", in->column};

	check_stack_depth();
	coder = read_live(in, type);
	if (coder != NULL)
		return coder;
	if (skip(in, " as "))
		return read_coder(in, read_type(in));
	if (skip(in, " ("))
		return read_composite(in);
	if (skip(in, " of "))
		return read_container(in, type);
	if (!is_array(type))
		return new_coder(FORM_OPAQUE);
	coder = new_coder(FORM_ARRAY);
	coder->part = read_coder(&nothing, pnstrdup(type, strlen(type) - 2));
	return coder;
}

TypeCoder *
type_coder_stored(const char *type, const char *structure, const char *column)
{
	Reading		in = {structure[0] == '\0' ? "" : psprintf(" %s", structure), column};
	TypeCoder  *coder = read_coder(&in, type);

	if (*in.at != '\0')
		not_a_structure(&in);
	return coder;
}
