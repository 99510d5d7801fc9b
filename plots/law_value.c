#include "plots/law_value.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plots/json.h"

/* A law typed by the user comes with its formula; its columns are the points'. Natural values go in, so no parameter is
 * on a log scale. */
static status find_typed(law_value *l, const json_t *fit, err *e)
{
    const char *names[2 * FIT_MAX_COLS], *key;
    const json_t *points = js_get(fit, "points");
    json_t *value;
    size_t n = 0;
    if (!js_str(fit, "formula")) return err_set(e, ST_INPUT, "a law typed by the user without its formula");
    json_object_foreach((json_t *)points, key, value)
        if (n < sizeof names / sizeof *names) names[n++] = key;
    status s = fit_law_typed(&l->typed, js_str(fit, "formula"), names, n, e);
    if (s) return s == ST_NOMEM ? s : (err_prefix(e, "the fit's formula"), ST_INPUT);
    for (size_t j = 0; j < l->typed->n_params; j++) l->typed->params[j].log = false;
    l->law = l->typed;
    return ST_OK;
}

static status find_law(law_value *l, const json_t *fit, err *e)
{
    const char *name = js_str_or(fit, "law", ""), *method = js_str_or(fit, "method", "parametric");
    if (strcmp(method, "parametric"))
        return err_set(e, ST_INPUT, "method %s fits no law of N and D; fit with --method parametric", method);
    status s = !strcmp(name, "custom") ? find_typed(l, fit, e) : ST_OK;
    if (s) return s;
    if (!l->law) l->law = fit_law_find(name, NULL);
    if (!l->law) return err_set(e, ST_INPUT, "law '%s' is not known here, so its surface cannot be drawn", name);
    l->formula = js_str_or(fit, "formula", l->law->formula);
    bool has_n = false, has_d = false, other = false;
    for (size_t c = 0; c < l->law->n_cols; c++) {
        const char *col = l->law->cols[c];
        bool n = !strcmp(col, "N"), d = !strcmp(col, "D"), m = !strcmp(col, "M"); /* M = D/N */
        has_n |= n || m, has_d |= d || m;
        other |= !n && !d && !m;
    }
    if (has_n && has_d && !other) return fit_model_init(&l->model, l->law, NULL, e);
    char cols[160] = "";
    size_t at = 0;
    for (size_t c = 0; c < l->law->n_cols && at < sizeof cols; c++) {
        const char *col = strcmp(l->law->cols[c], "x") ? l->law->cols[c] : js_str_or(fit, "x", "x");
        at += (size_t)snprintf(cols + at, sizeof cols - at, "%s%s", c ? ", " : "", col);
    }
    return err_set(e, ST_INPUT, "law %s is a function of %s: a surface over N and D needs a law of just these two",
                   name, cols);
}

static status read_params(law_value *l, const json_t *fit, err *e)
{
    for (size_t j = 0; j < l->law->n_params; j++) {
        const char *name = l->law->params[j].name;
        l->params[j] = js_member_num(fit, "params", name);
        if (isfinite(l->params[j])) continue;
        l->params[j] = js_member_num(fit, "raw", name);
        l->raw = true;
        if (!isfinite(l->params[j])) return err_set(e, ST_INPUT, "the fit holds no value of %s", name);
    }
    return ST_OK;
}

static status read_draws(law_value *l, const json_t *fit, err *e)
{
    const json_t *column[FIT_MAX_PARAMS];
    size_t p = l->law->n_params, n = SIZE_MAX;
    for (size_t j = 0; j < p; j++) {
        column[j] = js_member(fit, "bootstrap.samples", l->law->params[j].name);
        if (json_array_size(column[j]) < n) n = json_array_size(column[j]);
    }
    if (!n) return ST_OK;
    l->draws = malloc(n * FIT_MAX_PARAMS * sizeof *l->draws);
    if (!l->draws) return err_set(e, ST_NOMEM, "no memory for %zu draws", n);
    for (size_t b = 0; b < n; b++) {
        double *to = l->draws + l->n_draws * FIT_MAX_PARAMS;
        bool whole = true;
        for (size_t j = 0; j < p; j++) {
            to[j] = js_at(column[j], "", b);
            whole = whole && isfinite(to[j]);
        }
        l->n_draws += whole;
    }
    return ST_OK;
}

status law_value_read(law_value *l, const json_t *fit, err *e)
{
    memset(l, 0, sizeof *l);
    status s = fit ? find_law(l, fit, e) : err_set(e, ST_INPUT, "needs a fit.json of a loss law");
    if (!s) s = read_params(l, fit, e);
    if (!s) s = read_draws(l, fit, e);
    return s;
}

void law_value_free(law_value *l)
{
    fit_model_free(&l->model);
    fit_law_typed_free(l->typed);
    free(l->draws);
    memset(l, 0, sizeof *l);
}

double law_value_at(const law_value *l, const double *params, double n, double d)
{
    double x[FIT_MAX_COLS];
    for (size_t c = 0; c < l->law->n_cols; c++) {
        const char *col = l->law->cols[c];
        x[c] = !strcmp(col, "N") ? n : !strcmp(col, "D") ? d : d / n;
    }
    return fit_model_value(&l->model, params, x);
}

/* Golden section in ln N; a law has one minimum along a budget or none. */
static double lowest(const law_value *l, const double *params, double nd, double lo, double hi)
{
    const double g = (sqrt(5) - 1) / 2;
    double a = hi - g * (hi - lo), b = lo + g * (hi - lo);
    double fa = law_value_at(l, params, exp(a), nd / exp(a)), fb = law_value_at(l, params, exp(b), nd / exp(b));
    while (hi - lo > 1e-7) { /* of ln N: the loss is flat there to 1e-14 */
        if (fa < fb) {
            hi = b, b = a, fb = fa;
            a = hi - g * (hi - lo);
            fa = law_value_at(l, params, exp(a), nd / exp(a));
        } else {
            lo = a, a = b, fa = fb;
            b = lo + g * (hi - lo);
            fb = law_value_at(l, params, exp(b), nd / exp(b));
        }
    }
    return (lo + hi) / 2;
}

bool law_value_optimum(double *n, double *d, const law_value *l, const double *params, double nd, double lo, double hi)
{
    if (l->law->optimum) l->law->optimum(n, d, params, 6 * nd); /* its C = 6ND only says which N D is meant */
    else {
        double at = lowest(l, params, nd, log(lo), log(hi));
        *n = exp(at);
        *d = nd / *n;
        if (at < log(lo) + 1e-3 || at > log(hi) - 1e-3) return false;
    }
    return *n > lo && *n < hi && isfinite(*d) && *d > 0;
}
