/*
 * graph_text.c: a graph of versions in words: as a tree for a terminal, for
 * Graphviz, for Mermaid.
 *
 * Names, tags and roles are what users wrote: each format has its own way to keep
 * them from being read as its syntax.
 */
#include "graph.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* ---- tree ---- */

/* How branches are drawn: lines where server and client can show them. */
typedef struct TreeStyle
{
	const char *branch;
	const char *last_branch;
	const char *passing;
	const char *nothing;
} TreeStyle;

static const TreeStyle lines = {
	"\xe2\x94\x9c\xe2\x94\x80 ", "\xe2\x94\x94\xe2\x94\x80 ", "\xe2\x94\x82  ", "   "
};
static const TreeStyle ascii = {"|- ", "`- ", "|  ", "   "};

typedef struct TreeDrawing
{
	const Graph *graph;
	const TreeStyle *style;
	StringInfoData prefix;
	StringInfo	out;
} TreeDrawing;

/* A text in one line, whatever is in it. */
static void
append_line_text(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
		appendStringInfoChar(out, (unsigned char) *text < 0x20 || *text == 0x7f ? '?' : *text);
}

/* U+0080 to U+009F steer some terminals as escape sequences do. */
static bool
is_c1_control(const char *text)
{
	return (unsigned char) text[0] == 0xc2 && ((unsigned char) text[1] & 0xe0) == 0x80 &&
		GetDatabaseEncoding() == PG_UTF8;
}

static void
append_terminal_text(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		bool		steers = is_c1_control(text);

		append_line_text(out, steers ? "?" : (char[]) {*text, '\0'});
		text += steers;
	}
}

/* "finetune, 6.3 MB [production] (dropped) + merge of org/other@2" */
static void
append_facts(const TreeDrawing *tree, const GraphNode *node)
{
	const Graph *graph = tree->graph;
	const GraphEdge *edge = &graph->edge[node->first_edge];

	appendStringInfoString(tree->out, "  ");
	if (node->edges > 0)
	{
		append_terminal_text(tree->out, edge[0].role);
		appendStringInfoString(tree->out, ", ");
	}
	appendStringInfoString(tree->out, graph_bytes(node->stored_bytes));
	if (node->tags[0] != '\0')
	{
		appendStringInfoString(tree->out, "  [");
		append_terminal_text(tree->out, node->tags);
		appendStringInfoChar(tree->out, ']');
	}
	if (!node->exact)
		appendStringInfoString(tree->out, "  (not exact)");
	if (strcmp(node->state, "ready") != 0)
		appendStringInfo(tree->out, "  (%s)", node->state);
	for (int i = 1; i < node->edges; i++)
	{
		appendStringInfoString(tree->out, i == 1 ? "  + " : ", ");
		append_terminal_text(tree->out, edge[i].role);
		appendStringInfoString(tree->out, " of ");
		append_terminal_text(tree->out, graph->node[edge[i].parent].label);
	}
}

static void
append_branches(TreeDrawing *tree, int first)
{
	const Graph *graph = tree->graph;

	check_stack_depth();
	for (int i = first; i >= 0; i = graph->node[i].next_branch)
	{
		const GraphNode *node = &graph->node[i];
		bool		root = node->trunk < 0;
		bool		last = node->next_branch < 0;
		int			length = tree->prefix.len;

		appendStringInfoString(tree->out, tree->prefix.data);
		if (!root)
			appendStringInfoString(tree->out, last ? tree->style->last_branch : tree->style->branch);
		append_terminal_text(tree->out, node->label);
		appendStringInfoString(tree->out, i == graph->asked ? " *" : "");
		append_facts(tree, node);
		appendStringInfoChar(tree->out, '\n');
		if (!root)
			appendStringInfoString(&tree->prefix, last ? tree->style->nothing : tree->style->passing);
		append_branches(tree, node->first_branch);
		tree->prefix.len = length;
		tree->prefix.data[length] = '\0';
	}
}

void
graph_tree(const Graph *graph, StringInfo out)
{
	bool		can_draw = GetDatabaseEncoding() == PG_UTF8 && pg_get_client_encoding() == PG_UTF8;
	TreeDrawing tree = {.graph = graph, .style = can_draw ? &lines : &ascii, .out = out};

	initStringInfo(&tree.prefix);
	append_branches(&tree, graph->first_root);
	if (graph->cut)
		appendStringInfo(out, "(only %d versions are shown, there are more)\n", graph->nodes);
	out->data[--out->len] = '\0';
}

/* ---- dot ---- */

static void
append_dot_text(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoChar(out, '\\');
		/* Graphviz reads entities of HTML */
		if (*text == '&')
			appendStringInfoString(out, "&amp;");
		else
			append_line_text(out, (char[]) {*text, '\0'});
	}
}

static void
append_dot_node(StringInfo out, const GraphNode *node, bool asked)
{
	appendStringInfo(out, "  v" INT64_FORMAT " [label=\"", node->id);
	append_dot_text(out, node->label);
	appendStringInfo(out, "\\n%s%s", graph_bytes(node->stored_bytes), node->exact ? "" : ", not exact");
	if (node->tags[0] != '\0')
	{
		appendStringInfoString(out, "\\n[");
		append_dot_text(out, node->tags);
		appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, '"');
	if (asked)
		appendStringInfoString(out, ", penwidth=2.5");
	if (strcmp(node->state, "ready") != 0)
		appendStringInfoString(out, ", style=\"rounded,dashed\", fontcolor=gray40");
	appendStringInfoString(out, "];\n");
}

void
graph_dot(const Graph *graph, StringInfo out)
{
	appendStringInfoString(out, "digraph lineage {\n  rankdir=LR;\n"
						   "  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n"
						   "  edge [fontname=\"sans-serif\", fontsize=9];\n");
	for (int i = 0; i < graph->nodes; i++)
		append_dot_node(out, &graph->node[i], i == graph->asked);
	for (int i = 0; i < graph->edges; i++)
	{
		const GraphEdge *edge = &graph->edge[i];
		const GraphNode *child = &graph->node[edge->child];

		appendStringInfo(out, "  v" INT64_FORMAT " -> v" INT64_FORMAT " [label=\"",
						 graph->node[edge->parent].id, child->id);
		append_dot_text(out, edge->role);
		if (i == child->first_edge)
			appendStringInfo(out, "\\n%s", graph_bytes(child->stored_bytes));
		appendStringInfoString(out, "\"];\n");
	}
	if (graph->cut)
		appendStringInfo(out, "  label=\"only %d versions are shown, there are more\";\n", graph->nodes);
	appendStringInfoChar(out, '}');
}

/* ---- mermaid ---- */

/* Within double quotes Mermaid reads entities: #34; is a quote, and must not be made of a user's "#34;". */
static void
append_mermaid_text(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (strchr("\"#&<>`\\;|[]{}()$*_~", *text) != NULL)
			appendStringInfo(out, "#%d;", *text);
		else
			append_line_text(out, (char[]) {*text, '\0'});
	}
}

static void
append_mermaid_node(StringInfo out, const GraphNode *node, bool asked)
{
	appendStringInfo(out, "    v" INT64_FORMAT "[\"", node->id);
	append_mermaid_text(out, node->label);
	appendStringInfo(out, "<br/>%s%s", graph_bytes(node->stored_bytes), node->exact ? "" : ", not exact");
	if (node->tags[0] != '\0')
	{
		appendStringInfoString(out, "<br/>");
		append_mermaid_text(out, node->tags);
	}
	appendStringInfo(out, "\"]%s\n", asked ? ":::asked" :
					 strcmp(node->state, "ready") != 0 ? ":::gone" : "");
}

void
graph_mermaid(const Graph *graph, StringInfo out)
{
	appendStringInfoString(out, "flowchart LR\n"
						   "    classDef asked stroke-width:3px\n"
						   "    classDef gone stroke-dasharray:4 3,color:#777\n");
	if (graph->cut)
		appendStringInfo(out, "    %%%% only %d versions are shown, there are more\n", graph->nodes);
	for (int i = 0; i < graph->nodes; i++)
		append_mermaid_node(out, &graph->node[i], i == graph->asked);
	for (int i = 0; i < graph->edges; i++)
	{
		const GraphEdge *edge = &graph->edge[i];
		const GraphNode *child = &graph->node[edge->child];

		appendStringInfo(out, "    v" INT64_FORMAT " -->|\"", graph->node[edge->parent].id);
		append_mermaid_text(out, edge->role);
		if (i == child->first_edge)
			appendStringInfo(out, "<br/>%s", graph_bytes(child->stored_bytes));
		appendStringInfo(out, "\"| v" INT64_FORMAT "\n", child->id);
	}
	out->data[--out->len] = '\0';
}
