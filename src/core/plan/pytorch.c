/*
 * pytorch.c: reads the directory of a zip archive of torch.save (see pytorch.h).
 *
 * Everything is read by its place in the file, in the order of the file. Where the literal is read instead, a place is
 * nearer to its beginning by the tensors that lie before, and these are known by then: from the pickle, which comes
 * first, and from the headers of the entries before. What comes behind all entries is found from the end.
 */
#include "pytorch.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "codec/bytes.h"
#include "codec/message.h"
#include "plan/format.h"
#include "plan/pickle.h"

#define LOCAL_BYTES 30
#define CENTRAL_BYTES 46
#define END_BYTES 22
#define LOCATOR_BYTES 20
#define END64_BYTES 56

#define LOCAL_MARK 0x04034b50u
#define CENTRAL_MARK 0x02014b50u
#define END_MARK 0x06054b50u
#define LOCATOR_MARK 0x07064b50u
#define END64_MARK 0x06064b50u

#define ZIP64_EXTRA 1
#define SAYS_ZIP64(value) ((value) == UINT32_MAX)
#define IS_ENCRYPTED(flags) (((flags) & 1) != 0)

#define MOST_PICKLE ((uint64_t) 1 << 26)
#define LEAST_PIECE 4096		/* bytes of an entry that are no tensor's, and not left in the literal */

typedef struct entry
{
	const char *name;			/* within the directory */
	uint16_t	name_bytes;
	bool		is_stored;		/* neither compressed nor encrypted */
	uint64_t	at;				/* its header; its bytes come behind */
	uint64_t	bytes;
	uint64_t	data;			/* where they begin, once the header was read */
	const sparse_pickle_storage *storage;	/* NULL: it is none */
} entry;

typedef struct archive
{
	/* fixed */
	const sparse_allocator *allocator;
	const sparse_interrupt *interrupt;
	const sparse_content *from;
	uint64_t	file_bytes;
	char	   *error;
	size_t		error_size;

	/* the directory */
	uint64_t	directory_at;
	uint64_t	directory_bytes;
	uint8_t    *directory;
	uint64_t	entries;
	entry	   *entry;
	uint32_t   *slot;			/* entries by the hashes of their names: 1 + number */
	size_t		slots;			/* a power of two */
	size_t		prefix_bytes;	/* of all names */

	/* the pickle, and what it says */
	uint8_t    *pickle;
	uint64_t	pickle_bytes;
	sparse_pickle found;

	/* tensors: `first` counts from the header of the first entry, as if entries had no headers: so they can be sorted */
	sparse_layout sorted;
	uint64_t	passed;			/* bytes of tensors before what is being read */
} archive;

#define REFUSE(a, ...) (sparse_complain((a)->error, (a)->error_size, __VA_ARGS__), SPARSE_CORRUPT)

/* ---- bytes ---- */

static bool
is_whole(const archive *a)
{
	return a->from->bytes == a->file_bytes;
}

static sparse_status
read_at(const archive *a, uint64_t first, uint64_t bytes, void *target)
{
	if (first > a->from->bytes || bytes > a->from->bytes - first)
	{
		sparse_complain(a->error, a->error_size, "the archive ends within what it announces");
		return SPARSE_TRUNCATED;
	}
	a->from->read(a->from->state, first, bytes, target);
	return SPARSE_OK;
}

/* Between entries, all tensors before having been passed. */
static sparse_status
read_between(const archive *a, uint64_t at, uint64_t bytes, void *target)
{
	const uint64_t passed = is_whole(a) ? 0 : a->passed;

	return at < passed ? REFUSE(a, "the archive's entries do not fit its size") : read_at(a, at - passed, bytes, target);
}

/* Behind all entries. */
static sparse_status
read_behind(const archive *a, uint64_t at, uint64_t bytes, void *target)
{
	const uint64_t passed = a->file_bytes - a->from->bytes;

	return at < passed ? REFUSE(a, "the archive's directory does not fit its size") : read_at(a, at - passed, bytes, target);
}

static sparse_status
step(const archive *a, size_t number)
{
	return sparse_interrupted(a->interrupt, number) ? SPARSE_INTERRUPTED : SPARSE_OK;
}

static void *
allocate(const archive *a, size_t bytes)
{
	return a->allocator->allocate(a->allocator->state, bytes);
}

/* ---- where the directory is ---- */

/* The end of zip64, `end` being where the other end begins. */
static sparse_status
read_end64(archive *a, uint64_t end)
{
	uint8_t		locator[LOCATOR_BYTES];
	uint8_t		end64[END64_BYTES];
	uint64_t	at;

	if (end < LOCATOR_BYTES)
		return REFUSE(a, "the archive lacks the directory of zip64");
	SPARSE_TRY(read_behind(a, end - LOCATOR_BYTES, sizeof locator, locator));
	at = load64(locator + 8);
	if (load32(locator) != LOCATOR_MARK || at > end - LOCATOR_BYTES || end - LOCATOR_BYTES - at < END64_BYTES)
		return REFUSE(a, "the archive lacks the directory of zip64");
	SPARSE_TRY(read_behind(a, at, sizeof end64, end64));
	if (load32(end64) != END64_MARK)
		return REFUSE(a, "the archive lacks the directory of zip64");
	a->entries = load64(end64 + 32);
	a->directory_bytes = load64(end64 + 40);
	a->directory_at = load64(end64 + 48);
	return SPARSE_OK;
}

static sparse_status
read_end(archive *a)
{
	uint8_t		end[END_BYTES];
	const uint64_t at = a->file_bytes - END_BYTES;

	if (a->file_bytes < END_BYTES)
		return REFUSE(a, "the archive has no end");
	SPARSE_TRY(read_behind(a, at, sizeof end, end));
	if (load32(end) != END_MARK || load16(end + 20) != 0)
		return REFUSE(a, "the archive does not end in a directory without a comment");
	a->entries = load16(end + 10);
	a->directory_bytes = load32(end + 12);
	a->directory_at = load32(end + 16);
	if (a->entries == UINT16_MAX || SAYS_ZIP64(a->directory_bytes) || SAYS_ZIP64(a->directory_at))
		SPARSE_TRY(read_end64(a, at));
	if (a->directory_at > at || a->directory_bytes > at - a->directory_at || a->directory_bytes > SPARSE_MAX_LITERAL ||
		a->entries > a->directory_bytes / CENTRAL_BYTES || a->entries == 0)
		return REFUSE(a, "the archive's directory has no place");
	return SPARSE_OK;
}

/* ---- the directory ---- */

/* The sizes and the place of an entry in an extra field of zip64, for those that do not fit where they should stand. */
static bool
take_zip64(cursor extra, uint64_t *value[3])
{
	while (cursor_left(&extra) >= 4)
	{
		const uint8_t *head = cursor_take(&extra, 4);
		const uint8_t *field = cursor_take(&extra, load16(head + 2));
		cursor		c;

		if (field == NULL)
			return false;
		if (load16(head) != ZIP64_EXTRA)
			continue;
		c = cursor_over(field, load16(head + 2));
		for (int i = 0; i < 3; i++)
			if (SAYS_ZIP64(*value[i]))
			{
				const uint8_t *number = cursor_take(&c, 8);

				*value[i] = number != NULL ? load64(number) : 0;
			}
		return cursor_ok(&c);
	}
	return !SAYS_ZIP64(*value[0]) && !SAYS_ZIP64(*value[1]) && !SAYS_ZIP64(*value[2]);
}

static sparse_status
take_entry(archive *a, cursor *c, entry *e)
{
	const uint8_t *head = cursor_take(c, CENTRAL_BYTES);
	const uint8_t *extra;
	uint64_t	compressed;

	if (head == NULL || load32(head) != CENTRAL_MARK)
		return REFUSE(a, "the archive's directory has fewer entries than it says");
	e->name_bytes = load16(head + 28);
	e->name = (const char *) cursor_take(c, e->name_bytes);
	extra = cursor_take(c, load16(head + 30));
	cursor_take(c, load16(head + 32));
	compressed = load32(head + 20);
	e->bytes = load32(head + 24);
	e->at = load32(head + 42);
	if (!cursor_ok(c) || !take_zip64(cursor_over(extra, load16(head + 30)), (uint64_t *[3]) {&e->bytes, &compressed, &e->at}))
		return REFUSE(a, "an entry of the archive's directory is cut");
	e->is_stored = load16(head + 10) == 0 && !IS_ENCRYPTED(load16(head + 8));
	if (e->is_stored && compressed != e->bytes)
		return REFUSE(a, "an entry of the archive has two sizes");
	e->bytes = compressed;
	if (e->at > a->directory_at || e->bytes > a->directory_at - e->at || a->directory_at - e->at - e->bytes < LOCAL_BYTES)
		return REFUSE(a, "an entry of the archive lies behind its directory");
	return SPARSE_OK;
}

static const entry *
find_entry(const archive *a, const char *name, size_t bytes, size_t *slot)
{
	size_t		at = (size_t) XXH3_64bits_withSeed(name, bytes, a->directory_bytes) & (a->slots - 1);

	for (; a->slot[at] != 0; at = (at + 1) & (a->slots - 1))
	{
		const entry *e = &a->entry[a->slot[at] - 1];

		if (e->name_bytes == bytes && memcmp(e->name, name, bytes) == 0)
			return e;
	}
	*slot = at;
	return NULL;
}

/* Entries stand in the directory in the order in which they lie in the file: so torch, and everything else that is seen, writes them. */
static sparse_status
take_entries(archive *a)
{
	cursor		c = cursor_over(a->directory, (size_t) a->directory_bytes);

	for (uint64_t i = 0; i < a->entries; i++)
	{
		entry	   *e = &a->entry[i];
		size_t		slot;

		SPARSE_TRY(step(a, (size_t) i));
		SPARSE_TRY(take_entry(a, &c, e));
		if (i == 0 ? e->at != 0 : e->at - e[-1].at < LOCAL_BYTES + e[-1].bytes || e->at < e[-1].at)
			return REFUSE(a, "the archive's entries overlap, or are in disorder");
		if (find_entry(a, e->name, e->name_bytes, &slot) != NULL)
			return REFUSE(a, "an entry of the archive stands there twice");
		a->slot[slot] = (uint32_t) i + 1;
	}
	return cursor_left(&c) == 0 ? SPARSE_OK : REFUSE(a, "the archive's directory has more entries than it says");
}

static sparse_status
read_directory(archive *a)
{
	SPARSE_TRY(read_end(a));
	for (a->slots = 4; a->slots < 2 * a->entries;)
		a->slots *= 2;
	a->directory = allocate(a, (size_t) a->directory_bytes);
	a->entry = allocate(a, (size_t) a->entries * sizeof(entry));
	a->slot = allocate(a, a->slots * sizeof(uint32_t));
	if (a->directory == NULL || a->entry == NULL || a->slot == NULL)
		return SPARSE_NO_MEMORY;
	memset(a->entry, 0, (size_t) a->entries * sizeof(entry));
	memset(a->slot, 0, a->slots * sizeof(uint32_t));
	SPARSE_TRY(read_behind(a, a->directory_at, a->directory_bytes, a->directory));
	return take_entries(a);
}

/* ---- the pickle ---- */

/* Reads an entry's header, so that it is known where its bytes begin; they end before the next one. */
static sparse_status
open_entry(archive *a, entry *e)
{
	uint8_t		head[LOCAL_BYTES];
	const uint64_t end = e + 1 < a->entry + a->entries ? e[1].at : a->directory_at;

	SPARSE_TRY(read_between(a, e->at, sizeof head, head));
	e->data = e->at + LOCAL_BYTES + load16(head + 26) + load16(head + 28);
	if (load32(head) != LOCAL_MARK || load16(head + 26) != e->name_bytes || e->data > end || e->bytes > end - e->data)
		return REFUSE(a, "the header of an entry is not what the archive's directory says");
	return SPARSE_OK;
}

static sparse_status
read_pickle(archive *a)
{
	static const char name[] = "data.pkl";
	entry	   *e = a->entry;

	a->prefix_bytes = e->name_bytes - (sizeof name - 1);
	if (e->name_bytes < sizeof name - 1 || memcmp(e->name + a->prefix_bytes, name, sizeof name - 1) != 0)
		return REFUSE(a, "the archive does not begin with data.pkl");
	if (!e->is_stored || e->bytes > MOST_PICKLE)
		return REFUSE(a, "the pickle is compressed, or too large");
	SPARSE_TRY(open_entry(a, e));
	a->pickle_bytes = e->bytes;
	a->pickle = allocate(a, (size_t) e->bytes);
	if (a->pickle == NULL)
		return SPARSE_NO_MEMORY;
	SPARSE_TRY(read_between(a, e->data, e->bytes, a->pickle));
	return sparse_pickle_read(a->allocator, a->interrupt, a->pickle, (size_t) e->bytes, &a->found, a->error, a->error_size);
}

/* An entry by its name without the prefix; NULL: there is none. */
static entry *
named_entry(const archive *a, const char *folder, const char *key, size_t key_bytes)
{
	char		name[UINT16_MAX];
	const size_t folder_bytes = strlen(folder);
	size_t		slot;

	if (a->prefix_bytes + folder_bytes + key_bytes > sizeof name)
		return NULL;
	memcpy(name, a->entry->name, a->prefix_bytes);
	memcpy(name + a->prefix_bytes, folder, folder_bytes);
	memcpy(name + a->prefix_bytes + folder_bytes, key, key_bytes);
	return (entry *) find_entry(a, name, a->prefix_bytes + folder_bytes + key_bytes, &slot);
}

/* The entry of a storage, which must be what the pickle says. */
static sparse_status
find_storage(const archive *a, const sparse_pickle_storage *storage, entry **found)
{
	char		shown[SPARSE_SHOWN] = "?";

	*found = named_entry(a, "data/", storage->key, storage->key_bytes);
	if (sparse_utf8_valid(storage->key, storage->key_bytes))
		sparse_show_name(shown, storage->key, storage->key_bytes);
	if (*found == NULL)
		return REFUSE(a, "the archive lacks storage \"%s\"", shown);
	if (!(*found)->is_stored)
		return REFUSE(a, "storage \"%s\" is compressed", shown);
	if ((*found)->bytes != storage->bytes || *found == a->entry)
		return REFUSE(a, "storage \"%s\" has %llu bytes, not %llu", shown, (unsigned long long) (*found)->bytes,
					  (unsigned long long) storage->bytes);
	if ((*found)->storage == NULL)
		(*found)->storage = storage;
	return SPARSE_OK;
}

/* ---- tensors ---- */

/* All tensors of the pickle, in the order of their bytes. */
static sparse_status
sort_tensors(archive *a)
{
	const sparse_pickle_tensor *tensor = a->found.tensors.item;

	a->sorted.tensors = (uint32_t) a->found.tensors.count;
	a->sorted.memory = allocate(a, a->found.tensors.count * sizeof(sparse_tensor));
	if (a->sorted.memory == NULL)
		return SPARSE_NO_MEMORY;
	a->sorted.tensor = a->sorted.memory;
	for (size_t i = 0; i < a->found.storages.count; i++)
	{
		entry	   *e;

		SPARSE_TRY(step(a, i));
		SPARSE_TRY(find_storage(a, (const sparse_pickle_storage *) a->found.storages.item + i, &e));
	}
	for (size_t i = 0; i < a->found.tensors.count; i++)
	{
		sparse_tensor *t = &a->sorted.tensor[i];
		entry	   *e;

		SPARSE_TRY(step(a, i));
		SPARSE_TRY(find_storage(a, (const sparse_pickle_storage *) a->found.storages.item + tensor[i].storage, &e));
		*t = (sparse_tensor) {
			.name = (const char *) a->found.names.item + tensor[i].name, .dtype_name = tensor[i].dtype, .rank = tensor[i].rank,
			.shape = (const uint64_t *) a->found.shapes.item + tensor[i].shape, .first = e->at + tensor[i].first, .bytes = tensor[i].bytes
		};
		if (!sparse_dtype_find(t->dtype_name, strlen(t->dtype_name), &t->dtype))
			t->dtype = SPARSE_BYTES;
	}
	return sparse_layout_sort(a->allocator, a->interrupt, &a->sorted);
}

/* Of tensors that begin at the same byte the longest stays, of those that overlap otherwise the first. */
static void
drop_overlaps(archive *a)
{
	sparse_tensor *tensor = a->sorted.tensor;
	uint32_t	kept = 0;
	uint64_t	end = 0;

	for (uint32_t i = 0; i < a->sorted.tensors; i++)
	{
		const bool	again = kept > 0 && tensor[i].first == tensor[kept - 1].first && tensor[kept - 1].bytes > 0;

		if (again && tensor[i].bytes > tensor[kept - 1].bytes)
			kept--;
		else if (tensor[i].first < end)
			continue;
		tensor[kept] = tensor[i];
		end = tensor[kept].first + tensor[kept].bytes;
		kept++;
	}
	a->sorted.tensors = kept;
}

/* ---- what no tensor takes ---- */

/* The tensors of the layout, being made. */
typedef struct filling
{
	sparse_tensor *tensor;		/* NULL: they are counted only */
	uint64_t   *shape;
	char	   *name;
	uint64_t	tensors;
	uint64_t	dimensions;
	uint64_t	name_bytes;
} filling;

static void
put_tensor(filling *f, const sparse_tensor *tensor)
{
	const size_t name_bytes = strlen(tensor->name) + 1;

	if (f->tensor != NULL)
	{
		sparse_tensor *made = &f->tensor[f->tensors];

		*made = *tensor;
		made->name = memcpy(f->name + f->name_bytes, tensor->name, name_bytes);
		made->shape = memcpy(f->shape + f->dimensions, tensor->shape, tensor->rank * sizeof(uint64_t));
	}
	f->tensors++;
	f->dimensions += tensor->rank;
	f->name_bytes += name_bytes;
}

static bool
is_piece(const archive *a, const entry *e, uint64_t bytes)
{
	return bytes >= LEAST_PIECE && e != a->entry && e->is_stored && e->name_bytes > a->prefix_bytes && e->name_bytes < 1000 &&
		memchr(e->name, '\0', e->name_bytes) == NULL && sparse_utf8_valid(e->name, e->name_bytes) &&
		memcmp(e->name, a->entry->name, a->prefix_bytes) == 0;
}

/* Bytes of an entry between its tensors. */
static void
put_piece(const archive *a, filling *f, const entry *e, uint64_t first, uint64_t end)
{
	const uint64_t bytes = end - first;
	char		name[1024];
	uint64_t	elements = bytes;
	sparse_tensor piece = {.name = name, .dtype_name = "U8", .dtype = SPARSE_U8, .rank = 1, .shape = &elements, .first = first, .bytes = bytes};
	const sparse_pickle_storage *s = e->storage;

	if (!is_piece(a, e, bytes))
		return;
	snprintf(name, sizeof name, first == e->at ? "%.*s" : "%.*s+%llu", (int) (e->name_bytes - a->prefix_bytes), e->name + a->prefix_bytes,
			 (unsigned long long) (first - e->at));
	if (s != NULL && (first - e->at) % s->element_bytes == 0 && bytes % s->element_bytes == 0)
	{
		elements = bytes / s->element_bytes;
		piece.dtype_name = s->dtype;
		if (!sparse_dtype_find(s->dtype, strlen(s->dtype), &piece.dtype))
			piece.dtype = SPARSE_BYTES;
	}
	put_tensor(f, &piece);
}

/* Tensors and pieces of all entries, in the order of their bytes. */
static sparse_status
fill(const archive *a, filling *f)
{
	uint32_t	next = 0;

	f->tensors = f->dimensions = f->name_bytes = 0;
	for (uint64_t i = 0; i < a->entries; i++)
	{
		const entry *e = &a->entry[i];
		uint64_t	at = e->at;

		SPARSE_TRY(step(a, (size_t) i));
		for (; next < a->sorted.tensors && a->sorted.tensor[next].first <= e->at + e->bytes; next++)
		{
			const sparse_tensor *tensor = &a->sorted.tensor[next];

			put_piece(a, f, e, at, tensor->first);
			put_tensor(f, tensor);
			at = tensor->first + tensor->bytes;
		}
		put_piece(a, f, e, at, e->at + e->bytes);
	}
	return SPARSE_OK;
}

static sparse_status
make_layout(archive *a, sparse_layout *parsed)
{
	filling		f = {0};
	uint64_t	gaps;

	SPARSE_TRY(fill(a, &f));
	if (f.tensors >= UINT32_MAX)
		return REFUSE(a, "the archive has too many tensors");
	gaps = f.tensors + 1;
	parsed->memory = allocate(a, (size_t) (f.tensors * sizeof(sparse_tensor) + gaps * sizeof(sparse_span) + f.dimensions * sizeof(uint64_t) +
										   f.name_bytes));
	if (parsed->memory == NULL)
		return SPARSE_NO_MEMORY;
	parsed->tensors = (uint32_t) f.tensors;
	parsed->tensor = f.tensor = parsed->memory;
	parsed->gap = (sparse_span *) (parsed->tensor + f.tensors);
	f.shape = (uint64_t *) (parsed->gap + gaps);
	f.name = (char *) (f.shape + f.dimensions);
	return fill(a, &f);
}

/* ---- places ---- */

static sparse_status
check_byte_order(archive *a, entry *e)
{
	char		order[6];

	if (!e->is_stored || e->bytes != sizeof order)
		return REFUSE(a, "the archive is of another byte order");
	SPARSE_TRY(open_entry(a, e));
	SPARSE_TRY(read_between(a, e->data, sizeof order, order));
	return memcmp(order, "little", sizeof order) == 0 ? SPARSE_OK : REFUSE(a, "the archive is of another byte order");
}

/* Counts tensors from the beginning of the file. */
static sparse_status
place_tensors(archive *a, sparse_layout *parsed)
{
	const entry *order = named_entry(a, "byteorder", "", 0);
	uint32_t	next = 0;

	for (entry *e = a->entry; e < a->entry + a->entries; e++)
	{
		const uint64_t end = e->at + e->bytes;
		uint64_t	taken = 0;

		SPARSE_TRY(step(a, (size_t) (e - a->entry)));
		if (e == order)
			SPARSE_TRY(check_byte_order(a, e));
		if (next < parsed->tensors && parsed->tensor[next].first <= end)
			SPARSE_TRY(open_entry(a, e));
		for (; next < parsed->tensors && parsed->tensor[next].first <= end; next++)
		{
			parsed->tensor[next].first += e->data - e->at;
			taken += parsed->tensor[next].bytes;
		}
		a->passed += taken;
	}
	return SPARSE_OK;
}

static sparse_status
finish(archive *a, sparse_layout *parsed)
{
	parsed->header_bytes = parsed->tensors > 0 ? parsed->tensor[0].first : a->file_bytes;
	for (uint32_t i = 0; i < parsed->tensors; i++)
		parsed->tensor[i].first -= parsed->header_bytes;
	SPARSE_TRY(sparse_layout_check_names(a->allocator, a->interrupt, parsed, XXH3_64bits(a->pickle, (size_t) a->pickle_bytes),
										 a->error, a->error_size));
	SPARSE_TRY(sparse_layout_find_gaps(parsed, a->file_bytes, a->error, a->error_size));
	if (!is_whole(a) && parsed->literal_bytes != a->from->bytes)
		return REFUSE(a, "the archive's literal has another size");
	if (parsed->literal_bytes <= SPARSE_MAX_LITERAL)
		return SPARSE_OK;
	sparse_complain(a->error, a->error_size, "%llu bytes belong to no tensor", (unsigned long long) parsed->literal_bytes);
	return SPARSE_TOO_LARGE;
}

/* ---- the whole ---- */

bool
sparse_is_pytorch(const uint8_t *first, size_t bytes, uint64_t file_bytes)
{
	static const char name[] = "data.pkl";
	size_t		end;

	(void) file_bytes;
	if (bytes < LOCAL_BYTES || load32(first) != LOCAL_MARK)
		return false;
	end = LOCAL_BYTES + (size_t) load16(first + 26);
	return end <= bytes && end <= SPARSE_PYTORCH_FIRST && end >= LOCAL_BYTES + sizeof name - 1 &&
		memcmp(first + end - (sizeof name - 1), name, sizeof name - 1) == 0;
}

static sparse_status
parse(archive *a, sparse_layout *parsed)
{
	SPARSE_TRY(read_directory(a));
	SPARSE_TRY(read_pickle(a));
	SPARSE_TRY(sort_tensors(a));
	drop_overlaps(a);
	SPARSE_TRY(make_layout(a, parsed));
	SPARSE_TRY(place_tensors(a, parsed));
	return finish(a, parsed);
}

sparse_status
sparse_pytorch_parse(const sparse_allocator *allocator, const sparse_interrupt *interrupt,
					 const sparse_content *from, uint64_t file_bytes,
					 sparse_layout *parsed, char *error, size_t error_size)
{
	archive		a = {
		.allocator = allocator, .interrupt = interrupt, .from = from, .file_bytes = file_bytes, .error = error, .error_size = error_size
	};
	sparse_status status;

	*parsed = (sparse_layout) {0};
	status = from->bytes <= file_bytes ? parse(&a, parsed) : SPARSE_BAD_ARGUMENT;
	allocator->release(allocator->state, a.directory);
	allocator->release(allocator->state, a.entry);
	allocator->release(allocator->state, a.slot);
	allocator->release(allocator->state, a.pickle);
	if (a.found.allocator != NULL)
		sparse_pickle_free(&a.found);
	sparse_layout_free(allocator, &a.sorted);
	if (status != SPARSE_OK)
		sparse_layout_free(allocator, parsed);
	return status;
}
