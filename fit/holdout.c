/* Rows that were set aside: what the fit says of them, with an interval, and how far out they lie. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/predictive.h"
#include "fit/run.h"

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

/* Predictive, of one new run at this row. */
static status interval(fit_scored *out, double *value, const fit_result *r, const fit_predictive *noise, const fit_model *m, double *scratch,
                       const fit_data *d, size_t row, err *e)
{
    double mean[2], run[2];
    for (size_t b = 0; b < r->boot_ok; b++) value[b] = fit_model_at(m, scratch, r->samples + b * r->n_params, d, row);
    status s = fit_predictive_intervals(mean, run, noise, value, e);
    out->lo = run[0], out->hi = run[1];
    return s;
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
    double *scratch = malloc((p->model.scratch + 1) * sizeof *scratch), *value = malloc((r->boot_ok + 1) * sizeof *value);
    fit_predictive noise;
    status st = fit_predictive_make(&noise, fit_predictive_sd(r->residual_sd, r->seed_sd, p->n, p->n_free), p->n, p->n_free, r->boot_ok, r->seed, e);
    r->holdout = calloc(n, sizeof *r->holdout);
    if (!st && (!scratch || !value || !r->holdout)) st = err_set(e, ST_NOMEM, "no memory for %zu held-out rows", n);
    for (size_t i = 0; i < d->n && !st; i++) {
        if (!d->held_out[i]) continue;
        fit_scored *s = &r->holdout[r->holdout_n++];
        *s = (fit_scored){.N = d->N ? d->N[i] : NAN, .D = d->D ? d->D[i] : NAN, .C = d->C ? d->C[i] : NAN, .x = d->x ? d->x[i] : NAN, .y = d->y[i],
                          .size = fit_data_size(d, i)};
        s->predicted = fit_model_at(&p->model, scratch, params, d, i);
        st = interval(s, value, r, &noise, &p->model, scratch, d, i, e);
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
    fit_predictive_free(&noise);
    free(scratch);
    free(value);
    return st;
}
