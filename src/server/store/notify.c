/*
 * notify.c: telling those who listen on channel "sparse".
 *
 * Every session of the database may listen, whatever it may see of the versions.
 * So a message holds ids and nothing else; who wants a name asks for it, and gets
 * it if he may.
 */
#include "postgres.h"
#include "compat.h"

#include "commands/async.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"

#include "store/store.h"

PG_FUNCTION_INFO_V1(version_notify);

#define CHANNEL "sparse"

void
store_notify(const char *event, int64 version, int64 before)
{
	char	   *message;

	if (!sparse_notify)
		return;
	message = before == 0
		? psprintf("{\"event\": \"%s\", \"version\": " INT64_FORMAT "}", event, version)
		: psprintf("{\"event\": \"%s\", \"version\": " INT64_FORMAT ", \"before\": " INT64_FORMAT "}",
				   event, version, before);
	Async_Notify(CHANNEL, message);
	pfree(message);
}

/* Trigger of sparse.version, whose argument is the event. */
Datum
version_notify(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!fired_by_version(fcinfo, false) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("sparse_version_notify() must be fired after update of sparse.version, for each row, with the event as argument")));
	store_notify(trigger->tg_trigger->tgargs[0],
				 version_row_id(trigger->tg_newtuple, RelationGetDescr(trigger->tg_relation)), 0);
	return PointerGetDatum(NULL);
}
