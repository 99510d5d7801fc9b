/* Levels, window, parabola, resamples, trend. */
#include "fit/lr_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum {
    WINDOW_SIDE = 2,    /* levels on each side of the lowest: five points, the protocol's number */
    WINDOW_MIN = 3,     /* a parabola needs three */
    CHI2_MAX_DOF = 60   /* beyond that the noise is known well enough */
};
/* Neighbours two steps out weigh less: the curve is a parabola only near its minimum, the side of large lr turns into a
 * cliff. */
#define TRICUBE_STEPS 3.0
/* A second neighbour this much above the lowest loss (relative) is on the cliff, not near the minimum. */
#define CLIFF 0.05
/* More resamples than this without an interior minimum: the valley is flat within the noise. */
#define FLAT_SHARE (1.0 / 3.0)

lr_opts lr_opts_default(void)
{
    return (lr_opts){.n_draws = 1000, .seed = 1, .x = "lr", .size = "width"};
}

typedef struct window { size_t lo, hi, best; double left, right; } window; /* levels lo..hi inclusive; open bracket (left, right) */

typedef struct work { /* per group, between the passes */
    lr_level *levels;
    size_t n_levels;
    window win;
    bool has_window;
    double residual_ss, residual_dof;
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

/* --- parabola ------------------------------------------------------------------------------------------------ */

bool lr_parabola(double q[3], const lr_level *l, const double *y, const double *weight, size_t lo, size_t hi, double x0)
{
    double m[3][4] = {{0}};
    for (size_t i = lo; i <= hi; i++) {
        double d = l[i].x - x0, row[3] = {1, d, d * d};
        for (int r = 0; r < 3; r++) {
            for (int k = 0; k < 3; k++) m[r][k] += weight[i] * row[r] * row[k];
            m[r][3] += weight[i] * row[r] * y[i];
        }
    }
    for (int p = 0; p < 3; p++) { /* Gauss with row exchange; 3 unknowns of order one */
        int top = p;
        for (int r = p + 1; r < 3; r++)
            if (fabs(m[r][p]) > fabs(m[top][p])) top = r;
        if (fabs(m[top][p]) < 1e-12) return false;
        for (int k = 0; k < 4; k++) {
            double t = m[p][k];
            m[p][k] = m[top][k];
            m[top][k] = t;
        }
        for (int r = 0; r < 3; r++) {
            double f = r == p ? 0 : m[r][p] / m[p][p];
            for (int k = p; k < 4; k++) m[r][k] -= f * m[p][k];
        }
    }
    for (int p = 0; p < 3; p++) q[p] = m[p][3] / m[p][p];
    return true;
}

/* Vertex of the parabola through y; false when it opens downwards or its vertex leaves the bracket. */
static bool vertex(double *x, double q[3], const work *k, const double *y, const double *weight)
{
    const double x0 = k->levels[k->win.best].x; /* the lowest level: centred */
    if (!lr_parabola(q, k->levels, y, weight, k->win.lo, k->win.hi, x0) || !(q[2] > 0)) return false;
    *x = x0 - q[1] / (2 * q[2]);
    return *x > k->win.left && *x < k->win.right;
}

static double grid_step(const work *k)
{
    double gaps[2 * WINDOW_SIDE + 2];
    size_t n = 0;
    for (size_t i = k->win.lo; i < k->win.hi; i++) gaps[n++] = k->levels[i + 1].x - k->levels[i].x;
    qsort(gaps, n, sizeof *gaps, by_number);
    return gaps[n / 2];
}

double lr_near(const lr_level *l, double x, double step)
{
    double d = fabs(l->x - x) / (TRICUBE_STEPS * step), t = d < 1 ? 1 - d * d * d : 0;
    return fmax(t * t * t, 1e-3) * (double)l->n;
}

static void weights(double *weight, const work *k, double step)
{
    const double x = k->levels[k->win.best].x;
    for (size_t i = k->win.lo; i <= k->win.hi; i++) weight[i] = lr_near(&k->levels[i], x, step);
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

static bool finite_level(const work *k, size_t i) { return i < k->n_levels && !k->levels[i].diverged; }

/* Finds the lowest level and the levels around it; false with g->why when nothing brackets it. */
static bool find_window(work *k, lr_group *g, const lr_opts *o)
{
    size_t n_finite = 0;
    window *w = &k->win;
    for (size_t i = 0; i < k->n_levels; i++) {
        if (k->levels[i].diverged) continue;
        if (!n_finite || k->levels[i].loss < k->levels[w->best].loss) w->best = i;
        n_finite++;
    }
    if (!n_finite) {
        snprintf(g->why, LR_WHY, "all %zu runs diverged; lower the grid", g->n);
        return false;
    }
    g->argmin_lr = exp2(k->levels[w->best].x);
    g->argmin_loss = k->levels[w->best].loss;
    if (n_finite < WINDOW_MIN) {
        snprintf(g->why, LR_WHY, "only %zu values of %s with a finite loss; a bracketed parabola needs 3", n_finite, o->x);
        return false;
    }
    if (w->best == 0 || w->best + 1 == k->n_levels) {
        snprintf(g->why, LR_WHY, "lowest loss at the %s %s of the grid (%.3g); extend the grid %s",
                 w->best ? "largest" : "smallest", o->x, g->argmin_lr, w->best ? "upwards" : "downwards");
        g->edge = w->best ? 1 : -1;
        return false;
    }
    w->lo = w->hi = w->best;
    double cliff = k->levels[w->best].loss + CLIFF * fabs(k->levels[w->best].loss);
    for (int side = 1; side <= WINDOW_SIDE; side++) {
        if (w->lo > 0 && finite_level(k, w->lo - 1) && (side == 1 || k->levels[w->lo - 1].loss < cliff)) w->lo--;
        if (finite_level(k, w->hi + 1) && (side == 1 || k->levels[w->hi + 1].loss < cliff)) w->hi++;
    }
    while (w->hi - w->lo + 1 < WINDOW_MIN) { /* a diverged neighbour, or a cliff: take the third point from the other side */
        if (w->lo > 0 && finite_level(k, w->lo - 1)) w->lo--;
        else if (finite_level(k, w->hi + 1)) w->hi++;
        else {
            snprintf(g->why, LR_WHY, "fewer than 3 neighbouring values of %s with a finite loss around %.3g; refine the grid there",
                     o->x, g->argmin_lr);
            return false;
        }
    }
    w->left = k->levels[w->lo > 0 && w->lo == w->best ? w->lo - 1 : w->lo].x; /* a diverged neighbour is the bracket */
    w->right = k->levels[w->hi == w->best ? w->hi + 1 : w->hi].x;
    return true;
}

/* The parabola of the data themselves, and its residuals. */
static status centre(work *k, lr_group *g, const lr_opts *o, err *e)
{
    double q[3], x;
    double *y = calloc(2 * k->n_levels, sizeof *y), *weight = y + k->n_levels;
    if (!y) return err_set(e, ST_NOMEM, "lr-optimum: no memory");
    g->grid_step = grid_step(k);
    weights(weight, k, g->grid_step);
    for (size_t i = 0; i < k->n_levels; i++) y[i] = k->levels[i].loss;
    g->bracketed = vertex(&x, q, k, y, weight);
    if (!g->bracketed) {
        snprintf(g->why, LR_WHY, "the losses around %s %.3g bend the wrong way or put the minimum outside the bracket; refine the grid there",
                 o->x, g->argmin_lr);
    } else {
        double sum = 0, sum_w = 0;
        size_t m = k->win.hi - k->win.lo + 1;
        g->log2_lr_opt = x;
        g->loss_opt = q[0] - q[1] * q[1] / (4 * q[2]);
        g->curvature = 2 * q[2];
        for (size_t i = k->win.lo; i <= k->win.hi; i++) {
            double d = k->levels[i].x - k->levels[k->win.best].x, r = y[i] - (q[0] + q[1] * d + q[2] * d * d);
            sum += weight[i] * r * r;
            sum_w += weight[i];
        }
        k->residual_dof = (double)(m - 3);
        k->residual_ss = sum * (double)m / sum_w; /* weights normalised to mean 1 */
    }
    free(y);
    return ST_OK;
}

/* Resamples the level means with the pooled noise and refits each vertex. A resample without an interior minimum counts at
 * its lowest level, so that a flat valley gives a wide interval; too many of them, and there is no optimum to speak of. */
static status resample(work *k, lr_group *g, size_t group, const lr_noise *noise, const lr_opts *o, err *e)
{
    double q[3], sum = 0, sum2 = 0;
    size_t n_flat = 0;
    double *y = calloc(2 * k->n_levels, sizeof *y), *weight = y + k->n_levels;
    g->draws = malloc(o->n_draws * sizeof *g->draws);
    if (!y || !g->draws) {
        free(y);
        return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", o->n_draws);
    }
    weights(weight, k, g->grid_step);
    bool seeds = lr_from_seeds(noise);
    for (size_t b = 0; b < o->n_draws; b++) {
        uint64_t at = (uint64_t)group << 32;
        double sd = lr_draw_sd(noise, o->seed, (uint32_t)b, &at);
        size_t lowest = k->win.lo;
        for (size_t i = k->win.lo; i <= k->win.hi; i++) {
            double n = seeds ? (double)k->levels[i].n : 1;
            y[i] = k->levels[i].loss + sd / sqrt(n) * rng_normal(o->seed, RNG_BOOTSTRAP, (uint32_t)b, at++);
            if (y[i] < y[lowest]) lowest = i;
        }
        if (!vertex(&g->draws[b], q, k, y, weight)) {
            g->draws[b] = k->levels[lowest].x;
            n_flat++;
        }
        sum += g->draws[b] - g->log2_lr_opt;
        sum2 += (g->draws[b] - g->log2_lr_opt) * (g->draws[b] - g->log2_lr_opt);
    }
    free(y);
    if ((double)n_flat > FLAT_SHARE * (double)o->n_draws) {
        snprintf(g->why, LR_WHY, "flat within the noise: %.0f %% of the resamples have no interior minimum; more seeds, or a wider grid",
                 100.0 * (double)n_flat / (double)o->n_draws);
        g->bracketed = false;
        free(g->draws);
        g->draws = NULL;
        return ST_OK;
    }
    double mean = sum / (double)o->n_draws, var = fmax(sum2 / (double)o->n_draws - mean * mean, 0);
    double floor_sd = g->grid_step / 3;
    double extra = sqrt(fmax(floor_sd * floor_sd - var, 0));
    for (size_t b = 0; b < o->n_draws && extra > 0; b++)
        g->draws[b] += extra * rng_normal(o->seed, RNG_LR_GRID, (uint32_t)b, group);
    g->sd = sqrt(fmax(var, floor_sd * floor_sd));
    return lr_interval(g->ci95, g->draws, o->n_draws, e);
}

/* --- pooled noise, trend ------------------------------------------------------------------------------------- */

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
    noise->dof = pairs ? sum.pairs_dof : seeds ? sum.seeds_dof : res_dof;
    noise->sd = noise->dof > 0 ? sqrt(ss / noise->dof) : 0;
    noise->seed_sd = sum.seeds_dof > 0 ? sqrt(sum.seeds / sum.seeds_dof) : NAN;
    snprintf(noise->source, LR_NAME, "%s", pairs ? "paired seeds" : seeds ? "seeds" : noise->dof > 0 ? "residuals" : "none");
}

typedef struct trend_sums { double w, wx, wy, wxx, wxy; } trend_sums;

/* Weighted line through (x, y); x centred by its weighted mean. */
static void line(double *at_mean, double *slope, double *x_mean, const double *x, const double *y, const double *sd, size_t n)
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

static status trend_draws(lr_trend *t, lr_group *const *in, const double *x, const double *sd, double *y, size_t n_draws, err *e)
{
    t->log2_c_draws = malloc(n_draws * sizeof *t->log2_c_draws);
    t->p_draws = malloc(n_draws * sizeof *t->p_draws);
    if (!t->log2_c_draws || !t->p_draws) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", n_draws);
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

static status make_trend(lr_trend *t, lr_optimum *r, const lr_opts *o, err *e)
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
    if (t->n_groups < 2) {
        snprintf(t->why, LR_WHY, "%zu of %zu %ss bracketed; a trend needs 2, its interval 3", t->n_groups, n_all, o->size);
        goto done;
    }
    double at, mean, chi2 = 0;
    line(&at, &t->p, &mean, x, y, sd, t->n_groups);
    t->log2_c = at - t->p * mean;
    t->has_value = true;
    for (size_t i = 0; i < t->n_groups; i++) {
        double z = (y[i] - at - t->p * (x[i] - mean)) / sd[i];
        chi2 += z * z;
    }
    if (t->n_groups < 3) {
        snprintf(t->why, LR_WHY, "2 bracketed %ss: a line through two points has no interval; add a %s", o->size, o->size);
        goto done;
    }
    t->birge = fmax(1, sqrt(chi2 / (double)(t->n_groups - 2)));
    s = trend_draws(t, in, x, sd, y, r->n_draws, e);
done:
    free(in);
    free(x);
    return s;
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
    g->grid_step = g->sd = NAN;
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
    g->log2_lr_opt = g->loss_opt = g->curvature = g->sd = g->ci95[0] = g->ci95[1] = NAN;
}

static status solve(lr_optimum *out, const lr_opts *o, err *e)
{
    status s = ST_OK;
    work *k = calloc(out->n_groups, sizeof *k);
    if (!k) return err_set(e, ST_NOMEM, "lr-optimum: no memory");
    for (size_t g = 0; g < out->n_groups && !s; g++) {
        lr_group *group = &out->groups[g];
        s = lr_levels(&k[g].levels, &k[g].n_levels, group, e);
        if (s || !(k[g].has_window = find_window(&k[g], group, o))) continue;
        k[g].seeds = lr_seed_squares(group, k[g].levels, k[g].win.lo, k[g].win.hi);
        s = centre(&k[g], group, o, e);
    }
    for (size_t t = 0; t < out->n_trends && !s; t++) {
        pool(&out->noise[t], out, k, out->trends[t].parametrisation);
        for (size_t g = 0; g < out->n_groups && !s; g++)
            if (!strcmp(out->groups[g].parametrisation, out->trends[t].parametrisation) && out->groups[g].bracketed)
                s = resample(&k[g], &out->groups[g], g, &out->noise[t], o, e);
        if (!s) s = make_trend(&out->trends[t], out, o, e);
    }
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
