/* One cell: points, window, quadratic surface, resamples. */
#include "fit/lr_surface.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_parts.h"
#include "fit/problem.h"

enum { SIDE = 2, TERMS = 6, LEAST_LEVELS = 3 }; /* window: two levels to each side, as for one width */
#define TRICUBE_STEPS 3.0                       /* weights: fit/lr_optimum.c */
#define CLIFF 0.05
#define FLAT_SHARE (1.0 / 3.0)

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* --- points -------------------------------------------------------------------------------------------------- */

/* Place of log2 v among the sorted distinct ones; grids are typed with few digits, so 1e-6 octaves are the same. */
static size_t levels(double *level, const double *v, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) level[i] = log2(v[i]);
    qsort(level, n, sizeof *level, by_number);
    for (size_t i = 0; i < n; i++)
        if (!k || level[i] > level[k - 1] + 1e-6) level[k++] = level[i];
    return k;
}

static long place(const double *level, size_t n, double v)
{
    double x = log2(v);
    size_t k = 0;
    while (k + 1 < n && level[k + 1] <= x + 1e-6) k++;
    return (long)k;
}

static void add_run(lr_cell *c, long i, long j, double x, double y, double loss)
{
    lr_point *p = NULL;
    for (size_t k = 0; k < c->n_points && !p; k++)
        if (c->points[k].i == i && c->points[k].j == j) p = &c->points[k];
    if (!p) {
        p = &c->points[c->n_points++];
        *p = (lr_point){.x = x, .y = y, .i = i, .j = j};
    }
    /* a pair at which one of the seeds diverges is no candidate for the optimum */
    if (!isfinite(loss)) p->diverged = true;
    else {
        double delta = loss - p->loss; /* Welford: losses are close, squares would cancel */
        p->loss += delta / (double)++p->n;
        p->ss += delta * (loss - p->loss);
    }
}

static status make_points(lr_cell *c, size_t *n_lr, size_t *n_batch, err *e)
{
    double *x = malloc(2 * c->n * sizeof *x), *y = x ? x + c->n : NULL;
    c->points = calloc(c->n, sizeof *c->points);
    if (!x || !c->points) {
        free(x);
        return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu runs", c->n);
    }
    *n_lr = levels(x, c->lr, c->n);
    *n_batch = levels(y, c->batch, c->n);
    for (size_t k = 0; k < c->n; k++) {
        long i = place(x, *n_lr, c->lr[k]), j = place(y, *n_batch, c->batch[k]);
        add_run(c, i, j, x[i], y[j], c->loss[k]);
    }
    free(x);
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        if (p->diverged || p->n < 2) continue;
        c->seed_ss += p->ss;
        c->seed_dof += (double)(p->n - 1);
    }
    return ST_OK;
}

/* --- window -------------------------------------------------------------------------------------------------- */

static const lr_point *lowest(const lr_cell *c, size_t *n_finite)
{
    const lr_point *best = NULL;
    *n_finite = 0;
    for (size_t k = 0; k < c->n_points; k++) {
        if (c->points[k].diverged) continue;
        ++*n_finite;
        if (!best || c->points[k].loss < best->loss) best = &c->points[k];
    }
    return best;
}

/* Is there a point to that side of the lowest, at its level of the other variable or the next ones? */
static bool neighbour(const lr_cell *c, const lr_point *b, int di, int dj)
{
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        long i = (p->i - b->i) * (di ? di : 1), j = (p->j - b->j) * (dj ? dj : 1);
        if (di ? i > 0 && labs(j) <= 1 : j > 0 && labs(i) <= 1) return true;
    }
    return false;
}

static bool is_inside(lr_cell *c, const lr_point *b)
{
    const struct {
        int di, dj;
        const char *text;
    } sides[] = {{-1, 0, "smallest lr of the grid; extend it downwards"},
                 {1, 0, "largest lr of the grid; extend it upwards"},
                 {0, -1, "smallest batch of the grid; extend it downwards"},
                 {0, 1, "largest batch of the grid; extend it upwards"}};
    for (int k = 0; k < 4; k++)
        if (!neighbour(c, b, sides[k].di, sides[k].dj)) {
            snprintf(c->why, LR_WHY, "lowest loss (lr %.3g, batch %.6g) at the %s", c->argmin_lr, c->argmin_batch,
                     sides[k].text);
            return false;
        }
    return true;
}

/* Median gap between neighbouring levels of the window's points. */
static double step_of(const lr_cell *c, bool batch)
{
    double v[2 * SIDE + 2], gaps[2 * SIDE + 1];
    size_t n = 0;
    for (size_t k = 0; k < c->n_points; k++) {
        double at = batch ? c->points[k].y : c->points[k].x;
        bool seen = !c->points[k].in;
        for (size_t m = 0; m < n; m++) seen |= v[m] == at;
        if (!seen && n < sizeof v / sizeof *v) v[n++] = at;
    }
    qsort(v, n, sizeof *v, by_number);
    for (size_t m = 1; m < n; m++) gaps[m - 1] = v[m] - v[m - 1];
    if (n < LEAST_LEVELS) return NAN;
    qsort(gaps, n - 1, sizeof *gaps, by_number);
    return gaps[(n - 1) / 2];
}

/* Between which the optimum must lie: the window's ends, or nearer, a diverged neighbour of the lowest point. */
static void make_box(lr_cell *c, const lr_point *b)
{
    c->left = c->below = INFINITY;
    c->right = c->above = -INFINITY;
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        if (!p->in) continue;
        c->left = fmin(c->left, p->x), c->right = fmax(c->right, p->x);
        c->below = fmin(c->below, p->y), c->above = fmax(c->above, p->y);
    }
    double x[2] = {-INFINITY, INFINITY}, y[2] = {-INFINITY, INFINITY};
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        if (!p->diverged || (p->i != b->i && p->j != b->j)) continue;
        if (p->j == b->j && p->x < b->x) x[0] = fmax(x[0], p->x);
        if (p->j == b->j && p->x > b->x) x[1] = fmin(x[1], p->x);
        if (p->i == b->i && p->y < b->y) y[0] = fmax(y[0], p->y);
        if (p->i == b->i && p->y > b->y) y[1] = fmin(y[1], p->y);
    }
    /* where the lowest point is the window's last finite one the diverged neighbour is the end; else the nearer of both
     */
    c->left = b->x <= c->left && isfinite(x[0]) ? x[0] : fmax(c->left, x[0]);
    c->right = b->x >= c->right && isfinite(x[1]) ? x[1] : fmin(c->right, x[1]);
    c->below = b->y <= c->below && isfinite(y[0]) ? y[0] : fmax(c->below, y[0]);
    c->above = b->y >= c->above && isfinite(y[1]) ? y[1] : fmin(c->above, y[1]);
}

static void weigh(lr_cell *c, const lr_point *b)
{
    for (size_t k = 0; k < c->n_points; k++) {
        lr_point *p = &c->points[k];
        double dx = (p->x - b->x) / (TRICUBE_STEPS * c->step_lr), dy = (p->y - b->y) / (TRICUBE_STEPS * c->step_batch);
        double d = sqrt(dx * dx + dy * dy), t = d < 1 ? 1 - d * d * d : 0;
        p->weight = p->in ? fmax(t * t * t, 1e-3) * (double)p->n : 0;
    }
}

status lr_cell_window(lr_cell *c, err *e)
{
    size_t n_lr = 0, n_batch = 0, n_finite, n_in = 0;
    status s = make_points(c, &n_lr, &n_batch, e);
    if (s) return s;
    const lr_point *b = lowest(c, &n_finite);
    if (!b) return snprintf(c->why, LR_WHY, "all %zu runs diverged; lower the grid", c->n), ST_OK;
    c->argmin_lr = exp2(b->x), c->argmin_batch = exp2(b->y), c->argmin_loss = b->loss;
    if (n_lr < LEAST_LEVELS || n_batch < LEAST_LEVELS) {
        snprintf(c->why, LR_WHY, "%zu learning rates and %zu batch sizes; a bracketed surface needs 3 of each", n_lr,
                 n_batch);
        return ST_OK;
    }
    c->inside = is_inside(c, b);
    if (!c->inside) return ST_OK;
    double cliff = b->loss + CLIFF * fabs(b->loss);
    for (size_t k = 0; k < c->n_points; k++) {
        lr_point *p = &c->points[k];
        long i = labs(p->i - b->i), j = labs(p->j - b->j);
        p->in = !p->diverged && i <= SIDE && j <= SIDE && ((i <= 1 && j <= 1) || p->loss < cliff);
        n_in += p->in;
    }
    c->step_lr = step_of(c, false), c->step_batch = step_of(c, true);
    if (n_in < TERMS || isnan(c->step_lr) || isnan(c->step_batch)) {
        snprintf(
            c->why, LR_WHY,
            "only %zu points with a finite loss around lr %.3g and batch %.6g; a surface needs 6 at 3 levels of each: "
            "refine the grid there",
            n_in, c->argmin_lr, c->argmin_batch);
        return ST_OK;
    }
    make_box(c, b);
    weigh(c, b);
    return ST_OK;
}

/* --- surface ------------------------------------------------------------------------------------------------- */

/* Weighted least squares of the losses z[n_points] on 1, u, v, u^2, u v, v^2 around the lowest point, in grid steps.
 * False: the points do not determine it, it does not open upwards, or its minimum leaves the box. */
static bool surface(double opt[2], double q[TERMS], const lr_cell *c, const double *z)
{
    double m[TERMS * TERMS] = {0}, r[TERMS] = {0}, x0 = log2(c->argmin_lr), y0 = log2(c->argmin_batch);
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        if (!p->in) continue;
        double u = (p->x - x0) / c->step_lr, v = (p->y - y0) / c->step_batch;
        const double t[TERMS] = {1, u, v, u * u, u * v, v * v};
        for (int a = 0; a < TERMS; a++) {
            r[a] += p->weight * t[a] * z[k];
            for (int b = 0; b < TERMS; b++) m[TERMS * a + b] += p->weight * t[a] * t[b];
        }
    }
    if (!fit_cholesky_solve(m, q, r, TERMS)) return false;
    double det = 4 * q[3] * q[5] - q[4] * q[4];
    if (!(q[3] > 0) || !(det > 0)) return false;
    opt[0] = x0 + c->step_lr * (q[4] * q[2] - 2 * q[5] * q[1]) / det;
    opt[1] = y0 + c->step_batch * (q[4] * q[1] - 2 * q[3] * q[2]) / det;
    return opt[0] > c->left && opt[0] < c->right && opt[1] > c->below && opt[1] < c->above;
}

static double value_at(const double q[TERMS], const lr_cell *c, double x, double y)
{
    double u = (x - log2(c->argmin_lr)) / c->step_lr, v = (y - log2(c->argmin_batch)) / c->step_batch;
    return q[0] + q[1] * u + q[2] * v + q[3] * u * u + q[4] * u * v + q[5] * v * v;
}

static void centre(lr_cell *c, double *z)
{
    double opt[2], q[TERMS], sum = 0, weight = 0, m = 0;
    for (size_t k = 0; k < c->n_points; k++) z[k] = c->points[k].loss;
    c->bracketed = surface(opt, q, c, z);
    if (!c->bracketed) {
        snprintf(c->why, LR_WHY,
                 "the losses around lr %.3g and batch %.6g are no bowl, or put the minimum outside their neighbours; "
                 "refine the grid there",
                 c->argmin_lr, c->argmin_batch);
        return;
    }
    c->log2_lr = opt[0], c->log2_batch = opt[1];
    c->loss_opt = value_at(q, c, opt[0], opt[1]);
    c->curvature[0] = 2 * q[3] / (c->step_lr * c->step_lr);
    c->curvature[1] = q[4] / (c->step_lr * c->step_batch);
    c->curvature[2] = 2 * q[5] / (c->step_batch * c->step_batch);
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        if (!p->in) continue;
        double r = p->loss - value_at(q, c, p->x, p->y);
        sum += p->weight * r * r, weight += p->weight, m++;
    }
    c->residual_dof = m - TERMS;
    c->residual_ss = sum * m / weight; /* weights normalised to mean 1 */
}

/* --- resamples ----------------------------------------------------------------------------------------------- */

static void pool(lr_noise *noise, const lr_surface *s, const char *name)
{
    double seed_ss = 0, seed_dof = 0, res_ss = 0, res_dof = 0;
    for (size_t k = 0; k < s->n_cells; k++) {
        const lr_cell *c = &s->cells[k];
        if (strcmp(c->parametrisation, name)) continue;
        seed_ss += c->seed_ss, seed_dof += c->seed_dof;
        if (c->bracketed) res_ss += c->residual_ss, res_dof += c->residual_dof;
    }
    bool seeds = seed_dof >= 2;
    noise->dof = seeds ? seed_dof : res_dof;
    noise->sd = noise->dof > 0 ? sqrt((seeds ? seed_ss : res_ss) / noise->dof) : 0;
    snprintf(noise->source, LR_NAME, "%s", seeds ? "seeds" : noise->dof > 0 ? "residuals" : "none");
}

/* One resample; a surface without a minimum inside counts at its lowest point. True: it has one. */
static bool draw(double opt[2], const lr_cell *c, double *z, const lr_noise *noise, const lr_surface *s, uint32_t b,
                 uint64_t at)
{
    double q[TERMS], sd = lr_draw_sd(noise, s->seed, b, &at);
    bool seeds = !strcmp(noise->source, "seeds");
    const lr_point *low = NULL;
    double least = INFINITY;
    for (size_t k = 0; k < c->n_points; k++) {
        const lr_point *p = &c->points[k];
        z[k] = p->loss;
        if (!p->in) continue;
        z[k] += sd / sqrt(seeds ? (double)p->n : 1) * rng_normal(s->seed, RNG_BOOTSTRAP, b, at++);
        if (z[k] < least) least = z[k], low = p;
    }
    if (surface(opt, q, c, z)) return true;
    opt[0] = low->x, opt[1] = low->y;
    return false;
}

/* sd with its floor, draws widened to it, interval; which: 0 lr, 1 batch. */
static status spread(lr_cell *c, int which, const lr_surface *s, size_t cell, err *e)
{
    size_t n = s->n_draws;
    double at = which ? c->log2_batch : c->log2_lr, floor_sd = (which ? c->step_batch : c->step_lr) / 3, sum = 0,
           square = 0;
    double *x = malloc(n * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", n);
    for (size_t b = 0; b < n; b++) {
        double d = c->draws[2 * b + (size_t)which] - at;
        sum += d, square += d * d;
    }
    double mean = sum / (double)n, var = fmax(square / (double)n - mean * mean, 0),
           extra = sqrt(fmax(floor_sd * floor_sd - var, 0));
    for (size_t b = 0; b < n; b++) {
        if (extra > 0)
            c->draws[2 * b + (size_t)which] +=
                extra * rng_normal(s->seed, RNG_LR_GRID, (uint32_t)b, 2 * cell + (size_t)which);
        x[b] = c->draws[2 * b + (size_t)which];
    }
    *(which ? &c->sd_batch : &c->sd_lr) = sqrt(fmax(var, floor_sd * floor_sd));
    status st = lr_interval(which ? c->ci_batch : c->ci_lr, x, n, e);
    free(x);
    return st;
}

static status resample(lr_cell *c, size_t cell, const lr_noise *noise, const lr_surface *s, double *z, err *e)
{
    size_t flat = 0;
    c->draws = malloc(2 * s->n_draws * sizeof *c->draws);
    if (!c->draws) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", s->n_draws);
    for (size_t b = 0; b < s->n_draws; b++)
        flat += !draw(&c->draws[2 * b], c, z, noise, s, (uint32_t)b, (uint64_t)cell << 32);
    if ((double)flat > FLAT_SHARE * (double)s->n_draws) {
        snprintf(
            c->why, LR_WHY,
            "flat within the noise: %.0f %% of the resamples have no interior minimum; more seeds, or a wider grid",
            100.0 * (double)flat / (double)s->n_draws);
        c->bracketed = false;
        return ST_OK;
    }
    status st = spread(c, 0, s, cell, e);
    return st ? st : spread(c, 1, s, cell, e);
}

static void forget(lr_cell *c) /* what an unbracketed cell must not show */
{
    if (c->bracketed) return;
    free(c->draws);
    c->draws = NULL;
    c->log2_lr = c->log2_batch = c->sd_lr = c->sd_batch = c->loss_opt = NAN;
    c->ci_lr[0] = c->ci_lr[1] = c->ci_batch[0] = c->ci_batch[1] = c->curvature[0] = c->curvature[1] = c->curvature[2] =
        NAN;
}

/* --- driver -------------------------------------------------------------------------------------------------- */

static size_t most_points(const lr_surface *s)
{
    size_t most = 0;
    for (size_t k = 0; k < s->n_cells; k++)
        if (s->cells[k].n > most) most = s->cells[k].n;
    return most;
}

status lr_surface_table(lr_surface *out, const table *t, const lr_surface_opts *o, err *e)
{
    memset(out, 0, sizeof *out);
    out->how = o->how;
    out->share = o->share;
    out->seed = o->seed;
    out->n_draws = o->n_draws < 40 ? 40 : o->n_draws; /* fewer have no 2.5 % point */
    status s = lr_cells_read(out, t, o->count_rule, e);
    double *z = s ? NULL : malloc((most_points(out) + 1) * sizeof *z);
    if (!s && !z) s = err_set(e, ST_NOMEM, "lr-optimum: no memory");
    for (size_t k = 0; k < out->n_cells && !s; k++) {
        lr_cell *c = &out->cells[k];
        c->argmin_lr = c->argmin_batch = c->argmin_loss = c->step_lr = c->step_batch = NAN;
        s = lr_cell_window(c, e);
        if (!s && c->inside && !c->why[0]) centre(c, z);
    }
    for (size_t p = 0; p < out->n_laws && !s; p++) {
        pool(&out->noise[p], out, out->laws[p].parametrisation);
        for (size_t k = 0; k < out->n_cells && !s; k++)
            if (out->cells[k].bracketed && !strcmp(out->cells[k].parametrisation, out->laws[p].parametrisation))
                s = resample(&out->cells[k], k, &out->noise[p], out, z, e);
    }
    for (size_t k = 0; k < out->n_cells; k++) forget(&out->cells[k]);
    if (!s) s = lr_laws_fit(out, e);
    free(z);
    return s;
}

void lr_surface_free(lr_surface *s)
{
    if (!s) return;
    for (size_t k = 0; k < s->n_cells; k++) {
        free(s->cells[k].lr);
        free(s->cells[k].batch);
        free(s->cells[k].loss);
        free(s->cells[k].points);
        free(s->cells[k].draws);
    }
    for (size_t p = 0; p < s->n_laws; p++) free(s->laws[p].draws);
    free(s->cells);
    free(s->laws);
    free(s->noise);
    memset(s, 0, sizeof *s);
}

const char *lr_how_name(lr_how how)
{
    static const char *const names[] = {"per-cell", "pooled", "near-best"};
    return names[how];
}

status lr_how_find(lr_how *out, const char *name, err *e)
{
    for (lr_how h = LR_PER_CELL; h <= LR_POOLED; h++)
        if (!strcmp(lr_how_name(h), name)) return *out = h, ST_OK;
    return err_set(e, ST_USAGE, "--surface '%s': known are per-cell, pooled", name);
}
