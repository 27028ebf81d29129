/*
 * plan.c: what an import will store (see plan.h): files in order of path, and the
 * objects that they fall into.
 */
#include "postgres.h"
#include "compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "plan/path.h"
#include "sdelta/glue.h"
#include "plan.h"
#include "store/encoding.h"

ImportPlan *
plan_create(void)
{
	ImportPlan *plan = palloc0(sizeof(ImportPlan));

	plan->room = 16;
	plan->file = palloc0(plan->room * sizeof(PlanFile));
	if (!pg_strong_random(&plan->seed, sizeof(plan->seed)))
		elog(ERROR, "could not get a random number");
	return plan;
}

bool
path_is_safe(const char *path)
{
	return sparse_path_is_safe(path) && pg_verifymbstr(path, (int) strlen(path), true);
}

PlanFile *
plan_add_file(ImportPlan *plan, const char *path, uint64 bytes, Source *source)
{
	PlanFile   *file;

	if (!path_is_safe(path))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("invalid path of a file within a version: \"%s\"",
					   pg_verifymbstr(path, (int) strlen(path), true) ? path : "?"),
				errdetail("It must be relative, without \"..\", below %d bytes, and valid in the encoding of the database.",
						  SPARSE_PATH_BYTES));
	if (plan->files == plan->room)
	{
		plan->room *= 2;
		plan->file = repalloc(plan->file, plan->room * sizeof(PlanFile));
	}
	file = &plan->file[plan->files++];
	memset(file, 0, sizeof(PlanFile));
	file->path = pstrdup(path);
	file->bytes = bytes;
	file->source = source;
	return file;
}

/* ---- files with tensors ---- */

/* A message about foreign bytes, fit to be sent to the client. */
static const char *
printable(char *message)
{
	if (GetDatabaseEncoding() != PG_UTF8 || !pg_verifymbstr(message, (int) strlen(message), true))
		for (char *at = message; *at != '\0'; at++)
			if ((unsigned char) *at >= 0x80)
				*at = '?';
	return message;
}

static void
refuse_parsed(const PlanFile *file, sparse_status status, char *message)
{
	if (status == SPARSE_NO_MEMORY)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			errmsg("file \"%s\" is not a valid %s", file->path, sparse_file_kind_words(file->kind)),
			errdetail("The header is refused: %s.", printable(message)));
}

static uint64
row_bytes(const sparse_tensor *tensor)
{
	if (tensor->rank == 0 || tensor->shape[0] == 0 || tensor->bytes % tensor->shape[0] != 0)
		return 0;
	return tensor->bytes / tensor->shape[0];
}

/* Names come as UTF-8. */
static const char *
server_text(const char *utf8)
{
	char	   *text = pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8);

	return text == utf8 ? pstrdup(utf8) : text;
}

static void
plan_tensor(PlanTensor *planned, const sparse_tensor *tensor, int file, uint64 header_bytes)
{
	planned->name = server_text(tensor->name);
	planned->dtype = tensor->dtype == SPARSE_BYTES ? server_text(tensor->dtype_name)
		: sparse_dtype_get(tensor->dtype)->name;
	planned->rank = tensor->rank;
	if (tensor->rank > 0)
	{
		planned->shape = palloc(tensor->rank * sizeof(uint64));
		memcpy(planned->shape, tensor->shape, tensor->rank * sizeof(uint64));
	}
	planned->object.file = file;
	planned->object.first = header_bytes + tensor->first;
	planned->object.bytes = tensor->bytes;
	planned->object.row_bytes = row_bytes(tensor);
	planned->object.dtype = tensor->dtype;
	planned->object.tensor = planned;
}

static int
compare_by_name(const void *a, const void *b)
{
	return strcmp((*(const PlanTensor *const *) a)->name, (*(const PlanTensor *const *) b)->name);
}

static int
compare_name(const void *name, const void *tensor)
{
	return strcmp(name, (*(const PlanTensor *const *) tensor)->name);
}

const PlanTensor *
plan_find_tensor(PlanFile *file, const char *name)
{
	const PlanTensor **found;

	if (file->tensors == 0)
		return NULL;
	if (file->by_name == NULL)
	{
		file->by_name = MemoryContextAllocHuge(GetMemoryChunkContext(file->tensor), file->tensors * sizeof(PlanTensor *));
		for (uint32 i = 0; i < file->tensors; i++)
			file->by_name[i] = &file->tensor[i];
		qsort(file->by_name, file->tensors, sizeof(PlanTensor *), compare_by_name);
	}
	found = bsearch(name, file->by_name, file->tensors, sizeof(PlanTensor *), compare_name);
	return found == NULL ? NULL : *found;
}

char *
plan_shape_text(const PlanTensor *tensor)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (uint32 i = 0; i < tensor->rank; i++)
		appendStringInfo(&text, "%s%llu", i > 0 ? "," : "",
						 (unsigned long long) tensor->shape[i]);
	appendStringInfoChar(&text, '}');
	return text.data;
}

/* What an error about a tensor of the header names: the text itself may be what is wrong. */
typedef struct HeaderPlace
{
	const PlanFile *file;
	uint32		tensor;
} HeaderPlace;

static void
name_tensor(void *arg)
{
	const HeaderPlace *place = arg;

	errcontext("tensor %u, counted from 1 in the order of their bytes, of file \"%s\"",
			   place->tensor + 1, place->file->path);
}

/* Where the literal lies, to be kept. */
static void
take_literal(PlanFile *file, const sparse_layout *parsed)
{
	file->literal = (sparse_layout) {
		.header_bytes = parsed->header_bytes, .gaps = parsed->gaps, .literal_bytes = parsed->literal_bytes
	};
	file->object.bytes = parsed->literal_bytes;
	if (parsed->gaps == 0)
		return;
	file->literal.gap = palloc_extended(parsed->gaps * sizeof(sparse_span), MCXT_ALLOC_HUGE);
	memcpy(file->literal.gap, parsed->gap, parsed->gaps * sizeof(sparse_span));
}

static void
plan_tensors_of(PlanFile *file, int number, const sparse_layout *parsed)
{
	HeaderPlace place = {.file = file};
	ErrorContextCallback context = {error_context_stack, name_tensor, &place};

	file->tensors = parsed->tensors;
	file->tensor = MemoryContextAllocExtended(CurrentMemoryContext,
											  Max(parsed->tensors, 1) * sizeof(PlanTensor),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	error_context_stack = &context;
	for (place.tensor = 0; place.tensor < parsed->tensors; place.tensor++)
	{
		CHECK_FOR_INTERRUPTS();
		plan_tensor(&file->tensor[place.tensor], &parsed->tensor[place.tensor], number,
					parsed->header_bytes);
	}
	error_context_stack = context.previous;
}

/* Whether CHECK_FOR_INTERRUPTS() would do something. */
static bool
interrupt_is_pending(void *state)
{
	(void) state;
	return InterruptPending && InterruptHoldoffCount == 0 && QueryCancelHoldoffCount == 0 &&
		CritSectionCount == 0;
}

/* An interrupt that is no reason to stop is served, and the parse begun again. */
static sparse_status
parse(const PlanFile *file, const sparse_allocator *allocator, const sparse_content *content, sparse_layout *parsed,
	  char message[SPARSE_MESSAGE])
{
	const sparse_interrupt interrupt = {interrupt_is_pending, NULL};
	sparse_status status;

	do
	{
		CHECK_FOR_INTERRUPTS();
		status = sparse_file_parse(file->kind, allocator, &interrupt, content, file->bytes, parsed, message, SPARSE_MESSAGE);
	} while (status == SPARSE_INTERRUPTED);
	return status;
}

/* False, with a message: it is malformed. */
static bool
try_layout(PlanFile *file, int number, const sparse_content *content, sparse_status *status, char message[SPARSE_MESSAGE])
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "sparse header",
												  ALLOCSET_DEFAULT_SIZES);
	sparse_allocator allocator;
	sparse_layout parsed;

	sparse_allocator_init(&allocator, scratch);
	*status = parse(file, &allocator, content, &parsed, message);
	if (*status == SPARSE_OK)
	{
		take_literal(file, &parsed);
		plan_tensors_of(file, number, &parsed);
	}
	MemoryContextDelete(scratch);
	return *status == SPARSE_OK;
}

void
plan_layout(PlanFile *file, int number, const sparse_content *content)
{
	char		message[SPARSE_MESSAGE];
	sparse_status status;

	if (!try_layout(file, number, content, &status, message))
		refuse_parsed(file, status, message);
}

static void
read_literal(void *state, uint64_t first, uint64_t bytes, void *target)
{
	memcpy(target, (const char *) state + first, bytes);
}

void
plan_layout_of_literal(PlanFile *file, int number, const char *literal, uint64 bytes)
{
	const sparse_content content = {(void *) literal, bytes, read_literal};

	plan_layout(file, number, &content);
	if (file->object.bytes != bytes)
		refuse_parsed(file, SPARSE_CORRUPT,
					  psprintf("it has " UINT64_FORMAT " bytes, not the " UINT64_FORMAT " handed over", file->object.bytes, bytes));
}

/* ---- a file at hand ---- */

static void
read_source(void *state, uint64_t first, uint64_t bytes, void *target)
{
	source_read(state, first, bytes, target);
}

sparse_span
plan_span(const PlanFile *file, const PlanObject *object, uint64 first)
{
	sparse_span span = {object->first + first, object->bytes - first, first};

	if (object->tensor == NULL && file->literal.gaps > 0)
		span = sparse_layout_literal(&file->literal, first);
	if (first >= object->bytes || span.bytes == 0)
		elog(ERROR, "an object of file \"%s\" has no byte " UINT64_FORMAT, file->path, first);
	return span;
}

void
plan_read(const PlanFile *file, const PlanObject *object, uint64 first, uint64 bytes, char *target)
{
	while (bytes > 0)
	{
		sparse_span span = plan_span(file, object, first);
		uint64		length = Min(span.bytes, bytes);

		source_read(file->source, span.first, length, target);
		first += length;
		bytes -= length;
		target += length;
	}
}

sparse_file_kind
plan_kind(const PlanFile *file, const char *first)
{
	sparse_file_kind claimed = sparse_file_kind_of_path(file->path);

	/* a name is an order: what is called a safetensors file must be one */
	if (claimed == SPARSE_FILE_SAFETENSORS)
		return claimed;
	return sparse_file_recognise(first, (size_t) Min(file->bytes, SPARSE_FORMAT_FIRST), file->bytes);
}

/* Whether a malformed file is an error, rather than bytes. */
static bool
must_be_sound(const ImportPlan *plan, const PlanFile *file)
{
	return file->kind == SPARSE_FILE_SAFETENSORS ? sparse_path_is_safetensors(file->path) : plan->asked;
}

static void
tell_malformed(const PlanFile *file, char *message)
{
	ereport(NOTICE,
			errmsg("file \"%s\" is not a valid %s", file->path, sparse_file_kind_words(file->kind)),
			errdetail("It is kept as bytes: %s.", printable(message)));
}

static void
plan_file(const ImportPlan *plan, PlanFile *file, int number)
{
	char		first[SPARSE_FORMAT_FIRST];
	const sparse_content content = {file->source, file->bytes, read_source};
	char		message[SPARSE_MESSAGE];
	sparse_status status;

	file->object.file = number;
	file->object.dtype = SPARSE_BYTES;
	file->object.bytes = file->bytes;
	source_read(file->source, 0, Min(file->bytes, sizeof(first)), first);
	file->kind = plan_kind(file, first);
	if (file->kind == SPARSE_FILE_BYTES || try_layout(file, number, &content, &status, message))
		return;
	if (status == SPARSE_NO_MEMORY || must_be_sound(plan, file))
		refuse_parsed(file, status, message);
	tell_malformed(file, message);
	file->kind = SPARSE_FILE_BYTES;
}

/* ---- all files ---- */

static int
compare_paths(const void *a, const void *b)
{
	return text_compare_kept(((const PlanFile *) a)->path, ((const PlanFile *) b)->path);
}

void
plan_sort(ImportPlan *plan)
{
	qsort(plan->file, plan->files, sizeof(PlanFile), compare_paths);
}

PlanFile *
plan_find_file(ImportPlan *plan, const char *path)
{
	PlanFile	key = {.path = path};

	return bsearch(&key, plan->file, (size_t) plan->files, sizeof(PlanFile), compare_paths);
}

void
plan_objects(ImportPlan *plan)
{
	plan_sort(plan);
	plan_check_pointers(plan);
	for (int i = 0; i < plan->files; i++)
		plan_file(plan, &plan->file[i], i);
	plan_check_indexes(plan);
}

uint64
plan_bytes(const ImportPlan *plan)
{
	uint64		bytes = 0;

	for (int i = 0; i < plan->files; i++)
		bytes += plan->file[i].bytes;
	return bytes;
}

uint64
plan_tensors(const ImportPlan *plan)
{
	uint64		tensors = 0;

	for (int i = 0; i < plan->files; i++)
		tensors += plan->file[i].tensors;
	return tensors;
}
