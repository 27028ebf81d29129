/*
 * whole.c: whether the files of a plan are whole: plan/check.h, over a plan.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "plan/check.h"
#include "sdelta/glue.h"
#include "plan.h"

/* Names of files come from UTF-8, those of the folder are the database's: any other text has '?' for what is not ASCII. */
static const char *
printable(char *message)
{
	if (!pg_verifymbstr(message, (int) strlen(message), true) || GetDatabaseEncoding() != PG_UTF8)
		for (char *at = message; *at != '\0'; at++)
			if ((unsigned char) *at >= 0x80)
				*at = '?';
	return message;
}

void
plan_check_status(sparse_status status, sparse_complaint *complaint)
{
	if (status == SPARSE_NO_MEMORY)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	if (status != SPARSE_OK)
		ereport(ERROR,
				errcode(status == SPARSE_TOO_LARGE ? ERRCODE_PROGRAM_LIMIT_EXCEEDED : ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg_internal("%s", printable(complaint->message)),
				complaint->hint ? errhint("%s", complaint->hint) : 0);
}

const char *
plan_native_name(void *state, const char *utf8)
{
	(void) state;
	return pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8);
}

/* ---- the plan, as plan/check.h wants to see it ---- */

static const char *
path_of(void *state, uint32_t file)
{
	return ((ImportPlan *) state)->file[file].path;
}

static uint64_t
bytes_of(void *state, uint32_t file)
{
	CHECK_FOR_INTERRUPTS();
	return ((ImportPlan *) state)->file[file].bytes;
}

static void
read_file(void *state, uint32_t file, void *content, uint64_t bytes)
{
	source_read(((ImportPlan *) state)->file[file].source, 0, bytes, content);
}

static sparse_finding
find_tensor(void *state, const char *path, const char *tensor)
{
	PlanFile   *file = plan_find_file(state, path);
	const char *name;
	bool		found;

	CHECK_FOR_INTERRUPTS();
	if (file == NULL)
		return SPARSE_FOUND_NO_FILE;
	if (!sparse_file_names_all(file->kind))
		return SPARSE_FOUND_BYTES;
	name = plan_native_name(NULL, tensor);
	found = plan_find_tensor(file, name) != NULL;
	if (name != tensor)
		pfree((void *) name);
	return found ? SPARSE_FOUND_TENSOR : SPARSE_FOUND_NO_TENSOR;
}

void
plan_tell_index(void *state, const char *index)
{
	(void) state;
	ereport(NOTICE,
			errmsg("none of the files is there that index \"%s\" names", index),
			errdetail("It is kept as it is."));
}

static sparse_made_version
made_of(ImportPlan *plan)
{
	return (sparse_made_version) {
		.state = plan,
		.files = (uint32_t) plan->files,
		.path = path_of,
		.bytes = bytes_of,
		.read = read_file,
		.find = find_tensor,
		.native = plan_native_name,
		.tell = plan_tell_index
	};
}

void
plan_check_pointers(ImportPlan *plan)
{
	sparse_made_version version = made_of(plan);
	sparse_complaint complaint;

	plan_check_status(sparse_check_pointers(&version, &complaint), &complaint);
}

void
plan_check_indexes(ImportPlan *plan)
{
	sparse_made_version version = made_of(plan);
	sparse_allocator allocator;
	sparse_complaint complaint;

	sparse_allocator_init(&allocator, CurrentMemoryContext);
	plan_check_status(sparse_check_indexes(&version, &allocator, &complaint), &complaint);
}
