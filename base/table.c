#include "base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/num.h"

static void free_words(table_column *c)
{
    for (size_t i = 0; i < c->n_words; i++) free(c->words[i]);
    free(c->words);
    free(c->word_line);
    free(c->word_at);
    free(c->word_source);
    free(c->hash);
    c->words = NULL;
    c->word_line = c->word_at = c->word_source = NULL;
    c->hash = NULL;
    c->n_words = c->n_hash = 0;
}

void table_free(table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n_cols; i++) {
        free_words(&t->cols[i]);
        free(t->cols[i].x);
    }
    free(t->cols);
    free(t->sources);
    free(t->row_source);
    free(t->row_line);
    free(t->row_number);
    memset(t, 0, sizeof *t);
}

table_column *table_col(const table *t, const char *name)
{
    for (size_t i = 0; i < t->n_cols; i++)
        if (!strcmp(t->cols[i].name, name)) return &t->cols[i];
    return NULL;
}

static bool resize(void *array, size_t n, size_t size)
{
    void **p = array;
    void *more = realloc(*p, (n ? n : 1) * size);
    if (more) *p = more;
    return more != NULL;
}

static status no_memory(err *e) { return err_set(e, ST_NOMEM, "no memory for the table of observations"); }

/* Room for n rows in every column; geometric, so that n appends cost O(n). */
static status reserve(table *t, size_t n, err *e)
{
    if (n <= t->cap_rows) return ST_OK;
    size_t cap = t->cap_rows + t->cap_rows / 2;
    if (cap < n) cap = n;
    if (!resize(&t->row_source, cap, sizeof *t->row_source) || !resize(&t->row_line, cap, sizeof *t->row_line) ||
        !resize(&t->row_number, cap, sizeof *t->row_number))
        return no_memory(e);
    for (size_t i = 0; i < t->n_cols; i++)
        if (!resize(&t->cols[i].x, cap, sizeof(double))) return no_memory(e);
    t->cap_rows = cap;
    return ST_OK;
}

static void clear_row(table *t, size_t row, size_t source, size_t number)
{
    t->row_source[row] = source;
    t->row_line[row] = 0;
    t->row_number[row] = number;
    for (size_t c = 0; c < t->n_cols; c++) t->cols[c].x[row] = NAN;
}

status table_grow(table *t, const char *path, const char *sha256, size_t n, size_t *first, err *e)
{
    status s = reserve(t, t->n_rows + n, e);
    if (s) return s;
    if (!resize(&t->sources, t->n_sources + 1, sizeof *t->sources)) return no_memory(e);
    table_source *src = &t->sources[t->n_sources];
    memset(src, 0, sizeof *src);
    snprintf(src->path, sizeof src->path, "%s", path);
    snprintf(src->sha256, sizeof src->sha256, "%s", sha256 ? sha256 : "");
    src->n_rows = n;
    for (size_t i = 0; i < n; i++) clear_row(t, t->n_rows + i, t->n_sources, i + 1);
    *first = t->n_rows;
    t->n_rows += n;
    t->n_sources++;
    return ST_OK;
}

status table_add_row(table *t, size_t line, size_t *row, err *e)
{
    status s = reserve(t, t->n_rows + 1, e);
    if (s) return s;
    table_source *src = &t->sources[t->n_sources - 1];
    clear_row(t, t->n_rows, t->n_sources - 1, ++src->n_rows);
    t->row_line[t->n_rows] = line;
    *row = t->n_rows++;
    return ST_OK;
}

void table_note(table *t, const char *fmt, ...)
{
    char *note = t->sources[t->n_sources - 1].note;
    size_t n = strlen(note);
    va_list ap;
    if (n) n += (size_t)snprintf(note + n, TABLE_NOTE_MAX - n, "; ");
    if (n >= TABLE_NOTE_MAX) return; /* full: what came first stays */
    va_start(ap, fmt);
    vsnprintf(note + n, TABLE_NOTE_MAX - n, fmt, ap);
    va_end(ap);
}

status table_col_index(table *t, const char *name, size_t *index, err *e)
{
    for (size_t i = 0; i < t->n_cols; i++)
        if (!strcmp(t->cols[i].name, name)) {
            *index = i;
            return ST_OK;
        }
    if (strlen(name) >= TABLE_NAME_MAX)
        return err_set(e, ST_INPUT, "column name '%.40s...' is longer than %d bytes", name, TABLE_NAME_MAX - 1);
    if (!resize(&t->cols, t->n_cols + 1, sizeof *t->cols)) return no_memory(e);
    table_column *c = &t->cols[t->n_cols];
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->x = malloc((t->cap_rows ? t->cap_rows : 1) * sizeof *c->x);
    if (!c->x) return no_memory(e);
    for (size_t i = 0; i < t->n_rows; i++) c->x[i] = NAN;
    *index = t->n_cols++;
    return ST_OK;
}

status table_add_col(table *t, const char *name, const double *x, err *e)
{
    size_t at;
    status s = table_col_index(t, name, &at, e);
    if (s) return s;
    table_column *c = &t->cols[at];
    free_words(c);
    c->is_text = false;
    for (size_t i = 0; i < t->n_rows; i++) c->x[i] = x ? x[i] : NAN;
    return ST_OK;
}

/* --- words ----------------------------------------------------------------------------------------------------- */

static size_t slot_of(const table_column *c, const char *text)
{
    size_t at = (size_t)XXH3_64bits(text, strlen(text)) & (c->n_hash - 1);
    while (c->hash[at] && strcmp(c->words[c->hash[at] - 1], text)) at = (at + 1) & (c->n_hash - 1);
    return at;
}

static bool rehash(table_column *c)
{
    size_t n = c->n_hash ? 2 * c->n_hash : 16;
    uint32_t *hash = calloc(n, sizeof *hash);
    if (!hash) return false;
    free(c->hash);
    c->hash = hash;
    c->n_hash = n;
    for (size_t i = 0; i < c->n_words; i++) c->hash[slot_of(c, c->words[i])] = (uint32_t)i + 1;
    return true;
}

/* Where a word stood. */
typedef struct place { size_t source, line, at; } place;

static bool intern(table_column *c, const char *text, place where, size_t *number)
{
    if (c->n_hash <= 2 * c->n_words && !rehash(c)) return false;
    size_t at = slot_of(c, text);
    if (c->hash[at]) {
        *number = c->hash[at] - 1;
        return true;
    }
    if (c->n_words >= UINT32_MAX - 1) return false;
    if ((c->n_words & (c->n_words - 1)) == 0) { /* room at powers of two */
        size_t cap = c->n_words ? 2 * c->n_words : 1;
        if (!resize(&c->words, cap, sizeof *c->words) || !resize(&c->word_line, cap, sizeof *c->word_line) ||
            !resize(&c->word_at, cap, sizeof *c->word_at) || !resize(&c->word_source, cap, sizeof *c->word_source))
            return false;
    }
    char *copy = strdup(text);
    if (!copy) return false;
    c->words[c->n_words] = copy;
    c->word_line[c->n_words] = where.line;
    c->word_at[c->n_words] = where.at;
    c->word_source[c->n_words] = where.source;
    c->hash[at] = (uint32_t)++c->n_words;
    *number = c->n_words - 1;
    return true;
}

static bool make_text(table_column *c, const size_t *row_source, size_t n_rows)
{
    char buf[32];
    for (size_t i = 0; i < n_rows; i++) {
        size_t number;
        if (isnan(c->x[i])) continue;
        if (!intern(c, isinf(c->x[i]) ? "nan" : num_text(c->x[i], buf), (place){row_source[i], 0, 0}, &number))
            return false;
        c->x[i] = (double)number;
    }
    c->is_text = true;
    return true;
}

status table_set_word(table *t, size_t col, size_t row, const char *text, size_t line, size_t at, err *e)
{
    table_column *c = &t->cols[col];
    size_t number;
    if (!c->is_text && !make_text(c, t->row_source, t->n_rows)) return no_memory(e);
    if (!intern(c, text, (place){t->row_source[row], line, at}, &number)) return no_memory(e);
    c->x[row] = (double)number;
    return ST_OK;
}

void table_set(table *t, size_t col, size_t row, double x)
{
    table_column *c = &t->cols[col];
    char buf[32];
    size_t number;
    if (!c->is_text || isnan(x)) c->x[row] = x;
    else if (intern(c, isinf(x) ? "nan" : num_text(x, buf), (place){t->row_source[row], 0, 0}, &number))
        c->x[row] = (double)number;
    else c->x[row] = NAN;
}

status table_set_field(table *t, size_t col, size_t row, const char *text, size_t line, size_t at, err *e)
{
    double v;
    if (!*text) return ST_OK;
    if (t->cols[col].is_text) return table_set_word(t, col, row, text, line, at, e);
    if (num_parse_f64(text, &v)) table_set(t, col, row, v);
    else if (num_is_nonfinite_word(text)) table_set(t, col, row, TABLE_DIVERGED);
    else return table_set_word(t, col, row, text, line, at, e);
    return ST_OK;
}

const char *table_word(const table_column *c, size_t row)
{
    if (!c->is_text || isnan(c->x[row])) return "";
    return c->words[(size_t)c->x[row]];
}

/* --- rows ------------------------------------------------------------------------------------------------------ */

const char *table_where_row(const table *t, size_t row, char *buf)
{
    enum { SIZE = IO_PATH_MAX + 32 };
    const table_source *src = &t->sources[t->row_source[row]];
    char line[24] = "";
    if (t->row_line[row]) snprintf(line, sizeof line, ":%zu", t->row_line[row]);
    if (*line && !src->shares_lines) snprintf(buf, SIZE, "%s%s", src->path, line);
    else snprintf(buf, SIZE, "%s%s, row %zu", src->path, line, t->row_number[row]);
    return buf;
}

enum { WORD_SHOWN_MAX = 60 };

status table_number_col(const table *t, const char *name, const double **x, err *e)
{
    const table_column *c = table_col(t, name);
    if (!c) return err_set(e, ST_INPUT, "no column '%s'", name);
    for (size_t i = 0; c->is_text && i < t->n_rows; i++) {
        double v;
        const char *word = table_word(c, i);
        if (isnan(c->x[i]) || num_parse_f64(word, &v) || num_is_nonfinite_word(word)) continue;
        size_t k = (size_t)c->x[i];
        int shown = (int)strcspn(word, "\r\n"); /* one line, however the cell was filled */
        if (shown > WORD_SHOWN_MAX) shown = WORD_SHOWN_MAX;
        if (c->word_line[k])
            return err_set(e, ST_INPUT, "%s:%zu:%zu: '%.*s' is not a number (column '%s')",
                           t->sources[c->word_source[k]].path, c->word_line[k], c->word_at[k], shown, word, name);
        return err_set(e, ST_INPUT, "%s: '%.*s' is not a number (column '%s')", t->sources[t->row_source[i]].path,
                       shown, word, name);
    }
    if (c->is_text)
        return err_set(e, ST_INPUT, "%s: column '%s' holds words, numbers are needed%s",
                       t->n_sources ? t->sources[0].path : "table", name,
                       t->n_rows ? " (if some cells are words that were dropped, take them out of the file)" : "");
    *x = c->x;
    return ST_OK;
}

void table_keep(table *t, const bool *keep)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_rows; i++) {
        if (!keep[i]) continue;
        t->row_source[n] = t->row_source[i];
        t->row_line[n] = t->row_line[i];
        t->row_number[n] = t->row_number[i];
        for (size_t c = 0; c < t->n_cols; c++) t->cols[c].x[n] = t->cols[c].x[i];
        n++;
    }
    t->n_rows = n;
}

bool table_is_hdf5(const char *path)
{
    static const char magic[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
    char head[8];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t got = read(fd, head, sizeof head);
    close(fd);
    return got == (ssize_t)sizeof head && !memcmp(head, magic, sizeof magic);
}

static const size_t MAX_BYTES = (size_t)8 << 30;

status table_read(table *t, const char *path, err *e)
{
    struct stat st;
    char *text = NULL;
    size_t n = 0;
    if (stat(path, &st))
        return err_set(e, ST_INPUT, "%s: %s; give a campaign, a run, run.h5, campaign.h5 or a CSV, JSON or JSONL file",
                       path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return table_read_dir(t, path, e);
    /* a pipe can be read once only: no look at its first bytes, so no HDF5 from there */
    if (S_ISREG(st.st_mode) && table_is_hdf5(path)) return table_read_h5(t, path, e);
    status s = io_read_file(&text, &n, path, MAX_BYTES, e);
    if (!s) s = table_parse(t, path, text, n, e);
    free(text);
    return s;
}
