/*
 * module.c: what happens when the library is loaded: the settings are defined, and each layer says which
 * tables it brings, in the order in which sparse_create_store() makes them.
 */
#include "postgres.h"
#include "compat.h"

#include "fmgr.h"

#include "care/tables.h"
#include "dataset/tables.h"
#include "lineage/tables.h"
#include "model/tables.h"
#include "store/store.h"
#include "wire/tables.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	store_define_settings();
	model_add_tables();
	wire_add_tables();
	dataset_add_tables();
	lineage_add_tables();
	care_add_tables();
}
