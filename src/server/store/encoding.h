/*
 * encoding.h: text that is kept as bytes.
 *
 * pg_dump converts the text of columns to the encoding of the database that it is restored into; what stands within
 * a bytea or a delta, or was hashed, it cannot know. So there text is UTF-8, whatever the encoding of the database, and
 * is converted when it is read. A database without an encoding of its own (SQL_ASCII), or with one that UTF-8
 * cannot express (MULE_INTERNAL), keeps its text as it is.
 */
#ifndef SPARSE_STORE_ENCODING_H
#define SPARSE_STORE_ENCODING_H

#include "postgres.h"

/* The encoding of text that is kept: UTF-8, or that of a database that keeps its text as it is. */
extern int	kept_encoding(void);

/* Text of this database as it is kept: palloc'd, or where the bytes are the same the very ones given. */
extern const char *text_to_kept(const char *text, size_t length, size_t *kept_length);

/* And back. Text that is none, or that the database cannot express, is an error that quotes it. */
extern const char *text_from_kept(const char *kept, size_t length, size_t *text_length);

/* Whether it could be read: false where text_from_kept would raise an error. */
extern bool text_is_readable(const char *kept, size_t length);

/*
 * Names of files are UTF-8 on disk, whatever the encoding of the database: clients write them so. One that is
 * no UTF-8 there is taken as text of the database. Palloc'd, or the very one given.
 */
extern const char *name_from_disk(const char *name);
extern const char *name_to_disk(const char *name);

/* Compares texts of this database by the bytes that are kept. */
extern int	text_compare_kept(const char *a, const char *b);

#endif
