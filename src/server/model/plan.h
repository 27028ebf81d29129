/*
 * plan.h: what an import will store, known before anything is written.
 *
 * A plan lists the files of a version in order of path, and of each the objects
 * that it falls into, in order of their bytes: a file with tensors (plan/format.h) is its
 * literal and then one object per tensor, any other file is one object. Digests are
 * computed in a first pass over the bytes (digest.c); the second pass, which
 * stores them, checks each object against its checksum.
 */
#ifndef SPARSE_MODEL_PLAN_H
#define SPARSE_MODEL_PLAN_H

#include "postgres.h"

#include "codec/dtype.h"
#include "plan/complaint.h"
#include "plan/format.h"
#include "plan/walk.h"
#include "hash.h"
#include "layout.h"
#include "source.h"
#include "store/store.h"

/* A plan holds about 400 bytes of each file, and a reader of the version its row: 50,000 are some 30 MB. */
#define PLAN_MAX_FILES SPARSE_MAX_FILES

typedef struct PlanTensor PlanTensor;

typedef struct PlanObject
{
	uint8		sha256[SPARSE_SHA256_BYTES];
	uint64		checksum;		/* XXH3, seeded by the plan's seed */
	uint64		first;			/* byte of its file */
	uint64		bytes;
	uint64		row_bytes;		/* 0: no rows */
	int64		id;				/* once its row is there */
	bool		is_new;			/* and its content is to be written */
	bool		wants_siblings; /* after those from which it may be predicted */
	int32		file;
	sparse_dtype dtype;
	PlanTensor *tensor;			/* NULL: a literal or a whole file */
} PlanObject;

struct PlanTensor
{
	const char *name;			/* in the server's encoding */
	const char *dtype;			/* as the header writes it */
	uint32		rank;
	uint64	   *shape;
	PlanObject	object;
};

typedef struct PlanFile
{
	const char *path;			/* within the version: relative, by slashes */
	sparse_file_kind kind;
	uint64		bytes;
	Source	   *source;			/* NULL where the bytes come later (wire/) */
	uint8		sha256[SPARSE_SHA256_BYTES];
	bool		summed;			/* has a checksum: where the bytes were read */
	uint8		checksum[SPARSE_CHECKSUM_BYTES];
	PlanObject	object;			/* the literal, or all of it */
	sparse_layout literal;		/* where that lies: without the tensors */
	uint32		tensors;
	PlanTensor *tensor;
	const PlanTensor **by_name;	/* sorted, once one was looked for */
} PlanFile;

typedef struct ImportPlan
{
	int			files;
	int			room;			/* for files */
	PlanFile   *file;
	OpenFile	open_file;
	bool		asked;			/* for its only file, rather than for all that is in a folder */
	uint64		seed;			/* random: nobody can prepare two contents of one checksum */
	uint8		content_sha256[SPARSE_SHA256_BYTES];
} ImportPlan;

/* folder.c: from a path on the server, the files that it means. */
extern ImportPlan *plan_of_path(const char *path);

/*
 * whole.c: no file is a Git-LFS pointer; indexes name what is there. Else an error; the second
 * once the headers are read.
 */
extern void plan_check_pointers(ImportPlan *plan);
extern void plan_check_indexes(ImportPlan *plan);

/* whole.c, for others who ask the core: its answer as an error, a name in the server's encoding, a notice. */
extern void plan_check_status(sparse_status status, sparse_complaint *complaint);
extern const char *plan_native_name(void *state, const char *utf8);
extern void plan_tell_index(void *state, const char *index);

/*
 * metadata.c: what was given as metadata, and of the configs among the files (plan/config.h) what it does not say
 * itself. One that jsonb cannot hold is a notice.
 */
extern Datum metadata_with_configs(ImportPlan *plan, Datum metadata);

/* plan.c */
extern ImportPlan *plan_create(void);

/* A file of `bytes` bytes, whose kind is not known yet. */
extern PlanFile *plan_add_file(ImportPlan *plan, const char *path, uint64 bytes, Source *source);

/*
 * Fills in the tensors of a file, and the length of its literal, as its kind has them; `content` is all of the file, or
 * its literal. An invalid one is an error.
 */
extern void plan_layout(PlanFile *file, int number, const sparse_content *content);

/* The same, from a literal in memory: it must be all of it. */
extern void plan_layout_of_literal(PlanFile *file, int number, const char *literal, uint64 bytes);

/* The kind of a file by the bytes that it begins with (SPARSE_FORMAT_FIRST, or all). */
extern sparse_file_kind plan_kind(const PlanFile *file, const char *first);

/* Where the bytes of an object from `first` on lie in its file, as far as they lie in one piece. */
extern sparse_span plan_span(const PlanFile *file, const PlanObject *object, uint64 first);

/* Bytes of an object of a file that is at hand. */
extern void plan_read(const PlanFile *file, const PlanObject *object, uint64 first, uint64 bytes, char *target);

/* A file of a sorted plan by its path; NULL when there is none. */
extern PlanFile *plan_find_file(ImportPlan *plan, const char *path);

/* A tensor of the file by its name; NULL when there is none. */
extern const PlanTensor *plan_find_tensor(PlanFile *file, const char *name);

/* A tensor's shape as the text of an array, palloc'd. */
extern char *plan_shape_text(const PlanTensor *tensor);

/* Sorts the files by their paths, bytewise as they are kept. */
extern void plan_sort(ImportPlan *plan);

/* Sorts the files, parses their headers and lists their objects. */
extern void plan_objects(ImportPlan *plan);

/* Bytes of all files, and their tensors. */
extern uint64 plan_bytes(const ImportPlan *plan);
extern uint64 plan_tensors(const ImportPlan *plan);

/* True if `path` may stand in a version: relative, below its folder, text of this database. */
extern bool path_is_safe(const char *path);

/* digest.c: fills in all digests and checksums. */
extern void plan_digest(ImportPlan *plan);

/* digest.c: fills in the identity of the content, from the SHA-256s of the files. */
extern void plan_identity(ImportPlan *plan, Sha256 *identity);

/* digest.c: adds a file to the sum that is the identity of a version's content; in order of path. */
extern void identity_add_file(Sha256 *identity, const char *path, uint64 bytes,
							  const uint8 sha256[SPARSE_SHA256_BYTES]);

/*
 * digest.c: the identity of stored files, in their order. as_it_is: of paths as a database without an encoding
 * of its own has kept them.
 */
extern void version_identity(Sha256 *identity, const VersionFile *file, int files, bool as_it_is,
							 uint8 digest[SPARSE_SHA256_BYTES]);

#endif
