/*
 * graph_svg.c: a graph of versions as a picture that needs nothing else.
 *
 * Time runs from left to right: a version stands one column behind the last of its
 * parents. Versions that hang on nobody else's branch take a row of their own; one
 * with branches stands in the middle of them. So the branches of two versions never
 * overlap, and neither do nodes; only the further edges of merges cross others.
 * A disc's area is in proportion to the bytes stored for the version.
 */
#include "graph.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define COLUMN_WIDTH 236
#define ROW_HEIGHT 84
#define MARGIN_X 110
#define MARGIN_TOP 56
#define LEGEND_HEIGHT 72
#define LARGEST_RADIUS 24.0
#define SMALLEST_RADIUS 4.0
#define LABEL_CHARACTERS 32

typedef struct Picture
{
	const Graph *graph;
	StringInfo	out;
	int		   *column;
	double	   *row;
	int			columns;
	int			rows;
	int64		largest;		/* stored bytes of a version */
} Picture;

/* Roles that have a colour of their own; the first stands for all others. */
static const struct
{
	const char *role;
	const char *color;
}			role_colors[] = {
	{"other", "#64748b"}, {"finetune", "#2563eb"}, {"merge", "#9333ea"},
	{"adapter", "#059669"}, {"quantized", "#ea580c"}, {"derived", "#0891b2"}
};

static int
color_of_role(const char *role)
{
	for (int i = 1; i < (int) lengthof(role_colors); i++)
		if (strcmp(role, role_colors[i].role) == 0)
			return i;
	return 0;
}

/* ---- where things stand ---- */

static void
place_columns(Picture *picture)
{
	const Graph *graph = picture->graph;

	for (int i = 0; i < graph->edges; i++)
	{
		const GraphEdge *edge = &graph->edge[i];
		int			behind = picture->column[edge->parent] + 1;

		picture->column[edge->child] = Max(picture->column[edge->child], behind);
		picture->columns = Max(picture->columns, picture->column[edge->child] + 1);
	}
}

/* Gives rows to a list of branches and all that hangs on them. */
static void
place_rows(Picture *picture, int first)
{
	const GraphNode *node = picture->graph->node;

	check_stack_depth();
	for (int i = first; i >= 0; i = node[i].next_branch)
	{
		int			last = node[i].first_branch;

		if (last < 0)
		{
			picture->row[i] = picture->rows++;
			continue;
		}
		place_rows(picture, node[i].first_branch);
		while (node[last].next_branch >= 0)
			last = node[last].next_branch;
		picture->row[i] = (picture->row[node[i].first_branch] + picture->row[last]) / 2;
	}
}

static double
x_of(const Picture *picture, int node)
{
	return MARGIN_X + picture->column[node] * COLUMN_WIDTH;
}

static double
y_of(const Picture *picture, int node)
{
	return MARGIN_TOP + picture->row[node] * ROW_HEIGHT;
}

static double
radius_of(const Picture *picture, int64 bytes)
{
	double		share = picture->largest == 0 ? 0 : (double) bytes / (double) picture->largest;

	return Max(SMALLEST_RADIUS, LARGEST_RADIUS * sqrt(Max(share, 0)));
}

/* ---- text ---- */

static void
append_xml_char(StringInfo out, char c)
{
	switch (c)
	{
		case '<':
			appendStringInfoString(out, "&lt;");
			break;
		case '>':
			appendStringInfoString(out, "&gt;");
			break;
		case '&':
			appendStringInfoString(out, "&amp;");
			break;
		case '"':
			appendStringInfoString(out, "&quot;");
			break;
		default:
			/* XML has no way to write most control characters */
			appendStringInfoChar(out, (unsigned char) c < 0x20 || c == 0x7f ? '?' : c);
	}
}

static void
append_xml(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
		append_xml_char(out, *text);
}

/* The end of a long name tells more than its beginning: "...meta-llama-3-8b-instruct@4". */
static void
append_short(StringInfo out, const char *text)
{
	int			characters = pg_mbstrlen(text);

	if (characters > LABEL_CHARACTERS)
	{
		appendStringInfoString(out, "...");
		for (; characters > LABEL_CHARACTERS - 3; characters--)
			text += pg_mblen(text);
	}
	append_xml(out, text);
}

/* ---- what is drawn ---- */

/* An edge leaves its parent's disc on the right and comes to the child's from the left. */
static void
draw_edge(const Picture *picture, const GraphEdge *edge)
{
	const GraphNode *node = picture->graph->node;
	double		x1 = x_of(picture, edge->parent) + radius_of(picture, node[edge->parent].stored_bytes);
	double		x2 = x_of(picture, edge->child) - radius_of(picture, node[edge->child].stored_bytes) - 7;
	double		y1 = y_of(picture, edge->parent);
	double		y2 = y_of(picture, edge->child);
	double		bend = (x2 - x1) / 2;
	int			color = color_of_role(edge->role);

	appendStringInfo(picture->out,
					 "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\" stroke=\"%s\" marker-end=\"url(#a%d)\"/>\n",
					 x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2, role_colors[color].color, color);
}

/*
 * Near the child, where edges that left one parent have parted. The first edge of a
 * version bears what its deltas took.
 */
static void
draw_edge_label(const Picture *picture, int number)
{
	const GraphEdge *edge = &picture->graph->edge[number];
	const GraphNode *child = &picture->graph->node[edge->child];
	double		x1 = x_of(picture, edge->parent);
	double		x2 = x_of(picture, edge->child);
	double		y1 = y_of(picture, edge->parent);
	double		y2 = y_of(picture, edge->child);
	double		t = 0.66;
	double		along = 3 * (1 - t) * t * t + t * t * t;	/* of the curve's rise, at t */

	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"e\" fill=\"%s\">",
					 x1 + (x2 - x1) * 0.60, y1 + (y2 - y1) * along - 4,
					 role_colors[color_of_role(edge->role)].color);
	append_short(picture->out, edge->role);
	if (number == child->first_edge)
		appendStringInfo(picture->out, " %s", graph_bytes(child->stored_bytes));
	appendStringInfoString(picture->out, "</text>\n");
}

static void
draw_disc(const Picture *picture, int number)
{
	const GraphNode *node = &picture->graph->node[number];
	double		x = x_of(picture, number);
	double		y = y_of(picture, number);
	double		radius = radius_of(picture, node->stored_bytes);
	bool		ready = strcmp(node->state, "ready") == 0;
	int			color = node->edges == 0 ? 0 : color_of_role(picture->graph->edge[node->first_edge].role);

	if (number == picture->graph->asked)
		appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" class=\"asked\"/>\n", x, y, radius + 4);
	appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"%s><title>",
					 x, y, radius, ready ? role_colors[color].color : "#f8fafc",
					 ready ? "" : " stroke=\"#94a3b8\" stroke-width=\"1.5\" stroke-dasharray=\"3 2\"");
	append_xml(picture->out, node->label);
	appendStringInfo(picture->out, "\n%s %s (id " INT64_FORMAT ")\n%s stored of %s</title></circle>\n",
					 node->state, node->kind, node->id, graph_bytes(node->stored_bytes), graph_bytes(node->raw_bytes));
}

/* Under the disc: the name, then how much is stored of how much; tags above it. */
static void
draw_node_label(const Picture *picture, int number)
{
	const GraphNode *node = &picture->graph->node[number];
	double		x = x_of(picture, number);
	double		y = y_of(picture, number);
	double		radius = radius_of(picture, node->stored_bytes);
	bool		ready = strcmp(node->state, "ready") == 0;

	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y + radius + 15, ready ? "n" : "n gone");
	append_short(picture->out, node->label);
	appendStringInfo(picture->out, "</text>\n<text x=\"%.1f\" y=\"%.1f\" class=\"s\">", x, y + radius + 28);
	if (ready)
		appendStringInfo(picture->out, "%s of %s", graph_bytes(node->stored_bytes), graph_bytes(node->raw_bytes));
	else
		appendStringInfoString(picture->out, node->state);
	appendStringInfoString(picture->out, "</text>\n");
	if (node->tags[0] == '\0')
		return;
	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"t\">", x, y - radius - 8);
	append_short(picture->out, node->tags);
	appendStringInfoString(picture->out, "</text>\n");
}

static void
draw_arrow_heads(const Picture *picture)
{
	appendStringInfoString(picture->out, "<defs>\n");
	for (int i = 0; i < (int) lengthof(role_colors); i++)
		appendStringInfo(picture->out,
						 "<marker id=\"a%d\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" orient=\"auto\">"
						 "<path d=\"M0 0L8 4L0 8z\" fill=\"%s\"/></marker>\n", i, role_colors[i].color);
	appendStringInfoString(picture->out, "</defs>\n");
}

static bool
role_occurs(const Graph *graph, int color)
{
	for (int i = 0; i < graph->edges; i++)
		if (color_of_role(graph->edge[i].role) == color)
			return true;
	return false;
}

static void
draw_legend(const Picture *picture, double y)
{
	const Graph *graph = picture->graph;
	double		x = 24;

	for (int i = (int) lengthof(role_colors) - 1; i >= 0; i--)
	{
		if (!role_occurs(graph, i))
			continue;
		appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" class=\"l\">%s</text>\n",
						 x, y, role_colors[i].color, x + 10, y + 4, role_colors[i].role);
		x += 26 + 7 * strlen(role_colors[i].role);
	}
	appendStringInfo(picture->out, "<text x=\"24\" y=\"%.1f\" class=\"l\">a disc's area: bytes stored for the version%s</text>\n",
					 y + 24, graph->cut ? "; there are more versions than are shown" : "");
}

static void
draw_frame(const Picture *picture, int width, int height)
{
	appendStringInfo(picture->out,
					 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
					 "<style>text{text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}"
					 ".n{font-size:12px;font-weight:600;fill:#0f172a}.gone{fill:#94a3b8}.s{font-size:10px;fill:#64748b}"
					 ".t{font-size:10px;font-weight:600;fill:#b45309}.e{font-size:9.5px}.l{font-size:11px;fill:#475569;text-anchor:start}"
					 ".asked{fill:none;stroke:#0f172a;stroke-width:1.6}</style>\n"
					 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
					 width, height, width, height);
}

static void
draw(const Picture *picture)
{
	const Graph *graph = picture->graph;
	int			width = Max(2 * MARGIN_X + (picture->columns - 1) * COLUMN_WIDTH, 360);
	int			height = MARGIN_TOP + picture->rows * ROW_HEIGHT + LEGEND_HEIGHT;

	draw_frame(picture, width, height);
	draw_arrow_heads(picture);
	appendStringInfoString(picture->out, "<g fill=\"none\" stroke-width=\"1.5\">\n");
	for (int i = 0; i < graph->edges; i++)
		draw_edge(picture, &graph->edge[i]);
	appendStringInfoString(picture->out, "</g>\n");
	for (int i = 0; i < graph->edges; i++)
		draw_edge_label(picture, i);
	for (int i = 0; i < graph->nodes; i++)
		draw_disc(picture, i);
	for (int i = 0; i < graph->nodes; i++)
		draw_node_label(picture, i);
	draw_legend(picture, height - LEGEND_HEIGHT + 24);
	appendStringInfoString(picture->out, "</svg>");
}

void
graph_svg(const Graph *graph, StringInfo out)
{
	Picture		picture = {.graph = graph, .out = out, .columns = 1};

	picture.column = palloc0(Max(graph->nodes, 1) * sizeof(int));
	picture.row = palloc0(Max(graph->nodes, 1) * sizeof(double));
	for (int i = 0; i < graph->nodes; i++)
		picture.largest = Max(picture.largest, graph->node[i].stored_bytes);
	place_columns(&picture);
	place_rows(&picture, graph->first_root);
	draw(&picture);
}
