/*
 * reader.h: what the writer of objects needs of an ObjectReader beyond store.h.
 */
#ifndef SPARSE_STORE_READER_H
#define SPARSE_STORE_READER_H

#include "store/store.h"

/* The reader's codec: what it returned last is gone after the next object_read. */
extern sparse_codec *object_reader_codec(ObjectReader *reader);

/* object_read; keep: the chunks will be wanted again soon. */
extern void object_read_keep(ObjectReader *reader, int64 object,
							 uint64 first, uint64 bytes, char *target, bool keep);

/* Forget the row of an object that has just been changed. */
extern void object_forget(ObjectReader *reader, int64 object);

#endif
