/*
 * graph_svg.c: a graph of versions as a picture that needs nothing else.
 *
 * Time runs from left to right: a version stands one column behind the last of its
 * parents. A version on which nothing hangs takes a row of its own; one with
 * branches stands in the middle of them. So what hangs on one version never overlaps
 * what hangs on another. The first edge of a version, to its trunk, bends between
 * the first two columns and goes on in the child's row. Its further edges, those of a
 * merge, travel in lanes below all that hangs on their parent, and bend again before
 * the child: lines may cross lines, but hardly ever names.
 *
 * A disc's area is in proportion to the bytes stored for the version.
 */
#include "graph.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define COLUMN_WIDTH 236
#define ROW_HEIGHT 84
#define LANE_HEIGHT 16
#define LEVEL_END 84			/* before a disc edges are level: there stands what they are, and names are below */
#define MARGIN_X 110
#define MARGIN_TOP 56
#define LEGEND_HEIGHT 72
#define LARGEST_RADIUS 24.0
#define SMALLEST_RADIUS 4.0
#define LABEL_CHARACTERS 32
#define ROLE_CHARACTERS 20		/* between two discs, with what the deltas took */

typedef struct Picture
{
	const Graph *graph;
	StringInfo	out;
	int		   *column;			/* of each node */
	double	   *y;				/* of each node */
	double	   *lane;			/* of each edge that has one: its y; else 0 */
	int		   *first_lane;		/* of each node, as a parent: an edge with a lane; -1: none */
	int		   *next_lane;		/* of each edge: another of that parent */
	int			columns;
	double		bottom;			/* of what is placed */
	int64		largest;		/* stored bytes of a version */
} Picture;

#define ROOT_COLOR "#334155"

/* Roles that have a colour of their own; the first stands for all others. */
static const struct
{
	const char *role;
	const char *color;
}			role_colors[] = {
	{"another role", "#64748b"}, {"finetune", "#2563eb"}, {"merge", "#9333ea"},
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

static bool
is_trunk(const Graph *graph, int edge)
{
	return graph->node[graph->edge[edge].child].first_edge == edge;
}

/* Further edges that pass a column need a lane. */
static void
find_lanes(Picture *picture)
{
	const Graph *graph = picture->graph;

	for (int i = 0; i < graph->nodes; i++)
		picture->first_lane[i] = -1;
	for (int i = graph->edges - 1; i >= 0; i--)
	{
		const GraphEdge *edge = &graph->edge[i];

		if (is_trunk(graph, i) || picture->column[edge->child] - picture->column[edge->parent] < 2)
			continue;
		picture->next_lane[i] = picture->first_lane[edge->parent];
		picture->first_lane[edge->parent] = i;
	}
}

static void place_rows(Picture *picture, int first);

/* A row for a version on which nothing hangs; another stands between its first and last branch. */
static void
place_row(Picture *picture, int number)
{
	const GraphNode *node = picture->graph->node;
	int			first = node[number].first_branch;
	int			last = first;

	if (first < 0)
	{
		picture->y[number] = picture->bottom + MARGIN_TOP;
		picture->bottom += ROW_HEIGHT;
		return;
	}
	place_rows(picture, first);
	while (node[last].next_branch >= 0)
		last = node[last].next_branch;
	picture->y[number] = (picture->y[first] + picture->y[last]) / 2;
}

/* Gives rows to a list of branches and all that hangs on them, and below each its lanes. */
static void
place_rows(Picture *picture, int first)
{
	check_stack_depth();
	for (int i = first; i >= 0; i = picture->graph->node[i].next_branch)
	{
		place_row(picture, i);
		for (int edge = picture->first_lane[i]; edge >= 0; edge = picture->next_lane[edge])
		{
			picture->lane[edge] = picture->bottom + MARGIN_TOP - ROW_HEIGHT / 2 + LANE_HEIGHT;
			picture->bottom += LANE_HEIGHT;
		}
	}
}

static double
x_of(const Picture *picture, int node)
{
	return MARGIN_X + picture->column[node] * COLUMN_WIDTH;
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

/* U+FFFE and U+FFFF are no characters of XML: a browser would draw nothing. */
static bool
is_no_xml(const char *text)
{
	return GetDatabaseEncoding() == PG_UTF8 &&
		(strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0);
}

static void
append_xml(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (is_no_xml(text))
		{
			appendStringInfoChar(out, '?');
			text += 2;
		}
		else
			append_xml_char(out, *text);
	}
}

/* The end of a long name tells more than its beginning: "...meta-llama-3-8b-instruct@4". */
static void
append_short(StringInfo out, const char *text, int most)
{
	int			characters = pg_mbstrlen(text);

	if (characters > most)
	{
		appendStringInfoString(out, "...");
		for (; characters > most - 3; characters--)
			text += pg_mblen(text);
	}
	append_xml(out, text);
}

/* ---- what is drawn ---- */

/* An S from the last point of the path to (x2, y2), which begins and ends level. */
static void
append_bend(StringInfo out, double x1, double y1, double x2, double y2)
{
	double		middle = (x1 + x2) / 2;

	appendStringInfo(out, "C%.1f %.1f %.1f %.1f %.1f %.1f", middle, y1, middle, y2, x2, y2);
}

/* An edge leaves its parent's disc on the right and comes to the child's from the left. */
static void
draw_edge(const Picture *picture, int number)
{
	const GraphEdge *edge = &picture->graph->edge[number];
	const GraphNode *node = picture->graph->node;
	double		x1 = x_of(picture, edge->parent) + radius_of(picture, node[edge->parent].stored_bytes);
	double		x2 = x_of(picture, edge->child) - radius_of(picture, node[edge->child].stored_bytes) - 7;
	double		y1 = picture->y[edge->parent];
	double		y2 = picture->y[edge->child];
	double		lane = picture->lane[number] != 0 ? picture->lane[number] : y2;
	double		next_column = x_of(picture, edge->parent) + COLUMN_WIDTH - LEVEL_END;
	int			color = color_of_role(edge->role);

	appendStringInfo(picture->out, "<path d=\"M%.1f %.1f", x1, y1);
	append_bend(picture->out, x1, y1, next_column, lane);
	if (lane != y2)
	{
		double		child = x_of(picture, edge->child);
		double		from = child - COLUMN_WIDTH + 2 * LARGEST_RADIUS;

		appendStringInfo(picture->out, "H%.1f", from);
		append_bend(picture->out, from, lane, child - LEVEL_END, y2);
	}
	appendStringInfo(picture->out, "H%.1f\" stroke=\"%s\" marker-end=\"url(#a%d)\"/>\n",
					 x2, role_colors[color].color, color);
}

/*
 * On what is level of an edge: the first of a version before the child, with what
 * its deltas took; a further one in its lane, or where it has none, in mid bend.
 */
static void
draw_edge_label(const Picture *picture, int number)
{
	const GraphEdge *edge = &picture->graph->edge[number];
	const GraphNode *child = &picture->graph->node[edge->child];
	double		x = x_of(picture, edge->child) - radius_of(picture, child->stored_bytes) - 16;
	double		y = picture->y[edge->child];
	bool		trunk = is_trunk(picture->graph, number);

	if (picture->lane[number] != 0)
	{
		x = x_of(picture, edge->child) - COLUMN_WIDTH + 2 * LARGEST_RADIUS + 20;
		y = picture->lane[number];
	}
	else if (!trunk)
	{
		x = x_of(picture, edge->parent) + (COLUMN_WIDTH - LEVEL_END + LARGEST_RADIUS) / 2 + 14;
		y = (picture->y[edge->parent] + y) / 2;
	}
	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"e\" fill=\"%s\">",
					 x, y - 5, role_colors[color_of_role(edge->role)].color);
	append_short(picture->out, edge->role, ROLE_CHARACTERS);
	if (trunk)
		appendStringInfo(picture->out, " %s", graph_bytes(child->stored_bytes));
	appendStringInfoString(picture->out, "</text>\n");
}

static void
draw_disc(const Picture *picture, int number)
{
	const GraphNode *node = &picture->graph->node[number];
	double		x = x_of(picture, number);
	double		y = picture->y[number];
	double		radius = radius_of(picture, node->stored_bytes);
	bool		ready = strcmp(node->state, "ready") == 0;
	const char *color = node->edges == 0 ? ROOT_COLOR
		: role_colors[color_of_role(picture->graph->edge[node->first_edge].role)].color;

	if (number == picture->graph->asked)
		appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" class=\"asked\"/>\n", x, y, radius + 4);
	appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"%s><title>",
					 x, y, radius, ready ? color : "#f8fafc",
					 ready ? "" : " stroke=\"#94a3b8\" stroke-width=\"1.5\" stroke-dasharray=\"3 2\"");
	append_xml(picture->out, node->label);
	appendStringInfo(picture->out, "\n%s %s%s (id " INT64_FORMAT ")\n%s stored of %s</title></circle>\n",
					 node->state, node->kind, node->exact ? "" : ", not exact", node->id, graph_bytes(node->stored_bytes), graph_bytes(node->raw_bytes));
}

/* Under the disc: the name, then how much is stored of how much; tags above it. */
static void
draw_node_label(const Picture *picture, int number)
{
	const GraphNode *node = &picture->graph->node[number];
	double		x = x_of(picture, number);
	double		y = picture->y[number];
	double		radius = radius_of(picture, node->stored_bytes);
	bool		ready = strcmp(node->state, "ready") == 0;

	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y + radius + 15, ready ? "n" : "n gone");
	append_short(picture->out, node->label, LABEL_CHARACTERS);
	appendStringInfo(picture->out, "</text>\n<text x=\"%.1f\" y=\"%.1f\" class=\"s\">", x, y + radius + 28);
	if (ready)
		appendStringInfo(picture->out, "%s of %s%s", graph_bytes(node->stored_bytes), graph_bytes(node->raw_bytes),
						 node->exact ? "" : ", not exact");
	else
		appendStringInfoString(picture->out, node->state);
	appendStringInfoString(picture->out, "</text>\n");
	if (node->tags[0] == '\0')
		return;
	appendStringInfo(picture->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"t\">", x, y - Max(radius, 12) - 8);
	append_short(picture->out, node->tags, LABEL_CHARACTERS);
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
draw_legend_entry(const Picture *picture, double *x, double y, const char *color, const char *text)
{
	appendStringInfo(picture->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" class=\"l\">%s</text>\n",
					 *x, y, color, *x + 10, y + 4, text);
	*x += 30 + 6.6 * strlen(text);
}

static void
draw_legend(const Picture *picture, double y)
{
	const Graph *graph = picture->graph;
	double		x = 24;

	draw_legend_entry(picture, &x, y, ROOT_COLOR, "no parents");
	for (int i = (int) lengthof(role_colors) - 1; i >= 0; i--)
		if (role_occurs(graph, i))
			draw_legend_entry(picture, &x, y, role_colors[i].color, role_colors[i].role);
	appendStringInfo(picture->out, "<text x=\"19\" y=\"%.1f\" class=\"l\">a disc's area: bytes stored for the version%s</text>\n",
					 y + 24, graph->cut ? "; there are more versions than are shown" : "");
}

static void
draw_frame(const Picture *picture, int width, int height)
{
	appendStringInfo(picture->out,
					 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n"
					 "<style>text{text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}"
					 ".n{font-size:12px;font-weight:600;fill:#0f172a}.gone{fill:#94a3b8}.s{font-size:10px;fill:#64748b}"
					 ".t{font-size:10px;font-weight:600;fill:#b45309}.e{font-size:9.5px;text-anchor:end}.l{font-size:11px;fill:#475569;text-anchor:start}"
					 ".asked{fill:none;stroke:#0f172a;stroke-width:1.6}</style>\n"
					 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
					 width, height, width, height);
}

static void
draw(const Picture *picture)
{
	const Graph *graph = picture->graph;
	int			width = Max(2 * MARGIN_X + (picture->columns - 1) * COLUMN_WIDTH, 360);
	int			height = (int) picture->bottom + MARGIN_TOP - ROW_HEIGHT / 2 + LANE_HEIGHT + LEGEND_HEIGHT;

	draw_frame(picture, width, height);
	draw_arrow_heads(picture);
	appendStringInfoString(picture->out, "<g fill=\"none\" stroke-width=\"1.5\">\n");
	for (int i = 0; i < graph->edges; i++)
		draw_edge(picture, i);
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
	picture.y = palloc0(Max(graph->nodes, 1) * sizeof(double));
	picture.first_lane = palloc(Max(graph->nodes, 1) * sizeof(int));
	picture.lane = palloc0(Max(graph->edges, 1) * sizeof(double));
	picture.next_lane = palloc0(Max(graph->edges, 1) * sizeof(int));
	for (int i = 0; i < graph->nodes; i++)
		picture.largest = Max(picture.largest, graph->node[i].stored_bytes);
	place_columns(&picture);
	find_lanes(&picture);
	place_rows(&picture, graph->first_root);
	draw(&picture);
}
