/*
 * alike.h: values of two types compared: a column whose type was changed between versions.
 */
#ifndef SPARSE_DATASET_ALIKE_H
#define SPARSE_DATASET_ALIKE_H

#include "postgres.h"

#include "type.h"

/* As what values of two types are compared. */
typedef enum Alike
{
	ALIKE_BYTES,				/* as they are stored: of one type */
	ALIKE_NUMBER,				/* integers, floats and numerics */
	ALIKE_TIME,					/* dates and timestamps without time zone */
	ALIKE_JSON,					/* json and jsonb, as jsonb */
	ALIKE_TEXT					/* all others, as the text that sparse_rows() shows */
} Alike;

/* Of two types, that are not one. */
extern Alike alike_of(const TypeCoder *a, const TypeCoder *b);

/* For messages: "numbers". */
extern const char *alike_name(Alike alike);

/* Appends what is equal for equal values, of the bytes of a value of one of the types. */
extern void alike_append(Alike alike, TypeCoder *coder, const char *bytes, size_t length, StringInfo out);

#endif
