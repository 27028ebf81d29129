/*
 * options.c: parses the common command line (see options.h).
 */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const struct option known[] = {
	{"output", required_argument, NULL, 'o'},
	{"parent", required_argument, NULL, 'p'},
	{"no-base", no_argument, NULL, 'n'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0}
};

static void
add_parent(options *o, const char *path, char **argv)
{
	if (o->parents == OPTIONS_MAX_PARENTS)
		fail_usage(argv[0], "more than %d parents", OPTIONS_MAX_PARENTS);
	o->parent[o->parents++] = path;
}

static void
take_option(options *o, int letter, bool *no_base, char **argv, void (*print_help) (void))
{
	switch (letter)
	{
		case 'o':
			o->output = optarg;
			break;
		case 'p':
			add_parent(o, optarg, argv);
			break;
		case 'n':
			*no_base = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			print_help();
			finish();
		case ':':
			fail_usage(argv[0], "\"%s\" needs a value", argv[optind - 1]);
		default:
			fail_usage(argv[0], "unknown option \"%s\"", argv[optind - 1]);
	}
}

void
options_parse(options *o, int argc, char **argv, const char *file,
			  const char *output, void (*print_help) (void))
{
	bool		no_base = false;
	int			letter;

	*o = (options) {0};
	while ((letter = getopt_long(argc, argv, ":o:qh", known, NULL)) != -1)
		take_option(o, letter, &no_base, argv, print_help);
	if (argc - optind != (no_base ? 1 : 2))
		fail_usage(argv[0], "expected %s%s, got %d arguments", no_base ? "" : "BASE and ", file, argc - optind);
	if (o->output == NULL)
		fail_usage(argv[0], "no output given: -o %s is missing", output);
	if (!no_base && strcmp(argv[optind], "-") != 0)
	{
		/* before those that were named by options */
		add_parent(o, NULL, argv);
		memmove(&o->parent[1], &o->parent[0], (o->parents - 1) * sizeof o->parent[0]);
		o->parent[0] = argv[optind];
	}
	o->file = argv[argc - 1];
}
