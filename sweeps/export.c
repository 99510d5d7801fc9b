#include "sweeps/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/runs_table.h"
#include "trainer/config.h"

/* Settings that a fit, a prediction or a figure asks for by name, though all runs have them alike. */
static bool always_wanted(const char *name)
{
    static const char *const names[] = {"lr",   "batch_tokens",  "tokens",     "unique_tokens",
                                        "seed", "parametrisation", "flops_rule"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static bool varies(const table_column *c, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (c->x[i] != c->x[0] && !(isnan(c->x[i]) && isnan(c->x[0]))) return true;
    return false;
}

static bool is_wanted(const table_column *c, size_t n)
{
    if (!strcmp(c->name, RUNS_STAMP_COLUMN)) return false; /* the cache's, no observation */
    return !config_find(c->name) || always_wanted(c->name) || varies(c, n);
}

/* ---- CSV: RFC 4180 ------------------------------------------------------------------------------------------- */

static void csv_word(FILE *f, const char *word)
{
    const bool plain = *word && !word[strcspn(word, "\",\r\n \t")];
    if (!*word) return;
    if (!plain) fputc('"', f);
    for (; *word; word++) {
        if (*word == '"') fputc('"', f);
        fputc(*word, f);
    }
    if (!plain) fputc('"', f);
}

static void csv_cell(FILE *f, const table_column *c, size_t row)
{
    char buf[32];
    if (c->is_text) csv_word(f, table_word(c, row));
    else if (!isnan(c->x[row])) fputs(isfinite(c->x[row]) ? num_text(c->x[row], buf) : "inf", f);
}

static void csv_line(FILE *f, const table *t, const bool *wanted, ptrdiff_t row)
{
    bool first = true;
    for (size_t k = 0; k < t->n_cols; k++) {
        if (!wanted[k]) continue;
        if (!first) fputc(',', f);
        first = false;
        if (row < 0) csv_word(f, t->cols[k].name);
        else csv_cell(f, &t->cols[k], (size_t)row);
    }
    fputc('\n', f);
}

/* ---- JSON lines ---------------------------------------------------------------------------------------------- */

static void json_word(FILE *f, const char *word)
{
    fputc('"', f);
    for (; *word; word++) {
        const unsigned char c = (unsigned char)*word;
        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c < 0x20) fprintf(f, "\\u%04x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

static void json_line(FILE *f, const table *t, const bool *wanted, size_t row)
{
    char buf[32];
    bool first = true;
    fputc('{', f);
    for (size_t k = 0; k < t->n_cols; k++) {
        const table_column *c = &t->cols[k];
        if (!wanted[k] || isnan(c->x[row])) continue;
        if (!first) fputc(',', f);
        first = false;
        json_word(f, c->name);
        fputc(':', f);
        if (c->is_text) json_word(f, table_word(c, row));
        else if (isfinite(c->x[row])) fputs(num_text(c->x[row], buf), f);
        else json_word(f, "inf"); /* JSON has no word for it */
    }
    fputs("}\n", f);
}

/* ---- the text ------------------------------------------------------------------------------------------------- */

status export_text(char **text, size_t *n, const table *t, export_form form, err *e)
{
    bool *wanted = malloc(t->n_cols + 1);
    *text = NULL;
    FILE *f = wanted ? open_memstream(text, n) : NULL;
    for (size_t k = 0; f && k < t->n_cols; k++) wanted[k] = is_wanted(&t->cols[k], t->n_rows);
    if (f && form == EXPORT_CSV) csv_line(f, t, wanted, -1);
    for (size_t row = 0; f && row < t->n_rows; row++) {
        if (form == EXPORT_CSV) csv_line(f, t, wanted, (ptrdiff_t)row);
        else json_line(f, t, wanted, row);
    }
    free(wanted);
    if (f && !ferror(f) && !fclose(f)) return ST_OK;
    if (f) free(*text);
    *text = NULL;
    return err_set(e, ST_NOMEM, "no memory for a table of %zu runs", t->n_rows);
}

/* What cannot be replaced is written into: a pipe, a terminal, /dev/null. */
static status write_through(const char *path, const char *text, size_t n, err *e)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot open: %s", path, strerror(errno));
    status s = io_write_all(fd, text, n, path, e);
    close(fd);
    return s;
}

status export_write(const char *path, const table *t, export_form form, err *e)
{
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    status s = export_text(&text, &n, t, form, e);
    if (s) return s;
    if (!strcmp(path, "-")) {
        fflush(stdout);
        s = io_write_all(STDOUT_FILENO, text, n, "stdout", e);
    } else if (!stat(path, &st) && S_ISDIR(st.st_mode)) s = err_set(e, ST_IO, "%s: is a directory; name a file", path);
    else if (!stat(path, &st) && !S_ISREG(st.st_mode)) s = write_through(path, text, n, e);
    else s = io_publish(path, text, n, e);
    free(text);
    return s;
}
