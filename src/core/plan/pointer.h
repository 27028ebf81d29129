/*
 * pointer.h: Git-LFS pointers: small texts that stand where a large file should.
 *
 *      version https://git-lfs.github.com/spec/v1
 *      oid sha256:4d7a2146...
 *      size 12345
 *
 * Who clones a repository without git-lfs gets these in place of the weights; stored
 * as they are, the version would be ready and empty.
 */
#ifndef SPARSE_PLAN_POINTER_H
#define SPARSE_PLAN_POINTER_H

#include <stdbool.h>
#include <stddef.h>

/* A pointer has fewer bytes, by the specification, and more than these. */
#define SPARSE_POINTER_BYTES 1024
#define SPARSE_POINTER_LEAST 100

/* What can be done about one. */
#define SPARSE_POINTER_HINT "Get the file itself (git lfs pull), then try again."

/* Whether a file of that many bytes is a pointer; all of them are at `text`. */
extern bool sparse_is_pointer(const void *text, size_t bytes);

#endif
