/* Rows of a table to cells of runs that differ in learning rate, batch and seed only. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/input.h"
#include "fit/lr_parts.h"
#include "fit/lr_surface.h"

static const double SAME_TOKENS = .05; /* ln D: batches of another size miss a budget by a rounding */

typedef struct row {
    size_t par, cell, at;
    double size, D, lr, batch, loss;
} row;

typedef struct columns {
    const table_column *lr, *batch, *loss, *n, *width, *d, *par, *status, *size;
} columns;

static int by_cell_key(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->par != y->par) return x->par < y->par ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return (x->D > y->D) - (x->D < y->D);
}

static int by_cell(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    if (x->lr != y->lr) return x->lr < y->lr ? -1 : 1;
    if (x->batch != y->batch) return x->batch < y->batch ? -1 : 1;
    return (x->loss > y->loss) - (x->loss < y->loss);
}

static const table_column *numbers(const table *t, const char *name)
{
    const table_column *c = table_col(t, name);
    return c && !c->is_text ? c : NULL;
}

/* D of a diverged run is where it ended; a store also knows where it was to end. */
static const table_column *tokens(const table *t)
{
    return fit_from_store(t) && numbers(t, "tokens") ? numbers(t, "tokens") : numbers(t, "D");
}

static status count_rule(lr_surface *out, const table *t, const char *stated, err *e)
{
    static const char *const known[] = {"total", "non-embed", "standard", "effective"};
    bool ok = !stated;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) ok |= stated && !strcmp(stated, known[k]);
    if (!ok) return err_set(e, ST_USAGE, "--count-rule '%s': known are total, non-embed, standard, effective", stated);
    snprintf(out->count_rule, LR_NAME, "%s", stated ? stated : fit_from_store(t) ? "total" : "unstated");
    return ST_OK;
}

static status find_columns(columns *c, const table *t, bool non_embed, err *e)
{
    status s = lr_need(&c->lr, t, "lr", e);
    if (!s) s = lr_need(&c->batch, t, "batch_tokens", e);
    if (!s) s = lr_need(&c->loss, t, "loss", e);
    if (s) return s;
    c->n = non_embed && numbers(t, "N_nonembed") ? numbers(t, "N_nonembed") : numbers(t, "N");
    c->width = numbers(t, "width");
    c->d = tokens(t);
    c->par = table_col(t, "parametrisation");
    c->status = table_col(t, "status");
    c->size = c->n ? c->n : c->width;
    if (!c->size)
        return err_set(e, ST_INPUT, "method lr-optimum needs a column N or width; name it with --col N=COLUMN");
    if (c->par && !c->par->is_text)
        return err_set(
            e, ST_INPUT,
            "method lr-optimum: column 'parametrisation' holds numbers; it should name the rule (sp, mup, ...)");
    return ST_OK;
}

static bool positive(double x) { return x > 0 && isfinite(x); }

/* rows[n_rows]; *n of them used. */
static status read_rows(row *rows, size_t *n, size_t *unfinished, const columns *c, const table *t, err *e)
{
    char where[IO_PATH_MAX + 32];
    for (size_t i = 0; i < t->n_rows; i++) {
        const char *how = lr_word(c->status, i);
        row r = {.par = lr_word(c->par, i) ? (size_t)c->par->x[i] : SIZE_MAX,
                 .at = i,
                 .size = c->size->x[i],
                 .D = c->d ? c->d->x[i] : 0,
                 .lr = c->lr->x[i],
                 .batch = c->batch->x[i],
                 .loss = c->loss->x[i]};
        if (lr_unfinished(how) || isnan(r.lr) || isnan(r.batch) || isnan(r.size) || isnan(r.D)) {
            ++*unfinished;
            continue;
        }
        if (!positive(r.lr) || !positive(r.batch) || !positive(r.size) || (c->d && !positive(r.D)))
            return err_set(e, ST_INPUT, "%s: learning rate %g, batch %g, size %g, tokens %g: each must be above 0",
                           table_where_row(t, i, where), r.lr, r.batch, r.size, c->d ? r.D : NAN);
        if ((how && !strcmp(how, "diverged")) || !isfinite(r.loss)) r.loss = INFINITY;
        rows[(*n)++] = r;
    }
    return ST_OK;
}

/* --- cells --------------------------------------------------------------------------------------------------- */

/* Every setting is the same in a cell; what differs between cells beside N and D is told. */
static status check_settings(lr_surface *out, const table *t, const row *rows, size_t n, err *e)
{
    static const char *const free_here[] = {"D", "U", "batch_tokens", "grad_accum"};
    char a[64], b[64];
    for (size_t k = 0; k < lr_n_settings; k++) {
        const table_column *c = table_col(t, lr_settings[k]);
        bool varies = false, may = false;
        for (size_t j = 0; j < sizeof free_here / sizeof *free_here; j++) may |= !strcmp(lr_settings[k], free_here[j]);
        for (size_t i = 1; i < n && c && !may; i++) {
            double x = c->x[rows[i - 1].at], y = c->x[rows[i].at];
            if (lr_same_setting(k, x, y)) continue;
            if (rows[i].cell != rows[i - 1].cell) {
                varies |= rows[i].par == rows[i - 1].par && strcmp(lr_settings[k], "depth"); /* follows N */
                continue;
            }
            lr_show(a, sizeof a, c, rows[i - 1].at);
            lr_show(b, sizeof b, c, rows[i].at);
            return err_set(
                e, ST_INPUT,
                "method lr-optimum: runs of size %g and D %g differ in %s (%s and %s); pooling them would move "
                "the optimum: keep one with --where \"%s == %s\"",
                rows[i].size, rows[i].D, lr_settings[k], a, b, lr_settings[k], a);
        }
        if (!varies) continue;
        size_t used = strlen(out->confounded);
        snprintf(out->confounded + used, LR_WHY - used, "%s%s", used ? ", " : "", lr_settings[k]);
    }
    return ST_OK;
}

static status fill(lr_cell *c, const row *r, size_t n, const columns *col, err *e)
{
    snprintf(c->parametrisation, LR_NAME, "%s", r->par == SIZE_MAX ? "unstated" : col->par->words[r->par]);
    c->N = col->n ? col->n->x[r->at] : NAN;
    c->width = col->width ? col->width->x[r->at] : NAN;
    c->n = n;
    double d = 0;
    c->lr = malloc(n * sizeof *c->lr);
    c->batch = malloc(n * sizeof *c->batch);
    c->loss = malloc(n * sizeof *c->loss);
    if (!c->lr || !c->batch || !c->loss) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", n);
    for (size_t i = 0; i < n; i++) {
        c->lr[i] = r[i].lr, c->batch[i] = r[i].batch, c->loss[i] = r[i].loss;
        c->n_diverged += isinf(r[i].loss) != 0;
        d += r[i].D;
    }
    c->D = col->d ? d / (double)n : NAN;
    return ST_OK;
}

static status split(lr_surface *out, const row *rows, size_t n, const columns *col, err *e)
{
    status s = ST_OK;
    out->cells = calloc(n + 1, sizeof *out->cells);
    out->laws = calloc(n + 1, sizeof *out->laws);
    out->noise = calloc(n + 1, sizeof *out->noise);
    if (!out->cells || !out->laws || !out->noise) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", n);
    for (size_t i = 0, j; i < n && !s; i = j) {
        for (j = i; j < n && rows[j].cell == rows[i].cell; j++)
            ;
        s = fill(&out->cells[out->n_cells], rows + i, j - i, col, e);
        if (!i || rows[i].par != rows[i - 1].par)
            snprintf(out->laws[out->n_laws++].parametrisation, LR_NAME, "%s", out->cells[out->n_cells].parametrisation);
        out->n_cells++;
    }
    return s;
}

status lr_cells_read(lr_surface *out, const table *t, const char *stated, err *e)
{
    columns c = {0};
    size_t n = 0, cell = 0;
    status s = count_rule(out, t, stated, e);
    if (!s) s = find_columns(&c, t, !strcmp(out->count_rule, "non-embed"), e);
    row *rows = s ? NULL : malloc((t->n_rows + 1) * sizeof *rows);
    if (!s && !rows) s = err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu rows", t->n_rows);
    if (!s) s = read_rows(rows, &n, &out->n_unfinished, &c, t, e);
    if (!s && !n)
        s = err_set(e, ST_INPUT, "lr-optimum: no run with a learning rate, a batch, a size and a loss is left");
    if (!s) {
        qsort(rows, n, sizeof *rows, by_cell_key);
        for (size_t i = 0, first = 0; i < n; i++) {
            bool same = rows[i].par == rows[first].par && rows[i].size == rows[first].size &&
                        (!c.d || log(rows[i].D / rows[first].D) <= SAME_TOKENS);
            if (!same) first = i, cell++;
            rows[i].cell = cell;
        }
        qsort(rows, n, sizeof *rows, by_cell);
        s = check_settings(out, t, rows, n, e);
    }
    if (!s) s = split(out, rows, n, &c, e);
    out->parametrisation_stated = c.par != NULL;
    free(rows);
    return s;
}

bool lr_surface_applies(const table *t)
{
    columns c = {0};
    bool differ = false;
    size_t n = 0, unfinished = 0;
    if (find_columns(&c, t, false, NULL)) return false;
    row *rows = malloc((t->n_rows + 1) * sizeof *rows);
    if (!rows || read_rows(rows, &n, &unfinished, &c, t, NULL)) n = 0;
    if (rows) qsort(rows, n, sizeof *rows, by_cell_key);
    for (size_t i = 1, first = 0; i < n; i++) {
        bool same = rows[i].par == rows[first].par && rows[i].size == rows[first].size;
        if (same) differ |= rows[i].batch != rows[first].batch;
        else first = i;
    }
    free(rows);
    return differ;
}
