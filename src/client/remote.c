/*
 * remote.c: the commands that talk to a server, and their command line (see
 * remote.h).
 */
#include "remote.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "progress.h"

#define JOBS 2

/* Options without a short form. */
enum
{
	OPTION_NO_PARENT = 256, OPTION_METADATA, OPTION_PROGRESS, OPTION_JSON, OPTION_CSV, OPTION_APPROX, OPTION_RECORD, OPTION_ROOT, OPTION_EFFORT, OPTION_KIND, OPTION_TAG, OPTION_META, OPTION_ROLE,
	OPTION_SPLIT, OPTION_KEY, OPTION_TYPE, OPTION_ON_CONFLICT, OPTION_STAT,
	OPTION_INCLUDE, OPTION_EXCLUDE, OPTION_LISTEN, OPTION_ANONYMOUS, OPTION_URL, OPTION_HELP
};

/* An option of some commands (by its mark), or of all. */
typedef struct remote_option
{
	char		mark;			/* in remote_command.options; 0: all have it */
	const char *name;
	int			letter;
	const char *value;			/* as --help shows it; NULL: it takes none */
	const char *help;
} remote_option;

static const remote_option known[] = {
	{'p', "parent", 'P', "REF", "a version that it was made from; may be repeated"},
	{'p', "no-parent", OPTION_NO_PARENT, NULL, "it has none, whatever its model card says, and none is looked for"},
	{'a', "adapter", 'A', "FILE", "the adapter that was merged into the parent: stored as well, as a parent"},
	{'h', "have", 'H', "FILE", "a local copy of a related version, known by its content; may be repeated"},
	{'m', "metadata", OPTION_METADATA, "JSON", "an object to keep with the version"},
	{'M', "message", 'm', "TEXT", "a line to keep with the version"},
	{'k', "kind", OPTION_KIND, "KIND", "only models, or only datasets: model, dataset"},
	{'T', "tag", OPTION_TAG, "TAG", "only names that have this tag"},
	{'w', "meta", OPTION_META, "JSON", "only versions whose metadata contain this object"},
	{'u', "role", OPTION_ROLE, "ROLE", "what the parent was to it: finetune, adapter, merge, quantized, ..."},
	{'K', "key", OPTION_KEY, "COLUMN", "a column of the key, by which rows are told apart; may be repeated"},
	{'y', "type", OPTION_TYPE, "COLUMN=TYPE", "the type of a column, in place of the one that its values suggest; may be repeated"},
	{'s', "split", OPTION_SPLIT, "NAME", "this split of it"},
	{'c', "on-conflict", OPTION_ON_CONFLICT, "HOW", "where both changed a row: fail, ours or theirs (fail)"},
	{'S', "stat", OPTION_STAT, NULL, "only how much differs"},
	{'i', "include", OPTION_INCLUDE, "PATTERN", "only files whose paths match, * for any characters; may be repeated"},
	{'i', "exclude", OPTION_EXCLUDE, "PATTERN", "but none whose path matches; may be repeated"},
	{'b', "as-bytes", 'B', NULL, "store what is no safetensors, GGUF or PyTorch file as plain bytes"},
	{'o', "output", 'o', "PATH", "where to write: a file, a folder, or - for standard output"},
	{'t', "tensor", 't', "NAME", "only this tensor; may be repeated"},
	{'x', "approx", OPTION_APPROX, NULL, "its newest approximation instead"},
	{'r', "record", OPTION_RECORD, NULL, "tell the server when it is done: sparse_record_pull()"},
	{'e', "effort", OPTION_EFFORT, "N", "how much is searched for what predicts a tensor, 1 to 3 (sparse.effort)"},
	{'j', "jobs", 'j', "N", "connections at the same time (2)"},
	{'v', "listen", OPTION_LISTEN, "HOST:PORT", "where to listen (127.0.0.1:8080)"},
	{'v', "anonymous", OPTION_ANONYMOUS, "ROLE", "as whom requests without a token are answered; without it, not at all"},
	{'v', "url", OPTION_URL, "URL", "the hub's address as clients know it, for links"},
	{'n', "count", 'n', "N", "at most so many"},
	{'l', "all", 'a', NULL, "everything"},
	{'d', "delete", 'D', NULL, "take the tag away"},
	{'g', "older-than", 'O', "INTERVAL", "also what was begun so long ago and never finished (1 day)"},
	{'R', "root", OPTION_ROOT, "DIR", "names are paths below this folder, wherever in it DIR lies (DIR)"},
	{'q', "quiet", 'q', NULL, "no progress bar, no notes"},
	{'q', "progress", OPTION_PROGRESS, NULL, "show progress though standard error is no terminal"},
	{'f', "json", OPTION_JSON, NULL, "as JSON"},
	{'f', "csv", OPTION_CSV, NULL, "as CSV"},
	{0, "host", 'h', "HOST", "server, or directory of its socket"},
	{0, "port", 'p', "PORT", "its port"},
	{0, "username", 'U', "NAME", "user"},
	{0, "dbname", 'd', "NAME", "database, or connection string"},
	{0, "no-password", 'w', NULL, "never ask for a password"},
	{0, "password", 'W', NULL, "ask for a password"},
	{0, "help", OPTION_HELP, NULL, "this help"}
};

#define KNOWN (sizeof known / sizeof known[0])

const remote_command remote_commands[] = {
	{"push", "MODEL NAME", 2, 2, "paMhmibejqf", "store a model as a new version of NAME",
		"MODEL is a safetensors or GGUF file, the .index.json of a sharded model, or a folder as Hugging Face tools\n"
		"write it. With --have, a local copy of a parent, the delta is made here and only it travels.\n"
	"After an interruption the same command goes on where it broke off.", push_run},
	{"pull", "REF", 1, 1, "ohtixrjq", "get a version, byte for byte",
		"Deltas travel and are decoded here; with --have only what the local files lack. The SHA-256 of each\n"
		"file is checked before it gets its name. After an interruption the same command goes on where it\n"
	"broke off.", pull_run},
	{"adopt", "DIR", 1, 1, "Rjbqf", "store all models of a tree of folders",
		"Each folder with a model in it is a version named after its path below the root, with all that lies below\n"
		"it but the checkpoint-* of a run, which are versions of their own. In the cache of Hugging Face's tools\n"
	"each snapshot is a version of ORG/NAME, that of refs/main the newest. What is stored already is passed over.", adopt_run},
	{"export", "DIR [PATTERN]", 1, 2, "jq", "pull the newest revision of all models, each into its folder of DIR",
	"The way back from adopt. PATTERN, one of the shell, says which names. What is there and right is left as it is.", export_run},
	{"status", "PATH REF", 2, 2, "if", "which files differ here from those of a version", NULL, status_run},
	{"ls", "[PATTERN]", 0, 1, "kTwnf", "list names, with their newest revision, tags and sizes",
	"PATTERN is one of the shell: * for any characters, ? for one.", ls_run},
	{"log", "[NAME]", 0, 1, "nf", "list versions, newest first: of all names, or of one", NULL, log_run},
	{"ancestry", "REF", 1, 1, "nf", "a version and its ancestors, nearest first", NULL, ancestry_run},
	{"show", "REF", 1, 1, "lf", "what a version is, its files and parents",
	"With --all its tensors too, and how each is stored.", show_run},
	{"diff", "A B", 2, 2, "lSsf", "which tensors, or rows, of two versions differ",
	"Of models with --all by how much: that reads both. Of datasets rows are compared by their key.", diff_run},
	{"tree", "REF", 1, 1, "f", "the family of a version, drawn", NULL, tree_run},
	{"tag", "REF [NAME]", 1, 2, "df", "name a version, or list the tags of one",
	"A tag moves: naming another version takes it there. \"org/name@NAME\" then means that version.", tag_run},
	{"parents", "REF [PARENT]", 1, 2, "udf", "list the parents of a version, name one more, or take one back",
	"That it was made from PARENT is lineage: nothing is stored anew.", parents_run},
	{"find-parent", "REF", 1, 1, "nf", "which versions it would best be stored against", NULL, find_parent_run},
	{"rename", "NAME NEW", 2, 2, "q", "give all revisions of a name another one", NULL, rename_run},
	{"commit", "NAME FILE", 2, 2, "KypMmqf", "store the rows of a .csv or .jsonl file as a new version of a dataset",
		"The first line of a .csv file names its columns. Types are inferred over all rows, only where every value comes back\n"
	"as the same characters, and shown. FILE may be - for CSV from standard input.", commit_run},
	{"checkout", "REF", 1, 1, "os", "write the rows of a dataset to a .csv or .jsonl file", NULL, checkout_run},
	{"merge", "NAME OURS THEIRS", 3, 3, "cMmqf", "merge two versions of a dataset by key, as a new version of NAME",
	"Both are compared with their nearest common ancestor.", merge_run},
	{"savings", "[REF]", 0, 1, "f", "what versions cost, and what that saves", NULL, savings_run},
	{"verify", "[REF]", 0, 1, "qf", "read everything and check it; exit code 4 if anything is wrong", NULL, verify_run},
	{"rm", "REF...", 1, MAX_ARGUMENTS, "q", "drop versions: they can no longer be read, children are not affected", NULL, rm_run},
	{"undrop", "REF...", 1, MAX_ARGUMENTS, "q", "take that back, until gc has given their space back", NULL, undrop_run},
	{"serve", "", 0, 0, "vjq", "answer over HTTP as the Hugging Face Hub does",
		"Clients of the Hub (HF_ENDPOINT) and curl read models. Each request runs as the role of its\n"
		"token, or as that of --anonymous: the user of the connection must be a member of it. With --quiet\n"
	"there is no access log. SIGTERM ends it when what is being answered is.", serve_run},
	{"gc", "", 0, 0, "gf", "give back the space of what was dropped", NULL, gc_run},
};

const unsigned remote_command_count = sizeof remote_commands / sizeof remote_commands[0];

/* ---- help ---- */

static bool
has_option(const remote_command *command, const remote_option *option)
{
	return option->mark == 0 || strchr(command->options, option->mark) != NULL;
}

static void
print_option(const remote_option *option)
{
	char		left[64];
	int			used = option->letter < 256 ? snprintf(left, sizeof left, "-%c, ", option->letter)
		: snprintf(left, sizeof left, "    ");

	snprintf(left + used, sizeof left - (size_t) used, "--%s%s%s", option->name,
			 option->value ? " " : "", option->value ? option->value : "");
	printf("  %-26s %s\n", left, option->help);
}

static void
print_help(const remote_command *command)
{
	printf("pg_sparse %s: %s.\n\nUsage:\n  pg_sparse %s%s%s [OPTION]...\n\n", command->name, command->summary,
		   command->name, command->operands[0] ? " " : "", command->operands);
	if (command->text)
		printf("%s\n\n", command->text);
	printf("Options:\n");
	for (size_t i = 0; i < KNOWN; i++)
		if (known[i].mark != 0 && has_option(command, &known[i]))
			print_option(&known[i]);
	printf("\nConnection, as for psql (and all of its environment variables, service files, .pgpass):\n");
	for (size_t i = 0; i < KNOWN; i++)
		if (known[i].mark == 0)
			print_option(&known[i]);
}

/* ---- parsing ---- */

static void
add_name(name_list *list, const char *name)
{
	list->name = array_grow(list->name, list->count, sizeof *list->name);
	list->name[list->count++] = name;
}

static int
parse_jobs(const char *command, const char *text)
{
	char	   *end;
	long		jobs = strtol(text, &end, 10);

	if (end == text || *end != '\0' || jobs < 1 || jobs > MAX_JOBS)
		fail_usage(command, "--jobs takes a number from 1 to %d, not \"%s\"", MAX_JOBS, text);
	return (int) jobs;
}

static const char *
parse_effort(const char *command, const char *text)
{
	if (text[0] < '1' || text[0] > '3' || text[1] != '\0')
		fail_usage(command, "--effort takes 1, 2 or 3, not \"%s\"", text);
	return text;
}

/* The server reads the number: it is to be one. */
static const char *
parse_count(const char *command, const char *text)
{
	char	   *end;
	long long	count;

	errno = 0;
	count = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || count < 0 || errno != 0)
		fail_usage(command, "--count takes a number, not \"%s\"", text);
	return text;
}

/* True when it is an option of the connection. */
static bool
take_connection_option(conn_options *o, int letter)
{
	switch (letter)
	{
		case 'h':
			o->host = optarg;
			return true;
		case 'p':
			o->port = optarg;
			return true;
		case 'U':
			o->user = optarg;
			return true;
		case 'd':
			o->database = optarg;
			return true;
		case 'w':
			o->never_ask = true;
			return true;
		case 'W':
			o->always_ask = true;
			return true;
		default:
			return false;
	}
}

static void
take_option(remote *r, const remote_command *command, int letter)
{
	switch (letter)
	{
		case 'P':
			add_name(&r->parents, optarg);
			break;
		case OPTION_NO_PARENT:
			r->no_parent = true;
			break;
		case 'A':
			r->adapter = optarg;
			break;
		case 'H':
			add_name(&r->haves, optarg);
			break;
		case OPTION_METADATA:
			r->metadata = optarg;
			break;
		case 'm':
			r->message = optarg;
			break;
		case OPTION_KIND:
			r->kind = optarg;
			break;
		case OPTION_TAG:
			r->tag = optarg;
			break;
		case OPTION_META:
			r->metadata = optarg;
			break;
		case OPTION_ROLE:
			r->role = optarg;
			break;
		case OPTION_KEY:
			add_name(&r->keys, optarg);
			break;
		case OPTION_TYPE:
			add_name(&r->types, optarg);
			break;
		case OPTION_SPLIT:
			r->split = optarg;
			break;
		case OPTION_ON_CONFLICT:
			r->on_conflict = optarg;
			break;
		case OPTION_INCLUDE:
			add_name(&r->files.includes, optarg);
			break;
		case OPTION_EXCLUDE:
			add_name(&r->files.excludes, optarg);
			break;
		case OPTION_STAT:
			r->stat = true;
			break;
		case 'B':
			r->as_bytes = true;
			break;
		case 'o':
			r->output = optarg;
			break;
		case 't':
			add_name(&r->tensors, optarg);
			break;
		case OPTION_APPROX:
			r->approx = true;
			break;
		case OPTION_ROOT:
			r->root = optarg;
			break;
		case OPTION_LISTEN:
			r->listen = optarg;
			break;
		case OPTION_ANONYMOUS:
			r->anonymous = optarg;
			break;
		case OPTION_URL:
			r->url = optarg;
			break;
		case OPTION_RECORD:
			r->record = true;
			break;
		case OPTION_EFFORT:
			r->effort = parse_effort(command->name, optarg);
			break;
		case 'j':
			r->jobs = parse_jobs(command->name, optarg);
			break;
		case 'n':
			r->count = parse_count(command->name, optarg);
			break;
		case 'a':
			r->all = true;
			break;
		case 'D':
			r->delete = true;
			break;
		case 'O':
			r->older_than = optarg;
			break;
		case 'q':
			r->quiet = true;
			conn_quiet = true;
			break;
		case OPTION_PROGRESS:
			progress_ask();
			break;
		case OPTION_JSON:
			r->format = TABLE_JSON;
			break;
		case OPTION_CSV:
			r->format = TABLE_CSV;
			break;
		case OPTION_HELP:
			print_help(command);
			finish();
	}
}

/* getopt's tables of the options that the command has. */
static void
make_tables(const remote_command *command, struct option table[KNOWN + 1], char letters[2 * KNOWN + 2])
{
	size_t		count = 0;
	char	   *letter = letters;

	*letter++ = ':';
	for (size_t i = 0; i < KNOWN; i++)
		if (has_option(command, &known[i]))
		{
			table[count++] = (struct option) {
				known[i].name, known[i].value ? required_argument : no_argument, NULL, known[i].letter
			};
			if (known[i].letter < 256)
			{
				*letter++ = (char) known[i].letter;
				if (known[i].value)
					*letter++ = ':';
			}
		}
	table[count] = (struct option) {0};
	*letter = '\0';
}

static void
check_arguments(const remote_command *command, int count)
{
	if (count < command->least || count > command->most)
		fail_usage(command->name, "expected %s, got %d argument%s",
				   command->operands[0] ? command->operands : "no arguments", count, count == 1 ? "" : "s");
}

static void
parse(remote *r, const remote_command *command, int argc, char **argv)
{
	struct option table[KNOWN + 1];
	char		letters[2 * KNOWN + 2];
	int			letter;

	make_tables(command, table, letters);
	while ((letter = getopt_long(argc, argv, letters, table, NULL)) != -1)
	{
		if (letter == ':')
			fail_usage(argv[0], "\"%s\" needs a value", argv[optind - 1]);
		if (letter == '?')
			fail_usage(argv[0], "unknown option \"%s\"", argv[optind - 1]);
		if (!take_connection_option(&r->server, letter))
			take_option(r, command, letter);
	}
	r->arguments = argc - optind;
	check_arguments(command, r->arguments);
	for (int i = 0; i < r->arguments; i++)
		r->argument[i] = argv[optind + i];
}

void
remote_main(const remote_command *command, int argc, char **argv)
{
	remote		r = {.jobs = JOBS};
	conn		c;

	parse(&r, command, argc, argv);
	if (command->run == pull_run && r.output == NULL)
		fail_usage(argv[0], "no output given: -o FILE, -o FOLDER or -o - is missing");
	if (command->run == checkout_run && r.output == NULL)
		fail_usage(argv[0], "no output given: -o FILE.csv, -o FILE.jsonl or -o - is missing");
	conn_open(&c, &r.server);
	c.effort = r.effort;
	command->run(&c, &r);
	conn_close(&c);
}
