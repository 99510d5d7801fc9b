#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void promise(bool kept, const char *what)
{
    if (kept) return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_error(status s, const err *e)
{
    if (strchr(e->msg, '\n')) fprintf(stderr, "message: %s\n", e->msg);
    promise(s == ST_INPUT || s == ST_NOMEM, "a bad text is ST_INPUT");
    promise(e->code == s && e->msg[0], "an error has a message");
    promise(!strchr(e->msg, '\n'), "a message is one line");
    promise(!strncmp(e->msg, "fuzz", 4), "a message names its file");
}

static void check_column(const table *t, const table_column *c)
{
    promise(c->name[0] && memchr(c->name, 0, sizeof c->name), "a column has a name");
    for (const char *p = c->name; *p; p++)
        promise((unsigned char)*p >= 0x20 && *p != 0x7f, "a name has no control characters");
    promise(table_col(t, c->name) == c, "names of columns are distinct");
    for (size_t i = 0; i < t->n_rows; i++) {
        double x = c->x[i];
        if (!c->is_text || isnan(x))
            promise(!isinf(x) || x == TABLE_DIVERGED, "a number is finite, absent or diverged");
        else promise(x >= 0 && x < (double)c->n_words && table_word(c, i)[0], "a word exists");
    }
}

static void check_table(const table *t)
{
    size_t rows = 0;
    char where[IO_PATH_MAX + 32];
    err e = {0};
    const double *x;
    for (size_t k = 0; k < t->n_sources; k++) {
        rows += t->sources[k].n_rows;
        promise(memchr(t->sources[k].note, 0, TABLE_NOTE_MAX) != NULL, "a note ends");
    }
    promise(rows == t->n_rows, "sources count their rows");
    for (size_t i = 0; i < t->n_rows; i++) {
        promise(t->row_line[i] > 0 && t->row_number[i] > 0 && t->row_source[i] < t->n_sources, "a row has a place");
        promise(!strncmp(table_where_row(t, i, where), "fuzz", 4), "a place names its file");
    }
    for (size_t c = 0; c < t->n_cols; c++) {
        check_column(t, &t->cols[c]);
        status s = table_number_col(t, t->cols[c].name, &x, &e);
        if (s) check_error(s, &e);
        else promise(x == t->cols[c].x, "numbers are the column's");
    }
}

void fuzz_table(const text_reader *r, const char *prefix, const uint8_t *data, size_t n)
{
    size_t before = strlen(prefix);
    char *text = malloc(before + n + 1); /* a block of its very size, so that ASan sees a byte too many */
    table t = {0};
    if (!text) return;
    char *whole = realloc(text, before + n ? before + n : 1);
    if (whole) text = whole;
    memcpy(text, prefix, before);
    if (n) memcpy(text + before, data, n);
    for (int twice = 0; twice < 2; twice++) { /* the second time onto the rows and words of the first */
        err e = {0};
        status s = text_read(&t, r, "fuzz", text, before + n, &e);
        if (s) {
            check_error(s, &e);
            break;
        }
        promise(!e.code, "an error is untouched on success");
        check_table(&t);
    }
    table_free(&t);
    free(text);
}
