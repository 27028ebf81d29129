/*
 * config.h: the JSON files at the root of a model that say what it is. They become its
 * metadata, whoever takes it in: the server from its own disk, the client from a user's.
 */
#ifndef SPARSE_PLAN_CONFIG_H
#define SPARSE_PLAN_CONFIG_H

#include <stddef.h>

#include "codec/memory.h"
#include "codec/status.h"

#define SPARSE_CONFIG_BYTES ((size_t) 1 << 20)	/* a longer one is no metadata */
#define SPARSE_CONFIG_FILES 6

typedef struct sparse_config_file
{
	const char *path;
	const char *key;			/* of the metadata; of several files with one key the first that is there counts */
} sparse_config_file;

extern const sparse_config_file sparse_config_files[SPARSE_CONFIG_FILES];

/*
 * SPARSE_OK where a text is an object that jsonb can hold: JSON in UTF-8, without zero bytes in strings, its
 * numbers neither out of range nor endless. Else a message.
 */
extern sparse_status sparse_config_check(const sparse_allocator *allocator, const char *text, size_t bytes,
										 char *error, size_t error_size);

#endif
