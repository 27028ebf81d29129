/*
 * family.c: unpacks the fixed coding tables.
 */
#include "family.h"

#include "family_tables.h"

static const uint8_t *
skip_contexts(const uint8_t *row, unsigned contexts)
{
	for (; contexts > 0; contexts--)
		row += 1 + row[0];
	return row;
}

void
family_load(unsigned shape, tables *t)
{
	const uint8_t *row = skip_contexts(family_codes, shape * FAMILY_CONTEXTS);

	memset(t->code, 0, sizeof(t->code));
	t->count = FAMILY_CONTEXTS;
	for (unsigned c = 0; c < FAMILY_CONTEXTS; c++)
	{
		t->of_context[c] = (uint8_t) c;
		t->code[c][FAMILY_ESCAPE] = row[1];
		memcpy(t->code[c], row + 2, row[0] - 1u);
		tables_frequencies(t->code[c], t->frequency[c]);
		row = skip_contexts(row, 1);
	}
}
