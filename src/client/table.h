/*
 * table.h: answers of the server, shown: an aligned table for people, JSON or CSV
 * for programs.
 *
 * A table is no wider than the terminal, if it goes to one: columns where nothing stands are left out first, then the
 * end of the last column, then columns from the right, but never the first two; what is left out is named on standard
 * error. In a table, columns whose name ends in "bytes" are shown in units, heads are bold
 * on a terminal (unless NO_COLOR is set), and what could steer a terminal is shown as
 * '?', and moments to the minute. JSON and CSV give every value in full, moments in JSON
 * as ISO 8601 has them.
 */
#ifndef SPARSE_CLIENT_TABLE_H
#define SPARSE_CLIENT_TABLE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>

typedef enum table_format
{
	TABLE_ALIGNED = 0,
	TABLE_JSON,
	TABLE_CSV
} table_format;

/* All rows: as a table, as an array of objects, or as CSV with a head. */
extern void table_print(const PGresult *result, table_format format);

/* The first rows alone, at most so many. */
extern void table_print_first(const PGresult *result, table_format format, int most);

/* One row: a line for each column, or one object, or CSV with a head. */
extern void table_print_record(const PGresult *result, int row, table_format format);

/* The array or object alone, without a line's end: to be part of a larger one. */
extern void table_print_json(const PGresult *result);

/* A heading above a table. */
extern void table_print_heading(const char *text);

/* A number of bytes, for people. The caller frees it. */
extern char *text_in_units(double bytes);

/* Text as a JSON string. */
extern void json_string(FILE *out, const char *text);

/* Control characters, those of ISO 8859 (C2 80 to C2 9F in UTF-8) too, become '?'. */
extern void make_safe(char *text);

/* Text of the server for a terminal. */
extern void print_safely(const char *text);

#endif
