/* Levels, minima, resamples, driver. */
#include "fit/lr_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { CHI2_MAX_DOF = 60 }; /* beyond that the noise is known well enough */
/* More resamples than this without an interior minimum: the valley is flat within the noise. */
#define FLAT_SHARE (1.0 / 3.0)

lr_opts lr_opts_default(void)
{
    return (lr_opts){.n_draws = 1000, .seed = 1, .x = "lr", .size = "width"};
}

typedef struct work { /* per group, between the passes */
    lr_level *levels;
    size_t n_levels;
    lr_window win;
    bool has_window;
    double residual_ss, residual_dof;
    double moved, moved_var; /* of the minimum, when the window grows; NaN: it has none then */
    lr_squares seeds;
} work;

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

status lr_interval(double ci[2], const double *draws, size_t n, err *e)
{
    double *s = malloc(n * sizeof *s);
    if (!s) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", n);
    memcpy(s, draws, n * sizeof *s);
    qsort(s, n, sizeof *s, by_number);
    ci[0] = percentile(s, n, 0.025);
    ci[1] = percentile(s, n, 0.975);
    free(s);
    return ST_OK;
}

double lr_draw_sd(const lr_noise *noise, uint64_t seed, uint32_t resample, uint64_t *at)
{
    double chi2 = 0;
    if (!(noise->sd > 0) || noise->dof > CHI2_MAX_DOF) return noise->sd;
    for (int i = 0; i < (int)noise->dof; i++) {
        double z = rng_normal(seed, RNG_BOOTSTRAP, resample, (*at)++);
        chi2 += z * z;
    }
    return noise->sd * sqrt((double)(int)noise->dof / fmax(chi2, 1e-3));
}

/* --- one group ----------------------------------------------------------------------------------------------- */

status lr_levels(lr_level **out, size_t *n, const lr_group *g, err *e)
{
    lr_level *levels = *out = calloc(g->n + 1, sizeof *levels), *l = NULL;
    *n = 0;
    if (!levels) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", g->n);
    for (size_t i = 0; i < g->n; i++) {
        double x = log2(g->lr[i]);
        if (!l || x - l->x > 1e-9) {
            l = &levels[(*n)++];
            l->x = x;
            l->first = i;
        }
        /* an lr at which one of the seeds diverges is no candidate for the optimum */
        if (!isfinite(g->loss[i])) l->diverged = true;
        else {
            double delta = g->loss[i] - l->loss; /* Welford: losses are close, squares would cancel */
            l->loss += delta / (double)++l->n;
            l->ss += delta * (g->loss[i] - l->loss);
        }
    }
    return ST_OK;
}

/* The minimum of the data themselves, how far it moves when the window grows, and what the fit leaves. */
static status centre(work *k, lr_group *g, const lr_opts *o, err *e)
{
    lr_minimum m, grown;
    double *y = calloc(2 * k->n_levels, sizeof *y), *weight = y + k->n_levels;
    if (!y) return err_set(e, ST_NOMEM, "lr-optimum: no memory");
    g->grid_step = k->win.step;
    for (size_t i = 0; i < k->n_levels; i++) y[i] = k->levels[i].loss;
    k->moved = NAN;
    if (lr_minimum_find(&grown, &k->win, k->levels, y, weight, LR_GROWN)) k->moved = grown.x;
    g->bracketed = lr_minimum_find(&m, &k->win, k->levels, y, weight, LR_REACH);
    if (!g->bracketed) {
        snprintf(g->why, LR_WHY,
                 "the losses around %s %.3g bend the wrong way or put the minimum outside the bracket; "
                 "refine the grid there",
                 o->x, g->argmin_lr);
    } else {
        g->log2_lr_opt = m.x;
        g->loss_opt = m.loss;
        g->curvature = m.curvature;
        k->moved -= m.x;
        lr_residual(&k->residual_ss, &k->residual_dof, &m, &k->win, k->levels, y, weight);
    }
    free(y);
    return ST_OK;
}

typedef struct moments {
    double n, mean, ss;
} moments;

static void count(moments *m, double x)
{
    const double d = x - m->mean;
    m->mean += d / ++m->n;
    m->ss += d * (x - m->mean);
}

static double variance(const moments *m) { return m->n > 1 ? m->ss / (m->n - 1) : 0; }

static size_t draw_levels(double *y, const work *k, size_t group, const lr_noise *noise, uint64_t seed, uint32_t b)
{
    const bool seeds = lr_from_seeds(noise), wide = k->win.degree == 3;
    const size_t lo = wide ? k->win.wide_lo : k->win.lo, hi = wide ? k->win.wide_hi : k->win.hi;
    uint64_t at = (uint64_t)group << 32;
    const double sd = lr_draw_sd(noise, seed, b, &at);
    size_t lowest = k->win.lo;
    for (size_t i = lo; i <= hi; i++) {
        const double n = seeds ? (double)k->levels[i].n : 1;
        y[i] = k->levels[i].loss + sd / sqrt(n) * rng_normal(seed, RNG_BOOTSTRAP, b, at++);
        if (i >= k->win.lo && i <= k->win.hi && y[i] < y[lowest]) lowest = i;
    }
    return lowest;
}

/* Resamples the level means with the pooled noise and seeks each minimum anew. A resample without an interior one
 * counts at its lowest level, so that a flat valley gives a wide interval; too many of them, and there is no optimum
 * to speak of. */
static status resample(work *k, lr_group *g, size_t group, const lr_noise *noise, const lr_opts *o, err *e)
{
    lr_minimum m, grown;
    moments x = {0}, moved = {0};
    size_t n_flat = 0;
    double *y = calloc(2 * k->n_levels, sizeof *y), *weight = y + k->n_levels;
    g->draws = malloc(o->n_draws * sizeof *g->draws);
    if (!y || !g->draws) {
        free(y);
        return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", o->n_draws);
    }
    for (size_t b = 0; b < o->n_draws; b++) {
        const size_t lowest = draw_levels(y, k, group, noise, o->seed, (uint32_t)b);
        if (!lr_minimum_find(&m, &k->win, k->levels, y, weight, LR_REACH)) {
            m.x = k->levels[lowest].x;
            n_flat++;
        } else if (k->win.degree == 3 && lr_minimum_find(&grown, &k->win, k->levels, y, weight, LR_GROWN))
            count(&moved, grown.x - m.x);
        g->draws[b] = m.x;
        count(&x, m.x);
    }
    free(y);
    if ((double)n_flat > FLAT_SHARE * (double)o->n_draws) {
        snprintf(g->why, LR_WHY,
                 "flat within the noise: %.0f %% of the resamples have no interior minimum; more seeds, or a wider grid",
                 100.0 * (double)n_flat / (double)o->n_draws);
        g->bracketed = false;
        free(g->draws);
        g->draws = NULL;
        return ST_OK;
    }
    g->sd_noise = sqrt(variance(&x));
    k->moved_var = variance(&moved);
    return ST_OK;
}

/* What no resample shows: how wrong the fitted form is. A wider window bends it more, so the way from one window to
 * the next larger one bounds what is left (Lepskii 1991, Theory Probab. Appl. 35:454, chooses windows by such
 * differences); what noise moves is taken off, and the curves of one parametrisation, of one shape but for the place,
 * are taken together, in steps of their grids. NaN: no curve could tell. */
static double form_error(const lr_optimum *r, const work *k, const char *name)
{
    double sum = 0, n = 0;
    for (size_t g = 0; g < r->n_groups; g++) {
        const lr_group *x = &r->groups[g];
        if (strcmp(x->parametrisation, name) || !x->bracketed || k[g].win.degree != 3 || isnan(k[g].moved)) continue;
        sum += (k[g].moved * k[g].moved - k[g].moved_var) / (x->grid_step * x->grid_step);
        n++;
    }
    return n > 0 ? fmax(sqrt(fmax(sum / n, 0)), LR_LEAST) : NAN;
}

/* Where nothing can tell (few levels, or noise that is not known) sd is at least LR_UNTOLD of a step. */
static status add_form(lr_group *g, const work *k, size_t group, double form, const lr_noise *noise, const lr_opts *o,
                       err *e)
{
    const bool told = k->win.degree == 3 && !isnan(form) && strcmp(noise->source, "none");
    const double least = LR_UNTOLD * g->grid_step;
    g->sd_grid = told ? form * g->grid_step : sqrt(fmax(least * least - g->sd_noise * g->sd_noise, 0));
    for (size_t b = 0; b < o->n_draws && g->sd_grid > 0; b++)
        g->draws[b] += g->sd_grid * rng_normal(o->seed, RNG_LR_GRID, (uint32_t)b, group);
    g->sd = hypot(g->sd_noise, g->sd_grid);
    return lr_interval(g->ci95, g->draws, o->n_draws, e);
}

/* --- pooled noise ------------------------------------------------------------------------------------- */

static void pool(lr_noise *noise, const lr_optimum *r, const work *k, const char *name)
{
    lr_squares sum = {0};
    double res_ss = 0, res_dof = 0;
    bool paired = true;
    for (size_t g = 0; g < r->n_groups; g++) {
        const lr_squares *q = &k[g].seeds;
        if (strcmp(r->groups[g].parametrisation, name) || !k[g].has_window) continue;
        sum.seeds += q->seeds, sum.seeds_dof += q->seeds_dof;
        sum.pairs += q->pairs, sum.pairs_dof += q->pairs_dof;
        paired &= q->pairs_dof > 0 || q->seeds_dof == 0;
        if (!r->groups[g].bracketed) continue;
        res_ss += k[g].residual_ss;
        res_dof += k[g].residual_dof;
    }
    const bool pairs = paired && sum.pairs_dof >= 2, seeds = sum.seeds_dof >= 2;
    const double ss = pairs ? sum.pairs : seeds ? sum.seeds : res_ss;
    noise->dof = pairs ? sum.pairs_dof : seeds ? sum.seeds_dof : res_dof >= 1 ? res_dof : 0;
    noise->sd = noise->dof > 0 ? sqrt(ss / noise->dof) : 0;
    noise->seed_sd = sum.seeds_dof > 0 ? sqrt(sum.seeds / sum.seeds_dof) : NAN;
    snprintf(noise->source, LR_NAME, "%s",
             pairs ? "paired seeds" : seeds ? "seeds" : noise->dof > 0 ? "residuals" : "none");
}

/* --- driver -------------------------------------------------------------------------------------------------- */

typedef struct sort_row { const lr_row *row; const char *name; } sort_row;

static int by_group(const void *a, const void *b)
{
    const sort_row *x = a, *y = b;
    int names = strcmp(x->name, y->name);
    if (names) return names;
    if (x->row->width != y->row->width) return x->row->width < y->row->width ? -1 : 1;
    if (x->row->lr != y->row->lr) return x->row->lr < y->row->lr ? -1 : 1;
    if (x->row->loss != y->row->loss) return x->row->loss < y->row->loss ? -1 : 1;
    if (x->row->seed != y->row->seed) return x->row->seed < y->row->seed ? -1 : 1;
    return 0;
}

static status fill_group(lr_group *g, const sort_row *s, size_t n, err *e)
{
    snprintf(g->parametrisation, LR_NAME, "%s", s->name);
    g->width = s->row->width;
    g->N = g->D = NAN;
    g->log2_lr_opt = g->ci95[0] = g->ci95[1] = g->loss_opt = g->curvature = g->argmin_lr = g->argmin_loss = NAN;
    g->grid_step = g->sd = g->sd_noise = g->sd_grid = NAN;
    g->n = n;
    g->lr = malloc(n * sizeof *g->lr);
    g->loss = malloc(n * sizeof *g->loss);
    g->seed = malloc(n * sizeof *g->seed);
    if (!g->lr || !g->loss || !g->seed) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", n);
    for (size_t i = 0; i < n; i++) {
        g->lr[i] = s[i].row->lr;
        g->loss[i] = isfinite(s[i].row->loss) ? s[i].row->loss : INFINITY;
        g->seed[i] = s[i].row->seed;
        g->n_diverged += !isfinite(s[i].row->loss);
    }
    return ST_OK;
}

static status split(lr_optimum *out, sort_row *sorted, size_t n, err *e)
{
    out->groups = calloc(n, sizeof *out->groups);
    out->trends = calloc(n, sizeof *out->trends);
    out->noise = calloc(n, sizeof *out->noise);
    if (!out->groups || !out->trends || !out->noise) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", n);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && !strcmp(sorted[j].name, sorted[i].name) && sorted[j].row->width == sorted[i].row->width;) j++;
        if (!i || strcmp(sorted[i].name, sorted[i - 1].name))
            snprintf(out->trends[out->n_trends++].parametrisation, LR_NAME, "%s", sorted[i].name);
        status s = fill_group(&out->groups[out->n_groups++], sorted + i, j - i, e);
        if (s) return s;
    }
    return ST_OK;
}

static void forget(lr_group *g) /* what an unbracketed group must not show */
{
    if (g->bracketed) return;
    g->log2_lr_opt = g->loss_opt = g->curvature = g->ci95[0] = g->ci95[1] = NAN;
    g->sd = g->sd_noise = g->sd_grid = NAN;
}

/* Of all sizes of one parametrisation, and their trend. */
static status intervals(lr_optimum *out, work *k, size_t t, const lr_opts *o, err *e)
{
    const char *name = out->trends[t].parametrisation;
    const lr_noise *noise = &out->noise[t];
    status s = ST_OK;
    pool(&out->noise[t], out, k, name);
    for (size_t g = 0; g < out->n_groups && !s; g++)
        if (!strcmp(out->groups[g].parametrisation, name) && out->groups[g].bracketed)
            s = resample(&k[g], &out->groups[g], g, noise, o, e);
    const double form = form_error(out, k, name);
    for (size_t g = 0; g < out->n_groups && !s; g++)
        if (!strcmp(out->groups[g].parametrisation, name) && out->groups[g].bracketed)
            s = add_form(&out->groups[g], &k[g], g, form, noise, o, e);
    return s ? s : lr_make_trend(&out->trends[t], out, o, e);
}

static status solve(lr_optimum *out, const lr_opts *o, err *e)
{
    status s = ST_OK;
    work *k = calloc(out->n_groups, sizeof *k);
    if (!k) return err_set(e, ST_NOMEM, "lr-optimum: no memory");
    for (size_t g = 0; g < out->n_groups && !s; g++) {
        lr_group *group = &out->groups[g];
        s = lr_levels(&k[g].levels, &k[g].n_levels, group, e);
        if (s) continue;
        k[g].has_window = lr_window_find(&k[g].win, group, k[g].levels, k[g].n_levels, o);
        if (!k[g].has_window) continue;
        k[g].seeds = lr_seed_squares(group, k[g].levels, k[g].win.lo, k[g].win.hi);
        s = centre(&k[g], group, o, e);
    }
    for (size_t t = 0; t < out->n_trends && !s; t++) s = intervals(out, k, t, o, e);
    for (size_t g = 0; g < out->n_groups; g++) {
        forget(&out->groups[g]);
        free(k[g].levels);
    }
    free(k);
    return s;
}

status lr_optimum_run(lr_optimum *out, const lr_row *rows, size_t n, const char *const *names, size_t n_names,
                      const lr_opts *o, err *e)
{
    memset(out, 0, sizeof *out);
    if (n == 0) return err_set(e, ST_INPUT, "lr-optimum: no run with a learning rate, a width and a loss is left");
    out->n_draws = o->n_draws < 40 ? 40 : o->n_draws; /* fewer have no 2.5 % point */
    out->seed = o->seed;
    out->tokens[0] = out->tokens[1] = NAN;
    lr_opts opts = {out->n_draws, o->seed, o->x ? o->x : "lr", o->size ? o->size : "width"};
    sort_row *sorted = calloc(n, sizeof *sorted);
    if (!sorted) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", n);
    status s = ST_OK;
    for (size_t i = 0; i < n && !s; i++) {
        sorted[i] = (sort_row){&rows[i], rows[i].parametrisation < n_names ? names[rows[i].parametrisation] : "unstated"};
        if (!(rows[i].lr > 0) || !isfinite(rows[i].lr))
            s = err_set(e, ST_DOMAIN, "lr-optimum: run %zu has %s %g; it must be positive: the grid is logarithmic",
                        i, opts.x, rows[i].lr);
        else if (!(rows[i].width > 0) || !isfinite(rows[i].width))
            s = err_set(e, ST_DOMAIN, "lr-optimum: run %zu has %s %g; it must be positive", i, opts.size, rows[i].width);
    }
    if (!s) {
        qsort(sorted, n, sizeof *sorted, by_group);
        s = split(out, sorted, n, e);
    }
    if (!s) s = solve(out, &opts, e);
    free(sorted);
    return s;
}

void lr_optimum_free(lr_optimum *r)
{
    if (!r) return;
    for (size_t g = 0; g < r->n_groups; g++) {
        free(r->groups[g].lr);
        free(r->groups[g].loss);
        free(r->groups[g].seed);
        free(r->groups[g].draws);
    }
    for (size_t t = 0; t < r->n_trends; t++) {
        free(r->trends[t].log2_c_draws);
        free(r->trends[t].p_draws);
    }
    free(r->groups);
    free(r->trends);
    free(r->noise);
    memset(r, 0, sizeof *r);
}
