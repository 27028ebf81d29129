/*
 * adopt.h: the models of a tree of folders, as pg_sparse adopt finds and stores them.
 */
#ifndef SPARSE_CLIENT_ADOPT_H
#define SPARSE_CLIENT_ADOPT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What a model of the tree is made from: another one. */
typedef struct adopt_link
{
	struct adoptee *from;
	const char *role;
} adopt_link;

typedef struct adoptee
{
	char	   *place;			/* its folder */
	char	   *name;
	char	   *run;			/* folder of the run that it is a checkpoint of, or whose end it is; NULL: none */
	unsigned long long step;	/* within the run; the end is behind all */
	char	   *commit;			/* a snapshot of the hub's cache; NULL: none */
	bool		is_main;		/* refs/main names it */
	struct timespec changed;
	const struct adoption *all;
	adopt_link *link;
	unsigned long links;
	/* what came of it */
	bool		done;
	bool		failed;
	bool		existed;
	char		version[24];	/* empty: none */
	uint64_t	sent;
} adoptee;

typedef struct adoption
{
	adoptee    *model;			/* snapshots of a name and checkpoints of a run in their order */
	unsigned long count;
	unsigned long unseen;		/* places that could not be looked at */
} adoption;

/* Finds the models in a folder; names are paths below `root`, or where that is NULL, below the folder. */
extern void adopt_find(adoption *a, const char *folder, const char *root);

/* Whether a folder within a model (the state) belongs to it, and is not another one's: a folder_enter. */
extern bool adopt_enters(void *model, const char *path);

#endif
