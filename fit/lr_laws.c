/* From cells to lr* = c N^p D^q and batch* = c N^p D^q: per cell, pooled, near-best (fit/lr_surface.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_surface.h"
#include "fit/run.h"

enum { MOST_Z = 3, MOST_FEATURES = 3 + 2 * MOST_Z };
static const double SAME = .01;       /* spread of ln N or ln D below which a law says nothing about it */
static const double SEPARABLE = 1e-3; /* share of the variance of ln D that ln N must leave unexplained: fit/trust.c */
static const double shares[LR_SHARES] = {.001, .0015, .002, .0025, .003, .004, .005};

const char *const lr_coef_names[LR_COEFS] = {"lr_c", "lr_N", "lr_D", "batch_c", "batch_N", "batch_D"};

/* --- what varies over the cells ------------------------------------------------------------------------------ */

/* z = 1, then ln N and ln D minus their means where they vary. */
typedef struct design {
    size_t n, k;
    const lr_cell **cell;
    int at_n, at_d;
    double mean_n, mean_d, mean_x, mean_y; /* of ln N, ln D; of log2 lr, log2 batch of the lowest points */
} design;

static double ln_size(const lr_cell *c) { return log(isnan(c->N) ? c->width : c->N); }
static double ln_tokens(const lr_cell *c) { return isnan(c->D) ? 0 : log(c->D); }

static void z_of(double *z, const design *g, const lr_cell *c)
{
    z[0] = 1;
    if (g->at_n) z[g->at_n] = ln_size(c) - g->mean_n;
    if (g->at_d) z[g->at_d] = ln_tokens(c) - g->mean_d;
}

static bool counts(const lr_surface *s, const lr_cell *c) { return s->how == LR_NEAR_BEST ? c->inside : c->bracketed; }

/* Collects the cells that count; law->why says so when N and D cannot be told apart or there are too few. */
static status make_design(design *g, lr_law *law, const lr_surface *s, err *e)
{
    double nn = 0, dd = 0, nd = 0;
    memset(g, 0, sizeof *g);
    g->cell = calloc(s->n_cells + 1, sizeof(lr_cell *));
    if (!g->cell) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu cells", s->n_cells);
    for (size_t k = 0; k < s->n_cells; k++) {
        const lr_cell *c = &s->cells[k];
        if (strcmp(c->parametrisation, law->parametrisation)) continue;
        law->n_cells++;
        if (!counts(s, c)) continue;
        g->cell[g->n++] = c;
        g->mean_n += ln_size(c), g->mean_d += ln_tokens(c);
        g->mean_x += log2(c->argmin_lr), g->mean_y += log2(c->argmin_batch);
    }
    law->n_used = g->n;
    if (!g->n) return snprintf(law->why, LR_WHY, "no cell is bracketed in both"), ST_OK;
    g->mean_n /= (double)g->n, g->mean_d /= (double)g->n, g->mean_x /= (double)g->n, g->mean_y /= (double)g->n;
    double lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (size_t k = 0; k < g->n; k++) {
        double n = ln_size(g->cell[k]) - g->mean_n, d = ln_tokens(g->cell[k]) - g->mean_d;
        nn += n * n, dd += d * d, nd += n * d;
        lo[0] = fmin(lo[0], n), hi[0] = fmax(hi[0], n), lo[1] = fmin(lo[1], d), hi[1] = fmax(hi[1], d);
    }
    g->k = 1;
    if (hi[0] - lo[0] > SAME) g->at_n = (int)g->k++;
    if (hi[1] - lo[1] > SAME) g->at_d = (int)g->k++;
    if (g->at_n && g->at_d && 1 - nd * nd / (nn * dd) < SEPARABLE)
        snprintf(law->why, LR_WHY, "D follows from N in the %zu cells that count: their exponents cannot be told apart",
                 g->n);
    else if (g->k == 1)
        snprintf(law->why, LR_WHY, "the %zu cells that count have one size and one token count: no law", g->n);
    else if (g->n < g->k)
        snprintf(law->why, LR_WHY, "%zu of %zu cells bracketed; %zu are needed, their interval one more", g->n,
                 law->n_cells, g->k);
    return ST_OK;
}

/* From b, over z, of a logarithm: ln c, p, q of c N^p D^q. to points at LR_C or BATCH_C. */
static void unpack(double *to, const double *b, const design *g)
{
    to[1] = g->at_n ? b[g->at_n] : NAN;
    to[2] = g->at_d ? b[g->at_d] : NAN;
    to[0] = exp(b[0] - (g->at_n ? to[1] * g->mean_n : 0) - (g->at_d ? to[2] * g->mean_d : 0));
}

/* Estimates from values and draws. */
static status conclude(lr_law *law, const double *value, err *e)
{
    double *x = malloc((law->n_draws + 1) * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", law->n_draws);
    for (int c = 0; c < LR_COEFS; c++) {
        law->coef[c].value = value[c];
        if (isnan(value[c])) continue;
        for (size_t b = 0; b < law->n_draws; b++) x[b] = law->draws[b * LR_COEFS + (size_t)c];
        fit_percentiles(&law->coef[c], x, law->n_draws);
    }
    free(x);
    return ST_OK;
}

/* --- per cell ------------------------------------------------------------------------------------------------ */

/* Weighted least squares over the cells; false: not determined. sd [n]. */
static bool weighted(double *b, const design *g, const double *y, const double *sd)
{
    double m[MOST_Z * MOST_Z] = {0}, r[MOST_Z] = {0}, z[MOST_Z];
    for (size_t k = 0; k < g->n; k++) {
        double w = 1 / (sd[k] * sd[k]);
        z_of(z, g, g->cell[k]);
        for (size_t i = 0; i < g->k; i++) {
            r[i] += w * z[i] * y[k];
            for (size_t j = 0; j < g->k; j++) m[i * g->k + j] += w * z[i] * z[j];
        }
    }
    return fit_cholesky_solve(m, b, r, g->k);
}

static double birge(const design *g, const double *b, const double *y, const double *sd)
{
    double chi2 = 0, z[MOST_Z];
    for (size_t k = 0; k < g->n; k++) {
        double d = y[k];
        z_of(z, g, g->cell[k]);
        for (size_t i = 0; i < g->k; i++) d -= b[i] * z[i];
        chi2 += d * d / (sd[k] * sd[k]);
    }
    return g->n > g->k ? fmax(1, sqrt(chi2 / (double)(g->n - g->k))) : 1;
}

/* One of the two: ln lr or ln batch. room[2][n]. */
static bool per_cell_one(double *value, lr_law *law, const design *g, bool batch, double *room)
{
    double *y = room, *sd = room + g->n, b[MOST_Z], d[MOST_Z];
    int first = batch ? BATCH_C : LR_C;
    for (size_t k = 0; k < g->n; k++) {
        const lr_cell *c = g->cell[k];
        y[k] = (batch ? c->log2_batch : c->log2_lr) * M_LN2;
        sd[k] = (batch ? c->sd_batch : c->sd_lr) * M_LN2;
    }
    if (!weighted(b, g, y, sd)) return false;
    double wide = birge(g, b, y, sd);
    *(batch ? &law->birge_batch : &law->birge_lr) = wide;
    unpack(value + first, b, g);
    for (size_t i = 0; i < law->n_draws; i++) {
        for (size_t k = 0; k < g->n; k++) y[k] = g->cell[k]->draws[2 * i + batch] * M_LN2;
        if (!weighted(d, g, y, sd)) return false;
        for (size_t j = 0; j < g->k; j++)
            d[j] = b[j] + wide * (d[j] - b[j]); /* centred: level and exponents hardly correlate */
        unpack(law->draws + i * LR_COEFS + first, d, g);
    }
    return true;
}

static status per_cell(double *value, lr_law *law, const lr_surface *s, const design *g, err *e)
{
    double *room = malloc((2 * g->n + 1) * sizeof *room);
    if (!room) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu cells", g->n);
    law->n_draws = g->n > g->k ? s->n_draws : 0; /* through as many points as coefficients any line goes */
    if (!law->n_draws)
        snprintf(law->why, LR_WHY, "%zu cells for %zu coefficients: no interval; add a cell", g->n, g->k);
    if (!per_cell_one(value, law, g, false, room) || !per_cell_one(value, law, g, true, room))
        snprintf(law->why, LR_WHY, "the cells that count do not determine N and D");
    free(room);
    return ST_OK;
}

/* --- sums over cells, resampled by cell ---------------------------------------------------------------------- */

/* Normal equations of one cell: m and r of least squares on up to MOST_FEATURES features, for two targets, and their
 * squares. */
typedef struct block {
    double m[MOST_FEATURES * MOST_FEATURES], r[2][MOST_FEATURES], yy[2];
} block;

static void add_block(block *to, const block *from, double times, size_t k)
{
    for (size_t i = 0; i < k * k; i++) to->m[i] += times * from->m[i];
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < k; i++) to->r[t][i] += times * from->r[t][i];
        to->yy[t] += times * from->yy[t];
    }
}

static void add_row(block *to, const double *f, const double y[2], double w, size_t k)
{
    for (int t = 0; t < 2; t++) to->yy[t] += w * y[t] * y[t];
    for (size_t i = 0; i < k; i++) {
        to->r[0][i] += w * f[i] * y[0], to->r[1][i] += w * f[i] * y[1];
        for (size_t j = 0; j < k; j++) to->m[i * k + j] += w * f[i] * f[j];
    }
}

/* What a sum of blocks says: value[LR_COEFS]; false: not determined. */
typedef bool solve_fn(double *value, const block *sum, const design *g);

static void resample_cells(lr_law *law, const lr_surface *s, const design *g, const block *cells, size_t k,
                           solve_fn *solve)
{
    for (size_t b = 0; b < s->n_draws; b++) {
        block sum = {.m = {0}};
        for (size_t i = 0; i < g->n; i++)
            add_block(&sum, &cells[rng_below(g->n, s->seed, RNG_BOOTSTRAP, (uint32_t)b, i)], 1, k);
        law->n_draws += solve(law->draws + law->n_draws * LR_COEFS, &sum, g);
    }
}

static status from_blocks(double *value, lr_law *law, const lr_surface *s, const design *g, const block *cells,
                          size_t k, solve_fn *solve)
{
    block sum = {.m = {0}};
    for (size_t i = 0; i < g->n; i++) add_block(&sum, &cells[i], 1, k);
    if (!solve(value, &sum, g)) {
        snprintf(law->why, LR_WHY,
                 s->how == LR_POOLED ? "the pooled surface is no bowl, or the cells do not determine N and D"
                                     : "the runs near the best do not determine N and D");
        return ST_OK;
    }
    if (g->n > g->k) resample_cells(law, s, g, cells, k, solve);
    else snprintf(law->why, LR_WHY, "%zu cells for %zu coefficients: no interval; add a cell", g->n, g->k);
    return ST_OK;
}

/* --- pooled -------------------------------------------------------------------------------------------------- */

/* t = level of the cell + h1 x^2 + h2 x y + h3 y^2 + x (g . z) + y (k . z), x = log2 lr, y = log2 batch; its minimum is
 * at -H^-1 (g . z, k . z), H = (2 h1, h2; h2, 2 h3): straight in z. Levels go by taking each cell's weighted means off.
 * t is ln L or L, whichever leaves the smaller residuals: whether cells share their curvature in nats or relative to
 * their loss is not known beforehand, and the wrong one moves the exponents. */
static void pooled_features(double *f, const design *g, const lr_cell *c, const lr_point *p)
{
    double z[MOST_Z];
    double x = p->x - g->mean_x, y = p->y - g->mean_y;
    z_of(z, g, c);
    f[0] = x * x, f[1] = x * y, f[2] = y * y;
    for (size_t i = 0; i < g->k; i++) f[3 + i] = x * z[i], f[3 + g->k + i] = y * z[i];
}

static void pooled_block(block *to, const design *g, const lr_cell *c, double level)
{
    size_t k = 3 + 2 * g->k;
    double mean[MOST_FEATURES] = {0}, f[MOST_FEATURES], y[2] = {0}, sum = 0;
    for (size_t i = 0; i < c->n_points; i++) {
        double w = c->points[i].in ? c->points[i].weight : 0;
        if (w == 0) continue;
        pooled_features(f, g, c, &c->points[i]);
        for (size_t j = 0; j < k; j++) mean[j] += w * f[j];
        y[0] += w * log(c->points[i].loss), y[1] += w * c->points[i].loss / level, sum += w;
    }
    for (size_t i = 0; i < c->n_points; i++) {
        double w = c->points[i].in ? c->points[i].weight : 0;
        if (w == 0) continue;
        pooled_features(f, g, c, &c->points[i]);
        for (size_t j = 0; j < k; j++) f[j] -= mean[j] / sum;
        const double target[2] = {log(c->points[i].loss) - y[0] / sum, c->points[i].loss / level - y[1] / sum};
        add_row(to, f, target, w, k);
    }
}

static bool pooled_solve(double *value, const block *sum, const design *g)
{
    double m[MOST_FEATURES * MOST_FEATURES], b[MOST_FEATURES], lr[MOST_Z], batch[MOST_Z];
    size_t k = 3 + 2 * g->k;
    memcpy(m, sum->m, sizeof m);
    if (!fit_cholesky_solve(m, b, sum->r[0], k)) return false;
    double det = 4 * b[0] * b[2] - b[1] * b[1];
    if (!(b[0] > 0) || !(det > 0)) return false;
    for (size_t i = 0; i < g->k; i++) {
        double gx = b[3 + i], gy = b[3 + g->k + i];
        lr[i] = M_LN2 * (b[1] * gy - 2 * b[2] * gx) / det;
        batch[i] = M_LN2 * (b[1] * gx - 2 * b[0] * gy) / det;
    }
    lr[0] += M_LN2 * g->mean_x, batch[0] += M_LN2 * g->mean_y;
    unpack(value + LR_C, lr, g);
    unpack(value + BATCH_C, batch, g);
    return true;
}

/* Squares that target t leaves. */
static double left_over(const block *sum, int t, size_t k)
{
    double m[MOST_FEATURES * MOST_FEATURES], b[MOST_FEATURES], left = sum->yy[t];
    memcpy(m, sum->m, sizeof m);
    if (!fit_cholesky_solve(m, b, sum->r[t], k)) return INFINITY;
    for (size_t i = 0; i < k; i++) left -= b[i] * sum->r[t][i];
    return fmax(left, 0);
}

static void choose_target(lr_law *law, block *cells, size_t n, size_t k)
{
    block sum = {.m = {0}};
    for (size_t i = 0; i < n; i++) add_block(&sum, &cells[i], 1, k);
    law->in_nats = left_over(&sum, 1, k) < left_over(&sum, 0, k);
    for (size_t i = 0; i < n && law->in_nats; i++) memcpy(cells[i].r[0], cells[i].r[1], sizeof cells[i].r[0]);
}

static status pooled(double *value, lr_law *law, const lr_surface *s, const design *g, err *e)
{
    block *cells = calloc(g->n, sizeof *cells);
    if (!cells) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu cells", g->n);
    double level = 0;
    for (size_t i = 0; i < g->n; i++) level += g->cell[i]->argmin_loss / (double)g->n;
    for (size_t i = 0; i < g->n; i++) pooled_block(&cells[i], g, g->cell[i], level);
    choose_target(law, cells, g->n, 3 + 2 * g->k);
    status st = from_blocks(value, law, s, g, cells, 3 + 2 * g->k, pooled_solve);
    free(cells);
    return st;
}

/* --- near-best ----------------------------------------------------------------------------------------------- */

static size_t near_block(block *to, const design *g, const lr_cell *c, double share)
{
    double z[MOST_Z];
    size_t n = 0;
    z_of(z, g, c);
    double lowest = INFINITY;
    for (size_t i = 0; i < c->n; i++) lowest = fmin(lowest, c->loss[i]);
    for (size_t i = 0; i < c->n; i++) {
        if (!(c->loss[i] / lowest - 1 < share)) continue;
        const double y[2] = {log(c->lr[i]), log(c->batch[i])};
        add_row(to, z, y, 1, g->k);
        n++;
    }
    return n;
}

/* ln lr on ln N, ln D; ln batch on ln D alone, as in the paper, unless D does not vary. */
static bool near_solve(double *value, const block *sum, const design *g)
{
    double m[MOST_Z * MOST_Z], b[MOST_Z] = {0};
    memcpy(m, sum->m, g->k * g->k * sizeof *m);
    if (!fit_cholesky_solve(m, b, sum->r[0], g->k)) return false;
    unpack(value + LR_C, b, g);
    design only = *g;
    size_t keep[2] = {0, (size_t)(g->at_d ? g->at_d : g->at_n)};
    double r[2] = {sum->r[1][keep[0]], sum->r[1][keep[1]]}, m2[4];
    if (g->at_d) only.at_n = 0, only.at_d = 1;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) m2[2 * i + j] = sum->m[keep[i] * g->k + keep[j]];
    if (!fit_cholesky_solve(m2, b, r, 2)) return false;
    unpack(value + BATCH_C, b, &only);
    return true;
}

static status near_best(double *value, lr_law *law, const lr_surface *s, const design *g, err *e)
{
    block *cells = calloc(g->n, sizeof *cells);
    if (!cells) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu cells", g->n);
    for (int p = 0; p < LR_SHARES; p++) {
        block sum = {.m = {0}};
        lr_plateau *w = &law->plateau[p];
        w->share = shares[p];
        for (int c = 0; c < LR_COEFS; c++) w->coef[c] = NAN;
        for (size_t i = 0; i < g->n; i++) w->n_rows += near_block(&sum, g, g->cell[i], w->share);
        if (!near_solve(w->coef, &sum, g))
            for (int c = 0; c < LR_COEFS; c++) w->coef[c] = NAN;
    }
    for (size_t i = 0; i < g->n; i++) law->n_rows += near_block(&cells[i], g, g->cell[i], s->share);
    status st = from_blocks(value, law, s, g, cells, g->k, near_solve);
    free(cells);
    return st;
}

/* --- driver -------------------------------------------------------------------------------------------------- */

status lr_laws_fit(lr_surface *s, err *e)
{
    status st = ST_OK;
    for (size_t p = 0; p < s->n_laws && !st; p++) {
        lr_law *law = &s->laws[p];
        design g;
        double value[LR_COEFS];
        for (int c = 0; c < LR_COEFS; c++) {
            value[c] = NAN;
            law->coef[c] = (fit_estimate){NAN, NAN, NAN, NAN, NAN, false, false, false};
        }
        law->birge_lr = law->birge_batch = 1;
        law->draws = malloc(s->n_draws * LR_COEFS * sizeof *law->draws);
        if (!law->draws) return err_set(e, ST_NOMEM, "lr-optimum: no memory for %zu resamples", s->n_draws);
        st = make_design(&g, law, s, e);
        if (!st && !law->why[0])
            st = s->how == LR_PER_CELL ? per_cell(value, law, s, &g, e)
                 : s->how == LR_POOLED ? pooled(value, law, s, &g, e)
                                       : near_best(value, law, s, &g, e);
        if (!st) st = conclude(law, value, e);
        free(g.cell);
    }
    return st;
}
