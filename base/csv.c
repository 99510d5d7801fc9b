/* CSV: RFC 4180 with LF or CRLF, an optional UTF-8 BOM, a header line. Strict: what is not understood is an error with
 * file:line:column, never a guess. Departures, both harmless: blanks around unquoted fields and wholly blank lines are
 * skipped. A column in which some cell is no number is a text column; whoever needs numbers of it learns where. */
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { MAX_COLUMNS = 4096 };
static const size_t MAX_BYTES = (size_t)8 << 30;

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
        if (*r->p == '\r') return bad(r, r->p, e, "carriage return without line feed");
        r->p++;
    }
    const char *stop = r->p;
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    memcpy(r->field, start, (size_t)(stop - start));
    r->field[stop - start] = 0;
    return ST_OK;
}

static status read_header(reader *r, table *t, size_t *map, size_t *n_cols, err *e)
{
    bool all_numbers = true;
    for (*n_cols = 0;; (*n_cols)++) {
        char name[TABLE_NAME_MAX];
        double v;
        status s = next_field(r, e);
        if (s) return s;
        if (*n_cols == MAX_COLUMNS) return bad(r, r->p, e, "more than 4096 columns");
        if (strlen(r->field) >= sizeof name)
            return err_set(e, ST_INPUT, "%s:%zu:%zu: column name longer than %d bytes", r->path, r->field_line,
                           r->field_at, TABLE_NAME_MAX - 1);
        if (!num_parse_f64(r->field, &v)) all_numbers = false;
        if (*r->field) snprintf(name, sizeof name, "%s", r->field);
        else snprintf(name, sizeof name, "#%zu", *n_cols + 1); /* a nameless index column, as some exporters write */
        s = table_col_index(t, name, &map[*n_cols], e);
        if (s) return s;
        for (size_t i = 0; i < *n_cols; i++)
            if (map[i] == map[*n_cols])
                return err_set(e, ST_INPUT, "%s:%zu:%zu: column name '%s' stands twice; rename one", r->path,
                               r->field_line, r->field_at, name);
        if (at_eol(r)) break;
        r->p++;
    }
    (*n_cols)++;
    if (all_numbers)
        return err_set(e, ST_INPUT, "%s:1:1: the first line must name the columns, it holds only numbers", r->path);
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

static status store_field(reader *r, table *t, size_t col, size_t row, err *e)
{
    double v;
    if (!*r->field) return ST_OK;
    bool is_text = t->cols[col].is_text;
    if (!is_text && num_parse_f64(r->field, &v)) table_set(t, col, row, v);
    else if (!is_text && num_is_nonfinite_word(r->field)) table_set(t, col, row, TABLE_DIVERGED);
    else return table_set_word(t, col, row, r->field, r->field_line, r->field_at, e);
    return ST_OK;
}

static status read_rows(reader *r, table *t, const size_t *map, size_t n_cols, size_t first, size_t *n_rows, err *e)
{
    *n_rows = 0;
    while (r->p < r->end) {
        if (blank_line(r)) {
            if (r->p < r->end) skip_eol(r);
            continue;
        }
        size_t line = r->line, k = 0, row = first + *n_rows;
        for (;; k++) {
            status s = next_field(r, e);
            if (!s && k < n_cols) s = store_field(r, t, map[k], row, e);
            if (s) return s;
            if (at_eol(r)) break;
            r->p++;
        }
        if (k + 1 != n_cols)
            return err_set(e, ST_INPUT, "%s:%zu:%zu: %zu fields, the header has %zu", r->path, line, r->field_at, k + 1,
                           n_cols);
        t->row_line[row] = line;
        (*n_rows)++;
        if (r->p < r->end) skip_eol(r);
    }
    return ST_OK;
}

status csv_read(table *t, const char *path, err *e)
{
    char *text = NULL, sha256[IO_SHA256_HEX];
    size_t n = 0, n_cols = 0, n_rows = 0, lines = 0, first = 0;
    reader r = {.path = path, .line = 1};
    size_t *map = malloc(MAX_COLUMNS * sizeof *map);
    status s = map ? io_read_file(&text, &n, path, MAX_BYTES, e) : err_set(e, ST_NOMEM, "%s: no memory", path);
    if (s) goto done;
    if (memchr(text, 0, n)) {
        s = err_set(e, ST_INPUT, "%s: not a text file; give a .csv file, a campaign, run.h5 or campaign.h5", path);
        goto done;
    }
    io_sha256(sha256, text, n);
    r.p = r.line_start = text;
    r.end = text + n;
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) r.p = r.line_start = text + 3;
    while (r.p < r.end && blank_line(&r) && r.p < r.end) skip_eol(&r);
    if (r.p < r.end && (*r.p == '{' || *r.p == '[')) {
        s = err_set(e, ST_INPUT, "%s: looks like JSON; give a .csv file with a header line, a campaign, run.h5 or campaign.h5", path);
        goto done;
    }
    if (r.p == r.end) {
        s = err_set(e, ST_INPUT, "%s: empty; a header line with column names is needed", path);
        goto done;
    }
    r.field = malloc(n + 1);
    if (!r.field) {
        s = err_set(e, ST_NOMEM, "%s: no memory", path);
        goto done;
    }
    s = read_header(&r, t, map, &n_cols, e);
    if (!s && n_cols == 1 && strpbrk(r.field, ";\t"))
        s = err_set(e, ST_INPUT, "%s:1: one column, named '%.80s'; put commas between the fields, not %s", path, r.field, strchr(r.field, ';') ? "semicolons" : "tabs");
    if (s) goto done;
    for (const char *p = r.p; p < r.end; p++) lines += *p == '\n';
    s = table_grow(t, path, sha256, lines + 1, &first, e); /* at most one row a line; the rest is given back below */
    if (!s) s = read_rows(&r, t, map, n_cols, first, &n_rows, e);
    t->n_rows = first + n_rows;
    if (!s) t->sources[t->n_sources - 1].n_rows = n_rows;
done:
    free(r.field);
    free(text);
    free(map);
    return s;
}
