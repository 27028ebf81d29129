/*
 * layout.h: of what a stored version's files are made.
 *
 * A file is a run of parts without gaps: its own object (its literal, or all of the file), and its
 * tensors. A literal may lie in several pieces between the tensors (plan/format.h): each is a
 * part. Parts are read from the tables a batch at a time, so that a file of a million tensors
 * takes no more memory than one of ten. All of this as the store's owner, within
 * SPI_connect.
 */
#ifndef SPARSE_MODEL_LAYOUT_H
#define SPARSE_MODEL_LAYOUT_H

#include "postgres.h"

#include "plan/format.h"
#include "store/store.h"

typedef struct VersionFile
{
	int32		ordinal;
	const char *path;
	sparse_file_kind kind;
	uint64		bytes;
	uint8		sha256[SPARSE_SHA256_BYTES];
	bool		summed;			/* has a checksum: none before all of it was read */
	uint8		checksum[SPARSE_CHECKSUM_BYTES];
	int64		object;
	uint64		object_bytes;
} VersionFile;

/* Refuses a version of a dataset; the hint says what to use instead. */
extern void version_check_model(const StoreVersion *version, const char *hint);

/* The hint where the content of a model is wanted. */
#define TAKE_ROWS "Take its rows with sparse_rows_as() or sparse_checkout()."

/* Where its parts are to be listed, and where they are to be coded anew. */
#define LIST_COLUMNS "sparse_splits() and sparse_columns() list what it consists of."
#define STAYS_CODED "The chunks of a dataset stay as its commit has coded them."

/* The files of a version in order of path, in `context`; their number. */
extern int	version_files(MemoryContext context, int64 version, VersionFile **file);

/* The only file of a version; an error when it has several, or none. */
extern VersionFile *version_only_file(MemoryContext context, const StoreVersion *version);

/* The file of that path; an error when there is none. */
extern VersionFile *version_file(MemoryContext context, const StoreVersion *version,
								 const char *path);

/* "name@revision", in `context`. */
extern const char *version_label(MemoryContext context, const StoreVersion *version);

typedef struct FilePart
{
	const char *tensor;			/* NULL: of the file's own object; else valid until the next part */
	int64		object;
	uint64		within;			/* byte of the object */
	uint64		first;			/* byte of the file */
	uint64		bytes;
} FilePart;

typedef struct PartReader PartReader;

/* Those parts that lie at byte `from` or behind it; `file` must outlive the reader. */
extern PartReader *parts_open(MemoryContext context, int64 version,
							  const VersionFile *file, uint64 from);

/* The next part; false after the last. Parts that leave a gap or overlap: data_corrupted. */
extern bool parts_next(PartReader *parts, FilePart *part);

/* Whether a part is not all of its object. */
extern bool part_is_piece(const VersionFile *file, const FilePart *part);

/*
 * The object of a part, which must have the bytes that the part, or the file's literal, has; missing or of
 * another size: data_corrupted. `label` is the version's.
 */
extern void part_object(ObjectReader *reader, const char *label, const VersionFile *file,
						const FilePart *part, ObjectInfo *info);

#endif
