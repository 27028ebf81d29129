/*
 * remote.h: the command line of the commands that talk to a server.
 *
 * They share one parser: a command says which options it takes and how many
 * arguments, and its --help is made of that. -h is the host, as in psql.
 */
#ifndef SPARSE_CLIENT_REMOTE_H
#define SPARSE_CLIENT_REMOTE_H

#include "conn.h"
#include "patterns.h"
#include "table.h"

#define MAX_JOBS 64
#define MAX_ARGUMENTS 1000

typedef struct remote
{
	conn_options server;
	const char *argument[MAX_ARGUMENTS];	/* NULL where none was given */
	int			arguments;
	name_list	parents;
	bool		no_parent;		/* and do not look for one */
	name_list	haves;
	name_list	tensors;
	const char *adapter;
	const char *metadata;
	const char *message;		/* of the new version */
	const char *output;
	const char *kind;
	const char *tag;
	const char *role;
	const char *split;
	const char *on_conflict;
	name_list	keys;			/* columns */
	name_list	types;			/* COLUMN=TYPE */
	patterns	files;			/* which are meant */
	const char *root;			/* that names of models begin below */
	const char *count;			/* of lines */
	const char *older_than;
	const char *listen;			/* serve: the address */
	const char *anonymous;		/* and the role of who has no token */
	const char *url;			/* and how clients reach it */
	const char *effort;			/* NULL: as the server has it */
	int			jobs;			/* connections */
	bool		as_bytes;
	bool		approx;
	bool		record;
	bool		all;
	bool		delete;
	bool		stat;
	bool		quiet;
	table_format format;
} remote;

typedef struct remote_command
{
	const char *name;
	const char *operands;		/* as --help shows them */
	int			least;			/* of them */
	int			most;
	const char *options;		/* letters, of remote.c's table */
	const char *summary;		/* one line */
	const char *text;			/* what else there is to say, or NULL */
	void		(*run) (conn *c, const remote *r);
} remote_command;

extern const remote_command remote_commands[];
extern const unsigned remote_command_count;

/* Parses, connects, runs. */
extern void remote_main(const remote_command *command, int argc, char **argv);

/* The commands' work. */
extern void push_run(conn *c, const remote *r);
extern void pull_run(conn *c, const remote *r);
extern void export_run(conn *c, const remote *r);
extern void status_run(conn *c, const remote *r);
extern void adopt_run(conn *c, const remote *r);
extern void ls_run(conn *c, const remote *r);
extern void log_run(conn *c, const remote *r);
extern void ancestry_run(conn *c, const remote *r);
extern void find_parent_run(conn *c, const remote *r);
extern void parents_run(conn *c, const remote *r);
extern void rename_run(conn *c, const remote *r);
extern void undrop_run(conn *c, const remote *r);
extern void commit_run(conn *c, const remote *r);
extern void checkout_run(conn *c, const remote *r);
extern void merge_run(conn *c, const remote *r);
extern void show_run(conn *c, const remote *r);
extern void diff_run(conn *c, const remote *r);
extern void tree_run(conn *c, const remote *r);
extern void tag_run(conn *c, const remote *r);
extern void savings_run(conn *c, const remote *r);
extern void verify_run(conn *c, const remote *r);
extern void rm_run(conn *c, const remote *r);
extern void gc_run(conn *c, const remote *r);
extern void serve_run(conn *c, const remote *r);

#endif
