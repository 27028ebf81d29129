/*
 * type.h: how values of a column type become bytes that mean the same in any
 * database, under any settings, and how they become values again.
 *
 * The form is stored, and so is part of the format:
 *
 *   integers, floats, booleans, dates, times     their words, little-endian
 *   text, varchar, bpchar, json, xml             the text, in UTF-8 (store/encoding.h)
 *   bytea                                        the bytes
 *   enums                                        the label, in UTF-8
 *   arrays, composites, ranges, multiranges      their parts, each in its own form (value.c)
 *   domains                                      as their base type
 *   anything else                                what its send function makes of it
 *
 * Send functions of containers write oids, so containers are taken apart; send
 * functions of text-like types follow client_encoding, so they run under that of kept
 * text. Nothing else of a session shows in the bytes.
 *
 * Values are made as the caller, never within store_enter: types bring functions of
 * their own.
 */
#ifndef SPARSE_DATASET_TYPE_H
#define SPARSE_DATASET_TYPE_H

#include "postgres.h"
#include "compat.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/typcache.h"

#include "codec/dtype.h"

typedef enum TypeForm
{
	FORM_WORD,					/* a word of 1, 2, 4 or 8 bytes */
	FORM_BYTES,					/* the content of the varlena */
	FORM_SENT,					/* by send and recv functions */
	FORM_ENUM,
	FORM_ARRAY,
	FORM_COMPOSITE,
	FORM_RANGE,
	FORM_MULTIRANGE,
	FORM_OPAQUE					/* bytes of a type that is gone (type_stored.c) */
} TypeForm;

typedef struct TypeCoder
{
	Oid			type;
	int32		typmod;
	Oid			base;			/* under domains; the type itself where it is none */
	int32		base_typmod;
	bool		constrained;	/* a domain: values that are made are checked */
	bool		stored;			/* made of the names that were stored: values are shown, not made */
	bool		lenient;		/* what is not text is shown as its bytes */
	void	   *constraints;	/* domain_check()'s */
	MemoryContext context;		/* in which this lives */
	TypeForm	form;
	int16		length;			/* of the base type, as in pg_type */
	bool		by_value;
	char		align;

	sparse_dtype dtype;			/* FORM_WORD */
	FmgrInfo	send;			/* FORM_SENT */
	FmgrInfo	receive;
	Oid			receive_arg;
	TypeCacheEntry *ranges;		/* of the range type: FORM_RANGE, FORM_MULTIRANGE */
	struct TypeCoder *part;		/* of elements, bounds; NULL: none */
	TupleDesc	fields;			/* FORM_COMPOSITE; of a stored one only the names count */
	struct TypeCoder **field;	/* NULL for dropped ones */
} TypeCoder;

/*
 * The coder of a type, in the current context. A type whose values cannot be
 * stored is refused; `column` is named.
 */
extern TypeCoder *type_coder(Oid type, int32 typmod, const char *column);

/* The name of a type, with its schema where it is not in pg_catalog, such that type_find() finds it. */
extern char *type_name(Oid type, int32 typmod);

/* The type of that name; false: there is none. */
extern bool type_find(const char *name, Oid *type, int32 *typmod);

/* Refuses a type that goes away with the session: one of a temporary table, or made of one. */
extern void type_check_lasting(const TypeCoder *coder, const char *column);

/*
 * What a type is made of, by names: the fields of composites, the base of domains,
 * the subtype of ranges, within containers too. Two types of one name and one
 * structure read each other's bytes. Empty for other types.
 */
extern char *type_structure(const TypeCoder *coder);

/* Bytes of a word; 0 for other forms. */
extern int	type_word(const TypeCoder *coder);

/* Whether all functions that making a value runs belong to those whom the caller trusts anyway. */
extern bool type_is_trusted(const TypeCoder *coder);

/*
 * Values made from now on are not held against the constraints of domains, whose functions belong to whoever made
 * them: for views, and for values that are only stored again.
 */
extern void type_uncheck(TypeCoder *coder);

/* The schema of a type. */
extern Oid	type_schema(Oid type);

/*
 * type_guard.c: sees to it that a type is not dropped while columns have it, as the store's owner within SPI_connect;
 * and the type that was guarded under that name, whatever its name is by now; `named` is the one that has the name now. False: none.
 */
extern void type_guard(const char *name, Oid type);
extern bool type_guarded(const char *name, Oid named, Oid *type);

/* Values are to be shown whatever is wrong with them. */
extern void type_be_lenient(TypeCoder *coder);

/*
 * type_stored.c: the coder of values of a type that need not be there any more, of its name and
 * structure as they were stored: for its bytes, and to show them, not to make values.
 */
extern TypeCoder *type_coder_stored(const char *type, const char *structure, const char *column);

/* ---- value.c ---- */

/* Appends the bytes of a value that is not null. */
extern void value_pack(TypeCoder *coder, Datum value, StringInfo out);

/* The value of these bytes, in the current context; bytes of no value are data_corrupted or an error of its type. */
extern Datum value_unpack(TypeCoder *coder, const char *bytes, size_t length);

/*
 * Refuses bytes that are no value of the type: text that the database cannot express, labels that an enum has not,
 * parts that do not fit. It runs no function but those of the server and of types, which superusers have made.
 */
extern void value_check(TypeCoder *coder, const char *bytes, size_t length);

/* How the bytes of a range begin: which bounds follow, and how they are. */
typedef struct RangeForm
{
	bool		lower;
	bool		upper;
	const char *bounds;			/* "[)" and its like, or "empty" */
} RangeForm;

struct Unpack;
extern RangeForm range_form(struct Unpack *in);

/* A word as a value and back. */
extern Datum word_value(const TypeCoder *coder, const char *bytes);

#endif
