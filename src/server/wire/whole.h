/*
 * whole.h: whether the files of an upload are whole (plan/check.h).
 */
#ifndef SPARSE_WIRE_WHOLE_H
#define SPARSE_WIRE_WHOLE_H

#include "upload.h"

/*
 * An error where one of the files, in order of path, is a Git-LFS pointer, or an index that names
 * what is not there. As the store's owner; chunks may still be staged, if the reader reads such.
 */
extern void upload_check_whole(const Upload *upload, const VersionFile *file, int files, ObjectReader *reader);

#endif
