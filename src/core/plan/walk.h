/*
 * walk.h: which files a path means.
 *
 *      model.safetensors               that file
 *      model.safetensors.index.json    itself, and the shards that its weight_map names
 *      a folder                        every file in it and below
 *
 * Links are followed, to files and to folders, for the folders of model hubs are full of
 * them; one that leads to a folder that it lies in is refused. Folders whose names begin
 * with a dot are no part of a model: they are passed over, and that is said but for those
 * that tools leave everywhere (.git, .cache, .huggingface). What is neither file nor
 * folder is refused. So whatever is below a path is stored, refused by its name, or said
 * to be left out.
 *
 * The file system is the shell's: the server's with its rules, or the client's. Its
 * functions return when they have succeeded; what fails they report themselves, and
 * need not return (all memory is the allocator's).
 */
#ifndef SPARSE_PLAN_WALK_H
#define SPARSE_PLAN_WALK_H

#include <stdint.h>

#include "codec/memory.h"
#include "complaint.h"

#define SPARSE_WALK_DEPTH 100	/* of folders in folders */
#define SPARSE_MAX_FILES 50000	/* of a version; and folders, with links to them counted */

typedef enum sparse_place_kind
{
	SPARSE_PLACE_FILE,
	SPARSE_PLACE_FOLDER,
	SPARSE_PLACE_OTHER
} sparse_place_kind;

/* What stands at a path, links followed. */
typedef struct sparse_place
{
	sparse_place_kind kind;
	uint64_t	bytes;			/* of a file */
	uint64_t	device;			/* which folder it is */
	uint64_t	inode;
} sparse_place;

typedef void (*sparse_take_name) (void *state, const char *name);

typedef struct sparse_file_system
{
	void	   *state;
	void		(*look) (void *state, const char *path, sparse_place *place);
	/* Every name in a folder but "." and "..", each of which may lead to other calls of these functions. */
	void		(*list) (void *state, const char *folder, sparse_take_name take, void *take_state);
	/* All of a file of that many bytes. */
	void		(*read) (void *state, const char *path, void *text, uint64_t bytes);
	/* A name of UTF-8 in the shell's encoding, for as long as the walk lasts. */
	const char *(*native) (void *state, const char *name);
	/* Whether a folder is part of the version; NULL: all are. */
	bool		(*enters) (void *state, const char *place, const char *path);
	/* A file of the version: where it lies, its path within the version. */
	void		(*take) (void *state, const char *place, const char *path, uint64_t bytes);
	/* What is left out is said. */
	void		(*pass) (void *state, const char *place);
} sparse_file_system;

/*
 * Takes every file that the path means. SPARSE_CORRUPT with a complaint where it means
 * none, or one that is refused, SPARSE_TOO_LARGE where it means too many; SPARSE_NO_MEMORY.
 */
extern sparse_status sparse_walk(const sparse_file_system *files, const sparse_allocator *allocator,
								 const char *path, sparse_complaint *complaint);

#endif
