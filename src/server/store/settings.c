/*
 * settings.c: the extension's settings.
 */
#include "postgres.h"
#include "compat.h"

#include "utils/guc.h"

#include "store/store.h"

int			sparse_chunk_size = 1024;
int			sparse_max_chain_depth = 8;
int			sparse_cache_size = 16 * 1024;
int			sparse_effort = 2;
int			sparse_find_parents = SPARSE_FIND_ALL;
char	   *sparse_message;
bool		sparse_verify_writes = true;
bool		sparse_notify = true;
bool		sparse_optimize_commits = true;
bool		sparse_map_rows = true;

/* read by SQL alone, as sparse.storage_price and sparse.egress_price (savings/savings.sql) */
static double storage_price = 0;
static double egress_price = 0;

static const struct config_enum_entry find_parents_values[] = {
	{"off", SPARSE_FIND_OFF, false},
	{"previous", SPARSE_FIND_PREVIOUS, false},
	{"all", SPARSE_FIND_ALL, false},
	{NULL, 0, false}
};

void
store_define_settings(void)
{
	DefineCustomIntVariable("sparse.chunk_size",
							"Content that one chunk of a new object holds.",
							"Larger chunks compress a little better; reading a slice decodes whole chunks.",
							&sparse_chunk_size, 1024, 64, 4096,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("sparse.max_chain_depth",
							"Longest chain of predictions that a new object may end.",
							"Reading decodes every object of the chain; a parent too deep is replaced by its own parent.",
							&sparse_max_chain_depth, 8, 1, 32,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("sparse.cache_size",
							"Decoded content that one query remembers.",
							"Without any, a chain whose levels are cut differently would be decoded over and over.",
							&sparse_cache_size, 16 * 1024, 4 * 1024, 1024 * 1024,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("sparse.effort",
							"How much is done to find what predicts a tensor: 1, 2 or 3.",
							"1: its parents as they are, without a search; 2: searches that cost about as much as encoding; 3: all of them.",
							&sparse_effort, 2, 1, 3,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("sparse.find_parents",
							 "Which parents of a new version are taken that nobody named: off, previous or all.",
							 "previous: the revision before of the same name; all: or, where a model has no parent at all, what its sketch finds.",
							 &sparse_find_parents, SPARSE_FIND_ALL, find_parents_values,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("sparse.message",
							   "The message that a new version is stored with, where its maker says none.",
							   "One setting for every road: imports, uploads when they are begun, commits of rows, merges.",
							   &sparse_message, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sparse.verify_writes",
							 "Decodes every chunk before it is stored.",
							 NULL,
							 &sparse_verify_writes, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sparse.notify",
							 "Tells those who listen on channel \"sparse\" of versions that are ready, tagged or dropped.",
							 "A transaction that has told cannot be prepared for two-phase commit.",
							 &sparse_notify, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sparse.optimize_commits",
							 "Looks for the best predictions of what was uploaded when it is committed, as an import does.",
							 "Otherwise that is left to sparse_optimize() or sparse_nightly().",
							 &sparse_optimize_commits, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sparse.map_rows",
							 "Looks for the rows of a new dataset version in its parent, wherever they stand.",
							 "Otherwise its columns are cut into chunks and predicted one by one, and every read takes the rows as they are stored.",
							 &sparse_map_rows, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("sparse.storage_price",
							 "Price of keeping 10^9 bytes for a month, in a currency of your choice.",
							 "0: unknown; views of savings then give no money.",
							 &storage_price, 0, 0, 1e9,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("sparse.egress_price",
							 "Price of sending 10^9 bytes, in a currency of your choice.",
							 "0: unknown; views of savings then give no money.",
							 &egress_price, 0, 0, 1e9,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("sparse");
}
