/*
 * pytorch.h: the zip archive that torch.save writes.
 *
 *      entries: PREFIX/data.pkl first, a pickle (pickle.h); PREFIX/data/KEY, a storage each; others
 *               local header | name | extra (padding) | the bytes, stored | maybe a data descriptor
 *      central directory, maybe of zip64 | its end, without a comment
 *
 * The central directory says where entries are, the pickle what tensors they hold. All else is literal: headers,
 * the pickle, padding, small entries. Of tensors that share bytes the first by the pickle is one, of those that overlap in another way one is;
 * what no tensor takes of a storage, or of any other large entry, is a tensor of one dimension
 * called after the entry ("data/7", "data/7+4096").
 *
 * A malformed archive, one with compressed storages, of the other byte order, or of which the pickle
 * is not understood, is refused.
 */
#ifndef SPARSE_PLAN_PYTORCH_H
#define SPARSE_PLAN_PYTORCH_H

#include "codec/layout.h"
#include "plan/content.h"

#define SPARSE_PYTORCH_FIRST 512	/* bytes by which it is recognised: the first entry's header, and its name */

/* Whether a file begins as one. */
extern bool sparse_is_pytorch(const uint8_t *first, size_t bytes, uint64_t file_bytes);

/* Reads the file, or its literal. */
extern sparse_status sparse_pytorch_parse(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
										  const sparse_content *from, uint64_t file_bytes,
										  sparse_layout *parsed, char *error, size_t error_size);

#endif
