/*
 * pickle.h: what a pickle, as torch.save writes it, says of its tensors. Nothing in it is executed.
 *
 * A pickle is a program for a stack of values. It is walked with a fixed list of opcodes, each of which puts
 * values together and does nothing else; a name of a function is compared with the few that make tensors out
 * of storages (torch._utils._rebuild_tensor_v2 ...) and is otherwise a value like others. What is called,
 * built or persistent in any other way is an object of which only its parts are known. Any other opcode is
 * refused, and so is a stack that runs empty.
 *
 * A tensor's name is the way to it from the top: keys of dictionaries, indexes of lists and tuples,
 * attributes of objects, with dots between ("optimizer.state.0.exp_avg"). What two ways lead to has the name of the
 * first.
 */
#ifndef SPARSE_PLAN_PICKLE_H
#define SPARSE_PLAN_PICKLE_H

#include "codec/layout.h"

#define SPARSE_PICKLE_MAX_VALUES ((uint32_t) 1 << 22)
#define SPARSE_PICKLE_MAX_NAME 65535
#define SPARSE_PICKLE_MAX_RANK 64

/* Elements that tensors are views of. */
typedef struct sparse_pickle_storage
{
	const char *key;			/* within the pickle, not zero-terminated */
	uint32_t	key_bytes;
	uint32_t	element_bytes;
	const char *dtype;			/* the name that safetensors has for it, or would have */
	uint64_t	bytes;
} sparse_pickle_storage;

/* A tensor whose elements lie side by side. */
typedef struct sparse_pickle_tensor
{
	uint32_t	storage;
	uint32_t	rank;
	uint32_t	element_bytes;
	const char *dtype;
	size_t		name;			/* where it begins in names */
	size_t		shape;			/* where it begins in shapes; in the order in which the elements lie: that of a transposed matrix is turned round */
	uint64_t	first;			/* byte of the storage */
	uint64_t	bytes;
} sparse_pickle_tensor;

typedef struct sparse_pickle_list
{
	void	   *item;
	size_t		count;
	size_t		room;
} sparse_pickle_list;

typedef struct sparse_pickle
{
	const sparse_allocator *allocator;
	sparse_pickle_list storages;	/* of sparse_pickle_storage; one may stand there several times */
	sparse_pickle_list tensors;	/* of sparse_pickle_tensor, by first way to each */
	sparse_pickle_list names;	/* characters, each name with a zero behind */
	sparse_pickle_list shapes;	/* uint64_t */
} sparse_pickle;

/*
 * Walks it; `bytes` must outlive what is found. On failure there is nothing to free, and a message of at most
 * error_size bytes. Memory is bounded by SPARSE_PICKLE_MAX_VALUES and by what the pickle really has.
 */
extern sparse_status sparse_pickle_read(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
										const void *bytes, size_t count, sparse_pickle *found, char *error, size_t error_size);

extern void sparse_pickle_free(sparse_pickle *found);

#endif
