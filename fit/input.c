/* From a table to the rows of a fit: what is derived, what is dropped. Accepted names: doc/formats.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/convert.h"
#include "fit/curve.h"
#include "fit/input.h"

static void count_dropped(fit_data *d, const char *why, size_t n)
{
    if (!n) return;
    for (size_t k = 0; k < d->n_dropped; k++)
        if (!strcmp(d->dropped[k].why, why)) {
            d->dropped[k].n += n;
            return;
        }
    if (d->n_dropped == FIT_MAX_DROPPED) return;
    snprintf(d->dropped[d->n_dropped].why, sizeof d->dropped[0].why, "%s", why);
    d->dropped[d->n_dropped++].n = n;
}

static status need(const table *t, const char *name, const double **x, const char *hint, err *e)
{
    char columns[640];
    if (table_col(t, name)) return table_number_col(t, name, x, e);
    fit_list_columns(columns, sizeof columns, t);
    return err_set(e, ST_INPUT, "%s: no column for %s%s; name one with --col %s=COLUMN (it has: %s)",
                   t->n_sources ? t->sources[0].path : "input", name, hint, name, columns);
}

/* A run that a rule ended early: its loss is that of the steps it had, no observation of its budget. Asked for, it is its
 * last validation loss at the tokens and FLOPs it came to; points of a curve are what they are. */
static bool keeps_early_stopped(const table *t, size_t row, bool asked)
{
    const table_column *loss = table_col(t, "loss"), *last = table_col(t, "stop_val_loss");
    if (!asked || !loss || loss->is_text) return asked;
    if (isnan(loss->x[row]) && last && !last->is_text) loss->x[row] = last->x[row];
    return true;
}

/* Drops what did not finish; a diverged run keeps its row, as a diverged loss. */
static status drop_unfinished(fit_data *d, table *t, bool *keep, bool early_stopped, const fit_teller *say)
{
    table_column *st = table_col(t, "status"), *loss = table_col(t, "loss");
    size_t n = 0, n_early = 0;
    char where[IO_PATH_MAX + 32];
    for (size_t i = 0; i < t->n_rows; i++) {
        keep[i] = true;
        if (!st || !st->is_text || !fit_row_from_store(t, i)) continue; /* a CSV's own status column is not ours to read */
        const char *word = table_word(st, i);
        if (!strcmp(word, "diverged") && loss && !loss->is_text) loss->x[i] = TABLE_DIVERGED;
        else if (!strcmp(word, "early-stopped") && keeps_early_stopped(t, i, early_stopped)) continue;
        else if (*word && strcmp(word, "done") && strcmp(word, "diverged")) {
            keep[i] = false;
            *(strcmp(word, "early-stopped") ? &n : &n_early) += 1;
            fit_tell(say, 1, "%s: dropped, status %s", table_where_row(t, i, where), word);
        }
    }
    count_dropped(d, "not finished", n);
    count_dropped(d, "early-stopped", n_early);
    table_keep(t, keep);
    return ST_OK;
}

/* The columns a fit takes: the law's and the target. */
typedef struct wanted {
    size_t n;
    const char *name[FIT_MAX_COLS];
    bool zero_ok[FIT_MAX_COLS], any_sign[FIT_MAX_COLS];
    const char *target;
    const char *curve, *curve_shown;         /* method envelope: the column that tells curves apart; else NULL */
} wanted;

static status check_cell(const table *t, const wanted *w, size_t c, size_t row, double x, err *e)
{
    char where[IO_PATH_MAX + 32];
    const char *name = c < w->n ? w->name[c] : w->target;
    if (isinf(x))
        return err_set(e, ST_INPUT, "%s: %s is not finite; only a loss may be", table_where_row(t, row, where), name);
    if (x > 0 || (c < w->n && (w->any_sign[c] || (w->zero_ok[c] && x == 0)))) return ST_OK;
    return err_set(e, ST_INPUT, "%s: %s is %.6g, it must be above 0%s; correct the row or leave it out with --where",
                   table_where_row(t, row, where), name, x, c < w->n && w->zero_ok[c] ? " or 0" : "");
}

/* Rows with a diverged loss or an absent cell go, with a count; what is not positive is an error: it would be a silent
 * NaN. */
static status drop_rows(fit_data *d, table *t, bool *keep, const wanted *w, const fit_teller *say, err *e)
{
    size_t diverged = 0, absent = 0;
    char where[IO_PATH_MAX + 32];
    const double *x[FIT_MAX_COLS + 1], *loss = NULL;
    for (size_t c = 0; c <= w->n; c++) {
        status s = table_number_col(t, c < w->n ? w->name[c] : w->target, &x[c], e);
        if (s) return s;
    }
    err ignored = {0};
    if (table_col(t, "loss") && table_number_col(t, "loss", &loss, &ignored)) loss = NULL;
    for (size_t i = 0; i < t->n_rows; i++) {
        keep[i] = true;
        if (loss && isinf(loss[i])) {
            keep[i] = false, diverged++;
            fit_tell(say, 1, "%s: dropped, loss is not finite (diverged)", table_where_row(t, i, where));
            continue;
        }
        for (size_t c = 0; c <= w->n; c++) {
            if (isnan(x[c][i])) {
                if (keep[i])
                    absent++, fit_tell(say, 1, "%s: dropped, %s is absent", table_where_row(t, i, where),
                                       c < w->n ? w->name[c] : w->target);
                keep[i] = false;
                continue;
            }
            status s = check_cell(t, w, c, i, x[c][i], e);
            if (s) return s;
        }
    }
    count_dropped(d, "diverged", diverged);
    count_dropped(d, "absent", absent);
    table_keep(t, keep);
    return ST_OK;
}

static status conventions(fit_data *d, table *t, const fit_input_opts *o, const fit_teller *say, err *e)
{
    static const char *const counts[] = {"total", "non-embed", "standard", "effective"}, *const flops[] = {
                                                                                             "6N", "exact", "given"};
    bool ok = !o->count_rule, store = fit_from_store(t);
    for (size_t i = 0; i < 4 && !ok; i++) ok = !strcmp(o->count_rule, counts[i]);
    if (!ok)
        return err_set(e, ST_USAGE, "--count-rule '%s': known are total, non-embed, standard, effective",
                       o->count_rule);
    ok = !o->flops_rule;
    for (size_t i = 0; i < 3 && !ok; i++) ok = !strcmp(o->flops_rule, flops[i]);
    if (!ok) return err_set(e, ST_USAGE, "--flops-rule '%s': known are 6N, exact, given", o->flops_rule);
    table_column *rule = table_col(t, "flops_rule");
    const char *own = rule && rule->is_text && t->n_rows ? table_word(rule, 0) : "exact";
    for (size_t i = 0; i < t->n_rows && rule && rule->is_text; i++)
        if (strcmp(table_word(rule, i), own))
            return err_set(
                e, ST_INPUT,
                "rows count FLOPs by different rules ('%s' and '%s'); select one with --where \"flops_rule == %s\"",
                own, table_word(rule, i), own);
    snprintf(d->count_rule, sizeof d->count_rule, "%s", o->count_rule ? o->count_rule : store ? "total" : "unstated");
    snprintf(d->flops_rule, sizeof d->flops_rule, "%s",
             o->flops_rule   ? o->flops_rule
             : store && *own ? own
                             : "unstated");
    if (o->count_rule && !strcmp(o->count_rule, "non-embed") && table_col(t, "N_nonembed")) {
        fit_tell(say, 0, "N is N_nonembed (--count-rule non-embed)");
        return fit_alias(t, "N", "N_nonembed", e);
    }
    return ST_OK;
}

/* The third of N, D, C under C = 6ND, when the user (or the store) says that this is the rule. */
static status derive(table *t, const fit_data *d, const fit_teller *say, err *e)
{
    static const char *const names[3] = {"N", "D", "C"};
    int missing = -1, n_missing = 0;
    for (int k = 0; k < 3; k++)
        if (!table_col(t, names[k])) missing = k, n_missing++;
    if (n_missing != 1 || strcmp(d->flops_rule, "6N")) return ST_OK;
    const double *x, *y;
    status s = table_number_col(t, names[missing == 0], &x, e);
    if (!s) s = table_number_col(t, names[missing == 2 ? 1 : 2], &y, e);
    if (s) return s;
    double *v = malloc((t->n_rows + 1) * sizeof *v);
    if (!v) return err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows; i++) v[i] = missing == 2 ? 6 * x[i] * y[i] : y[i] / (6 * x[i]);
    s = table_add_col(t, names[missing], v, e);
    free(v);
    fit_tell(say, 0, "%s derived as %s (--flops-rule 6N)", names[missing],
         missing == 2   ? "6 N D"
         : missing == 1 ? "C/(6 N)"
                        : "C/(6 D)");
    return s;
}

/* Logs of steps: tokens, where the batch is known and nothing else tells them. */
static status derive_tokens(table *t, const fit_teller *say, err *e)
{
    const double *step, *batch;
    if (table_col(t, "D") || table_col(t, "C") || !table_col(t, "step") || !table_col(t, "batch_tokens")) return ST_OK;
    status s = table_number_col(t, "step", &step, e);
    if (!s) s = table_number_col(t, "batch_tokens", &batch, e);
    double *d = s ? NULL : malloc((t->n_rows + 1) * sizeof *d);
    if (!s && !d) s = err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows && !s; i++) d[i] = step[i] * batch[i];
    if (!s) s = table_add_col(t, "D", d, e);
    free(d);
    if (!s) fit_tell(say, 0, "D derived as step batch_tokens");
    return s;
}

/* Ratios that a law or --x asks for and the table has no column of: tokens per parameter, passes over the unique tokens. */
static status derive_ratio(table *t, const wanted *w, const char *name, const char *below, const fit_teller *say, err *e)
{
    bool asked = false;
    for (size_t c = 0; c < w->n; c++) asked |= !strcmp(w->name[c], name);
    if (!asked || table_col(t, name) || !table_col(t, below) || !table_col(t, "D")) return ST_OK;
    const double *n, *d;
    status s = table_number_col(t, below, &n, e);
    if (!s) s = table_number_col(t, "D", &d, e);
    double *m = s ? NULL : malloc((t->n_rows + 1) * sizeof *m);
    if (!s && !m) s = err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows && !s; i++) m[i] = d[i] / n[i];
    if (!s) s = table_add_col(t, name, m, e);
    free(m);
    if (!s) fit_tell(say, 0, "%s derived as D/%s", name, below);
    return s;
}

/* Embeddings put into N, or taken out of it, by the shape that all models share (fit/convert.h). */
static status convert_counts(table *t, const fit_input_opts *o, const fit_teller *say, err *e)
{
    const double *x;
    double gamma;
    if (!o->embedding) return ST_OK;
    bool out = o->embedding[0] == '-';
    status s = fit_embedding_gamma(&gamma, o->embedding + out, e);
    if (!s && !table_col(t, "N")) return err_set(e, ST_INPUT, "--embedding: no column N to convert");
    if (!s) s = table_number_col(t, "N", &x, e);
    double *n = s ? NULL : malloc((t->n_rows + 1) * sizeof *n);
    if (!s && !n) s = err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows && !s; i++) n[i] = out ? fit_n_non_embed(x[i], gamma) : fit_n_total(x[i], gamma);
    if (!s) s = table_add_col(t, "N", n, e);
    free(n);
    if (!s) fit_tell(say, 0, "N %s embeddings of %.6g N_E^(1/3) parameters (--embedding)", out ? "without" : "with", gamma);
    return s;
}

static status take(double **out, const table *t, const char *name, err *e)
{
    const double *x;
    if (!table_col(t, name)) return ST_OK;
    status s = table_number_col(t, name, &x, e);
    if (s) return s;
    *out = malloc((t->n_rows + 1) * sizeof **out);
    if (!*out) return err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    memcpy(*out, x, t->n_rows * sizeof *x);
    return ST_OK;
}

/* Optional columns: absent cells stay NaN and are written as null; a column that is no number at all is left out. */
static void take_optional(double **out, const table *t, const char *name)
{
    err ignored = {0};
    if (take(out, t, name, &ignored)) *out = NULL;
    for (size_t i = 0; i < t->n_rows && *out; i++)
        if (!((*out)[i] > 0) || isinf((*out)[i])) (*out)[i] = NAN;
}

typedef struct ranked { double x; size_t row; } ranked;

static int by_x_then_row(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    if (p->x != q->x && !(isnan(p->x) && isnan(q->x))) {
        if (isnan(p->x) || isnan(q->x)) return isnan(p->x) ? 1 : -1;
        return p->x < q->x ? -1 : 1;
    }
    return (p->row > q->row) - (p->row < q->row);
}

/* shown: what the result calls the column. */
static status take_clusters(fit_data *d, const table *t, const char *name, const char *shown, err *e)
{
    const table_column *c = table_col(t, name);
    if (!c) return err_set(e, ST_INPUT, "--cluster: no column '%s'", name);
    d->cluster = malloc((t->n_rows + 1) * sizeof *d->cluster);
    ranked *r = malloc((t->n_rows + 1) * sizeof *r);
    if (!d->cluster || !r) {
        free(r);
        return err_set(e, ST_NOMEM, "no memory for clusters");
    }
    for (size_t i = 0; i < t->n_rows; i++) r[i] = (ranked){c->x[i], i};
    qsort(r, t->n_rows, sizeof *r, by_x_then_row);
    uint32_t k = 0;
    for (size_t i = 0; i < t->n_rows; i++) {
        if (i && (r[i].x != r[i - 1].x)) k++; /* absent (NaN): a cluster of its own */
        d->cluster[r[i].row] = k;
    }
    free(r);
    snprintf(d->cluster_name, sizeof d->cluster_name, "%s", shown);
    return ST_OK;
}

double fit_data_size(const fit_data *d, size_t i)
{
    if (d->runs) return (double)d->runs->schedule[d->runs->run[i]].n_steps;
    if (d->C && isfinite(d->C[i])) return d->C[i];
    if (d->common_scale && d->N && d->D && isfinite(d->N[i] * d->D[i])) return d->N[i] * d->D[i];
    if (d->x) return d->x[i];
    return (d->N ? d->N[i] : 1) * (d->D ? d->D[i] : 1);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* "largest": rows above half of the largest compute (else x, else N D), and at least the largest tenth. */
static status hold_largest(fit_data *d, err *e)
{
    double *size = malloc((d->n + 1) * sizeof *size);
    if (!size) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    for (size_t i = 0; i < d->n; i++) size[i] = fit_data_size(d, i);
    qsort(size, d->n, sizeof *size, by_number);
    double cut = d->n ? fmin(size[d->n - 1] / 2, size[d->n - 1 - d->n / 10] * (1 - 1e-9)) : 0;
    for (size_t i = 0; i < d->n; i++) d->held_out[i] = fit_data_size(d, i) > cut;
    free(size);
    return ST_OK;
}

static status hold_out(fit_data *d, const table *t, const char *expr, err *e)
{
    size_t n = 0;
    d->held_out = calloc(d->n + 1, sizeof *d->held_out);
    if (!d->held_out) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    if (!strcmp(expr, "rolling")) return ST_OK; /* the whole fit holds nothing out; fit/backtest.c does */
    status s = !strcmp(expr, "largest") ? hold_largest(d, e) : table_match(t, expr, d->held_out, e);
    if (s) return err_prefix(e, "--hold-out"), s;
    for (size_t i = 0; i < d->n; i++) n += d->held_out[i];
    if (d->n && (!n || n == d->n))
        return err_set(e, ST_INPUT, "--hold-out '%s' matches %s of the %zu rows: nothing would be %s", expr, n ? "all" : "none", d->n,
                       n ? "left to fit" : "tested");
    return ST_OK;
}

/* sd of ln loss between rows that agree in everything a run is made of but its seed; pooled. Rows are sorted by all that
 * must agree, then by seed. */
enum { MAX_SAME = 24 };
typedef struct twin_rows { size_t n_cols; const double *cols[MAX_SAME], *seed; } twin_rows;

static int compare_twins(const twin_rows *w, size_t i, size_t j)
{
    for (size_t k = 0; k < w->n_cols; k++) {
        double a = w->cols[k][i], b = w->cols[k][j];
        if (a == b || (isnan(a) && isnan(b))) continue;
        if (isnan(a) || isnan(b)) return isnan(a) ? 1 : -1;
        return a < b ? -1 : 1;
    }
    return 0;
}

static int by_twin_then_seed(const void *a, const void *b, void *self)
{
    const twin_rows *w = self;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int c = compare_twins(w, i, j);
    if (c) return c;
    if (w->seed[i] != w->seed[j]) return w->seed[i] < w->seed[j] ? -1 : 1;
    return (i > j) - (i < j);
}

static double seed_noise(const fit_data *d, const table *t)
{
    static const char *const same[] = {"N", "D", "C", "U", "x", "lr", "width", "depth", "batch_tokens", "parametrisation",
                                       "d_ff", "n_head", "n_layer", "weight_decay", "schedule", "warmup_tokens", "dataset",
                                       "step"};
    _Static_assert(sizeof same / sizeof *same <= MAX_SAME, "room for the columns");
    const table_column *seed = table_col(t, "seed");
    twin_rows w = {0};
    double square = 0, dof = 0;
    size_t *at = malloc((d->n + 1) * sizeof *at);
    if (!seed || !at) {
        free(at);
        return NAN;
    }
    w.seed = seed->x;
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        if (table_col(t, same[k])) w.cols[w.n_cols++] = table_col(t, same[k])->x;
    for (size_t i = 0; i < d->n; i++) at[i] = i;
    qsort_r(at, d->n, sizeof *at, by_twin_then_seed, &w);
    for (size_t i = 0, end; i < d->n; i = end) {
        double mean = 0, squares = 0, n = 0;
        for (end = i; end < d->n && !compare_twins(&w, at[i], at[end]); end++) {
            if (end > i && w.seed[at[end]] == w.seed[at[end - 1]]) continue; /* the same run again */
            double l = log(d->y[at[end]]), delta = l - mean;
            mean += delta / ++n;
            squares += delta * (l - mean);
        }
        if (n > 1) square += squares, dof += n - 1;
    }
    free(at);
    return dof > 0 ? sqrt(square / dof) : NAN;
}

typedef struct repeat_rows { size_t n_cols; const double *cols[FIT_MAX_COLS + 2]; } repeat_rows;

static int by_all_columns(const void *a, const void *b, void *self)
{
    const repeat_rows *w = self;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    for (size_t k = 0; k < w->n_cols; k++)
        if (w->cols[k][i] != w->cols[k][j]) return w->cols[k][i] < w->cols[k][j] ? -1 : 1;
    return 0;
}

/* Rows that are no observations of their own: exact copies, and points that share a run, where no --cluster takes care of them. */
static status count_repeated(fit_data *d, const table *t, const wanted *w, err *e)
{
    const table_column *run = table_col(t, "run");
    repeat_rows copies = {0}, shared = {0};
    if (d->cluster || !d->n) return ST_OK;
    for (size_t c = 0; c < w->n; c++) copies.cols[copies.n_cols++] = table_col(t, w->name[c])->x;
    copies.cols[copies.n_cols++] = d->y;
    if (run) shared.cols[shared.n_cols++] = run->x;
    size_t *at = malloc(d->n * sizeof *at), most = 0;
    if (!at) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    for (int pass = 0; pass < (run ? 2 : 1); pass++) {
        repeat_rows *by = pass ? &shared : &copies;
        size_t repeated = 0;
        for (size_t i = 0; i < d->n; i++) at[i] = i;
        qsort_r(at, d->n, sizeof *at, by_all_columns, by);
        for (size_t i = 1; i < d->n; i++) repeated += !by_all_columns(&at[i - 1], &at[i], by);
        if (repeated > most) most = repeated;
    }
    d->n_repeated = most;
    free(at);
    return ST_OK;
}

/* Points of one curve share its noise (T7 of doc/laws.md): they are drawn together. */
static status clusters(fit_data *d, const table *t, const wanted *w, const fit_input_opts *o, err *e)
{
    if (w->curve) return take_clusters(d, t, w->curve, w->curve_shown, e);
    const char *name = o->cluster ? o->cluster : d->runs ? "curve" : NULL;
    return name ? take_clusters(d, t, name, name, e) : ST_OK;
}

static status fill(fit_data *d, const table *t, const wanted *w, const fit_input_opts *o, err *e)
{
    status s = take(&d->y, t, w->target, e);
    d->n = t->n_rows;
    snprintf(d->target, sizeof d->target, "%s", w->target);
    for (size_t c = 0; c < w->n && !s; c++) {
        const char *name = w->name[c];
        if (d->x_name[0] && !strcmp(name, d->x_name)) s = take(&d->x, t, name, e);
        if (s) break;
        if (!strcmp(name, "N")) s = take(&d->N, t, name, e);
        else if (!strcmp(name, "D")) s = take(&d->D, t, name, e);
        else if (!strcmp(name, "C")) s = take(&d->C, t, name, e);
        else if (!d->x_name[0] || strcmp(name, d->x_name)) {
            fit_column *more = &d->more[d->n_more++];
            snprintf(more->name, sizeof more->name, "%s", name);
            s = take(&more->x, t, name, e);
        }
    }
    if (!s && !d->N) take_optional(&d->N, t, "N");
    if (!s && !d->D) take_optional(&d->D, t, "D");
    if (!s && !d->C) take_optional(&d->C, t, "C");
    if (!s && d->runs) s = fit_runs_take(d->runs, t, e);
    if (!s) s = clusters(d, t, w, o, e);
    if (!s && o->hold_out) s = hold_out(d, t, o->hold_out, e);
    if (s) return s;
    d->inputs = malloc((t->n_sources + 1) * sizeof *d->inputs);
    if (!d->inputs) return err_set(e, ST_NOMEM, "no memory");
    memcpy(d->inputs, t->sources, t->n_sources * sizeof *d->inputs);
    d->n_inputs = t->n_sources;
    d->seed_sd = seed_noise(d, t);
    return count_repeated(d, t, w, e);
}

static status want(wanted *w, fit_data *out, const fit_law *law, const fit_input_opts *o, err *e)
{
    static const char *const of_methods[] = {"N", "C", "D"}; /* D: envelope */
    w->n = law ? law->n_cols : o->by_curve ? 3 : 2;
    w->curve = w->curve_shown = NULL;
    if (o->by_curve && o->cluster)
        return err_set(e, ST_USAGE, "--cluster: method envelope draws whole curves; --curve COL tells them apart");
    w->target = law && law->target ? law->target : "loss";
    for (size_t c = 0; c < w->n; c++) {
        w->name[c] = law ? law->cols[c] : of_methods[c];
        w->zero_ok[c] = law && law->zero_ok[c];
        w->any_sign[c] = law && law->typed;
        if (strcmp(w->name[c], "x")) continue;
        if (!o->x)
            return err_set(e, ST_USAGE,
                           "law %s is a law of one variable: name it with --x N, D, C, step or another column",
                           law->name);
        w->name[c] = o->x;
        snprintf(out->x_name, sizeof out->x_name, "%s", o->x);
    }
    if (law && o->x && !out->x_name[0] && !o->x_optional)
        return err_set(e, ST_USAGE, "--x: law %s names its columns itself (%s%s%s), it has no free variable", law->name,
                       w->n ? law->cols[0] : "none", w->n > 1 ? ", " : "", w->n > 1 ? law->cols[1] : "");
    return ST_OK;
}

static void tell_rows(const fit_data *d, size_t before, const fit_teller *tl)
{
    char text[256] = "";
    for (size_t k = 0; k < d->n_dropped; k++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%zu %s", k ? ", " : "; dropped: ", d->dropped[k].n, d->dropped[k].why);
    }
    fit_tell(tl, 0, "%zu rows read, %zu used%s", before, d->n, text);
}

/* Numbers that look like another unit: a suspicion for the verdict, never a change. Models of fewer than 1e5 parameters trained on fewer
 * than 1e6 tokens are toys; so is a table whose D/N spans more than six decades (two units in one column). */
static void suspect_units(fit_data *d)
{
    double n = 0, t = 0, lo = INFINITY, hi = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->N && isfinite(d->N[i])) n = fmax(n, d->N[i]);
        if (d->D && isfinite(d->D[i])) t = fmax(t, d->D[i]);
        if (!d->N || !d->D || !(d->N[i] > 0) || !(d->D[i] > 0)) continue;
        lo = fmin(lo, d->D[i] / d->N[i]);
        hi = fmax(hi, d->D[i] / d->N[i]);
    }
    if (n > 0 && (n < 5000 || (n < 1e5 && t < 1e6)))
        snprintf(d->units, sizeof d->units, "N goes up to %.4g only%s: millions or billions? Counts are expected", n, t > 0 && t < 1e6 ? " and D is as small" : "");
    else if (t > 0 && t < 5000) snprintf(d->units, sizeof d->units, "D goes up to %.4g only: millions or billions of tokens? Counts are expected", t);
    else if (hi > 1e6 * lo)
        snprintf(d->units, sizeof d->units, "D/N runs from %.2g to %.2g: do all rows count in the same unit?", lo, hi);
}

status fit_input(fit_data *out, table *t, const fit_law *law, const fit_input_opts *o, fit_say_fn *say, void *who,
                 err *e)
{
    fit_teller tl = {o->again ? NULL : say, who};
    wanted w;
    const double *ignored;
    size_t before = t->n_rows, kept;
    memset(out, 0, sizeof *out);
    out->seed_sd = NAN;
    out->common_scale = o->x_optional;
    status s = want(&w, out, law, o, e);
    if (!s && !o->again) s = fit_input_columns(t, o, say, who, e);
    if (!s) s = conventions(out, t, o, &tl, e);
    if (!s && o->by_curve) s = derive_tokens(t, &tl, e);
    if (!s) s = derive(t, out, &tl, e);
    if (!s && !o->again) s = convert_counts(t, o, &tl, e);
    if (!s) s = derive_ratio(t, &w, "M", "N", &tl, e);
    if (!s) s = derive_ratio(t, &w, "epochs", "U", &tl, e);
    for (size_t c = 0; c < w.n && !s; c++)
        s = need(t, w.name[c], &ignored,
                 strchr("NDC", w.name[c][0]) && !w.name[c][1] && !strcmp(out->flops_rule, "unstated")
                     ? " (with --flops-rule 6N the third of N, D, C is derived)"
                     : "",
                 e);
    if (!s) s = need(t, w.target, &ignored, "", e);
    if (!s && law && law->curves) s = fit_runs_read(&out->runs, t, o, &tl, e);
    if (!s && o->by_curve) s = fit_curves_number(&w.curve, &w.curve_shown, t, o, e);
    bool *keep = s ? NULL : malloc((t->n_rows + 1) * sizeof *keep);
    if (!s && !keep) s = err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    if (!s) s = drop_unfinished(out, t, keep, o->include_early_stopped, &tl);
    if (!s && o->where) {
        size_t rows = t->n_rows;
        s = table_where(t, o->where, &kept, e);
        if (s) err_prefix(e, "--where");
        else count_dropped(out, "where", rows - kept);
    }
    if (!s) s = drop_rows(out, t, keep, &w, &tl, e);
    if (!s && out->runs) {
        size_t warming, beyond;
        s = fit_runs_drop(out->runs, t, keep, &warming, &beyond, e);
        count_dropped(out, "in the warm-up", warming);
        count_dropped(out, "beyond the schedule", beyond);
    }
    free(keep);
    if (!s) s = fill(out, t, &w, o, e);
    if (s) return s;
    tell_rows(out, before, &tl);
    suspect_units(out);
    if (out->units[0]) fit_tell(&tl, 0, "%s", out->units);
    return ST_OK;
}
