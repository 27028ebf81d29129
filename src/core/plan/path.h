/*
 * path.h: paths of files within a version, and what their names say.
 */
#ifndef SPARSE_PLAN_PATH_H
#define SPARSE_PLAN_PATH_H

#include <stdbool.h>

#define SPARSE_PATH_BYTES 1024	/* a path has fewer */

/*
 * Whether a path may stand in a version, and so stays below the folder that it is put in:
 * relative, without empty or dotted components and control characters, not too long.
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
