/* The learning-rate optimum in the envelope of muscale.fit/1: groups, trend, verdict. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_optimum.h"
#include "fit/run.h"

static void judge(fit_result *r, const lr_optimum *lr)
{
    size_t bracketed = 0;
    for (size_t i = 0; i < lr->n_groups; i++) bracketed += lr->groups[i].bracketed;
    if (!bracketed)
        fit_trust_add(&r->trust, FIT_REFUSE, "no_interior_minimum", 0, "no width brackets its learning rate; %s",
                      lr->n_groups ? lr->groups[0].why : "there is no finished run");
    for (size_t i = 0; i < lr->n_groups && bracketed; i++) {
        const lr_group *g = &lr->groups[i];
        if (!g->bracketed)
            fit_trust_add(&r->trust, FIT_WARN, "no_interior_minimum", g->width, "%s, width %g: no optimum (%s)",
                          g->parametrisation, g->width, g->why);
    }
    for (size_t i = 0; i < lr->n_trends && bracketed; i++)
        if (!lr->trends[i].has_ci)
            fit_trust_add(&r->trust, FIT_WARN, "flat_direction", (double)lr->trends[i].n_groups,
                          "%s: no interval for the drift over widths (%s)", lr->trends[i].parametrisation,
                          lr->trends[i].why);
    if (lr->confounded[0])
        fit_trust_add(&r->trust, FIT_WARN, "not_separable", NAN, "the width does not change alone: %s change with it",
                      lr->confounded);
    if (!lr->parametrisation_stated)
        fit_trust_add(&r->trust, FIT_WARN, "convention_unstated", NAN,
                      "which parametrisation? Without a column of that name all rows are taken as one");
}

status fit_from_lr_optimum(fit_result *r, const lr_optimum *lr, const table *t, size_t n_where, err *e)
{
    size_t n = 0, diverged = 0, at = 0;
    for (size_t i = 0; i < lr->n_groups; i++) n += lr->groups[i].n, diverged += lr->groups[i].n_diverged;
    fit_data *p = &r->points;
    snprintf(r->law, sizeof r->law, "lr-optimum");
    snprintf(r->method, sizeof r->method, "lr-optimum");
    snprintf(r->count_rule, sizeof r->count_rule, "unstated");
    snprintf(r->flops_rule, sizeof r->flops_rule, "unstated");
    r->log_likelihood = NAN;
    r->delta = r->objective_value = r->residual_sd = r->seed_sd = r->holdout_mean = r->holdout_max = NAN;
    r->a_opt = r->b_opt = r->G = (fit_estimate){NAN, NAN, NAN, NAN, NAN, false, false, false};
    r->boot_n = r->boot_ok = lr->n_draws;
    r->seed = lr->seed;
    r->extra = json_object();
    json_object_set_new(r->extra, "groups", lr_optimum_groups_json(lr));
    json_object_set_new(r->extra, "trend", lr_optimum_trend_json(lr));
    p->n = r->n_points = n - diverged;
    p->y = malloc((n + 1) * sizeof *p->y);
    p->inputs = malloc((t->n_sources + 1) * sizeof *p->inputs);
    r->fitted = malloc((n + 1) * sizeof *r->fitted);
    if (!p->y || !p->inputs || !r->fitted) return err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i < lr->n_groups; i++)
        for (size_t k = 0; k < lr->groups[i].n; k++)
            if (isfinite(lr->groups[i].loss[k])) r->fitted[at] = NAN, p->y[at++] = lr->groups[i].loss[k];
    p->n = r->n_points = at;
    memcpy(p->inputs, t->sources, t->n_sources * sizeof *p->inputs);
    p->n_inputs = t->n_sources;
    const struct {
        const char *why;
        size_t n;
    } dropped[] = {{"where", n_where}, {"not finished", lr->n_unfinished}, {"diverged", n - at}};
    for (size_t k = 0; k < 3; k++)
        if (dropped[k].n) {
            snprintf(p->dropped[p->n_dropped].why, sizeof p->dropped[0].why, "%s", dropped[k].why);
            p->dropped[p->n_dropped++].n = dropped[k].n;
            r->n_dropped += dropped[k].n;
        }
    judge(r, lr);
    return ST_OK;
}
