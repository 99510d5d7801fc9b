/* The prediction at points that the user names (--at): with its intervals, and how far beyond the data it is asked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/predictive.h"
#include "fit/run.h"

static const char *column_name(const fit_law *law, size_t c, const char *x_name)
{
    return !strcmp(law->cols[c], "x") && x_name[0] ? x_name : law->cols[c];
}

static int column_of(const fit_law *law, const char *x_name, const char *name)
{
    for (size_t c = 0; c < law->n_cols; c++)
        if (!strcmp(name, law->cols[c]) || !strcmp(name, column_name(law, c, x_name))) return (int)c;
    return -1;
}

static status wrong(const fit_law *law, const char *x_name, const char *text, const char *what, const char *name, err *e)
{
    char list[256] = "";
    for (size_t c = 0; c < law->n_cols; c++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s=VALUE", c ? "," : "", column_name(law, c, x_name));
    }
    return err_set(e, ST_USAGE, "--at '%s': %s %s; write %s", text, what, name, list);
}

/* One NAME=VALUE, n characters. *d: a D that is no column of the law. */
static status one_column(double *x, double *d, const fit_law *law, const char *x_name, const char *text, const char *from, size_t n, err *e)
{
    char name[TABLE_NAME_MAX] = "", number[64] = "";
    const char *eq = memchr(from, '=', n);
    double v;
    if (!eq || (size_t)(eq - from) >= sizeof name || n - (size_t)(eq + 1 - from) >= sizeof number)
        return wrong(law, x_name, text, "no value in", from, e);
    snprintf(name, sizeof name, "%.*s", (int)(eq - from), from);
    snprintf(number, sizeof number, "%.*s", (int)(n - (size_t)(eq + 1 - from)), eq + 1);
    if (!num_parse_f64(number, &v)) return err_set(e, ST_USAGE, "--at '%s': '%s' is not a finite number", text, number);
    int c = column_of(law, x_name, name);
    bool ratio = c < 0 && !strcmp(name, "D") && (column_of(law, "", "M") >= 0 || column_of(law, "", "epochs") >= 0);
    if (c < 0 && !ratio) return wrong(law, x_name, text, "the law has no column", name, e);
    if (!isnan(ratio ? *d : x[c])) return err_set(e, ST_USAGE, "--at '%s': %s is given twice", text, name);
    if (v < 0 || (v == 0 && !(c >= 0 && law->zero_ok[c])))
        if (!law->typed) return err_set(e, ST_USAGE, "--at '%s': %s must be above 0", text, name);
    *(ratio ? d : &x[c]) = v;
    return ST_OK;
}

status fit_at_parse(double *x, const fit_law *law, const char *x_name, const char *text, err *e)
{
    static const struct { const char *ratio, *below; } ratios[] = {{"M", "N"}, {"epochs", "U"}};
    double d = NAN;
    if (law->curves) return err_set(e, ST_USAGE, "--at: law %s describes whole curves, not single points", law->name);
    for (size_t c = 0; c < FIT_MAX_COLS; c++) x[c] = NAN;
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        status s = one_column(x, &d, law, x_name, text, p, n, e);
        if (s) return s;
        if (!p[n]) break;
        p += n + 1;
    }
    for (size_t k = 0; k < 2; k++) {
        int a = column_of(law, "", ratios[k].ratio), b = column_of(law, "", ratios[k].below);
        if (a >= 0 && b >= 0 && isnan(x[a])) x[a] = d / x[b];
    }
    for (size_t c = 0; c < law->n_cols; c++)
        if (isnan(x[c])) return wrong(law, x_name, text, "without", column_name(law, c, x_name), e);
    return ST_OK;
}

status fit_ask_nothing(fit_result *r, const fit_opts *o, err *e)
{
    r->asked = calloc(o->n_at + 1, sizeof *r->asked);
    if (!r->asked) return err_set(e, ST_NOMEM, "no memory for %zu points", o->n_at);
    for (r->n_asked = 0; r->n_asked < o->n_at; r->n_asked++) {
        fit_asked *q = &r->asked[r->n_asked];
        memcpy(q->x, o->at[r->n_asked], sizeof q->x);
        q->predicted = q->ci[0] = q->ci[1] = q->pi[0] = q->pi[1] = q->decades = NAN;
    }
    return ST_OK;
}

static double decades_beyond(const fit_result *r, const fit_law *law, const double *x)
{
    double most = 0;
    for (size_t c = 0; c < law->n_cols; c++) {
        const double *column = fit_data_column(&r->points, law->cols[c]);
        double lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; column && i < r->points.n; i++) lo = fmin(lo, column[i]), hi = fmax(hi, column[i]);
        if (lo > 0 && x[c] > 0) most = fmax(most, fmax(log10(x[c] / hi), log10(lo / x[c])));
    }
    return most < 1e-9 ? 0 : most; /* rounding at the data's edge */
}

status fit_ask(fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search, const double *params,
               err *e)
{
    fit_model m;
    fit_predictive noise = {0};
    double *value = malloc((r->boot_ok + 1) * sizeof *value);
    status s = fit_model_init(&m, o->law, NULL, e);
    if (!s)
        s = fit_predictive_make(&noise, fit_predictive_sd(r->residual_sd, r->seed_sd, p->n, p->n_free), p->n, p->n_free, r->boot_ok, r->seed, e);
    if (!s && !value) s = err_set(e, ST_NOMEM, "no memory for %zu draws", r->boot_ok);
    for (size_t k = 0; k < r->n_asked && !s; k++) {
        fit_asked *q = &r->asked[k];
        q->predicted = fit_model_value(&m, params, q->x);
        q->decades = decades_beyond(r, o->law, q->x);
        for (size_t b = 0; b < r->boot_ok; b++) value[b] = fit_model_value(&m, r->samples + b * r->n_params, q->x);
        s = fit_predictive_intervals(q->ci, q->pi, &noise, value, e);
        q->profiled = o->profile && search && q->predicted > 0 && isfinite(q->predicted);
        if (!s && q->profiled) s = fit_profile_prediction(&q->profile, r, p, data, o, search, &m, q->x, q->predicted, e);
    }
    fit_predictive_free(&noise);
    fit_model_free(&m);
    free(value);
    return s;
}

void fit_ask_judge(fit_result *r)
{
    for (size_t k = 0; k < r->n_asked && r->trust.verdict == FIT_REFUSE; k++) {
        fit_asked *q = &r->asked[k];
        if (q->decades == 0) continue; /* inside the data any fit that describes them will do */
        q->predicted = q->ci[0] = q->ci[1] = q->pi[0] = q->pi[1] = NAN;
        q->profiled = false;
    }
}
