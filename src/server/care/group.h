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

/*
 * Groups are treated in parts, so that planning takes time in proportion to their objects: so many
 * objects, in the order of their ids, and so many that they may have to do with beside them.
 */
#define PART_MOST 256
#define PART_BESIDE 64

typedef struct GroupKey
{
	int64		family;
	bool		files;
	char	   *name;			/* of the tensors; or the path of the files, "" where each is the only one of its version */
	char	   *dtype;			/* or the format of the files */
	Datum		shape;			/* int8[]: all dimensions but the first */
	bool		needed;			/* there is something to choose: two objects or more, or one too deep */
} GroupKey;

/* An object of a group. */
typedef struct GroupObject
{
	int64		object;
	uint64		row_bytes;
	bool		due;			/* to be considered; else it may only serve those */
} GroupObject;

/* Two objects whose versions are parent and child; each pair stands twice, once for either of them. */
typedef struct GroupKin
{
	int64		object;
	int64		other;
	bool		is_parent;		/* object is the parent of other */
} GroupKin;

/* All of a group, by ids. */
typedef struct GroupList
{
	const GroupKey *key;
	int64		count;
	GroupObject *object;		/* in the order of their ids */
	int64		kin_count;
	GroupKin   *kin;			/* in the order of `object` */
} GroupList;

typedef struct Member
{
	int64		object;
	sparse_dtype dtype;
	uint64		bytes;
	uint64		row_bytes;
	uint64		stored_bytes;
	int			depth;
	bool		beside;			/* it stands in another part, or was considered before */
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

/* A part of a group. */
typedef struct KinGroup
{
	const GroupKey *key;
	int64		last;			/* the object with which this part ends; 0: there was none */
	int			count;
	Member	   *member;			/* in the order of their objects, all of one dtype */
	int64		kinships;
	Kinship    *kinship;
} KinGroup;

/* Which objects of a family are due: those of versions that its run is to consider (sparse.repacked), or all. */
typedef enum Due
{
	DUE_IN_RUN, DUE_ALL
} Due;

/* All groups of a family that have objects that are due, in `context`, in an order that stays. Within SPI_connect and store_enter, as all below. */
extern int64 group_keys(MemoryContext context, int64 family, int max_depth, Due due, GroupKey **key);

/* What is in one, in `context`. */
extern void group_list(MemoryContext context, const GroupKey *key, Due due, GroupList *list);

/* The next `most` members that are due, with objects above `after`, and what may serve them. */
extern void group_load(const GroupList *list, int64 after, int most, KinGroup *group);

/* estimate.c: what each member would cost alone and from those that are likely to predict it. */
extern void group_estimate(const KinGroup *group, int max_depth, TreeProblem *problem);

#endif
