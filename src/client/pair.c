/*
 * pair.c: opens a child and its base, and matches their tensors (see pair.h).
 */
#include "pair.h"

#include <getopt.h>
#include <string.h>

#include "client.h"

void
pair_open(pair *p, int argc, char **argv, bool no_base)
{
	int			operands = no_base ? 1 : 2;

	if (argc - optind != operands)
		fail_usage(argv[0], "expected %sCHILD, got %d arguments", no_base ? "" : "BASE and ", argc - optind);
	*p = (pair) {.has_base = !no_base && strcmp(argv[optind], "-") != 0};
	model_open(&p->child, argv[argc - 1]);
	if (p->has_base)
		model_open(&p->base, argv[optind]);
}

const sparse_tensor *
pair_parent(const pair *p, const sparse_tensor *tensor, uint64_t *shared_bytes)
{
	const sparse_tensor *parent = p->has_base ? model_find(&p->base, tensor->name) : NULL;

	*shared_bytes = parent ? sparse_tensor_shared_bytes(tensor, parent) : 0;
	return *shared_bytes > 0 ? parent : NULL;
}

void
pair_close(pair *p)
{
	model_close(&p->child);
	if (p->has_base)
		model_close(&p->base);
}
