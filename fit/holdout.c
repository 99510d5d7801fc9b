/* Rows that were set aside: what the fit says of them, with an interval, and how far out they lie. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/run.h"

enum { LEAST_DRAWS = 40 }; /* fewer have no 2.5 % point */

double fit_model_at(const fit_model *m, double *scratch, const double *params, const fit_data *d, size_t row)
{
    const fit_law *law = m->law;
    double theta[FIT_MAX_PARAMS], x[FIT_MAX_COLS], z[FIT_MAX_COLS], ln_pred;
    fit_rows rows = {.n = 1, .row = &row};
    for (size_t j = 0; j < law->n_params; j++) theta[j] = law->params[j].log ? log(params[j]) : params[j];
    for (size_t c = 0; c < law->n_cols; c++) {
        const double *column = fit_data_column(d, law->cols[c]);
        x[c] = column ? column[row] : NAN;
        z[c] = log(x[c]);
        rows.x[c] = &x[c], rows.z[c] = &z[c];
    }
    law->eval(m, scratch, &ln_pred, NULL, NULL, theta, &rows);
    return exp(ln_pred);
}

static double beyond(const double *column, const fit_data *d, size_t row)
{
    double lo = INFINITY, hi = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->held_out[i] || !isfinite(column[i])) continue;
        lo = fmin(lo, column[i]);
        hi = fmax(hi, column[i]);
    }
    return fmax(0, fmax(log10(column[row] / hi), log10(lo / column[row])));
}

/* Predictive: each draw of the parameters with the noise of one run. */
static void interval(fit_scored *out, const fit_result *r, const fit_model *m, double *scratch, const fit_data *d, size_t row)
{
    size_t n = r->boot_ok;
    fit_estimate est = {.lo = NAN, .hi = NAN};
    double *v = n >= LEAST_DRAWS ? malloc(n * sizeof *v) : NULL;
    double noise = fmax(r->residual_sd, isnan(r->seed_sd) ? 0 : r->seed_sd);
    for (size_t b = 0; b < n && v; b++)
        v[b] = fit_model_at(m, scratch, r->samples + b * r->n_params, d, row) *
               exp(noise * rng_normal(r->seed, RNG_SEED_NOISE, (uint32_t)b, row));
    if (v) fit_percentiles(&est, v, n);
    out->lo = est.lo, out->hi = est.hi;
    free(v);
}

status fit_score_holdout(fit_result *r, fit_evidence *ev, const fit_data *d, const fit_problem *p, const double *params,
                         err *e)
{
    double sum = 0, bias = 0;
    size_t n = 0;
    ev->holdout_decades = NAN;
    r->holdout_mean = r->holdout_max = r->holdout_bias = NAN;
    for (size_t i = 0; i < d->n && d->held_out; i++) n += d->held_out[i];
    if (!n) return ST_OK;
    double *scratch = malloc((p->model.scratch + 1) * sizeof *scratch);
    r->holdout = calloc(n, sizeof *r->holdout);
    if (!scratch || !r->holdout) {
        free(scratch);
        return err_set(e, ST_NOMEM, "no memory for %zu held-out rows", n);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (!d->held_out[i]) continue;
        fit_scored *s = &r->holdout[r->holdout_n++];
        *s = (fit_scored){.N = d->N ? d->N[i] : NAN, .D = d->D ? d->D[i] : NAN, .C = d->C ? d->C[i] : NAN, .x = d->x ? d->x[i] : NAN, .y = d->y[i]};
        s->predicted = fit_model_at(&p->model, scratch, params, d, i);
        interval(s, r, &p->model, scratch, d, i);
        for (size_t c = 0; c < p->law->n_cols; c++) {
            const double *column = fit_data_column(d, p->law->cols[c]);
            if (column) ev->holdout_decades = fmax(ev->holdout_decades, beyond(column, d, i));
        }
        if (d->C && isfinite(d->C[i])) ev->holdout_decades = fmax(ev->holdout_decades, beyond(d->C, d, i));
        double error = s->predicted / s->y - 1;
        sum += fabs(error), bias += error;
        r->holdout_max = fmax(r->holdout_max, fabs(error));
    }
    r->holdout_mean = sum / (double)n;
    r->holdout_bias = bias / (double)n;
    free(scratch);
    return ST_OK;
}
