/*
 * gguf.h: the directory of a GGUF file (versions 2 and 3, little-endian).
 *
 *      "GGUF" | u32 version | u64 tensors | u64 pairs
 *      pairs:   string key, u32 type, value          (a string: u64 bytes, UTF-8)
 *      tensors: string name, u32 rank, u64 dimensions[rank], u32 type, u64 place
 *      padding to general.alignment (32 where no pair says), the data, padded likewise
 *
 * Dimensions come with the one first along which elements lie side by side; here they are
 * turned round, as all other formats have them. What is malformed, or of a type whose size is
 * not known, is refused with one clear message, before anything of a claimed size is
 * allocated. Tensors may stand in any order with anything between them, none may overlap
 * another.
 */
#ifndef SPARSE_PLAN_GGUF_H
#define SPARSE_PLAN_GGUF_H

#include "codec/layout.h"
#include "plan/content.h"

#define SPARSE_GGUF_MAX_RANK 4	/* as ggml */
#define SPARSE_GGUF_MAX_NAME 65535

/*
 * Reads no more of `from` than the directory, which stands at its beginning, of a file of
 * `file_bytes` bytes. Shapes, dtype names and spans are the layout's.
 */
extern sparse_status sparse_gguf_parse(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
									   const sparse_content *from, uint64_t file_bytes,
									   sparse_layout *parsed, char *error, size_t error_size);

#endif
