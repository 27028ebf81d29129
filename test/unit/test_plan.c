/*
 * test_plan.c: which files a path means, what an index says, what is a pointer, and
 * whether a version is whole; over a file system that is a table.
 */
#include "plan/check.h"
#include "plan/config.h"
#include "plan/index.h"
#include "plan/path.h"
#include "plan/pointer.h"
#include "plan/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* ---- paths ---- */

static bool
unsafe_paths_are_refused(void)
{
	static const char *const unsafe[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "./a", "a\nb", "a\x1f",
	"a/.pg_sparse-0123456789abcdef0123456789abcdef.part", ".pg_sparse-0123456789abcdef0123456789abcdef.journal"};
	static const char *const safe[] = {"a", "a/b", "...", ".a", "a..b", "a b", "\xC3\xA9", "a/..b/c", ".pg_sparse-0123.part",
	".pg_sparse-0123456789abcdef0123456789abcdef.part/x"};
	char		longest[SPARSE_PATH_BYTES + 1];
	bool		good = true;

	for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
		good &= !sparse_path_is_safe(unsafe[i]);
	for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
		good &= sparse_path_is_safe(safe[i]);
	memset(longest, 'x', sizeof longest);
	longest[SPARSE_PATH_BYTES] = '\0';
	good &= !sparse_path_is_safe(longest);
	longest[SPARSE_PATH_BYTES - 1] = '\0';
	return good && sparse_path_is_safe(longest);
}

static bool
indexes_are_known_by_name(void)
{
	return sparse_path_is_index("model.safetensors.index.json") && sparse_path_is_index("a.index.b/x.safetensors.index.fp16.json") &&
		sparse_path_is_index("pytorch_model.bin.index.json") && !sparse_path_is_index("a.index.b/config.json") &&
		!sparse_path_is_index("index.json") && !sparse_path_is_index("model.safetensors.index.json.bak");
}

/* ---- pointers ---- */

#define OID "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"

static bool
is_pointer(const char *text)
{
	return sparse_is_pointer(text, strlen(text));
}

static bool
pointers_are_known(void)
{
	char		padded[2000] = "version https://git-lfs.github.com/spec/v1\n" OID "size 12345\n";

	if (!is_pointer(padded) ||
		!is_pointer("version https://hawser.github.com/spec/v1\n" OID "size 1\n") ||
		!is_pointer("version https://git-lfs.github.com/spec/v1\r\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\r\nsize 1\r\n") ||
		!is_pointer("version https://git-lfs.github.com/spec/v1\next-0-foo sha256:00\n" OID "size 12345"))
		return false;
	memset(padded + strlen(padded), '\n', 1100);
	return !is_pointer(padded) && !is_pointer("version https://git-lfs.github.com/spec/v1\nThis page describes how pointers look: oid sha256: and size, in order") &&
		!is_pointer("# version https://git-lfs.github.com/spec/v1\n" OID "size 12345\n") && !sparse_is_pointer("", 0);
}

/* ---- indexes ---- */

static sparse_complaint complaint;

/* "tensor=shard " of all entries; or why there are none. */
static const char *
read_index(const char *text)
{
	static char answer[4000];
	sparse_index index;
	sparse_status status = sparse_index_read(&sparse_malloc, "i", text, strlen(text), &index, &complaint);

	if (status != SPARSE_OK)
		return complaint.message;
	snprintf(answer, sizeof answer, "%s", index.is_index ? "" : "none ");
	for (uint32_t i = 0; i < index.entries; i++)
		snprintf(answer + strlen(answer), sizeof answer - strlen(answer), "%s=%s ", index.entry[i].tensor, index.entry[i].shard);
	sparse_index_free(&sparse_malloc, &index);
	return answer;
}

static const struct
{
	const char *sentence;
	const char *text;
	const char *answer;			/* begins like that */
}			indexes[] = {
	{"an index is read, in order of shards and tensors", "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"b\":\"2\",\"a\":\"2\",\"c\":\"1\"}}", "c=1 a=2 b=2 "},
	{"escapes are decoded", "{\"weight_map\":{\"\\u00e9\":\"a\\/b\"}}", "\xC3\xA9=a/b "},
	{"other keys may hold anything", "{\"x\":[{\"weight_map\":{\"a\":1}},[[]]],\"weight_map\":{\"a\":\"s\"},\"y\":null}", "a=s "},
	{"a weight_map further down is none", "{\"metadata\":{\"weight_map\":{\"a\":\"s\"}}}", "none "},
	{"JSON without one is no index", "{\"weights\": 1}", "none "},
	{"an empty one names nothing", "{\"weight_map\":{}}", ""},
	{"a list is refused", "[]", "index \"i\" is not a JSON object"},
	{"what is no JSON is refused", "not JSON", "index \"i\" is not JSON"},
	{"what breaks off is refused", "{\"weight_map\":{\"a\":\"s\"", "index \"i\" is not JSON"},
	{"two weight_maps are refused", "{\"weight_map\":{\"a\":\"s\"},\"weight_map\":{\"b\":\"s\"}}", "index \"i\" has two weight_maps"},
	{"a weight_map that is a list is refused", "{\"weight_map\":[\"s\"]}", "the weight_map of index \"i\" is not an object"},
	{"a weight_map that is null is refused", "{\"weight_map\":null}", "the weight_map of index \"i\" is not an object"},
	{"a tensor that is named twice is refused", "{\"weight_map\":{\"a\":\"s\",\"b\":\"s\",\"a\":\"t\"}}", "index \"i\" names tensor \"a\" twice"},
	{"also with the same shard, and spelt otherwise", "{\"weight_map\":{\"a\":\"s\",\"\\u0061\":\"s\"}}", "index \"i\" names tensor \"a\" twice"},
	{"a shard that is an object is refused", "{\"weight_map\":{\"a\":{\"b\":\"s\"}}}", "index \"i\" names an invalid shard of tensor \"a\""},
	{"a shard that is a list is refused", "{\"weight_map\":{\"a\":[\"s\"]}}", "index \"i\" names an invalid shard of tensor \"a\""},
	{"a shard that is a number is refused", "{\"weight_map\":{\"a\":1}}", "index \"i\" names an invalid shard of tensor \"a\""},
	{"a shard above the folder is refused", "{\"weight_map\":{\"a\":\"../s\"}}", "index \"i\" names an invalid shard of tensor \"a\": \"../s\""},
	{"a shard at an absolute path is refused", "{\"weight_map\":{\"a\":\"/s\"}}", "index \"i\" names an invalid shard"},
	{"a shard without a name is refused", "{\"weight_map\":{\"a\":\"\"}}", "index \"i\" names an invalid shard"},
	{"a shard with a zero byte is refused", "{\"weight_map\":{\"a\":\"s\\u0000t\"}}", "index \"i\" names an invalid shard"},
	{"a tensor with a zero byte is refused", "{\"weight_map\":{\"a\\u0000\":\"s\"}}", "index \"i\": the name of tensor"},
};

/* An allocator that has nothing from the nth time on. */
static void *
fail_allocate(void *state, size_t bytes)
{
	int		   *left = state;

	return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void
plain_release(void *state, void *block)
{
	(void) state;
	free(block);
}

static bool
memory_may_run_out(void)
{
	static const char text[] = "{\"weight_map\":{\"a\":\"s\",\"\\u0062\":\"t\"}}";

	for (int most = 0;; most++)
	{
		int			left = most;
		sparse_allocator allocator = {fail_allocate, plain_release, &left};
		sparse_index index;
		sparse_status status = sparse_index_read(&allocator, "i", text, sizeof text - 1, &index, &complaint);

		if (status == SPARSE_OK)
		{
			sparse_index_free(&allocator, &index);
			return most > 0;
		}
		if (status != SPARSE_NO_MEMORY || index.memory != NULL)
			return false;
	}
}

/* ---- a file system ---- */

/* A link has the number of the folder that it leads to. */
typedef struct entry
{
	const char *path;
	char		kind;			/* f, d or another */
	int			number;
	const char *text;
} entry;

static const entry *table;
static char taken[4000];
static char passed[400];

static const entry *
find(const char *path)
{
	for (const entry *e = table; e->path; e++)
		if (strcmp(e->path, path) == 0)
			return e;
	return NULL;
}

/* What stands behind links: the entry of the table that the path leads to, or NULL. */
static const entry *
resolve(const char *path)
{
	char		parent[1000];
	const char *base = sparse_path_base(path);
	const entry *folder;

	if (find(path) || base == path)
		return find(path);
	snprintf(parent, sizeof parent, "%.*s", (int) (base - path) - 1, path);
	folder = resolve(parent);
	if (folder == NULL || folder->kind != 'd')
		return NULL;
	for (const entry *e = table; e->path; e++)
	{
		char		there[1000];

		if (e->kind != 'd' || e->number != folder->number)
			continue;
		snprintf(there, sizeof there, "%s/%s", e->path, base);
		if (find(there))
			return find(there);
	}
	return NULL;
}

static void
look(void *state, const char *path, sparse_place *place)
{
	const entry *e = resolve(path);

	(void) state;
	if (e == NULL)
	{
		printf("Bail out! the walk looks at \"%s\", which is not there\n", path);
		exit(1);
	}
	*place = (sparse_place) {e->kind == 'f' ? SPARSE_PLACE_FILE : e->kind == 'd' ? SPARSE_PLACE_FOLDER : SPARSE_PLACE_OTHER,
		e->text ? strlen(e->text) : 0, 1, (uint64_t) e->number};
}

static void
list(void *state, const char *folder, sparse_take_name take, void *take_state)
{
	const entry *of = resolve(folder);

	(void) state;
	for (const entry *e = table; e->path; e++)
		if (e->kind == 'd' && e->number == of->number)
			for (const entry *in = table; in->path; in++)
				if (strncmp(in->path, e->path, strlen(e->path)) == 0 && in->path[strlen(e->path)] == '/' &&
					strchr(in->path + strlen(e->path) + 1, '/') == NULL)
					take(take_state, in->path + strlen(e->path) + 1);
}

static void
read_file(void *state, const char *path, void *text, uint64_t bytes)
{
	(void) state;
	memcpy(text, resolve(path)->text, (size_t) bytes);
}

static const char *
native(void *state, const char *name)
{
	(void) state;
	return name;
}

static void
take_file(void *state, const char *place, const char *path, uint64_t bytes)
{
	(void) state;
	(void) place;
	(void) bytes;
	snprintf(taken + strlen(taken), sizeof taken - strlen(taken), "%s ", path);
}

static void
pass(void *state, const char *place)
{
	(void) state;
	snprintf(passed + strlen(passed), sizeof passed - strlen(passed), "%s ", place);
}

static bool
enters(void *state, const char *place, const char *path)
{
	(void) state;
	(void) place;
	return strcmp(path, "checkpoint-1") != 0;
}

static sparse_file_system files = {.look = look, .list = list, .read = read_file, .native = native, .take = take_file, .pass = pass};

/* What the path means in the table, or why it is refused. */
static const char *
walk(const entry *entries, const char *path)
{
	table = entries;
	taken[0] = passed[0] = '\0';
	return sparse_walk(&files, &sparse_malloc, path, &complaint) == SPARSE_OK ? taken : complaint.message;
}

static const entry model[] = {
	{"m", 'd', 1, NULL}, {"m/config.json", 'f', 2, "{}"}, {"m/unet", 'd', 3, NULL}, {"m/unet/u.safetensors", 'f', 4, ""},
	{"m/vae", 'd', 8, NULL}, {"disk", 'd', 8, NULL}, {"disk/v.safetensors", 'f', 9, ""}, {"m/.git", 'd', 5, NULL},
	{"m/.git/HEAD", 'f', 6, ""}, {"m/.secret", 'd', 7, NULL}, {"m/.secret/key", 'f', 10, ""}, {"m/.gitattributes", 'f', 11, ""},
	{"m/checkpoint-1", 'd', 12, NULL}, {"m/checkpoint-1/c.safetensors", 'f', 13, ""},
	{"loop", 'd', 20, NULL}, {"loop/a", 'd', 21, NULL}, {"loop/a/up", 'd', 20, NULL},
	{"pipe", 'd', 30, NULL}, {"pipe/fifo", 'p', 31, NULL}, {"empty", 'd', 40, NULL},
	{"s", 'd', 50, NULL}, {"s/x.index.json", 'f', 51, "{\"weight_map\":{\"a\":\"1\",\"b\":\"sub/2\",\"c\":\"1\"}}"}, {"s/1", 'f', 52, ""},
	{"s/sub", 'd', 53, NULL}, {"s/sub/2", 'f', 54, ""}, {"s/none.index.json", 'f', 55, "{}"},
	{NULL, 0, 0, NULL}
};

static void
test_walks(void)
{
	ok(strcmp(walk(model, "m"), "config.json unet/u.safetensors vae/v.safetensors .gitattributes checkpoint-1/c.safetensors ") == 0,
	   "a folder means all files below it, those of linked folders too");
	ok(strcmp(passed, "m/.secret ") == 0, "hidden folders are left out, and that is said but of those of tools");
	files.enters = enters;
	ok(strstr(walk(model, "m"), "checkpoint") == NULL, "a folder that is another version's is not entered");
	files.enters = NULL;
	ok(strcmp(walk(model, "loop"), "link \"loop/a/up\" leads to a folder that it lies in") == 0, "a link to where it lies is refused by name");
	ok(strcmp(walk(model, "pipe"), "\"pipe/fifo\" is not a regular file") == 0, "what is no file is refused by name");
	ok(strcmp(walk(model, "empty"), "folder \"empty\" holds no files") == 0, "a folder without files is refused");
	ok(strcmp(walk(model, "m/config.json"), "config.json ") == 0, "a file means itself");
	ok(strcmp(walk(model, "s/x.index.json"), "x.index.json 1 sub/2 ") == 0, "an index means itself and its shards, each once");
	ok(strcmp(walk(model, "s/none.index.json"), "index \"s/none.index.json\" names no shards") == 0, "an index without shards is refused");
}

/* Six levels of folders, each with 8 links to the next: 8^6 ways, of which the walk goes so many and no more. */
static bool
link_bombs_end(void)
{
	enum
	{
		LINKS = 8, LEVELS = 6
	};
	static entry bomb[LEVELS * (LINKS + 1) + 1];
	static char name[LEVELS * (LINKS + 1)][40];
	int			count = 0;

	for (int level = 0; level < LEVELS; level++)
		for (int i = 0; i <= LINKS; i++, count++)
		{
			snprintf(name[count], sizeof name[count], i == 0 ? "b%d" : "b%d/%d", level, i);
			bomb[count] = (entry) {name[count], 'd', i == 0 ? level + 1 : level + 2, NULL};
		}
	return strncmp(walk(bomb, "b0"), "too many folders", 16) == 0;
}

/* ---- whole versions ---- */

typedef struct made
{
	const char *path;
	const char *text;
	const char *tensors;		/* ",a,b,"; NULL: bytes */
} made;

static const made *version_files;
static int	told;

static const char *
made_path(void *state, uint32_t file)
{
	(void) state;
	return version_files[file].path;
}

static uint64_t
made_bytes(void *state, uint32_t file)
{
	(void) state;
	return strlen(version_files[file].text);
}

static void
made_read(void *state, uint32_t file, void *content, uint64_t bytes)
{
	(void) state;
	memcpy(content, version_files[file].text, (size_t) bytes);
}

static sparse_finding
made_find(void *state, const char *path, const char *tensor)
{
	char		wanted[100];

	(void) state;
	snprintf(wanted, sizeof wanted, ",%s,", tensor);
	for (const made *m = version_files; m->path; m++)
		if (strcmp(m->path, path) == 0)
			return m->tensors == NULL ? SPARSE_FOUND_BYTES : strstr(m->tensors, wanted) ? SPARSE_FOUND_TENSOR : SPARSE_FOUND_NO_TENSOR;
	return SPARSE_FOUND_NO_FILE;
}

static void
made_tell(void *state, const char *index)
{
	(void) state;
	(void) index;
	told++;
}

/* "" where the version is whole, else why not. */
static const char *
check(const made *version)
{
	sparse_made_version made = {.path = made_path, .bytes = made_bytes, .read = made_read, .find = made_find, .native = native, .tell = made_tell};

	version_files = version;
	told = 0;
	while (version[made.files].path)
		made.files++;
	if (sparse_check_pointers(&made, &complaint) == SPARSE_OK)
		(void) sparse_check_indexes(&made, &sparse_malloc, &complaint);
	return complaint.message;
}

#define MAP "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}"
#define BIN "{\"weight_map\":{\"a\":\"1.bin\",\"b\":\"2.bin\"}}"
#define CHECK(...) check((const made[]) {__VA_ARGS__, {NULL, NULL, NULL}})

static void
test_checks(void)
{
	ok(CHECK({"x/m.safetensors.index.json", MAP, NULL}, {"x/1.safetensors", "", ",a,c,"}, {"x/2.safetensors", "", ",b,"})[0] == '\0',
	   "a version whose shards are there is whole");
	ok(strcmp(CHECK({"m.safetensors.index.json", MAP, NULL}, {"1.safetensors", "", ",a,"}),
			  "index \"m.safetensors.index.json\" names a shard that is not there: \"2.safetensors\"") == 0, "a missing shard is named");
	ok(strcmp(CHECK({"x/m.safetensors.index.json", MAP, NULL}, {"1.safetensors", "", ",a,"}, {"2.safetensors", "", ",b,"}),
			  "index \"x/m.safetensors.index.json\" names a shard that is not there: \"1.safetensors\"") == 0, "shards lie where their index lies");
	ok(strcmp(CHECK({"m.safetensors.index.json", MAP, NULL}, {"1.safetensors", "", ",a,b,"}, {"2.safetensors", "", ",c,"}),
			  "index \"m.safetensors.index.json\" looks for tensor \"b\" in \"2.safetensors\", which has none of that name") == 0,
	   "a tensor that its shard has not is named, though another has it");
	ok(CHECK({"p.bin.index.json", BIN, NULL}, {"m.safetensors", "", ",a,"})[0] == '\0' && told == 1,
	   "an index of shards in another form, of which none is there, is let by, and that is said");
	ok(CHECK({"p.bin.index.json", BIN, NULL}, {"1.bin", "", NULL})[0] != '\0', "of which some are there, it is not");
	ok(CHECK({"p.bin.index.json", BIN, NULL}, {"1.bin", "", NULL}, {"2.bin", "", NULL})[0] == '\0' && told == 0, "all of them will do");
	ok(CHECK({"m.safetensors.index.json", "{\"weight_map\":{\"a\":\"1.saf", NULL})[0] != '\0', "an index that breaks off is refused");
	ok(CHECK({"m.safetensors.index.json", "", NULL})[0] != '\0', "an empty one too");
	ok(CHECK({"m.safetensors.index.json", "{\"weight_map\":{}}", NULL})[0] != '\0', "and one that names nothing");
	ok(CHECK({"docs.index.json", "[\"a\"]", NULL})[0] == '\0', "what is called an index and is none is a file like others");
	ok(CHECK({"docs.index.json", "{\"weight_map\":{\"a\":1}}", NULL})[0] != '\0', "unless it has a weight_map");
	ok(strcmp(CHECK({"m.safetensors", "version https://git-lfs.github.com/spec/v1\n" OID "size 12345\n", NULL}),
			  "\"m.safetensors\" is a Git-LFS pointer, not the file that it stands for") == 0, "a pointer is named");
}

/* ---- configs ---- */

static bool
fits(const char *text)
{
	char		error[256] = "";
	bool		good = sparse_config_check(&sparse_malloc, text, strlen(text), error, sizeof error) == SPARSE_OK;

	return good || error[0] == '\0';	/* neither: refused without a word */
}

static bool
configs_are_checked(void)
{
	static const char *const good[] = {"{}", "{\"a\": [1, -2.5e10, 1e-400, true, null, \"\\u00e9\"]}", " {\"a\": {}} "};
	static const char *const bad[] = {"", "1", "[]", "\"a\"", "null", "{", "{\"a\": 1e999}", "{\"a\": -1e999}", "{\"a\": 1e-16384}", "{\"a\": \"\\u0000\"}",
		"{\"\\u0000\": 1}", "{\"a\": \"\\ud800\"}", "{} 1", "{\"a\": NaN}",
		"{\"a\": 1234567890123456789012345678901234567890123456789012345678901234}"};
	bool		all = true;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		all &= fits(good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		all &= !fits(bad[i]);
	return all;
}

int
main(void)
{
	ok(configs_are_checked(), "configs that jsonb cannot hold are refused, and that is said");
	ok(unsafe_paths_are_refused(), "paths that lead elsewhere are not safe, all others are");
	ok(indexes_are_known_by_name(), "indexes are known by their names");
	ok(pointers_are_known(), "pointers are known, and what only begins like one is none");
	for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++)
		ok(strncmp(read_index(indexes[i].text), indexes[i].answer, strlen(indexes[i].answer)) == 0 &&
		   (indexes[i].answer[0] != '\0' || read_index(indexes[i].text)[0] == '\0'), indexes[i].sentence);
	ok(memory_may_run_out(), "memory may run out at any moment");
	test_walks();
	ok(link_bombs_end(), "links to links end");
	test_checks();
	printf("1..%d\n", tests);
	return failures != 0;
}
