/*
 * path.h: paths of files within a version, and what their names say.
 */
#ifndef SPARSE_PLAN_PATH_H
#define SPARSE_PLAN_PATH_H

#include <stdbool.h>

#define SPARSE_PATH_BYTES 1024	/* a path has fewer */

/* What has arrived of a file that is being pulled lies beside it under such a name, with 32 hexadecimal digits in between. */
#define SPARSE_PART_PREFIX ".pg_sparse-"
#define SPARSE_PART_DIGITS 32
#define SPARSE_PART ".part"
#define SPARSE_PART_JOURNAL ".journal"

/*
 * Whether a path may stand in a version, and so stays below the folder that it is put in:
 * relative, without empty or dotted components and control characters, not too long, and
 * not the name of another file's part.
 */
extern bool sparse_path_is_safe(const char *path);

/* The part of a path behind its last slash. */
extern const char *sparse_path_base(const char *path);

extern bool sparse_path_ends(const char *path, const char *ending);

/* Whether a name says that the file is a safetensors file. */
extern bool sparse_path_is_safetensors(const char *path);

/* Whether it says that the file may be an index of shards: NAME.index.json, or NAME.index.VARIANT.json. */
extern bool sparse_path_is_index(const char *path);

#endif
