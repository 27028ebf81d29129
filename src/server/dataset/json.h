/*
 * json.h: values as jsonb: a view of them, for reading, not their exact form.
 */
#ifndef SPARSE_DATASET_JSON_H
#define SPARSE_DATASET_JSON_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "dataset.h"

/*
 * Pushes the value with these bytes as an element or a value (token WJB_ELEM, WJB_VALUE). No function
 * of a type runs but its output function and, where it is stored as it is sent, its receive function. The coder
 * must be unchecked (type_uncheck).
 */
extern void json_push(JsonbInState *state, JsonbIteratorToken token, TypeCoder *coder,
					  const char *bytes, size_t length);

/* Bytes as they are: \x and their hexadecimal digits. */
extern void json_push_bytes(JsonbInState *state, JsonbIteratorToken token, const char *bytes, size_t length);

/* Appends it as text: a string as it is, anything else as jsonb writes it. */
extern void json_append_text(TypeCoder *coder, const char *bytes, size_t length, StringInfo out);

/* A row, or some of its columns, as an object; raw: the bytes of the values. */
extern Jsonb *json_row(ColumnReader **reader, const Split *split, const int *column, int columns, int64 row, bool raw);

#endif
