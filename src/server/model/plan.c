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

#include "codec/safetensors.h"
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
	file->safetensors = sparse_path_is_safetensors(path);
	file->bytes = bytes;
	file->source = source;
	return file;
}

/* ---- safetensors files ---- */

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
check_parsed(const PlanFile *file, sparse_status status, char *message)
{
	if (status == SPARSE_NO_MEMORY)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	if (status != SPARSE_OK)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("file \"%s\" is not a valid safetensors file", file->path),
				errdetail("The header is refused: %s.", printable(message)));
}

uint64
plan_header_bytes(const PlanFile *file, const char *first8)
{
	uint64		bytes = 0;
	char		message[256] = "";

	check_parsed(file, sparse_safetensors_header_bytes(first8, file->bytes, &bytes,
													   message, sizeof(message)), message);
	return bytes;
}

static char *
read_header(const PlanFile *file, uint64 *header_bytes)
{
	char		first8[8] = {0};
	char	   *header;

	source_read(file->source, 0, Min(file->bytes, sizeof(first8)), first8);
	*header_bytes = plan_header_bytes(file, first8);
	header = palloc(*header_bytes);
	source_read(file->source, 0, *header_bytes, header);
	return header;
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
static void
parse_header(const PlanFile *file, const sparse_allocator *allocator, const char *header,
			 uint64 header_bytes, uint64 file_bytes, sparse_layout *parsed)
{
	const sparse_interrupt interrupt = {interrupt_is_pending, NULL};
	char		message[256] = "";
	sparse_status status;

	do
	{
		CHECK_FOR_INTERRUPTS();
		status = sparse_safetensors_parse(allocator, &interrupt, header, header_bytes, file_bytes,
										  parsed, message, sizeof(message));
	} while (status == SPARSE_INTERRUPTED);
	check_parsed(file, status, message);
}

void
plan_header(PlanFile *file, int number, const char *header, uint64 header_bytes, uint64 file_bytes)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "sparse header",
												  ALLOCSET_DEFAULT_SIZES);
	sparse_allocator allocator;
	sparse_layout parsed;

	sparse_allocator_init(&allocator, scratch);
	parse_header(file, &allocator, header, header_bytes, file_bytes, &parsed);
	plan_tensors_of(file, number, &parsed);
	MemoryContextDelete(scratch);
}

static void
plan_safetensors(PlanFile *file, int number)
{
	uint64		header_bytes;
	char	   *header = read_header(file, &header_bytes);

	plan_header(file, number, header, header_bytes, file->bytes);
	file->object.bytes = header_bytes;
	pfree(header);
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
	{
		PlanFile   *file = &plan->file[i];

		file->object.file = i;
		file->object.dtype = SPARSE_BYTES;
		file->object.bytes = file->bytes;
		if (file->safetensors)
			plan_safetensors(file, i);
	}
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
