/*
 * table.c: shows answers (see table.h).
 */
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "client.h"

/* Types, by their object ids, which PostgreSQL never changes. */
enum
{
	TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_OID = 26, TYPE_JSON = 114,
	TYPE_FLOAT4 = 700, TYPE_FLOAT8 = 701, TYPE_TIMESTAMPTZ = 1184, TYPE_NUMERIC = 1700, TYPE_JSONB = 3802
};

static bool
is_number(const PGresult *result, int column)
{
	switch (PQftype(result, column))
	{
		case TYPE_INT8:
		case TYPE_INT2:
		case TYPE_INT4:
		case TYPE_OID:
		case TYPE_FLOAT4:
		case TYPE_FLOAT8:
		case TYPE_NUMERIC:
			return true;
		default:
			return false;
	}
}

/* ---- JSON ---- */

void
json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *) text; *c; c++)
		if (*c < 0x20 || *c == 0x7F)
			fprintf(out, "\\u%04x", *c);
		else if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else
			fputc(*c, out);
	fputc('"', out);
}

/* NaN and the infinities are no numbers in JSON. */
static bool
is_json_number(const char *text)
{
	return strspn(text, "0123456789+-.eE") == strlen(text);
}

/* PostgreSQL's ISO form of a moment, 2026-01-31 12:00:00.5+00, as that of ISO 8601: to the microsecond, with its zone. */
static void
print_json_time(const char *value)
{
	char	   *text = format_text("%s", value);
	size_t		length = strlen(text);

	if (length > 10 && text[4] == '-' && text[10] == ' ')
		text[10] = 'T';
	printf("\"%s%s\"", text, length > 3 && (text[length - 3] == '+' || text[length - 3] == '-') ? ":00" : "");
	free(text);
}

static void
print_json_value(const PGresult *result, int row, int column)
{
	const char *value = PQgetvalue(result, row, column);
	Oid			type = PQftype(result, column);

	if (PQgetisnull(result, row, column))
		fputs("null", stdout);
	else if (type == TYPE_BOOL)
		fputs(value[0] == 't' ? "true" : "false", stdout);
	else if (type == TYPE_JSON || type == TYPE_JSONB || (is_number(result, column) && is_json_number(value)))
		fputs(value, stdout);
	else if (type == TYPE_TIMESTAMPTZ)
		print_json_time(value);
	else
		json_string(stdout, value);
}

static void
print_json_row(const PGresult *result, int row)
{
	putchar('{');
	for (int column = 0; column < PQnfields(result); column++)
	{
		if (column > 0)
			fputs(", ", stdout);
		json_string(stdout, PQfname(result, column));
		fputs(": ", stdout);
		print_json_value(result, row, column);
	}
	putchar('}');
}

static void
print_json_rows(const PGresult *result, int rows)
{
	putchar('[');
	for (int row = 0; row < rows; row++)
	{
		fputs(row > 0 ? ",\n " : "", stdout);
		print_json_row(result, row);
	}
	putchar(']');
}

void
table_print_json(const PGresult *result)
{
	print_json_rows(result, PQntuples(result));
}

/* ---- CSV ---- */

static void
print_csv_value(const char *value)
{
	if (strpbrk(value, ",\"\r\n") == NULL)
	{
		fputs(value, stdout);
		return;
	}
	putchar('"');
	for (; *value; value++)
	{
		if (*value == '"')
			putchar('"');
		putchar(*value);
	}
	putchar('"');
}

static void
print_csv(const PGresult *result, int first, int end)
{
	int			columns = PQnfields(result);

	for (int column = 0; column < columns; column++)
	{
		fputs(column > 0 ? "," : "", stdout);
		print_csv_value(PQfname(result, column));
	}
	putchar('\n');
	for (int row = first; row < end; row++)
	{
		for (int column = 0; column < columns; column++)
		{
			fputs(column > 0 ? "," : "", stdout);
			print_csv_value(PQgetvalue(result, row, column));
		}
		putchar('\n');
	}
}

/* ---- for people ---- */

static bool
with_colours(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') &&
		(terminal == NULL || strcmp(terminal, "dumb") != 0);
}

/* Bytes of the character that the text begins with, and how many cells of a terminal it takes (Chinese takes two, accents none). */
static size_t
character_of(const char *text, int *cells)
{
	wchar_t		character;
	size_t		bytes = mbrtowc(&character, text, strlen(text), &(mbstate_t) {0});

	if (bytes == 0 || bytes > strlen(text))
	{
		/* what the locale cannot read: as UTF-8, a cell for each */
		*cells = ((unsigned char) *text & 0xC0) != 0x80;
		return 1;
	}
	*cells = wcwidth(character) < 0 ? 1 : wcwidth(character);
	return bytes;
}

static int
width_of(const char *text)
{
	int			width = 0;
	int			cells;

	for (; *text; width += cells)
		text += character_of(text, &cells);
	return width;
}

/* Makes the text no wider than that, by cutting off its end. */
static void
cut(char *text, int most)
{
	char	   *end = text;
	char	   *at = text;
	int			width = 0;
	int			cells;

	if (width_of(text) <= most)
		return;
	while (*at)
	{
		at += character_of(at, &cells);
		width += cells;
		if (width <= most - 3)
			end = at;
	}
	/* (it was wider: there is room for three) */
	memcpy(end, "...", (size_t) (strlen(end) < 3 ? strlen(end) + 1 : 4));
}

/* Cells in a line of the terminal; 0: there is none, and lines may be of any length. */
static int
terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return 0;
	return size.ws_col;
}

void
make_safe(char *text)
{
	for (unsigned char *at = (unsigned char *) text; *at; at++)
		if (*at < 0x20 || *at == 0x7F)
			*at = '?';
		else if (*at == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
		{
			at[0] = '?';
			at[1] = '?';
		}
}

void
print_safely(const char *text)
{
	char	   *copy = format_text("%s", text);

	make_safe(copy);
	fputs(copy, stdout);
	free(copy);
}

static bool
counts_bytes(const char *column)
{
	size_t		length = strlen(column);

	return length >= 5 && strcmp(column + length - 5, "bytes") == 0;
}

char *
text_in_units(double bytes)
{
	static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	int			i = 0;

	for (; i < 5 && (bytes >= 999.95 || bytes <= -999.95); i++)
		bytes /= 1000;
	return format_text(i == 0 ? "%.0f %s" : "%.1f %s", bytes, names[i]);
}

/* What stands in a cell. The caller frees it. */
static char *
cell_text(const PGresult *result, int row, int column)
{
	const char *value = PQgetvalue(result, row, column);
	char	   *text;

	if (PQgetisnull(result, row, column))
		return format_text("%s", "");
	if (is_number(result, column) && counts_bytes(PQfname(result, column)))
		return text_in_units(strtod(value, NULL));
	if (PQftype(result, column) == TYPE_BOOL)
		return format_text("%s", value[0] == 't' ? "yes" : "no");
	/* of a moment people read the minute */
	text = format_text("%.*s", PQftype(result, column) == TYPE_TIMESTAMPTZ ? 16 : (int) strlen(value), value);
	make_safe(text);
	return text;
}

static char *
head_text(const PGresult *result, int column)
{
	char	   *text = format_text("%s", PQfname(result, column));

	for (char *at = text; *at; at++)
		if (*at == '_')
			*at = ' ';
	return text;
}

static void
print_padded(const char *text, int width, bool right, bool last)
{
	int			missing = width - width_of(text);

	if (right && missing > 0)
		printf("%*s", missing, "");
	fputs(text, stdout);
	if (!right && !last && missing > 0)
		printf("%*s", missing, "");
	fputs(last ? "" : "  ", stdout);
}

/* What is shown of a table. */
typedef struct layout
{
	int			rows;
	int			columns;
	int		   *width;			/* of each column; -1: it is left out */
	int			last;			/* column that is shown */
} layout;

#define LEAST_LAST 12			/* cells of the last column, which is cut where lines are too long */

static int
column_width(const PGresult *result, int rows, int column)
{
	char	   *text = head_text(result, column);
	int			width = width_of(text);

	free(text);
	for (int row = 0; row < rows; row++)
	{
		int			needed;

		text = cell_text(result, row, column);
		needed = width_of(text);
		free(text);
		if (needed > width)
			width = needed;
	}
	return width;
}

static int
line_width(const layout *l)
{
	int			width = -2;

	for (int column = 0; column < l->columns; column++)
		width += l->width[column] < 0 ? 0 : l->width[column] + 2;
	return width;
}

/* A column that nothing stands in says nothing. */
static bool
is_empty(const PGresult *result, int rows, int column)
{
	for (int row = 0; row < rows; row++)
		if (!PQgetisnull(result, row, column) && PQgetvalue(result, row, column)[0] != '\0')
			return false;
	return rows > 0;
}

static int
last_shown(const layout *l)
{
	int			last = l->columns - 1;

	while (last > 0 && l->width[last] < 0)
		last--;
	return last;
}

/* Cuts the last column, if it is text and enough of it stays. */
static bool
cut_last(const PGresult *result, layout *l, int room)
{
	int			over = line_width(l) - room;

	if (is_number(result, l->last) || l->width[l->last] - over < LEAST_LAST)
		return false;
	l->width[l->last] -= over;
	return true;
}

/*
 * Where lines are longer than the terminal's: columns are left out that are empty, then the last column is cut, then
 * columns are left out from the right, but never the first two.
 */
static void
fit(const PGresult *result, layout *l, int room)
{
	for (int column = l->columns - 1; column > 1 && line_width(l) > room; column--)
		if (is_empty(result, l->rows, column))
			l->width[column] = -1;
	while (line_width(l) > room)
	{
		l->last = last_shown(l);
		if (l->last <= 1 || cut_last(result, l, room))
			break;
		l->width[l->last] = -1;
	}
}

static void
make_layout(const PGresult *result, int rows, layout *l)
{
	int			room = terminal_width();

	*l = (layout) {.rows = rows, .columns = PQnfields(result)};
	l->width = allocate((unsigned long) (l->columns + 1) * sizeof *l->width);
	for (int column = 0; column < l->columns; column++)
		l->width[column] = column_width(result, rows, column);
	if (room > 0)
		fit(result, l, room);
	l->last = last_shown(l);
}

static void
print_row(const PGresult *result, const layout *l, int row)
{
	for (int column = 0; column < l->columns; column++)
	{
		char	   *text;

		if (l->width[column] < 0)
			continue;
		text = row < 0 ? head_text(result, column) : cell_text(result, row, column);
		cut(text, l->width[column]);
		print_padded(text, l->width[column], is_number(result, column), column == l->last);
		free(text);
	}
}

/* What is not shown is not hidden. */
static void
tell_left_out(const PGresult *result, const layout *l)
{
	char	   *names = NULL;

	for (int column = 0; column < l->columns; column++)
		if (l->width[column] < 0 && !is_empty(result, l->rows, column))
		{
			char	   *more = format_text("%s%s%s", names ? names : "", names ? ", " : "", PQfname(result, column));

			free(names);
			names = more;
		}
	fflush(stdout);
	if (names)
		note("not shown, for want of room: %s (--json has all)", names);
	free(names);
}

static void
print_aligned(const PGresult *result, int rows)
{
	bool		colours = with_colours();
	layout		l;

	make_layout(result, rows, &l);
	fputs(colours ? "\033[1m" : "", stdout);
	print_row(result, &l, -1);
	fputs(colours ? "\033[0m\n" : "\n", stdout);
	for (int row = 0; row < rows; row++)
	{
		print_row(result, &l, row);
		putchar('\n');
	}
	tell_left_out(result, &l);
	free(l.width);
}

void
table_print_heading(const char *text)
{
	bool		colours = with_colours();

	printf("\n%s%s%s\n", colours ? "\033[1m" : "", text, colours ? "\033[0m" : "");
}

void
table_print_first(const PGresult *result, table_format format, int most)
{
	int			rows = PQntuples(result) < most ? PQntuples(result) : most;

	if (format == TABLE_CSV)
		print_csv(result, 0, rows);
	else if (format == TABLE_ALIGNED)
		print_aligned(result, rows);
	else
	{
		print_json_rows(result, rows);
		putchar('\n');
	}
}

void
table_print(const PGresult *result, table_format format)
{
	table_print_first(result, format, PQntuples(result));
}

/* A line for each column that has a value. */
static void
print_lines(const PGresult *result, int row)
{
	int			width = 0;

	for (int column = 0; column < PQnfields(result); column++)
		if (width_of(PQfname(result, column)) > width)
			width = width_of(PQfname(result, column));
	for (int column = 0; column < PQnfields(result); column++)
	{
		char	   *head = head_text(result, column);
		char	   *text = cell_text(result, row, column);

		if (text[0] != '\0')
			printf("%-*s  %s\n", width, head, text);
		free(head);
		free(text);
	}
}

void
table_print_record(const PGresult *result, int row, table_format format)
{
	if (format == TABLE_CSV)
		print_csv(result, row, row + 1);
	else if (format == TABLE_JSON)
	{
		print_json_row(result, row);
		putchar('\n');
	}
	else
		print_lines(result, row);
}
