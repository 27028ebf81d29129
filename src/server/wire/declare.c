/*
 * declare.c: what a client says that it is about to upload (see declare.h).
 *
 * The argument is walked where it lies: keys of a jsonb object are looked up, not
 * unpacked, so that a million tensors take no more memory than their plan.
 */
#include "declare.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "find.h"

/* What an error about a file of the argument names. */
static void
name_file(void *arg)
{
	errcontext("file %d, counted from 1, of the argument \"files\"", *(int *) arg + 1);
}

pg_noreturn static void
bad_file(const char *problem)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid description of a file"),
			errdetail_internal("%s", problem),
			errhint("Each has \"path\", \"size\" and \"sha256\"; one with tensors \"header\" and \"tensors\" too."));
	pg_unreachable();
}

/* ---- values ---- */

/* The value of a key, counted in *found; NULL where it is missing. */
static JsonbValue *
value_of(JsonbContainer *object, const char *key, int *found)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, (int) strlen(key), NULL);

	*found += value != NULL;
	return value;
}

static const char *
string_of(const JsonbValue *value, const char *what)
{
	if (value == NULL || value->type != jbvString)
		bad_file(psprintf("\"%s\" must be a string.", what));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
sha256_of(const JsonbValue *value, const char *what, uint8 sha256[SPARSE_SHA256_BYTES])
{
	if (value == NULL || value->type != jbvString ||
		!find_parse_sha256(value->val.string.val, (size_t) value->val.string.len, sha256))
		bad_file(psprintf("\"%s\" must be a string of 64 hexadecimal digits.", what));
}

/* A number without fraction, 0 to the largest bigint. */
static uint64
size_of(const JsonbValue *value)
{
	char	   *digits;
	uint64		size = 0;

	if (value == NULL || value->type != jbvNumeric)
		bad_file("\"size\" must be a number.");
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	for (const char *at = digits; *at != '\0'; at++)
	{
		if (*at < '0' || *at > '9' || size > (uint64) (PG_INT64_MAX - (*at - '0')) / 10)
			bad_file(psprintf("Its size is no number of bytes: %.100s.", digits));
		size = size * 10 + (uint64) (*at - '0');
	}
	return size;
}

/* ---- headers ---- */

/* The bytes of a header. */
static char *
header_of(const JsonbValue *value, uint64 *bytes)
{
	int			room;
	int			decoded;
	char	   *header;

	if (value->type != jbvString)
		bad_file("\"header\" must be a string.");
	room = pg_b64_dec_len(value->val.string.len);
	header = palloc(Max(room, 1));
	decoded = pg_b64_decode(value->val.string.val, value->val.string.len,
							(sparse_b64_bytes *) header, room);
	if (decoded < 0)
		bad_file("\"header\" must be base64, without line breaks.");
	*bytes = (uint64) decoded;
	return header;
}

static void
sha256_of_bytes(const char *data, uint64 bytes, uint8 sha256[SPARSE_SHA256_BYTES])
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sparse header sum",
												  ALLOCSET_SMALL_SIZES);
	Sha256	   *sum = sha256_create(context);

	sha256_add(sum, data, bytes);
	sha256_finish(sum, sha256);
	MemoryContextDelete(context);
}

static void
declare_tensors(PlanFile *file, const JsonbValue *tensors)
{
	JsonbContainer *object;

	if (tensors == NULL && file->tensors == 0)
		return;
	if (tensors == NULL || tensors->type != jbvBinary || !JsonContainerIsObject(tensors->val.binary.data))
		bad_file("\"tensors\" must be an object from names to SHA-256s.");
	object = tensors->val.binary.data;
	if (JsonContainerSize(object) != file->tensors)
		bad_file(psprintf("\"tensors\" has %u keys; the header has %u tensors.",
						  JsonContainerSize(object), file->tensors));
	for (uint32 i = 0; i < file->tensors; i++)
	{
		PlanTensor *tensor = &file->tensor[i];
		JsonbValue *value = getKeyJsonValueFromContainer(object, tensor->name,
														 (int) strlen(tensor->name), NULL);

		CHECK_FOR_INTERRUPTS();
		if (value == NULL)
			bad_file(psprintf("\"tensors\" lacks tensor \"%s\" of the header.", tensor->name));
		sha256_of(value, tensor->name, tensor->object.sha256);
		pfree(value);
	}
}

static void
declare_with_tensors(PlanFile *file, const JsonbValue *header, const JsonbValue *tensors)
{
	uint64		bytes;
	char	   *data = header_of(header, &bytes);

	file->kind = sparse_file_recognise(data, Min(bytes, SPARSE_FORMAT_FIRST), file->bytes);
	/* why it is of no kind is said by the oldest parser */
	if (file->kind == SPARSE_FILE_BYTES)
		file->kind = SPARSE_FILE_SAFETENSORS;
	file->source = source_of_bytes(data, bytes);
	file->object.bytes = bytes;
	sha256_of_bytes(data, bytes, file->object.sha256);
	/* numbers of files are known once they are sorted */
	plan_layout_of_literal(file, -1, data, bytes);
	declare_tensors(file, tensors);
}

/* ---- files ---- */

/* One of its keys is none of those that a file has. */
static void
refuse_unknown_key(JsonbContainer *object)
{
	static const char *const known[] = {"path", "size", "sha256", "header", "tensors"};
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		bool		is_known = token != WJB_KEY;

		for (int i = 0; i < (int) lengthof(known) && !is_known; i++)
			is_known = value.val.string.len == (int) strlen(known[i]) &&
				memcmp(value.val.string.val, known[i], strlen(known[i])) == 0;
		if (!is_known)
			bad_file(psprintf("Key \"%.*s\" is unknown.",
							  pg_mbcliplen(value.val.string.val, value.val.string.len, 100),
							  value.val.string.val));
	}
}

static void
declare_file(ImportPlan *plan, JsonbContainer *object)
{
	int			found = 0;
	JsonbValue *path = value_of(object, "path", &found);
	JsonbValue *size = value_of(object, "size", &found);
	JsonbValue *sha256 = value_of(object, "sha256", &found);
	JsonbValue *header = value_of(object, "header", &found);
	JsonbValue *tensors = value_of(object, "tensors", &found);
	PlanFile   *file;

	if (found != (int) JsonContainerSize(object))
		refuse_unknown_key(object);
	file = plan_add_file(plan, string_of(path, "path"), size_of(size), NULL);
	sha256_of(sha256, "sha256", file->sha256);
	if (header != NULL && header->type != jbvNull)
		declare_with_tensors(file, header, tensors);
	else if (tensors != NULL && tensors->type != jbvNull)
		bad_file("It has \"tensors\", but no \"header\".");
	else
	{
		file->object.bytes = file->bytes;
		memcpy(file->object.sha256, file->sha256, SPARSE_SHA256_BYTES);
	}
}

static int
compare_to_path(const void *prefix, const void *file)
{
	return strcmp((const char *) prefix, ((const PlanFile *) file)->path);
}

/* No file may lie in another, as in a folder. */
static void
check_folders(const ImportPlan *plan, const PlanFile *file)
{
	char	   *prefix = pstrdup(file->path);

	for (char *slash = strrchr(prefix, '/'); slash != NULL; slash = strrchr(prefix, '/'))
	{
		*slash = '\0';
		if (bsearch(prefix, plan->file, (size_t) plan->files, sizeof(PlanFile), compare_to_path) != NULL)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("path \"%s\" is a file and a folder", prefix),
					errdetail("It is the folder of \"%s\".", file->path));
	}
	pfree(prefix);
}

/* Sorted files get their numbers; their paths must differ, and make a folder. */
static void
number_files(ImportPlan *plan)
{
	plan_sort(plan);
	for (int i = 0; i < plan->files; i++)
	{
		PlanFile   *file = &plan->file[i];

		if (i > 0 && strcmp(plan->file[i - 1].path, file->path) == 0)
			ereport(ERROR,
					errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("path \"%s\" is named twice", file->path));
		file->object.file = i;
		file->object.dtype = SPARSE_BYTES;
		for (uint32 t = 0; t < file->tensors; t++)
			file->tensor[t].object.file = i;
		check_folders(plan, file);
	}
}

static void
check_sizes(const ImportPlan *plan)
{
	uint64		total = 0;

	for (int i = 0; i < plan->files; i++)
	{
		if (plan->file[i].bytes > PG_INT64_MAX - total)
			ereport(ERROR,
					errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("the files are too large"),
					errdetail("Together they may have " INT64_FORMAT " bytes.", PG_INT64_MAX));
		total += plan->file[i].bytes;
	}
}

ImportPlan *
declared_plan(Jsonb *files)
{
	ImportPlan *plan = plan_create();
	int			number = 0;
	ErrorContextCallback context = {error_context_stack, name_file, &number};
	Sha256	   *identity = sha256_create(CurrentMemoryContext);
	uint32		count;

	if (!JB_ROOT_IS_ARRAY(files) || JB_ROOT_IS_SCALAR(files) || JB_ROOT_COUNT(files) == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("files must be an array of at least one object"));
	count = JB_ROOT_COUNT(files);
	if (count > PLAN_MAX_FILES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("too many files: %u", count),
				errdetail("A version holds at most %d files.", PLAN_MAX_FILES));
	error_context_stack = &context;
	for (; number < (int) count; number++)
	{
		JsonbValue *file = getIthJsonbValueFromContainer(&files->root, (uint32) number);

		CHECK_FOR_INTERRUPTS();
		if (file == NULL || file->type != jbvBinary || !JsonContainerIsObject(file->val.binary.data))
			bad_file("It is no object.");
		declare_file(plan, file->val.binary.data);
	}
	error_context_stack = context.previous;
	number_files(plan);
	check_sizes(plan);
	plan_identity(plan, identity);
	return plan;
}

/* ---- the declaration as a whole ---- */

/* A text with its length before it, so that no two sequences of texts are one. */
static void
add_text(Sha256 *sum, const char *text)
{
	uint64		length = strlen(text);

	sha256_add(sum, &length, sizeof(length));
	sha256_add(sum, text, length);
}

static void
add_file(Sha256 *sum, const PlanFile *file)
{
	identity_add_file(sum, file->path, file->bytes, file->sha256);
	add_text(sum, sparse_file_kind_name(file->kind));
	sha256_add(sum, file->object.sha256, SPARSE_SHA256_BYTES);
	for (uint32 i = 0; i < file->tensors; i++)
		sha256_add(sum, file->tensor[i].object.sha256, SPARSE_SHA256_BYTES);
}

void
declaration_digest(const Import *import, uint8 digest[SPARSE_SHA256_BYTES])
{
	Sha256	   *sum = sha256_create(CurrentMemoryContext);
	Jsonb	   *metadata = DatumGetJsonbP(import->metadata);

	add_text(sum, GetUserNameFromId(GetUserId(), false));
	add_text(sum, import->name);
	sha256_add(sum, &import->parents, sizeof(import->parents));
	for (int i = 0; i < import->parents; i++)
	{
		sha256_add(sum, &import->parent[i].version.id, sizeof(int64));
		add_text(sum, import->parent[i].role);
	}
	add_text(sum, JsonbToCString(NULL, &metadata->root, VARSIZE(metadata)));
	for (int i = 0; i < import->plan->files; i++)
		add_file(sum, &import->plan->file[i]);
	sha256_finish(sum, digest);
}
