/*
 * format.h: the table of file formats: what a file is made of, whatever its name.
 *
 * A format is recognised by what a file begins with. Its parser makes a layout of it
 * (codec/layout.h): the tensors, and the literal spans around them. A file of no format, or a
 * malformed one of some format, is bytes.
 *
 * A layout can be made from the file, or from its literal alone, which has all that a
 * parser reads: so a server checks what a client says of a file that it does not have.
 */
#ifndef SPARSE_PLAN_FORMAT_H
#define SPARSE_PLAN_FORMAT_H

#include "codec/layout.h"
#include "plan/content.h"

#define SPARSE_GGUF_MAGIC "GGUF"
#define SPARSE_MAX_LITERAL ((uint64_t) 100000008)	/* bytes: that of the longest header of safetensors */
#define SPARSE_FORMAT_FIRST 512	/* bytes by which formats are recognised */

typedef enum sparse_file_kind
{
	SPARSE_FILE_BYTES,
	SPARSE_FILE_SAFETENSORS,
	SPARSE_FILE_GGUF,
	SPARSE_FILE_PYTORCH
} sparse_file_kind;

#define SPARSE_FILE_KINDS 4

/* As sparse.file has it: "bytes", "safetensors" ... */
extern const char *sparse_file_kind_name(sparse_file_kind kind);

/* For messages: "safetensors file", "GGUF file". */
extern const char *sparse_file_kind_words(sparse_file_kind kind);

/* The path that a file of that kind has where nobody gave it one: "model.gguf". */
extern const char *sparse_file_kind_path(sparse_file_kind kind);

/* Whether a file of that kind has no tensor of a name that its layout has not: where two share their bytes, the layout has one. */
extern bool sparse_file_names_all(sparse_file_kind kind);

/* The kind of that name; SPARSE_FILE_BYTES for any other. */
extern sparse_file_kind sparse_file_kind_named(const char *name);

/* The kind that a file's path claims; SPARSE_FILE_BYTES where it claims none. */
extern sparse_file_kind sparse_file_kind_of_path(const char *path);

/* The kind that a file is of, if it is sound, by its first bytes (SPARSE_FORMAT_FIRST, or all). */
extern sparse_file_kind sparse_file_recognise(const void *first, size_t bytes, uint64_t file_bytes);

/*
 * Makes the layout of a file of that kind, not SPARSE_FILE_BYTES, and of `file_bytes` bytes, out of the file or out
 * of its literal. On failure there is nothing to free, and a message of at most error_size bytes (lower
 * case, no full stop).
 */
extern sparse_status sparse_file_parse(sparse_file_kind kind, const sparse_allocator *allocator, const sparse_interrupt *interrupt,
									   const sparse_content *from, uint64_t file_bytes,
									   sparse_layout *parsed, char *error, size_t error_size);

#endif
