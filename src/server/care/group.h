/*
 * group.h: the objects of a family that could predict each other.
 *
 * A group is what the versions of a family have under one name: the tensors of one name,
 * dtype and shape but for the number of rows, or the files of one path.
 */
#ifndef SPARSE_CARE_GROUP_H
#define SPARSE_CARE_GROUP_H

#include "store/store.h"
#include "care/tree.h"

/* Larger groups are treated in parts of so many objects, in the order of their ids. */
#define GROUP_MOST 4096

typedef struct GroupKey
{
	int64		family;
	bool		files;
	char	   *name;			/* of the tensors; or the path of the files, "" where each is the only one of its version */
	char	   *dtype;			/* or the format of the files */
	Datum		shape;			/* int8[]: all dimensions but the first */
} GroupKey;

typedef struct Member
{
	int64		object;
	sparse_dtype dtype;
	uint64		bytes;
	uint64		row_bytes;
	uint64		stored_bytes;
	int			depth;
	bool		fixed;			/* predicted in a way that has more than one parent, or factors: it stays */
	int64		parent;			/* 0: none */
	int			parent_member;	/* subscript; -1: none, or outside of the group */
} Member;

/* Two members whose versions are parent and child. */
typedef struct Kinship
{
	int			parent;
	int			child;
} Kinship;

typedef struct KinGroup
{
	const GroupKey *key;
	int64		last;			/* the object with which this part ends; 0: there was none */
	int			count;
	Member	   *member;			/* in the order of their objects, all of one dtype */
	int64		kinships;
	Kinship    *kinship;
} KinGroup;

/* All groups of a family that have two objects or more, or one too deep, in `context`. */
extern int64 group_keys(MemoryContext context, int64 family, int max_depth, GroupKey **key);

/* The members with objects above `after`, at most GROUP_MOST; within SPI_connect and store_enter. */
extern void group_load(const GroupKey *key, int64 after, KinGroup *group);

/* estimate.c: what each member would cost alone and from those that are likely to predict it; likewise. */
extern void group_estimate(const KinGroup *group, int max_depth, TreeProblem *problem);

#endif
