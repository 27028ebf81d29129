/*
 * match.h: which parts of a parent's column a new chunk resembles, wherever they stand.
 */
#ifndef SPARSE_DATASET_MATCH_H
#define SPARSE_DATASET_MATCH_H

#include "postgres.h"

#include "store/store.h"

/* Chunks that one chunk may be predicted from: each is decoded when that one is read. */
#define MATCH_MOST 4

typedef struct Matcher Matcher;

/*
 * Gets to know the contents of `count` objects, in the current context; too deep ones are replaced
 * by what they are predicted from. Within store_enter and SPI_connect.
 */
extern Matcher *matcher_create(ObjectReader *reader, const int64 *object, int count, int most_depth);

/* The objects that together hold most of what the content consists of, the best one last. */
extern void matcher_find(Matcher *matcher, const char *content, size_t bytes, ReferenceSet *set);

#endif
