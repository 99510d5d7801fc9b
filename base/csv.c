/* CSV: RFC 4180 with LF or CRLF, an optional UTF-8 BOM, a header line. Strict: what is not understood is an error with
 * file:line:column, never a guess. Departures, all harmless: blanks around unquoted fields and wholly blank lines are
 * skipped, a line end inside a column's name becomes a blank. A column in which some cell is no number is a text
 * column; whoever needs numbers of it learns where. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/readers.h"

enum { MAX_COLUMNS = 4096 };

typedef struct reader {
    const char *path;
    const char *p, *end, *line_start;
    size_t line;
    char *field;             /* decoded field, zero-terminated; as long as the file at most */
    bool quoted;
    size_t field_line, field_at;
} reader;

static status bad(const reader *r, const char *at, err *e, const char *what)
{
    return err_set(e, ST_INPUT, "%s:%zu:%zu: %s", r->path, r->line, (size_t)(at - r->line_start) + 1, what);
}

static bool at_eol(const reader *r)
{
    return r->p == r->end || *r->p == '\n' || (*r->p == '\r' && r->p + 1 < r->end && r->p[1] == '\n');
}

static void skip_eol(reader *r)
{
    if (r->p < r->end && *r->p == '\r') r->p++;
    if (r->p < r->end) r->p++;
    r->line++;
    r->line_start = r->p;
}

static status quoted_field(reader *r, err *e)
{
    const char *open = r->p++;
    size_t open_line = r->line, n = 0;
    const char *open_start = r->line_start;
    for (;; r->p++) {
        if (r->p == r->end)
            return err_set(e, ST_INPUT, "%s:%zu:%zu: this quote is never closed", r->path, open_line,
                           (size_t)(open - open_start) + 1);
        if (*r->p == '"') {
            if (r->p + 1 == r->end || r->p[1] != '"') break;
            r->p++;
        } else if (*r->p == '\n') {
            r->line++;
            r->line_start = r->p + 1;
        }
        r->field[n++] = *r->p;
    }
    r->p++;
    r->field[n] = 0;
    r->quoted = true;
    while (!at_eol(r) && (*r->p == ' ' || *r->p == '\t')) r->p++;
    if (!at_eol(r) && *r->p != ',')
        return bad(r, r->p, e, "text after a closing quote; write \"\" for a quote inside a field");
    return ST_OK;
}

/* One field; stops at its comma or line end. */
static status next_field(reader *r, err *e)
{
    while (!at_eol(r) && (*r->p == ' ' || *r->p == '\t')) r->p++;
    r->field_line = r->line;
    r->field_at = (size_t)(r->p - r->line_start) + 1;
    r->quoted = false;
    if (r->p < r->end && *r->p == '"') return quoted_field(r, e);
    const char *start = r->p;
    while (!at_eol(r) && *r->p != ',') {
        if (*r->p == '"') return bad(r, r->p, e, "quote inside an unquoted field; put the whole field in quotes");
        if (*r->p == '\r') return bad(r, r->p, e, "carriage return without line feed; lines must end in LF or CRLF");
        r->p++;
    }
    const char *stop = r->p;
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    memcpy(r->field, start, (size_t)(stop - start));
    r->field[stop - start] = 0;
    return ST_OK;
}

typedef struct header { char (*name)[TABLE_NAME_MAX]; size_t n; } header;

static status add_name(header *h, const reader *r, err *e)
{
    if (h->n == MAX_COLUMNS) return bad(r, r->p, e, "more than 4096 columns; leave out what is not needed");
    if ((h->n & (h->n - 1)) == 0) { /* room at powers of two */
        void *more = realloc(h->name, (h->n ? 2 * h->n : 1) * sizeof *h->name);
        if (!more) return err_set(e, ST_NOMEM, "%s: no memory for the column names", r->path);
        h->name = more;
    }
    char *name = h->name[h->n];
    if (strlen(r->field) >= TABLE_NAME_MAX)
        return err_set(e, ST_INPUT, "%s:%zu:%zu: column name longer than %d bytes; shorten it", r->path, r->field_line,
                       r->field_at, TABLE_NAME_MAX - 1);
    if (*r->field) strcpy(name, r->field);
    else snprintf(name, TABLE_NAME_MAX, "#%zu", h->n + 1); /* a nameless index column, as some exporters write */
    text_plain_name(name);
    for (size_t i = 0; i < h->n; i++)
        if (!strcmp(h->name[i], name))
            return err_set(e, ST_INPUT, "%s:%zu:%zu: column name '%s' stands twice; rename one", r->path,
                           r->field_line, r->field_at, name);
    h->n++;
    return ST_OK;
}

static status read_header(reader *r, header *h, err *e)
{
    bool all_numbers = true;
    double v;
    size_t line = r->line;
    for (;; r->p++) {
        status s = next_field(r, e);
        if (!s) s = add_name(h, r, e);
        if (s) return s;
        if (!num_parse_f64(r->field, &v)) all_numbers = false;
        if (at_eol(r)) break;
    }
    if (all_numbers)
        return err_set(e, ST_INPUT, "%s:%zu:1: the first line must name the columns, it holds only numbers", r->path,
                       line);
    if (h->n == 1 && strpbrk(r->field, ";\t"))
        return err_set(e, ST_INPUT, "%s:%zu: one column, named '%.80s'; put commas between the fields, not %s", r->path,
                       line, h->name[0], strchr(r->field, ';') ? "semicolons" : "tabs");
    skip_eol(r);
    return ST_OK;
}

static bool blank_line(reader *r)
{
    const char *p = r->p;
    while (p < r->end && (*p == ' ' || *p == '\t')) p++;
    if (p < r->end && *p != '\n' && !(*p == '\r' && p + 1 < r->end && p[1] == '\n')) return false;
    r->p = p;
    return true;
}

static void skip_blank_lines(reader *r)
{
    while (r->p < r->end && blank_line(r) && r->p < r->end) skip_eol(r);
}

static status read_row(reader *r, table *t, const size_t *map, size_t n_cols, err *e)
{
    size_t line = r->line, k = 0, row;
    status s = table_add_row(t, line, &row, e);
    if (s) return s;
    for (;; r->p++) {
        s = next_field(r, e);
        if (!s && k < n_cols) s = table_set_field(t, map[k], row, r->field, r->field_line, r->field_at, e);
        if (s) return s;
        k++;
        if (at_eol(r)) break;
    }
    if (k == n_cols) return ST_OK;
    return err_set(e, ST_INPUT, "%s:%zu:%zu: %zu field%s, the header has %zu; %s", r->path, line,
                   r->field_line == line ? r->field_at : 1, k, k == 1 ? "" : "s", n_cols,
                   k < n_cols ? "an absent cell still needs its comma" : "a field with a comma in it needs quotes");
}

/* Header and rows into columns of `t`; a chart of W&B first as it stands into `wide`. */
static status read_table(reader *r, table *t, table *wide, const text_input *in, err *e)
{
    header h = {0};
    size_t *map = NULL, first;
    status s = read_header(r, &h, e);
    bool chart = !s && wandb_is_chart(h.name, h.n);
    table *into = chart ? wide : t;
    if (!s && !(map = malloc(h.n * sizeof *map))) s = err_set(e, ST_NOMEM, "%s: no memory", in->name);
    if (!s) s = table_grow(into, in->name, in->sha256, 0, &first, e);
    for (size_t i = 0; i < h.n && !s; i++) s = table_col_index(into, h.name[i], &map[i], e);
    for (skip_blank_lines(r); r->p < r->end && !s; skip_blank_lines(r)) {
        s = read_row(r, into, map, h.n, e);
        if (!s && r->p < r->end) skip_eol(r);
    }
    if (!s && chart) s = wandb_unpivot(t, wide, in, e);
    free(h.name);
    free(map);
    return s;
}

static status csv_read(table *t, const text_input *in, err *e)
{
    reader r = {.path = in->name, .line = 1, .p = in->text, .end = in->text + in->n, .line_start = in->text};
    table wide = {0};
    skip_blank_lines(&r);
    if (r.p == r.end) return err_set(e, ST_INPUT, "%s: empty; a header line with column names is needed", in->name);
    r.field = malloc(in->n + 1);
    if (!r.field) return err_set(e, ST_NOMEM, "%s: no memory", in->name);
    status s = read_table(&r, t, &wide, in, e);
    table_free(&wide);
    free(r.field);
    return s;
}

static bool csv_looks(const text_input *in)
{
    (void)in;
    return true;
}

const text_reader csv_reader = {"CSV", csv_looks, csv_read};
