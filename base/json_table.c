/* Tables in JSON: a list of records [{..}, ..], one record a line (JSONL), or an object of columns {"a": [..], ..}.
 * Nested objects become columns with dots (config.lr); keys with slashes stay as they are. A list within a record is no
 * number: it is left out, with a note. Numbers are doubles, as strtod rounds them; true and false are 1 and 0; null is
 * absent, like a key that is missing. A string counts as in CSV: "NaN" is a loss that blew up, "1e-5" is a number
 * (PyYAML reads that as a string, so configs hold such). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"

enum { MAX_COLUMNS = 4096, MAX_DEPTH = 32 };
static const size_t MAX_CELLS = (size_t)1 << 30; /* 8 GiB: records that share few keys make a large, empty table */

typedef struct reader {
    json_scan scan;
    table *t;
    size_t row, record;        /* record: from 1 */
    char name[TABLE_NAME_MAX]; /* of the column at hand */
    size_t *seen;              /* [cap] the record that had this column last: a second time in one is an error */
    size_t *next;              /* [cap] the column that followed this one last, and mostly does again; [0]: first */
    size_t cap, last;          /* last: number of the column before, + 1; 0 at the start of a record */
    size_t lists;              /* cells left out */
    char first_list[TABLE_NAME_MAX];
} reader;

static bool is(const json_token *t, char c) { return t->kind == JSON_PUNCT && t->c == c; }

static status no_memory(const reader *r, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", r->scan.name); }

static status check_size(const reader *r, err *e)
{
    if (!r->t->n_cols || r->t->n_rows <= MAX_CELLS / r->t->n_cols) return ST_OK;
    return err_set(e, ST_INPUT,
                   "%s: %zu rows of %zu columns need more than 8 GiB; keep the keys you need (jq -c '{step, loss}')",
                   r->scan.name, r->t->n_rows, r->t->n_cols);
}

static bool room(reader *r, size_t n)
{
    if (n <= r->cap) return true;
    size_t cap = n + n / 2 + 64;
    size_t *seen = realloc(r->seen, cap * sizeof *seen);
    if (seen) r->seen = seen;
    size_t *next = realloc(r->next, cap * sizeof *next);
    if (next) r->next = next;
    if (!seen || !next) return false;
    for (size_t i = r->cap; i < cap; i++) seen[i] = next[i] = 0;
    r->cap = cap;
    return true;
}

/* The column r->name; `at` is its key. */
static status column(reader *r, size_t *col, const json_token *at, err *e)
{
    size_t guess = r->next[r->last];
    if (guess < r->t->n_cols && !strcmp(r->t->cols[guess].name, r->name)) *col = guess;
    else {
        status s = table_col_index(r->t, r->name, col, e);
        if (s) return s;
        if (r->t->n_cols > MAX_COLUMNS)
            return json_bad(&r->scan, at, e,
                            "more than 4096 different keys; keep those you need (jq -c '{step, loss}')");
        if (!room(r, r->t->n_cols + 2)) return no_memory(r, e);
        r->next[r->last] = *col;
        if ((s = check_size(r, e))) return s;
    }
    if (r->seen[*col] == r->record)
        return err_set(e, ST_INPUT, "%s:%zu:%zu: key '%s' stands twice in one record; rename one", r->scan.name,
                       at->line, at->at, r->name);
    r->seen[*col] = r->record;
    r->last = *col + 1;
    return ST_OK;
}

static status store(reader *r, size_t col, size_t row, const json_token *v, err *e)
{
    switch (v->kind) {
    case JSON_NUM: table_set(r->t, col, row, v->x); break;
    case JSON_YES: table_set(r->t, col, row, 1); break;
    case JSON_NO: table_set(r->t, col, row, 0); break;
    case JSON_NONFINITE: table_set(r->t, col, row, TABLE_DIVERGED); break;
    case JSON_TEXT: return table_set_field(r->t, col, row, r->scan.field, v->line, v->at, e);
    case JSON_NOTHING: break;
    case JSON_PUNCT: /* objects and lists are the callers' */
    case JSON_END: break;
    }
    return ST_OK;
}

/* Results of ours are JSON too, and no tables. */
static status not_ours(const reader *r, const json_token *v, err *e)
{
    if (v->kind != JSON_TEXT || strcmp(r->name, "schema") || strncmp(r->scan.field, "muscale.", 8)) return ST_OK;
    int shown = (int)strcspn(r->scan.field, "\r\n");
    return err_set(e, ST_INPUT, "%s: a %.*s document, no table of runs; %s", r->scan.name, shown > 60 ? 60 : shown,
                   r->scan.field,
                   strncmp(r->scan.field, "muscale.journal", 15) ? "give the campaign or the table it was made from"
                                                                 : "give the run's directory");
}

/* The key at hand goes behind the `n` bytes of r->name that stand already; *end: bytes that stand then. */
static status put_name(reader *r, size_t n, size_t *end, const json_token *key, err *e)
{
    const char *own = *r->scan.field ? r->scan.field : "#"; /* the nameless index that some exporters write */
    *end = n + strlen(own);
    if (*end >= TABLE_NAME_MAX - 1) /* a dot may follow */
        return json_bad(&r->scan, key, e, "column name longer than 126 bytes; shorten it");
    strcpy(r->name + n, own);
    text_plain_name(r->name + n);
    return ST_OK;
}

/* The members of an object; their names go behind the `n` bytes of r->name that stand already. */
static status members(reader *r, size_t n, int depth, err *e)
{
    bool done;
    for (bool first = true;; first = false) {
        json_token key, v;
        size_t col, end;
        status s = json_key(&r->scan, first, &done, &key, e);
        if (s || done) return s;
        if ((s = put_name(r, n, &end, &key, e)) || (s = json_value(&r->scan, &v, e))) return s;
        if (n == 0) s = not_ours(r, &v, e);
        if (!s && is(&v, '{')) {
            if (depth == MAX_DEPTH) return json_bad(&r->scan, &v, e, "nested deeper than 32; flatten it");
            r->name[end] = '.';
            s = members(r, end + 1, depth + 1, e);
        } else if (!s && is(&v, '[')) {
            if (!r->lists++) memcpy(r->first_list, r->name, sizeof r->name);
            s = json_skip(&r->scan, &v, e);
        } else if (!s && !(s = column(r, &col, &key, e))) s = store(r, col, r->row, &v, e);
        if (s) return s;
    }
}

/* After a record's '{'. */
static status record(reader *r, const json_token *open, err *e)
{
    table_source *src = &r->t->sources[r->t->n_sources - 1];
    if (src->n_rows && r->t->row_line[r->t->n_rows - 1] == open->line) src->shares_lines = true;
    status s = table_add_row(r->t, open->line, &r->row, e);
    r->record++;
    r->last = 0;
    if (!s) s = members(r, 0, 0, e);
    return s ? s : check_size(r, e);
}

/* --- forms ----------------------------------------------------------------------------------------------------- */

static status nothing_more(reader *r, const char *what, err *e)
{
    json_token t;
    status s = json_next(&r->scan, &t, e);
    return s || t.kind == JSON_END ? s : json_bad(&r->scan, &t, e, what);
}

/* After the '[' of a list of records. */
static status record_list(reader *r, err *e)
{
    json_token item;
    bool done;
    for (bool first = true;; first = false) {
        status s = json_item(&r->scan, first, &done, &item, e);
        if (!s && done) return nothing_more(r, "text after the list; a file holds one", e);
        if (!s && !is(&item, '{'))
            s = json_bad(&r->scan, &item, e,
                         "a record {\"name\": value, ..} must stand here (pandas: to_json(orient='records'))");
        if (!s) s = record(r, &item, e);
        if (s) return s;
    }
}

static status lines(reader *r, err *e)
{
    json_scan *s = &r->scan;
    const char *end = s->end;
    for (s->one_line = true; s->p < end; s->p = s->line_start = s->end + 1, s->line++) {
        json_token t;
        const char *eol = memchr(s->p, '\n', (size_t)(end - s->p));
        s->end = eol ? eol : end;
        status st = json_next(s, &t, e);
        if (!st && t.kind != JSON_END) {
            st = is(&t, '{') ? record(r, &t, e)
                             : json_bad(s, &t, e, "each line must be an object {\"name\": value, ..}");
            if (!st) st = nothing_more(r, "text after the object; JSONL has one a line", e);
        }
        if (st || !eol) return st;
    }
    return ST_OK;
}

/* A list of values is a column: the first one makes the rows. */
static status one_column(reader *r, size_t col, size_t first_row, bool makes_rows, const json_token *key, err *e)
{
    json_token v;
    bool done;
    size_t row = first_row, n_rows = r->t->n_rows;
    for (bool first = true;; first = false, row++) {
        status s = json_item(&r->scan, first, &done, &v, e);
        if (s) return s;
        if (done) break;
        if (v.kind == JSON_PUNCT)
            return json_bad(&r->scan, &v, e,
                            v.c == '{' ? "a list of records must stand by itself, not inside an object (jq '.name')"
                                       : "a list of lists is no column (pandas: to_json(orient='records'))");
        if (makes_rows) s = table_add_row(r->t, v.line, &row, e);
        else if (row == n_rows) break;
        if (!s) s = store(r, col, row, &v, e);
        if (s) return s;
    }
    if (done && (makes_rows || row == n_rows)) return ST_OK;
    return err_set(e, ST_INPUT, "%s:%zu:%zu: column '%s' has %s values than the first one, which has %zu", r->scan.name,
                   key->line, key->at, r->name, done ? "fewer" : "more", n_rows - first_row);
}

static status columns(reader *r, err *e)
{
    json_token key, open;
    bool done;
    size_t first_row = r->t->n_rows, col, end;
    r->record++;
    r->t->sources[r->t->n_sources - 1].shares_lines = true;
    for (bool first = true;; first = false) {
        status s = json_key(&r->scan, first, &done, &key, e);
        if (s || done) return s;
        s = put_name(r, 0, &end, &key, e);
        if (!s) s = column(r, &col, &key, e);
        if (!s) s = json_next(&r->scan, &open, e);
        if (!s) s = one_column(r, col, first_row, first, &key, e);
        if (s) return s;
    }
}

/* What the members of a lone object are. */
typedef struct shape { size_t members, lists, indexed; } shape;

static bool is_index(const char *key)
{
    if (!*key) return false;
    for (; *key; key++)
        if (!isdigit((unsigned char)*key)) return false;
    return true;
}

/* {"0": .., "1": ..}: what pandas writes of a column when it is not told otherwise. */
static status look_inside(json_scan *s, bool *indexed, err *e)
{
    json_token key, v;
    bool done;
    *indexed = false;
    for (bool first = true;; first = false) {
        status st = json_key(s, first, &done, &key, e);
        if (st || done) return st;
        *indexed = (first || *indexed) && is_index(s->field);
        st = json_value(s, &v, e);
        if (!st) st = json_skip(s, &v, e);
        if (st) return st;
    }
}

static status look(shape *h, json_scan *s, err *e)
{
    json_token key, v;
    bool done, indexed;
    status st = json_next(s, &v, e); /* '{', as the caller saw */
    memset(h, 0, sizeof *h);
    for (bool first = true; !st; first = false) {
        st = json_key(s, first, &done, &key, e);
        if (st || done) break;
        h->members++;
        st = json_value(s, &v, e);
        if (st) break;
        h->lists += is(&v, '[');
        if (is(&v, '{')) {
            st = look_inside(s, &indexed, e);
            h->indexed += !st && indexed;
        } else st = json_skip(s, &v, e);
    }
    return st;
}

static status lone_object(reader *r, err *e)
{
    json_scan ahead = r->scan;
    json_token open;
    shape h;
    ahead.field = NULL;
    ahead.cap = 0;
    status s = look(&h, &ahead, e);
    free(ahead.field);
    if (!s) s = json_next(&r->scan, &open, e);
    if (s) return s;
    if (h.members && h.indexed == h.members)
        return json_bad(&r->scan, &open, e,
                        "columns by row number, as pandas writes them; use to_json(orient='records')");
    s = h.members && h.lists == h.members ? columns(r, e) : record(r, &open, e);
    return s ? s
             : nothing_more(r, "text after the object; put one object on each line (jq -c .) or all into a list [..]",
                            e);
}

/* Is there a whole object on the first line of the scan, and more after it? */
static bool is_lines(const json_scan *from)
{
    json_scan s = *from;
    json_token t;
    const char *eol = memchr(s.p, '\n', (size_t)(s.end - s.p)), *rest = eol;
    while (rest && rest < s.end && isspace((unsigned char)*rest)) rest++;
    if (!eol || rest == s.end) return false;
    s.end = eol;
    s.field = NULL;
    s.cap = 0;
    bool whole = !json_next(&s, &t, NULL) && !json_skip(&s, &t, NULL);
    free(s.field);
    return whole;
}

/* A process that was killed leaves half a line at the end: that is dropped, with a note. Anything else that is wrong
 * there is an error like everywhere. */
static void drop_torn_line(json_scan *s, table *t)
{
    const char *start = s->end;
    json_scan last = *s;
    json_token token;
    while (start > s->p && start[-1] != '\n') start--;
    if (start == s->end || start == s->p) return;
    last.p = last.line_start = start;
    last.field = NULL;
    last.cap = 0;
    last.ran_out = false;
    bool whole = !json_next(&last, &token, NULL) && !json_skip(&last, &token, NULL);
    free(last.field);
    if (whole || !last.ran_out || !is(&token, '{')) return;
    s->end = start;
    table_note(t, "the last line is cut short, so it was left out");
}

static status json_read(table *t, const text_input *in, err *e)
{
    reader r = {.scan = {.name = in->name, .p = in->text, .line_start = in->text, .end = in->text + in->n, .line = 1},
                .t = t};
    size_t first;
    status s = room(&r, t->n_cols + 2) ? table_grow(t, in->name, in->sha256, 0, &first, e) : no_memory(&r, e);
    if (!s) {
        json_scan *j = &r.scan;
        for (; j->p < j->end && isspace((unsigned char)*j->p); j->p++)
            if (*j->p == '\n') j->line++, j->line_start = j->p + 1;
        if (j->p == j->end || (*j->p != '[' && *j->p != '{'))
            s = err_set(e, ST_INPUT, "%s:%zu:1: a list [..] or an object {..} must begin here", in->name, j->line);
        else if (*j->p == '[') {
            json_token open;
            s = json_next(j, &open, e);
            if (!s) s = record_list(&r, e);
        } else if (is_lines(j)) {
            drop_torn_line(j, t);
            s = lines(&r, e);
        } else s = lone_object(&r, e);
    }
    if (!s && t->n_rows == first) s = err_set(e, ST_INPUT, "%s: no records; one object a row is needed", in->name);
    if (!s && !t->n_cols)
        s = err_set(e, ST_INPUT, "%s: no columns; records must hold numbers or words by name", in->name);
    if (!s && r.lists)
        table_note(t, "%zu cell%s held a list and %s left out, '%.60s' first", r.lists, r.lists == 1 ? "" : "s",
                   r.lists == 1 ? "was" : "were", r.first_list);
    free(r.scan.field);
    free(r.seen);
    free(r.next);
    return s;
}

static bool json_looks(const text_input *in)
{
    size_t i = 0;
    while (i < in->n && isspace((unsigned char)in->text[i])) i++;
    return i < in->n && (in->text[i] == '{' || in->text[i] == '[');
}

const text_reader json_reader = {"JSON", json_looks, json_read};
