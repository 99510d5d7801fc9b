/* A parametric fit from rows to verdict. */
#include "fit/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double *fit_data_column(const fit_data *d, const char *name)
{
    if (!strcmp(name, "N")) return d->N;
    if (!strcmp(name, "D")) return d->D;
    if (!strcmp(name, "C")) return d->C;
    if (!strcmp(name, "x")) return d->x;
    return NULL;
}

/* ln-likelihood lost by a fit of value f0 against f1, scale profiled out. F ~ |r|^q near the optimum with q = sum psi r
 * / F (2 for squares, towards 1 where Huber is linear): p(r) ~ exp(-F/s^q)/s per row, maximised over s, is -(n/q) ln F.
 */
static double likelihood_gain(const fit_problem *p, double f0, double f1, double q)
{
    double floor = fmax(p->floor, 1e-300);
    return (double)p->n / q * (log(fmax(f0, floor)) - log(fmax(f1, floor)));
}

static double growth_order(fit_problem *p, const double *phi)
{
    double f = fit_problem_eval(p, phi, NULL, NULL), dot = 0;
    const double *r = fit_problem_residual(p), *psi = fit_problem_residual(p) + 2 * p->n; /* problem.c: r, f, psi */
    for (size_t i = 0; i < p->n; i++) dot += r[i] * psi[i];
    return f > 0 ? fmin(fmax(dot / f, 1), 2) : 2;
}

/* How much each term is worth: the fit without it. */
static status test_terms(fit_evidence *ev, const fit_data *data, const fit_opts *o, double f1, double q, err *e)
{
    status s = ST_OK;
    for (size_t k = 0; k < FIT_MAX_TERMS; k++) ev->gain[k] = NAN;
    for (size_t k = 0; k < o->law->n_terms && !s; k++) {
        fit_problem p;
        fit_start_list starts = {0};
        fit_search search;
        fit_opts plain = *o;
        plain.starts = FIT_STARTS_SCREEN;
        int a = o->law->terms[k].amplitude;
        if (!isnan(o->fix[a]) || o->tie[a] >= 0 || !isnan(o->lo[a])) continue;
        s = fit_problem_init(&p, data, &plain, e);
        if (s) return s;
        fit_problem_drop(&p, k);
        s = fit_starts_make(&starts, &p, &plain, e);
        if (!s && starts.n > 12) starts.n = 12; /* the best by projection: two terms at most are left */
        if (!s) s = fit_search_run(&search, &p, o->solver, &starts, e);
        if (!s) ev->gain[k] = likelihood_gain(&p, search.basin[0].f, f1, q);
        fit_starts_free(&starts);
        fit_problem_free(&p);
    }
    return s;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static status look_at_columns(fit_evidence *ev, const fit_problem *p, err *e)
{
    double *v = malloc((p->n + 1) * sizeof *v);
    if (!v) return err_set(e, ST_NOMEM, "no memory for %zu rows", p->n);
    for (size_t c = 0; c < p->law->n_cols; c++) {
        memcpy(v, p->z[c], p->n * sizeof *v);
        qsort(v, p->n, sizeof *v, by_size);
        ev->distinct[c] = p->n > 0;
        for (size_t i = 1; i < p->n; i++) ev->distinct[c] += v[i] - v[i - 1] > 1e-9;
    }
    free(v);
    ev->collinear = NAN;
    if (p->law->n_cols < 2 || !p->n) return ST_OK;
    double mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
    for (size_t i = 0; i < p->n; i++) mx += p->z[0][i] / (double)p->n, my += p->z[1][i] / (double)p->n;
    for (size_t i = 0; i < p->n; i++) {
        double x = p->z[0][i] - mx, y = p->z[1][i] - my;
        xx += x * x, xy += x * y, yy += y * y;
    }
    ev->collinear = xx > 0 && yy > 0 ? fmax(0, 1 - xy * xy / (xx * yy)) : 0;
    return ST_OK;
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

static void score_holdout(fit_result *r, fit_evidence *ev, const fit_data *d, const fit_law *law, const double *params)
{
    double sum = 0;
    ev->holdout_decades = NAN;
    r->holdout_n = 0;
    r->holdout_mean = r->holdout_max = NAN;
    for (size_t i = 0; i < d->n && d->held_out; i++) {
        double x[FIT_MAX_COLS];
        if (!d->held_out[i]) continue;
        for (size_t c = 0; c < law->n_cols; c++) {
            const double *column = fit_data_column(d, law->cols[c]);
            x[c] = column[i];
            ev->holdout_decades = fmax(ev->holdout_decades, beyond(column, d, i));
        }
        if (d->C && isfinite(d->C[i])) ev->holdout_decades = fmax(ev->holdout_decades, beyond(d->C, d, i));
        double error = fabs(fit_law_loss(law, params, x) / d->loss[i] - 1);
        sum += error;
        r->holdout_max = fmax(r->holdout_max, error);
        r->holdout_n++;
    }
    if (r->holdout_n) r->holdout_mean = sum / (double)r->holdout_n;
}

static void describe(fit_result *r, const fit_data *data, const fit_opts *o, const fit_problem *p)
{
    const fit_law *law = o->law;
    snprintf(r->law, sizeof r->law, "%s", law->name);
    snprintf(r->method, sizeof r->method, "parametric");
    snprintf(r->objective, sizeof r->objective, "%s", o->objective->name);
    snprintf(r->solver, sizeof r->solver, "%s", o->solver->name);
    fit_result_rules(r, data);
    r->delta = o->objective->has_delta ? p->delta : NAN;
    r->seed = o->seed;
    r->n_params = law->n_params;
    r->objective_value = NAN;
    r->residual_sd = NAN;
    r->holdout_mean = r->holdout_max = NAN;
    fit_estimate null = {NAN, NAN, NAN, NAN, NAN, false, false};
    r->a_opt = r->b_opt = r->G = null;
    for (size_t j = 0; j < law->n_params; j++) {
        snprintf(r->names[j], FIT_NAME, "%s", law->params[j].name);
        r->params[j] = null;
    }
}

static void take_optimum(fit_result *r, fit_problem *p, const fit_opts *o, const fit_search *search)
{
    const fit_end *best = &search->basin[0];
    double natural[FIT_MAX_PARAMS], square = 0;
    fit_problem_natural(p, natural, best->phi);
    r->objective_value = best->f;
    r->n_starts = search->n_starts;
    r->n_reached = search->n_reached;
    r->n_rejected = search->n_rejected;
    for (size_t j = 0; j < r->n_params; j++) {
        int s = p->slot[j];
        r->params[j].value = natural[j];
        r->params[j].fixed = !isnan(o->fix[j]);
        r->params[j].at_bound = s >= 0 && (best->phi[s] <= p->lo[s] + 1e-9 || best->phi[s] >= p->hi[s] - 1e-9);
    }
    r->n_basins = search->n_basins;
    for (size_t b = 0; b < search->n_basins; b++) {
        fit_problem_natural(p, r->basins[b].params, search->basin[b].phi);
        r->basins[b].objective_value = search->basin[b].f;
        r->basins[b].n_starts = search->basin_starts[b];
    }
    if (o->law->allocation) o->law->allocation(&r->a_opt.value, &r->b_opt.value, &r->G.value, natural);
    fit_problem_eval(p, best->phi, NULL, NULL);
    const double *ln_pred = fit_problem_ln_pred(p);
    for (size_t i = 0; i < p->n; i++) {
        r->fitted[i] = exp(ln_pred[i]);
        square += (p->ln_y[i] - ln_pred[i]) * (p->ln_y[i] - ln_pred[i]);
    }
    r->residual_sd = sqrt(square / (double)p->n);
}

static status check(const fit_opts *o, err *e)
{
    bool bounded = false;
    for (size_t j = 0; j < o->law->n_params; j++) bounded |= !isnan(o->lo[j]);
    if (o->solver->squared_only && !o->objective->squared)
        return err_set(e, ST_USAGE,
                       "solver %s is for squared objectives; take --objective mse or mse-log, or another solver",
                       o->solver->name);
    if (bounded && !o->solver->bounds)
        return err_set(e, ST_USAGE, "solver %s knows no bounds; take newton", o->solver->name);
    if (!isnan(o->delta) && (!o->objective->has_delta || !(o->delta > 0)))
        return err_set(e, ST_USAGE, "--delta: objective %s %s", o->objective->name,
                       o->objective->has_delta ? "needs one above 0" : "has none");
    return ST_OK;
}

status fit_run(fit_result *out, const fit_data *data, const fit_opts *o, err *e)
{
    fit_problem p = {0};
    fit_start_list starts = {0};
    fit_search search;
    fit_evidence ev = {.holdout_decades = NAN, .collinear = NAN};
    memset(out, 0, sizeof *out);
    status s = check(o, e);
    if (!s) s = fit_problem_init(&p, data, o, e);
    if (s) return s;
    describe(out, data, o, &p);
    ev.n_free = p.n_free;
    s = fit_result_points(out, data, e);
    if (!s) s = look_at_columns(&ev, &p, e);
    if (!s && p.n > p.n_free) { /* fewer rows than that determine nothing at all */
        s = fit_starts_make(&starts, &p, o, e);
        if (!s) s = fit_search_run(&search, &p, o->solver, &starts, e);
        if (!s) take_optimum(out, &p, o, &search);
        ev.found = !s && search.found;
        if (!s && ev.found) s = test_terms(&ev, data, o, search.basin[0].f, growth_order(&p, search.basin[0].phi), e);
        if (!s && ev.found && o->bootstrap) s = fit_bootstrap(out, &p, data, o, &search, &starts, e);
        if (!s) {
            double natural[FIT_MAX_PARAMS];
            fit_problem_natural(&p, natural, search.basin[0].phi);
            fit_intervals(out, o->law);
            score_holdout(out, &ev, data, o->law, natural);
        }
    }
    if (!s) fit_judge(out, o->law, &ev);
    fit_starts_free(&starts);
    fit_problem_free(&p);
    return s;
}
