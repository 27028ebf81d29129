/*
 * card.h: what a model's own files say of it.
 *
 *      README.md             front matter, YAML between two lines "---": base_model, one or a list;
 *                            base_model_relation; license; tags
 *      adapter_config.json   base_model_name_or_path
 *      config.json           kept as it is, and so are the other files of plan/config.h
 *
 * Bases are suggestions of parents; license, tags and config become metadata. Anything odd
 * in them is said, and says nothing else: they are no inputs to be checked.
 */
#ifndef SPARSE_CLIENT_CARD_H
#define SPARSE_CLIENT_CARD_H

#include "plan/config.h"

/* Where the files lie; NULL: there is none. */
typedef struct card_places
{
	const char *readme;
	const char *adapter_config;
	const char *config[SPARSE_CONFIG_FILES];	/* as sparse_config_files */
} card_places;

typedef struct model_card
{
	char	  **base;			/* names as on the hub, ORG/NAME */
	unsigned long bases;
	const char *role;			/* of what is made from them: finetune, adapter, merge or quantized */
	char	   *metadata;		/* a JSON object */
} model_card;

/* Reads what is there. card_close releases it. */
extern void card_read(model_card *card, const card_places *places);

/* The files of a folder. */
extern void card_read_folder(model_card *card, const char *folder);

extern void card_close(model_card *card);

#endif
