/* main.log of llm.c (llmc/logger.h): one record a line, kinds in any order,
 *
 *     s:<step> tel:<validation loss>        s:<step> eval:<accuracy>
 *     s:<step> trl:<training loss> lr:<rate> norm:<gradient norm>
 *
 * Older versions write trl alone, forks add keys: any key:number is taken. A table has one row a step, in the order of
 * steps, its columns `step` and the keys. A resumed run writes its steps again: the last record of a step and key
 * stands. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/readers.h"

enum { MAX_KEYS = 64, MAX_WORD = 63 };

/* llm.c prints the rate with six decimals: below this fewer than three digits of it are left. */
static const double SHORT_RATE = 1e-4;

typedef struct record { int64_t step; double value; uint32_t key, line; } record;

typedef struct log_text {
    const char *name, *p, *end, *line_start;
    size_t line;
    char keys[MAX_KEYS][MAX_WORD + 1];
    uint32_t n_keys;
    record *records; size_t n, cap;
    bool sorted;
} log_text;

static status bad(const log_text *l, const char *at, err *e, const char *what)
{
    return err_set(e, ST_INPUT, "%s:%zu:%zu: %s", l->name, l->line, (size_t)(at - l->line_start) + 1, what);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool at_eol(const log_text *l)
{
    return l->p == l->end || *l->p == '\n' || (*l->p == '\r' && (l->p + 1 == l->end || l->p[1] == '\n'));
}

static void skip_blanks(log_text *l)
{
    while (l->p < l->end && is_blank(*l->p)) l->p++;
}

static void skip_eol(log_text *l)
{
    if (l->p < l->end && *l->p == '\r') l->p++;
    if (l->p < l->end) l->p++;
    l->line++;
    l->line_start = l->p;
}

/* "key:value" up to the next blank. */
static status pair(log_text *l, char key[MAX_WORD + 1], char value[MAX_WORD + 1], err *e)
{
    const char *start = l->p, *colon = NULL;
    for (; !at_eol(l) && !is_blank(*l->p); l->p++) {
        if (*l->p == ':' && !colon) colon = l->p;
        else if (!colon && !isalnum((unsigned char)*l->p) && !strchr("_-./", *l->p)) break;
    }
    size_t n_key = colon ? (size_t)(colon - start) : 0, n_value = colon ? (size_t)(l->p - colon) - 1 : 0;
    if (!n_key || !n_value || n_key > MAX_WORD || n_value > MAX_WORD)
        return bad(l, start, e,
                   "not a record of an llm.c log; each is s:STEP and then key:number, as in s:10 tel:4.25");
    memcpy(key, start, n_key);
    memcpy(value, colon + 1, n_value);
    key[n_key] = value[n_value] = 0;
    return ST_OK;
}

static status key_number(log_text *l, const char *key, uint32_t *number, const char *at, err *e)
{
    for (*number = 0; *number < l->n_keys; (*number)++)
        if (!strcmp(l->keys[*number], key)) return ST_OK;
    if (!strcmp(key, "s") || !strcmp(key, "step"))
        return bad(l, at, e, "the step stands once, at the start of its line");
    if (l->n_keys == MAX_KEYS) return bad(l, at, e, "more than 64 different keys; not an llm.c log");
    strcpy(l->keys[l->n_keys++], key);
    return ST_OK;
}

static status add(log_text *l, int64_t step, uint32_t key, double value, err *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        record *more = realloc(l->records, cap * sizeof *more);
        if (!more) return err_set(e, ST_NOMEM, "%s: no memory", l->name);
        l->records = more;
        l->cap = cap;
    }
    if (l->n && l->records[l->n - 1].step > step) l->sorted = false;
    l->records[l->n++] = (record){step, value, key, (uint32_t)l->line};
    return ST_OK;
}

static status number(const log_text *l, const char *key, const char *value, const char *at, double *x, err *e)
{
    if (num_parse_f64(value, x)) return ST_OK;
    *x = TABLE_DIVERGED;
    if (num_is_nonfinite_word(value)) return ST_OK;
    return err_set(e, ST_INPUT, "%s:%zu:%zu: '%s' is not a number (%s); take the line out", l->name, l->line,
                   (size_t)(at - l->line_start) + 1, value, key);
}

static status read_line(log_text *l, err *e)
{
    char key[MAX_WORD + 1], value[MAX_WORD + 1];
    int64_t step;
    size_t before = l->n;
    const char *at = l->p;
    status s = pair(l, key, value, e);
    if (s) return s;
    if (strcmp(key, "s")) return bad(l, at, e, "a line of an llm.c log begins with s:STEP");
    if (!num_parse_i64(value, &step) || step < 0)
        return err_set(e, ST_INPUT, "%s:%zu:%zu: step '%s' is not a whole number from 0 on; take the line out", l->name,
                       l->line, (size_t)(at - l->line_start) + 3, value);
    for (skip_blanks(l); !at_eol(l); skip_blanks(l)) {
        uint32_t k;
        double x;
        at = l->p;
        s = pair(l, key, value, e);
        if (!s) s = key_number(l, key, &k, at, e);
        if (!s) s = number(l, key, value, at + strlen(key) + 1, &x, e);
        for (size_t i = before; i < l->n && !s; i++)
            if (l->records[i].key == k) s = bad(l, at, e, "this key stands twice on its line; take one out");
        if (!s) s = add(l, step, k, x, e);
        if (s) return s;
    }
    return l->n > before ? ST_OK : bad(l, l->p, e, "a step without a value; take the line out");
}

static int by_step(const void *a, const void *b)
{
    const record *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static status fill(table *t, const log_text *l, err *e)
{
    size_t cols[MAX_KEYS], step, row = 0, replaced = 0;
    bool short_rate = false;
    status s = table_col_index(t, "step", &step, e);
    for (uint32_t k = 0; k < l->n_keys && !s; k++) s = table_col_index(t, l->keys[k], &cols[k], e);
    for (size_t i = 0; i < l->n && !s; i++) {
        const record *r = &l->records[i];
        if (!i || r->step != r[-1].step) {
            s = table_add_row(t, r->line, &row, e);
            if (s) break;
            table_set(t, step, row, (double)r->step);
        }
        size_t col = cols[r->key];
        replaced += !isnan(t->cols[col].x[row]);
        table_set(t, col, row, r->value);
        t->row_line[row] = r->line;
        short_rate |= r->value < SHORT_RATE && !strcmp(l->keys[r->key], "lr");
    }
    if (s) return s;
    if (replaced)
        table_note(t, "%zu values stand again at a later line, as after a resume: the last of a step was taken",
                   replaced);
    if (short_rate)
        table_note(t, "lr is printed with six decimals, so small ones have lost digits: take the schedule from the "
                      "configuration");
    return ST_OK;
}

/* llm.c ends each record with a line feed, so a last line without one is torn, even when it can be read: 3.4 may have
 * been 3.45. */
static bool cut_torn_line(log_text *l)
{
    const char *start = l->end;
    while (start > l->p && start[-1] != '\n') start--;
    bool torn = start < l->end && start > l->p;
    if (torn) l->end = start;
    return torn;
}

static status llmc_log_read(table *t, const text_input *in, err *e)
{
    log_text l = {
        .name = in->name, .p = in->text, .end = in->text + in->n, .line_start = in->text, .line = 1, .sorted = true};
    size_t first;
    bool torn = cut_torn_line(&l);
    status s = table_grow(t, in->name, in->sha256, 0, &first, e);
    while (!s && l.p < l.end) {
        skip_blanks(&l);
        if (!at_eol(&l)) s = read_line(&l, e);
        if (!s && l.p < l.end) skip_eol(&l);
    }
    if (!s && !l.n) s = err_set(e, ST_INPUT, "%s: no record; lines such as s:10 tel:4.25 are needed", in->name);
    if (!s && !l.sorted) qsort(l.records, l.n, sizeof *l.records, by_step);
    if (!s) s = fill(t, &l, e);
    free(l.records);
    if (!s && torn) table_note(t, "the last line is cut short, so it was left out");
    return s;
}

static bool llmc_log_looks(const text_input *in)
{
    const char *p = in->text, *end = p + in->n;
    while (p < end && isspace((unsigned char)*p)) p++;
    if (end - p < 4 || p[0] != 's' || p[1] != ':' || !isdigit((unsigned char)p[2])) return false;
    for (p += 2; p < end && isdigit((unsigned char)*p);) p++;
    if (p == end || !is_blank(*p)) return false;
    while (p < end && is_blank(*p)) p++;
    const char *key = p;
    while (p < end && isalpha((unsigned char)*p)) p++;
    return p > key && p < end && *p == ':';
}

const text_reader llmc_log_reader = {"llm.c log", llmc_log_looks, llmc_log_read};
