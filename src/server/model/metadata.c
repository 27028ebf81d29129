/*
 * metadata.c: what a folder says of the model in it becomes metadata: config.json and its
 * kin, as a push from a client sends them (plan/config.h).
 *
 * They are no inputs to be checked: one that jsonb, or the database's encoding, cannot hold is
 * stored like any other file, and a notice says that it is no metadata.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "plan/config.h"
#include "check.h"
#include "plan.h"
#include "sdelta/glue.h"
#include "store/encoding.h"

typedef struct Conversion
{
	MemoryContext context;		/* for the result */
	const char *key;
	const char *text;			/* in UTF-8 */
	size_t		bytes;
	Datum		metadata;
} Conversion;

/* {key: text} as jsonb */
static void
convert(void *argument)
{
	Conversion *c = argument;
	size_t		length;
	const char *text = text_from_kept(c->text, c->bytes, &length);
	char	   *object = psprintf("{\"%s\": %.*s}", c->key, (int) length, text);
	MemoryContext before;
	Datum		metadata = DirectFunctionCall1(jsonb_in, CStringGetDatum(object));

	before = MemoryContextSwitchTo(c->context);
	c->metadata = PointerGetDatum(DatumGetJsonbPCopy(metadata));
	MemoryContextSwitchTo(before);
}

static void
tell(const PlanFile *file, const char *why)
{
	ereport(NOTICE,
			errmsg("\"%s\" does not become metadata: %s", file->path, why));
}

static Datum
with_config(PlanFile *file, const char *key, Datum metadata)
{
	Conversion	c = {.context = CurrentMemoryContext, .key = key, .bytes = file->bytes};
	char		error[SPARSE_MESSAGE];
	sparse_allocator allocator;
	char	   *text = palloc(file->bytes);
	const char *why;

	source_read(file->source, 0, file->bytes, text);
	c.text = text;
	sparse_allocator_init(&allocator, CurrentMemoryContext);
	why = sparse_config_check(&allocator, text, c.bytes, error, sizeof error) == SPARSE_OK
		? check_attempt(convert, &c) : error;
	pfree(text);
	if (why == NULL)
		return DirectFunctionCall2(jsonb_concat, c.metadata, metadata);
	tell(file, why);
	return metadata;
}

static bool
says(Datum metadata, const char *key)
{
	JsonbValue	name = {.type = jbvString};

	name.val.string.val = unconstify(char *, key);
	name.val.string.len = (int) strlen(key);
	return findJsonbValueFromContainer(&DatumGetJsonbP(metadata)->root, JB_FOBJECT, &name) != NULL;
}

Datum
metadata_with_configs(ImportPlan *plan, Datum metadata)
{
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(metadata)))
		return metadata;
	for (int i = 0; i < SPARSE_CONFIG_FILES; i++)
	{
		PlanFile   *file = plan_find_file(plan, sparse_config_files[i].path);

		if (file == NULL || file->kind != SPARSE_FILE_BYTES || says(metadata, sparse_config_files[i].key))
			continue;
		if (file->bytes > SPARSE_CONFIG_BYTES)
			tell(file, "it is too large");
		else
			metadata = with_config(file, sparse_config_files[i].key, metadata);
	}
	return metadata;
}
