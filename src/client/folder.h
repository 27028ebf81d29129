/*
 * folder.h: which files a path means (plan/walk.h, over this machine's file system), and
 * folders for what is written.
 */
#ifndef SPARSE_CLIENT_FOLDER_H
#define SPARSE_CLIENT_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/complaint.h"

/* `relative` is the path within the version that the path means. */
typedef void (*folder_visit) (void *state, const char *path, const char *relative);

/* Whether a folder below the path is part of it. */
typedef bool (*folder_enter) (void *state, const char *path);

/* Visits every file that the path means; `enters` may be NULL. What is refused ends the program. */
extern void folder_walk(const char *path, folder_visit visit, folder_enter enters, void *state);

/* Ends the program by a complaint, unless the status is good. */
extern void folder_check(sparse_status status, const sparse_complaint *complaint);

extern bool folder_is(const char *path);

/* Makes the folders that lead to a file. */
extern void folder_make_for(const char *path);

#endif
