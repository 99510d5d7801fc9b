/* A parametric fit from rows to verdict. */
#include "fit/curve.h"
#include "fit/likelihood.h"
#include "fit/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void describe(fit_result *r, const fit_data *data, const fit_opts *o, const fit_problem *p)
{
    const fit_law *law = o->law;
    snprintf(r->law, sizeof r->law, "%s", law->name);
    if (law->typed) snprintf(r->formula, sizeof r->formula, "%s", law->body);
    snprintf(r->method, sizeof r->method, "parametric");
    snprintf(r->objective, sizeof r->objective, "%s", o->objective->name);
    snprintf(r->solver, sizeof r->solver, "%s", o->solver->name);
    fit_result_rules(r, data);
    r->delta = o->objective->has_delta ? p->delta : NAN;
    r->seed = o->seed;
    r->pinned_drawn = o->fix_draws != NULL;
    r->n_params = law->n_params;
    r->n_free = p->n_free;
    r->n_cols = law->n_cols;
    for (size_t c = 0; c < law->n_cols; c++)
        snprintf(r->cols[c], sizeof r->cols[c], "%s", !strcmp(law->cols[c], "x") && r->x[0] ? r->x : law->cols[c]);
    r->objective_value = NAN;
    r->residual_sd = NAN;
    r->log_likelihood = r->scale = r->aic = r->aicc = r->bic = NAN;
    r->holdout_mean = r->holdout_max = NAN;
    fit_estimate null = {NAN, NAN, NAN, NAN, NAN, false, false, false};
    r->a_opt = r->b_opt = r->G = null;
    for (; r->n_derived < FIT_MAX_DERIVED && law->derived[r->n_derived]; r->n_derived++) {
        r->derived_names[r->n_derived] = law->derived[r->n_derived];
        r->derived[r->n_derived] = null;
    }
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
    r->n_cut = search->n_cut;
    r->n_probes = search->n_probes;
    for (size_t j = 0; j < r->n_params; j++) {
        int s = p->slot[j];
        r->params[j].value = natural[j];
        r->params[j].fixed = !isnan(o->fix[j]);
        r->params[j].bounded = !isnan(o->lo[j]);
        r->params[j].at_bound = s >= 0 && (best->phi[s] <= p->lo[s] + 1e-9 || best->phi[s] >= p->hi[s] - 1e-9);
    }
    r->n_basins = search->n_basins;
    for (size_t b = 0; b < search->n_basins; b++) {
        fit_problem_natural(p, r->basins[b].params, search->basin[b].phi);
        r->basins[b].objective_value = search->basin[b].f;
        r->basins[b].n_starts = search->basin_starts[b];
    }
    if (o->law->allocation) o->law->allocation(&r->a_opt.value, &r->b_opt.value, &r->G.value, natural);
    double derived[FIT_MAX_DERIVED];
    if (o->law->derive) o->law->derive(derived, natural);
    for (size_t k = 0; k < r->n_derived; k++) r->derived[k].value = derived[k];
    fit_problem_predict(p, best->phi, r->fitted, NULL);
    for (size_t i = 0; i < p->n; i++) {
        square += (p->ln_y[i] - r->fitted[i]) * (p->ln_y[i] - r->fitted[i]);
        r->fitted[i] = exp(r->fitted[i]);
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

/* ln L and what punishes parameters: Akaike 1974, its small-sample form (Hurvich & Tsai 1989), Schwarz 1978. */
static status criteria(fit_result *r, fit_problem *p, const double *best, err *e)
{
    double k = (double)p->n_free + 1, n = (double)p->n;
    status s = fit_log_likelihood_at(&r->log_likelihood, &r->scale, p, best, e);
    r->aic = 2 * k - 2 * r->log_likelihood;
    r->aicc = n > k + 1 ? r->aic + 2 * k * (k + 1) / (n - k - 1) : NAN;
    r->bic = k * log(n) - 2 * r->log_likelihood;
    return s;
}

/* Everything that needs rows enough to fit at all. */
static status fit_and_look(fit_result *out, fit_evidence *ev, fit_problem *p, const fit_data *data, const fit_opts *o,
                           err *e)
{
    fit_start_list starts = {0};
    fit_search search;
    double natural[FIT_MAX_PARAMS];
    status s = fit_starts_make(&starts, p, o, e);
    if (!s) s = fit_search_run(&search, p, o->solver, &starts, o->threads, e);
    if (!s && o->starts == FIT_STARTS_SCREEN) s = fit_search_probe(&search, p, o->solver, o->threads, e);
    if (!s) {
        take_optimum(out, p, o, &search);
        ev->found = search.found;
        ev->dead = search.found ? -1 : fit_problem_dead(p, search.basin[0].phi);
        s = fit_evidence_condition(ev, p, search.basin[0].phi, e);
    }
    if (!s && ev->found) s = criteria(out, p, search.basin[0].phi, e);
    if (!s && ev->found && o->profile) s = fit_profiles(out, p, data, o, &search, e);
    if (!s && ev->found) s = fit_evidence_tests(ev, p, data, o, search.basin[0].phi, e);
    if (!s && ev->found && o->bootstrap) s = fit_bootstrap(out, p, data, o, &search, &starts, e);
    if (!s) {
        fit_problem_natural(p, natural, search.basin[0].phi);
        fit_intervals(out, o->law);
        s = fit_score_holdout(out, ev, data, p, natural, e);
    }
    if (!s && o->n_at) s = fit_ask(out, p, data, o, ev->found ? &search : NULL, natural, e);
    fit_starts_free(&starts);
    return s;
}

status fit_run(fit_result *out, const fit_data *data, const fit_opts *o, err *e)
{
    fit_problem p = {0};
    fit_evidence ev = {.dead = -1, .holdout_decades = NAN, .collinear = NAN, .weakest = NAN};
    memset(out, 0, sizeof *out);
    status s = check(o, e);
    if (!s) s = fit_problem_init(&p, data, o, e);
    if (s) return s;
    describe(out, data, o, &p);
    ev.n_free = p.n_free;
    s = fit_result_points(out, data, e);
    if (!s) s = fit_ask_nothing(out, o, e);
    if (!s) s = fit_evidence_columns(&ev, &p, e);
    if (!s && p.n > p.n_free) s = fit_and_look(out, &ev, &p, data, o, e); /* fewer rows determine nothing at all */
    if (!s && o->rolling) s = fit_backtest(out, data, o, e);
    if (!s) fit_judge(out, o->law, &ev);
    if (!s) fit_ask_judge(out);
    if (!s && o->law->curves) {
        fit_judge_runs(out, data->runs);
        out->extra = fit_runs_json(data->runs);
    }
    fit_problem_free(&p);
    return s;
}
