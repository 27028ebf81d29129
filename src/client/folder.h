/*
 * folder.h: which files a path means, and the paths that a version may have.
 *
 * A folder means every regular file in it and below, as Hugging Face tools write and
 * cache them: links to files are followed, links to folders are not, and folders
 * whose name begins with a dot are passed over.
 */
#ifndef SPARSE_CLIENT_FOLDER_H
#define SPARSE_CLIENT_FOLDER_H

#include <stdbool.h>

/* `relative` is the path below the folder, or the file's own name. */
typedef void (*folder_visit) (void *state, const char *path, const char *relative);

/* Visits the file, or all files of the folder. */
extern void folder_walk(const char *path, folder_visit visit, void *state);

extern bool folder_is(const char *path);

/* The part of a path behind its last slash. */
extern const char *folder_base_name(const char *path);

/*
 * Whether a path that somebody else gave stays below the folder that it is put in:
 * relative, without empty or dotted components.
 */
extern bool folder_path_is_safe(const char *path);

/* Makes the folders that lead to a file. */
extern void folder_make_for(const char *path);

#endif
