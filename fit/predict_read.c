/* fit.json (muscale.fit/1) as predict needs it: parameters, their draws, noise, the data's range. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"
#include "fit/predict.h"

enum { READ_LIMIT = 64 << 20 };

void predict_fit_free(predict_fit *f)
{
    if (!f) return;
    predict_law_free(&f->loss);
    predict_lr_laws_free(&f->lr);
    json_decref(f->root);
    memset(f, 0, sizeof *f);
}

static double number(const json_t *v) { return json_is_number(v) ? json_number_value(v) : NAN; }
static double key_number(const json_t *o, const char *key) { return number(json_object_get(o, key)); }

static void copy_text(char *out, size_t room, const json_t *o, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(o, key));
    snprintf(out, room, "%s", s ? s : fallback);
}

static status damaged(const predict_fit *f, const char *what, err *e)
{
    return err_set(e, ST_INPUT, "%s: %s; make it again with muscale fit ... -o %s", f->path, what, f->path);
}

/* --- loss laws ----------------------------------------------------------------------------------- */

/* A refused fit has null for what its data do not identify; the numbers themselves stand under `raw`. */
static double parameter(predict_fit *f, const char *name)
{
    double x = key_number(json_object_get(f->root, "params"), name);
    const json_t *raw = json_object_get(f->root, "raw"), *inner = json_object_get(raw, "params");
    if (isnan(x)) {
        x = key_number(json_is_object(inner) ? inner : raw, name);
        f->raw |= !isnan(x);
    }
    return x;
}

static status read_draws(predict_fit *f, err *e)
{
    const json_t *samples = json_object_get(json_object_get(f->root, "bootstrap"), "samples");
    predict_law *law = &f->loss;
    size_t n = json_array_size(json_object_get(samples, law->law->params[0].name));
    if (!n) return ST_OK; /* fitted without bootstrap: no intervals */
    law->draws = calloc(n * FIT_MAX_PARAMS, sizeof *law->draws);
    if (!law->draws) return err_set(e, ST_NOMEM, "%s: no memory for %zu draws", f->path, n);
    for (size_t b = 0; b < n; b++) {
        double *theta = law->draws + law->n_draws * FIT_MAX_PARAMS;
        bool ok = true;
        for (size_t j = 0; j < law->law->n_params; j++) {
            const json_t *column = json_object_get(samples, law->law->params[j].name);
            if (json_array_size(column) != n) return damaged(f, "bootstrap samples of unequal length", e);
            theta[j] = number(json_array_get(column, b));
            ok = ok && isfinite(theta[j]);
        }
        law->n_draws += ok;
    }
    return ST_OK;
}

static double column_extreme(const json_t *column, int sign)
{
    double best = NAN;
    for (size_t i = 0; i < json_array_size(column); i++) {
        double x = number(json_array_get(column, i));
        if (!isnan(x) && (isnan(best) || sign * x > sign * best)) best = x;
    }
    return best;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_k(const json_t *points)
{
    const json_t *n = json_object_get(points, "N"), *d = json_object_get(points, "D"), *c = json_object_get(points, "C");
    size_t rows = json_array_size(n), m = 0;
    double *k = malloc((rows + 1) * sizeof *k), out = NAN;
    for (size_t i = 0; i < rows && k; i++) {
        double x = number(json_array_get(c, i)) / (number(json_array_get(n, i)) * number(json_array_get(d, i)));
        if (isfinite(x)) k[m++] = x;
    }
    if (m) {
        qsort(k, m, sizeof *k, by_number);
        out = k[m / 2];
    }
    free(k);
    return out;
}

static void read_range(predict_fit *f)
{
    const json_t *domain = json_object_get(f->root, "domain"), *points = json_object_get(f->root, "points");
    predict_law *law = &f->loss;
    for (int i = 0; i < PREDICT_N_AXES; i++) {
        const char *name = predict_axis_name((predict_axis)i);
        const json_t *range = json_object_get(domain, name), *column = json_object_get(points, name);
        if ((int)predict_law_axis(law) == i) { /* the column that --x named */
            if (!json_is_array(range)) range = json_object_get(domain, "x");
            if (!json_is_array(column)) column = json_object_get(points, "x");
        }
        law->lo[i] = json_array_size(range) == 2 ? number(json_array_get(range, 0)) : column_extreme(column, -1);
        law->hi[i] = json_array_size(range) == 2 ? number(json_array_get(range, 1)) : column_extreme(column, 1);
    }
    const json_t *n = json_object_get(points, "N"), *d = json_object_get(points, "D");
    double lo = INFINITY, hi = 0;
    for (size_t i = 0; i < json_array_size(n); i++) { /* a table without C still has compute: 6 N D, if only to see how far one goes */
        double x = number(json_array_get(n, i)), y = number(json_array_get(d, i));
        if (!(x > 0 && y > 0)) continue;
        lo = fmin(lo, 6 * x * y), hi = fmax(hi, 6 * x * y);
        if (!(law->lo_ratio <= y / x)) law->lo_ratio = y / x;
        if (!(law->hi_ratio >= y / x)) law->hi_ratio = y / x;
    }
    if (isnan(law->lo[PREDICT_C]) && lo <= hi) law->lo[PREDICT_C] = lo, law->hi[PREDICT_C] = hi;
    law->lowest_loss = column_extreme(json_object_get(points, "loss"), -1);
    law->flops_per_param_token = median_k(points);
}

/* A law typed by the user comes with its formula; its columns are the points'. Its domains do not matter here: no parameter is on
 * a log scale. */
static status read_typed(predict_fit *f, fit_law **typed, err *e)
{
    const char *formula = json_string_value(json_object_get(f->root, "formula")), *key, *names[FIT_MAX_COLS * 2];
    json_t *points = json_object_get(f->root, "points"), *column;
    size_t n = 0;
    if (!formula) return damaged(f, "a custom law without its formula", e);
    json_object_foreach(points, key, column)
        if (n < sizeof names / sizeof *names) names[n++] = key;
    status s = fit_law_typed(typed, formula, names, n, e);
    if (s) return err_prefix(e, "%s", f->path), s;
    for (size_t j = 0; j < (*typed)->n_params; j++) (*typed)->params[j].log = false;
    return ST_OK;
}

static status find_axis(predict_fit *f, err *e)
{
    char x[PREDICT_NAME];
    predict_law *law = &f->loss;
    if (law->law->n_cols != 1 || strcmp(law->law->cols[0], "x")) return ST_OK;
    copy_text(x, sizeof x, f->root, "x", "C");
    for (int i = 0; i < PREDICT_N_AXES; i++)
        if (!strcmp(x, predict_axis_name((predict_axis)i))) law->x = (predict_axis)i;
    if (law->x != PREDICT_N_AXES) return ST_OK;
    return err_set(e, ST_INPUT, "%s: a %s law of '%s'; predict knows N, D and C: fit with --x C", f->path, law->law->name, x);
}

static status read_law(predict_fit *f, err *e)
{
    predict_law *law = &f->loss;
    fit_law *typed = NULL;
    const fit_law *row = NULL;
    status s = ST_OK;
    if (!strcmp(f->law, "custom")) {
        s = read_typed(f, &typed, e);
        row = typed;
    } else if (!strcmp(f->law, "isoflop") || !strcmp(f->law, "envelope") || !(row = fit_law_find(f->law, NULL)))
        return err_set(e, ST_INPUT, "%s: law '%s' gives no loss; predict needs the law itself: fit with --method parametric", f->path, f->law);
    if (!s) s = predict_law_init(law, row, e);
    law->typed = typed;
    if (s) return err_prefix(e, "%s", f->path), s;
    s = find_axis(f, e);
    if (s) return s;
    for (size_t j = 0; j < row->n_params; j++) {
        const char *name = row->params[j].name;
        law->theta[j] = parameter(f, name);
        if (isnan(law->theta[j]) && f->refused) {
            const json_t *why = json_array_get(json_object_get(json_object_get(f->root, "trust"), "reasons"), 0);
            const char *message = json_string_value(json_object_get(why, "message"));
            return err_set(e, ST_REFUSED, "%s: the fit was refused (%s) and has no %s at all; fit again with more runs", f->path,
                           message ? message : "no reason given", name);
        }
        if (isnan(law->theta[j]))
            return err_set(e, ST_INPUT, "%s: method %s gives no %s; predict needs the law itself: fit with --method parametric",
                           f->path, f->method, name);
    }
    const json_t *noise = json_object_get(f->root, "noise");
    law->residual_sd = key_number(noise, "residual_sd");
    law->seed_sd = key_number(noise, "seed_sd");
    double n_points = key_number(f->root, "n_points");
    if (!(n_points >= 1 && n_points < 1e15)) return damaged(f, "n_points is missing or no count", e);
    law->n_points = (size_t)n_points;
    const json_t *n_free = json_object_get(f->root, "n_free"); /* those the data had to determine; not in older files */
    law->n_params = json_is_integer(n_free) && json_integer_value(n_free) >= 0 ? (size_t)json_integer_value(n_free)
                                                                              : row->n_params - json_array_size(json_object_get(f->root, "fixed"));
    read_range(f);
    return read_draws(f, e);
}

/* --- learning-rate law --------------------------------------------------------------------------- */

static status read_trend(predict_fit *f, predict_lr_law *t, const json_t *o, err *e)
{
    const json_t *samples = json_object_get(o, "samples"), *c = json_object_get(samples, "c"), *p = json_object_get(samples, "p");
    const json_t *ci = json_object_get(json_object_get(o, "ci95"), "p");
    size_t n = json_array_size(c);
    copy_text(t->parametrisation, sizeof t->parametrisation, o, "parametrisation", "unstated");
    copy_text(t->why, sizeof t->why, o, "why", "");
    t->log2_c = log2(key_number(o, "c"));
    t->p = key_number(o, "p");
    t->known = isfinite(t->log2_c) && isfinite(t->p);
    if (!t->known && !t->why[0]) snprintf(t->why, sizeof t->why, "the learning-rate fit has no trend for '%s'", t->parametrisation);
    t->n_groups = (size_t)fmax(0, key_number(o, "n_groups"));
    t->ci_p[0] = number(json_array_get(ci, 0));
    t->ci_p[1] = number(json_array_get(ci, 1));
    t->width_lo = number(json_array_get(json_object_get(o, "width"), 0));
    t->width_hi = number(json_array_get(json_object_get(o, "width"), 1));
    t->tokens_hi = number(json_array_get(json_object_get(o, "tokens"), 1));
    if (json_array_size(p) != n) return damaged(f, "trend samples of unequal length", e);
    if (!n) return ST_OK;
    t->log2_c_draws = calloc(n, sizeof *t->log2_c_draws);
    t->p_draws = calloc(n, sizeof *t->p_draws);
    if (!t->log2_c_draws || !t->p_draws) return err_set(e, ST_NOMEM, "%s: no memory for %zu draws", f->path, n);
    for (size_t i = 0; i < n; i++) {
        t->log2_c_draws[t->n_draws] = log2(number(json_array_get(c, i)));
        t->p_draws[t->n_draws] = number(json_array_get(p, i));
        t->n_draws += isfinite(t->log2_c_draws[t->n_draws]) && isfinite(t->p_draws[t->n_draws]);
    }
    return ST_OK;
}

static status read_lr(predict_fit *f, err *e)
{
    const json_t *trend = json_object_get(f->root, "trend");
    size_t n = json_array_size(trend);
    if (!json_is_array(trend)) return damaged(f, "no key 'trend'", e);
    f->is_lr = true;
    f->lr.laws = calloc(n + 1, sizeof *f->lr.laws);
    if (!f->lr.laws) return err_set(e, ST_NOMEM, "%s: no memory", f->path);
    f->lr.n = n;
    for (size_t i = 0; i < n; i++) {
        status s = read_trend(f, &f->lr.laws[i], json_array_get(trend, i), e);
        if (s) return s;
    }
    return ST_OK;
}

status predict_fit_read(predict_fit *out, const char *path, err *e)
{
    char verdict[PREDICT_NAME];
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    status s = jdoc_read(&out->root, out->sha256, path, "muscale.fit/1", READ_LIMIT, "predict reads what muscale fit -o wrote", e);
    if (s) return s;
    copy_text(out->law, sizeof out->law, out->root, "law", "");
    copy_text(out->method, sizeof out->method, out->root, "method", "");
    copy_text(out->count_rule, sizeof out->count_rule, out->root, "count_rule", "unstated");
    copy_text(out->flops_rule, sizeof out->flops_rule, out->root, "flops_rule", "unstated");
    copy_text(verdict, sizeof verdict, json_object_get(out->root, "trust"), "verdict", "");
    out->refused = !strcmp(verdict, "refuse");
    bool is_lr = !strcmp(out->law, "lr-optimum") || !strcmp(out->method, "lr-optimum");
    copy_text(out->target, sizeof out->target, out->root, "target", is_lr ? "lr" : "loss");
    s = is_lr ? read_lr(out, e) : read_law(out, e);
    if (!s && !out->refused && strcmp(verdict, "ok") && strcmp(verdict, "warn")) /* silence is not trust */
        s = damaged(out, "trust.verdict is none of ok, warn, refuse", e);
    return s;
}
