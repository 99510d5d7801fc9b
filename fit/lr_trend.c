/* The drift of the optima over sizes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_parts.h"

typedef struct trend_sums { double w, wx, wy, wxx, wxy; } trend_sums;

/* Weighted line through (x, y); x centred by its weighted mean. */
static void line(double *at_mean, double *slope, double *x_mean, const double *x, const double *y, const double *sd,
                 size_t n)
{
    trend_sums s = {0};
    for (size_t i = 0; i < n; i++) {
        double w = 1 / (sd[i] * sd[i]);
        s.w += w;
        s.wx += w * x[i];
        s.wy += w * y[i];
    }
    *x_mean = s.wx / s.w;
    *at_mean = s.wy / s.w;
    for (size_t i = 0; i < n; i++) {
        double w = 1 / (sd[i] * sd[i]), d = x[i] - *x_mean;
        s.wxx += w * d * d;
        s.wxy += w * d * y[i];
    }
    *slope = s.wxy / s.wxx;
}

static status trend_draws(lr_trend *t, lr_group *const *in, const double *x, const double *sd, double *y,
                          size_t n_draws, err *e)
{
    t->log2_c_draws = malloc(n_draws * sizeof *t->log2_c_draws);
    t->p_draws = malloc(n_draws * sizeof *t->p_draws);
    if (!t->log2_c_draws || !t->p_draws)
        return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", n_draws);
    double at0 = 0, mean = 0, slope = 0;
    for (size_t i = 0; i < t->n_groups; i++) y[i] = in[i]->log2_lr_opt;
    line(&at0, &slope, &mean, x, y, sd, t->n_groups);
    for (size_t b = 0; b < n_draws; b++) {
        double at, p;
        for (size_t i = 0; i < t->n_groups; i++) y[i] = in[i]->draws[b];
        line(&at, &p, &mean, x, y, sd, t->n_groups);
        p = t->p + t->birge * (p - t->p); /* at the weighted mean width level and slope are independent: scale both */
        at = at0 + t->birge * (at - at0);
        t->p_draws[b] = p;
        t->log2_c_draws[b] = at - p * mean;
    }
    t->has_ci = true;
    status s = lr_interval(t->ci_p, t->p_draws, n_draws, e);
    return s ? s : lr_interval(t->ci_log2_c, t->log2_c_draws, n_draws, e);
}

/* What the slope takes over from either part of the optima's sd: it is their sum, weighted. */
static void parts(lr_trend *t, lr_group *const *in, const double *x, const double *sd, double mean)
{
    double wxx = 0, noise = 0, grid = 0;
    for (size_t i = 0; i < t->n_groups; i++) wxx += (x[i] - mean) * (x[i] - mean) / (sd[i] * sd[i]);
    for (size_t i = 0; i < t->n_groups; i++) {
        const double share = (x[i] - mean) / (sd[i] * sd[i]) / wxx;
        noise += share * share * in[i]->sd_noise * in[i]->sd_noise;
        grid += share * share * in[i]->sd_grid * in[i]->sd_grid;
    }
    t->sd_noise = sqrt(noise);
    t->sd_grid = sqrt(grid);
}

status lr_make_trend(lr_trend *t, lr_optimum *r, const lr_opts *o, err *e)
{
    status s = ST_OK;
    size_t n_all = 0;
    lr_group **in = calloc(r->n_groups, sizeof *in);
    double *x = calloc(3 * r->n_groups, sizeof *x), *y = x + r->n_groups, *sd = y + r->n_groups;
    if (!in || !x) {
        s = err_set(e, ST_NOMEM, "lr-optimum: no memory");
        goto done;
    }
    for (size_t g = 0; g < r->n_groups; g++) {
        if (strcmp(r->groups[g].parametrisation, t->parametrisation)) continue;
        n_all++;
        if (!r->groups[g].bracketed) continue;
        size_t i = t->n_groups++;
        in[i] = &r->groups[g];
        x[i] = log2(in[i]->width);
        y[i] = in[i]->log2_lr_opt;
        sd[i] = in[i]->sd;
        if (!i || in[i]->width < t->width_lo) t->width_lo = in[i]->width;
        if (!i || in[i]->width > t->width_hi) t->width_hi = in[i]->width;
    }
    t->birge = 1;
    t->sd_noise = t->sd_grid = NAN;
    if (t->n_groups < 2) {
        snprintf(t->why, LR_WHY, "%zu of %zu %ss bracketed; a trend needs 2, its interval 3", t->n_groups, n_all,
                 o->size);
        goto done;
    }
    double at, mean, chi2 = 0;
    line(&at, &t->p, &mean, x, y, sd, t->n_groups);
    t->log2_c = at - t->p * mean;
    t->has_value = true;
    parts(t, in, x, sd, mean);
    for (size_t i = 0; i < t->n_groups; i++) {
        double z = (y[i] - at - t->p * (x[i] - mean)) / sd[i];
        chi2 += z * z;
    }
    if (t->n_groups < 3) {
        snprintf(t->why, LR_WHY, "2 bracketed %ss: a line through two points has no interval; add a %s", o->size,
                 o->size);
        goto done;
    }
    t->birge = fmax(1, sqrt(chi2 / (double)(t->n_groups - 2)));
    s = trend_draws(t, in, x, sd, y, r->n_draws, e);
done:
    free(in);
    free(x);
    return s;
}
