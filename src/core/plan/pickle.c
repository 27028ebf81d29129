/*
 * pickle.c: walks a pickle without executing it (see pickle.h).
 *
 * Values are nodes, known by their numbers; a container has its parts in a chain of cells. A node is made by an
 * opcode and a cell by a value that is put somewhere, so there are no more of them than bytes of the pickle. What has parts
 * may have itself among them: naming enters each once.
 */
#include "pickle.h"

#include <stdio.h>
#include <string.h>

#include "codec/bytes.h"
#include "codec/message.h"

#define MOST_DEPTH 64			/* of containers within containers, on the way to a tensor */
#define MARK 0					/* on the stack; nodes count from 1 */

typedef enum node_kind
{
	NODE_OTHER, NODE_NUMBER, NODE_TEXT, NODE_GLOBAL, NODE_LIST, NODE_TUPLE, NODE_PAIRS, NODE_STORAGE, NODE_TENSOR
} node_kind;

typedef enum global_code
{
	GLOBAL_UNKNOWN, GLOBAL_DICTIONARY, GLOBAL_TENSOR, GLOBAL_TYPED_TENSOR, GLOBAL_WRAPPER, GLOBAL_TYPE_WRAPPER, GLOBAL_ELEMENTS
} global_code;

typedef struct node
{
	uint8_t		kind;
	uint8_t		code;			/* of a global */
	bool		entered;		/* by naming */
	uint8_t		elements;		/* of a global that is a type of elements: which */
	uint32_t	count;			/* of bytes of a text, of parts */
	union
	{
		int64_t		number;		/* of a storage or a tensor: which */
		const char *text;
		struct
		{
			uint32_t	first;	/* cells, from 1; 0: none */
			uint32_t	last;
		}			parts;
	};
} node;

/* A part; of NODE_PAIRS with its key, or 0: it is no other level. */
typedef struct cell
{
	uint32_t	key;
	uint32_t	value;
	uint32_t	next;
} cell;

typedef struct walker
{
	const sparse_interrupt *interrupt;
	char	   *error;
	size_t		error_size;
	cursor		at;
	size_t		bytes;			/* of the pickle */
	sparse_pickle *found;
	sparse_pickle_list nodes;
	sparse_pickle_list cells;
	sparse_pickle_list stack;	/* uint32_t */
	sparse_pickle_list memo;	/* uint32_t */
	bool		done;
	char	   *path;			/* to what is being named */
	size_t		path_bytes;
} walker;

#define REFUSE(w, ...) (sparse_complain((w)->error, (w)->error_size, __VA_ARGS__), SPARSE_CORRUPT)

/* ---- lists ---- */

/* Room for so many more items of a size. */
static sparse_status
reserve(const sparse_allocator *allocator, sparse_pickle_list *list, size_t more, size_t item_bytes)
{
	size_t		room = list->room < 64 ? 64 : list->room;
	void	   *item;

	if (more <= list->room - list->count)
		return SPARSE_OK;
	while (room - list->count < more)
		room *= 2;
	item = allocator->allocate(allocator->state, room * item_bytes);
	if (item == NULL)
		return SPARSE_NO_MEMORY;
	if (list->count > 0)
		memcpy(item, list->item, list->count * item_bytes);
	allocator->release(allocator->state, list->item);
	list->item = item;
	list->room = room;
	return SPARSE_OK;
}

static void
release(const sparse_allocator *allocator, sparse_pickle_list *list)
{
	allocator->release(allocator->state, list->item);
	*list = (sparse_pickle_list) {0};
}

static node *
node_of(const walker *w, uint32_t id)
{
	return (node *) w->nodes.item + (id - 1);
}

static cell *
cell_of(const walker *w, uint32_t number)
{
	return (cell *) w->cells.item + (number - 1);
}

/* ---- the stack ---- */

static sparse_status
push(walker *w, uint32_t id)
{
	SPARSE_TRY(reserve(w->found->allocator, &w->stack, 1, sizeof(uint32_t)));
	((uint32_t *) w->stack.item)[w->stack.count++] = id;
	return SPARSE_OK;
}

static sparse_status
push_node(walker *w, node made)
{
	if (w->nodes.count >= SPARSE_PICKLE_MAX_VALUES)
	{
		sparse_complain(w->error, w->error_size, "the pickle has more than %u values", SPARSE_PICKLE_MAX_VALUES);
		return SPARSE_TOO_LARGE;
	}
	SPARSE_TRY(reserve(w->found->allocator, &w->nodes, 1, sizeof(node)));
	((node *) w->nodes.item)[w->nodes.count++] = made;
	return push(w, (uint32_t) w->nodes.count);
}

/* The topmost value, which a mark is not. */
static sparse_status
top(walker *w, uint32_t *id)
{
	*id = w->stack.count > 0 ? ((uint32_t *) w->stack.item)[w->stack.count - 1] : MARK;
	return *id != MARK ? SPARSE_OK : REFUSE(w, "the pickle's stack runs empty");
}

static sparse_status
pop(walker *w, uint32_t *id)
{
	SPARSE_TRY(top(w, id));
	w->stack.count--;
	return SPARSE_OK;
}

/* What lies above the topmost mark; it and the mark are gone from the stack, and stay where they are until something is pushed. */
static sparse_status
pop_to_mark(walker *w, const uint32_t **id, size_t *count)
{
	const uint32_t *stack = w->stack.item;
	size_t		at = w->stack.count;

	while (at > 0 && stack[at - 1] != MARK)
		at--;
	if (at == 0)
		return REFUSE(w, "the pickle lacks a mark");
	*id = stack + at;
	*count = w->stack.count - at;
	w->stack.count = at - 1;
	return SPARSE_OK;
}

static bool
has_parts(const node *n)
{
	return n->kind == NODE_LIST || n->kind == NODE_TUPLE || n->kind == NODE_PAIRS;
}

/* Puts a part into what can have some; into others it goes unseen. */
static sparse_status
add_part(walker *w, uint32_t to, uint32_t key, uint32_t value)
{
	node	   *n = node_of(w, to);

	if (!has_parts(n))
		return SPARSE_OK;
	if (w->cells.count >= 2 * SPARSE_PICKLE_MAX_VALUES)
	{
		sparse_complain(w->error, w->error_size, "the pickle has more than %u values", SPARSE_PICKLE_MAX_VALUES);
		return SPARSE_TOO_LARGE;
	}
	SPARSE_TRY(reserve(w->found->allocator, &w->cells, 1, sizeof(cell)));
	((cell *) w->cells.item)[w->cells.count++] = (cell) {key, value, 0};
	if (n->count++ == 0)
		n->parts.first = (uint32_t) w->cells.count;
	else
		cell_of(w, n->parts.last)->next = (uint32_t) w->cells.count;
	n->parts.last = (uint32_t) w->cells.count;
	return SPARSE_OK;
}

/* The values of a tuple, of which `most` are looked at; how many it has. 0: it is none. */
static uint32_t
values_of(const walker *w, uint32_t tuple, uint32_t *value, uint32_t most)
{
	const node *n = node_of(w, tuple);
	uint32_t	at = n->kind == NODE_TUPLE && n->count > 0 ? n->parts.first : 0;

	for (uint32_t i = 0; i < most && at != 0; i++, at = cell_of(w, at)->next)
		value[i] = cell_of(w, at)->value;
	return n->kind == NODE_TUPLE ? n->count : 0;
}

/* ---- names of functions and types ---- */

typedef struct element_type
{
	const char *storage;		/* torch's name of the storage, and of the dtype; NULL: it has none */
	const char *dtype;
	const char *name;
	uint8_t		bytes;
} element_type;

static const element_type element_types[] = {
	{"FloatStorage", "float32", "F32", 4}, {"HalfStorage", "float16", "F16", 2}, {"BFloat16Storage", "bfloat16", "BF16", 2},
	{"DoubleStorage", "float64", "F64", 8}, {"LongStorage", "int64", "I64", 8}, {"IntStorage", "int32", "I32", 4},
	{"ShortStorage", "int16", "I16", 2}, {"CharStorage", "int8", "I8", 1}, {"ByteStorage", "uint8", "U8", 1},
	{"BoolStorage", "bool", "BOOL", 1}, {"UntypedStorage", NULL, "U8", 1}, {"ComplexFloatStorage", "complex64", "C64", 8},
	{"ComplexDoubleStorage", "complex128", "C128", 16}, {"QInt8Storage", "qint8", "I8", 1}, {"QUInt8Storage", "quint8", "U8", 1},
	{"QInt32Storage", "qint32", "I32", 4}, {NULL, "uint16", "U16", 2}, {NULL, "uint32", "U32", 4}, {NULL, "uint64", "U64", 8},
	{NULL, "float8_e4m3fn", "F8_E4M3", 1}, {NULL, "float8_e5m2", "F8_E5M2", 1}, {NULL, "float8_e4m3fnuz", "F8_E4M3FNUZ", 1},
	{NULL, "float8_e5m2fnuz", "F8_E5M2FNUZ", 1}, {NULL, "float8_e8m0fnu", "F8_E8M0", 1},
};

#define ELEMENT_TYPES (sizeof element_types / sizeof element_types[0])

static const struct
{
	const char *module;
	const char *name;
	global_code code;
}			globals[] = {
	{"collections", "OrderedDict", GLOBAL_DICTIONARY},
	{"torch._utils", "_rebuild_tensor", GLOBAL_TENSOR},
	{"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR},
	{"torch._utils", "_rebuild_tensor_v3", GLOBAL_TYPED_TENSOR},
	{"torch._utils", "_rebuild_parameter", GLOBAL_WRAPPER},
	{"torch._utils", "_rebuild_parameter_with_state", GLOBAL_WRAPPER},
	{"torch._tensor", "_rebuild_from_type_v2", GLOBAL_TYPE_WRAPPER},
};

static bool
is_text(const char *text, size_t bytes, const char *word)
{
	return word != NULL && strlen(word) == bytes && memcmp(text, word, bytes) == 0;
}

static node
global_node(const char *module, size_t module_bytes, const char *name, size_t name_bytes)
{
	node		made = {.kind = NODE_GLOBAL};

	for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
		if (is_text(module, module_bytes, globals[i].module) && is_text(name, name_bytes, globals[i].name))
			made.code = (uint8_t) globals[i].code;
	if (!is_text(module, module_bytes, "torch") && !is_text(module, module_bytes, "torch.storage") && !is_text(module, module_bytes, "torch.cuda"))
		return made;
	for (size_t i = 0; i < ELEMENT_TYPES; i++)
		if (is_text(name, name_bytes, element_types[i].storage) || is_text(name, name_bytes, element_types[i].dtype))
		{
			made.code = GLOBAL_ELEMENTS;
			made.elements = (uint8_t) i;
		}
	return made;
}

static const element_type *
elements_of(const node *n)
{
	return n->kind == NODE_GLOBAL && n->code == GLOBAL_ELEMENTS ? &element_types[n->elements] : NULL;
}

/* ---- storages and tensors ---- */

static bool
is_count(const node *n)
{
	return n->kind == NODE_NUMBER && n->number >= 0;
}

/* A persistent id is ('storage', its type, its key, where it was, its elements). */
static sparse_status
push_persistent(walker *w, uint32_t tuple)
{
	uint32_t	value[5];
	const element_type *type;
	const node *key;
	const node *count;
	sparse_pickle_storage made;
	const bool	complete = values_of(w, tuple, value, 5) >= 5;

	type = complete ? elements_of(node_of(w, value[1])) : NULL;
	if (type == NULL)
		return push_node(w, (node) {.kind = NODE_OTHER});
	key = node_of(w, value[2]);
	count = node_of(w, value[4]);
	if (key->kind != NODE_TEXT || !is_count(count) || count->number > INT64_MAX / 16)
		return REFUSE(w, "a storage has no key, or no number of elements");
	made = (sparse_pickle_storage) {
		.key = key->text, .key_bytes = key->count, .element_bytes = type->bytes, .dtype = type->name,
		.bytes = (uint64_t) count->number * type->bytes
	};
	SPARSE_TRY(reserve(w->found->allocator, &w->found->storages, 1, sizeof made));
	((sparse_pickle_storage *) w->found->storages.item)[w->found->storages.count++] = made;
	return push_node(w, (node) {.kind = NODE_STORAGE, .number = (int64_t) w->found->storages.count - 1});
}

/* A dimension, while their order is being found. */
typedef struct dimension
{
	uint64_t	size;
	uint64_t	stride;
} dimension;

/* Dimensions and strides of two tuples; those of one element are left out where they would be in the way. False: they are none. */
static bool
take_dimensions(const walker *w, uint32_t sizes, uint32_t strides, dimension d[SPARSE_PICKLE_MAX_RANK], uint32_t *rank)
{
	uint32_t	size[SPARSE_PICKLE_MAX_RANK];
	uint32_t	stride[SPARSE_PICKLE_MAX_RANK];

	*rank = values_of(w, sizes, size, SPARSE_PICKLE_MAX_RANK);
	if (node_of(w, sizes)->kind != NODE_TUPLE || *rank > SPARSE_PICKLE_MAX_RANK ||
		node_of(w, strides)->kind != NODE_TUPLE || values_of(w, strides, stride, SPARSE_PICKLE_MAX_RANK) != *rank)
		return false;
	for (uint32_t i = 0; i < *rank; i++)
	{
		if (!is_count(node_of(w, size[i])) || !is_count(node_of(w, stride[i])))
			return false;
		d[i] = (dimension) {(uint64_t) node_of(w, size[i])->number, (uint64_t) node_of(w, stride[i])->number};
	}
	return true;
}

/* Whether the elements lie side by side in the order of the dimensions; how many they are. */
static bool
lies_side_by_side(const dimension *d, uint32_t rank, uint64_t *elements)
{
	*elements = 1;
	for (uint32_t i = rank; i-- > 0;)
	{
		if (d[i].size != 1 && d[i].stride != *elements)
			return false;
		if (__builtin_mul_overflow(*elements, d[i].size, elements))
			return false;
	}
	return true;
}

/* Puts the dimensions into the order of their strides, those of one element away. */
static void
order_dimensions(dimension *d, uint32_t *rank)
{
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < *rank; i++)
	{
		const dimension moved = d[i];
		uint32_t	at = kept;

		if (moved.size == 1)
			continue;
		for (; at > 0 && d[at - 1].stride < moved.stride; at--)
			d[at] = d[at - 1];
		d[at] = moved;
		kept++;
	}
	*rank = kept;
}

/* A tensor without elements takes no place, whatever its strides. */
static bool
is_empty(const dimension *d, uint32_t rank)
{
	for (uint32_t i = 0; i < rank; i++)
		if (d[i].size == 0)
			return true;
	return false;
}

static sparse_status
push_tensor(walker *w, const sparse_pickle_tensor *tensor, const dimension *d)
{
	sparse_pickle *found = w->found;

	SPARSE_TRY(reserve(found->allocator, &found->tensors, 1, sizeof *tensor));
	SPARSE_TRY(reserve(found->allocator, &found->shapes, tensor->rank, sizeof(uint64_t)));
	((sparse_pickle_tensor *) found->tensors.item)[found->tensors.count++] = *tensor;
	for (uint32_t i = 0; i < tensor->rank; i++)
		((uint64_t *) found->shapes.item)[found->shapes.count++] = d[i].size;
	return push_node(w, (node) {.kind = NODE_TENSOR, .number = (int64_t) found->tensors.count - 1});
}

/*
 * (storage, offset, sizes, strides, ...) and, for a typed tensor, a dtype as the seventh. What does not lie side by
 * side is none that is known; its storage is.
 */
static sparse_status
rebuild_tensor(walker *w, uint32_t arguments, bool typed)
{
	uint32_t	value[7];
	const uint32_t count = values_of(w, arguments, value, 7);
	const element_type *type = typed && count >= 7 ? elements_of(node_of(w, value[6])) : NULL;
	dimension	d[SPARSE_PICKLE_MAX_RANK];
	sparse_pickle_tensor tensor = {.name = SIZE_MAX, .shape = w->found->shapes.count};
	const sparse_pickle_storage *storage;
	uint64_t	elements = 0;

	if (count < 4 || node_of(w, value[0])->kind != NODE_STORAGE || !is_count(node_of(w, value[1])) || (typed && type == NULL) ||
		!take_dimensions(w, value[2], value[3], d, &tensor.rank))
		return push_node(w, (node) {.kind = NODE_OTHER});
	tensor.storage = (uint32_t) node_of(w, value[0])->number;
	storage = (sparse_pickle_storage *) w->found->storages.item + tensor.storage;
	tensor.dtype = typed ? type->name : storage->dtype;
	tensor.element_bytes = typed ? type->bytes : storage->element_bytes;
	if (is_empty(d, tensor.rank))
		return push_tensor(w, &tensor, d);
	if (!lies_side_by_side(d, tensor.rank, &elements))
	{
		order_dimensions(d, &tensor.rank);
		if (!lies_side_by_side(d, tensor.rank, &elements))
			return push_node(w, (node) {.kind = NODE_OTHER});
	}
	if (__builtin_mul_overflow(elements, tensor.element_bytes, &tensor.bytes) ||
		__builtin_mul_overflow((uint64_t) node_of(w, value[1])->number, tensor.element_bytes, &tensor.first) ||
		tensor.first > storage->bytes || tensor.bytes > storage->bytes - tensor.first)
		return REFUSE(w, "a tensor reaches past the end of its storage");
	return push_tensor(w, &tensor, d);
}

/* ---- what is called ---- */

/* An object of which its parts are known: arguments by their indexes, and what it is built of. */
static sparse_status
push_object(walker *w, uint32_t arguments)
{
	uint32_t	id;
	uint32_t	at = has_parts(node_of(w, arguments)) && node_of(w, arguments)->count > 0 ? node_of(w, arguments)->parts.first : 0;

	SPARSE_TRY(push_node(w, (node) {.kind = NODE_LIST}));
	id = (uint32_t) w->nodes.count;
	for (; at != 0; at = cell_of(w, at)->next)
		SPARSE_TRY(add_part(w, id, 0, cell_of(w, at)->value));
	return SPARSE_OK;
}

static sparse_status
call(walker *w, uint32_t callee, uint32_t arguments, bool wrapped)
{
	const node *n = node_of(w, callee);
	const global_code code = n->kind == NODE_GLOBAL ? (global_code) n->code : GLOBAL_UNKNOWN;
	uint32_t	value[3];
	const uint32_t count = values_of(w, arguments, value, 3);

	if (code == GLOBAL_DICTIONARY && count == 0)
		return push_node(w, (node) {.kind = NODE_PAIRS});
	if (code == GLOBAL_TENSOR || code == GLOBAL_TYPED_TENSOR)
		return rebuild_tensor(w, arguments, code == GLOBAL_TYPED_TENSOR);
	if (code == GLOBAL_WRAPPER && count > 0)
		return push(w, value[0]);
	/* (function, type, its arguments, state) */
	if (code == GLOBAL_TYPE_WRAPPER && count >= 3 && !wrapped)
		return call(w, value[0], value[2], true);
	return push_object(w, arguments);
}

/* ---- opcodes ---- */

typedef struct argument
{
	uint64_t	number;
	const char *text;
	size_t		bytes;
} argument;

#define OPERATION(name) static sparse_status name(walker *w, const argument *a)

OPERATION(pass)
{
	(void) w;
	(void) a;
	return SPARSE_OK;
}

OPERATION(stop)
{
	(void) a;
	w->done = true;
	return SPARSE_OK;
}

OPERATION(push_mark)
{
	(void) a;
	return push(w, MARK);
}

OPERATION(push_other)
{
	(void) a;
	return push_node(w, (node) {.kind = NODE_OTHER});
}

OPERATION(push_number)
{
	return push_node(w, (node) {.kind = NODE_NUMBER, .number = (int64_t) a->number});
}

OPERATION(push_signed)
{
	return push_node(w, (node) {.kind = NODE_NUMBER, .number = (int32_t) (uint32_t) a->number});
}

/* A number in two's complement of up to eight bytes; a longer one is none that is needed. */
OPERATION(push_long)
{
	uint64_t	number = 0;

	if (a->bytes > 8)
		return push_other(w, a);
	for (size_t i = a->bytes; i-- > 0;)
		number = number << 8 | (uint8_t) a->text[i];
	if (a->bytes > 0 && a->bytes < 8 && (uint8_t) a->text[a->bytes - 1] >= 128)
		number |= UINT64_MAX << 8 * a->bytes;
	return push_node(w, (node) {.kind = NODE_NUMBER, .number = (int64_t) number});
}

OPERATION(push_text)
{
	if (a->bytes > UINT32_MAX)
		return push_other(w, a);
	return push_node(w, (node) {.kind = NODE_TEXT, .text = a->text, .count = (uint32_t) a->bytes});
}

OPERATION(push_pairs)
{
	(void) a;
	return push_node(w, (node) {.kind = NODE_PAIRS});
}

OPERATION(push_list)
{
	(void) a;
	return push_node(w, (node) {.kind = NODE_LIST});
}

OPERATION(push_tuple)
{
	(void) a;
	return push_node(w, (node) {.kind = NODE_TUPLE});
}

OPERATION(push_twice)
{
	uint32_t	id;

	(void) a;
	SPARSE_TRY(top(w, &id));
	return push(w, id);
}

/* The topmost value, or a mark that lies there. */
OPERATION(drop)
{
	(void) a;
	if (w->stack.count == 0)
		return REFUSE(w, "the pickle's stack runs empty");
	w->stack.count--;
	return SPARSE_OK;
}

OPERATION(drop_to_mark)
{
	const uint32_t *id;
	size_t		count;

	(void) a;
	return pop_to_mark(w, &id, &count);
}

/* A container of what lies above the mark (in pairs: keys and values). */
static sparse_status
gather(walker *w, node_kind kind)
{
	const uint32_t *id;
	size_t		count;
	size_t		first;
	const size_t step = kind == NODE_PAIRS ? 2 : 1;

	SPARSE_TRY(pop_to_mark(w, &id, &count));
	first = (size_t) (id - (const uint32_t *) w->stack.item);
	if (count % step != 0)
		return REFUSE(w, "a dictionary of the pickle has a key without a value");
	/* the new container comes where the mark was: what is above stays in its place */
	SPARSE_TRY(push_node(w, (node) {.kind = (uint8_t) kind}));
	for (size_t i = 0; i < count; i += step)
	{
		const uint32_t *part = (const uint32_t *) w->stack.item + first + i;

		SPARSE_TRY(add_part(w, (uint32_t) w->nodes.count, step == 2 ? part[0] : 0, part[step - 1]));
	}
	return SPARSE_OK;
}

OPERATION(gather_list)
{
	(void) a;
	return gather(w, NODE_LIST);
}

OPERATION(gather_tuple)
{
	(void) a;
	return gather(w, NODE_TUPLE);
}

OPERATION(gather_pairs)
{
	(void) a;
	return gather(w, NODE_PAIRS);
}

static sparse_status
gather_few(walker *w, size_t count)
{
	uint32_t	part[3];

	for (size_t i = count; i-- > 0;)
		SPARSE_TRY(pop(w, &part[i]));
	SPARSE_TRY(push_node(w, (node) {.kind = NODE_TUPLE}));
	for (size_t i = 0; i < count; i++)
		SPARSE_TRY(add_part(w, (uint32_t) w->nodes.count, 0, part[i]));
	return SPARSE_OK;
}

OPERATION(gather_one)
{
	(void) a;
	return gather_few(w, 1);
}

OPERATION(gather_two)
{
	(void) a;
	return gather_few(w, 2);
}

OPERATION(gather_three)
{
	(void) a;
	return gather_few(w, 3);
}

OPERATION(append)
{
	uint32_t	value;
	uint32_t	to;

	(void) a;
	SPARSE_TRY(pop(w, &value));
	SPARSE_TRY(top(w, &to));
	return add_part(w, to, 0, value);
}

OPERATION(set_item)
{
	uint32_t	value;
	uint32_t	key;
	uint32_t	to;

	(void) a;
	SPARSE_TRY(pop(w, &value));
	SPARSE_TRY(pop(w, &key));
	SPARSE_TRY(top(w, &to));
	return add_part(w, to, key, value);
}

/* What lies above the mark goes into what lies below. */
static sparse_status
put_all(walker *w, size_t step)
{
	const uint32_t *id;
	size_t		count;
	uint32_t	to;

	SPARSE_TRY(pop_to_mark(w, &id, &count));
	SPARSE_TRY(top(w, &to));
	if (count % step != 0)
		return REFUSE(w, "a dictionary of the pickle has a key without a value");
	for (size_t i = 0; i < count; i += step)
		SPARSE_TRY(add_part(w, to, step == 2 ? id[i] : 0, id[i + step - 1]));
	return SPARSE_OK;
}

OPERATION(append_all)
{
	(void) a;
	return put_all(w, 1);
}

OPERATION(set_items)
{
	(void) a;
	return put_all(w, 2);
}

/* An object's state: it is on no level of its own. */
OPERATION(build)
{
	uint32_t	state;
	uint32_t	to;

	(void) a;
	SPARSE_TRY(pop(w, &state));
	SPARSE_TRY(top(w, &to));
	/* (a list of arguments becomes pairs, keyed by nothing: what is built has attributes) */
	if (node_of(w, to)->kind == NODE_LIST && node_of(w, to)->count == 0)
		node_of(w, to)->kind = NODE_PAIRS;
	return add_part(w, to, 0, state);
}

OPERATION(reduce)
{
	uint32_t	arguments;
	uint32_t	callee;

	(void) a;
	SPARSE_TRY(pop(w, &arguments));
	SPARSE_TRY(pop(w, &callee));
	return call(w, callee, arguments, false);
}

OPERATION(make_object)
{
	uint32_t	arguments;
	uint32_t	callee;

	(void) a;
	SPARSE_TRY(pop(w, &arguments));
	SPARSE_TRY(pop(w, &callee));
	return push_object(w, arguments);
}

OPERATION(make_object_named)
{
	uint32_t	named;

	SPARSE_TRY(pop(w, &named));
	return make_object(w, a);
}

OPERATION(persist)
{
	uint32_t	id;

	(void) a;
	SPARSE_TRY(pop(w, &id));
	return push_persistent(w, id);
}

/* Two lines: module and name. */
OPERATION(push_global)
{
	const char *newline = memchr(a->text, '\n', a->bytes);

	return push_node(w, global_node(a->text, (size_t) (newline - a->text), newline + 1, a->bytes - (size_t) (newline - a->text) - 2));
}

OPERATION(push_global_of_stack)
{
	uint32_t	id[2];
	const node *module;
	const node *name;

	(void) a;
	SPARSE_TRY(pop(w, &id[1]));
	SPARSE_TRY(pop(w, &id[0]));
	module = node_of(w, id[0]);
	name = node_of(w, id[1]);
	if (module->kind != NODE_TEXT || name->kind != NODE_TEXT)
		return REFUSE(w, "a name in the pickle is no text");
	return push_node(w, global_node(module->text, module->count, name->text, name->count));
}

static sparse_status
remember(walker *w, uint64_t at)
{
	uint32_t	id;

	SPARSE_TRY(top(w, &id));
	/* (they are counted, so there are fewer than bytes) */
	if (at >= w->bytes || at >= SPARSE_PICKLE_MAX_VALUES)
		return REFUSE(w, "the pickle remembers a value as number %llu", (unsigned long long) at);
	if (at >= w->memo.count)
	{
		SPARSE_TRY(reserve(w->found->allocator, &w->memo, (size_t) at + 1 - w->memo.count, sizeof(uint32_t)));
		memset((uint32_t *) w->memo.item + w->memo.count, 0, ((size_t) at + 1 - w->memo.count) * sizeof(uint32_t));
		w->memo.count = (size_t) at + 1;
	}
	((uint32_t *) w->memo.item)[at] = id;
	return SPARSE_OK;
}

OPERATION(put)
{
	return remember(w, a->number);
}

OPERATION(put_next)
{
	(void) a;
	return remember(w, w->memo.count);
}

OPERATION(get)
{
	const uint32_t id = a->number < w->memo.count ? ((uint32_t *) w->memo.item)[a->number] : MARK;

	return id != MARK ? push(w, id) : REFUSE(w, "the pickle asks for value %llu, which it never gave", (unsigned long long) a->number);
}

/* What follows an opcode: so many bytes of a number, a text behind so many bytes of its length, or two lines. */
typedef enum argument_kind
{
	ARGUMENT_NUMBER, ARGUMENT_TEXT, ARGUMENT_LINES
} argument_kind;

typedef struct operation
{
	sparse_status (*run) (walker *w, const argument *a);
	argument_kind kind;
	uint8_t		bytes;
} operation;

static const operation operations[256] = {
	[0x80] = {pass, ARGUMENT_NUMBER, 1},	/* protocol */
	[0x95] = {pass, ARGUMENT_NUMBER, 8},	/* frame */
	['.'] = {.run = stop},
	['('] = {.run = push_mark},
	['0'] = {.run = drop},
	['1'] = {.run = drop_to_mark},
	['2'] = {.run = push_twice},
	['N'] = {.run = push_other},
	[0x88] = {.run = push_other},	/* true */
	[0x89] = {.run = push_other},	/* false */
	['G'] = {push_other, ARGUMENT_NUMBER, 8},	/* a float */
	['J'] = {push_signed, ARGUMENT_NUMBER, 4},
	['K'] = {push_number, ARGUMENT_NUMBER, 1},
	['M'] = {push_number, ARGUMENT_NUMBER, 2},
	[0x8a] = {push_long, ARGUMENT_TEXT, 1},
	[0x8b] = {push_long, ARGUMENT_TEXT, 4},
	['U'] = {push_text, ARGUMENT_TEXT, 1},
	['T'] = {push_text, ARGUMENT_TEXT, 4},
	[0x8c] = {push_text, ARGUMENT_TEXT, 1},
	['X'] = {push_text, ARGUMENT_TEXT, 4},
	[0x8d] = {push_text, ARGUMENT_TEXT, 8},
	['C'] = {push_other, ARGUMENT_TEXT, 1},	/* bytes */
	['B'] = {push_other, ARGUMENT_TEXT, 4},
	[0x8e] = {push_other, ARGUMENT_TEXT, 8},
	[0x96] = {push_other, ARGUMENT_TEXT, 8},
	['}'] = {.run = push_pairs},
	[']'] = {.run = push_list},
	[')'] = {.run = push_tuple},
	[0x8f] = {.run = push_list},	/* a set */
	['d'] = {.run = gather_pairs},
	['l'] = {.run = gather_list},
	['t'] = {.run = gather_tuple},
	[0x91] = {.run = gather_list},	/* a frozen set */
	[0x85] = {.run = gather_one},
	[0x86] = {.run = gather_two},
	[0x87] = {.run = gather_three},
	['a'] = {.run = append},
	['e'] = {.run = append_all},
	[0x90] = {.run = append_all},	/* to a set */
	['s'] = {.run = set_item},
	['u'] = {.run = set_items},
	['b'] = {.run = build},
	['R'] = {.run = reduce},
	[0x81] = {.run = make_object},
	[0x92] = {.run = make_object_named},
	['Q'] = {.run = persist},
	['c'] = {.run = push_global, .kind = ARGUMENT_LINES},
	[0x93] = {.run = push_global_of_stack},
	['q'] = {put, ARGUMENT_NUMBER, 1},
	['r'] = {put, ARGUMENT_NUMBER, 4},
	[0x94] = {.run = put_next},
	['h'] = {get, ARGUMENT_NUMBER, 1},
	['j'] = {get, ARGUMENT_NUMBER, 4},
};

static void
take_lines(cursor *c, argument *a)
{
	const uint8_t *first = memchr(c->at, '\n', cursor_left(c));
	const uint8_t *second = first == NULL ? NULL : memchr(first + 1, '\n', (size_t) (c->end - first - 1));

	a->bytes = second == NULL ? cursor_left(c) + 1 : (size_t) (second + 1 - c->at);
	a->text = (const char *) cursor_take(c, a->bytes);
}

/* False: the pickle ends within. */
static bool
take_argument(cursor *c, const operation *o, argument *a)
{
	const uint8_t *byte = cursor_take(c, o->bytes);

	*a = (argument) {0};
	for (int i = byte == NULL ? 0 : o->bytes; i-- > 0;)
		a->number = a->number << 8 | byte[i];
	if (cursor_ok(c) && o->kind == ARGUMENT_LINES)
		take_lines(c, a);
	if (cursor_ok(c) && o->kind == ARGUMENT_TEXT)
	{
		a->bytes = (size_t) a->number;
		a->text = (const char *) cursor_take(c, a->bytes);
	}
	return cursor_ok(c);
}

static sparse_status
run(walker *w)
{
	for (size_t step = 0; !w->done; step++)
	{
		const uint8_t code = cursor_u8(&w->at);
		const operation *o = &operations[code];
		argument	a;

		if (sparse_interrupted(w->interrupt, step))
			return SPARSE_INTERRUPTED;
		if (cursor_ok(&w->at) && o->run == NULL)
			return REFUSE(w, "opcode %u of the pickle is none that is read", code);
		if (!cursor_ok(&w->at) || !take_argument(&w->at, o, &a))
		{
			sparse_complain(w->error, w->error_size, "the pickle ends before it is complete");
			return SPARSE_TRUNCATED;
		}
		SPARSE_TRY(o->run(w, &a));
	}
	return SPARSE_OK;
}

/* ---- naming ---- */

static sparse_status
name_tensor(walker *w, sparse_pickle_tensor *tensor)
{
	static const char alone[] = "tensor";
	const char *name = w->path_bytes > 0 ? w->path : alone;
	const size_t bytes = w->path_bytes > 0 ? w->path_bytes : sizeof alone - 1;
	sparse_pickle_list *names = &w->found->names;

	if (tensor->name != SIZE_MAX)
		return SPARSE_OK;
	if (bytes > ((size_t) 1 << 26) - names->count)
		return REFUSE(w, "the names of the tensors are too long");
	SPARSE_TRY(reserve(w->found->allocator, names, bytes + 1, 1));
	tensor->name = names->count;
	memcpy((char *) names->item + names->count, name, bytes);
	((char *) names->item)[names->count + bytes] = '\0';
	names->count += bytes + 1;
	return SPARSE_OK;
}

/* One step down: a key, or where it is neither text nor number, the index. */
static sparse_status
enter(walker *w, uint32_t key, uint32_t index)
{
	const node *n = key != 0 ? node_of(w, key) : NULL;
	char		digits[24];
	const char *text = digits;
	size_t		bytes;

	if (n != NULL && n->kind == NODE_TEXT)
	{
		text = n->text;
		bytes = n->count;
	}
	else
		bytes = (size_t) snprintf(digits, sizeof digits, "%lld", n != NULL && n->kind == NODE_NUMBER ? (long long) n->number : (long long) index);
	if (bytes + 1 > SPARSE_PICKLE_MAX_NAME - w->path_bytes)
		return REFUSE(w, "the name of a tensor has more than %d bytes", SPARSE_PICKLE_MAX_NAME);
	if (w->path_bytes > 0)
		w->path[w->path_bytes++] = '.';
	memcpy(w->path + w->path_bytes, text, bytes);
	w->path_bytes += bytes;
	return SPARSE_OK;
}

static sparse_status
name_all(walker *w, uint32_t id, int depth)
{
	node	   *n = node_of(w, id);
	const size_t path_bytes = w->path_bytes;
	uint32_t	index = 0;

	if (n->kind == NODE_TENSOR)
		return name_tensor(w, (sparse_pickle_tensor *) w->found->tensors.item + n->number);
	if (!has_parts(n) || n->entered || n->count == 0 || depth > MOST_DEPTH)
		return SPARSE_OK;
	n->entered = true;
	for (uint32_t at = n->parts.first; at != 0; at = cell_of(w, at)->next, index++)
	{
		const cell *part = cell_of(w, at);
		const node *value = node_of(w, part->value);

		if (!has_parts(value) && value->kind != NODE_TENSOR)
			continue;
		if (part->key != 0 || n->kind != NODE_PAIRS)
			SPARSE_TRY(enter(w, part->key, index));
		SPARSE_TRY(name_all(w, part->value, depth + 1));
		w->path_bytes = path_bytes;
	}
	return SPARSE_OK;
}

/* Tensors that no way leads to are left out. */
static void
drop_unnamed(sparse_pickle *found)
{
	sparse_pickle_tensor *tensor = found->tensors.item;
	size_t		kept = 0;

	for (size_t i = 0; i < found->tensors.count; i++)
		if (tensor[i].name != SIZE_MAX)
			tensor[kept++] = tensor[i];
	found->tensors.count = kept;
}

/* How many zeros end a name. */
static size_t
count_names(const sparse_pickle *found)
{
	size_t		names = 0;

	for (size_t at = 0; at < found->names.count; names++)
		at += strlen((const char *) found->names.item + at) + 1;
	return names;
}

static sparse_status
check_names(walker *w)
{
	const sparse_pickle *found = w->found;

	for (size_t i = 0; i < found->tensors.count; i++)
	{
		const char *name = (const char *) found->names.item + ((const sparse_pickle_tensor *) found->tensors.item)[i].name;

		if (!sparse_utf8_valid(name, strlen(name)))
			return REFUSE(w, "the name of a tensor is no UTF-8");
	}
	return count_names(found) == found->tensors.count ? SPARSE_OK : REFUSE(w, "the name of a tensor has a zero in it");
}

static sparse_status
walk(walker *w)
{
	uint32_t	root;

	SPARSE_TRY(run(w));
	SPARSE_TRY(top(w, &root));
	w->path = w->found->allocator->allocate(w->found->allocator->state, SPARSE_PICKLE_MAX_NAME + 1);
	if (w->path == NULL)
		return SPARSE_NO_MEMORY;
	SPARSE_TRY(name_all(w, root, 0));
	drop_unnamed(w->found);
	return check_names(w);
}

sparse_status
sparse_pickle_read(const sparse_allocator *allocator, const sparse_interrupt *interrupt, const void *bytes, size_t count,
				   sparse_pickle *found, char *error, size_t error_size)
{
	walker		w = {.interrupt = interrupt, .error = error, .error_size = error_size, .at = cursor_over(bytes, count), .bytes = count, .found = found};
	sparse_status status;

	*found = (sparse_pickle) {.allocator = allocator};
	status = walk(&w);
	release(allocator, &w.nodes);
	release(allocator, &w.cells);
	release(allocator, &w.stack);
	release(allocator, &w.memo);
	allocator->release(allocator->state, w.path);
	if (status != SPARSE_OK)
		sparse_pickle_free(found);
	return status;
}

void
sparse_pickle_free(sparse_pickle *found)
{
	release(found->allocator, &found->storages);
	release(found->allocator, &found->tensors);
	release(found->allocator, &found->names);
	release(found->allocator, &found->shapes);
}
